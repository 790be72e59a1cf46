"""The API: requests are accepted, worked and certified; releases, certificates and proofs can be fetched."""

import inspect
import json
import time

import numpy as np
import pytest

from expunge.data.schema import FeatureSchema
from expunge.evidence.signing import PublicKeys
from expunge.evidence.verification import ProvenTranscript, verify_content
from expunge.ledger import log
from expunge.service import api, pages, views
from expunge.service.routing import BODY_BYTES
from expunge.workspace import states
from tests.ledger.consistency import verify_continues


def wait_for(condition, seconds=30.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_from_request_to_verified_certificate(as_role, found, closed):
    made = as_role("operator", "POST", "/v1/requests", json={"subject": "person-1"})
    assert made.status_code == 201
    answer = made.json()
    assert answer["state"] == "accepted" and json.loads(answer["receipt"])["expunge"] == "receipt"
    shown = closed(answer["request"])
    assert shown["state"] == "closed" and len(shown["certificates"]) == 3
    with found.storage.database.reading() as connection:
        trusted = found.storage.public_keys(connection)
    for number in shown["certificates"]:
        text = as_role("auditor", "GET", f"/v1/certificates/{number}").text
        assert verify_content(text, trusted).kind == "certificate"
        evidence = as_role("auditor", "GET", f"/v1/certificates/{number}?form=evidence").json()
        assert evidence["evidence"]["n_forgotten"] >= 1
        stated = as_role("auditor", "GET", f"/v1/certificates/{number}?form=transcript&request={answer['request']}").text
        proven = verify_content(stated, trusted)
        assert isinstance(proven, ProvenTranscript) and (proven.request, proven.releases) == (answer["request"], 1)
        envelope = as_role("auditor", "GET", f"/v1/certificates/{number}?form=dsse")
        assert envelope.headers["content-type"].startswith("application/vnd.dsse")
        assert envelope.json()["payloadType"] == "application/vnd.in-toto+json"
    assert as_role("auditor", "GET", "/v1/certificates/1?form=transcript").status_code == 404  # a fit forgets nobody
    again = as_role("operator", "POST", "/v1/requests", json={"subject": "person-1"})
    assert (again.status_code, again.json()["reason"]) == (409, "already-forgotten")


def test_an_idempotency_key_is_honoured(as_role):
    headers = {"Idempotency-Key": "abc"}
    first = as_role("operator", "POST", "/v1/requests", json={"subject": "person-2"}, headers=headers)
    again = as_role("operator", "POST", "/v1/requests", json={"subject": "person-2"}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json() and first.json()["receipt"]
    other = as_role("operator", "POST", "/v1/requests", json={"subject": "person-3"}, headers=headers)
    assert (other.status_code, other.json()["reason"]) == (409, "key-reused")


def test_bulk_answers_everybody(desk):
    answers = desk("operator").ask_many(["person-10", "nobody", "person-11", "person-10"])
    assert [answer["reason"] for answer in answers] == [None, "unknown-subject", None, None]
    assert answers[0]["request"] == answers[3]["request"]


def test_many_with_an_idempotency_key(as_role):
    asked, headers = {"subjects": ["person-12", "nobody", "person-13"]}, {"Idempotency-Key": "many"}
    first = as_role("operator", "POST", "/v1/requests/bulk", json=asked, headers=headers)
    again = as_role("operator", "POST", "/v1/requests/bulk", json=asked, headers=headers)
    assert first.json() == again.json() and first.json()[2]["receipt"] and first.status_code == again.status_code == 200
    for other in ({"subjects": ["person-12"]}, {**asked, "by": "who"}, {**asked, "channel": "letter"}):
        refused = as_role("operator", "POST", "/v1/requests/bulk", json=other, headers=headers)
        assert (refused.status_code, refused.json()["reason"]) == (409, "key-reused")
    one = as_role("operator", "POST", "/v1/requests", json={"subject": "person-12"}, headers=headers)
    assert one.status_code == 409
    unknown = [
        as_role("operator", "POST", "/v1/requests", json={"subject": "no"}, headers={"Idempotency-Key": "n"}) for _ in "ab"
    ]
    assert unknown[0].status_code == unknown[1].status_code == 422 and unknown[0].json() == unknown[1].json()


def test_a_preview_says_what_is_touched(as_role):
    found = as_role("operator", "POST", "/v1/requests/preview", json={"subjects": ["person-20", "nobody"]}).json()
    assert found["rows"][0] >= 1 and found["rows"][1] == 0
    assert {row["model"]: row["rung"] for row in found["expected"]}["spend"] == "exact"
    assert all(moved[0] > 0 for moved in found["influence"].values())


def test_what_is_held_about_a_person_is_shown_to_the_officer(as_role, found):
    shown = as_role("operator", "POST", "/v1/people/show", json={"subject": "person-40"})
    assert shown.status_code == 200
    assert shown.json()["rows"] == found.show("person-40").rows
    assert [(each["model"], each["releases"][0]) for each in shown.json()["models"]] == [
        ("churn", 1),
        ("spend", 2),
        ("visits", 3),
    ]
    unknown = as_role("operator", "POST", "/v1/people/show", json={"subject": "nobody"})
    assert (unknown.status_code, unknown.json()["reason"]) == (422, "unknown-subject")


def test_a_preview_asks_once_a_release_which_rung_would_do_and_never_for_the_capacity(
    as_role, desk, closed, found, monkeypatch
):
    """The capacity is found by a search that takes seconds, and after every release anew."""
    asked, one = [], states.rung_expected

    def noticed(storage, name, rows):
        asked.append((name, rows))
        return one(storage, name, rows)

    monkeypatch.setattr(views, "rung_expected", noticed)
    monkeypatch.setattr(type(found), "capacity", lambda *_: pytest.fail("a preview looked for the capacity"))

    def previewed():
        asked.clear()
        shown = as_role("operator", "POST", "/v1/requests/preview", json={"subjects": ["person-60"]}).json()
        assert [row["rung"] for row in shown["expected"]] == ["statistics", "exact", "statistics"]
        return dict(asked), shown["rows"][0]

    with found.storage.exclusive():  # nobody works meanwhile
        previewed()
        assert previewed()[0] == {}
        made = desk("operator").ask("person-61")["request"]
    assert closed(made)["state"] == "closed"
    again, rows = previewed()
    assert again == {"churn": rows, "visits": rows}


def test_pages_of_requests(as_role, desk):
    desk("operator").ask_many([f"person-{i}" for i in range(30, 45)])
    seen = [row["id"] for row in desk("auditor").calls.pages("/v1/requests", "cursor", {"limit": 4})]
    everything = as_role("auditor", "GET", "/v1/requests?limit=500").json()["items"]
    assert len(seen) == len(set(seen)) >= 15
    assert set(seen) <= {row["id"] for row in everything}
    assert as_role("auditor", "GET", "/v1/requests?cursor=nonsense").status_code == 422


def test_cancelling(as_role, desk, found):
    with found.storage.exclusive():  # nobody works meanwhile
        made = desk("operator").ask("person-50")
        assert as_role("operator", "POST", f"/v1/requests/{made['request']}/cancel").status_code == 204
        late = as_role("operator", "POST", f"/v1/requests/{made['request']}/cancel")
        assert (late.status_code, late.json()["reason"]) == (409, "too-late")
    assert as_role("operator", "POST", "/v1/requests/r-0/cancel").status_code == 404


def test_polling_for_a_release_is_cheap(as_role, ended):
    first = as_role("engineer", "GET", "/v1/models/churn/releases/latest")
    assert len(first.json()["weights"]) == 6
    tag = first.headers["etag"]
    assert as_role("engineer", "GET", "/v1/models/churn/releases/latest", headers={"If-None-Match": tag}).status_code == 304
    assert ended("engineer", "models/churn/refit")["state"] == "done"
    later = as_role("engineer", "GET", "/v1/models/churn/releases/latest", headers={"If-None-Match": tag})
    assert later.status_code == 200 and later.headers["etag"] != tag
    listed = as_role("auditor", "GET", "/v1/models/churn/releases").json()["items"]
    assert listed[-1]["release"] == later.json()["release"]


def test_a_release_comes_with_all_that_a_prediction_takes(as_role, found):
    for name, n_features in (("churn", 5), ("visits", 5)):
        release = as_role("consumer", "GET", f"/v1/models/{name}/releases/latest").json()
        schema = FeatureSchema.from_toml(release["schema"])
        assert release["features"] == schema.feature_names and len(release["features"]) == n_features
        rows = {"age": [41.5, None, 300], "job": ["pilot", "diver", None], "tenure": [3, 40, None]}
        t = schema.encode(rows).X @ np.array(release["coef"]).T + release["intercept"]
        asked = [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]
        answer = as_role("consumer", "POST", f"/v1/models/{name}/predictions", json={"rows": asked}).json()
        assert (answer["release"], answer["certificate"]) == (release["release"], release["certificate"])
        predicted = [item["prediction"] for item in answer["items"]]
        if release["classes"]:
            chances = [item["probabilities"] for item in answer["items"]]
            np.testing.assert_allclose([one["yes"] for one in chances], 1 / (1 + np.exp(-t[:, 0])), rtol=1e-12)
            assert predicted == [release["classes"][int(value > 0)] for value in t[:, 0]]
        else:
            np.testing.assert_allclose(predicted, np.exp(t[:, 0]), rtol=1e-12)
            assert "probabilities" not in answer["items"][0]
        assert answer["odd"]["job"] == {"undeclared": 1, "missing": 1}


def test_rows_that_cannot_be_predicted(as_role):
    row = {"age": 41.5, "job": "pilot", "tenure": 3}
    path = "/v1/models/churn/predictions"
    assert as_role("engineer", "POST", path, json={"rows": [row]}).status_code == 200
    assert as_role("engineer", "POST", path, json={"rows": [{**row, "age": "41.5", "more": "x"}]}).status_code == 200
    for wrong, said in (
        ({**row, "age": "old"}, "row 2, column 'age': the value is not of type number"),
        ({**row, "age": True}, "row 2, column 'age'"),
        ({**row, "job": 7}, "row 2, column 'job': the value is not of type text"),
        ({**row, "tenure": 3.5}, "row 2, column 'tenure': the value is not of type integer"),
        ({**row, "tenure": 10**30}, "row 2, column 'tenure'"),
        ({"age": 1}, "row 2 has no 'job'"),
        ({**row, "job": ["pilot"]}, "job"),
    ):
        answer = as_role("engineer", "POST", path, json={"rows": [row, wrong]})
        assert answer.status_code == 422 and said in answer.json()["detail"], answer.json()
    infinite = as_role("engineer", "POST", path, content=b'{"rows": [{"age": Infinity, "job": null, "tenure": 1}]}')
    assert infinite.status_code == 422
    assert as_role("engineer", "POST", path, json={"rows": []}).status_code == 422
    assert as_role("engineer", "POST", "/v1/models/none/predictions", json={"rows": [row]}).status_code == 404
    assert as_role("auditor", "POST", path, json={"rows": [row]}).status_code == 403


def test_capacity_and_audit(as_role, ended):
    assert "at random" in as_role("auditor", "GET", "/v1/models/churn/capacity").json()["text"]
    verdict = ended("auditor", "models/churn/audit", draws=200)["result"]["verdict"]
    assert verdict["is_honest"], verdict
    assert "Verdict" in verdict["text"]


def test_proofs_of_the_log(as_role, found, ended):
    with found.storage.database.reading() as connection:
        trusted = found.storage.public_keys(connection)
        earlier = log.checkpoint(connection)
        size = log.size(connection)
    proven = as_role("auditor", "GET", "/v1/log/inclusion/3").json()
    assert json.loads(proven["event"])["seq"] == 3
    ended("engineer", "models/spend/refit")
    later = as_role("auditor", "GET", "/v1/log/checkpoint").text
    sizes = [
        json.loads(proven["checkpoint"]) and size,
        as_role("auditor", "GET", "/v1/log/events?limit=500").json()["items"][-1]["seq"],
    ]
    head = trusted.verified(later, "urn:expunge:checkpoint:v1").predicate["size"]
    begun = trusted.verified(earlier, "urn:expunge:checkpoint:v1").predicate["size"]
    proof = as_role("auditor", "GET", f"/v1/log/consistency?earlier={begun}&later={head}").json()
    verify_continues(earlier, later, proof, PublicKeys(trusted.pems))
    assert sizes[1] >= head
    assert as_role("auditor", "GET", "/v1/log/inclusion/999999").status_code == 404
    assert as_role("auditor", "GET", "/v1/log/consistency?earlier=5&later=2").status_code == 422


def test_errors_are_problem_documents(as_role, anybody):
    for answer, status in (
        (anybody.get("/v1/models"), 401),
        (as_role("auditor", "POST", "/v1/requests", json={"subject": "x"}), 403),
        (as_role("auditor", "GET", "/v1/requests/r-0"), 404),
        (as_role("auditor", "GET", "/v1/models/none/capacity"), 404),
        (as_role("auditor", "GET", "/v1/nothing"), 404),
        (as_role("auditor", "PUT", "/v1/models"), 405),
        (as_role("operator", "POST", "/v1/requests", json={"subject": ""}), 422),
        (as_role("operator", "POST", "/v1/requests", json={"subject": "a", "more": 1}), 422),
        (as_role("operator", "POST", "/v1/requests", content=b"{"), 422),
        (as_role("operator", "POST", "/v1/requests", content=b"x" * (BODY_BYTES + 1)), 413),
    ):
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status and answer.json()["detail"]


def test_a_body_that_does_not_say_how_long_it_is(as_role):
    def parts():
        for _ in range(BODY_BYTES // 65536 + 2):
            yield b"x" * 65536

    assert as_role("operator", "POST", "/v1/requests", content=parts()).status_code == 413


def test_metrics_and_health(as_role, anybody):
    assert anybody.get("/healthz").text == "ok\n"
    assert anybody.get("/metrics").status_code == 401
    text = as_role("auditor", "GET", "/metrics").text
    assert 'expunge_requests{state="closed"}' in text and "expunge_epsilon_spent" in text and "expunge_http_seconds" in text
    assert as_role("auditor", "GET", "/v1/health").json()["problem"] is None


def test_what_is_asked_together_is_answered_together(as_role, found, token, app):
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    import httpx

    async def many():
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {token['operator']}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            asked = [client.post("/v1/requests", json={"subject": f"person-{100 + i % 40}"}) for i in range(80)]
            return await asyncio.gather(*asked)

    # the intake belongs to the running app's loop; another loop needs one of its own
    from expunge.service.intake import Intake

    before, app.state.intake = app.state.intake, Intake(found.storage)
    try:
        with ThreadPoolExecutor(1) as thread:  # Playwright's loop may be running in this one
            answers = thread.submit(asyncio.run, many()).result()
    finally:
        app.state.intake.close()
        app.state.intake = before
    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    made = [answer.json()["request"] for answer in answers if answer.status_code == 201]
    assert len(made) == len(set(made)) == 40


@pytest.mark.parametrize("header", ["Basic abc", "Bearer", "Bearer exp_x_y", "Bearer exp__", "bearer " + "x" * 5000])
def test_what_is_no_token(header, anybody):
    assert anybody.get("/v1/models", headers={"Authorization": header}).status_code == 401


def test_what_reads_the_ledger_runs_in_a_thread_of_its_own():
    """An asynchronous handler that waited for the database would keep everybody else waiting."""
    handlers = {vars(route)["endpoint"] for router in (*api.routers, *pages.routers) for route in router.routes}
    assert len(handlers) > 30
    waiting = {handler.__name__ for handler in handlers if inspect.iscoroutinefunction(handler)}
    assert waiting == {"create_request", "create_requests", "make_requests", "login"}  # which wait for a thread

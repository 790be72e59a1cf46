"""Security: every route times every role, sessions, CSRF, headers, limits, and nothing about subjects in logs or URLs."""

import logging
import re

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from expunge.cli import app as command_line
from expunge.ledger import tokens
from expunge.service import access, api, pages, tokenbook, webhooks
from expunge.service.app import create_app
from tests.workspace.people import workspace

ALL, OPERATOR, ENGINEER, CHECKER = {"operator", "engineer", "auditor"}, {"operator"}, {"engineer"}, {"engineer", "auditor"}
PUBLIC, SERVING = {*ALL, "consumer"}, {"engineer", "consumer"}
PAGE_FORMS = {"/login", "/logout"}
MATRIX = {
    ("POST", "/v1/requests"): OPERATOR,
    ("POST", "/v1/requests/bulk"): OPERATOR,
    ("POST", "/v1/requests/preview"): OPERATOR,
    ("POST", "/v1/people/show"): OPERATOR,
    ("GET", "/people"): OPERATOR,
    ("POST", "/people"): OPERATOR,
    ("GET", "/v1/requests"): ALL,
    ("GET", "/v1/requests/{request_id}"): ALL,
    ("GET", "/v1/requests/export"): ALL,
    ("POST", "/v1/requests/search"): OPERATOR,
    ("GET", "/v1/requests/{request_id}/history"): ALL,
    ("POST", "/v1/requests/{request_id}/cancel"): OPERATOR,
    ("POST", "/v1/requests/{request_id}/extend"): OPERATOR,
    ("POST", "/v1/requests/{request_id}/refuse"): OPERATOR,
    ("POST", "/v1/requests/{request_id}/approve"): OPERATOR,
    ("POST", "/v1/requests/{request_id}/notes"): OPERATOR,
    ("POST", "/v1/requests/{request_id}/lift"): OPERATOR,
    ("POST", "/v1/requests/{request_id}/receipt"): OPERATOR,
    ("GET", "/v1/models"): ALL,
    ("GET", "/v1/models/{name}/capacity"): ALL,
    ("POST", "/v1/models"): ENGINEER,
    ("GET", "/v1/models/{name}"): ALL,
    ("POST", "/v1/models/{name}/refit"): ENGINEER,
    ("POST", "/v1/models/{name}/retire"): ENGINEER,
    ("POST", "/v1/models/{name}/audit"): CHECKER,
    ("GET", "/v1/models/{name}/releases"): ALL,
    ("POST", "/v1/models/{name}/predictions"): SERVING,
    ("GET", "/v1/models/{name}/releases/latest"): SERVING,
    ("GET", "/v1/models/{name}/releases/latest/export"): SERVING,
    ("POST", "/v1/rows"): ENGINEER,
    ("POST", "/v1/rows/rectify"): OPERATOR,
    ("GET", "/v1/jobs"): ALL,
    ("GET", "/v1/jobs/{number}"): ALL,
    ("POST", "/v1/jobs/{number}/cancel"): ALL,
    ("GET", "/v1/doctor"): CHECKER,
    ("POST", "/v1/doctor"): CHECKER,
    ("GET", "/v1/tokens"): CHECKER,
    ("DELETE", "/v1/tokens/{identity}"): ENGINEER,
    ("GET", "/v1/certificates/{number}"): PUBLIC,
    ("GET", "/v1/certificates"): PUBLIC,
    ("GET", "/v1/certificates/archive"): PUBLIC,
    ("GET", "/v1/suppressions"): ALL,
    ("POST", "/v1/suppressions"): OPERATOR,
    ("DELETE", "/v1/suppressions/{name}"): OPERATOR,
    ("GET", "/v1/log/checkpoint"): PUBLIC,
    ("GET", "/v1/log/export"): PUBLIC,
    ("POST", "/v1/log/compare"): PUBLIC,
    ("GET", "/v1/log/events"): PUBLIC,
    ("GET", "/v1/log/inclusion/{seq}"): PUBLIC,
    ("GET", "/v1/log/consistency"): PUBLIC,
    ("GET", "/v1/webhooks"): ENGINEER,
    ("POST", "/v1/webhooks"): ENGINEER,
    ("GET", "/v1/webhooks/{webhook}"): ENGINEER,
    ("DELETE", "/v1/webhooks/{webhook}"): ENGINEER,
    ("GET", "/v1/webhooks/{webhook}/deliveries"): ENGINEER,
    ("POST", "/v1/webhooks/{webhook}/test"): ENGINEER,
    ("POST", "/v1/webhooks/{webhook}/rotate"): ENGINEER,
    ("GET", "/v1/health"): ALL,
    ("GET", "/metrics"): ALL,
    ("GET", "/"): ALL,
    ("GET", "/requests"): ALL,
    ("GET", "/requests/new"): OPERATOR,
    ("POST", "/requests/preview"): OPERATOR,
    ("POST", "/requests"): OPERATOR,
    ("GET", "/requests/{identity}"): ALL,
    ("GET", "/requests/{identity}/path"): ALL,
    ("GET", "/requests/register.csv"): ALL,
    ("POST", "/requests/search"): OPERATOR,
    ("POST", "/requests/{identity}/cancel"): OPERATOR,
    ("POST", "/requests/{identity}/extend"): OPERATOR,
    ("POST", "/requests/{identity}/refuse"): OPERATOR,
    ("POST", "/requests/{identity}/approve"): OPERATOR,
    ("POST", "/requests/{identity}/note"): OPERATOR,
    ("POST", "/requests/{identity}/lift"): OPERATOR,
    ("GET", "/suppressions"): ALL,
    ("POST", "/suppressions"): OPERATOR,
    ("POST", "/suppressions/drop"): OPERATOR,
    ("GET", "/certificates"): ALL,
    ("GET", "/certificates/{number}"): ALL,
    ("GET", "/requests/{identity}/certificate"): ALL,
    ("GET", "/requests/{identity}/documents"): OPERATOR,
    ("POST", "/requests/{identity}/documents"): OPERATOR,
    ("POST", "/requests/letters"): OPERATOR,
    ("GET", "/log"): ALL,
    ("GET", "/log/{seq}"): ALL,
    ("POST", "/log/compare"): ALL,
    ("GET", "/webhooks"): ENGINEER,
    ("POST", "/webhooks"): ENGINEER,
    ("POST", "/webhooks/{webhook}/test"): ENGINEER,
    ("POST", "/webhooks/{webhook}/rotate"): ENGINEER,
    ("POST", "/webhooks/{webhook}/delete"): ENGINEER,
    ("GET", "/models"): ALL,
    ("GET", "/models/{name}"): ALL,
    ("POST", "/models/{name}"): CHECKER,
    ("POST", "/models/{name}/refit"): ENGINEER,
    ("POST", "/models/{name}/retire"): ENGINEER,
    ("GET", "/models/{name}/export/{form}"): ENGINEER,
    ("GET", "/jobs/{number}"): ALL,
    ("GET", "/jobs/{number}/state"): ALL,
    ("POST", "/jobs/{number}/cancel"): ALL,
    ("GET", "/audits"): CHECKER,
    ("POST", "/audits"): CHECKER,
    ("GET", "/audits/{number}"): ALL,
    ("GET", "/audits/{number}/verdict.json"): ALL,
    ("GET", "/audits/{number}/figure.svg"): ALL,
    ("GET", "/operation"): CHECKER,
    ("POST", "/operation/doctor"): CHECKER,
    ("POST", "/operation/tokens/{identity}/revoke"): ENGINEER,
}
OPEN = {
    ("GET", "/healthz"),
    ("GET", "/problems"),
    ("GET", "/problems/{name}"),
    ("GET", "/static/{name}"),
    ("GET", "/v1/keys"),
    ("POST", "/v1/verify"),
    ("GET", "/verify"),
    ("POST", "/verify"),
    ("POST", "/login"),
    ("POST", "/logout"),
}


def routes(app):
    for route in [
        *app.routes,
        *(route for router in (*api.routers, *pages.routers, webhooks.router, webhooks.page_router) for route in router.routes),
    ]:
        if isinstance(route, APIRoute):
            for method in route.methods - {"HEAD"}:
                yield method, route.path


def concrete(path: str) -> str:
    values = {
        "request_id": "r-0",
        "identity": "r-0",
        "name": "none",
        "number": "999",
        "seq": "1",
        "webhook": "w-0",
        "form": "json",
    }
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], path)


def test_every_route_is_in_the_matrix(app):
    assert set(routes(app)) == set(MATRIX) | OPEN


@pytest.mark.parametrize(("method", "path"), MATRIX, ids=" ".join)
def test_who_may_do_what(method, path, anybody, as_role, session):
    target = concrete(path)
    assert anybody.request(method, target).status_code == 401
    for role in sorted(PUBLIC):
        if path.startswith("/v1") or path == "/metrics":
            answer = as_role(role, method, target, **({"json": {}} if method == "POST" else {}))
        else:
            client, csrf = session(role)
            answer = client.request(
                method, target, **({"data": {"csrf": csrf, "subject": "nobody", "model": "none"}} if method == "POST" else {})
            )
        if role in MATRIX[method, path]:
            assert answer.status_code not in (401, 403) and answer.status_code < 500, answer.text
        else:
            assert answer.status_code == 403, (role, answer.text)


def test_the_evidence_is_for_those_who_may_see_the_data(as_role):
    assert as_role("auditor", "GET", "/v1/certificates/1?form=evidence").status_code == 200
    for form in ("evidence", "transcript"):
        refused = as_role("consumer", "GET", f"/v1/certificates/1?form={form}")
        assert refused.status_code == 403 and "distance" not in refused.text


def test_the_evidence_is_not_printed_with_a_certificate(logged_in):
    client, _csrf = logged_in("auditor")
    page = client.get("/certificates/1?tab=evidence").text
    printed = re.sub(r'<div class="no-print".*?</div>', "", page, flags=re.DOTALL)
    assert "distance bound" in page and "distance bound" not in printed and "spent" not in printed


def test_quality_is_for_those_who_may_see_the_data_and_in_no_published_place(as_role, logged_in):
    client, csrf = logged_in("engineer")
    assert 'href="/models/churn"' in client.get("/models").text
    assert "Measure now" in client.get("/models/churn").text
    page = client.post("/models/churn", data={"csrf": csrf}).text
    assert "without noise" in page and "Do not publish it" in page and "What each column adds" in page
    assert page.count("<svg") == 4 and not re.search(r"<style|\sstyle=|<script(?![^>]*src=)|https?://", page)
    assert client.post("/models/churn", data={"csrf": "wrong"}).status_code == 403
    assert client.get("/models/none").status_code == client.post("/models/none", data={"csrf": csrf}).status_code == 404
    operator, _csrf = logged_in("operator")
    assert 'href="/models/churn"' not in operator.get("/").text
    for path in ("/v1/models/churn/releases/latest", "/v1/certificates/1", "/v1/log/events"):
        assert not re.search("accuracy|null|noiseless|held.out", as_role("consumer", "GET", path).text.replace("null,", "")), (
            path
        )


def test_a_form_needs_its_csrf_token(logged_in):
    client, csrf = logged_in("operator")
    for wrong in ({}, {"csrf": ""}, {"csrf": csrf[:-1]}, {"csrf": logged_in("operator")[1]}):
        assert client.post("/requests", data={"draft": "none", **wrong}).status_code == 403
    assert client.post("/v1/requests", json={"subject": "nobody"}).status_code == 403  # a session at the API needs it too
    header = {"X-CSRF-Token": csrf}
    assert client.post("/v1/requests", json={"subject": "nobody"}, headers=header).status_code == 422


def test_the_cookie_is_kept_from_scripts_and_other_sites(anybody, token):
    cookie = anybody.post("/login", data={"token": token["operator"]}).headers["set-cookie"]
    anybody.cookies.clear()
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/" in cookie
    assert token["operator"] not in cookie


def test_over_https_the_cookie_and_the_headers_demand_it(found, token):
    with TestClient(create_app(found, is_secure=True, every=60), base_url="https://testserver") as client:
        answer = client.post("/login", data={"token": token["operator"]}, follow_redirects=False)
        assert "Secure" in answer.headers["set-cookie"]
        assert "max-age" in answer.headers["strict-transport-security"]


def test_a_forged_or_old_session_opens_nothing(found, app, monkeypatch, token):
    mine, other = app.state.access, access.AccessControl(found.storage, b"another secret", is_secure=False)
    with found.storage.database.reading() as connection:
        holder = tokens.by_id(connection, token["operator"].split("_")[1])
    client = TestClient(app)
    for cookie in ("nonsense", other.start(holder)):
        client.cookies.set(mine.cookie, cookie)
        assert client.get("/").status_code == 401
    client.cookies.set(mine.cookie, mine.start(holder))
    assert client.get("/").status_code == 200
    monkeypatch.setattr(access, "SESSION_SECONDS", -1)
    assert client.get("/").status_code == 401


def test_logging_out(logged_in):
    client, csrf = logged_in("operator")
    assert client.post("/logout", data={"csrf": csrf}).status_code == 303
    assert client.get("/").status_code == 401


def test_a_revoked_token_opens_nothing(found, monkeypatch):
    monkeypatch.setattr(tokenbook, "SECONDS", 0.0)
    with TestClient(create_app(found, every=60)) as client:
        with found.storage.database.writing() as connection:
            mine = tokens.issue(connection, "Bob", "auditor")
        headers = {"Authorization": f"Bearer {mine}"}
        assert client.get("/v1/models", headers=headers).status_code == 200
        client.post("/login", data={"token": mine})
        assert client.get("/").status_code == 200
        with found.storage.database.writing() as connection:
            assert tokens.revoke(connection, mine.split("_")[1])
        assert client.get("/").status_code == 401
        client.cookies.clear()
        assert client.get("/v1/models", headers=headers).status_code == 401


def test_tokens_are_kept_as_hashes(found, token):
    for path in found.storage.path.glob("ledger.sqlite*"):
        content = path.read_bytes()
        assert all(value.split("_", 2)[2].encode() not in content for value in token.values())


def test_guessing_tokens_is_slowed_down(found, one_minute):
    with TestClient(create_app(found, every=60)) as client:
        codes = [client.post("/login", data={"token": f"exp_0_{i}"}).status_code for i in range(access.FAILURES + 5)]
    assert codes[: access.FAILURES] == [401] * access.FAILURES
    assert set(codes[access.FAILURES :]) == {429}


def test_there_is_a_limit_a_minute(found, token, monkeypatch, one_minute):
    monkeypatch.setattr(access, "REQUESTS", 5)
    with TestClient(create_app(found, every=60)) as client:
        headers = {"Authorization": f"Bearer {token['auditor']}"}
        codes = [client.get("/v1/models", headers=headers).status_code for _ in range(8)]
    assert codes == [200] * 5 + [429] * 3


def test_pages_are_strict(anybody, logged_in):
    client, _csrf = logged_in("operator")
    for path in ("/", "/requests", "/requests/new", "/certificates", "/certificates/1", "/login", "/v1/models"):
        answer = client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert answer.headers["x-frame-options"] == "DENY" and answer.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r"<script(?![^>]*src=)|\son\w+=|\sstyle=|https?://(?!www\.w3\.org|in-toto\.io/)", answer.text), (
            path
        )


def test_pages_are_not_kept(logged_in):
    client, _csrf = logged_in("operator")
    for path in ("/", "/requests", "/certificates/1"):
        assert client.get(path).headers["cache-control"] == "no-store"


def test_static_files_come_from_the_package(anybody):
    for name in ("style.css", "htmx.min.js"):
        assert anybody.get(f"/static/{name}").status_code == 200
    for name in ("none.js", "..%2Fapp.py", "../app.py"):
        assert anybody.get(f"/static/{name}").status_code == 404


def test_what_people_write_is_shown_as_text(tmp_path):
    found = workspace(tmp_path)
    with found.storage.database.writing() as connection:
        mine = tokens.issue(connection, "<script>alert(1)</script>", "operator")
    with TestClient(create_app(found, every=60)) as client:
        client.post("/login", data={"token": mine})
        page = client.get("/").text
        csrf = re.search(r'name="csrf" value="([^"]+)"', page)[1]
        shown = client.post("/requests/preview", data={"csrf": csrf, "subject": '"><img src=x>', "column": "<b>"}).text
        draft = re.search(r'name="draft" value="([^"]+)"', shown)[1]
        asked = client.post("/requests", data={"csrf": csrf, "draft": draft}).text
    assert "<script>alert" not in page and "&lt;script&gt;" in page
    assert "<img src=x>" not in shown + asked and "&lt;img src=x&gt;" in asked and "<b>" not in shown


def test_no_subject_in_logs_or_urls(found, app, as_role, caplog, tmp_path):
    with caplog.at_level(logging.DEBUG):
        as_role("operator", "POST", "/v1/requests", json={"subject": "person-77"})
        as_role("operator", "POST", "/v1/requests/bulk", json={"subjects": ["person-78", "nobody-79"]})
        as_role("operator", "POST", "/v1/requests", json={"subject": "nobody-80"}, headers={"Idempotency-Key": "k"})
    for needle in ("person-77", "person-78", "nobody-79", "nobody-80"):
        assert needle not in caplog.text
    assert not any("subject" in path for _method, path in routes(app))


@pytest.mark.parametrize(("host", "is_refused"), [("0.0.0.0", True), ("192.0.2.1", True), ("example.org", True)])
def test_it_does_not_listen_beyond_this_machine_without_tls(host, is_refused, found):
    done = CliRunner().invoke(command_line, ["serve", "--host", host, "-w", str(found.storage.path)])
    assert done.exit_code == 1 and "can be reached from other machines" in " ".join(done.stderr.split())

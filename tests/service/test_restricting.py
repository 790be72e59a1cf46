"""Restriction of processing over HTTP, with the client, and on the pages: asked for, carried out, shown, lifted."""

import pytest
from fastapi.testclient import TestClient

from expunge.client import Client, Refused, ServiceProblem
from expunge.ledger import tokens
from expunge.service.app import create_app
from tests.service.test_api import wait_for
from tests.service.test_casework import PEOPLE, Desk, text
from tests.workspace.people import workspace


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A service with one model that works requests at once."""
    found = workspace(tmp_path_factory.mktemp("restricting"), models=False)
    found.fit("spend", "spend", model="ridge", sigma=0.05)
    with found.storage.database.writing() as connection:
        token = {name: tokens.issue(connection, name, role) for name, role in PEOPLE.items()}
    with TestClient(create_app(found, every=0.1), follow_redirects=False) as client:
        yield Desk(client, token)


def test_with_the_client(desk):
    client = Client("", desk.token["Ann"], http=desk.client)
    asked = client.restrict("person-1", ground="claims", reference="A-1", channel="letter")
    held = client.wait_closed(asked["request"], every=0.05)
    assert (held["kind"], held["state"], held["ground"], held["lifted"]) == ("restrict", "restricted", "claims", None)
    assert held["certificates"] and client.restrict("person-1")["request"] == asked["request"]
    shown = client.show("person-1")
    assert shown["models"] == [] and shown["rows"] and shown["restrictions"][0]["state"] == "restricted"
    assert [row["id"] for row in client.requests(kind="restrict", state="restricted")] == [asked["request"]]
    with pytest.raises(ServiceProblem, match="told before"):
        client.calls.call("POST", f"/v1/requests/{asked['request']}/lift", body={"reason": "claims-over", "informed": False})
    client.lift(asked["request"], "claims-over")
    assert wait_for(lambda: client.request(asked["request"])["state"] == "lifted")
    assert client.request(asked["request"])["reason"] == "claims-over" and client.request(asked["request"])["lifted"]
    assert [model["model"] for model in client.show("person-1")["models"]] == ["spend"]
    with pytest.raises(Refused) as refused:
        client.lift(asked["request"], "claims-over")
    assert refused.value.reason == "nothing-to-lift"


def test_what_the_api_refuses(desk):
    wrong = desk.call("Ann", "POST", "/requests", json={"subject": "person-2", "ground": "claims"})
    assert wrong.status_code == 422 and "belongs to a restriction" in wrong.json()["detail"]
    assert desk.call("Ann", "POST", "/requests", json={"subject": "person-2", "kind": "rectify"}).status_code == 422
    assert desk.call("Eve", "POST", "/requests/r-1/lift", json={"reason": "other", "informed": True}).status_code == 403
    assert desk.call("Ann", "POST", "/requests/r-1/lift", json={"reason": "other", "informed": True}).status_code == 404
    first, second = desk.call(
        "Ann", "POST", "/requests/bulk", json={"subjects": ["person-3", "nobody"], "kind": "restrict"}
    ).json()
    assert first["receipt"] and second["reason"] == "unknown-subject"


def test_on_the_pages(desk):
    form = {"subject": "person-5", "kind": "restrict", "ground": "accuracy", "channel": "letter"}
    shown = desk.send("Ann", "/requests/preview", form)
    assert "1 of 1 is to be restricted" in text(shown) and "No model has them until the restriction is lifted" in text(shown)
    draft = shown.text.partition('name="draft" value="')[2].partition('"')[0]
    made = text(desk.send("Ann", "/requests", {"draft": draft}))
    request = made[made.index("r-") :].partition(" ")[0].rstrip(",.")
    page = f"/requests/{request}"
    assert wait_for(lambda: "restricted since" in desk.get("Ann", page).text)
    said = text(desk.get("Ann", page))
    assert "The rows are stored, and no model has them" in said and "contests that the data are accurate" in said
    assert "Processing restricted: every model has forgotten the rows" in said
    assert "1 restriction of processing stands" in text(desk.get("Ann", "/")) or "restrictions of processing stand" in text(
        desk.get("Ann", "/")
    )
    assert request in desk.get("Ann", "/requests?state=restricted&kind=restrict").text
    assert "Processing is restricted since" in text(desk.send("Ann", "/people", {"subject": "person-5"}))
    certificate = text(desk.get("Ann", f"{page}/certificate"))
    assert "Certificate that the processing of your data is restricted" in certificate and "deleted" not in certificate
    letter = text(desk.send("Ann", f"{page}/documents", {"subject": "person-5", "form": "letter"}))
    assert "We will tell you before we lift the restriction" in letter and "erased" not in letter
    refused = desk.send("Ann", f"{page}/lift", {"reason": "settled"})
    assert refused.status_code == 422 and "must be told before" in refused.text and 'aria-invalid="true"' in refused.text
    assert desk.send("Ann", f"{page}/lift", {"reason": "settled", "confirm": "yes"}).status_code == 303
    assert wait_for(lambda: "Every model has learned the rows again" in desk.get("Ann", page).text)
    said = text(desk.get("Ann", page))
    assert "is decided" in said and "Lift the restriction" not in said
    assert "has ended" in text(desk.send("Ann", f"{page}/documents", {"subject": "person-5", "form": "letter"}))
    assert "Processing is restricted" not in text(desk.send("Ann", "/people", {"subject": "person-5"}))


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"kind": "forget", "ground": "claims"}, "A ground belongs to a restriction"),
        ({"kind": "restrict", "ground": "weather"}, "The ground must be one of"),
        ({"kind": "rectify"}, "Choose what is asked for"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_keeps_what_was_typed(form, says, desk):
    answer = desk.send("Ann", "/requests/preview", {"subject": "person-9", **form})
    assert answer.status_code == 422 and says in text(answer) and "person-9" in answer.text

"""Suppression lists over HTTP and on their page: imported, listed, lifted; what is wrong is said without quoting it."""

import hashlib

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from expunge.client import Client
from expunge.ledger import tokens
from expunge.service.app import create_app
from tests.service.test_casework import Desk, text
from tests.workspace.people import people, with_mail, workspace

MAIL = "sha256(lower(mail))"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """The service of a workspace whose e-mail addresses can be matched, and the workspace."""
    found = workspace(tmp_path_factory.mktemp("suppressions"), models=False, table=with_mail(people()), hashed=(MAIL,))
    with found.storage.database.writing() as connection:
        token = tokens.issue(connection, "Ann", tokens.Role.OPERATOR)
    with found.storage.database.writing() as connection:
        others = {name: tokens.issue(connection, name, role) for name, role in (("Eve", "engineer"), ("Olga", "auditor"))}
    with TestClient(create_app(found, every=0.1), follow_redirects=False) as client:
        yield Desk(client, {"Ann": token, **others}), found


@pytest.fixture
def served(desk):
    """``served(method, path, …)``: a call by an operator."""
    made, _found = desk
    bearing = {"Authorization": f"Bearer {made.token['Ann']}"}
    return lambda method, path, **how: made.client.request(method, path, headers=bearing, **how)


def test_a_list_is_imported_listed_and_lifted(served):
    asked = {"name": "drop-1", "column": "mail", "entries": [sha256("person-1@example.org"), sha256("nobody@example.org")]}
    first = served("POST", "/v1/suppressions", json=asked).json()
    assert (first["column"], first["entries"], first["new"], first["unmatched"], first["several"]) == (MAIL, 2, 2, 1, 0)
    (answer,) = first["answers"]
    assert answer["state"] == "accepted" and answer["receipt"]
    assert served("GET", f"/v1/requests/{answer['request']}").status_code == 200
    assert served("POST", "/v1/suppressions", json=asked).json()["new"] == 0
    (kept,) = served("GET", "/v1/suppressions").json()["items"]
    assert (kept["name"], kept["column"], kept["entries"], kept["matched"], kept["applied"]) == ("drop-1", MAIL, 2, 1, None)
    assert kept["actor"] and kept["imported"]
    assert served("DELETE", "/v1/suppressions/drop-1").status_code == 204
    assert served("DELETE", "/v1/suppressions/drop-1").status_code == 404
    assert served("GET", "/v1/suppressions").json()["items"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"entries": ["person-2@example.org"]},
        {"column": "who"},
        {"normalised": "exact"},
        {"hash": "crc32"},
        {"name": "Drop 1"},
        {"entries": []},
    ],
    ids=str,
)
def test_a_list_that_cannot_be_is_422(wrong, served):
    asked = {"name": "drop-2", "column": "mail", "entries": [sha256("person-2@example.org")], **wrong}
    answer = served("POST", "/v1/suppressions", json=asked)
    assert answer.status_code == 422 and "person-2@example.org" not in answer.json()["detail"]
    assert served("GET", "/v1/suppressions").json()["items"] == []


def test_with_the_client(desk, tmp_path):
    made, found = desk
    client = Client("", made.token["Ann"], http=made.client)
    done = client.suppress("drop-3", "mail", [sha256("late@example.org")])
    assert (done["new"], done["unmatched"], done["answers"]) == (1, 1, [])
    (kept,) = client.suppressions()
    assert (kept["matched"], kept["applied"]) == (0, None)
    rows = people(1, 1, seed=3).set_column(0, "who", [["late"]]).append_column("mail", [["Late@example.org"]])
    pq.write_table(rows, tmp_path / "late.parquet")
    assert found.append(str(tmp_path / "late.parquet")).arrived.suppressed == 1
    assert client.suppressions()[0]["applied"] is not None
    client.lift_suppressions("drop-3")
    assert client.suppressions() == []


def test_on_the_page(desk):
    made, _found = desk
    assert "No list is kept" in text(made.get("Ann", "/suppressions"))
    listed = f"kind,digest\nmail,{sha256('person-7@example.org')}\nmail,{sha256('nobody@example.org')}\n"
    form = {"name": "drop-7", "hashed": MAIL, "column": "digest"}
    shown = made.send("Ann", "/suppressions", form, files={"upload": ("drop.csv", listed, "text/csv")})
    said = text(shown)
    assert shown.status_code == 201 and "drop-7 is imported" in said and "2 hashes, 2 of them new" in said
    assert "1 stands for somebody here: 1 request was made" in said and "1 stands for nobody here; it is kept" in said
    kept = shown.text.partition('name="kept" value="')[2].partition('"')[0]
    letters = made.send("Ann", "/requests/letters", {"kept": kept})
    assert letters.status_code == 200 and letters.headers["content-type"] == "application/zip"
    for who in ("Ann", "Olga", "Eve"):
        said = text(made.get(who, "/suppressions"))
        assert f"drop-7 {MAIL} 2 1 " in said and ", by Ann no rows have come since" in said
        assert ("Import a list" in said) == (who == "Ann")
    refused = made.send("Ann", "/suppressions/drop", {"name": "drop-7"})
    assert refused.status_code == 422 and "Tick the box" in refused.text
    assert made.send("Ann", "/suppressions/drop", {"name": "drop-7", "confirm": "yes"}).status_code == 303
    assert "No list is kept" in text(made.get("Ann", "/suppressions"))
    made.who = None
    made.client.cookies.clear()


@pytest.mark.parametrize(
    ("form", "content", "says"),
    [
        ({"name": "drop-8", "hashed": MAIL}, "person-2@example.org", "Line 1 is not a sha256 hash"),
        ({"name": "Drop 8", "hashed": MAIL}, sha256("x"), "A list&#39;s name is made of"),
        ({"name": "drop-8", "hashed": "md5(lower(mail))"}, sha256("x"), "Choose which hash the list states"),
        ({"name": "drop-8", "hashed": MAIL}, "", "Choose the file with the hashes"),
        ({"name": "drop-8", "hashed": MAIL, "column": "digest"}, "a,b\n1,2\n", "digest"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_file_is_said_on_the_page(form, content, says, desk):
    made, found = desk
    answer = made.send("Ann", "/suppressions", form, files={"upload": ("drop.txt", content, "text/plain")})
    assert answer.status_code == 422 and says in answer.text and "person-2@example.org" not in answer.text
    assert f'value="{form["name"]}"' in answer.text and found.suppression.lists() == []
    made.who = None
    made.client.cookies.clear()

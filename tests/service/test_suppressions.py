"""Suppression lists over HTTP: imported, listed, lifted; what is wrong with a list is said without quoting it."""

import hashlib

import pytest
from fastapi.testclient import TestClient

from expunge.ledger import tokens
from expunge.service.app import create_app
from tests.workspace.people import people, with_mail, workspace

MAIL = "sha256(lower(mail))"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """``served(method, path, …)``: a call by an operator of a workspace whose e-mail addresses can be matched."""
    found = workspace(tmp_path_factory.mktemp("suppressions"), models=False, table=with_mail(people()), hashed=(MAIL,))
    with found.storage.database.writing() as connection:
        token = tokens.issue(connection, "Ann", tokens.Role.OPERATOR)
    with TestClient(create_app(found, every=0.1)) as client:
        yield lambda method, path, **how: client.request(method, path, headers={"Authorization": f"Bearer {token}"}, **how)


def test_a_list_is_imported_listed_and_lifted(served):
    asked = {"name": "drop-1", "column": "mail", "entries": [sha256("person-1@example.org"), sha256("nobody@example.org")]}
    first = served("POST", "/v1/suppressions", json=asked).json()
    assert (first["column"], first["entries"], first["new"], first["unmatched"], first["several"]) == (MAIL, 2, 2, 1, 0)
    (answer,) = first["answers"]
    assert answer["state"] == "accepted" and answer["receipt"]
    assert served("GET", f"/v1/requests/{answer['request']}").status_code == 200
    assert served("POST", "/v1/suppressions", json=asked).json()["new"] == 0
    (kept,) = served("GET", "/v1/suppressions").json()["items"]
    assert (kept["name"], kept["column"], kept["entries"]) == ("drop-1", MAIL, 2)
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

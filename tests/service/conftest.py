"""A running service on a workspace of its own, and clients with a token of each role."""

import functools
import re
import time
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient

from expunge.client import Client
from expunge.ledger import tokens
from expunge.service import tallies
from expunge.service.app import create_app
from tests.workspace.people import workspace


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return workspace(tmp_path_factory.mktemp("service"))


@pytest.fixture(scope="module")
def app(found):
    return create_app(found, every=0.1)


@pytest.fixture(scope="module")
def anybody(app):
    with TestClient(app, follow_redirects=False) as client:
        yield client


@pytest.fixture(scope="module")
def token(found):
    with found.storage.database.writing() as connection:
        return {role: tokens.issue(connection, f"Ann the {role}", role) for role in tokens.Role}


@pytest.fixture(scope="module")
def as_role(anybody, token):
    """``as_role(role, method, path, …)``: a call with that role's token."""

    def call(role, method, path, **kwargs):
        headers = {"Authorization": f"Bearer {token[role]}", **kwargs.pop("headers", {})}
        return anybody.request(method, path, headers=headers, **kwargs)

    return call


@pytest.fixture(scope="module")
def logged_in(anybody, token):
    """``logged_in(role)``: a client with a new session of that role, and its CSRF token; a consumer sees no page, and so gets
    none."""

    def log_in(role):
        client = TestClient(anybody.app, follow_redirects=False)
        answer = client.post("/login", data={"token": token[role]})
        assert answer.status_code == 303
        shown = re.search(r'name="csrf" value="([^"]+)"', client.get("/").text)
        return client, shown[1] if shown else ""

    return log_in


@pytest.fixture(scope="module")
def session(logged_in):
    """``session(role)``: the same, with one session for all who ask."""
    return functools.cache(logged_in)


@pytest.fixture(scope="module")
def desk(anybody, token):
    """``desk(role)``: a client in Python with that role's token."""
    return lambda role: Client("", token[role], http=anybody)


@pytest.fixture(scope="module")
def closed(desk):
    """``closed(request)``: a request once it is closed."""
    return lambda request: desk("operator").wait_closed(request, every=0.05, seconds=60.0)


@pytest.fixture(scope="module")
def ended(desk):
    """``ended(role, path, …)``: the job that this role starts so, once it has ended; see ``Client.start``."""

    def ended(role, path, **wanted):
        answer = desk(role).calls.call("POST", f"/v1/{path}", body=wanted)
        assert answer.status_code == 202, answer.text
        return desk(role).wait(answer.json(), every=0.05, seconds=120.0)

    return ended


@pytest.fixture
def one_minute(monkeypatch):
    """Of what is counted by the minute in this process everything falls into one."""
    monkeypatch.setattr(tallies, "time", SimpleNamespace(time=lambda: 30.0))


@pytest.fixture
def early_in_a_minute():
    """There are 20 seconds left of the minute in which another process counts."""
    left = 60.0 - time.time() % 60.0
    if left < 20.0:
        time.sleep(left + 0.1)

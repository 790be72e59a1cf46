"""A running service on a workspace of its own, and clients with a token of each role."""

import time

import pytest
from fastapi.testclient import TestClient

from expunge.ledger import tokens
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
def ended(as_role):
    """``ended(answer)``: the job that an answer 202 names, once it has ended."""

    def ended(answer):
        assert answer.status_code == 202, answer.text
        until = time.monotonic() + 120.0
        while (job := as_role("auditor", "GET", answer.headers["Location"]).json())["ended"] is None:
            assert time.monotonic() < until, job
            time.sleep(0.05)
        return job

    return ended

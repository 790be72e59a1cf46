"""Texts that a database may not keep, in every field of every operation and page, on both databases: never an answer 5xx."""

import copy
import re

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from expunge.ledger import tokens
from expunge.service import access, pages, webhooks
from expunge.service.app import create_app
from expunge.service.routing import IDS, admission_of
from tests.conftest import SOAK
from tests.workspace.people import workspace

LETTERS = ["\0", "a", "é", "\u202e", "💥", "\x7f", "%", "'", '"', "\\", "\n", "<", "\ufffd", "ı"]
TEXTS = st.text(st.sampled_from(LETTERS), max_size=8)
SOME = settings(max_examples=2 * SOAK, database=None, deadline=None, suppress_health_check=list(HealthCheck))
NUL = "a\0b"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(request, tmp_path_factory):
    url = None if request.param == "sqlite" else request.getfixturevalue("postgresql").new_database()
    found = workspace(tmp_path_factory.mktemp("texts"), models=False, database=url)
    with found.storage.database.writing() as connection:
        token = {role: tokens.issue(connection, role, role) for role in tokens.Role}
    kept = access.FAILURES, access.OPEN_CALLS
    access.FAILURES = access.OPEN_CALLS = 10**9
    with TestClient(create_app(found, every=60), raise_server_exceptions=False, follow_redirects=False) as client:
        yield client, token
    access.FAILURES, access.OPEN_CALLS = kept


@pytest.fixture(scope="module")
def sessions(served):
    """By role, the cookies of somebody who has logged in, and the CSRF token."""
    client, token = served
    made = {}
    for role in ("operator", "engineer", "auditor"):
        client.cookies.clear()
        client.post("/login", data={"token": token[role]})
        csrf = re.search(r'name="csrf" value="([^"]+)"', client.get("/").text)[1]
        made[role] = dict(client.cookies), csrf
    return made


def fields(value, path=()):
    """The paths to all texts in an example."""
    if isinstance(value, str):
        yield path
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from fields(inner, (*path, name))


def changed(value, path, text):
    """``value`` with another text at ``path``."""
    result = inner = copy.deepcopy(value)
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = text
    return result


def escaped(text):
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def calls(document, text):
    """Every operation with ``text`` in one place: a parameter of its path or query, a header, or a field of its body."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            roles = operation["x-roles"] or ["consumer"]
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            sent = body.get("example", next(iter(body.get("examples", {None: {"value": None}}).values()))["value"])
            plain = re.sub(r"\{\w+\}", "1", path)
            for name in re.findall(r"\{(\w+)\}", path):
                target = re.sub(r"\{\w+\}", "1", path.replace(f"{{{name}}}", escaped(text) or "1"))
                yield method, target, roles[0], sent, {}, False
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query":
                    yield method, f"{plain}?{parameter['name']}={escaped(text)}", roles[0], sent, {}, False
                if parameter["in"] == "header":
                    yield method, plain, roles[0], sent, {parameter["name"]: text.encode("utf-8", "surrogatepass")}, False
            for where in fields(sent):
                yield method, plain, roles[0], changed(sent, where, text), {}, where[0] in IDS


class TestAnyText:
    @SOME
    @given(text=TEXTS)
    @example(text=NUL)
    def test_in_the_api(self, served, text):
        client, token = served
        for method, path, role, body, headers, is_id in calls(client.app.openapi(), text):
            if not (headers and re.search(rb"[\x00-\x1f\x7f]", next(iter(headers.values())))):  # no client can send these
                headers = {"Authorization": f"Bearer {token[role]}", **headers}
                answer = client.request(method, path, json=body, headers=headers)
                assert answer.status_code < 500, (method, path, answer.text)
                assert "\0" not in text or is_id or answer.status_code >= 400, (method, path, body)

    @SOME
    @given(text=TEXTS)
    @example(text=NUL)
    def test_on_pages(self, served, sessions, text):
        client, _token = served
        for route in [route for router in (*pages.routers, webhooks.page_router) for route in router.routes]:
            assert isinstance(route, APIRoute)
            admission = admission_of(route.dependant)
            if route.path in ("/login", "/logout"):
                continue
            client.cookies, csrf = sessions["engineer" if admission is None else admission.roles[0]]
            names = {field.alias for part in [route.dependant, *route.dependant.dependencies] for field in part.body_params}
            for target in (escaped(text) or "1", "1"):
                for method in route.methods:
                    sent = {"csrf": csrf, **dict.fromkeys(names, text)} if method == "POST" else None
                    answer = client.request(method, re.sub(r"\{\w+\}", target, route.path), data=sent)
                    assert answer.status_code < 500, (route.path, method)
                    assert "\0" not in text or not (sent and names) or answer.status_code >= 400, (route.path, method)

    @SOME
    @given(text=TEXTS)
    def test_in_what_anybody_sends(self, served, text):
        client, _token = served
        client.cookies.clear()
        name = client.app.state.access.cookie
        for headers in ({"Authorization": f"Bearer {text}".encode()}, {"Cookie": f"{name}={text}".encode()}):
            if not re.search(rb"[\x00-\x1f\x7f]", next(iter(headers.values()))):
                assert client.get("/v1/models", headers=headers).status_code == 401
        for data in ({"token": text}, {"token": "x", "next": text}, {"token": "x", f"kept.{text}": text}):
            assert client.post("/login", data=data).status_code == (422 if "\0" in text else 401)
        assert client.get(f"/{escaped(text)}").status_code < 500

"""The OpenAPI document is what the API does: schemathesis tries what it allows, and what it does not."""

import itertools
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from expunge.ledger import tokens
from expunge.service import access
from expunge.service.app import create_app
from tests.conftest import SOAK
from tests.workspace.people import workspace


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    access.FAILURES, kept = 10**9, access.FAILURES
    found = workspace(tmp_path_factory.mktemp("openapi"))
    app = create_app(found, every=0.5)
    with found.storage.database.writing() as connection:
        app.state.test_tokens = {role: tokens.issue(connection, role, role) for role in tokens.Role}
    with TestClient(app):
        yield app
    access.FAILURES = kept


CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


def modes(operation):
    """What can be sent: also what is not allowed, except to an operation that takes nothing, not even a token."""
    document = operation.definition.raw
    takes = [*document.get("parameters", []), *document.get("requestBody", {}), *document.get("security", ["token"])]
    return (GenerationMode.POSITIVE, GenerationMode.NEGATIVE) if takes else (GenerationMode.POSITIVE,)


def test_whatever_is_sent(served):
    found: Any = schemathesis.openapi.from_asgi("/v1/openapi.json", served).get_all_operations()
    operations = [one.ok() for one in found]
    assert len(operations) > 15
    roles = tuple(served.state.test_tokens.values())
    together = [roles] if SOAK > 1 else list(itertools.combinations(roles, 2))  # who sends the same, one after the other
    for operation in operations:
        for mode in modes(operation):

            @settings(max_examples=10 * SOAK, database=None)
            @given(case=operation.as_strategy(generation_mode=mode), callers=st.sampled_from(together))
            def whatever(case, callers):
                for token in callers:
                    case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=CHECKS)

            whatever()


def test_it_is_openapi_3_1(served):
    document = served.openapi()
    assert document["openapi"].startswith("3.1")
    assert document["security"] == [{"token": []}]
    for path, operations in document["paths"].items():
        assert path.startswith("/v1/")
        for operation in operations.values():
            assert operation["description"], path

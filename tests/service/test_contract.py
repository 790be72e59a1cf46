"""The contract of the API: whatever operation there is has a name, types, examples, roles, headers and problems."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema_rs
import pytest

from expunge.service.contract import HEADERS
from expunge.service.problem_types import OF_STATUS, TYPES

OPEN = {"GET /v1/keys", "POST /v1/verify"}
CAMEL = re.compile(r"[a-z]+([A-Z][a-z0-9]*)*")


@pytest.fixture(scope="module")
def document(app):
    return app.openapi()


@pytest.fixture(scope="module")
def operations(document):
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def resolved(document, part):
    while "$ref" in part:
        _hash, *names = part["$ref"].split("/")
        part = document
        for name in names:
            part = part[name]
    return part


def schemas_of(operation, document):
    """The schemas of what an operation takes and gives, each with where it is."""
    for where, part in [("body", operation.get("requestBody", {})), *operation["responses"].items()]:
        for kind, content in resolved(document, part).get("content", {}).items():
            if "json" in kind:
                yield where, content  # other files have no type


def free(document, schema, seen=()):
    """Whether anything may stand where ``schema`` does, of which a generated client then knows nothing."""
    if "$ref" in schema:
        name = schema["$ref"]
        return name not in seen and free(document, resolved(document, schema), (*seen, name))
    for kind in ("anyOf", "oneOf", "allOf"):
        if kind in schema:
            return any(free(document, choice, seen) for choice in schema[kind])
    if schema.get("type") == "array":
        return free(document, schema.get("items", {}), seen)
    if schema.get("type") == "object":
        parts = list(schema.get("properties", {}).values())
        others = schema.get("additionalProperties", not parts)
        return others is True or any(
            free(document, part, seen) for part in [*parts, *([others] if isinstance(others, dict) else [])]
        )
    return not ({"type", "enum", "const"} & set(schema))


def test_every_operation_is_named_described_and_for_somebody(operations, document):
    assert len(operations) > 30
    names = [operation["operationId"] for operation in operations.values()]
    assert len(set(names)) == len(names) and all(map(CAMEL.fullmatch, names))
    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    for name, operation in operations.items():
        assert operation["summary"] and operation["description"].startswith(operation["summary"][:20]), name
        assert operation["tags"] and all(tags[tag] != tag for tag in operation["tags"]), name
        assert bool(operation["x-roles"]) == (name not in OPEN) == ("security" not in operation), name


def test_every_body_and_answer_has_a_type_and_an_example_of_it(operations, document):
    kept = {"components": document["components"]}
    for name, operation in operations.items():
        for where, content in schemas_of(operation, document):
            assert not free(document, content["schema"]), (name, where)
            assert {"example", "examples"} & set(content), (name, where)
            shown = [content["example"]] if "example" in content else [one["value"] for one in content["examples"].values()]
            validator = jsonschema_rs.Draft202012Validator({**content["schema"], **kept})
            for each in shown:
                assert validator.is_valid(each), (name, where, each, next(validator.iter_errors(each)).message)


def test_every_answer_has_its_headers(operations, document):
    for name, operation in operations.items():
        for status, answer in operation["responses"].items():
            headers = set(resolved(document, answer).get("headers", {}))
            wanted = {"RateLimit", "RateLimit-Policy"} if status != "401" else {"WWW-Authenticate"}
            wanted = set() if name in OPEN else wanted
            is_json = any("json" in kind for kind in resolved(document, answer).get("content", {}))
            wanted |= {"ETag"} if name.startswith("GET") and status == "200" and is_json else set()
            wanted |= {"Location"} if status in ("201", "202") else set()
            wanted |= {"Retry-After"} if status in ("429", "503") else set()
            assert wanted <= headers <= set(HEADERS), (name, status)
            assert "ETag" not in wanted or "304" in operation["responses"], name
        assert {"400", "422", "429", "500", "503"} <= set(operation["responses"]), name
        assert ({"401", "403"} <= set(operation["responses"])) == (name not in OPEN), name


def test_every_problem_has_a_type_that_says_what_to_do(anybody, document):
    for name, kind in TYPES.items():
        assert re.fullmatch("[a-z]+(-[a-z]+)*", name) and OF_STATUS[kind.status] in TYPES
        page = anybody.get(f"/problems/{name}")
        assert page.status_code == 200 and html.escape(kind.title).replace("&#x27;", "&#39;") in page.text
    assert anybody.get("/problems/none").status_code == 404
    enum = document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    assert enum == [f"/problems/{name}" for name in TYPES]


FILLED = {"request_id": "r-0", "name": "churn", "number": "1", "seq": "1", "webhook": "w-0", "identity": "0"}
REFUSED = {"/v1/certificates/{number}": "?form=dsse"}


def role_of(operation):
    return next(iter(operation["x-roles"]), "consumer")


def target_of(name):
    path = name.split()[1]
    return re.sub(r"\{(\w+)\}", lambda match: FILLED.get(match[1], "1"), path)


def test_every_get_has_a_head_and_an_etag(operations, as_role):
    for name, operation in operations.items():
        if not name.startswith("GET"):
            continue
        query = "?earlier=1&later=2" if "consistency" in name else ""
        role, target = role_of(operation), target_of(name) + query
        got, head = as_role(role, "GET", target), as_role(role, "HEAD", target)
        assert head.status_code == got.status_code and head.content == b"", name
        assert set(head.headers) == set(got.headers), name
        if got.status_code == 200 and "json" in got.headers["content-type"]:
            assert "etag" in got.headers, name
            tag = got.headers["etag"]
            again = as_role(role, "GET", target, headers={"If-None-Match": f'"other", W/{tag}'})
            assert again.status_code in (200, 304) and (again.headers["etag"] != tag or not again.content), name


def test_every_operation_refuses_what_it_does_not_know(operations, as_role, anybody):
    wrong = {"?unknown=1": "unknown-parameter", "?limit=%00": "invalid-text", "?limit=%ff": "invalid-text"}
    for name, operation in operations.items():
        method, target = name.split()[0], target_of(name)
        for query, kind in wrong.items():
            answer = as_role(role_of(operation), method, target + query)
            assert answer.status_code == 422 and answer.json()["type"] == f"/problems/{kind}", (name, query)
            assert ("ratelimit" in answer.headers) == (name not in OPEN)
        if name not in OPEN:
            unknown = anybody.request(method, target + "?unknown=1")
            assert unknown.status_code == 401 and "ratelimit" not in unknown.headers, name


def test_every_page_of_a_list_refuses_cursors_of_others(operations, as_role):
    for name, operation in operations.items():
        names = [parameter["name"] for parameter in operation.get("parameters", [])]
        if "cursor" in names:
            for cursor in ("nonsense", "MQ==", "%C3%A9", "AAAA"):
                answer = as_role(role_of(operation), "GET", f"{target_of(name)}?cursor={cursor}")
                assert answer.status_code == 422 and answer.json()["type"] == "/problems/invalid-cursor", (name, cursor)


def test_the_document_keeps_to_openapi(document):
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(document)


def test_generated_clients_know_everything(document, tmp_path):
    """With Node and the packages that ``tools/contract.sh`` installs: TypeScript without ``unknown``, and Spectral."""
    tools = Path(__file__).parents[2] / ".cache" / "contract" / "node_modules" / ".bin"
    if shutil.which("node") is None or not tools.is_dir():
        pytest.skip("Node, or what tools/contract.sh installs, is not here")
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document))
    made = subprocess.run([tools / "openapi-typescript", path], capture_output=True, text=True, check=True).stdout
    assert "listModels" in made and not re.search(r"\[key: string\]: unknown|\?: unknown|\w: (unknown|any)\b", made)
    ruleset = Path(__file__).parents[2] / ".spectral.yaml"
    found = subprocess.run(
        [tools / "spectral", "lint", path, "--ruleset", ruleset, "--fail-severity", "hint"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout

"""The contract: the OpenAPI document, with all that FastAPI does not know: roles, headers, problems, examples, names.

What holds for every operation stands here once. ``tests/service/test_contract.py`` walks all of them.
"""

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from expunge.service.bodies import Problem
from expunge.service.examples import example
from expunge.service.problem_types import TYPES, ProblemType
from expunge.service.problems import MEDIA_TYPE
from expunge.service.routing import admission_of

TAGS = {
    "requests": "Requests to be forgotten: made, considered beforehand, listed, followed.",
    "people": "What is held about a person.",
    "suppressions": "Lists of hashed ids of people who are to be forgotten, and whose later rows are left out.",
    "models": "Models, what they can still forget, and their releases.",
    "jobs": "Long work: asked for, followed, withdrawn.",
    "rows": "Rows that are added or corrected.",
    "certificates": "Certificates, to be verified offline.",
    "verification": "Whether documents are genuine, for anybody.",
    "log": "The signed log and its proofs.",
    "webhooks": "Who is told what happens.",
    "operation": "Whether the service works, and who may use it.",
}
"""What each tag is about."""
OTHERWISE = {
    "health": "operation",
    "doctor": "operation",
    "tokens": "operation",
    "keys": "verification",
    "verify": "verification",
}
"""Tags of paths that do not begin with the name of one."""
HEADERS: dict[str, tuple[str, dict[str, Any], object]] = {
    "RateLimit-Policy": ("How many calls a token may make in how many seconds.", {"type": "string"}, '"token";q=60000;w=60'),
    "RateLimit": ("How many are left (r), and for how many seconds (t).", {"type": "string"}, '"token";r=59998;t=41'),
    "ETag": ("What to send as If-None-Match to be answered 304 while nothing has changed.", {"type": "string"}, '"7"'),
    "Location": ("Where what was made, or the job, can be followed.", {"type": "string"}, "/v1/jobs/12"),
    "Retry-After": ("Seconds to wait before the next attempt.", {"type": "integer", "minimum": 0}, 5),
    "WWW-Authenticate": ("That a bearer token is needed.", {"type": "string"}, "Bearer"),
}
ALWAYS = (400, 401, 403, 422, 429, 500, 503)
"""Statuses of problems that every operation may answer with."""
OFTEN = {404, 405, 409, 413}
"""Those that a route names where it may."""
OF_CALLERS = {401, 403}
"""Those of operations that are not for anybody."""
DESCRIPTION = """A deletion desk: requests to be forgotten, certified releases, evidence.

Every call needs a bearer token, which has one of four roles; `x-roles` says which may make it. Errors are problem documents
(RFC 9457) whose `type` says what to do. HEAD is answered like GET, without a body. A query parameter that is not described is
an error."""


def operation_id(route: APIRoute) -> str:
    """The name of an operation in generated clients: that of its function, as ``listModels``."""
    first, *rest = route.name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def describe(app: FastAPI, routers: Iterable[APIRouter], root: str) -> None:
    """Completes the OpenAPI document of ``app``, whose operations are in ``routers``, and which is reached under ``root``."""
    generate, routes = app.openapi, list(_routes(routers))

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(generate(), routes, root)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _routes(routers: Iterable[APIRouter]) -> Iterator[APIRoute]:
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                yield route


def _completed(document: dict[str, Any], routes: Iterable[APIRoute], root: str) -> dict[str, Any]:
    document["info"] |= {
        "description": DESCRIPTION,
        "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        "contact": {"name": "Expunge", "url": "https://github.com/expunge/expunge/issues"},
    }
    document.setdefault("servers", [{"url": root or "/", "description": "this service"}])
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    described = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= described.pop("$defs", {}) | {"Problem": described}
    described["properties"]["type"]["enum"] = [f"{root}/problems/{name}" for name in TYPES]
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "description": "expunge token issue"}}
    components["headers"] = {
        name: {"description": text, "schema": schema, "example": shown} for name, (text, schema, shown) in HEADERS.items()
    }
    components["responses"] = {f"Problem{status}": _problem(status, root) for status in sorted(OFTEN.union(ALWAYS))}
    document["security"] = [{"token": []}]
    used = set()
    for route in routes:
        for method in route.methods or ():
            operation = document["paths"][route.path_format][method.lower()]
            _complete(operation, route, method, schemas)
            used |= set(operation["tags"])
    _make_tuples_lists(document)
    document["tags"] = [{"name": name, "description": TAGS.get(name, name)} for name in (*TAGS, *sorted(used - set(TAGS)))]
    return document


def _make_tuples_lists(part: Any) -> None:
    """Says of tuples of one type what generated clients understand: that they are lists of so many items."""
    if isinstance(part, dict):
        items = part.get("prefixItems")
        if items and all(item == items[0] for item in items):
            part["items"] = part.pop("prefixItems")[0]
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _make_tuples_lists(inner)


def _problem(status: int, root: str) -> dict[str, Any]:
    """What a problem with ``status`` looks like."""
    shown = {kind.name: {"value": _shown(kind, root)} for kind in TYPES.values() if kind.status == status}
    names = ["Retry-After"] if status in (409, 429, 503) else []
    names += ["WWW-Authenticate"] if status == 401 else ["RateLimit-Policy", "RateLimit"]
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, **({"examples": shown} if shown else {})}
    return {"description": HTTPStatus(status).phrase, "headers": _headers(*names), "content": {MEDIA_TYPE: content}}


def _shown(kind: ProblemType, root: str) -> dict[str, Any]:
    detail = kind.remedy.replace("`", "")
    return {"type": f"{root}/problems/{kind.name}", "title": kind.title, "status": kind.status, "detail": detail}


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _complete(operation: dict[str, Any], route: APIRoute, method: str, schemas: dict[str, Any]) -> None:
    """Adds to an operation what holds for all of its kind."""
    admission = admission_of(route.dependant)
    roles = [] if admission is None else [str(role) for role in admission.roles]
    said = " ".join((route.endpoint.__doc__ or "").split())
    first = said.split(". ")[0].split(": ")[0].rstrip(".")
    part = route.path.removeprefix("/v1/").split("/")[0]
    operation["summary"] = first if len(first) <= 90 else first[:88].rsplit(" ", 1)[0] + "…"
    operation["description"] = f"{said}\n\nRoles: {', '.join(roles) or 'anybody, without a token'}."
    operation["x-roles"] = roles
    if not roles:
        operation["security"] = []
    operation["tags"] = list(dict.fromkeys(OTHERWISE.get(tag, tag) for tag in operation.get("tags") or [part]))
    _complete_responses(operation["responses"], method, roles, schemas)
    if "requestBody" in operation:
        for content in operation["requestBody"]["content"].values():
            if not any("example" in name for name in content):
                content["example"] = example(content["schema"], schemas)


def _complete_responses(responses: dict[str, Any], method: str, roles: list[str], schemas: dict[str, Any]) -> None:
    for status in () if roles else OF_CALLERS:
        responses.pop(str(status), None)
    named = {status for status in OFTEN if str(status) in responses}
    for status in sorted(named.union(ALWAYS) - (set() if roles else OF_CALLERS)):
        if not _has_own_body(responses.get(str(status), {})):
            responses[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    limits = ["RateLimit-Policy", "RateLimit"] if roles else []
    is_tagged = method == "GET" and any("json" in kind for kind in responses.get("200", {}).get("content", {}))
    if is_tagged:
        responses.setdefault("304", {"description": "Nothing has changed since the ETag that was sent"})
    for code, response in responses.items():
        if "$ref" in response:
            continue
        names = [*limits]
        names += ["ETag"] if is_tagged and code in ("200", "304") else []
        names += ["Location"] if code in ("201", "202") else []
        names += ["Retry-After"] if code in ("202", "503") else []
        response["headers"] = {**response.get("headers", {}), **_headers(*names)}
        for kind, content in response.get("content", {}).items():
            if "json" in kind and not any("example" in name for name in content):
                content["example"] = example(content["schema"], schemas)


def _has_own_body(response: dict[str, Any]) -> bool:
    """Whether a response is described as something else than a problem."""
    return any(kind == "application/json" for kind in response.get("content", {}))

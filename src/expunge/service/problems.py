"""Errors over HTTP: RFC 9457 problem details for programs, pages for people, for everything that can go wrong."""

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from expunge.errors import (
    BudgetSpent,
    CapacityExceeded,
    ExpungeError,
    InvalidRows,
    NotLearned,
    RequestRefused,
    WorkspaceBusy,
)
from expunge.service.faults import traced
from expunge.service.problem_types import TYPES, ProblemType, type_of

log = logging.getLogger("expunge.service")

MEDIA_TYPE = "application/problem+json"
PAGE = (files("expunge.service") / "templates" / "error.html").read_text(encoding="utf-8")
"""Complete in itself and read beforehand, so that it can be shown whatever fails."""
KINDS: list[tuple[type[Exception], str]] = [
    (WorkspaceBusy, "busy"),
    (CapacityExceeded, "capacity-exceeded"),
    (BudgetSpent, "budget-spent"),
    (InvalidRows, "invalid-rows"),
    (NotLearned, "invalid-rows"),
    (ExpungeError, "unavailable"),  # the workspace cannot be used in its present state
]
WORDS = {
    "missing": "is missing",
    "string_too_short": "is too short",
    "string_too_long": "is too long",
    "enum": "is none of the choices",
    "literal_error": "is none of the choices",
    "int_parsing": "is not a whole number",
    "date_from_datetime_parsing": "is not a date",
    "date_parsing": "is not a date",
}
"""What pages say of a field, by pydantic's name of the error."""
AGAIN = ("busy", "capacity-exceeded", "budget-spent", "unavailable")
"""Types of problems that may be over in five seconds."""


@dataclass(frozen=True)
class Failure:
    """What went wrong, as it is answered.

    Args:
        type: type of the problem.
        detail: what happened, and what to do.
        headers: of the answer.
        more: additional members of the problem document.
    """

    type: ProblemType
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def errors(self) -> Sequence[Mapping[str, str]]:
        """What is wrong with which value, where that is known."""
        found: Sequence[Mapping[str, str]] = self.more.get("errors", ())
        return found


Page = Callable[[Request, Failure], Response]
"""Makes the page that tells people of a failure."""


def is_for_programs(scope: Scope) -> bool:
    """Whether it is called by programs, which get problem documents; people get pages."""
    path = get_route_path(scope)
    return path.startswith("/v1/") or path in ("/v1", "/metrics", "/healthz")


def answer(scope: Scope, failure: Failure) -> Response:
    """The answer to a failed call, in the form that the caller reads."""
    if is_for_programs(scope):
        return document(failure, scope.get("root_path", ""))
    page: Page = scope["app"].state.failure_page
    return page(Request(scope), failure)


def document(failure: Failure, root: str = "") -> Response:
    """A problem document.

    Args:
        failure: what it tells.
        root: the path under which the service is reached.
    """
    kind = failure.type
    body = {"type": f"{root}/problems/{kind.name}", "title": kind.title, "status": kind.status, "detail": failure.detail}
    # in ASCII: a quoted text may contain half a surrogate pair, which UTF-8 cannot encode
    return Response(json.dumps({**body, **failure.more}), kind.status, dict(failure.headers), MEDIA_TYPE)


def install(app: FastAPI, page: Page) -> None:
    """Makes ``app`` answer every error, with problem documents and with what ``page`` makes."""
    app.state.failure_page = page

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        failure = Failure(type_of(error, error.status_code), str(error.detail), dict(error.headers or {}))
        return answer(request.scope, failure)

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> Response:
        is_page, items = not is_for_programs(request.scope), error.errors()
        if is_page and all(item["loc"][0] == "path" for item in items):
            return answer(request.scope, Failure(TYPES["not-found"], "there is no such page"))
        said = [WORDS.get(item["type"], "cannot be used") if is_page else item["msg"] for item in items]
        found = [{"at": "/".join(map(str, item["loc"])), "problem": problem} for item, problem in zip(items, said, strict=True)]
        listed = "; ".join(f"{item['at']}: {item['problem']}" for item in found)
        return answer(request.scope, Failure(TYPES["invalid-request"], listed, more={"errors": found}))

    @app.exception_handler(ExpungeError)
    async def ours(request: Request, error: ExpungeError) -> Response:
        return answer(request.scope, _of(request, error))


def _of(request: Request, error: ExpungeError) -> Failure:
    if isinstance(error, RequestRefused):
        near = {} if error.near is None else {"near": error.near}
        return Failure(TYPES[error.reason], str(error), more={"reason": error.reason, **near})
    name = next(name for kind, name in KINDS if isinstance(error, kind))
    headers = {"Retry-After": "5"} if name in AGAIN else {}
    if getattr(request.state, "caller", None) is None:  # anybody may have asked, and the text may name places in the house
        log.error("%s for a caller who is not known: %s", type(error).__name__, error)
        return Failure(TYPES[name], "the service cannot use its workspace now: try again; its log says why", headers)
    return Failure(TYPES[name], str(error), headers)


class Caught:
    """Handles every unforeseen exception: the caller gets its number, and the log says where it came from.

    Neither shows its text or any value, since those may quote people's rows and ids.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_begun = False

        async def noted(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:  # the service is stopping, and this took longer than it waits
            if is_begun or scope["type"] != "http":
                raise
            detail = "the service is stopping: ask again; a request that was accepted meanwhile will be found"
            await answer(scope, Failure(TYPES["stopping"], detail, {"Retry-After": "30"}))(scope, receive, send)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of a Rust library is not an Exception
            if scope["type"] != "http":
                raise
            number = secrets.token_hex(4)
            log.error("error %s at %s %s\n%s", number, scope["method"], _route(scope), traced(error))
            if is_begun:
                raise ConnectionAbortedError(f"the answer broke off: error {number}") from None
            await _unforeseen(scope, number)(scope, receive, send)


def _route(scope: Scope) -> str:
    """The route of the call, without what the caller wrote in it."""
    return str(getattr(scope.get("route"), "path", "unknown"))


def _unforeseen(scope: Scope, number: str) -> Response:
    if is_for_programs(scope):
        detail = f"the service met an unforeseen error, number {number}: its log says where; please report it"
        return document(Failure(TYPES["unforeseen"], detail, more={"error": number}), scope.get("root_path", ""))
    page = PAGE.replace("{{ number }}", number).replace("{{ root }}", scope.get("root_path", ""))
    return HTMLResponse(page, 500, headers={"Cache-Control": "no-store"})

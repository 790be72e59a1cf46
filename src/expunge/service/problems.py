"""Errors over HTTP: RFC 9457 problem details, for everything that can go wrong."""

import asyncio
import json
import logging
import secrets
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from expunge.errors import (
    BudgetSpent,
    CapacityExceeded,
    ExpungeError,
    InvalidRows,
    LedgerCorrupt,
    NotLearned,
    Refusal,
    RequestRefused,
    StateCorrupt,
    WorkspaceBusy,
)
from expunge.service.faults import traced

log = logging.getLogger("expunge.service")

MEDIA_TYPE = "application/problem+json"
PAGE = (files("expunge.service") / "templates" / "error.html").read_text(encoding="utf-8")
"""Complete in itself and read beforehand, so that it can be shown whatever fails."""
REFUSALS: dict[Refusal, int] = {
    Refusal.LIMIT: 429,
    Refusal.ALREADY_FORGOTTEN: 409,
    Refusal.KEY_REUSED: 409,
    Refusal.TOO_LATE: 409,
    Refusal.UNKNOWN_REQUEST: 404,
    Refusal.NO_RECEIPT: 404,
    Refusal.ANOTHER_SUBJECT: 422,
    Refusal.NOT_COVERED: 404,
    Refusal.UNKNOWN_SUBJECT: 422,
    Refusal.SEVERAL_PEOPLE: 409,
    Refusal.INVALID_ID: 422,
    Refusal.UNKNOWN_COLUMN: 422,
    Refusal.EMPTY: 422,
    Refusal.BY_OFFICER: 409,
    Refusal.EXTENDED_BEFORE: 409,
    Refusal.OWN_REQUEST: 403,
    Refusal.NOTHING_TO_APPROVE: 409,
}
STATUSES: list[tuple[type[Exception], int]] = [
    (WorkspaceBusy, 409),
    (CapacityExceeded, 409),
    (BudgetSpent, 409),
    (InvalidRows, 422),
    (NotLearned, 422),
    (StateCorrupt, 503),
    (LedgerCorrupt, 503),
    (ExpungeError, 503),  # the workspace cannot be used in its present state
]


def problem(status: int, title: str, detail: str, **more: Any) -> Response:
    """A problem document; ``more`` are additional members."""
    headers = more.pop("headers", None)
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    # in ASCII: a quoted text may contain half a surrogate pair, which UTF-8 cannot encode
    return Response(json.dumps(body), status, media_type=MEDIA_TYPE, headers=headers)


def install(app: FastAPI) -> None:
    """Makes ``app`` answer every error with a problem document."""

    @app.exception_handler(HTTPException)
    async def http(_request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        return problem(error.status_code, str(error.detail), str(error.detail), headers=headers)

    @app.exception_handler(RequestValidationError)
    async def validation(_request: Request, error: RequestValidationError) -> Response:
        found = [{"at": "/".join(map(str, item["loc"])), "problem": item["msg"]} for item in error.errors()]
        listed = "; ".join(f"{item['at']}: {item['problem']}" for item in found)
        return problem(422, "The request is not as described", listed, errors=found)

    @app.exception_handler(ExpungeError)
    async def ours(_request: Request, error: ExpungeError) -> Response:
        if isinstance(error, RequestRefused):
            near = {} if error.near is None else {"near": error.near}
            return problem(REFUSALS[error.reason], "Refused", str(error), reason=error.reason, **near)
        status = next(status for kind, status in STATUSES if isinstance(error, kind))
        more = {"headers": {"Retry-After": "5"}} if status in (409, 503) else {}
        return problem(status, type(error).__name__, str(error), **more)


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
            await problem(503, "Stopping", detail, headers={"Retry-After": "30"})(scope, receive, send)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of a Rust library is not an Exception
            if scope["type"] != "http":
                raise
            number = secrets.token_hex(4)
            log.error("error %s at %s %s\n%s", number, scope["method"], _route(scope), traced(error))
            if is_begun:
                raise ConnectionAbortedError(f"the answer broke off: error {number}") from None
            await _unforeseen(scope["path"], number)(scope, receive, send)


def _route(scope: Scope) -> str:
    """The route of the call, without what the caller wrote in it."""
    return str(getattr(scope.get("route"), "path", "unknown"))


def _unforeseen(path: str, number: str) -> Response:
    detail = f"the service met an unforeseen error, number {number}: its log says where; please report it"
    if path.startswith("/v1/") or path in ("/metrics", "/healthz"):
        return problem(500, "Unforeseen error", detail, error=number)
    return HTMLResponse(PAGE.replace("{{ number }}", number), 500, headers={"Cache-Control": "no-store"})

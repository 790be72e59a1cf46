"""Errors over HTTP: RFC 9457 problem details, for everything that can go wrong."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from expunge.errors import (
    BudgetSpent,
    CapacityExceeded,
    ExpungeError,
    InvalidRows,
    LedgerCorrupt,
    NotLearned,
    RequestRefused,
    StateCorrupt,
    WorkspaceBusy,
)

MEDIA_TYPE = "application/problem+json"
REFUSALS = {
    "limit": 429,
    "already-forgotten": 409,
    "key-reused": 409,
    "too-late": 409,
    "unknown-request": 404,
    "no-receipt": 404,
    "another-subject": 422,
    "not-covered": 404,
    "unknown-subject": 422,
    "empty": 422,
}
STATUSES: list[tuple[type[Exception], int]] = [
    (WorkspaceBusy, 409),
    (CapacityExceeded, 409),
    (BudgetSpent, 409),
    (InvalidRows, 422),
    (NotLearned, 422),
    (StateCorrupt, 503),
    (LedgerCorrupt, 503),
    (ExpungeError, 503),  # the workspace cannot be used as it is
]


def problem(status: int, title: str, detail: str, **more: Any) -> JSONResponse:
    """A problem document; ``more`` are members of its own."""
    headers = more.pop("headers", None)
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return JSONResponse(body, status, media_type=MEDIA_TYPE, headers=headers)


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
            return problem(REFUSALS.get(error.reason, 422), "Refused", str(error), reason=error.reason)
        status = next(status for kind, status in STATUSES if isinstance(error, kind))
        more = {"headers": {"Retry-After": "5"}} if status in (409, 503) else {}
        return problem(status, type(error).__name__, str(error), **more)

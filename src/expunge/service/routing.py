"""The route of every operation: it lets callers in before it reads what they send, and takes only what it describes.

No body of somebody unknown is read, so an upload without a token costs nothing.
"""

import hashlib
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams
from starlette.types import Message, Receive

from expunge.service.access import Admission, access_of, address_of, form_texts
from expunge.service.problem_types import Problem

BODY_BYTES = 4 << 20
OPEN_BODY_BYTES = 64 << 10
"""Bytes that may be sent by anybody, as to log in."""
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
OPEN_UPLOADS = 16
"""Number of files of strangers that one route takes at a time."""
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
IDS = ("subject", "subjects")
"""Members of bodies that hold ids of people: an id with NUL is refused alone, and the others of its call are not."""


class GuardedRoute(APIRoute):
    """A route that checks the caller, then the query, then the body."""

    open_bytes = OPEN_BODY_BYTES
    """Bytes that somebody unknown may send."""
    is_full = False
    """Whether as much of strangers is being looked at as memory allows."""

    def get_route_handler(self) -> Handler:
        handle, admission = super().get_route_handler(), admission_of(self.dependant)
        known = {field.alias for part in _parts(self.dependant) for field in part.query_params}
        is_strict = self.path.startswith("/v1/")

        async def guarded(request: Request) -> Response:
            if admission is not None:
                await admission.admit(request)
            elif self.is_full:
                raise Problem("unavailable", "many files are being looked at: try again", headers={"Retry-After": "5"})
            elif request.method not in ("GET", "HEAD"):
                access_of(request).count_open(address_of(request))
            _require_readable(request)
            if is_strict:
                _require_known(request.query_params, known)
            most = self.open_bytes if admission is None else BODY_BYTES
            checked = _Checked(request.scope, _bounded(request, most))
            if admission is None and request.headers.get("content-type", "").startswith(FORMS):
                await form_texts(checked)  # of others, the dependency that checks the CSRF token reads the form
            answer = await handle(checked)
            return _tagged(request, answer) if is_strict and request.method in ("GET", "HEAD") else answer

        return guarded


class OpenUploads(GuardedRoute):
    """A route to which anybody may send files, a few at a time."""

    open_bytes = BODY_BYTES
    _under_way = 0

    @property
    def is_full(self) -> bool:  # type: ignore[override]
        return self._under_way > OPEN_UPLOADS

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def counted(request: Request) -> Response:
            self._under_way += 1
            try:
                return await handle(request)
            finally:
                self._under_way -= 1

        return counted


def admission_of(dependant: Dependant) -> Admission | None:
    """Who may call a route; ``None`` for everybody."""
    return next((part.call for part in _parts(dependant) if isinstance(part.call, Admission)), None)


def _parts(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for part in dependant.dependencies:
        yield from _parts(part)


class _Checked(Request):
    """A call whose JSON holds no NUL, which PostgreSQL cannot keep. Ids of people are left: they are looked at one by one."""

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            content = await super().json()
            if has_nul({**content, **dict.fromkeys(IDS)} if isinstance(content, dict) else content):
                raise Problem("invalid-text", "a text of the body contains NUL")
        return await super().json()


def _bounded(request: Request, most: int) -> Receive:
    """What a call receives, of at most ``most`` bytes, announced or not."""
    too_long = Problem("too-long", f"the body is longer than {most:,} bytes: send it in parts")
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit() or len(announced) > 18 or int(announced) > most:
        raise too_long
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > most:
            raise too_long
        return message

    return receive


def has_nul(value: Any) -> bool:
    """Whether a text in a JSON value holds NUL."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(has_nul(name) or has_nul(item) for name, item in value.items())
    return isinstance(value, list) and any(map(has_nul, value))


def _require_readable(request: Request) -> None:
    """Refuses a path or a query with NUL or with bytes that are not UTF-8."""
    texts = [request.scope["path"], *(text for pair in request.query_params.multi_items() for text in pair)]
    if any("\0" in text or "\ufffd" in text for text in texts):
        raise Problem("invalid-text", "the path or the query contains NUL, or bytes that are not UTF-8")


def _require_known(query: QueryParams, known: set[str]) -> None:
    unknown = sorted(set(query) - known)
    if unknown:
        listed = f": known are {', '.join(sorted(known))}" if known else ", and no other"
        raise Problem("unknown-parameter", f"there is no query parameter {', '.join(map(repr, unknown))} here{listed}")


def _tagged(request: Request, answer: Response) -> Response:
    """``answer`` with an ETag; without its body for a caller who has it."""
    body = getattr(answer, "body", b"")
    if answer.status_code != 200 or not body:
        return answer
    tag = answer.headers.setdefault("etag", f'"{hashlib.sha256(body).hexdigest()[:24]}"')
    seen = [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]
    if tag in seen or seen == ["*"]:
        return Response(status_code=304, headers={"ETag": tag})
    return answer

"""How a page is made, and who is let in: rendered on the server, complete without JavaScript."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool

from expunge.ledger.requests import RequestState
from expunge.ledger.tokens import Role
from expunge.service.access import Caller, caller_of, require

pages = Environment(
    loader=PackageLoader("expunge.service"), autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True
)


def moment(at: str | datetime) -> Markup:
    """A time as pages show it: in UTC, and with the script of the pages in the reader's time zone, with UTC on hover.

    Args:
        at: the time, as ISO 8601 where it is a text.
    """
    exact = (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(UTC)
    written = f"{exact.day} {exact:%b %Y, %H:%M} UTC"
    return Markup('<time class="local" datetime="{}">{}</time>').format(exact.isoformat(timespec="seconds"), written)


pages.globals.update(Role=Role, RequestState=RequestState, moment=moment)


def render(request: Request, name: str, status_code: int = 200, **values: Any) -> HTMLResponse:
    """The page ``name``."""
    caller: Caller | None = getattr(request.state, "caller", None)
    content = pages.get_template(name).render(caller=caller, path=request.url.path, **values)
    return HTMLResponse(content, status_code, headers={"Cache-Control": "no-store"})


class LoggedOut(Exception):
    """Nobody is logged in: whatever page was asked for, the answer is the form that asks for a token."""


def visitor(*roles: Role) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency that lets in visitors logged in with one of these roles; it reads the form, which has the CSRF token.

    Only this is asynchronous, because forms are: the pages read the ledger, and so run in threads.
    """

    async def dependency(request: Request) -> Caller:
        if request.method == "POST":
            try:
                form = await request.form()
            except ValueError as error:  # a charset or a boundary that is not valid
                raise HTTPException(400, "the form cannot be read: load the page again") from error
            request.scope["csrf_field"] = str(form.get("csrf", ""))
        return await run_in_threadpool(_let_in, request, roles)

    return dependency


def _let_in(request: Request, roles: Sequence[Role]) -> Caller:
    if caller_of(request) is None:
        raise LoggedOut
    request.state.caller = require(*roles)(request)
    return request.state.caller  # type: ignore[no-any-return]


Visitor = Annotated[Caller, Depends(visitor(Role.OPERATOR, Role.ENGINEER, Role.AUDITOR))]
Operator = Annotated[Caller, Depends(visitor(Role.OPERATOR))]
Checker = Annotated[Caller, Depends(visitor(Role.ENGINEER, Role.AUDITOR))]


def login_page(request: Request, status_code: int = 401, problem: str = "") -> HTMLResponse:
    """The form that asks for a token."""
    return render(request, "login.html", status_code, problem=problem)

"""How a page is made, and who is let in: rendered on the server, complete without JavaScript."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette._utils import get_route_path
from starlette.responses import Response

from expunge.ledger.requests import RequestKind, RequestState
from expunge.ledger.tokens import Role
from expunge.service.access import Admission, Caller, access_of
from expunge.service.words import written
from expunge.workspace.days import day, with_days

LINK = re.compile(r'\b((?:href|src|action|formaction|hx-get|hx-post)=")(?=/)')
KEPT = "kept."
"""Before the names of fields that the form for logging in keeps of another form."""
LONGEST = 500
"""Length of the address of a page that is opened after logging in."""


class _Templates(PackageLoader):
    """Templates, whose links begin at the service: the path under which it is reached is put before them."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool] | None]:
        source, name, is_current = super().get_source(environment, template)
        return LINK.sub(r"\1{{ root }}", source), name, is_current


pages = Environment(
    loader=_Templates("expunge.service"), autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True
)


def moment(at: str | datetime) -> Markup:
    """A time as pages show it: in UTC, and with the script of the pages in the reader's time zone, with UTC on hover.

    Args:
        at: the time, as ISO 8601 where it is a text.
    """
    exact = (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(UTC)
    written = f"{exact.day} {exact:%b %Y, %H:%M} UTC"
    return Markup('<time class="local" datetime="{}">{}</time>').format(exact.isoformat(timespec="seconds"), written)


pages.filters["written"] = written
pages.globals.update(Role=Role, RequestState=RequestState, RequestKind=RequestKind, day=day, with_days=with_days, moment=moment)


def render(request: Request, name: str, status_code: int = 200, **values: Any) -> HTMLResponse:
    """The page ``name``."""
    about = {"caller": getattr(request.state, "caller", None), "path": get_route_path(request.scope)}
    content = pages.get_template(name).render(root=request.scope.get("root_path", ""), **{**about, **values})
    return HTMLResponse(content, status_code, headers={"Cache-Control": "no-store"})


Visitor = Annotated[Caller, Depends(Admission((Role.OPERATOR, Role.ENGINEER, Role.AUDITOR), is_page=True))]
Operator = Annotated[Caller, Depends(Admission((Role.OPERATOR,), is_page=True))]
Engineer = Annotated[Caller, Depends(Admission((Role.ENGINEER,), is_page=True))]
Checker = Annotated[Caller, Depends(Admission((Role.ENGINEER, Role.AUDITOR), is_page=True))]


async def guest(request: Request) -> Caller | None:
    """Whoever is logged in, at a page that is open to everybody."""
    access = access_of(request)
    request.state.caller = await access.by_session(request.cookies.get(access.cookie, ""))
    found: Caller | None = request.state.caller
    return found


Guest = Annotated[Caller | None, Depends(guest)]


async def logged_out(request: Request, _error: Exception) -> Response:
    """The answer to somebody who is not logged in: the form for it, which leads to the page that was asked for.

    Of a form that was sent with a session of this service that has ended, it keeps what was typed.
    """
    access, kept = access_of(request), list[tuple[str, str]]()
    if request.method == "POST" and access.is_ours(request.cookies.get(access.cookie, "")):
        form = await request.form()
        kept = [(name, value) for name, value in form.multi_items() if isinstance(value, str) and name != "csrf"]
    path = get_route_path(request.scope)
    query = request.scope["query_string"].decode("latin-1")
    wanted = path if request.method == "POST" or not query else f"{path}?{query}"
    is_plain = request.method in ("GET", "HEAD") or kept
    page = login_page(request, wanted=wanted if is_plain and path != "/" else "", kept=kept)
    if request.headers.get("hx-request"):
        page.headers["HX-Refresh"] = "true"  # a part of a page is not replaced by the form: the whole page is loaded again
    return page


def login_page(
    request: Request, status_code: int = 401, problem: str = "", wanted: str = "", kept: list[tuple[str, str]] | None = None
) -> HTMLResponse:
    """The form that asks for a token.

    Args:
        request: the call.
        status_code: of the answer.
        problem: what was wrong with the last token.
        wanted: path of the page to open then.
        kept: names and values of the form that was sent there.
    """
    return render(request, "login.html", status_code, problem=problem, wanted=wanted, kept=kept or [], caller=None)


def page_within(path: str) -> str:
    """``path``, if it is a page of this service and not an address elsewhere; otherwise the first page."""
    is_ours = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_ours and len(path) <= LONGEST and not path.startswith("/v1") else "/"

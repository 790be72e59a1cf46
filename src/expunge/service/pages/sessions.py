"""Logging in and out, and the files that every page needs."""

import hashlib
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from expunge.service.access import SESSION_SECONDS, AccessControl, access_of, address_of
from expunge.service.pages.rendering import KEPT, Visitor, login_page, page_within, render
from expunge.service.records import changing
from expunge.service.routing import GuardedRoute

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)
WRONG = "This is not a valid token. Ask for one: expunge token issue NAME --role operator"
STATIC = {
    "style.css": "text/css",
    "letter.css": "text/css",
    "htmx.min.js": "text/javascript",
    "times.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


@router.get("/static/{name}")
def static(name: str) -> Response:
    """A file of the package."""
    if name not in STATIC:
        raise HTTPException(404, f"there is no file {name!r}")
    content = (files("expunge.service") / "static" / name).read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    return Response(content, media_type=STATIC[name], headers={"ETag": tag, "Cache-Control": "public, max-age=3600"})


@router.post("/login")
async def login(request: Request) -> Response:
    """Starts a session, and leads to the page that was asked for; a form that was kept can then be sent."""
    access, form = access_of(request), await request.form()
    wanted = page_within(str(form.get("next", "")))
    kept = [(name.removeprefix(KEPT), str(value)) for name, value in form.multi_items() if name.startswith(KEPT)]
    holder = await access.by_token(str(form.get("token", "")).strip(), address_of(request))
    if holder is None:
        return login_page(request, problem=WRONG, wanted=wanted, kept=kept)
    with changing("session.started", holder.id):
        cookie = await run_in_threadpool(access.start, holder)
    if kept:
        request.state.caller = await access.by_session(cookie)
        answer: Response = render(request, "resumed.html", wanted=wanted, kept=kept)
    else:
        answer = RedirectResponse(wanted, 303)
    answer.set_cookie(access.cookie, cookie, SESSION_SECONDS, **_about(access), secure=access.is_secure)
    return answer


@router.post("/logout")
def logout(request: Request, caller: Visitor) -> Response:
    """Ends a session, for all instances of the service."""
    access = access_of(request)
    with changing("session.ended", caller.holder.id):
        access.end(caller)
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(access.cookie, **_about(access))
    return answer


def _about(access: AccessControl) -> dict[str, Any]:
    return {"httponly": True, "samesite": "strict", "path": f"{access.root}/"}

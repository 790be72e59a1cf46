"""Logging in and out, and the files that every page needs."""

import hashlib
from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.responses import Response

from expunge.ledger import tokens
from expunge.service.access import COOKIE, SESSION_SECONDS, AccessControl
from expunge.service.api.answers import workspace_of
from expunge.service.pages.rendering import Visitor, login_page
from expunge.service.records import changing

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
STATIC = {"style.css": "text/css", "htmx.min.js": "text/javascript", "times.js": "text/javascript", "icon.svg": "image/svg+xml"}


@router.get("/static/{name}")
def static(name: str) -> Response:
    """A file of the package."""
    if name not in STATIC:
        raise HTTPException(404, f"there is no file {name!r}")
    content = (files("expunge.service") / "static" / name).read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    return Response(content, media_type=STATIC[name], headers={"ETag": tag, "Cache-Control": "public, max-age=3600"})


@router.post("/login")
def login(request: Request, token: Annotated[str, Form(max_length=200)] = "") -> Response:
    """Starts a session."""
    access: AccessControl = request.app.state.access
    holder = access.by_token(token.strip(), request.client.host if request.client else "")
    if holder is None:
        return login_page(request, problem="This is not a valid token. Ask for one: expunge token issue NAME --role operator")
    with changing("session.started", holder.id), workspace_of(request).storage.database.writing() as connection:
        tokens.note_session(connection, holder, is_start=True)
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        COOKIE, access.session(holder), SESSION_SECONDS, httponly=True, samesite="strict", secure=access.is_secure, path="/"
    )
    return answer


@router.post("/logout")
def logout(request: Request, caller: Visitor) -> Response:
    """Ends a session."""
    with changing("session.ended", caller.holder.id), workspace_of(request).storage.database.writing() as connection:
        tokens.note_session(connection, caller.holder, is_start=False)
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return answer

"""The page of one request: where it stands, what happened to it, and what officers do with it."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.responses import Response

from expunge.errors import RequestRefused
from expunge.ledger import cases, releases, requests, times
from expunge.ledger.requests import RequestKind, RequestState
from expunge.ledger.tokens import Role
from expunge.service.access import Caller
from expunge.service.api.answers import workspace_of
from expunge.service.bodies import Identity
from expunge.service.pages import words
from expunge.service.pages.rendering import Operator, Visitor, render
from expunge.service.problem_types import TYPES
from expunge.service.records import changing
from expunge.service.routing import GuardedRoute
from expunge.workspace import handling
from expunge.workspace.cases import WrongField
from expunge.workspace.days import with_days
from expunge.workspace.register import history_of

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)
Word = Annotated[str, Form(max_length=40)]
STEPS = {
    RequestState.ACCEPTED: "received",
    RequestState.WORKING: "being worked",
    RequestState.CERTIFIED: "forgotten by every model",
    RequestState.CLOSED: "erased",
}
"""The states that a request goes through, in words."""
RESTRICTING = {
    RequestState.ACCEPTED: "received",
    RequestState.WORKING: "being worked",
    RequestState.RESTRICTED: "forgotten by every model, and stored",
    RequestState.LIFTING: "being lifted",
    RequestState.LIFTED: "lifted",
}
"""The states that a restriction goes through, in words; the last two once an officer lifts it."""


ENDING = (RequestState.LIFTING, RequestState.LIFTED)


@router.get("/requests/{identity}")
def request_page(request: Request, caller: Visitor, identity: Identity) -> Response:
    """One request."""
    return _page(request, caller, identity)


@router.get("/requests/{identity}/path")
def request_path(
    request: Request, caller: Visitor, identity: Identity, seen: Annotated[str, Query(max_length=40)] = ""
) -> Response:
    """The part of a request's page that changes; the rest too, if its state is no longer the one that was seen."""
    values = _values(request, caller, identity)
    return render(request, "path.html", **{**values, "is_new": values["row"].state != seen})


@router.post("/requests/{identity}/extend")
def extend(request: Request, caller: Operator, identity: Identity, months: Word = "", reason: Word = "") -> Response:
    """Extends the deadline."""
    number = int(months) if months in ("1", "2") else 0
    storage = workspace_of(request).storage
    return _done(
        request,
        caller,
        identity,
        "extend",
        "extended",
        lambda: handling.extend(storage, identity, number, reason, caller.holder.id),
    )


@router.post("/requests/{identity}/refuse")
def refuse(request: Request, caller: Operator, identity: Identity, reason: Word = "", confirm: Word = "") -> Response:
    """Refuses the request, once that is confirmed."""

    def act() -> None:
        _require_confirmed(confirm, "Tick the box to say that the request is refused")
        handling.refuse(workspace_of(request).storage, identity, reason, caller.holder.id)

    return _done(request, caller, identity, "refuse", "refused", act)


@router.post("/requests/{identity}/cancel")
def cancel(request: Request, caller: Operator, identity: Identity, reason: Word = "", confirm: Word = "") -> Response:
    """Withdraws the request, once that is confirmed."""

    def act() -> None:
        _require_confirmed(confirm, "Tick the box to say that the request is withdrawn")
        handling.withdraw(workspace_of(request).storage, identity, reason, caller.holder.id)

    return _done(request, caller, identity, "cancel", "cancelled", act)


@router.post("/requests/{identity}/lift")
def lift(request: Request, caller: Operator, identity: Identity, reason: Word = "", confirm: Word = "") -> Response:
    """Lifts a restriction, once it is confirmed that the person was told."""

    def act() -> None:
        storage, actor = workspace_of(request).storage, caller.holder.id
        handling.lift(storage, identity, reason, actor, is_informed=confirm == "yes")

    return _done(request, caller, identity, "lift", "lifted", act)


@router.post("/requests/{identity}/approve")
def approve(request: Request, caller: Operator, identity: Identity) -> Response:
    """Approves the request and all that came with it."""
    storage = workspace_of(request).storage
    return _done(
        request, caller, identity, "approve", "approved", lambda: handling.approve(storage, identity, caller.holder.id)
    )


@router.post("/requests/{identity}/note")
def note(
    request: Request, caller: Operator, identity: Identity, text: Annotated[str, Form(max_length=100_000)] = ""
) -> Response:
    """Adds a note."""
    storage = workspace_of(request).storage

    def act() -> None:
        handling.note(storage, identity, text, caller.holder.id)

    return _done(request, caller, identity, "note", "noted", act, {"text": text})


def _done(
    request: Request,
    caller: Caller,
    identity: str,
    form: str,
    event: str,
    act: Callable[[], object],
    typed: dict[str, str] | None = None,
) -> Response:
    """Does what a form asks for; if it cannot be done, the page says why beside the form, with what was typed."""
    try:
        with changing(f"request.{event}", caller.holder.id, request=identity):
            act()
    except WrongField as error:
        return _page(request, caller, identity, 422, wrong=(form, error.field, _sentence(error)), typed=typed)
    except RequestRefused as error:
        status = TYPES[error.reason].status
        if status == 404:
            raise
        return _page(request, caller, identity, status, wrong=(form, "", _sentence(error)), typed=typed)
    return RedirectResponse(f"{request.scope.get('root_path', '')}/requests/{identity}", 303)


def _sentence(error: Exception) -> str:
    said = with_days(str(error))
    return f"{said[:1].upper()}{said[1:]}"


def _require_confirmed(confirm: str, message: str) -> None:
    if confirm != "yes":
        raise WrongField("confirm", message)


def _page(request: Request, caller: Caller, identity: str, status_code: int = 200, **shown: Any) -> HTMLResponse:
    return render(request, "request.html", status_code, **{**_values(request, caller, identity), **shown})


def _values(request: Request, caller: Caller, identity: str) -> dict[str, Any]:
    """What a request's page shows."""
    status = _status(request, identity)
    with workspace_of(request).storage.database.reading() as connection:
        entries = history_of(connection, status["row"])
        may_read = caller.role in (Role.OPERATOR, Role.AUDITOR)
        file, notes = cases.file_of(connection, identity), cases.notes_of(connection, identity)
        untouched = requests.is_untouched(connection, identity)
    noted = {"file": file, "notes": notes} if may_read else {"file": None, "notes": []}
    told = {"wrong": ("", "", ""), "typed": None, "is_new": False}
    return {**told, "entries": entries, "is_untouched": untouched, **noted, **status}


def _status(request: Request, identity: Identity) -> dict[str, Any]:
    with workspace_of(request).storage.database.reading() as connection:
        row = handling.require(connection, identity)
        made = [releases.release(connection, number) for number in requests.releases_of(connection, row)]
    named, state = (RESTRICTING if row.kind == RequestKind.RESTRICT else STEPS), row.state
    path = [step for step in named if step not in ENDING or state in ENDING]
    steps = [(named[step], path.index(step) <= path.index(state)) for step in path] if state in path else []
    return {"row": row, "steps": steps, "made": made, "words": words, "now": times.now()}

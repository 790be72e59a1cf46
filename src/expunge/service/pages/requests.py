"""The pages of requests: made, considered beforehand, listed, followed and withdrawn."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, HTTPException, Request, UploadFile
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from expunge.data.lists import is_table
from expunge.ledger import releases, requests
from expunge.ledger.requests import RequestState
from expunge.service.api.answers import workspace_of
from expunge.service.bodies import BULK, PREVIEWED, Identity
from expunge.service.drafts import Draft, Given
from expunge.service.handouts import Handout
from expunge.service.pages.documents import PAPERS
from expunge.service.pages.rendering import Operator, Visitor, render
from expunge.service.records import changing
from expunge.service.routing import GuardedRoute
from expunge.service.shelf import MINUTES
from expunge.service.views import expected, request_view
from expunge.workspace.desk import Answer, ForgetRequest

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)
GONE = f"What was shown is kept for {MINUTES} minutes, and not across a restart of the service: enter the ids again."
SHOWN = 50


@router.get("/requests")
def request_list(request: Request, caller: Visitor, state: str | None = None) -> Response:
    """Requests, newest first."""
    with workspace_of(request).storage.database.reading() as connection:
        counted = requests.counts(connection)
        wanted = RequestState(state) if state in counted else None
        rows = [request_view(found) for found in requests.page(connection, wanted, None, SHOWN)]
    return render(request, "requests.html", rows=rows, counted=counted, state=state)


@router.get("/requests/new")
def new_request(request: Request, caller: Operator) -> Response:
    """The form for new requests."""
    return _new(request)


@router.post("/requests/preview")
def preview(
    request: Request,
    caller: Operator,
    subject: Annotated[str, Form(max_length=2_000_000)] = "",
    upload: Annotated[UploadFile | None, File()] = None,
    by: Annotated[str, Form(max_length=200)] = "",
    heading: Annotated[str, Form(max_length=3)] = "",
    column: Annotated[str, Form(max_length=200)] = "",
    draft: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    """What the requests would affect, before they are made; a ``draft`` is one that was shown, to be read differently."""
    if draft:
        shown = request.app.state.drafts.take(caller.holder.id, draft)
        if shown is None:
            return _new(request, GONE)
        given = replace(shown.given, by=by, heading=heading, column=column)
    else:
        content = b"" if upload is None else upload.file.read()
        name = "" if upload is None else upload.filename or ""
        given = Given(subject, content, is_table(name), by, heading, column)
    try:
        made = given.read(workspace_of(request).id_columns)
    except ValueError as error:
        return _new(request, str(error))
    if not made.entries:
        return _new(request, "Give at least one id, or a file with one id per line.")
    if len(made.entries) > BULK:
        return _new(request, f"At most {BULK:,} people at once; there are {len(made.entries):,}.")
    touched = _touched(request, made, caller.holder.id)
    return render(request, "preview.html", kept=request.app.state.drafts.keep(caller.holder.id, made), **touched)


@router.post("/requests")
async def make_requests(request: Request, caller: Operator, draft: Annotated[str, Form(max_length=64)] = "") -> Response:
    """Makes the requests that were shown, and shows the receipts."""
    made: Draft | None = request.app.state.drafts.take(caller.holder.id, draft)
    if made is None:
        return await run_in_threadpool(_new, request, GONE)
    wishes = [ForgetRequest(entry.text, caller.holder.id, by=entry.by) for entry in made.entries]
    answers: list[Answer] = await request.app.state.intake.ask(wishes)
    pairs = list(zip([entry.text for entry in made.entries], answers, strict=True))
    handout = Handout.of(answers)
    kept = request.app.state.handouts.keep(caller.holder.id, handout) if handout.receipts else None
    return render(request, "receipts.html", 201, pairs=pairs, accepted=len(handout.receipts), kept=kept, most=PAPERS)


@router.get("/requests/{identity}")
def request_page(request: Request, caller: Visitor, identity: Identity) -> Response:
    """One request and its path."""
    return render(request, "request.html", **_request(request, identity))


@router.get("/requests/{identity}/path")
def request_path(request: Request, caller: Visitor, identity: Identity) -> Response:
    """The part of a request's page that changes."""
    return render(request, "path.html", **_request(request, identity))


@router.post("/requests/{identity}/cancel")
def cancel(request: Request, caller: Operator, identity: Identity) -> Response:
    """Withdraws a request."""
    with changing("request.cancelled", caller.holder.id, request=identity):
        workspace_of(request).cancel(identity)
    return RedirectResponse(f"/requests/{identity}", 303)


def _new(request: Request, problem: str = "") -> HTMLResponse:
    """The form for new requests, with what was wrong with the last one."""
    return render(request, "new.html", 422 if problem else 200, problem=problem, id_columns=workspace_of(request).id_columns)


def _touched(request: Request, made: Draft, actor: str) -> dict[str, Any]:
    """What the requests of a draft would affect."""
    workspace = workspace_of(request)
    wishes = [ForgetRequest(entry.text, actor, by=entry.by) for entry in made.entries]
    rows = workspace.counts(wishes)
    influence = workspace.preview(wishes[:PREVIEWED]).influence
    return {
        "draft": made,
        "unknown": [entry.where for entry, count in zip(made.entries, rows, strict=True) if not count],
        "rows": sum(rows),
        "expected": expected(request.app.state, sum(rows)),
        "influence": {name: max(moved) for name, moved in influence.items()},
        "id_columns": workspace.id_columns,
    }


def _request(request: Request, identity: Identity) -> dict[str, Any]:
    with workspace_of(request).storage.database.reading() as connection:
        row = requests.by_id(connection, identity)
        if row is None:
            raise HTTPException(404, "there is no such request")
        made = [releases.release(connection, number) for number in requests.releases_of(connection, row)]
    shown = request_view(row)
    path, state = requests.PATH, row.state
    steps = [(step, path.index(step) <= path.index(state)) for step in path] if state in path else []
    return {"shown": shown, "steps": steps, "is_done": not row.is_open, "made": made}

"""The page: rendered on the server, complete without JavaScript; htmx only keeps a request's path up to date."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, File, Form, HTTPException, Request, UploadFile
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from expunge.data.lists import is_table
from expunge.errors import ExpungeError, RequestRefused, SignatureInvalid
from expunge.evidence.signing import PublicKeys
from expunge.evidence.verification import verify_content
from expunge.ledger import log, releases, requests, tokens
from expunge.ledger.requests import RequestState
from expunge.ledger.tokens import Role
from expunge.service import charts
from expunge.service.access import COOKIE, SESSION_SECONDS, AccessControl, Caller, caller_of, require
from expunge.service.api import workspace_of
from expunge.service.bodies import BULK, PREVIEWED, Identity, Name, Number
from expunge.service.drafts import MINUTES, Draft, Given
from expunge.service.records import changing
from expunge.service.views import certificate_view, expected, request_view
from expunge.workspace.auditing import audited
from expunge.workspace.desk import Answer, ForgetRequest
from expunge.workspace.quality.page import report_body
from expunge.workspace.status import ModelStatus, status

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
pages = Environment(
    loader=PackageLoader("expunge.service"), autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True
)
pages.globals.update(Role=Role, RequestState=RequestState)
STATIC = {"style.css": "text/css", "htmx.min.js": "text/javascript", "icon.svg": "image/svg+xml"}
DRAWS = 500
GONE = f"What was shown is kept for {MINUTES} minutes, and not across a restart of the service: enter the ids again."
SHOWN = 50
TIMELINE = 40
"""Number of a model's releases on its timeline."""


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


@router.get("/")
def overview(request: Request, caller: Visitor) -> Response:
    """Where everything stands."""
    storage = workspace_of(request).storage
    found = status(storage)
    with storage.database.reading() as connection:
        recent = {model.name: releases.recent(connection, model.name, TIMELINE) for model in found.models}
    figures = {name: [release.figures for release in made] for name, made in recent.items()}
    timelines = {name: charts.timeline(made) for name, made in figures.items()}
    gauges = {name: charts.gauges(made[-1]) for name, made in figures.items()}
    return render(
        request, "overview.html", found=found, timelines=timelines, gauges=gauges, health=request.app.state.worker.health
    )


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
    return render(request, "receipts.html", 201, pairs=pairs, accepted=sum(answer.receipt is not None for answer in answers))


@router.get("/people")
def people(request: Request, caller: Operator) -> Response:
    """The form that asks whom to look up."""
    return render(request, "people.html", held=None, subject="", by="", problem="")


@router.post("/people")
def person(
    request: Request,
    caller: Operator,
    subject: Annotated[str, Form(max_length=1000)] = "",
    by: Annotated[str, Form(max_length=200)] = "",
    form: Annotated[Literal["page", "json", "csv"], Form()] = "page",
) -> Response:
    """What is held about a person, as a page or as a file for them."""
    try:
        held = workspace_of(request).show(subject.strip(), by=by or None, actor=caller.holder.id)
    except RequestRefused as error:
        return render(request, "people.html", held=None, subject=subject, by=by, problem=str(error))
    if form == "page":
        return render(request, "people.html", held=held, subject=subject, by=by, problem="")
    content, kind = (held.to_json(), "application/json") if form == "json" else (held.to_csv(), "text/csv")
    headers = {"Content-Disposition": f'attachment; filename="held.{form}"', "Cache-Control": "no-store"}
    return Response(content, media_type=kind, headers=headers)


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


@router.get("/certificates")
def certificate_list(request: Request, caller: Visitor) -> Response:
    """All certificates, newest first."""
    with workspace_of(request).storage.database.reading() as connection:
        rows = releases.listed(connection)[::-1][:SHOWN]
    return render(request, "certificates.html", rows=rows)


@router.get("/certificates/{number}")
def certificate(request: Request, caller: Visitor, number: Number) -> Response:
    """A certificate, in plain language first."""
    return render(request, "certificate.html", verified=None, **_certificate(request, number))


@router.post("/certificates/{number}/verify")
def verify(request: Request, caller: Visitor, number: Number) -> Response:
    """Verifies a certificate now, as anybody could."""
    values = _certificate(request, number)
    with workspace_of(request).storage.database.reading() as connection:
        row = releases.release(connection, number)
        assert row is not None
        text, keys = log.bundle(connection, row.envelope, row.event), workspace_of(request).storage.public_keys(connection)
    return render(request, "certificate.html", verified=_verified(text, keys), **values)


@router.get("/models/{name}")
def model_page(request: Request, caller: Checker, name: Name) -> Response:
    """A model, and the button that measures it."""
    return render(request, "model.html", model=_model(request, name), body=None, problem="")


@router.post("/models/{name}")
def measure_model(request: Request, caller: Checker, name: Name) -> Response:
    """Fits it again without the people held out, and shows its quality. Nothing of that is kept."""
    found = _model(request, name)
    try:
        body = report_body(workspace_of(request).quality.explain(name))
    except (ExpungeError, ValueError) as error:
        return render(request, "model.html", 422, model=found, body=None, problem=str(error))
    return render(request, "model.html", model=found, body=body, problem="")


@router.get("/audit")
def audit_page(request: Request, caller: Checker) -> Response:
    """The form that starts an audit."""
    models = status(workspace_of(request).storage).models
    return render(request, "audit.html", models=models, verdict=None, plot=None, model=None, problem="")


@router.post("/audit")
def run_audit(
    request: Request, caller: Checker, model: Annotated[str, Form(max_length=64, pattern="^[!-~]*$")] = ""
) -> Response:
    """Audits a model and shows the verdict."""
    storage = workspace_of(request).storage
    values: dict[str, Any] = {"models": status(storage).models, "model": model, "verdict": None, "plot": None, "problem": ""}
    try:
        verdict = audited(storage, model, DRAWS)
    except (ExpungeError, ValueError) as error:
        return render(request, "audit.html", 422, **{**values, "problem": str(error)})
    plot = charts.trade_off(verdict.certified_mu, verdict.black_box.curve.tolist())
    return render(request, "audit.html", **{**values, "verdict": verdict, "plot": plot})


def _model(request: Request, name: str) -> ModelStatus:
    """The living model called so."""
    for found in status(workspace_of(request).storage).models:
        if found.name == name:
            return found
    raise HTTPException(404, f"there is no model {name!r}")


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


def _certificate(request: Request, number: int) -> dict[str, Any]:
    with workspace_of(request).storage.database.reading() as connection:
        row = releases.release(connection, number)
        if row is None:
            raise HTTPException(404, f"there is no certificate {number}")
        view = certificate_view(connection, row)
    return {"view": view, "evidence": view["evidence"]}


def _verified(text: str, keys: PublicKeys) -> str:
    try:
        verify_content(text, keys)
    except SignatureInvalid as error:
        return f"NOT GENUINE: {error}"
    return "Genuine: the signature, the event and its place in the log are right."

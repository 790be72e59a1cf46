"""The API under /v1: requests, models, releases, certificates, the log, health. OpenAPI 3.1 at /v1/openapi.json."""

import base64
import binascii
import json
import time
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Header, HTTPException, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from expunge.errors import WorkspaceInvalid
from expunge.ledger import log, releases, requests
from expunge.ledger.bindings import covering
from expunge.ledger.requests import RequestState
from expunge.ledger.tokens import Role
from expunge.service.access import Anybody, Checker, Engineer, Operator, Public, Serving
from expunge.service.bodies import (
    Answered,
    AnswerModel,
    AskedMany,
    AskedOne,
    Audited,
    DisclosureModel,
    Identity,
    Key,
    Limit,
    Name,
    Number,
    Owned,
    Predicted,
    PredictionsModel,
    Previewed,
    Shown,
)
from expunge.service.problems import MEDIA_TYPE
from expunge.service.records import changed, changing
from expunge.service.views import certificate_view, expected, health_view, predictions_view, release_view, request_view
from expunge.workspace import Workspace, desk
from expunge.workspace.auditing import audited
from expunge.workspace.desk import Answer, ForgetRequest
from expunge.workspace.disclosure import Disclosure
from expunge.workspace.predicting import predict_records
from expunge.workspace.published import Published
from expunge.workspace.status import as_json, status
from expunge.workspace.transcripts import transcript

T = TypeVar("T")
DSSE = "application/vnd.dsse.envelope.v1+json"
EVENTS = 1_000


def problem_responses() -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says of errors."""
    schema = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}, "description": "a problem"}
    return dict.fromkeys((400, 401, 403, 404, 405, 409, 413, 422, 429, 503), schema)


router = APIRouter(prefix="/v1", responses=problem_responses())


def workspace_of(request: Request) -> Workspace:
    """The workspace that is served."""
    found: Workspace = request.app.state.workspace
    return found


def _answer(answer: Answer) -> dict[str, Any]:
    names = ("request", "state", "message", "deadline", "rows", "reason", "near", "receipt")
    return {name: getattr(answer, name) for name in names}


@router.post(
    "/requests",
    status_code=201,
    response_model=AnswerModel,
    responses={200: {"model": AnswerModel, "description": "Requested before: the earlier request"}},
)
async def create_request(asked: AskedOne, request: Request, caller: Operator, key: Key = None) -> Response:
    """Accepts a request to forget one person. The same Idempotency-Key returns the same request."""
    own_key = None if key is None else f"{caller.holder.id}:{key}"
    (answer,) = await request.app.state.intake.ask([ForgetRequest(asked.subject, caller.holder.id, own_key, asked.by)])
    if answer.is_refused:
        raise desk.refusal(answer)
    return JSONResponse(_answer(answer), 201 if answer.receipt is not None else 200)


@router.post("/requests/bulk", response_model=list[AnswerModel])
async def create_requests(asked: AskedMany, request: Request, caller: Operator) -> Response:
    """Accepts requests to forget many people: an answer for each, in order; a refusal does not stop the others."""
    wishes = [ForgetRequest(subject, caller.holder.id, by=asked.by) for subject in asked.subjects]
    answers = await request.app.state.intake.ask(wishes)
    return JSONResponse([_answer(answer) for answer in answers])


@router.post("/requests/preview")
def preview_requests(asked: Previewed, request: Request, caller: Operator) -> dict[str, Any]:
    """What requests would affect: rows, models, how far each person moves each model, the expected rung and seconds."""
    found = workspace_of(request)
    preview = found.preview([ForgetRequest(subject, caller.holder.id, by=asked.by) for subject in asked.subjects])
    return {**vars(preview), "expected": expected(request.app.state, sum(preview.rows))}


@router.get("/requests")
def list_requests(
    request: Request,
    _caller: Anybody,
    state: RequestState | None = None,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """Requests, newest first, page by page."""
    with workspace_of(request).storage.database.reading() as connection:
        rows = requests.page(connection, state, _decoded(cursor), limit)
    more = _encoded(rows[-1].received, rows[-1].id) if len(rows) == limit else None
    return {"items": [request_view(row) for row in rows], "next": more}


@router.get("/requests/{request_id}")
def get_request(request_id: Identity, request: Request, _caller: Anybody) -> dict[str, Any]:
    """One request, its state, and the certificates that it produced."""
    with workspace_of(request).storage.database.reading() as connection:
        row = _found(requests.by_id(connection, request_id), f"request {request_id!r}")
        made = requests.releases_of(connection, row)
    return {**request_view(row), "certificates": made}


@router.post("/requests/{request_id}/cancel", status_code=204, response_class=Response)
def cancel_request(request_id: Identity, request: Request, caller: Operator) -> None:
    """Withdraws a request that nobody works on yet."""
    with changing("request.cancelled", caller.holder.id, request=request_id):
        workspace_of(request).cancel(request_id)


@router.post("/requests/{request_id}/receipt")
def get_receipt(
    request_id: Annotated[str, Path(pattern=r"^[!-~]{1,64}$")], asked: Owned, request: Request, _caller: Operator
) -> dict[str, str]:
    """The receipt of a request, again, for somebody who knows whose it is."""
    return {"request": request_id, "receipt": workspace_of(request).receipt(request_id, asked.subject).document}


@router.post("/people/show", response_model=DisclosureModel)
def show_person(asked: Shown, request: Request, caller: Operator) -> Disclosure:
    """What is held about a person (GDPR Art. 15 and 20): their rows, and which models learned them. That somebody looked is
    logged, whom they looked up is not."""
    return workspace_of(request).show(asked.subject, by=asked.by, actor=caller.holder.id)


@router.get("/models")
def list_models(request: Request, _caller: Anybody) -> dict[str, Any]:
    """The models, each with its last release."""
    return {"items": [as_json(model) for model in status(workspace_of(request).storage).models]}


@router.get("/models/{name}/capacity")
def get_capacity(name: Name, request: Request, _caller: Anybody) -> dict[str, Any]:
    """How much of a model's capacity to forget is used, and a forecast of what is left."""
    _require_model(request, name)
    report = _plainly(lambda: workspace_of(request).capacity(name))
    forecasts = [vars(forecast) for forecast in report.forecasts]
    return {"text": str(report), "forecasts": forecasts, "budget_used": report.budget_used, "changed": report.changed}


@router.post("/models/{name}/refit")
def refit_model(name: Name, request: Request, caller: Engineer) -> dict[str, Any]:
    """Refits a model now: nothing in its state then depends on anybody forgotten. It resets the budget only if the model's
    schedule says that it is due; otherwise it is charged like any release."""
    _require_model(request, name)
    started = time.perf_counter()
    outcome = workspace_of(request).refit(name)
    about = {"model": name, "release": outcome.number, "certificate": outcome.id}
    changed("release.certified", caller.holder.id, time.perf_counter() - started, **about)
    return {"certificate": outcome.id, "release": outcome.number}


@router.post("/models/{name}/audit")
def audit_model(name: Name, asked: Audited, request: Request, _caller: Checker) -> dict[str, Any]:
    """Audits a model's last release, by retraining and from the outside."""
    _require_model(request, name)
    verdict = _plainly(lambda: audited(workspace_of(request).storage, name, asked.draws))
    return {"text": str(verdict), **json.loads(verdict.to_json())}


@router.get("/models/{name}/releases")
def list_releases(name: Name, request: Request, _caller: Anybody) -> dict[str, Any]:
    """All releases of a model, oldest first."""
    _require_model(request, name)
    with workspace_of(request).storage.database.reading() as connection:
        rows = releases.listed(connection, name)
    return {"items": [{"certificate": row.id, "release": row.number, "at": row.at, "purged": row.purged} for row in rows]}


@router.get("/models/{name}/releases/latest", responses={304: {"description": "That is still the latest release"}})
def latest_release(
    name: Name,
    request: Request,
    response: Response,
    _caller: Serving,
    seen: Annotated[str | None, Header(alias="If-None-Match")] = None,
) -> Any:
    """The published weights, with what is needed to use them. Poll with If-None-Match: 304 costs next to nothing."""
    _require_model(request, name)
    with workspace_of(request).storage.database.reading() as connection:
        last = Published.of(connection, name)
    tag = f'"{last.certificate}"'
    if seen is not None and tag in [part.strip().removeprefix("W/") for part in seen.split(",")]:
        return Response(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return release_view(last)


@router.post("/models/{name}/predictions", response_model=PredictionsModel, response_model_exclude_none=True)
def predict_rows(name: Name, asked: Predicted, request: Request, _caller: Serving) -> dict[str, Any]:
    """What a model's newest release predicts for rows, in their order. They are not stored."""
    _require_model(request, name)
    return predictions_view(predict_records(workspace_of(request).storage, name, asked.rows))


@router.get(
    "/certificates/{number}",
    responses={200: {"content": {"application/json": {}, DSSE: {}}, "description": "in the form asked for"}},
)
def get_certificate(
    number: Number,
    request: Request,
    caller: Public,
    form: Literal["json", "dsse", "evidence", "transcript"] = "json",
    answered: Answered = None,
) -> Response:
    """A certificate: ``json`` to be verified offline, or ``dsse``, its bare envelope. For those who may see the data,
    ``evidence``, or ``transcript``, the signed statement of what all releases can reveal of those whom this one forgot. With
    ``request`` in the query, the ``json`` also proves to the receipt's holder that it answers it; ``transcript`` names it."""
    if form in ("evidence", "transcript") and caller.role == Role.CONSUMER:
        raise HTTPException(403, f"the {form} depends on people's rows: the role consumer may not have it")
    if answered is not None and form in ("dsse", "evidence"):
        raise HTTPException(422, "only the forms json and transcript show that a request is answered: leave form out")
    with workspace_of(request).storage.database.reading() as connection:
        row = _found(releases.release(connection, number), f"certificate {number}")
        covers = None if answered is None else covering(connection, row, answered)
        content = {
            "json": lambda: log.bundle(connection, row.envelope, row.event, covers),
            "dsse": lambda: str(row.envelope),
            "evidence": lambda: json.dumps(certificate_view(connection, row), ensure_ascii=False),
            "transcript": lambda: transcript(workspace_of(request).storage, number, answered)[1],
        }[form]()
    return Response(content, media_type=DSSE if form == "dsse" else "application/json")


@router.get("/log/checkpoint")
def get_checkpoint(request: Request, _caller: Public) -> Response:
    """The newest signed head of the log."""
    with workspace_of(request).storage.database.reading() as connection:
        return Response(_found(log.checkpoint(connection), "checkpoint"), media_type="application/json")


@router.get("/log/events")
def get_events(
    request: Request, _caller: Public, after: Annotated[int, Query(ge=0, le=2**53)] = 0, limit: Limit = 100
) -> dict[str, Any]:
    """Events of the log, oldest first, from the one after ``after``."""
    with workspace_of(request).storage.database.reading() as connection:
        return {"items": [event.content for event in log.entries(connection, after, limit)]}


@router.get("/log/inclusion/{seq}")
def get_inclusion(seq: Number, request: Request, _caller: Public) -> dict[str, Any]:
    """The proof that an event is in the log under the newest checkpoint."""
    with workspace_of(request).storage.database.reading() as connection:
        return vars(_found(log.prove_inclusion(connection, seq), f"event {seq} under a checkpoint"))


@router.get("/log/consistency")
def get_consistency(
    request: Request,
    _caller: Public,
    earlier: Annotated[int, Query(ge=1, le=2**53)],
    later: Annotated[int, Query(ge=1, le=2**53)],
) -> dict[str, Any]:
    """The proof that the log of ``later`` events begins with the log of ``earlier`` events."""
    with workspace_of(request).storage.database.reading() as connection:
        if not earlier <= later <= log.size(connection):
            raise HTTPException(422, f"earlier must be at most later, and later at most {log.size(connection)}")
        return dict(log.prove_consistency(connection, earlier, later))


@router.get("/health")
def get_health(request: Request, response: Response, _caller: Anybody) -> dict[str, Any]:
    """Whether the queue is being worked (503 if not), what stands in its way, and what is overdue."""
    found, health = status(workspace_of(request).storage), request.app.state.worker.health
    response.status_code = 200 if health.late is None else 503
    return {"requests": found.requests, "overdue": found.overdue, **health_view(health)}


def _found(value: T | None, what: str) -> T:
    if value is None:
        raise HTTPException(404, f"there is no {what}")
    return value


def _require_model(request: Request, name: str) -> None:
    with workspace_of(request).storage.database.reading() as connection:
        try:
            releases.named(connection, name)
        except WorkspaceInvalid as error:
            raise HTTPException(404, str(error)) from error


def _plainly(action: Callable[[], T]) -> T:
    """The result of ``action``; a ``ValueError`` is the caller's fault."""
    try:
        return action()
    except ValueError as error:
        raise HTTPException(422, str(error)) from error


def _encoded(received: str, identity: str) -> str:
    return base64.urlsafe_b64encode(f"{received} {identity}".encode()).decode()


def _decoded(cursor: str | None) -> tuple[str, str] | None:
    if cursor is None:
        return None
    try:
        received, _space, identity = base64.b64decode(cursor, b"-_", validate=True).decode().partition(" ")
    except (binascii.Error, ValueError) as error:
        raise HTTPException(422, "this cursor was not issued here: start again without one") from error
    if not identity or "\0" in received + identity:
        raise HTTPException(422, "this cursor was not issued here: start again without one")
    return received, identity

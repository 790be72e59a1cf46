"""Requests over HTTP: made, one or many; considered beforehand; listed; withdrawn."""

import base64
import binascii
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from expunge.ledger import requests
from expunge.ledger.requests import RequestState
from expunge.service.access import Anybody, Operator
from expunge.service.api.answers import found, problem_responses, workspace_of
from expunge.service.bodies import (
    AnswerModel,
    AskedMany,
    AskedOne,
    Identity,
    Key,
    Limit,
    Previewed,
)
from expunge.service.problem_types import Problem
from expunge.service.records import changing
from expunge.service.routing import GuardedRoute
from expunge.service.views import expected, request_view
from expunge.workspace import desk
from expunge.workspace.desk import Answer, ForgetRequest

router = APIRouter(prefix="/v1", responses=problem_responses(), route_class=GuardedRoute)


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
        row = found(requests.by_id(connection, request_id), f"request {request_id!r}")
        made = requests.releases_of(connection, row)
    return {**request_view(row), "certificates": made}


@router.post("/requests/{request_id}/cancel", status_code=204, response_class=Response)
def cancel_request(request_id: Identity, request: Request, caller: Operator) -> None:
    """Withdraws a request that nobody works on yet."""
    with changing("request.cancelled", caller.holder.id, request=request_id):
        workspace_of(request).cancel(request_id)


def _answer(answer: Answer) -> dict[str, Any]:
    names = ("request", "state", "message", "deadline", "rows", "reason", "near", "receipt")
    return {name: getattr(answer, name) for name in names}


def _encoded(received: str, identity: str) -> str:
    return base64.urlsafe_b64encode(f"{received} {identity}".encode()).decode()


def _decoded(cursor: str | None) -> tuple[str, str] | None:
    if cursor is None:
        return None
    try:
        received, _space, identity = base64.b64decode(cursor, b"-_", validate=True).decode().partition(" ")
    except (binascii.Error, ValueError) as error:
        raise Problem("invalid-cursor", "this cursor was not issued here: start again without one") from error
    if not identity or "\0" in received + identity:
        raise Problem("invalid-cursor", "this cursor was not issued here: start again without one")
    return received, identity

"""Requests over HTTP: made, one or many; considered beforehand; looked at."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from expunge.errors import Refusal
from expunge.ledger import requests
from expunge.ledger.tokens import Role
from expunge.service.access import Anybody, Operator
from expunge.service.api.answers import found, plainly, problem_responses, workspace_of
from expunge.service.bodies import (
    AnswerModel,
    AskedMany,
    AskedOne,
    Identity,
    Key,
    Previewed,
    PreviewModel,
)
from expunge.service.casework import OneRequestModel
from expunge.service.routing import GuardedRoute
from expunge.service.views import case_view, expected, request_view
from expunge.workspace import desk
from expunge.workspace.asking import Answer, Call, ForgetRequest

router = APIRouter(prefix="/v1", responses=problem_responses(), route_class=GuardedRoute)


@router.post(
    "/requests",
    status_code=201,
    response_model=AnswerModel,
    responses={200: {"model": AnswerModel, "description": "Requested before: the earlier request"}},
)
async def create_request(asked: AskedOne, request: Request, caller: Operator, key: Key = None) -> Response:
    """Accepts a request to forget one person, or to restrict the processing of their data. The same call again with the same
    Idempotency-Key gets the same answer, with the receipt; another call with it is refused."""
    own_key = None if key is None else f"{caller.holder.id}:{key}"
    case = plainly(lambda: asked.case)
    wish = ForgetRequest(asked.subject, caller.holder.id, own_key, asked.by, case, kind=asked.kind, ground=asked.ground)
    (answer,) = await request.app.state.intake.ask([wish])
    if answer.is_refused:
        raise desk.refusal(answer)
    return JSONResponse(_answer(answer), 201 if answer.receipt is not None else 200)


@router.post("/requests/bulk", response_model=list[AnswerModel])
async def create_requests(asked: AskedMany, request: Request, caller: Operator, key: Key = None) -> Response:
    """Accepts requests of many people: an answer for each, in order; a refusal does not stop the others. The same call
    again with the same Idempotency-Key gets the same answers, with the receipts; another call with it is refused."""
    case = plainly(lambda: asked.case)
    call = None if key is None else Call(f"{caller.holder.id}:{key}")
    wishes = [
        ForgetRequest(subject, caller.holder.id, by=asked.by, case=case, call=call, kind=asked.kind, ground=asked.ground)
        for subject in asked.subjects
    ]
    answers = await request.app.state.intake.ask(wishes)
    if call is not None and answers[0].reason == Refusal.KEY_REUSED:
        raise desk.refusal(answers[0])
    return JSONResponse([_answer(answer) for answer in answers])


@router.post("/requests/preview", response_model=PreviewModel)
def preview_requests(asked: Previewed, request: Request, caller: Operator) -> dict[str, Any]:
    """What requests would affect: rows, models, how far each person moves each model, the expected rung and seconds."""
    found = workspace_of(request)
    preview = found.preview([ForgetRequest(subject, caller.holder.id, by=asked.by) for subject in asked.subjects])
    return {**vars(preview), "expected": expected(request.app.state, sum(preview.rows))}


@router.get("/requests/{request_id}", response_model=OneRequestModel, response_model_exclude_unset=True)
def get_request(request_id: Identity, request: Request, caller: Anybody) -> dict[str, Any]:
    """One request, its state, and its certificates; for operators and auditors, with what the office notes of it."""
    with workspace_of(request).storage.database.reading() as connection:
        row = found(requests.by_id(connection, request_id), f"request {request_id!r}")
        made = requests.releases_of(connection, row)
        noted = case_view(connection, request_id) if caller.role in (Role.OPERATOR, Role.AUDITOR) else {}
    return {**request_view(row), "certificates": made, **noted}


def _answer(answer: Answer) -> dict[str, Any]:
    names = ("request", "state", "message", "deadline", "rows", "reason", "near", "receipt")
    return {name: getattr(answer, name) for name in names}

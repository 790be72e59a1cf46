"""What officers do with requests over HTTP: extend, refuse, withdraw, approve, note, lift; and what was done."""

from typing import Any

from fastapi import APIRouter, Request, Response

from expunge.service.access import Anybody, Operator
from expunge.service.api.answers import plainly, problem_responses, workspace_of
from expunge.service.bodies import Identity
from expunge.service.casework import (
    ApprovedModel,
    DeadlineModel,
    Extended,
    HistoryModel,
    Lifted,
    RefusedFor,
    Withdrawn,
    Written,
)
from expunge.service.records import changing
from expunge.service.routing import GuardedRoute
from expunge.workspace import handling, register

router = APIRouter(prefix="/v1", responses=problem_responses(), route_class=GuardedRoute)


@router.post("/requests/{request_id}/extend", response_model=DeadlineModel)
def extend_request(request_id: Identity, asked: Extended, request: Request, caller: Operator) -> dict[str, Any]:
    """Extends the deadline, once, by one month or two. The person must be told of it, and why, before the first ends."""
    with changing("request.extended", caller.holder.id, request=request_id):
        storage = workspace_of(request).storage
        deadline = plainly(lambda: handling.extend(storage, request_id, asked.months, asked.reason, caller.holder.id))
    return {"request": request_id, "deadline": deadline}


@router.post("/requests/{request_id}/refuse", status_code=204, response_class=Response)
def refuse_request(request_id: Identity, asked: RefusedFor, request: Request, caller: Operator) -> None:
    """Refuses an accepted request that nobody has worked on, for one of the reasons that the law allows."""
    with changing("request.refused", caller.holder.id, request=request_id):
        handling.refuse(workspace_of(request).storage, request_id, asked.reason, caller.holder.id)


@router.post("/requests/{request_id}/cancel", status_code=204, response_class=Response)
def cancel_request(request_id: Identity, request: Request, caller: Operator, asked: Withdrawn | None = None) -> None:
    """Withdraws a request that nobody has worked on; without a body, because the person did."""
    reason = (asked or Withdrawn()).reason
    with changing("request.cancelled", caller.holder.id, request=request_id):
        handling.withdraw(workspace_of(request).storage, request_id, reason, caller.holder.id)


@router.post("/requests/{request_id}/approve", response_model=ApprovedModel)
def approve_request(request_id: Identity, request: Request, caller: Operator) -> dict[str, Any]:
    """Approves a request and all that came in the same call, with another token than they were made with."""
    with changing("request.approved", caller.holder.id, request=request_id):
        return {"requests": handling.approve(workspace_of(request).storage, request_id, caller.holder.id)}


@router.post("/requests/{request_id}/lift", status_code=204, response_class=Response)
def lift_request(request_id: Identity, asked: Lifted, request: Request, caller: Operator) -> None:
    """Lifts a restriction of processing that stands: with the next round of work, every model learns the person's rows again.
    The person must be told before."""
    with changing("request.lifted", caller.holder.id, request=request_id):
        storage = workspace_of(request).storage
        plainly(lambda: handling.lift(storage, request_id, asked.reason, caller.holder.id, is_informed=asked.informed))


@router.post("/requests/{request_id}/notes", status_code=204, response_class=Response)
def note_request(request_id: Identity, asked: Written, request: Request, caller: Operator) -> None:
    """Adds a note, which goes with the term of the tombstone."""
    with changing("request.noted", caller.holder.id, request=request_id):
        plainly(lambda: handling.note(workspace_of(request).storage, request_id, asked.text, caller.holder.id))


@router.get("/requests/{request_id}/history", response_model=HistoryModel)
def get_history(request_id: Identity, request: Request, _caller: Anybody) -> dict[str, Any]:
    """What happened to a request: who did it, when, why, and the number of the event in the signed log."""
    return {"items": [vars(entry) for entry in register.history(workspace_of(request).storage, request_id)]}

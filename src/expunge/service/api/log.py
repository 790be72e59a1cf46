"""The signed log over HTTP: its events, its newest head, and the proofs that it keeps what it said."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response

from expunge.ledger import log
from expunge.service.access import Public
from expunge.service.api.answers import found, problem_responses, workspace_of
from expunge.service.bodies import (
    Limit,
    Number,
)
from expunge.service.routing import GuardedRoute

router = APIRouter(prefix="/v1", responses=problem_responses(), route_class=GuardedRoute)


@router.get("/log/checkpoint")
def get_checkpoint(request: Request, _caller: Public) -> Response:
    """The newest signed head of the log."""
    with workspace_of(request).storage.database.reading() as connection:
        return Response(found(log.checkpoint(connection), "checkpoint"), media_type="application/json")


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
        return vars(found(log.prove_inclusion(connection, seq), f"event {seq} under a checkpoint"))


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

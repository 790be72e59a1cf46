"""The signed log over HTTP: its events, its newest head, and the proofs that it keeps what it said."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response

from expunge.ledger import log
from expunge.service.access import Public
from expunge.service.api.answers import found, problem_responses, workspace_of
from expunge.service.api.proof_bodies import EnvelopeModel, EventsModel, InclusionModel, LogFileModel, ProofModel
from expunge.service.bodies import ComparedModel, KeptCheckpoint, Limit, Number
from expunge.service.comparing import compared
from expunge.service.routing import GuardedRoute

router = APIRouter(prefix="/v1", responses=problem_responses(), route_class=GuardedRoute)


@router.get("/log/checkpoint", responses={200: {"model": EnvelopeModel, "description": "The signed head"}})
def get_checkpoint(request: Request, _caller: Public) -> Response:
    """The newest signed head of the log."""
    with workspace_of(request).storage.database.reading() as connection:
        return Response(found(log.checkpoint(connection), "checkpoint"), media_type="application/json")


@router.get("/log/export", responses={200: {"model": LogFileModel, "description": "The file"}})
def export_log(request: Request, _caller: Public) -> Response:
    """The whole log under its newest checkpoint, which anybody with the keys can verify."""
    with workspace_of(request).storage.database.reading() as connection:
        content = log.export(connection)
    headers = {"Content-Disposition": 'attachment; filename="log.json"'}
    return Response(content, media_type="application/json", headers=headers)


@router.post("/log/compare", response_model=ComparedModel)
def compare_log(asked: KeptCheckpoint, request: Request, _caller: Public) -> dict[str, Any]:
    """Whether the log still begins with the events of a checkpoint that somebody kept, with the proof."""
    result = compared(workspace_of(request).storage, asked.checkpoint)
    size = None if result.kept is None else result.kept.size
    return {"right": result.is_right, "message": result.message, "events": size, "file": result.file or None}


@router.get("/log/events", response_model=EventsModel)
def get_events(
    request: Request, _caller: Public, after: Annotated[int, Query(ge=0, le=2**53)] = 0, limit: Limit = 100
) -> dict[str, Any]:
    """Events of the log, oldest first, from the one after ``after``."""
    with workspace_of(request).storage.database.reading() as connection:
        return {"items": [event.content for event in log.entries(connection, after, limit)]}


@router.get("/log/inclusion/{seq}", response_model=InclusionModel, response_model_exclude_unset=True)
def get_inclusion(seq: Number, request: Request, _caller: Public) -> dict[str, Any]:
    """The proof that an event is in the log under the newest checkpoint."""
    with workspace_of(request).storage.database.reading() as connection:
        return vars(found(log.prove_inclusion(connection, seq), f"event {seq} under a checkpoint"))


@router.get("/log/consistency", response_model=ProofModel, response_model_exclude_unset=True)
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

"""Rows over HTTP: added, and corrected. What is sent is kept in memory until its job is done."""

from typing import Any

from fastapi import APIRouter, Request, Response

from expunge.ledger.jobs import JobKind
from expunge.service.access import Engineer, Operator
from expunge.service.api.answers import problem_responses, workspace_of
from expunge.service.api.job_bodies import CorrectedRows, NewRows
from expunge.service.api.jobs import ACCEPTED, accepted, queued
from expunge.service.routing import GuardedRoute
from expunge.workspace.people import People

router = APIRouter(prefix="/v1", responses=problem_responses(), route_class=GuardedRoute, tags=["rows"])


@router.post("/rows", **ACCEPTED)
def append_rows(asked: NewRows, request: Request, response: Response, caller: Engineer) -> dict[str, Any]:
    """Adds rows to the table and learns them in every model, as a job. The same rows again do nothing, so they may be sent
    again after a failure. For files and databases there is `expunge append`."""
    given = asked.model_dump(exclude={"rows"})
    return accepted(response, queued(request, caller, JobKind.APPEND, wanted=given, rows={"rows": asked.rows}))


@router.post("/rows/rectify", **ACCEPTED)
def rectify_rows(asked: CorrectedRows, request: Request, response: Response, caller: Operator) -> dict[str, Any]:
    """Replaces all rows of one person, in the table and in every model (GDPR Art. 16), as a job. Its result names a request,
    whose receipt can then be had."""
    People(workspace_of(request).storage).one(asked.subject)  # refused at once if nobody has this id
    given = {"accept_undeclared": asked.accept_undeclared}
    held = {"subject": asked.subject, "rows": asked.rows}
    return accepted(response, queued(request, caller, JobKind.RECTIFY, wanted=given, rows=held))

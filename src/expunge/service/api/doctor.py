"""The doctor over HTTP: whether the workspace is sound."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from expunge.ledger.jobs import JobKind
from expunge.service.access import Checker
from expunge.service.api.answers import problem_responses, workspace_of
from expunge.service.api.job_bodies import Examined, FindingsModel
from expunge.service.api.jobs import ACCEPTED, accepted, queued
from expunge.service.routing import GuardedRoute
from expunge.workspace.doctor import examine

router = APIRouter(prefix="/v1", responses=problem_responses(), route_class=GuardedRoute, tags=["operation"])


@router.get("/doctor", response_model=FindingsModel)
def examine_now(request: Request, _caller: Checker) -> dict[str, Any]:
    """The checks that take seconds whatever the workspace's size, made now."""
    findings = list(examine(workspace_of(request).storage, "seconds"))
    return {"is_well": not any(found.problem for found in findings), "findings": [asdict(found) for found in findings]}


@router.post("/doctor", **ACCEPTED)
def examine_deeper(asked: Examined, request: Request, response: Response, caller: Checker) -> dict[str, Any]:
    """The checks that read every file, every row or retrain every model, as a job."""
    return accepted(response, queued(request, caller, JobKind.EXAMINE, wanted={"depth": asked.depth}))

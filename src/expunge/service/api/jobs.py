"""Jobs over HTTP: long work is asked for, followed and withdrawn."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response

from expunge.ledger import jobs
from expunge.ledger.jobs import Job, JobKind, JobState
from expunge.ledger.tokens import Role
from expunge.service.access import Anybody, Caller
from expunge.service.api.answers import found, problem_responses, workspace_of
from expunge.service.api.job_bodies import JobModel, JobsPage
from expunge.service.bodies import Limit, Number
from expunge.service.jobs import Jobs, TooManyJobs
from expunge.service.routing import GuardedRoute

router = APIRouter(prefix="/v1", responses=problem_responses(), route_class=GuardedRoute, tags=["jobs"])
ACCEPTED: dict[str, Any] = {
    "status_code": 202,
    "response_model": JobModel,
    "responses": {
        202: {
            "description": "A job, which Location names",
            "headers": {"Location": {"schema": {"type": "string"}}, "Retry-After": {"schema": {"type": "integer"}}},
        }
    },
}
"""How a route that queues a job is declared."""


def jobs_of(request: Request) -> Jobs:
    """The service's jobs."""
    made: Jobs = request.app.state.jobs
    return made


def queued(
    request: Request,
    caller: Caller,
    kind: JobKind,
    model: str | None = None,
    wanted: Mapping[str, Any] | None = None,
    rows: Mapping[str, Any] | None = None,
) -> Job:
    """A new job; 429 if as many wait as are kept. See ``Jobs.ask``."""
    try:
        return jobs_of(request).ask(kind, caller.holder.id, model, wanted or {}, rows)
    except TooManyJobs as error:
        raise HTTPException(429, str(error), {"Retry-After": "60"}) from None


def accepted(response: Response, job: Job) -> dict[str, Any]:
    """The answer 202 about a job."""
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    response.headers["Retry-After"] = "2"
    return job_view(job)


def job_view(job: Job) -> dict[str, Any]:
    """A job as JSON values."""
    names = ("kind", "model", "state", "actor", "asked", "started", "ended", "progress", "cause", "problem")
    result = None if job.result is None else json.loads(job.result)
    return {"job": job.id, **{name: getattr(job, name) for name in names}, "result": result}


def job_of(request: Request, number: int) -> Job:
    """The job with this number; 404 if there is none."""
    with workspace_of(request).storage.database.reading() as connection:
        return found(jobs.by_id(connection, number), f"job {number}")


def withdraw(request: Request, caller: Caller, number: int) -> None:
    """Withdraws a job that is queued; 403 for another's, unless the caller is an engineer, 409 if it has begun."""
    job = job_of(request, number)
    if caller.role != Role.ENGINEER and job.actor != caller.holder.id:
        raise HTTPException(403, "somebody else asked for this job: ask an engineer to cancel it")
    if not jobs_of(request).cancel(number, caller.holder.id):
        raise HTTPException(409, f"job {number} is no longer waiting: only a job that has not begun can be cancelled")


@router.get("/jobs", response_model=JobsPage)
def list_jobs(
    request: Request,
    _caller: Anybody,
    state: JobState | None = None,
    kind: JobKind | None = None,
    before: Annotated[int | None, Query(ge=1, le=2**53, description="Only jobs with a smaller number.")] = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """Long work that was asked for, newest first."""
    with workspace_of(request).storage.database.reading() as connection:
        rows = jobs.listed(connection, limit, before=before, state=state, kind=kind)
    return {"items": [job_view(row) for row in rows], "next": rows[-1].id if len(rows) == limit else None}


@router.get("/jobs/{number}", response_model=JobModel)
def get_job(number: Number, request: Request, response: Response, _caller: Anybody) -> dict[str, Any]:
    """One job: what it is doing, or what became of it."""
    job = job_of(request, number)
    if job.state.is_open:
        response.headers["Retry-After"] = "2"
    return job_view(job)


@router.post("/jobs/{number}/cancel", status_code=204, response_class=Response)
def cancel_job(number: Number, request: Request, caller: Anybody) -> None:
    """Withdraws a job that has not begun: one's own, or as an engineer any."""
    withdraw(request, caller, number)

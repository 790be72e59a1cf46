"""The pages of jobs: one job while it waits and is done, and what became of it."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.responses import Response

from expunge.ledger import tokens
from expunge.ledger.jobs import Job, JobKind, JobState
from expunge.ledger.tokens import Role
from expunge.service import words
from expunge.service.access import Caller
from expunge.service.api.answers import workspace_of
from expunge.service.api.jobs import job_of, withdraw
from expunge.service.bodies import Number
from expunge.service.pages.rendering import Visitor, render
from expunge.service.routing import GuardedRoute

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)


def names_of(request: Request) -> dict[str, str]:
    """The names of all holders of tokens, by id."""
    with workspace_of(request).storage.database.reading() as connection:
        return {row.id: row.name for row in tokens.listed(connection)}


def job_line(job: Job, names: dict[str, str], caller: Caller) -> dict[str, Any]:
    """What pages show of a job."""
    is_waiting = job.state == JobState.QUEUED
    where = "audits" if job.kind == JobKind.AUDIT else "jobs"
    return {
        "job": job,
        "what": words.of_job(job),
        "state": words.STATES[job.state],
        "who": names.get(job.actor, job.actor),
        "told": words.told_of(job),
        "cause": None if job.cause is None else words.CAUSES.get(job.cause, job.cause),
        "can_cancel": is_waiting and (caller.role == Role.ENGINEER or job.actor == caller.holder.id),
        "path": f"/{where}/{job.id}",
    }


@router.get("/jobs/{number}")
def job_page(request: Request, caller: Visitor, number: Number) -> Response:
    """A job."""
    job = job_of(request, number)
    line = job_line(job, names_of(request), caller)
    return render(request, "job.html", line=line, findings=words.result_of(job).get("findings", []))


@router.get("/jobs/{number}/state")
def job_state(request: Request, caller: Visitor, number: Number) -> Response:
    """The part of a job's page that changes; once it has ended, the whole page is loaded again."""
    job = job_of(request, number)
    answer = render(request, "job_state.html", line=job_line(job, names_of(request), caller))
    if not job.state.is_open:
        answer.headers["HX-Refresh"] = "true"
    return answer


@router.post("/jobs/{number}/cancel")
def cancel_job(request: Request, caller: Visitor, number: Number) -> Response:
    """Withdraws a job that has not begun."""
    withdraw(request, caller, number)
    return RedirectResponse(f"{request.scope.get('root_path', '')}/jobs/{number}", 303)

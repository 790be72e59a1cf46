"""The page of the operation: worker, queue, what is stuck and why, jobs, tokens, instances, the doctor, versions."""

import platform
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.responses import Response

from expunge.ledger import jobs, register, requests, stuck, tokens
from expunge.ledger.database import HEAD
from expunge.ledger.jobs import JobKind
from expunge.ledger.server import server_of
from expunge.service import words
from expunge.service.api.answers import workspace_of
from expunge.service.api.job_bodies import Examined
from expunge.service.api.jobs import jobs_of, queued
from expunge.service.api.tokens import revoke
from expunge.service.pages.jobs import job_line, names_of
from expunge.service.pages.rendering import Checker, Engineer, render
from expunge.service.routing import GuardedRoute
from expunge.unlearning.release import VERSION
from expunge.workspace.doctor import DEPTHS, Depth

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)
SHOWN = 20
TAKES: dict[Depth, str] = {
    "seconds": "what takes seconds",
    "minutes": "also every file and every entry",
    "models": "also every model against the rows",
    "everything": "also retrain every model",
}


@router.get("/operation")
def operation(request: Request, caller: Checker) -> Response:
    """Whether everything works, and what does not."""
    storage, running = workspace_of(request).storage, jobs_of(request)
    health = request.app.state.worker.health
    with storage.database.reading() as connection:
        why_stuck = stuck.by_problem(connection, SHOWN)
        listed, instances = jobs.listed(connection, SHOWN), jobs.all_instances(connection)
        counts, oldest = register.counts(connection), register.open_requests(connection, 1)
        issued, waiting, server = tokens.listed(connection), jobs.waiting(connection), server_of(connection)
    names = names_of(request)
    values: dict[str, Any] = {
        "health": health,
        "now": datetime.now(UTC),
        "oldest": oldest[0] if oldest else None,
        "open": sum(count for state, count in counts.items() if state in requests.OPEN),
        "stuck": why_stuck,
        "causes": words.CAUSES,
        "lines": [job_line(row, names, caller) for row in listed],
        "n_waiting": len(waiting),
        "are_jobs_done": running.is_alive,
        "instances": instances,
        "own": running.instance.id,
        "tokens": issued,
        "depths": TAKES,
        "versions": {
            "Expunge": VERSION,
            "Python": platform.python_version(),
            "database": server,
            "revision of the ledger's tables": HEAD,
        },
    }
    return render(request, "operation.html", **values)


@router.post("/operation/doctor")
def examine(request: Request, caller: Checker, depth: Annotated[str, Form(max_length=20)] = "minutes") -> Response:
    """Queues an examination of the workspace."""
    wanted = Examined(depth=next((known for known in DEPTHS if known == depth), "minutes"))
    job = queued(request, caller, JobKind.EXAMINE, wanted=wanted.model_dump())
    return RedirectResponse(f"{request.scope.get('root_path', '')}/jobs/{job.id}", 303)


@router.post("/operation/tokens/{identity}/revoke")
def revoke_token(request: Request, caller: Engineer, identity: Annotated[str, Path(pattern=r"^[0-9a-f]{1,64}$")]) -> Response:
    """Revokes a token."""
    revoke(request, identity, caller)
    return RedirectResponse(f"{request.scope.get('root_path', '')}/operation#tokens", 303)

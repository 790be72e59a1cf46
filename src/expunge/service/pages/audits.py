"""The pages of audits: all that were made, and the verdict of each with its figure and downloads."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.responses import Response

from expunge.errors import WorkspaceInvalid
from expunge.ledger import jobs, releases
from expunge.ledger.jobs import Job, JobKind, JobState
from expunge.service import charts, words
from expunge.service.api.answers import found, workspace_of
from expunge.service.api.jobs import job_of, queued
from expunge.service.bodies import Number
from expunge.service.pages.jobs import job_line, names_of
from expunge.service.pages.rendering import Checker, Visitor, pages, render
from expunge.service.routing import GuardedRoute

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)
DRAWS = {"500": 500, "1000": 1000, "5000": 5000}
SHOWN = 50


@router.get("/audits")
def audits(request: Request, caller: Checker) -> Response:
    """The form that starts an audit, and all that were made."""
    return _listed(request, caller)


@router.post("/audits")
def start_audit(
    request: Request,
    caller: Checker,
    model: Annotated[str, Form(max_length=64, pattern="^[!-~]*$")] = "",
    draws: Annotated[str, Form(max_length=6)] = "1000",
) -> Response:
    """Queues the audit of a model."""
    with workspace_of(request).storage.database.reading() as connection:
        try:
            releases.named(connection, model)
        except WorkspaceInvalid as error:
            return _listed(request, caller, str(error), model)
    job = queued(request, caller, JobKind.AUDIT, model, {"draws": DRAWS.get(draws, 1000)})
    return RedirectResponse(f"{request.scope.get('root_path', '')}/audits/{job.id}", 303)


@router.get("/audits/{number}")
def audit(request: Request, caller: Visitor, number: Number) -> Response:
    """An audit: how far it is, or its verdict."""
    job = _audit(request, number)
    line, result = job_line(job, names_of(request), caller), words.result_of(job)
    plot = charts.trade_off(result["verdict"]["black_box"]) if result else None
    return render(request, "audit.html", line=line, result=result, plot=plot)


@router.get("/audits/{number}/verdict.json")
def verdict_file(request: Request, caller: Visitor, number: Number) -> Response:
    """The numbers of an audit, as a file."""
    content = json.dumps(_verdict(request, number), indent=2, ensure_ascii=False)
    return _file(content, f"audit-{number}.json", "application/json")


@router.get("/audits/{number}/figure.svg")
def figure_file(request: Request, caller: Visitor, number: Number) -> Response:
    """The figure of an audit, as a file."""
    plot = charts.trade_off(_verdict(request, number)["verdict"]["black_box"])
    content = pages.get_template("trade_off.svg").render(plot=plot, root="")
    return _file(content, f"audit-{number}.svg", "image/svg+xml")


def _listed(request: Request, caller: Checker, problem: str = "", model: str = "") -> Response:
    with workspace_of(request).storage.database.reading() as connection:
        rows, models = jobs.listed(connection, SHOWN, kind=JobKind.AUDIT), releases.all_models(connection)
    names = names_of(request)
    lines = [{**job_line(row, names, caller), "result": words.result_of(row)} for row in rows]
    values = {"models": models, "lines": lines, "draws": DRAWS, "problem": problem, "model": model}
    return render(request, "audits.html", 422 if problem else 200, **values)


def _audit(request: Request, number: int) -> Job:
    job = job_of(request, number)
    return found(job if job.kind == JobKind.AUDIT else None, f"audit {number}")


def _verdict(request: Request, number: int) -> dict[str, Any]:
    job = _audit(request, number)
    result = words.result_of(job) if job.state == JobState.DONE else {}
    return found(result or None, f"verdict of audit {number}")


def _file(content: str, name: str, kind: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(content, media_type=kind, headers=headers)

"""The pages of models: all of them, and each with what it has released and what can be done with it."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.responses import Response

from expunge.errors import ExpungeError, missing
from expunge.ledger import jobs, pulls, releases
from expunge.ledger.jobs import JobKind
from expunge.service import charts, words
from expunge.service.access import Caller
from expunge.service.api.answers import plainly, workspace_of
from expunge.service.api.jobs import jobs_of, queued
from expunge.service.api.model_bodies import Outside
from expunge.service.api.models import held_up_by, model_of
from expunge.service.bodies import Name
from expunge.service.pages.jobs import job_line, names_of
from expunge.service.pages.rendering import Checker, Engineer, Visitor, render
from expunge.service.pulled import handed_out
from expunge.service.routing import GuardedRoute
from expunge.workspace.quality.page import report_body
from expunge.workspace.status import ModelStatus, living_models

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)
TIMELINE = 40
"""Number of a model's releases on its timeline."""
SHOWN = 50
FORMS: dict[Outside, str] = {"json": "JSON", "sklearn": "scikit-learn", "onnx": "ONNX", "sql": "SQL"}
ENDINGS: dict[Outside, str] = {"json": "json", "sklearn": "skops", "onnx": "onnx", "sql": "sql"}


@router.get("/models")
def models(request: Request, caller: Visitor) -> Response:
    """The models, how many more people each can forget, and what stands in the way."""
    found = living_models(workspace_of(request).storage)
    return render(request, "models.html", rows=[_about(request, model) for model in found])


@router.get("/models/{name}")
def model_page(request: Request, caller: Visitor, name: Name) -> Response:
    """A model."""
    return _page(request, caller, name)


@router.post("/models/{name}")
def measure_model(request: Request, caller: Checker, name: Name) -> Response:
    """Fits it again without the people held out, and shows its quality. Nothing of that is kept."""
    found = model_of(request, name)
    try:
        body = report_body(workspace_of(request).quality.explain(name))
    except (ExpungeError, ValueError) as error:
        return _page(request, caller, name, 422, problem=str(error))
    return render(request, "measured.html", model=found, body=body)


@router.post("/models/{name}/refit")
def refit_model(request: Request, caller: Engineer, name: Name) -> Response:
    """Queues a refit."""
    model_of(request, name)
    return _follow(request, queued(request, caller, JobKind.REFIT, name).id)


@router.post("/models/{name}/retire")
def retire_model(
    request: Request, caller: Engineer, name: Name, confirmed: Annotated[str, Form(max_length=100)] = ""
) -> Response:
    """Queues the withdrawal of a model, if its name was typed."""
    model_of(request, name)
    if confirmed.strip() != name:
        return _page(request, caller, name, 422, unconfirmed=confirmed)
    return _follow(request, queued(request, caller, JobKind.RETIRE, name).id)


@router.get("/models/{name}/export/{form}")
def export_model(request: Request, caller: Engineer, name: Name, form: Outside) -> Response:
    """The newest release, for use elsewhere."""
    try:
        made = plainly(lambda: handed_out(request, name, form, "duckdb", "people", caller))
    except ModuleNotFoundError as error:
        raise HTTPException(422, missing(error) or "the service cannot write this form") from error
    head = f'attachment; filename="{name}-{made.release}.{ENDINGS[form]}"'
    headers = {"Content-Disposition": head, "Cache-Control": "no-store"}
    return Response(made.content, media_type="application/octet-stream", headers=headers)


def _follow(request: Request, number: int) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/jobs/{number}", 303)


def _about(request: Request, model: ModelStatus) -> dict[str, Any]:
    """What both pages say of a model."""
    forecast = jobs_of(request).forecasts.of(model.name, model.certificate)
    report = None if forecast is None else forecast.report
    return {
        "model": model,
        "is_known": forecast is not None,
        "can_forget": None if report is None else words.can_forget(report),
        "hardest": None if report is None else words.hardest(report),
        "regime": None if report is None else words.REGIMES[report.regime],
        "spent": None if report is None else words.Spent.of(report.budget_used),
        "without": None if forecast is None else forecast.problem,
        "held": held_up_by(request, model.name),
    }


def _page(
    request: Request, caller: Caller, name: str, status_code: int = 200, *, problem: str = "", unconfirmed: str | None = None
) -> Response:
    model = model_of(request, name)
    with workspace_of(request).storage.database.reading() as connection:
        made = releases.listed(connection, name, SHOWN)
        rows, pulled = jobs.listed(connection, 5, model=name), pulls.of(connection, name)
    names = names_of(request)
    values = {
        "about": _about(request, model),
        "model": model,
        "releases": [(row, words.WHY[row.kind], pulled.get(row.id, [])) for row in made[::-1]],
        "further": model.release - len(made),
        "chart": charts.spending(made[-TIMELINE:]),
        "lines": [job_line(row, names, caller) for row in rows],
        "forms": FORMS,
    }
    return render(request, "model.html", status_code, problem=problem, unconfirmed=unconfirmed, **values)

"""Models over HTTP: what they can still forget, fits, refits, audits, releases and predictions."""

import math
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Query, Request, Response

from expunge.errors import missing
from expunge.ledger import pulls, releases, stuck
from expunge.ledger.jobs import JobKind
from expunge.service.access import Anybody, Checker, Engineer, Serving
from expunge.service.api.answers import found, plainly, problem_responses, require_model, workspace_of
from expunge.service.api.job_bodies import WantedModel
from expunge.service.api.jobs import ACCEPTED, accepted, jobs_of, queued
from expunge.service.api.model_bodies import CapacityModel, ModelDetail, ModelsModel, Outside, PublishedModel, ReleasesModel
from expunge.service.bodies import (
    Audited,
    Name,
    Predicted,
    PredictionsModel,
)
from expunge.service.pulled import handed_out, note_pull
from expunge.service.routing import GuardedRoute
from expunge.service.views import predictions_view, release_view
from expunge.unlearning.report import CapacityReport
from expunge.workspace.exports.sql import Dialect
from expunge.workspace.predicting import predict_records
from expunge.workspace.published import Published
from expunge.workspace.status import ModelStatus, as_json, living_models

router = APIRouter(prefix="/v1", responses=problem_responses(), route_class=GuardedRoute, tags=["models"])
HELD = 5
"""Number of requests that a model holds up which are named; all are counted."""
TableName = Annotated[
    str, Query(pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,99}$", description="For SQL: the table of the raw columns.")
]


@router.get("/models", response_model=ModelsModel)
def list_models(request: Request, _caller: Anybody) -> dict[str, Any]:
    """The models, each with its last release."""
    return {"items": [as_json(model) for model in living_models(workspace_of(request).storage)]}


@router.post("/models", **ACCEPTED)
def fit_model(asked: WantedModel, request: Request, response: Response, caller: Engineer) -> dict[str, Any]:
    """Fits a new model on the table and certifies its first release, as a job. People who have asked to be forgotten are left
    out."""
    storage = workspace_of(request).storage
    with storage.database.reading() as connection:
        if releases.model(connection, asked.name) is not None:
            raise HTTPException(409, f"a model {asked.name!r} exists or existed: choose another name")
    if asked.target not in storage.table.columns.names:
        raise HTTPException(422, f"the table has no column {asked.target!r}: it has {', '.join(storage.table.columns.names)}")
    return accepted(response, queued(request, caller, JobKind.FIT, asked.name, asked.how))


@router.get("/models/{name}", response_model=ModelDetail)
def get_model(name: Name, request: Request, _caller: Anybody) -> dict[str, Any]:
    """One model: its last release, what it can still forget, and what it holds up."""
    model = model_of(request, name)
    forecast = jobs_of(request).forecasts.of(name, model.certificate)
    report = None if forecast is None else forecast.report
    about = {"waiting": held_up_by(request, name)[0], "capacity": None if report is None else _capacity(report)}
    return {**as_json(model), **about}


@router.get("/models/{name}/capacity", response_model=CapacityModel)
def get_capacity(name: Name, request: Request, _caller: Anybody) -> dict[str, Any]:
    """How much of a model's capacity to forget is used, and a forecast of what is left."""
    require_model(request, name)
    return _capacity(plainly(lambda: workspace_of(request).capacity(name)))


@router.post("/models/{name}/refit", **ACCEPTED)
def refit_model(name: Name, request: Request, response: Response, caller: Engineer) -> dict[str, Any]:
    """Refits a model, as a job: nothing in its state then depends on anybody forgotten. It resets the budget only if the
    model's schedule says that it is due; otherwise it is charged like any release."""
    require_model(request, name)
    return accepted(response, queued(request, caller, JobKind.REFIT, name))


@router.post("/models/{name}/retire", **ACCEPTED)
def retire_model(name: Name, request: Request, response: Response, caller: Engineer) -> dict[str, Any]:
    """Withdraws a model for good, as a job: its state and the weights of all its releases are destroyed. Certificates stay."""
    require_model(request, name)
    return accepted(response, queued(request, caller, JobKind.RETIRE, name))


@router.post("/models/{name}/audit", **ACCEPTED)
def audit_model(name: Name, asked: Audited, request: Request, response: Response, caller: Checker) -> dict[str, Any]:
    """Audits a model's last release, by retraining and from the outside, as a job."""
    require_model(request, name)
    return accepted(response, queued(request, caller, JobKind.AUDIT, name, {"draws": asked.draws}))


@router.get("/models/{name}/releases", response_model=ReleasesModel)
def list_releases(name: Name, request: Request, _caller: Anybody) -> dict[str, Any]:
    """All releases of a model, oldest first, and who has fetched each."""
    require_model(request, name)
    with workspace_of(request).storage.database.reading() as connection:
        rows, pulled = releases.listed(connection, name), pulls.of(connection, name)
    heads = [
        {"certificate": row.id, "release": row.number, "at": row.at, "purged": row.purged, "why": row.kind} for row in rows
    ]
    return {
        "items": [
            {**head, "pulled": [vars(pull) for pull in pulled.get(row.id, [])]} for head, row in zip(heads, rows, strict=True)
        ]
    }


@router.get("/models/{name}/releases/latest", response_model=PublishedModel)
def latest_release(
    name: Name,
    request: Request,
    response: Response,
    caller: Serving,
    seen: Annotated[str | None, Header(alias="If-None-Match")] = None,
) -> Any:
    """The published weights, with what is needed to use them. Poll with If-None-Match: 304 costs next to nothing. Who has
    fetched it is recorded."""
    require_model(request, name)
    with workspace_of(request).storage.database.reading() as connection:
        last = Published.of(connection, name)
    tag = f'"{last.certificate}"'
    if seen is not None and tag in [part.strip().removeprefix("W/") for part in seen.split(",")]:
        return Response(status_code=304, headers={"ETag": tag})
    note_pull(request, last.certificate, caller)
    response.headers["ETag"] = tag
    return release_view(last)


@router.get(
    "/models/{name}/releases/latest/export",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}, "description": "A file, as expunge export writes it"}},
)
def export_release(
    name: Name,
    request: Request,
    caller: Serving,
    form: Outside = "json",
    dialect: Dialect = "duckdb",
    table: TableName = "people",
) -> Response:
    """The newest release for use elsewhere, from raw columns to predictions; nothing secret is in it. Who has fetched it is
    recorded."""
    try:
        made = plainly(lambda: handed_out(request, name, form, dialect, table, caller))
    except ModuleNotFoundError as error:
        raise HTTPException(422, missing(error) or "the service cannot write this form") from error
    ending = "skops" if form == "sklearn" else form
    headers = {"Content-Disposition": f'attachment; filename="{name}-{made.release}.{ending}"', "Cache-Control": "no-store"}
    return Response(made.content, media_type="application/octet-stream", headers=headers)


@router.post("/models/{name}/predictions", response_model=PredictionsModel, response_model_exclude_none=True)
def predict_rows(name: Name, asked: Predicted, request: Request, _caller: Serving) -> dict[str, Any]:
    """What a model's newest release predicts for rows, in their order. They are not stored."""
    require_model(request, name)
    return predictions_view(predict_records(workspace_of(request).storage, name, asked.rows))


def model_of(request: Request, name: str) -> ModelStatus:
    """The living model called so; 404 if there is none."""
    require_model(request, name)
    models = living_models(workspace_of(request).storage)
    return found(next((model for model in models if model.name == name), None), f"model {name!r}")


def held_up_by(request: Request, name: str) -> tuple[int, list[str]]:
    """How many open requests a model could not answer, and the most urgent ones."""
    with workspace_of(request).storage.database.reading() as connection:
        return stuck.behind(connection, name, HELD)


def _capacity(report: CapacityReport) -> dict[str, Any]:
    forecasts = [vars(forecast) for forecast in report.forecasts]
    used = {"budget_used": report.budget_used, "changed": report.changed}
    hidden = "inf" if math.isinf(report.hidden) else report.hidden
    return {"text": str(report), "forecasts": forecasts, **used, "regime": report.regime, "hidden": hidden}

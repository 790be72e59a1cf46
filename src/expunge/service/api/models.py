"""Models over HTTP: what they can still forget, refits, audits, releases and predictions."""

import json
import time
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response

from expunge.ledger import releases
from expunge.service.access import Anybody, Checker, Engineer, Serving
from expunge.service.api.answers import plainly, problem_responses, require_model, workspace_of
from expunge.service.bodies import (
    Audited,
    Name,
    Predicted,
    PredictionsModel,
)
from expunge.service.records import changed
from expunge.service.routing import GuardedRoute
from expunge.service.views import predictions_view, release_view
from expunge.workspace.auditing import audited
from expunge.workspace.predicting import predict_records
from expunge.workspace.published import Published
from expunge.workspace.status import as_json, status

router = APIRouter(prefix="/v1", responses=problem_responses(), route_class=GuardedRoute)


@router.get("/models")
def list_models(request: Request, _caller: Anybody) -> dict[str, Any]:
    """The models, each with its last release."""
    return {"items": [as_json(model) for model in status(workspace_of(request).storage).models]}


@router.get("/models/{name}/capacity")
def get_capacity(name: Name, request: Request, _caller: Anybody) -> dict[str, Any]:
    """How much of a model's capacity to forget is used, and a forecast of what is left."""
    require_model(request, name)
    report = plainly(lambda: workspace_of(request).capacity(name))
    forecasts = [vars(forecast) for forecast in report.forecasts]
    return {"text": str(report), "forecasts": forecasts, "budget_used": report.budget_used, "changed": report.changed}


@router.post("/models/{name}/refit")
def refit_model(name: Name, request: Request, caller: Engineer) -> dict[str, Any]:
    """Refits a model now: nothing in its state then depends on anybody forgotten. It resets the budget only if the model's
    schedule says that it is due; otherwise it is charged like any release."""
    require_model(request, name)
    started = time.perf_counter()
    outcome = workspace_of(request).refit(name)
    about = {"model": name, "release": outcome.number, "certificate": outcome.id}
    changed("release.certified", caller.holder.id, time.perf_counter() - started, **about)
    return {"certificate": outcome.id, "release": outcome.number}


@router.post("/models/{name}/audit")
def audit_model(name: Name, asked: Audited, request: Request, _caller: Checker) -> dict[str, Any]:
    """Audits a model's last release, by retraining and from the outside."""
    require_model(request, name)
    verdict = plainly(lambda: audited(workspace_of(request).storage, name, asked.draws))
    return {"text": str(verdict), **json.loads(verdict.to_json())}


@router.get("/models/{name}/releases")
def list_releases(name: Name, request: Request, _caller: Anybody) -> dict[str, Any]:
    """All releases of a model, oldest first."""
    require_model(request, name)
    with workspace_of(request).storage.database.reading() as connection:
        rows = releases.listed(connection, name)
    return {"items": [{"certificate": row.id, "release": row.number, "at": row.at, "purged": row.purged} for row in rows]}


@router.get("/models/{name}/releases/latest", responses={304: {"description": "That is still the latest release"}})
def latest_release(
    name: Name,
    request: Request,
    response: Response,
    _caller: Serving,
    seen: Annotated[str | None, Header(alias="If-None-Match")] = None,
) -> Any:
    """The published weights, with what is needed to use them. Poll with If-None-Match: 304 costs next to nothing."""
    require_model(request, name)
    with workspace_of(request).storage.database.reading() as connection:
        last = Published.of(connection, name)
    tag = f'"{last.certificate}"'
    if seen is not None and tag in [part.strip().removeprefix("W/") for part in seen.split(",")]:
        return Response(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return release_view(last)


@router.post("/models/{name}/predictions", response_model=PredictionsModel, response_model_exclude_none=True)
def predict_rows(name: Name, asked: Predicted, request: Request, _caller: Serving) -> dict[str, Any]:
    """What a model's newest release predicts for rows, in their order. They are not stored."""
    require_model(request, name)
    return predictions_view(predict_records(workspace_of(request).storage, name, asked.rows))

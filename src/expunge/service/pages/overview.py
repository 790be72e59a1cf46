"""The first page: where everything stands."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from starlette.responses import Response

from expunge.ledger import releases
from expunge.service import charts
from expunge.service.api.answers import workspace_of
from expunge.service.pages.rendering import Visitor, render
from expunge.service.routing import GuardedRoute
from expunge.workspace.status import status

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)
TIMELINE = 40
"""Number of a model's releases on its timeline."""


@router.get("/")
def overview(request: Request, caller: Visitor) -> Response:
    """Where everything stands."""
    storage = workspace_of(request).storage
    found = status(storage)
    with storage.database.reading() as connection:
        recent = {model.name: releases.recent(connection, model.name, TIMELINE) for model in found.models}
    figures = {name: [release.figures for release in made] for name, made in recent.items()}
    timelines = {name: charts.timeline(made) for name, made in figures.items()}
    gauges = {name: charts.gauges(made[-1]) for name, made in figures.items()}
    return render(
        request, "overview.html", found=found, timelines=timelines, gauges=gauges, health=request.app.state.worker.health
    )

"""Over HTTP, whether the service works."""

from typing import Any

from fastapi import APIRouter, Request, Response

from expunge.service.access import Anybody
from expunge.service.api.answers import problem_responses, workspace_of
from expunge.service.api.health_bodies import HealthModel
from expunge.service.routing import GuardedRoute
from expunge.service.views import health_view
from expunge.workspace.status import status

router = APIRouter(prefix="/v1", responses=problem_responses(), route_class=GuardedRoute)


@router.get("/health", response_model=HealthModel, responses={503: {"model": HealthModel}})
def get_health(request: Request, response: Response, _caller: Anybody) -> dict[str, Any]:
    """Whether the queue is being worked (503 if not), what stands in its way, and what is overdue."""
    found, health = status(workspace_of(request).storage), request.app.state.worker.health
    response.status_code = 200 if health.late is None else 503
    return {"requests": found.requests, "overdue": found.overdue, **health_view(health, request.app.state.jobs)}

"""The page of a model."""

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse
from starlette.responses import Response

from expunge.errors import ExpungeError
from expunge.service.api.answers import workspace_of
from expunge.service.bodies import Name
from expunge.service.pages.rendering import Checker, render
from expunge.service.routing import GuardedRoute
from expunge.workspace.quality.page import report_body
from expunge.workspace.status import ModelStatus, status

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)


@router.get("/models/{name}")
def model_page(request: Request, caller: Checker, name: Name) -> Response:
    """A model, and the button that measures it."""
    return render(request, "model.html", model=_model(request, name), body=None, problem="")


@router.post("/models/{name}")
def measure_model(request: Request, caller: Checker, name: Name) -> Response:
    """Fits it again without the people held out, and shows its quality. Nothing of that is kept."""
    found = _model(request, name)
    try:
        body = report_body(workspace_of(request).quality.explain(name))
    except (ExpungeError, ValueError) as error:
        return render(request, "model.html", 422, model=found, body=None, problem=str(error))
    return render(request, "model.html", model=found, body=body, problem="")


def _model(request: Request, name: str) -> ModelStatus:
    """The living model called so."""
    for found in status(workspace_of(request).storage).models:
        if found.name == name:
            return found
    raise HTTPException(404, f"there is no model {name!r}")

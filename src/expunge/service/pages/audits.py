"""The page that audits a model."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse
from starlette.responses import Response

from expunge.errors import ExpungeError
from expunge.service import charts
from expunge.service.api.answers import workspace_of
from expunge.service.pages.rendering import Checker, render
from expunge.service.routing import GuardedRoute
from expunge.workspace.auditing import audited
from expunge.workspace.status import status

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)
DRAWS = 500


@router.get("/audit")
def audit_page(request: Request, caller: Checker) -> Response:
    """The form that starts an audit."""
    models = status(workspace_of(request).storage).models
    return render(request, "audit.html", models=models, verdict=None, plot=None, model=None, problem="")


@router.post("/audit")
def run_audit(
    request: Request, caller: Checker, model: Annotated[str, Form(max_length=64, pattern="^[!-~]*$")] = ""
) -> Response:
    """Audits a model and shows the verdict."""
    storage = workspace_of(request).storage
    values: dict[str, Any] = {"models": status(storage).models, "model": model, "verdict": None, "plot": None, "problem": ""}
    try:
        verdict = audited(storage, model, DRAWS)
    except (ExpungeError, ValueError) as error:
        return render(request, "audit.html", 422, **{**values, "problem": str(error)})
    plot = charts.trade_off(verdict.certified_mu, verdict.black_box.curve.tolist())
    return render(request, "audit.html", **{**values, "verdict": verdict, "plot": plot})

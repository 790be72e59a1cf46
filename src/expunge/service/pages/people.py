"""The page that shows what is held about a person."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse
from starlette.responses import Response

from expunge.errors import RequestRefused
from expunge.service.api.answers import workspace_of
from expunge.service.pages import words
from expunge.service.pages.rendering import Operator, render
from expunge.service.routing import GuardedRoute

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)


@router.get("/people")
def people(request: Request, caller: Operator) -> Response:
    """The form that asks whom to look up."""
    return _page(request)


@router.post("/people")
def person(
    request: Request,
    caller: Operator,
    subject: Annotated[str, Form(max_length=1000)] = "",
    by: Annotated[str, Form(max_length=200)] = "",
    form: Annotated[Literal["page", "json", "csv"], Form()] = "page",
) -> Response:
    """What is held about a person, as a page or as a file for them."""
    try:
        held = workspace_of(request).show(subject.strip(), by=by or None, actor=caller.holder.id)
    except RequestRefused as error:
        return _page(request, 422, subject=subject, by=by, problem=str(error))
    if form == "page":
        return _page(request, held=held, subject=subject, by=by)
    content, kind = (held.to_json(), "application/json") if form == "json" else (held.to_csv(), "text/csv")
    headers = {"Content-Disposition": f'attachment; filename="held.{form}"', "Cache-Control": "no-store"}
    return Response(content, media_type=kind, headers=headers)


def _page(request: Request, status_code: int = 200, **values: Any) -> Response:
    shown: dict[str, Any] = {"words": words, "held": None, "subject": "", "by": "", "problem": "", **values}
    return render(request, "people.html", status_code, id_columns=workspace_of(request).id_columns, **shown)

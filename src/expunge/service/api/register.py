"""The register over HTTP: requests filtered, sorted, page by page; searched; as CSV."""

import base64
import binascii
import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse

from expunge.ledger import register
from expunge.ledger.register import Filter, Matter, Sort
from expunge.ledger.requests import Channel, RequestKind, RequestState
from expunge.service.access import Anybody, Operator
from expunge.service.api.answers import problem_responses, workspace_of
from expunge.service.bodies import Limit
from expunge.service.casework import FoundModel, RegisterModel, Sought
from expunge.service.problem_types import Problem
from expunge.service.routing import GuardedRoute
from expunge.service.views import request_view
from expunge.workspace.register import about, as_csv

router = APIRouter(prefix="/v1", responses=problem_responses(), route_class=GuardedRoute)
FOUND = 500
"""Largest number of requests that a search by reference or number finds."""
CSV = {"Content-Disposition": 'attachment; filename="register.csv"', "Cache-Control": "no-store"}


def wanted(
    state: RequestState | None = None,
    kind: RequestKind | None = None,
    channel: Channel | None = None,
    matter: Annotated[Matter | None, Query(description="What there is to do about open requests.")] = None,
    since: Annotated[datetime.date | None, Query(description="First day of receipt.")] = None,
    until: Annotated[datetime.date | None, Query(description="Last day of receipt.")] = None,
) -> Filter:
    """The filter that a query describes."""
    return Filter(state, kind, channel, matter, since, until)


Wanted = Annotated[Filter, Depends(wanted)]


@router.get("/requests", response_model=RegisterModel)
def list_requests(
    request: Request,
    _caller: Anybody,
    wanted: Wanted,
    sort: Sort = Sort.NEWEST,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """Requests, page by page, with the number of all that are wanted; ``closed`` lists those that ended, the last first."""
    after = _decoded(cursor, sort)
    with workspace_of(request).storage.database.reading() as connection:
        rows = register.listed(connection, wanted, sort, limit, after=after)
        total = register.total(connection, wanted)
    more = _encoded(sort, *register.place(rows[-1], sort)) if len(rows) == limit else None
    return {"items": [request_view(row) for row in rows], "total": total, "next": more}


@router.post("/requests/search", response_model=FoundModel)
def search_requests(asked: Sought, request: Request, _caller: Operator) -> dict[str, Any]:
    """All requests about a person; or those with a reference, or whose number begins so. No id is in a URL."""
    if (asked.subject is None) == (asked.text is None):
        raise Problem("invalid-request", "give either subject, the id of a person, or text, a reference or a number")
    storage = workspace_of(request).storage
    if asked.subject is not None:
        rows = about(storage, asked.subject, asked.by)
    else:
        with storage.database.reading() as connection:
            rows = register.called(connection, str(asked.text).strip(), FOUND)
    return {"items": [request_view(row) for row in rows], "total": len(rows)}


@router.get(
    "/requests/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}}, "description": "a line for each request, oldest first"}},
)
def export_requests(request: Request, _caller: Anybody, wanted: Wanted) -> StreamingResponse:
    """The evidence of how requests were handled (GDPR Art. 30 and 12(3)): no id of a person, no reference, no note."""
    return StreamingResponse(as_csv(workspace_of(request).storage, wanted), media_type="text/csv", headers=CSV)


def _encoded(sort: Sort, value: str, identity: str) -> str:
    return base64.urlsafe_b64encode(f"{sort} {value} {identity}".encode()).decode()


def _decoded(cursor: str | None, sort: Sort) -> tuple[str, str] | None:
    if cursor is None:
        return None
    wrong = Problem("invalid-cursor", "this cursor was not issued here for this order: start again without one")
    try:
        parts = base64.b64decode(cursor, b"-_", validate=True).decode().split(" ")
    except (binascii.Error, ValueError) as error:
        raise wrong from error
    if len(parts) != 3 or parts[0] != sort or not parts[2] or "\0" in "".join(parts):
        raise wrong
    return parts[1], parts[2]

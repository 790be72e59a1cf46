"""The page of the register: requests filtered, sorted, page by page; searched by a form, so that no id is in a URL."""

from datetime import date
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, StreamingResponse
from starlette.responses import Response

from expunge.errors import RequestRefused
from expunge.ledger import register, times
from expunge.ledger.register import Filter, Matter, Sort
from expunge.ledger.requests import Channel, RequestKind, RequestState
from expunge.ledger.words import Word
from expunge.service.api.answers import workspace_of
from expunge.service.api.register import CSV, FOUND
from expunge.service.pages import words
from expunge.service.pages.rendering import Operator, Visitor, render
from expunge.service.routing import GuardedRoute
from expunge.workspace.register import about, as_csv

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)
SHOWN = 50
FIELDS = {"state": RequestState, "kind": RequestKind, "channel": Channel, "matter": Matter}
DAYS = ("since", "until")
Chosen = TypeVar("Chosen", bound=Word)


@router.get("/requests")
def register_page(request: Request, caller: Visitor) -> Response:
    """The requests that are wanted, page by page."""
    given = {name: request.query_params.get(name, "") for name in (*FIELDS, *DAYS, "sort", "page")}
    wanted, wrong = _filter(given)
    sort = _word(Sort, given["sort"]) or (Sort.DUE if wanted.matter is not None else Sort.NEWEST)
    number = int(given["page"]) if given["page"].isascii() and given["page"].isdigit() and len(given["page"]) < 9 else 1
    with workspace_of(request).storage.database.reading() as connection:
        counted = register.matters(connection)
        total = register.total(connection, wanted)
        pages = max(1, -(-total // SHOWN))
        number = min(max(number, 1), pages)
        rows = register.listed(connection, wanted, sort, SHOWN, skip=(number - 1) * SHOWN)
    kept = {name: value for name, value in given.items() if value and name != "page"}
    links = {place: _link(kept, page=place) for place in (number - 1, number + 1) if 1 <= place <= pages}
    export = f"/requests/register.csv?{urlencode({name: value for name, value in kept.items() if name != 'sort'})}"
    shown = {"rows": rows, "total": total, "number": number, "pages": pages, "links": links, "export": export}
    return _page(request, 422 if wrong else 200, given=given, sort=sort, counted=counted, wrong=wrong, **shown)


@router.post("/requests/search")
def search(
    request: Request,
    caller: Operator,
    subject: Annotated[str, Form(max_length=1000)] = "",
    text: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """The requests about a person, or those with a reference or a number."""
    storage, sought = workspace_of(request).storage, {"subject": subject, "text": text}
    problem, rows = {}, []
    try:
        if subject.strip():
            rows = about(storage, subject)
        elif text.strip():
            with storage.database.reading() as connection:
                rows = register.called(connection, text.strip(), FOUND)
        else:
            problem = {"subject": "Give the id of a person, or a reference or a number"}
    except RequestRefused as error:
        problem = {"subject": str(error)}
    return _page(request, 422 if problem else 200, sought=sought, rows=rows, total=len(rows), wrong=problem)


@router.get("/requests/register.csv")
def export(request: Request, caller: Visitor) -> Response:
    """The wanted requests as a CSV file."""
    wanted, _wrong = _filter({name: request.query_params.get(name, "") for name in (*FIELDS, *DAYS)})
    return StreamingResponse(as_csv(workspace_of(request).storage, wanted), media_type="text/csv", headers=CSV)


def _page(request: Request, status_code: int, **shown: Any) -> HTMLResponse:
    values: dict[str, Any] = {"given": dict.fromkeys((*FIELDS, *DAYS), ""), "sort": Sort.NEWEST, "counted": {}, "sought": None}
    values |= {"number": 1, "pages": 1, "links": {}, "export": None, "words": words, "now": times.now(), **shown}
    return render(request, "register.html", status_code, **values)


def _filter(given: dict[str, str]) -> tuple[Filter, dict[str, str]]:
    """The filter that a query describes, and what is wrong with it, by field."""
    days, wrong = dict[str, date | None](), dict[str, str]()
    for name in DAYS:
        try:
            days[name] = date.fromisoformat(given[name]) if given[name] else None
        except ValueError:
            days[name], wrong[name] = None, "Write the day like 2026-11-03"
    return (
        Filter(
            _word(RequestState, given["state"]),
            _word(RequestKind, given["kind"]),
            _word(Channel, given["channel"]),
            _word(Matter, given["matter"]),
            days["since"],
            days["until"],
        ),
        wrong,
    )


def _word(kind: type[Chosen], given: str) -> Chosen | None:
    """The word that was given; ``None`` where it is none, as for any."""
    return kind(given) if given in tuple(kind) else None


def _link(kept: dict[str, str], page: int) -> str:
    return f"/requests?{urlencode({**kept, 'page': page})}"

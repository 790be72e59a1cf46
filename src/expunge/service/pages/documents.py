"""The papers of a request: its receipt as a file, as a code and in a letter; its certificate; the letters of many at once."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse
from starlette.responses import Response

from expunge.errors import LedgerCorrupt, RequestRefused
from expunge.evidence.receipts import Receipt
from expunge.ledger import cases, requests
from expunge.ledger.requests import STANDING, RequestState
from expunge.ledger.requests import Request as Row
from expunge.service import papers
from expunge.service.api.answers import found, workspace_of
from expunge.service.api.receipts import house_of
from expunge.service.bodies import Identity
from expunge.service.codes import drawn
from expunge.service.handouts import Handout
from expunge.service.pages.rendering import Operator, Visitor, render
from expunge.service.routing import GuardedRoute
from expunge.service.shelf import MINUTES
from expunge.service.zips import zipped

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)
PAPERS = 1000
"""Number of letters in one zip file: drawing the codes takes the time that they take."""
CERTIFIED = (RequestState.CLOSED, *STANDING)
"""The states in which there is a certificate for the person."""
HEADERS = {"Cache-Control": "no-store"}


@router.get("/requests/{identity}/certificate")
def certificate(request: Request, caller: Visitor, identity: Identity) -> Response:
    """The certificate for the person, once their request is closed; one page, for printing."""
    storage = workspace_of(request).storage
    with storage.database.reading() as connection:
        row = _row(request, identity)
        if row.state not in CERTIFIED:
            raise HTTPException(409, f"request {identity} is {row.state}: there is a certificate once it is done")
        try:
            answering = papers.answers(storage, connection, row)
        except LedgerCorrupt as error:
            return render(request, "forged.html", number=f"for request {identity}", problem=str(error))
    content = papers.certificate(house_of(request), row, answering, _root(request))
    return HTMLResponse(content, headers=HEADERS)


@router.get("/requests/{identity}/documents")
def documents(request: Request, caller: Operator, identity: Identity) -> Response:
    """The form that asks whose request it is, for its receipt and letter."""
    return _page(request, _row(request, identity))


@router.post("/requests/{identity}/documents")
def make_documents(
    request: Request,
    caller: Operator,
    identity: Identity,
    subject: Annotated[str, Form(max_length=1000)] = "",
    to: Annotated[str, Form(max_length=2000)] = "",
    form: Annotated[Literal["page", "file", "letter"], Form()] = "page",
) -> Response:
    """The receipt of a request, for somebody who knows whose it is: as a page with its code, as a file, or in a letter."""
    row = _row(request, identity)
    try:
        receipt = workspace_of(request).receipt(identity, subject.strip())
    except RequestRefused as error:
        return _page(request, row, 422, subject=subject, to=to, problem=str(error))
    if form == "letter":
        with workspace_of(request).storage.database.reading() as connection:
            reference = cases.file_of(connection, identity).reference
        content = papers.letter(house_of(request), row, receipt.document, to.strip(), reference, root=_root(request))
        return HTMLResponse(content, headers=HEADERS)
    if form == "file":
        headers = {"Content-Disposition": f'attachment; filename="{file_name(receipt)}"', **HEADERS}
        return Response(receipt.document, media_type="application/json", headers=headers)
    code = drawn(receipt.document, "The receipt as a code")
    return _page(request, row, subject=subject, to=to, receipt=receipt.document, code=code)


@router.post("/requests/letters")
def letters(
    request: Request,
    caller: Operator,
    kept: Annotated[str, Form(max_length=64)] = "",
    part: Annotated[int, Form(ge=0, le=1000)] = 0,
) -> Response:
    """The letters to the people whose requests were just made, in a zip file: one each, named after the request."""
    handout: Handout | None = request.app.state.handouts.see(caller.holder.id, kept)
    listed = [] if handout is None else list(handout.receipts.items())[part * PAPERS : (part + 1) * PAPERS]
    if not listed:
        raise HTTPException(
            404, f"these letters are kept for {MINUTES} minutes only: make them one by one, on the pages of the requests"
        )
    house, made = house_of(request), dict[str, str]()
    with workspace_of(request).storage.database.reading() as connection:
        names = [name for name, _receipt in listed]
        rows, files = requests.found_by(connection, "id", names), cases.files_of(connection, names)
    for name, receipt in listed:
        made[f"{name}.html"] = papers.letter(
            house, rows[name], receipt, reference=files[name].reference if name in files else None, is_alone=True
        )
    headers = {"Content-Disposition": 'attachment; filename="letters.zip"', **HEADERS}
    return Response(zipped(made), media_type="application/zip", headers=headers)


def file_name(receipt: Receipt) -> str:
    """What the file of a receipt is called: after the request, not the person."""
    return f"receipt-{receipt.request}.json"


def _row(request: Request, identity: str) -> Row:
    with workspace_of(request).storage.database.reading() as connection:
        return found(requests.by_id(connection, identity), "such request")


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", ""))


def _page(request: Request, row: Row, status_code: int = 200, **values: Any) -> Response:
    shown = {"subject": "", "to": "", "problem": "", "receipt": None, "code": None, **values}
    return render(request, "documents.html", status_code, row=row, **shown)

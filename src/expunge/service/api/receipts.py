"""Receipts over HTTP: again at any time, for somebody who knows whose request it is; as a file, a code or a letter."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from expunge.ledger import cases, requests
from expunge.service.access import Operator
from expunge.service.api.answers import found, problem_responses, workspace_of
from expunge.service.bodies import Identity, Owned, ReceiptModel
from expunge.service.codes import drawn
from expunge.service.papers import House, letter
from expunge.service.routing import GuardedRoute

router = APIRouter(prefix="/v1", responses=problem_responses(), route_class=GuardedRoute)


@router.post(
    "/requests/{request_id}/receipt",
    response_model=ReceiptModel,
    responses={200: {"content": {"application/json": {}, "image/svg+xml": {}, "text/html": {}}, "description": "in that form"}},
)
def get_receipt(
    request_id: Identity, asked: Owned, request: Request, _caller: Operator, form: Literal["json", "svg", "html"] = "json"
) -> Response:
    """The receipt of a request, again, for somebody who knows whose it is. As ``svg``, a QR code that holds it; as ``html``,
    the letter to the person, one A4 page that is a file of its own."""
    receipt = workspace_of(request).receipt(request_id, asked.subject).document
    if form == "json":
        return JSONResponse({"request": request_id, "receipt": receipt})
    if form == "svg":
        return Response(drawn(receipt, "The receipt as a code"), media_type="image/svg+xml")
    with workspace_of(request).storage.database.reading() as connection:
        row = found(requests.by_id(connection, request_id), f"request {request_id!r}")
        reference = cases.file_of(connection, request_id).reference
    return HTMLResponse(letter(house_of(request), row, receipt, reference=reference, is_alone=True))


def house_of(request: Request) -> House:
    """Who writes, and where people reach the service."""
    return House.of(workspace_of(request).storage, str(request.base_url).rstrip("/"))

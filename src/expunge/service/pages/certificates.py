"""The pages of certificates."""

from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse
from starlette.responses import Response

from expunge.errors import SignatureInvalid
from expunge.evidence.signing import PublicKeys
from expunge.evidence.verification import verify_content
from expunge.ledger import log, releases
from expunge.service.api.answers import workspace_of
from expunge.service.bodies import Number
from expunge.service.pages.rendering import Visitor, render
from expunge.service.routing import GuardedRoute
from expunge.service.views import certificate_view

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)
SHOWN = 50


@router.get("/certificates")
def certificate_list(request: Request, caller: Visitor) -> Response:
    """All certificates, newest first."""
    with workspace_of(request).storage.database.reading() as connection:
        rows = releases.listed(connection)[::-1][:SHOWN]
    return render(request, "certificates.html", rows=rows)


@router.get("/certificates/{number}")
def certificate(request: Request, caller: Visitor, number: Number) -> Response:
    """A certificate, in plain language first."""
    return render(request, "certificate.html", verified=None, **_certificate(request, number))


@router.post("/certificates/{number}/verify")
def verify(request: Request, caller: Visitor, number: Number) -> Response:
    """Verifies a certificate now, as anybody could."""
    values = _certificate(request, number)
    with workspace_of(request).storage.database.reading() as connection:
        row = releases.release(connection, number)
        assert row is not None
        text, keys = log.bundle(connection, row.envelope, row.event), workspace_of(request).storage.public_keys(connection)
    return render(request, "certificate.html", verified=_verified(text, keys), **values)


def _certificate(request: Request, number: int) -> dict[str, Any]:
    with workspace_of(request).storage.database.reading() as connection:
        row = releases.release(connection, number)
        if row is None:
            raise HTTPException(404, f"there is no certificate {number}")
        view = certificate_view(connection, row)
    return {"view": view, "evidence": view["evidence"]}


def _verified(text: str, keys: PublicKeys) -> str:
    try:
        verify_content(text, keys)
    except SignatureInvalid as error:
        return f"NOT GENUINE: {error}"
    return "Genuine: the signature, the event and its place in the log are right."

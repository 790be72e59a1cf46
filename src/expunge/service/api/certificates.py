"""Certificates over HTTP, in each of their forms."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response

from expunge.ledger import log, releases
from expunge.ledger.bindings import covering
from expunge.ledger.tokens import Role
from expunge.service.access import Public
from expunge.service.api.answers import found, problem_responses, workspace_of
from expunge.service.api.proof_bodies import Certificate
from expunge.service.bodies import Answered, CertificatesModel, Limit, Number
from expunge.service.routing import GuardedRoute
from expunge.service.views import certificate_view
from expunge.service.zips import zipped
from expunge.workspace.transcripts import transcript

DSSE = "application/vnd.dsse.envelope.v1+json"
router = APIRouter(prefix="/v1", responses=problem_responses(), route_class=GuardedRoute)


@router.get("/certificates", response_model=CertificatesModel)
def list_certificates(
    request: Request,
    _caller: Public,
    before: Annotated[int | None, Query(ge=1, le=2**53, description="Only certificates with a smaller number.")] = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """All certificates, newest first, page by page; ``next`` is the ``before`` of the next page."""
    with workspace_of(request).storage.database.reading() as connection:
        rows = releases.page(connection, before, limit + 1)
    names = ("model", "at", "purged")
    items = [{"certificate": row.id, "release": row.number, **{name: getattr(row, name) for name in names}} for row in rows]
    return {"items": items[:limit], "next": items[limit - 1]["certificate"] if len(items) > limit else None}


@router.get(
    "/certificates/archive",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}, "description": "A zip file"}},
)
def get_all_certificates(request: Request, _caller: Public) -> Response:
    """All certificates as files in a zip, each of which anybody with the keys can verify."""
    with workspace_of(request).storage.database.reading() as connection:
        rows = releases.all_releases(connection)
        made = {f"certificate-{row.id}.json": log.bundle(connection, row.envelope, row.event) for row in rows}
    headers = {"Content-Disposition": 'attachment; filename="certificates.zip"'}
    return Response(zipped(made), media_type="application/zip", headers=headers)


@router.get(
    "/certificates/{number}",
    responses={
        200: {
            "model": Certificate,
            "content": {DSSE: {"schema": {"$ref": "#/components/schemas/EnvelopeModel"}}},
            "description": "In the form asked for",
        }
    },
)
def get_certificate(
    number: Number,
    request: Request,
    caller: Public,
    form: Literal["json", "dsse", "evidence", "transcript"] = "json",
    answered: Answered = None,
) -> Response:
    """A certificate: ``json`` to be verified offline, or ``dsse``, its bare envelope. For those who may see the data,
    ``evidence``, or ``transcript``, the signed statement of what all releases can reveal of those whom this one forgot. With
    ``request`` in the query, the ``json`` also proves to the receipt's holder that it answers it; ``transcript`` names it."""
    if form in ("evidence", "transcript") and caller.role == Role.CONSUMER:
        raise HTTPException(403, f"the {form} depends on people's rows: the role consumer may not have it")
    if answered is not None and form in ("dsse", "evidence"):
        raise HTTPException(422, "only the forms json and transcript show that a request is answered: leave form out")
    with workspace_of(request).storage.database.reading() as connection:
        row = found(releases.release(connection, number), f"certificate {number}")
        covers = None if answered is None else covering(connection, row, answered)
        content = {
            "json": lambda: log.bundle(connection, row.envelope, row.event, covers),
            "dsse": lambda: str(row.envelope),
            "evidence": lambda: json.dumps(certificate_view(connection, row), ensure_ascii=False),
            "transcript": lambda: transcript(workspace_of(request).storage, number, answered)[1],
        }[form]()
    return Response(content, media_type=DSSE if form == "dsse" else "application/json")

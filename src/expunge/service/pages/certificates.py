"""The pages of certificates: every display checks the certificate first, and shows nothing of one that is not genuine."""

import base64
import json
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse
from starlette.responses import Response

from expunge.errors import LedgerCorrupt, SignatureInvalid
from expunge.ledger import bindings, log, releases
from expunge.ledger.requests import Request as Row
from expunge.service.api.answers import workspace_of
from expunge.service.bodies import Number
from expunge.service.pages.rendering import Visitor, render
from expunge.service.pages.words import STATES
from expunge.service.routing import GuardedRoute
from expunge.service.words import WHY
from expunge.workspace.genuineness import require_genuine

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)
SHOWN = 50
FIGURES = (
    *("rung", "passes", "n_forgotten", "n_learned", "remaining", "distance_bound", "scale", "mu", "mu_total", "epsilon_total"),
    *("exposure_mu", "drift_mu", "condition", "seconds"),
)
"""What is shown of the evidence: what the claim does not say."""


class Tab(StrEnum):
    """The parts of a certificate's page."""

    CLAIM = "claim"
    ASSUMPTIONS = "assumptions"
    LIMITS = "limits"
    REQUESTS = "requests"
    EVIDENCE = "evidence"


TITLES = {
    Tab.CLAIM: "Claim",
    Tab.ASSUMPTIONS: "Assumptions",
    Tab.LIMITS: "Limits",
    Tab.REQUESTS: "Requests covered",
    Tab.EVIDENCE: "Evidence",
}


@router.get("/certificates")
def certificate_list(
    request: Request, caller: Visitor, before: Annotated[int | None, Query(ge=1, le=2**53)] = None
) -> Response:
    """All certificates, newest first."""
    with workspace_of(request).storage.database.reading() as connection:
        rows = releases.page(connection, before, SHOWN + 1)
    more = rows[SHOWN - 1].id if len(rows) > SHOWN else None
    return render(request, "certificates.html", rows=rows[:SHOWN], more=more, before=before, why=WHY)


@router.get("/certificates/{number}")
def certificate(
    request: Request,
    caller: Visitor,
    number: Number,
    tab: Tab = Tab.CLAIM,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> Response:
    """A certificate, checked now; one of its parts at a time."""
    storage, passed, covered = workspace_of(request).storage, list[str](), list[Row]()
    shown: dict[str, Any] = {"number": number, "tab": tab, "tabs": TITLES, "passed": passed, "after": after}
    with storage.database.reading() as connection:
        try:
            row = releases.release(connection, number)
            if row is None:
                raise HTTPException(404, f"there is no certificate {number}")
            claim = require_genuine(connection, row, storage.public_keys(connection), passed.append).predicate
            if tab is Tab.CLAIM:
                shown["proof"] = log.require_included(connection, row.event).proof
            if tab is Tab.REQUESTS:
                shown["n_covered"] = len(bindings.commitments(connection, row.batch, row.model))
                covered = bindings.answered(connection, row.batch, row.model, limit=SHOWN + 1, skip=after)
        except (LedgerCorrupt, SignatureInvalid, KeyError, ValueError) as error:
            said = str(error) if isinstance(error, LedgerCorrupt | SignatureInvalid) else "a part of it cannot be read"
            return render(request, "forged.html", number=number, problem=said)
    statement = base64.b64decode(json.loads(row.envelope)["payload"]).decode()
    return render(
        request,
        "certificate.html",
        **shown,
        row=row,
        claim=claim,
        statement=statement,
        covered=covered[:SHOWN],
        more=after + SHOWN if len(covered) > SHOWN else None,
        evidence=row.figures.content,
        figures=FIGURES,
        states=STATES,
    )

"""Transcript statements of a workspace: composed from the evidence of a model's releases and their log, and signed."""

import math
from collections.abc import Sequence

import sqlalchemy as sa

from expunge.errors import Refusal, RequestRefused, WorkspaceInvalid
from expunge.evidence.charges import composed
from expunge.evidence.statements import digest, parsed
from expunge.evidence.transcripts import ChargedRelease, TranscriptStatement
from expunge.ledger import log, releases
from expunge.ledger.batches import BatchKind
from expunge.ledger.bindings import covering
from expunge.ledger.releases import Release
from expunge.ledger.restores import Restored
from expunge.privacy import Guarantee
from expunge.privacy.guarantee import epsilon_of
from expunge.unlearning.certificate import Certificate
from expunge.unlearning.transcript import NOT_COVERED, charges
from expunge.workspace.storage import Storage

FITS = (BatchKind.FIT, BatchKind.REPLACE)
LEARNED_ANEW = "Releases from before the model was replaced are not counted."
RESTORED = "Releases of a copy of the workspace that a restore gave up before the deletion are not counted."


def transcript(storage: Storage, number: int, request: str | None = None) -> tuple[TranscriptStatement, str]:
    """What all releases of a model, up to the newest signed head of the log, can together reveal of those whom one release
    forgot: the statement, and the file that proves it offline. Evidence: for those who may see the data.

    Args:
        storage: the workspace.
        number: number of the certificate of the release that forgot them.
        request: id of a request that it answers, which the statement then names. Default: it names none.

    Raises:
        WorkspaceInvalid: there is no such certificate.
        RequestRefused: the certificate does not answer the request, or its release forgot no rows.
        LedgerCorrupt: the releases are not what was sealed, or no signed head covers that one.

    Source: theory §5.8.
    """
    with storage.database.reading() as connection:
        row = releases.release(connection, number)
        if row is None:
            raise WorkspaceInvalid(f"there is no certificate {number}: see expunge releases")
        if request is not None:
            covering(connection, row, request)
        log.require_included(connection, row.event)
        exported = log.export(connection)
        n_events = len(parsed(exported)["events"])
        statement = _statement(connection, row, request, n_events)
        return statement, statement.signed(storage.signing_key(connection), exported)


def _statement(connection: sa.Connection, row: Release, request: str | None, n_events: int) -> TranscriptStatement:
    """The statement for those whom ``row`` forgot, over a log of ``n_events``."""
    forgot = Certificate.from_json(row.evidence)
    if forgot.n_forgotten == 0:
        raise RequestRefused(
            f"release {row.number} of {row.model} forgot no rows, so there is nobody to make a statement for: give the "
            "certificate of one that did (expunge releases)",
            reason=Refusal.NOT_COVERED,
        )
    last = releases.current(connection, row.model)
    made = [each for each in releases.recent(connection, row.model, last.number) if each.event <= n_events]
    fits = [each.number for each in releases.listed(connection, row.model) if each.kind in FITS and each.number <= row.number]
    restored, caveats = Restored.last(connection), list(NOT_COVERED)
    lost_mu = 0.0
    if restored is not None and restored.is_before(row):
        caveats.append(RESTORED)
    elif restored is not None:
        lost_mu = Guarantee(forgot.epsilon, forgot.delta).mu if forgot.scale > 0 else math.inf
    if len(fits) > 1:
        caveats.append(LEARNED_ANEW)
    charged = _charged([each for each in made if each.number >= row.number])
    mu = composed((forgot.exposure_mu, lost_mu, *(each.mu for each in charged)))
    return TranscriptStatement(
        model=row.model,
        release=row.number,
        request=request,
        exposed_from=fits[-1],
        exposure_mu=forgot.exposure_mu,
        releases=charged,
        lost_mu=lost_mu,
        mu=mu,
        epsilon=epsilon_of(mu, forgot.delta),
        delta=forgot.delta,
        events=n_events,
        caveats=tuple(caveats),
    )


def _charged(made: Sequence[Release]) -> tuple[ChargedRelease, ...]:
    """The releases from a deletion on, each with what it costs those who went then."""
    costs = charges(Certificate.from_json(each.evidence) for each in made)
    return tuple(
        ChargedRelease(each.number, each.at, digest(each.envelope), cost.why, cost.mu)
        for each, cost in zip(made, costs, strict=True)
    )

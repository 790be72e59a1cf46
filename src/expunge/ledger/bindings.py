"""What the ledger binds a release to: the requests that it answers, the specification of its model, the table."""

from collections.abc import Iterable

import sqlalchemy as sa

from expunge.errors import LedgerCorrupt, Refusal, RequestRefused
from expunge.evidence.coverage import Coverage, Covered
from expunge.evidence.events import EventKind
from expunge.evidence.receipts import committed
from expunge.evidence.statements import predicate_of
from expunge.ledger import releases, requests
from expunge.ledger.log import of_kind
from expunge.ledger.releases import Release
from expunge.ledger.requests import Request, RequestKind
from expunge.ledger.tables import forgotten_by
from expunge.ledger.tables import requests as table


def answered(connection: sa.Connection, batch: int, model: str, *, limit: int | None = None, skip: int = 0) -> list[Request]:
    """The requests that ``model`` answered with a batch: to forget, or a correction; oldest first.

    Args:
        connection: a connection.
        batch: number of the batch.
        model: name of the model.
        limit: the largest number. Default: all.
        skip: number of requests before the first one.
    """
    chosen = sa.select(table).where(_answered(batch, model)).order_by(table.c.received, table.c.id)
    return requests.read(connection, chosen.limit(limit).offset(skip))


def commitments(connection: sa.Connection, batch: int, model: str) -> list[tuple[str, str]]:
    """Id and commitment of each request that ``model`` answered with a batch, for comparing them with what was signed: so their
    seals are not checked here."""
    chosen = sa.select(table.c.id, table.c.commitment).where(_answered(batch, model))
    return [(str(identity), str(commitment)) for identity, commitment in connection.execute(chosen)]


def bound(connection: sa.Connection, model: str, salt: str, answered: Iterable[Request], table_digest: str) -> dict[str, str]:
    """The fields that bind a certificate of ``model`` to requests, specification and table, with the ``salt`` of its evidence.

    Args:
        answered: the requests that the release answers.
        table_digest: digest of the table's files.
    """
    specified = releases.named(connection, model)
    return {
        "requests": Coverage.of(salt, [(row.id, row.commitment) for row in answered]).root,
        "schema": committed(specified.salt, model, specified.specification),
        "table": table_commitment(salt, table_digest),
    }


def require_bound(connection: sa.Connection, release: Release) -> None:
    """Raises ``LedgerCorrupt`` unless ``release`` was signed for the requests and the specification in the ledger."""
    signed, wrong = predicate_of(release.envelope), f"certificate {release.id} was signed for"
    if signed.get("requests") != _coverage(connection, release).root:
        raise LedgerCorrupt(f"{wrong} requests that differ from the ledger's: run expunge doctor")
    specified = [
        event.text("specification")
        for event in of_kind(connection, EventKind.MODEL_FITTED)
        if event.text("model") == release.model
    ]
    if signed.get("schema") not in specified:
        raise LedgerCorrupt(f"{wrong} a specification of its model that differs from the ledger's: run expunge doctor")


def covering(connection: sa.Connection, release: Release, request: str) -> Covered:
    """The proof, to be added to the certificate of ``release``, that it answers ``request``.

    Raises:
        RequestRefused: there is no such request, or another release answers it.
        LedgerCorrupt: the requests are not those that were signed.
    """
    row = requests.by_id(connection, request)
    if row is None:
        raise RequestRefused(f"there is no request {request!r}", reason=Refusal.UNKNOWN_REQUEST)
    made = requests.releases_of(connection, row)
    if release.id not in made:
        numbers = ", ".join(map(str, made))
        instead = f"certificates {numbers} do" if made else f"it is {row.state}, and no certificate answers it"
        raise RequestRefused(
            f"certificate {release.id} does not answer request {request}: {instead}", reason=Refusal.NOT_COVERED
        )
    require_bound(connection, release)
    proof = _coverage(connection, release).proof(request, row.commitment)
    assert proof is not None
    return proof


def table_commitment(salt: str, table_digest: str) -> str:
    """What may be published about the table's state: without the salt, guessed rows cannot be tested against it."""
    return committed(salt, "table", table_digest)


def _coverage(connection: sa.Connection, release: Release) -> Coverage:
    """What ``release`` covers by the ledger, whose root is to be compared with the one that was signed."""
    return Coverage.of(release.figures.salt, commitments(connection, release.batch, release.model))


def _answered(batch: int, model: str) -> sa.ColumnElement[bool]:
    forgot = sa.select(forgotten_by.c.request).where(forgotten_by.c.batch == batch, forgotten_by.c.model == model)
    return ((table.c.batch == batch) & (table.c.kind == RequestKind.RECTIFY)) | table.c.id.in_(forgot)

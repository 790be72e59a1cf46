"""Restrictions of processing (GDPR Art. 18): which are asked for, which stand, and how they end."""

from collections.abc import Sequence

import sqlalchemy as sa

from expunge.ledger import requests, sealing
from expunge.ledger.requests import PART, Request, RequestKind, RequestState
from expunge.ledger.tables import requests as table


def lifting(connection: sa.Connection) -> list[Request]:
    """The restrictions that an officer has lifted and that the models have not followed yet, oldest first."""
    chosen = sa.select(table).where(table.c.state == RequestState.LIFTING)
    return requests.read(connection, chosen.order_by(table.c.received, table.c.id))


def of(connection: sa.Connection, people: Sequence[str]) -> list[Request]:
    """The restrictions of people that stand or are asked for.

    Args:
        people: pseudonyms in the table.
    """
    found: list[Request] = []
    for start in range(0, len(people), PART):
        mine = table.c.subject.in_(people[start : start + PART]) & (table.c.kind == RequestKind.RESTRICT)
        found += requests.read(connection, sa.select(table).where(mine).order_by(table.c.received, table.c.id))
    return found


def lift(connection: sa.Connection, ids: Sequence[str], at: str) -> None:
    """Notes that restrictions have ended; their pseudonyms in the table are dropped."""
    ended = {"state": RequestState.LIFTED, "subject": None, "lifted": at, "problem": None, "again": None}
    for start in range(0, len(ids), PART):
        sealing.update(connection, table, table.c.id.in_(ids[start : start + PART]), **ended)

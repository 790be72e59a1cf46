"""Excerpts of the log for people who read it: the newest events, of one kind, of some days."""

import sqlalchemy as sa

from expunge.evidence.events import EventKind
from expunge.ledger.events import Event
from expunge.ledger.log import size
from expunge.ledger.tables import events


def newest_entries(connection: sa.Connection, kind: EventKind | None, between: tuple[int, int], limit: int) -> list[Event]:
    """Up to ``limit`` events, the newest first.

    Args:
        connection: a connection to the ledger's database.
        kind: kind of the events; ``None`` for all.
        between: the smallest and the largest number that are wanted.
        limit: the largest number of events.
    """
    chosen = sa.select(events.c.entry).where(events.c.seq.between(*between)).order_by(events.c.seq.desc()).limit(limit)
    if kind is not None:
        chosen = chosen.where(events.c.kind == kind)
    return [Event.of(entry) for entry in connection.execute(chosen).scalars()]


def first_since(connection: sa.Connection, at: str) -> int:
    """Number of the first event at ``at`` or later; one more than there are if there is none.

    Args:
        connection: a connection to the ledger's database.
        at: ISO 8601; no event is earlier than the one before it.
    """
    low, high = 1, size(connection) + 1
    while low < high:
        middle = (low + high) // 2
        entry = connection.execute(sa.select(events.c.entry).where(events.c.seq == middle)).scalar_one()
        low, high = (middle + 1, high) if Event.of(entry).at < at else (low, middle)
    return low

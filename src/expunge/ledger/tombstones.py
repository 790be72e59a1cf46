"""Tombstones: keyed hashes of people who were forgotten, kept for a term so that their requests can still be answered.

They answer "already forgotten", keep a file of new rows from bringing somebody back unnoticed, and let a restored backup forget
again. They are pseudonyms, not erasure: anybody who has the subject key and guesses an id can tell whether it was forgotten. So
they are deleted when their term is over; what they answered is then unknown.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from expunge.ledger import requests, sealing
from expunge.ledger.requests import Request, RequestKind, RequestState
from expunge.ledger.tables import alias_tombstones
from expunge.ledger.tables import requests as table

OVER = (RequestState.CLOSED, RequestState.RETURNED, RequestState.LIFTED, RequestState.CANCELLED, RequestState.REFUSED)
"""States of requests whose tombstones wait for the end of their term."""
PART = requests.PART
OVER_AT = sa.func.coalesce(table.c.lifted, table.c.closed)
"""When a request was over: of a restriction, when it was lifted."""
IS_OVER = sa.func.coalesce(table.c.state, "").in_(OVER)
"""Whether a request is over; written so that a database goes by the index of ends, and not by that of states: most are over."""


def over_by(until: str) -> sa.ColumnElement[bool]:
    """Whether a request with an end was over by then; none is lifted before it ended."""
    return (table.c.closed <= until) & (until >= OVER_AT)


class Kept(NamedTuple):
    """What is kept of people forgotten.

    Args:
        people: number of tombstones of people.
        aliases: number of tombstones of their other ids.
        first: when the request was closed whose tombstone is deleted first; ``None`` if there is none.
        last: when the request was closed whose tombstone is deleted last; ``None`` if there is none.
    """

    people: int
    aliases: int
    first: str | None
    last: str | None


def keep_aliases(connection: sa.Connection, by_request: Mapping[str, Sequence[str]]) -> None:
    """Keeps the tombstones for the other ids of people who are forgotten, with their requests."""
    rows = [{"tombstone": stone, "request": name} for name, stones in by_request.items() for stone in dict.fromkeys(stones)]
    sealing.insert(connection, alias_tombstones, rows)


def requests_by(connection: sa.Connection, stones: Iterable[str], kind: RequestKind) -> dict[str, Request]:
    """The newest request of a kind for each of these tombstones, of a person or of an alias."""
    listed = list(dict.fromkeys(stones))
    found = requests.found_by(connection, "tombstone", listed, [kind])
    for start in range(0, len(listed), PART):
        chosen = sa.select(alias_tombstones).where(alias_tombstones.c.tombstone.in_(listed[start : start + PART]))
        pairs = [(row.tombstone, row.request) for row in sealing.rows(connection, chosen, alias_tombstones)]
        made = requests.found_by(connection, "id", {request for _stone, request in pairs}, [kind])
        for stone, request in pairs:
            if request in made and (stone not in found or found[stone].received < made[request].received):
                found[stone] = made[request]
    return found


def standing(connection: sa.Connection) -> set[str]:
    """All tombstones of people who were forgotten and have not come back, including those of aliases."""
    others = sealing.rows(connection, sa.select(alias_tombstones), alias_tombstones)
    return requests.closed_tombstones(connection) | {row.tombstone for row in others}


def welcome_back(connection: sa.Connection, stones: Sequence[str]) -> None:
    """Notes that people who were forgotten have come back: neither their requests nor their aliases keep them out."""
    for start in range(0, len(stones), PART):
        part = stones[start : start + PART]
        forgotten = table.c.tombstone.in_(part) & (table.c.state == RequestState.CLOSED)
        theirs = sa.select(table.c.id).where(forgotten)
        own = alias_tombstones.c.tombstone.in_(part) | alias_tombstones.c.request.in_(theirs)
        sealing.delete(connection, alias_tombstones, own)
        sealing.update(connection, table, forgotten, state=RequestState.RETURNED)


def due(connection: sa.Connection, until: str) -> int:
    """Number of requests over by then that still have tombstones."""
    return int(connection.execute(sa.select(sa.func.count()).where(_over(until))).scalar_one())


def purge(connection: sa.Connection, until: str) -> int:
    """Drops the tombstones of requests that were over by then; returns the number of requests."""
    theirs = alias_tombstones.c.request.in_(sa.select(table.c.id).where(_over(until)))
    sealing.delete(connection, alias_tombstones, theirs)
    return sealing.update(connection, table, _over(until), tombstone="")


def aliases(connection: sa.Connection) -> list[tuple[str, str]]:
    """The tombstones of aliases, each with that of its person, sorted."""
    sealed = sealing.rows(connection, sa.select(alias_tombstones), alias_tombstones)
    made = requests.found_by(connection, "id", {row.request for row in sealed})
    return sorted((row.tombstone, made[row.request].tombstone) for row in sealed)


def kept(connection: sa.Connection) -> Kept:
    """What is kept now."""
    over = table.c.state.in_(OVER)
    ended, gone = (
        int(connection.execute(sa.select(sa.func.count()).select_from(table).where(condition)).scalar_one())
        for condition in (over, over & (table.c.tombstone == ""))  # few rows are looked at, and an index has the rest
    )
    mine = sa.select(table.c.closed).where(IS_OVER, table.c.tombstone != "", table.c.closed.is_not(None))
    mine = mine.where(table.c.lifted.is_(None)).limit(1)
    times = [connection.execute(mine.order_by(order)).scalar() for order in (table.c.closed, table.c.closed.desc())]
    lifted = sa.select(sa.func.min(table.c.lifted), sa.func.max(table.c.lifted))
    times += connection.execute(lifted.where(table.c.state == RequestState.LIFTED, table.c.tombstone != "")).one()
    known = sorted(time for time in times if time is not None)
    first, last = (known[0], known[-1]) if known else (None, None)
    others = connection.execute(sa.select(sa.func.count()).select_from(alias_tombstones)).scalar_one()
    return Kept(ended - gone, int(others), first, last)


def _over(until: str) -> sa.ColumnElement[bool]:
    return IS_OVER & over_by(until) & (table.c.tombstone != "")

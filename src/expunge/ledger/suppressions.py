"""Suppressions: lists of hashed ids of people whose later rows are left out. Neither ids nor the listed hashes are here.

An entry is a tombstone like that of somebody forgotten: a keyed hash of the pseudonym of the listed hash. It stays for as long
as its list is kept, whether or not anybody here had the id.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from expunge.ledger import sealing
from expunge.ledger.requests import PART
from expunge.ledger.tables import suppression_lists, suppressions


@dataclass(frozen=True)
class SuppressionList:
    """A list that is kept.

    Args:
        name: what it is called here.
        column: the hashed alias that it is about.
        imported: when it was last added to, ISO 8601.
        entries: number of its entries.
        actor: who last added to it: id of a token, or ``local``; ``None`` where an earlier version did not note it.
        matched: number of requests made because of it; ``None`` likewise.
        applied: when rows that came were last compared with it; ``None`` if none were since it is noted.
    """

    name: str
    column: str
    imported: str
    entries: int
    actor: str | None = None
    matched: int | None = None
    applied: str | None = None


def add(connection: sa.Connection, name: str, column: str, stones: Iterable[str], at: str, actor: str, matched: int) -> int:
    """Adds entries to the list ``name``, which is made if there is none; returns how many are new.

    Args:
        connection: a connection in a writing transaction.
        name: of the list.
        column: the hashed alias that it is about.
        stones: tombstones of its entries.
        at: when it was imported, ISO 8601.
        actor: who imported it.
        matched: number of requests made because of these entries.

    Raises:
        ValueError: the list is about another column.
    """
    before = sealing.rows(connection, sa.select(suppression_lists).where(suppression_lists.c.name == name), suppression_lists)
    if before and before[0].column != column:
        raise ValueError(f"the list {name!r} is about {before[0].column}: give this one another name")
    if before:
        noted = {"imported": at, "actor": actor, "matched": (before[0].matched or 0) + matched}
        sealing.update(connection, suppression_lists, suppression_lists.c.name == name, **noted)
    else:
        noted = {"name": name, "column": column, "imported": at, "actor": actor, "matched": matched, "applied": None}
        sealing.insert(connection, suppression_lists, [noted])
    mine = sa.select(suppressions.c.tombstone).where(suppressions.c.list == name)
    known = set(connection.execute(mine).scalars())
    new = [{"tombstone": stone, "list": name} for stone in dict.fromkeys(stones) if stone not in known]
    sealing.insert(connection, suppressions, new)
    return len(new)


def among(connection: sa.Connection, stones: Iterable[str]) -> set[str]:
    """Those of ``stones`` that are on a list."""
    listed, found = list(dict.fromkeys(stones)), set[str]()
    for start in range(0, len(listed), PART):
        chosen = sa.select(suppressions).where(suppressions.c.tombstone.in_(listed[start : start + PART]))
        found |= {row.tombstone for row in sealing.rows(connection, chosen, suppressions)}
    return found


def lists(connection: sa.Connection) -> list[SuppressionList]:
    """The lists that are kept, by name."""
    rows = sealing.rows(connection, sa.select(suppression_lists).order_by(suppression_lists.c.name), suppression_lists)
    counted = sa.select(suppressions.c.list, sa.func.count()).group_by(suppressions.c.list)
    counts = {name: int(count) for name, count in connection.execute(counted)}
    return [
        SuppressionList(row.name, row.column, row.imported, counts.get(row.name, 0), row.actor, row.matched, row.applied)
        for row in rows
    ]


def apply(connection: sa.Connection, at: str) -> None:
    """Notes that rows that came were compared with every list, in a writing transaction."""
    sealing.update(connection, suppression_lists, sa.true(), applied=at)


def lift(connection: sa.Connection, name: str) -> bool:
    """Drops the list ``name`` with its entries; returns whether there was one."""
    sealing.delete(connection, suppressions, suppressions.c.list == name)
    return bool(sealing.delete(connection, suppression_lists, suppression_lists.c.name == name))

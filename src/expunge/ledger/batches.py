"""Batches: work that is done together, from intent to close. intent → certified → closed; or abandoned.

A batch is an *intent* while its new states are made, *certified* with the transaction after which everything has happened, and
*closed* when what it supersedes is deleted. A batch that was given up before the transaction is *abandoned*.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from expunge.errors import WorkspaceBusy
from expunge.ledger import sealing
from expunge.ledger.tables import batches
from expunge.ledger.words import Word


class BatchKind(Word):
    """What a batch is for."""

    FIT = "fit"
    FORGET = "forget"
    APPEND = "append"
    RECTIFY = "rectify"
    REFIT = "refit"
    REPLACE = "replace"
    RETIRE = "retire"
    UPSERT = "upsert"
    WIDEN = "widen"
    LIFT = "lift"


class BatchState(Word):
    """How far a batch has come."""

    INTENT = "intent"
    CERTIFIED = "certified"
    CLOSED = "closed"
    ABANDONED = "abandoned"


UNFINISHED = (BatchState.INTENT, BatchState.CERTIFIED)
FORGETTING = (BatchKind.FORGET, BatchKind.RECTIFY, BatchKind.REPLACE, BatchKind.RETIRE, BatchKind.UPSERT)
"""Batches after which nothing released before may still be served."""


@dataclass(frozen=True)
class Batch:
    """A batch.

    Args:
        states: model and number of each state file that it writes.
        content: keyed digest of the rows that it added, for as long as the settings say.
        started: ISO 8601, as is ``closed``.
    """

    id: int
    kind: BatchKind
    state: BatchState
    states: tuple[tuple[str, int], ...]
    content: str | None = field(repr=False)
    started: str
    closed: str | None

    @classmethod
    def of(cls, row: sa.Row[Any]) -> "Batch":
        """The batch in a row of the ledger."""
        states = tuple((str(model), int(number)) for model, number in json.loads(row.states))
        kind, state = BatchKind.read(row.kind), BatchState.read(row.state)
        return cls(row.id, kind, state, states, row.content, row.started, row.closed)


def begin(
    connection: sa.Connection, kind: BatchKind, states: Sequence[tuple[str, int]], at: str, content: str | None = None
) -> int:
    """Notes the intent to work on a batch, and the state files (model and number) that it will write; returns its number.

    Args:
        content: keyed digest of the rows that it adds.
    """
    last = connection.execute(sa.select(sa.func.coalesce(sa.func.max(batches.c.id), 0))).scalar_one()
    values = {"kind": kind, "state": BatchState.INTENT, "started": at, "content": content}
    sealing.insert(connection, batches, [{"id": last + 1, "states": json.dumps(states), **values}])
    return int(last) + 1


def set_state(connection: sa.Connection, batch: int, state: BatchState, closed: str | None = None) -> None:
    """Moves a batch on: certified, closed or abandoned."""
    sealing.update(connection, batches, batches.c.id == batch, state=state, closed=closed)


def require(connection: sa.Connection, batch: int, *states: BatchState) -> Batch:
    """The batch, if it is still in one of ``states``: a process that was asleep must not continue what another has ended.

    Raises:
        WorkspaceBusy: another process has given it up or finished it.
    """
    (found,) = map(Batch.of, sealing.rows(connection, sa.select(batches).where(batches.c.id == batch), batches))
    if found.state not in states:
        raise WorkspaceBusy(f"another process has taken over batch {batch}, which is {found.state}; try again")
    return found


def unfinished(connection: sa.Connection) -> list[Batch]:
    """Batches that were started and neither closed nor abandoned."""
    chosen = sa.select(batches).where(batches.c.state.in_(UNFINISHED)).order_by(batches.c.id)
    return [Batch.of(row) for row in sealing.rows(connection, chosen, batches)]


def added_before(connection: sa.Connection, content: str) -> str | None:
    """When the rows with this keyed digest were added, if they were."""
    done = (batches.c.content == content) & batches.c.state.in_((BatchState.CERTIFIED, BatchState.CLOSED))
    found = sealing.rows(connection, sa.select(batches).where(done), batches)
    return str(found[0].started) if found else None


def forget_contents(connection: sa.Connection, before: str) -> None:
    """Drops the digests of rows that were added before that time."""
    sealing.update(connection, batches, batches.c.content.is_not(None) & (batches.c.started < before), content=None)

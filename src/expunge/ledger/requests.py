"""Requests: from acceptance to close. accepted → working → certified → closed; or cancelled, or refused.

A request is *accepted* once its subject is known to have rows, *working* while a batch is on it, *certified* when every
model has a certified release without the rows, and *closed* when the rows are erased from the table.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from expunge.errors import WorkspaceBusy
from expunge.ledger import sealing
from expunge.ledger.tables import batches, forgotten_by, releases, requests

OPEN = ("accepted", "working", "certified")
RESTORE = "restore"
"""The actor of requests that a restore makes anew."""
PART = 500
"""Values in one IN list."""


def insert(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds requests."""
    sealing.insert(connection, requests, rows)


def found_by(connection: sa.Connection, column: str, values: Iterable[str]) -> dict[str, sa.Row[Any]]:
    """The newest request for each of ``values`` of ``column``."""
    field, listed, found = requests.c[column], list(values), {}
    for start in range(0, len(listed), PART):
        chosen = sa.select(requests).where(field.in_(listed[start : start + PART])).order_by(requests.c.received)
        for row in sealing.rows(connection, chosen, requests):
            found[str(getattr(row, column))] = row
    return found


def by_id(connection: sa.Connection, request: str) -> sa.Row[Any] | None:
    """The request called ``request``."""
    found = sealing.rows(connection, sa.select(requests).where(requests.c.id == request), requests)
    return found[0] if found else None


def made_since(connection: sa.Connection, actor: str, since: str) -> int:
    """How many requests ``actor`` made since then, refused ones included."""
    chosen = sa.select(sa.func.count()).where(requests.c.actor == actor, requests.c.received >= since)
    return int(connection.execute(chosen).scalar_one())


def waiting(connection: sa.Connection) -> list[sa.Row[Any]]:
    """All accepted requests to forget, the most urgent first."""
    chosen = sa.select(requests).where(requests.c.state == "accepted", requests.c.kind == "forget")
    return sealing.rows(connection, chosen.order_by(requests.c.deadline, requests.c.id), requests)


def to_forget(connection: sa.Connection) -> list[sa.Row[Any]]:
    """All requests to forget there ever were."""
    return sealing.rows(connection, sa.select(requests).where(requests.c.kind == "forget"), requests)


def asked(connection: sa.Connection) -> list[sa.Row[Any]]:
    """All requests to forget whose people have rows still, whether or not a batch works on them."""
    chosen = sa.select(requests).where(requests.c.state.in_(("accepted", "working")), requests.c.kind == "forget")
    return sealing.rows(connection, chosen.order_by(requests.c.id), requests)


def of_batch(connection: sa.Connection, batch: int) -> list[sa.Row[Any]]:
    """The requests that a batch works on."""
    return sealing.rows(connection, sa.select(requests).where(requests.c.batch == batch).order_by(requests.c.id), requests)


def assign(connection: sa.Connection, ids: Sequence[str], batch: int) -> None:
    """Gives accepted requests to a batch."""
    for start in range(0, len(ids), PART):
        part = requests.c.id.in_(ids[start : start + PART])
        sealing.update(connection, requests, part, batch=batch, state="working")


def certify(connection: sa.Connection, batch: int, ids: Sequence[str]) -> None:
    """Notes that every model has forgotten what these requests ask for; the batch's others wait for another one."""
    for start in range(0, len(ids), PART):
        part = requests.c.id.in_(ids[start : start + PART])
        sealing.update(connection, requests, part, batch=batch, state="certified", problem=None, again=None)
    sealing.update(
        connection, requests, (requests.c.batch == batch) & (requests.c.state == "working"), batch=None, state="accepted"
    )


def release(connection: sa.Connection, batch: int) -> None:
    """Takes requests back from a batch that was given up; corrections, of which nobody was told, never were."""
    own = requests.c.batch == batch
    sealing.delete(connection, requests, own & (requests.c.kind == "rectify"))
    sealing.update(connection, requests, own, batch=None, state="accepted")


def note_problem(connection: sa.Connection, row: sa.Row[Any], problem: str, again: str) -> None:
    """Notes why a request could not be worked, and when to try again."""
    sealing.update(connection, requests, requests.c.id == row.id, problem=problem, attempts=row.attempts + 1, again=again)


def forgotten(connection: sa.Connection, batch: int, model: str, ids: Iterable[str]) -> None:
    """Notes that ``model`` has forgotten the people of these requests."""
    sealing.insert(connection, forgotten_by, [{"request": request, "model": model, "batch": batch} for request in ids])


def forgetting(connection: sa.Connection) -> dict[str, dict[str, int]]:
    """By open request that some models have worked already, these models with their batch."""
    chosen = sa.select(forgotten_by).join(requests, requests.c.id == forgotten_by.c.request).where(requests.c.state.in_(OPEN))
    found: dict[str, dict[str, int]] = {}
    for row in sealing.rows(connection, chosen, forgotten_by):
        found.setdefault(row.request, {})[row.model] = row.batch
    return found


def answered(connection: sa.Connection, batch: int, model: str) -> list[sa.Row[Any]]:
    """The requests that ``model`` answered with a batch: to forget, or a correction."""
    forgot = sa.select(forgotten_by.c.request).where(forgotten_by.c.batch == batch, forgotten_by.c.model == model)
    corrected = (requests.c.batch == batch) & (requests.c.kind == "rectify")
    return sealing.rows(connection, sa.select(requests).where(corrected | requests.c.id.in_(forgot)), requests)


def releases_of(connection: sa.Connection, row: sa.Row[Any]) -> list[int]:
    """The releases that answer a request, by their ids."""
    forgot = sa.select(forgotten_by).where(forgotten_by.c.request == row.id).subquery()
    mine = (releases.c.model == forgot.c.model) & (releases.c.batch == forgot.c.batch)
    chosen = sa.select(releases.c.id).where(sa.exists().where(mine))
    if row.kind == "rectify" and row.batch is not None:
        chosen = sa.select(releases.c.id).where(releases.c.batch == row.batch)
    return list(connection.execute(chosen.order_by(releases.c.id)).scalars())


def batches_of(connection: sa.Connection, request: str) -> dict[str, int]:
    """By model, the batch with which it forgot the person of a request."""
    chosen = sa.select(forgotten_by).where(forgotten_by.c.request == request)
    return {row.model: row.batch for row in sealing.rows(connection, chosen, forgotten_by)}


def close(connection: sa.Connection, batch: int, at: str) -> None:
    """Closes the batch's requests; their pseudonyms in the table go."""
    sealing.update(connection, requests, requests.c.batch == batch, state="closed", subject=None, closed=at)


def is_untouched(connection: sa.Connection, request: str) -> bool:
    """Whether there is such a request that nobody works on yet, and no model has answered."""
    row = by_id(connection, request)
    return row is not None and row.state == "accepted" and not batches_of(connection, request)


def cancel(connection: sa.Connection, request: str, at: str) -> None:
    """Cancels a request."""
    sealing.update(connection, requests, requests.c.id == request, state="cancelled", subject=None, closed=at)


def counts(connection: sa.Connection) -> dict[str, int]:
    """How many requests are in each state."""
    chosen = sa.select(requests.c.state, sa.func.count()).group_by(requests.c.state)
    return {str(state): int(count) for state, count in connection.execute(chosen)}


def open_requests(connection: sa.Connection, limit: int) -> list[sa.Row[Any]]:
    """Open requests, the most urgent first."""
    chosen = sa.select(requests).where(requests.c.state.in_(OPEN)).order_by(requests.c.deadline, requests.c.id)
    return sealing.rows(connection, chosen.limit(limit), requests)


def page(connection: sa.Connection, state: str | None, after: tuple[str, str] | None, limit: int) -> list[sa.Row[Any]]:
    """Requests, the newest first: ``limit`` of them after the (received, id) of the last one seen."""
    chosen = sa.select(requests).order_by(requests.c.received.desc(), requests.c.id.desc()).limit(limit)
    if state is not None:
        chosen = chosen.where(requests.c.state == state)
    if after is not None:
        chosen = chosen.where(sa.tuple_(requests.c.received, requests.c.id) < sa.tuple_(*map(sa.literal, after)))
    return sealing.rows(connection, chosen, requests)


def closed_tombstones(connection: sa.Connection) -> set[str]:
    """Tombstones of everybody forgotten, as far as their term is not over."""
    chosen = sa.select(requests.c.tombstone).where(requests.c.state == "closed", requests.c.kind == "forget")
    return set(connection.execute(chosen).scalars()) - {""}


def tombstones_to_keep(connection: sa.Connection, batch: int | None) -> set[str]:
    """Tombstones of everybody forgotten, of those whom a certified ``batch`` is about to erase, and of those who were forgotten
    by a copy of the ledger that is lost, and are not yet again."""
    owed = requests.c.state.in_(OPEN) & (requests.c.actor == RESTORE)
    if batch is not None:
        owed |= requests.c.batch == batch
    chosen = sa.select(requests).where(owed, requests.c.kind == "forget")
    return closed_tombstones(connection) | {row.tombstone for row in sealing.rows(connection, chosen, requests)}


def open_ids(connection: sa.Connection, batch: int | None) -> list[str]:
    """Names the open requests, the oldest first, but for those of a certified ``batch`` that is about to close them."""
    chosen = sa.select(requests).where(requests.c.state.in_(OPEN)).order_by(requests.c.received, requests.c.id)
    return [row.id for row in sealing.rows(connection, chosen, requests) if batch is None or row.batch != batch]


def begin_batch(
    connection: sa.Connection, kind: str, states: Sequence[tuple[str, int]], at: str, content: str | None = None
) -> int:
    """Notes the intent to work on a batch, and which state files (model and number) it will write; its number.

    Args:
        content: keyed digest of the rows that it adds.
    """
    last = connection.execute(sa.select(sa.func.coalesce(sa.func.max(batches.c.id), 0))).scalar_one()
    values = {"kind": kind, "state": "intent", "started": at, "content": content}
    sealing.insert(connection, batches, [{"id": last + 1, "states": json.dumps(states), **values}])
    return int(last) + 1


def added_before(connection: sa.Connection, content: str) -> str | None:
    """When the rows of this keyed digest were added, if they were."""
    done = (batches.c.content == content) & batches.c.state.in_(("certified", "closed"))
    found = sealing.rows(connection, sa.select(batches).where(done), batches)
    return str(found[0].started) if found else None


def forget_contents(connection: sa.Connection, before: str) -> None:
    """Drops the digests of rows that were added before that time."""
    sealing.update(connection, batches, batches.c.content.is_not(None) & (batches.c.started < before), content=None)


def set_batch(connection: sa.Connection, batch: int, state: str, closed: str | None = None) -> None:
    """Moves a batch on: certified, closed or abandoned."""
    sealing.update(connection, batches, batches.c.id == batch, state=state, closed=closed)


def require_batch(connection: sa.Connection, batch: int, state: str) -> sa.Row[Any]:
    """The batch, if it is still in ``state``: a process that was asleep must not go on with what another one has ended.

    Raises:
        WorkspaceBusy: another process has given it up or carried it on.
    """
    (found,) = sealing.rows(connection, sa.select(batches).where(batches.c.id == batch), batches)
    if found.state != state:
        raise WorkspaceBusy(f"another process has taken over batch {batch}, which is {found.state}; try again")
    return found


def unfinished(connection: sa.Connection) -> list[sa.Row[Any]]:
    """Batches that were begun and neither closed nor abandoned."""
    chosen = sa.select(batches).where(batches.c.state.in_(("intent", "certified"))).order_by(batches.c.id)
    return sealing.rows(connection, chosen, batches)

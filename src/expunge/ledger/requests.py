"""Requests: from acceptance to close. accepted → working → certified → closed; or cancelled, or refused.

A request is *accepted* once its subject is known to have rows, *working* while a batch works on it, *certified* when every
model has a certified release without the rows, and *closed* when the rows are erased from the table. If the person comes back
with new rows, it is *returned*.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa

from expunge.ledger import sealing
from expunge.ledger.tables import forgotten_by, releases, requests
from expunge.ledger.words import Word


class RequestKind(Word):
    """What a request asks for."""

    FORGET = "forget"
    RECTIFY = "rectify"


class RequestState(Word):
    """How far a request has come."""

    ACCEPTED = "accepted"
    WORKING = "working"
    CERTIFIED = "certified"
    CLOSED = "closed"
    RETURNED = "returned"
    CANCELLED = "cancelled"
    REFUSED = "refused"


PATH = (RequestState.ACCEPTED, RequestState.WORKING, RequestState.CERTIFIED, RequestState.CLOSED)
"""The states that a request goes through."""
OPEN = PATH[:-1]
RESTORE = "restore"
"""The actor of requests that a restore makes again."""
PART = 500
"""Number of values in one IN list."""


@dataclass(frozen=True)
class Request:
    """A request.

    Args:
        id: of the request.
        key: the caller's idempotency key.
        subject: the pseudonym in the table, while the request is open.
        tombstone: another pseudonym, which answers "already forgotten"; empty after its term.
        commitment: commitment to the person, as in the receipt; empty for a refused request.
        problem: why it could not be worked, or was refused.
        attempts: number of failed attempts.
        again: it is not tried again before.
        received: ISO 8601, as are ``deadline``, ``closed`` and ``again``.
        reminded: days before the deadline at the last reminder.
    """

    id: str
    kind: RequestKind
    actor: str
    state: RequestState
    received: str
    deadline: str
    key: str = field(repr=False)
    subject: str | None = field(default=None, repr=False)
    tombstone: str = field(default="", repr=False)
    commitment: str = ""
    problem: str | None = None
    attempts: int = 0
    again: str | None = None
    batch: int | None = None
    closed: str | None = None
    reminded: int | None = None

    @classmethod
    def of(cls, row: sa.Row[Any]) -> "Request":
        """The request in a row of the ledger."""
        values = {name: value for name, value in row._mapping.items() if name != "seal"}
        return cls(**{**values, "kind": RequestKind.read(row.kind), "state": RequestState.read(row.state)})

    @property
    def person(self) -> str:
        """The pseudonym in the table; only for an open request."""
        assert self.subject is not None
        return self.subject

    @property
    def is_open(self) -> bool:
        """Whether something remains to be done."""
        return self.state in OPEN


def insert(connection: sa.Connection, made: Sequence[Request]) -> None:
    """Adds requests."""
    sealing.insert(connection, requests, [asdict(request) for request in made])


def found_by(connection: sa.Connection, column: str, values: Iterable[str]) -> dict[str, Request]:
    """The newest request for each of ``values`` of ``column``."""
    field, listed, found = requests.c[column], list(values), {}
    for start in range(0, len(listed), PART):
        chosen = sa.select(requests).where(field.in_(listed[start : start + PART])).order_by(requests.c.received)
        for request in _read(connection, chosen):
            found[str(getattr(request, column))] = request
    return found


def by_id(connection: sa.Connection, request: str) -> Request | None:
    """The request called ``request``."""
    found = _read(connection, sa.select(requests).where(requests.c.id == request))
    return found[0] if found else None


def made_since(connection: sa.Connection, actor: str, since: str) -> int:
    """Number of requests that ``actor`` has made since then, including refused ones."""
    chosen = sa.select(sa.func.count()).where(requests.c.actor == actor, requests.c.received >= since)
    return int(connection.execute(chosen).scalar_one())


def waiting(connection: sa.Connection) -> list[Request]:
    """All accepted requests to forget, most urgent first."""
    chosen = sa.select(requests).where(requests.c.state == RequestState.ACCEPTED, requests.c.kind == RequestKind.FORGET)
    return _read(connection, chosen.order_by(requests.c.deadline, requests.c.id))


def stuck(connection: sa.Connection) -> list[Request]:
    """The accepted requests to forget that could not be worked, most urgent first."""
    chosen = sa.select(requests).where(requests.c.state == RequestState.ACCEPTED, requests.c.kind == RequestKind.FORGET)
    chosen = chosen.where(requests.c.problem.is_not(None))
    return _read(connection, chosen.order_by(requests.c.deadline, requests.c.id))


def to_forget(connection: sa.Connection) -> list[Request]:
    """All requests to forget that were ever made."""
    return _read(connection, sa.select(requests).where(requests.c.kind == RequestKind.FORGET))


def asked(connection: sa.Connection) -> list[Request]:
    """All requests to forget whose people still have rows, whether or not a batch works on them."""
    chosen = sa.select(requests).where(
        requests.c.state.in_((RequestState.ACCEPTED, RequestState.WORKING)), requests.c.kind == RequestKind.FORGET
    )
    return _read(connection, chosen.order_by(requests.c.id))


def of_batch(connection: sa.Connection, batch: int) -> list[Request]:
    """The requests that a batch works on."""
    return _read(connection, sa.select(requests).where(requests.c.batch == batch).order_by(requests.c.id))


def assign(connection: sa.Connection, ids: Sequence[str], batch: int) -> None:
    """Gives accepted requests to a batch."""
    for start in range(0, len(ids), PART):
        part = requests.c.id.in_(ids[start : start + PART])
        sealing.update(connection, requests, part, batch=batch, state=RequestState.WORKING)


def certify(connection: sa.Connection, batch: int, ids: Sequence[str]) -> None:
    """Notes that every model has forgotten what these requests ask for; the batch's other requests wait for another batch."""
    for start in range(0, len(ids), PART):
        part = requests.c.id.in_(ids[start : start + PART])
        sealing.update(connection, requests, part, batch=batch, state=RequestState.CERTIFIED, problem=None, again=None)
    others = (requests.c.batch == batch) & (requests.c.state == RequestState.WORKING)
    sealing.update(connection, requests, others, batch=None, state=RequestState.ACCEPTED)


def release(connection: sa.Connection, batch: int) -> None:
    """Takes requests back from a batch that was given up; corrections, which nobody was told of, are deleted."""
    own = requests.c.batch == batch
    sealing.delete(connection, requests, own & (requests.c.kind == RequestKind.RECTIFY))
    sealing.update(connection, requests, own, batch=None, state=RequestState.ACCEPTED)


def note_problem(connection: sa.Connection, request: Request, problem: str, again: str) -> None:
    """Notes why a request could not be worked, and when to try again."""
    sealing.update(
        connection, requests, requests.c.id == request.id, problem=problem, attempts=request.attempts + 1, again=again
    )


def forgotten(connection: sa.Connection, batch: int, model: str, ids: Iterable[str]) -> None:
    """Notes that ``model`` has forgotten the people of these requests."""
    sealing.insert(connection, forgotten_by, [{"request": request, "model": model, "batch": batch} for request in ids])


def forgetting(connection: sa.Connection) -> dict[str, dict[str, int]]:
    """For each open request that some models have already worked, these models with their batch."""
    chosen = sa.select(forgotten_by).join(requests, requests.c.id == forgotten_by.c.request).where(requests.c.state.in_(OPEN))
    found: dict[str, dict[str, int]] = {}
    for row in sealing.rows(connection, chosen, forgotten_by):
        found.setdefault(row.request, {})[row.model] = row.batch
    return found


def answered(connection: sa.Connection, batch: int, model: str) -> list[Request]:
    """The requests that ``model`` answered with a batch: to forget, or a correction."""
    forgot = sa.select(forgotten_by.c.request).where(forgotten_by.c.batch == batch, forgotten_by.c.model == model)
    corrected = (requests.c.batch == batch) & (requests.c.kind == RequestKind.RECTIFY)
    return _read(connection, sa.select(requests).where(corrected | requests.c.id.in_(forgot)))


def releases_of(connection: sa.Connection, request: Request) -> list[int]:
    """The releases that answer a request, by their ids."""
    forgot = sa.select(forgotten_by).where(forgotten_by.c.request == request.id).subquery()
    mine = (releases.c.model == forgot.c.model) & (releases.c.batch == forgot.c.batch)
    chosen = sa.select(releases.c.id).where(sa.exists().where(mine))
    if request.kind == RequestKind.RECTIFY and request.batch is not None:
        chosen = sa.select(releases.c.id).where(releases.c.batch == request.batch)
    return list(connection.execute(chosen.order_by(releases.c.id)).scalars())


def batches_of(connection: sa.Connection, request: str) -> dict[str, int]:
    """For each model, the batch with which it forgot the person of a request."""
    chosen = sa.select(forgotten_by).where(forgotten_by.c.request == request)
    return {row.model: row.batch for row in sealing.rows(connection, chosen, forgotten_by)}


def close(connection: sa.Connection, batch: int, at: str) -> None:
    """Closes the batch's requests; their pseudonyms in the table are dropped."""
    sealing.update(connection, requests, requests.c.batch == batch, state=RequestState.CLOSED, subject=None, closed=at)


def is_untouched(connection: sa.Connection, request: str) -> bool:
    """Whether there is such a request, nobody works on it yet, and no model has answered it."""
    found = by_id(connection, request)
    return found is not None and found.state == RequestState.ACCEPTED and not batches_of(connection, request)


def cancel(connection: sa.Connection, request: str, at: str) -> None:
    """Cancels a request."""
    sealing.update(connection, requests, requests.c.id == request, state=RequestState.CANCELLED, subject=None, closed=at)


def counts(connection: sa.Connection) -> dict[RequestState, int]:
    """Number of requests in each state; states without any are left out."""
    chosen = sa.select(requests.c.state, sa.func.count()).group_by(requests.c.state)
    return {RequestState.read(state): int(count) for state, count in connection.execute(chosen)}


def open_requests(connection: sa.Connection, limit: int) -> list[Request]:
    """Open requests, most urgent first."""
    chosen = sa.select(requests).where(requests.c.state.in_(OPEN)).order_by(requests.c.deadline, requests.c.id)
    return _read(connection, chosen.limit(limit))


def to_remind(connection: sa.Connection, before: str, days: int) -> list[Request]:
    """Open requests with a deadline until ``before`` for which no reminder of ``days`` days or fewer was sent."""
    new = requests.c.reminded.is_(None) | (requests.c.reminded > days)
    chosen = sa.select(requests).where(requests.c.state.in_(OPEN), requests.c.deadline <= before, new)
    return _read(connection, chosen.order_by(requests.c.deadline, requests.c.id))


def note_reminder(connection: sa.Connection, ids: Sequence[str], days: int) -> None:
    """Notes that a reminder was sent so many days before the deadlines."""
    for start in range(0, len(ids), PART):
        sealing.update(connection, requests, requests.c.id.in_(ids[start : start + PART]), reminded=days)


def page(connection: sa.Connection, state: RequestState | None, after: tuple[str, str] | None, limit: int) -> list[Request]:
    """Requests, newest first: ``limit`` of them after the (received, id) of the last one seen."""
    chosen = sa.select(requests).order_by(requests.c.received.desc(), requests.c.id.desc()).limit(limit)
    if state is not None:
        chosen = chosen.where(requests.c.state == state)
    if after is not None:
        chosen = chosen.where(sa.tuple_(requests.c.received, requests.c.id) < sa.tuple_(*map(sa.literal, after)))
    return _read(connection, chosen)


def closed_tombstones(connection: sa.Connection) -> set[str]:
    """Tombstones of everybody forgotten whose term is not over."""
    chosen = sa.select(requests.c.tombstone).where(
        requests.c.state == RequestState.CLOSED, requests.c.kind == RequestKind.FORGET
    )
    return set(connection.execute(chosen).scalars()) - {""}


def tombstones_to_keep(connection: sa.Connection, batch: int | None) -> set[str]:
    """Tombstones of everybody forgotten, of those whom a certified ``batch`` is about to erase, and of those who were forgotten
    by a lost copy of the ledger and are not forgotten again yet."""
    owed = requests.c.state.in_(OPEN) & (requests.c.actor == RESTORE)
    if batch is not None:
        owed |= requests.c.batch == batch
    chosen = sa.select(requests).where(owed, requests.c.kind == RequestKind.FORGET)
    return closed_tombstones(connection) | {request.tombstone for request in _read(connection, chosen)}


def open_ids(connection: sa.Connection, batch: int | None) -> list[str]:
    """Ids of the open requests, oldest first, without those of a certified ``batch`` that is about to close them."""
    chosen = sa.select(requests).where(requests.c.state.in_(OPEN)).order_by(requests.c.received, requests.c.id)
    return [request.id for request in _read(connection, chosen) if batch is None or request.batch != batch]


def _read(connection: sa.Connection, chosen: sa.Select[Any]) -> list[Request]:
    return [Request.of(row) for row in sealing.rows(connection, chosen, requests)]

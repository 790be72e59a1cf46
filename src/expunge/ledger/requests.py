"""Requests: from acceptance to close. accepted → working → certified → closed; or cancelled, or refused.

A request is *accepted* once its subject is known to have rows, *working* while a batch works on it, *certified* when every
model has a certified release without the rows, and *closed* when the rows are erased from the table. If the person comes back
with new rows, it is *returned*.

A request to restrict processing goes accepted → working → restricted → lifting → lifted. It is *restricted* when every model
has a certified release without the rows, which stay in the table; *lifting* once an officer has lifted it; and *lifted* when
every model has learned the rows again, or they were erased.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa

from expunge.ledger import sealing, times
from expunge.ledger.tables import acts, case_files, forgotten_by, notes, releases, requests
from expunge.ledger.words import Word


class RequestKind(Word):
    """What a request asks for."""

    FORGET = "forget"
    RECTIFY = "rectify"
    RESTRICT = "restrict"


class Basis(Word):
    """Why processing may be restricted (GDPR Art. 18(1) a to d)."""

    ACCURACY = "accuracy"
    """The person contests that the data are accurate."""
    UNLAWFUL = "unlawful"
    """The processing is unlawful, and the person does not want the data erased."""
    CLAIMS = "claims"
    """The person needs them for legal claims."""
    OBJECTION = "objection"
    """The person has objected, and that is not decided yet."""


class Channel(Word):
    """How a request came."""

    LETTER = "letter"
    EMAIL = "email"
    FORM = "form"
    TELEPHONE = "telephone"
    IN_PERSON = "in-person"
    OTHER = "other"


class RequestState(Word):
    """How far a request has come."""

    ACCEPTED = "accepted"
    WORKING = "working"
    CERTIFIED = "certified"
    CLOSED = "closed"
    RETURNED = "returned"
    RESTRICTED = "restricted"
    LIFTING = "lifting"
    LIFTED = "lifted"
    CANCELLED = "cancelled"
    REFUSED = "refused"


PATH = (RequestState.ACCEPTED, RequestState.WORKING, RequestState.CERTIFIED, RequestState.CLOSED)
"""The states that a request goes through."""
OPEN = PATH[:-1]
STANDING = (RequestState.RESTRICTED, RequestState.LIFTING)
"""The states in which a restriction stands: no model knows the rows, and the table has them."""
RESTRICTING = (RequestState.ACCEPTED, RequestState.WORKING, *STANDING, RequestState.LIFTED)
"""The states that a request to restrict processing goes through."""
WORKED = (RequestKind.FORGET, RequestKind.RESTRICT)
"""The kinds of requests that wait in the queue until every model has forgotten the person."""
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
        received_on: the day on which it came, ISO 8601; ``received`` is when it was entered.
        channel: how it came.
        first_deadline: the deadline before it was extended; ``extension`` says why it was.
        reason: why it was refused by an officer, or withdrawn.
        hold: it is not worked before, unless somebody wants it.
        lot: the call with which it came, if that needs a second person's approval; ``approved_by`` names that person's token.
        ground: of a restriction, why it was asked for.
        lifted: when a restriction ended; ``closed`` is when it took effect.
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
    received_on: str = ""
    channel: Channel | None = None
    first_deadline: str | None = None
    extension: str | None = None
    reason: str | None = None
    hold: str | None = None
    lot: str | None = None
    approved_by: str | None = None
    ground: Basis | None = None
    lifted: str | None = None

    @classmethod
    def of(cls, row: sa.Row[Any]) -> "Request":
        """The request in a row of the ledger."""
        values = {name: value for name, value in row._mapping.items() if name != "seal"}
        words = {"kind": RequestKind.read(row.kind), "state": RequestState.read(row.state)}
        channel = None if row.channel is None else Channel.read(row.channel)
        ground = None if row.ground is None else Basis.read(row.ground)
        return cls(**{**values, **words, "channel": channel, "ground": ground})

    @property
    def person(self) -> str:
        """The pseudonym in the table; only for an open request."""
        assert self.subject is not None
        return self.subject

    @property
    def is_open(self) -> bool:
        """Whether something remains to be done."""
        return self.state in OPEN

    @property
    def is_standing(self) -> bool:
        """Whether it is a restriction that stands."""
        return self.state in STANDING

    @property
    def is_unapproved(self) -> bool:
        """Whether a second person has to approve it before it is worked."""
        return self.state == RequestState.ACCEPTED and self.lot is not None and self.approved_by is None

    def is_held(self, now: str) -> bool:
        """Whether it is not to be worked yet at ``now``, so that it can still be withdrawn."""
        return self.state == RequestState.ACCEPTED and self.hold is not None and self.hold > now


def insert(connection: sa.Connection, made: Sequence[Request]) -> None:
    """Adds requests."""
    sealing.insert(connection, requests, [asdict(request) for request in made])


def found_by(
    connection: sa.Connection, column: str, values: Iterable[str], kinds: Sequence[RequestKind] = tuple(RequestKind)
) -> dict[str, Request]:
    """The newest request of one of ``kinds`` for each of ``values`` of ``column``."""
    field, listed, found = requests.c[column], list(values), {}
    for start in range(0, len(listed), PART):
        mine = field.in_(listed[start : start + PART]) & requests.c.kind.in_(kinds)
        chosen = sa.select(requests).where(mine).order_by(requests.c.received)
        for request in read(connection, chosen):
            found[str(getattr(request, column))] = request
    return found


def by_id(connection: sa.Connection, request: str) -> Request | None:
    """The request called ``request``."""
    found = read(connection, sa.select(requests).where(requests.c.id == request))
    return found[0] if found else None


def made_since(connection: sa.Connection, actor: str, since: str) -> int:
    """Number of requests that ``actor`` has made since then, including refused ones."""
    chosen = sa.select(sa.func.count()).where(requests.c.actor == actor, requests.c.received >= since)
    return int(connection.execute(chosen).scalar_one())


def waiting(connection: sa.Connection, now: str | None = None) -> list[Request]:
    """All accepted requests in the queue that need nobody's approval, most urgent first.

    Args:
        connection: a connection.
        now: those whose hold is not over at this time are left out, and not read. Default: they are among them.
    """
    mine = _queued() if now is None else _queued() & _is_free(now)
    return read(connection, sa.select(requests).where(mine).order_by(requests.c.deadline, requests.c.id))


def held(connection: sa.Connection, now: str) -> dict[str, str]:
    """When the hold ends of each request in the queue that is held at this time and needs nobody's approval; for telling."""
    chosen = sa.select(requests.c.id, requests.c.hold).where(_queued(), requests.c.hold > now)
    return {str(identity): str(hold) for identity, hold in connection.execute(chosen)}


def still_waiting(connection: sa.Connection, ids: Iterable[str]) -> set[str]:
    """Those of ``ids`` that nobody has withdrawn or refused meanwhile."""
    return {name for name, row in found_by(connection, "id", ids).items() if row.state == RequestState.ACCEPTED}


def made(connection: sa.Connection) -> list[Request]:
    """All requests that were ever made and wait, or waited, in the queue."""
    return read(connection, sa.select(requests).where(requests.c.kind.in_(WORKED)))


def asked(connection: sa.Connection) -> list[Request]:
    """All requests of the queue whose people still have rows that models are not to know, whether or not a batch works on them,
    and restrictions that stand; without those that are held or not approved, which can still be withdrawn as if nobody had
    asked."""
    accepted = (requests.c.state == RequestState.ACCEPTED) & _is_free(times.exact()) & _approved()
    mine = accepted | requests.c.state.in_((RequestState.WORKING, *STANDING))
    chosen = sa.select(requests).where(mine, requests.c.kind.in_(WORKED))
    return read(connection, chosen.order_by(requests.c.id))


def of_batch(connection: sa.Connection, batch: int) -> list[Request]:
    """The requests that a batch works on."""
    return read(connection, sa.select(requests).where(requests.c.batch == batch).order_by(requests.c.id))


def assign(connection: sa.Connection, ids: Sequence[str], batch: int) -> None:
    """Gives accepted requests to a batch; their hold is over."""
    for start in range(0, len(ids), PART):
        part = requests.c.id.in_(ids[start : start + PART])
        sealing.update(connection, requests, part, batch=batch, state=RequestState.WORKING, hold=None)


def certify(connection: sa.Connection, batch: int, ids: Sequence[str], at: str) -> None:
    """Notes that every model has forgotten what these requests ask for; the batch's other requests wait for another batch. A
    restriction takes effect with it, at ``at``."""
    done = {"batch": batch, "problem": None, "again": None}
    for start in range(0, len(ids), PART):
        part = requests.c.id.in_(ids[start : start + PART])
        is_restriction = requests.c.kind == RequestKind.RESTRICT
        restricted = {**done, "state": RequestState.RESTRICTED, "closed": at, "attempts": 0}
        sealing.update(connection, requests, part & is_restriction, **restricted)
        sealing.update(connection, requests, part & ~is_restriction, **done, state=RequestState.CERTIFIED)
    others = (requests.c.batch == batch) & (requests.c.state == RequestState.WORKING)
    sealing.update(connection, requests, others, batch=None, state=RequestState.ACCEPTED)


def release(connection: sa.Connection, batch: int) -> None:
    """Takes requests back from a batch that was given up; corrections, which nobody was told of, are deleted."""
    own = requests.c.batch == batch
    corrections = sa.select(requests.c.id).where(own, requests.c.kind == RequestKind.RECTIFY)
    for table in (case_files, notes, acts):
        sealing.delete(connection, table, table.c.request.in_(corrections))
    sealing.delete(connection, requests, own & (requests.c.kind == RequestKind.RECTIFY))
    sealing.update(connection, requests, own, batch=None, state=RequestState.ACCEPTED)


def note_problem(connection: sa.Connection, request: Request, problem: str, again: str) -> None:
    """Notes why a request could not be worked, and when to try again."""
    sealing.update(
        connection, requests, requests.c.id == request.id, problem=problem, attempts=request.attempts + 1, again=again
    )


def forgotten(connection: sa.Connection, batch: int, model: str, ids: Iterable[str]) -> None:
    """Notes that ``model`` has forgotten the people of these requests, which cannot be withdrawn any more."""
    listed = list(ids)
    sealing.insert(connection, forgotten_by, [{"request": request, "model": model, "batch": batch} for request in listed])
    for start in range(0, len(listed), PART):
        held = requests.c.id.in_(listed[start : start + PART]) & requests.c.hold.is_not(None)
        sealing.update(connection, requests, held, hold=None)


def forgetting(connection: sa.Connection) -> dict[str, dict[str, int]]:
    """For each open request that some models have already worked, and each restriction that stands, these models with their
    batch."""
    mine = requests.c.state.in_((*OPEN, *STANDING))
    chosen = sa.select(forgotten_by).join(requests, requests.c.id == forgotten_by.c.request).where(mine)
    found: dict[str, dict[str, int]] = {}
    for row in sealing.rows(connection, chosen, forgotten_by):
        found.setdefault(row.request, {})[row.model] = row.batch
    return found


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
    mine = (requests.c.batch == batch) & (requests.c.state == RequestState.CERTIFIED)
    sealing.update(connection, requests, mine, state=RequestState.CLOSED, subject=None, closed=at)


def is_untouched(connection: sa.Connection, request: str) -> bool:
    """Whether there is such a request, nobody works on it yet, and no model has answered it."""
    found = by_id(connection, request)
    return found is not None and found.state == RequestState.ACCEPTED and not batches_of(connection, request)


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
    return closed_tombstones(connection) | {request.tombstone for request in read(connection, chosen)}


def open_ids(connection: sa.Connection, batch: int | None) -> list[str]:
    """Ids of the open requests and of the restrictions that stand, oldest first, without those of a certified ``batch`` that is
    about to close them."""
    chosen = sa.select(requests).where(requests.c.state.in_((*OPEN, *STANDING)))
    found = read(connection, chosen.order_by(requests.c.received, requests.c.id))
    return [request.id for request in found if batch is None or request.is_standing or request.batch != batch]


def _queued() -> sa.ColumnElement[bool]:
    return (requests.c.state == RequestState.ACCEPTED) & requests.c.kind.in_(WORKED) & _approved()


def _is_free(now: str) -> sa.ColumnElement[bool]:
    return requests.c.hold.is_(None) | (requests.c.hold <= now)


def _approved() -> sa.ColumnElement[bool]:
    return requests.c.lot.is_(None) | requests.c.approved_by.is_not(None)


def read(connection: sa.Connection, chosen: sa.Select[Any]) -> list[Request]:
    """The requests that ``chosen`` finds, each checked against its seal."""
    return [Request.of(row) for row in sealing.rows(connection, chosen, requests)]

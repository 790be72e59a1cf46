"""Cases: what an office notes of a request, and what its officers do with it; every act is kept, with who did it and when.

The office's own reference, who checked an identity, and notes may say who the person is. So they are in no log and no
notice, and go with the term of the tombstone. What was done stays, as do the words for why.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from expunge.evidence.events import EventKind
from expunge.ledger import log, requests, restrictions, sealing, times, tombstones
from expunge.ledger.requests import OPEN, PART, STANDING, Request, RequestState
from expunge.ledger.tables import acts, case_files, notes
from expunge.ledger.tables import requests as table
from expunge.ledger.words import Word


class Deed(Word):
    """What an officer did with a request."""

    EXTENDED = "extended"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    APPROVED = "approved"
    NOTED = "noted"
    LIFTED = "lifted"


class Extension(Word):
    """Why a deadline may be extended (GDPR Art. 12(3))."""

    COMPLEXITY = "complexity"
    MANY = "many"


class Ground(Word):
    """Why a request may be refused after all (GDPR Art. 17(3) a to e, Art. 18(1), and Art. 12(5))."""

    EXPRESSION = "expression"
    LEGAL_OBLIGATION = "legal-obligation"
    PUBLIC_HEALTH = "public-health"
    ARCHIVING = "archiving"
    LEGAL_CLAIMS = "legal-claims"
    NO_GROUND = "no-ground"
    """None of the grounds for restriction applies."""
    UNFOUNDED = "unfounded"
    EXCESSIVE = "excessive"


OF_RESTRICTION = (Ground.NO_GROUND, Ground.UNFOUNDED, Ground.EXCESSIVE)
"""Why a request to restrict processing may be refused."""
OF_ERASURE = tuple(ground for ground in Ground if ground != Ground.NO_GROUND)
"""Why a request to forget may be refused."""


class Withdrawal(Word):
    """Why a request is withdrawn."""

    PERSON = "person"
    MISTAKE = "mistake"
    DUPLICATE = "duplicate"
    OTHER = "other"


class Lifting(Word):
    """Why a restriction of processing is lifted."""

    SETTLED = "settled"
    """What was contested, or objected to, is decided."""
    CLAIMS_OVER = "claims-over"
    """The person needs the data for no claim any more."""
    PERSON = "person"
    """The person wants it lifted."""
    OTHER = "other"


ERASED = "erased"
"""Why a restriction, or the request for one, ended: the person was forgotten meanwhile."""


@dataclass(frozen=True)
class CaseFile:
    """What an office notes of a request."""

    reference: str | None = field(default=None, repr=False)
    checked_by: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Note:
    """What an officer wrote."""

    at: str
    actor: str
    text: str = field(repr=False)


@dataclass(frozen=True)
class Act:
    """What an officer did, and why."""

    at: str
    actor: str
    act: Deed
    reason: str | None


def keep_files(connection: sa.Connection, files: Mapping[str, CaseFile]) -> None:
    """Keeps what an office notes of new requests; those of which it notes nothing are left out."""
    rows = [{"request": request, **vars(each)} for request, each in files.items() if each != CaseFile()]
    sealing.insert(connection, case_files, rows)


def file_of(connection: sa.Connection, request: str) -> CaseFile:
    """What an office notes of a request."""
    return files_of(connection, [request]).get(request, CaseFile())


def files_of(connection: sa.Connection, ids: Iterable[str]) -> dict[str, CaseFile]:
    """By request, what an office notes of it; those of which it notes nothing are left out."""
    chosen = sa.select(case_files).where(case_files.c.request.in_(list(ids)))
    return {row.request: CaseFile(row.reference, row.checked_by) for row in sealing.rows(connection, chosen, case_files)}


def add_note(connection: sa.Connection, request: str, actor: str, text: str) -> None:
    """Adds a note to a request."""
    row = {"id": _next(connection, notes), "request": request, "at": times.exact(), "actor": actor, "text": text}
    sealing.insert(connection, notes, [row])
    _act(connection, [request], actor, Deed.NOTED, None)


def notes_of(connection: sa.Connection, request: str) -> list[Note]:
    """The notes on a request, oldest first."""
    chosen = sa.select(notes).where(notes.c.request == request).order_by(notes.c.id)
    return [Note(row.at, row.actor, row.text) for row in sealing.rows(connection, chosen, notes)]


def acts_of(connection: sa.Connection, request: str) -> list[Act]:
    """What was done with a request, oldest first."""
    chosen = sa.select(acts).where(acts.c.request == request).order_by(acts.c.id)
    return [Act(row.at, row.actor, Deed.read(row.act), row.reason) for row in sealing.rows(connection, chosen, acts)]


def extend(connection: sa.Connection, row: Request, deadline: str, reason: Extension, actor: str) -> None:
    """Extends the deadline of a request, in a writing transaction; it is reminded of anew."""
    more = {"deadline": deadline, "first_deadline": row.deadline, "extension": reason, "reminded": None}
    sealing.update(connection, table, table.c.id == row.id, **more)
    _act(connection, [row.id], actor, Deed.EXTENDED, reason)
    log.note(connection, EventKind.REQUEST_EXTENDED, [{"request": row.id}])


def refuse(connection: sa.Connection, request: str, problem: str, reason: Ground, actor: str) -> None:
    """Refuses an accepted request, in a writing transaction."""
    _end(connection, request, RequestState.REFUSED, reason, problem=problem)
    _act(connection, [request], actor, Deed.REFUSED, reason)
    log.note(connection, EventKind.REQUEST_REFUSED, [{"request": request, "reason": reason}])


def cancel(connection: sa.Connection, request: str, reason: Withdrawal, actor: str) -> None:
    """Withdraws a request, in a writing transaction."""
    _end(connection, request, RequestState.CANCELLED, reason)
    _act(connection, [request], actor, Deed.CANCELLED, reason)
    log.note(connection, EventKind.REQUEST_CANCELLED, [{"request": request}])


def lift(connection: sa.Connection, request: str, reason: Lifting, actor: str) -> None:
    """Notes that a restriction is lifted, in a writing transaction; it stands until every model has learned the rows again."""
    lifting = {"state": RequestState.LIFTING, "reason": reason}
    sealing.update(connection, table, table.c.id == request, **lifting)
    _act(connection, [request], actor, Deed.LIFTED, reason)
    log.note(connection, EventKind.REQUEST_LIFTED, [{"request": request}])


def end_with(connection: sa.Connection, people: Sequence[str]) -> None:
    """Ends the restrictions of people who are erased, in a writing transaction, whether they stand or were only asked for.

    Args:
        people: pseudonyms in the table.
    """
    for row in restrictions.of(connection, people):
        if row.is_standing:
            restrictions.lift(connection, [row.id], times.exact())
            sealing.update(connection, table, table.c.id == row.id, reason=ERASED)
            if row.state == RequestState.RESTRICTED:
                log.note(connection, EventKind.REQUEST_LIFTED, [{"request": row.id}])
        else:
            _end(connection, row.id, RequestState.CANCELLED, ERASED)
            log.note(connection, EventKind.REQUEST_CANCELLED, [{"request": row.id}])


def lot_of(connection: sa.Connection, lot: str) -> list[Request]:
    """The requests that came with one call and wait for approval."""
    mine = (table.c.lot == lot) & (table.c.state == RequestState.ACCEPTED) & table.c.approved_by.is_(None)
    return requests.read(connection, sa.select(table).where(mine).order_by(table.c.id))


def approve(connection: sa.Connection, ids: Sequence[str], actor: str) -> None:
    """Approves requests, in a writing transaction."""
    for start in range(0, len(ids), PART):
        sealing.update(connection, table, table.c.id.in_(ids[start : start + PART]), approved_by=actor)
    _act(connection, ids, actor, Deed.APPROVED, None)
    log.note(connection, EventKind.REQUEST_APPROVED, [{"request": name} for name in ids])


def are_due(connection: sa.Connection, until: str) -> bool:
    """Whether there are case files or notes of requests that were over by then."""
    theirs = _over(until)
    kept = [sa.exists().where(part.c.request.in_(theirs)) for part in (case_files, notes)]
    return bool(connection.execute(sa.select(sa.or_(*kept))).scalar_one())


def purge(connection: sa.Connection, until: str) -> None:
    """Drops the case files and notes of requests that were over by then."""
    theirs = _over(until)
    for part in (case_files, notes):
        sealing.delete(connection, part, part.c.request.in_(theirs))


def _over(until: str) -> sa.Select[tuple[str]]:
    return sa.select(table.c.id).where(table.c.state.not_in((*OPEN, *STANDING)), tombstones.over_by(until))


def _end(connection: sa.Connection, request: str, state: RequestState, reason: str, **more: str) -> None:
    ended = {"state": state, "subject": None, "closed": times.exact(), "reason": reason, "hold": None}
    sealing.update(connection, table, table.c.id == request, **ended, **more)


def _act(connection: sa.Connection, ids: Sequence[str], actor: str, act: Deed, reason: str | None) -> None:
    first, at = _next(connection, acts), times.exact()
    about = {"at": at, "actor": actor, "act": act, "reason": reason}
    sealing.insert(connection, acts, [{"id": first + n, "request": name, **about} for n, name in enumerate(ids)])


def _next(connection: sa.Connection, of: sa.Table) -> int:
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(of.c.id), 0))).scalar_one()) + 1

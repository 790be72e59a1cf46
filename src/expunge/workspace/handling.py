"""Handling: what officers do with requests that were accepted: extend, refuse, withdraw, approve, note, lift a restriction.

Only a request that nobody has worked on can be refused or withdrawn. Nobody approves their own requests.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import TypeVar

import sqlalchemy as sa

from expunge.errors import Refusal, RequestRefused, WorkspaceBusy
from expunge.ledger import batches, cases, requests, times
from expunge.ledger.cases import OF_ERASURE, OF_RESTRICTION, Extension, Ground, Lifting, Withdrawal
from expunge.ledger.requests import Request, RequestKind, RequestState
from expunge.workspace.cases import WrongField, text
from expunge.workspace.deadlines import MONTHS, MORE, days_left, due_on, end_of
from expunge.workspace.storage import Storage

Chosen = TypeVar("Chosen", Extension, Ground, Lifting, Withdrawal)


def extend(storage: Storage, request: str, months: int, reason: str, actor: str) -> str:
    """Extends the deadline of an open request, once; returns the new one. The person must be told before the old one ends.

    Args:
        months: 1 or 2 more.
        reason: a word of ``Extension``.

    Raises:
        RequestRefused: there is no such open request, it was extended before, or its deadline is over.
        WrongField: another number of months, or another reason.
    """
    if months not in MORE:
        raise WrongField("months", "a deadline can be extended by one month or two (GDPR Art. 12(3))")
    why = _word(Extension, reason)
    with _changed(storage, request) as (connection, row):
        if not row.is_open:
            raise RequestRefused(f"request {request} is {row.state}: it has no deadline any more", reason=Refusal.TOO_LATE)
        if row.first_deadline is not None:
            raise RequestRefused(
                f"the deadline of request {request} was extended before, and can be extended only once",
                reason=Refusal.EXTENDED_BEFORE,
            )
        if days_left(row.deadline, times.now()) < 0:
            raise RequestRefused(
                f"the deadline of request {request} was on {row.deadline[:10]}: it cannot be extended afterwards",
                reason=Refusal.TOO_LATE,
            )
        received = date.fromisoformat(row.received_on)
        deadline = max(end_of(due_on(received, MONTHS + months, storage.configuration.off)), row.deadline)
        cases.extend(connection, row, deadline, why, actor)
    return deadline


def refuse(storage: Storage, request: str, reason: str, actor: str) -> None:
    """Refuses an accepted request on which nobody has worked.

    Args:
        reason: a word of ``Ground``.

    Raises:
        RequestRefused: there is no such request, or it can no longer be refused.
        WrongField: another reason.
    """
    why = _word(Ground, reason)
    with _changed(storage, request) as (connection, row):
        allowed = OF_RESTRICTION if row.kind == RequestKind.RESTRICT else OF_ERASURE
        if why not in allowed:
            raise WrongField("reason", f"a request to {row.kind} can be refused for one of {', '.join(allowed)}")
        _require_untouched(connection, row, "refused")
        cases.refuse(connection, request, Refusal.BY_OFFICER, why, actor)


def withdraw(storage: Storage, request: str, reason: str, actor: str, *, dry_run: bool = False) -> None:
    """Withdraws a request on which nobody has worked; a dry run only finds out whether it can be withdrawn.

    Args:
        reason: a word of ``Withdrawal``.

    Raises:
        RequestRefused: there is no such request, or it can no longer be withdrawn.
        WrongField: another reason.
    """
    why = _word(Withdrawal, reason)
    with _changed(storage, request, dry_run=dry_run) as (connection, row):
        _require_untouched(connection, row, "cancelled")
        if not dry_run:
            cases.cancel(connection, request, why, actor)


def approve(storage: Storage, request: str, actor: str) -> list[str]:
    """Approves a request and all that came in the same call, as a second person; returns their ids.

    Raises:
        RequestRefused: there is no such request, it needs no approval, or ``actor`` made it.
    """
    with _changed(storage, request) as (connection, row):
        if not row.is_unapproved:
            raise RequestRefused(f"request {request} does not wait for approval", reason=Refusal.NOTHING_TO_APPROVE)
        if row.actor == actor:
            raise RequestRefused(
                f"request {request} was made with the same token: a second person has to approve it", reason=Refusal.OWN_REQUEST
            )
        ids = [each.id for each in cases.lot_of(connection, str(row.lot))]
        cases.approve(connection, ids, actor)
    return ids


def lift(storage: Storage, request: str, reason: str, actor: str, *, is_informed: bool) -> None:
    """Lifts a restriction of processing, which stands until the models have learned the rows again, in the next round of work.

    Args:
        reason: a word of ``Lifting``.
        is_informed: whether the person was told before, as GDPR Art. 18(3) wants it.

    Raises:
        RequestRefused: there is no such request, or it is not a restriction that stands.
        WrongField: another reason, or the person was not told.
    """
    why = _word(Lifting, reason)
    if not is_informed:
        raise WrongField("informed", "the person must be told before a restriction is lifted (GDPR Art. 18(3)): confirm that")
    with _changed(storage, request) as (connection, row):
        if row.state != RequestState.RESTRICTED:
            said = f"is {row.state}" if row.kind == RequestKind.RESTRICT else "is no restriction"
            raise RequestRefused(
                f"request {request} {said}: only a restriction that stands can be lifted", reason=Refusal.NOTHING_TO_LIFT
            )
        cases.lift(connection, request, why, actor)


def note(storage: Storage, request: str, written: str, actor: str) -> None:
    """Adds a note to a request.

    Raises:
        RequestRefused: there is no such request.
        WrongField: the note is empty, too long, or has control characters.
    """
    found = text(written, "note")
    if not found:
        raise WrongField("note", "the note is empty")
    with _changed(storage, request) as (connection, _row):
        cases.add_note(connection, request, actor, found)


def require(connection: sa.Connection, request: str) -> Request:
    """The request.

    Raises:
        RequestRefused: there is none.
    """
    row = requests.by_id(connection, request)
    if row is None:
        raise RequestRefused(f"there is no request {request!r}", reason=Refusal.UNKNOWN_REQUEST)
    return row


@contextmanager
def _changed(storage: Storage, request: str, *, dry_run: bool = False) -> Iterator[tuple[sa.Connection, Request]]:
    with storage.database.reading() if dry_run else storage.database.writing() as connection:
        yield connection, require(connection, request)


def _require_untouched(connection: sa.Connection, row: Request, done: str) -> None:
    if not requests.is_untouched(connection, row.id):
        state = "already worked by some of the models" if row.state == RequestState.ACCEPTED else row.state
        raise RequestRefused(f"request {row.id} is {state}: only an untouched one can be {done}", reason=Refusal.TOO_LATE)
    if batches.unfinished(connection) and not (row.is_unapproved or row.is_held(times.exact())):
        raise WorkspaceBusy(
            f"models are being changed, and request {row.id} may be among what they forget: try again in a minute"
        )


def _word(kind: type[Chosen], given: str) -> Chosen:
    if given not in tuple(kind):
        raise WrongField("reason", f"the reason must be one of {', '.join(kind)}")
    return kind(given)

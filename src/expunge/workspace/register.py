"""The register of requests: found by whom they are about, their history, and the evidence of how they were handled, as CSV.

The CSV file is for the record of processing (GDPR Art. 30) and to show that requests were answered in time (Art. 12(3)). It has
no id of a person, no reference and no note.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from itertools import islice

import sqlalchemy as sa

from expunge.evidence.receipts import committed
from expunge.ledger import cases, register, releases, requests, times, tokens
from expunge.ledger.register import Filter
from expunge.ledger.requests import STANDING, Basis, Channel, Request, RequestKind, RequestState
from expunge.workspace.deadlines import days_left
from expunge.workspace.desk import forms
from expunge.workspace.forgetting import until
from expunge.workspace.handling import require
from expunge.workspace.people import Id, People
from expunge.workspace.storage import Storage

OUTCOMES = {
    RequestState.CLOSED: "done",
    RequestState.RETURNED: "done",
    RequestState.RESTRICTED: "done",
    RequestState.LIFTING: "done",
    RequestState.LIFTED: "done",
    RequestState.CANCELLED: "withdrawn",
    RequestState.REFUSED: "refused",
}
"""What became of a request that is over; ``returned`` says that the person has come back since."""
LAST = "9"
"""After every time."""
LEARNED_AGAIN = "learned-again"
"""What happened when every model had learned the rows of a person again whose restriction was lifted."""
TOGETHER = 1_000
"""Number of lines of the CSV file that are handed on together."""
COLUMNS = (
    "request",
    "kind",
    "channel",
    "received_on",
    "due_on",
    "first_due_on",
    "extension",
    "state",
    "closed_on",
    "days_taken",
    "in_time",
    "outcome",
    "reason",
    "ground",
    "lifted_on",
)


@dataclass(frozen=True)
class Summary:
    """A request, without anything that points to its subject, and without what the office notes of it; see ``Request``.

    Args:
        days_left: days until the deadline; negative once it is over.
        needs_approval: whether a second person has to approve it.
    """

    id: str
    kind: RequestKind
    state: RequestState
    received: str
    received_on: str
    channel: Channel | None
    deadline: str
    first_deadline: str | None
    extension: str | None
    days_left: int
    hold: str | None
    needs_approval: bool
    closed: str | None
    reason: str | None
    problem: str | None
    batch: int | None
    ground: Basis | None
    lifted: str | None

    @classmethod
    def of(cls, row: Request) -> "Summary":
        """The summary of ``row`` as it stands."""
        left = days_left(row.deadline, times.now())
        names = [each.name for each in fields(cls) if hasattr(row, each.name)]
        return cls(**{name: getattr(row, name) for name in names}, days_left=left, needs_approval=row.is_unapproved)


@dataclass(frozen=True)
class Entry:
    """Something that happened to a request.

    Args:
        at: when, ISO 8601; a release and what the log alone knows are dated by the hour.
        what: ``accepted``, ``refused``, a word of ``Deed``, ``certified``, ``closed``, ``restricted`` or ``learned-again``.
        actor: id of the token of whoever did it, or a word such as ``local``; ``None`` for the queue.
        who: the name that the token was issued for.
        reason: a word for why.
        model: the model that forgot the person.
        certificate: its certificate.
        event: number of the event in the signed log.
    """

    at: str
    what: str
    actor: str | None = None
    who: str | None = None
    reason: str | None = None
    model: str | None = None
    certificate: int | None = None
    event: int | None = None


def about(storage: Storage, subject: str, by: str | None = None) -> list[Request]:
    """All requests about a person, newest first. A refused request for an id that nobody had keeps nothing of that id.

    Args:
        subject: an id of the person.
        by: the column of the id; by default any.
    """
    people = People(storage)
    (found,) = people.find([Id(subject, by)])
    key = storage.subject_key
    tags = {tag for person in found.people for tag in person}
    stones = {*found.tombstones, *map(key.tombstone, tags)}
    theirs = forms(storage, subject)
    with storage.database.reading() as connection:
        listed = {row.id: row for row in register.of_tombstones(connection, stones, tags)}
        for row in register.corrections(connection, until(storage)):
            salt = key.receipt_salt(row.id)
            if any(committed(salt, row.id, form) == row.commitment for _rule, form in theirs):
                listed[row.id] = row
    return sorted(listed.values(), key=lambda row: (row.received, row.id), reverse=True)


def history(storage: Storage, request: str) -> list[Entry]:
    """What happened to a request, in order, from the ledger and the signed log.

    Raises:
        RequestRefused: there is no such request.
    """
    with storage.database.reading() as connection:
        row = require(connection, request)
        return history_of(connection, row)


def history_of(connection: sa.Connection, row: Request) -> list[Entry]:
    """What happened to a request, in order."""
    names = {token.id: token.name for token in tokens.listed(connection)}
    acts = cases.acts_of(connection, row.id)
    was_refused = row.state == RequestState.REFUSED and row.reason is None
    found = [
        Entry(row.received, "refused" if was_refused else "accepted", row.actor, reason=_reason(row) if was_refused else None)
    ]
    found += [Entry(act.at, act.act, act.actor, reason=act.reason) for act in acts]
    for number in requests.releases_of(connection, row):
        made = releases.release(connection, number)
        if made is not None:
            found.append(Entry(made.at, RequestState.CERTIFIED, model=made.model, certificate=made.id, event=made.event))
    if row.state in (RequestState.CLOSED, RequestState.RETURNED):
        found.append(Entry(str(row.closed), RequestState.CLOSED))
    if row.state in (*STANDING, RequestState.LIFTED):
        found.append(Entry(str(row.closed), RequestState.RESTRICTED))
    if row.state == RequestState.LIFTED:
        found.append(Entry(str(row.lifted), cases.ERASED if row.reason == cases.ERASED else LEARNED_AGAIN))
    signed = register.events_about(connection, row.id)
    placed = []
    for entry in sorted(found, key=lambda each: _place(row, each)):
        numbers = signed.get(f"request.{entry.what}", [])
        event = numbers.pop(0) if numbers else entry.event
        placed.append(replace(entry, who=names.get(entry.actor or ""), event=event))
    return placed


def _place(row: Request, entry: Entry) -> tuple[str, bool]:
    """Where an entry stands in a history. A release, which is dated by the hour, stands before the end that it brings."""
    if entry.what != RequestState.CERTIFIED:
        return entry.at, True
    if row.closed is None:
        return LAST, False
    return (row.closed if entry.at <= row.closed else f"{entry.at[:13]}:59:59"), False


def as_csv(storage: Storage, wanted: Filter) -> Iterator[str]:
    """The wanted requests as CSV, part by part, oldest first."""
    yield _lines([COLUMNS])
    with storage.database.reading() as connection:
        rows = register.every(connection, wanted)
        while part := [_cells(row) for row in islice(rows, TOGETHER)]:
            yield _lines(part)


def days_taken(row: Request) -> int | None:
    """Days from the day on which a request came to its end; ``None`` while it is open."""
    if row.closed is None:
        return None
    return (datetime.fromisoformat(row.closed).date() - date.fromisoformat(row.received_on)).days


def _cells(row: Request) -> tuple[object, ...]:
    taken, closed = days_taken(row), row.closed or ""
    in_time = "" if not closed else "yes" if closed[:10] <= row.deadline[:10] else "no"
    return (
        row.id,
        row.kind,
        row.channel or "",
        row.received_on,
        row.deadline[:10],
        (row.first_deadline or row.deadline)[:10],
        row.extension or "",
        row.state,
        closed[:10],
        "" if taken is None else taken,
        in_time,
        OUTCOMES.get(row.state, "open"),
        _reason(row) or "",
        row.ground or "",
        (row.lifted or "")[:10],
    )


def _reason(row: Request) -> str | None:
    """The word for why a request ended without being done."""
    return row.reason or (row.problem if row.state == RequestState.REFUSED else None)


def _lines(rows: Iterable[tuple[object, ...]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()

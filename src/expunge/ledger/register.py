"""The register: requests counted, filtered, sorted and searched, in the database, however many there are."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from expunge.ledger import requests, sealing
from expunge.ledger.requests import OPEN, PART, Channel, Request, RequestKind, RequestState
from expunge.ledger.tables import alias_tombstones, case_files, events
from expunge.ledger.tables import requests as table
from expunge.ledger.words import Word

SOON = timedelta(days=7)
"""What is due within this time is due this week."""
READ = 1_000
"""Number of requests read together where all are wanted."""


class Matter(Word):
    """What there is to do about open requests."""

    OVERDUE = "overdue"
    DUE = "due"
    """Due this week, and not overdue."""
    STUCK = "stuck"
    """A model cannot answer it, or cannot learn again what a restriction withheld that is lifted."""
    APPROVAL = "approval"
    """A second person has to approve it."""
    HELD = "held"
    """Its hold is not over."""
    OPEN = "open"
    """Any that is open."""


class Sort(Word):
    """In which order requests are listed."""

    NEWEST = "newest"
    OLDEST = "oldest"
    DUE = "due"
    """The most urgent first."""
    CLOSED = "closed"
    """Those that ended, the last first."""


@dataclass(frozen=True)
class Filter:
    """Which requests are wanted; what is ``None`` does not matter.

    Args:
        state: how far they have come.
        kind: what they ask for.
        channel: how they came.
        matter: what there is to do about them.
        since: the first day on which they were received.
        until: the last day on which they were received.
    """

    state: RequestState | None = None
    kind: RequestKind | None = None
    channel: Channel | None = None
    matter: Matter | None = None
    since: date | None = None
    until: date | None = None

    def where(self, now: datetime) -> sa.ColumnElement[bool]:
        """The condition in SQL."""
        found: list[sa.ColumnElement[bool]] = [sa.true()]
        found += [] if self.state is None else [table.c.state == self.state]
        found += [] if self.kind is None else [table.c.kind == self.kind]
        found += [] if self.channel is None else [table.c.channel == self.channel]
        found += [] if self.since is None else [table.c.received_on >= self.since.isoformat()]
        found += [] if self.until is None else [table.c.received_on <= self.until.isoformat()]
        found += [] if self.matter is None else [_matter(self.matter, now)]
        return sa.and_(*found)


EVERYTHING = Filter()


def total(connection: sa.Connection, wanted: Filter = EVERYTHING) -> int:
    """Number of requests that are wanted."""
    chosen = sa.select(sa.func.count()).select_from(table).where(wanted.where(datetime.now(UTC)))
    return int(connection.execute(chosen).scalar_one())


def matters(connection: sa.Connection) -> dict[Matter, int]:
    """Number of open requests with each matter, counted in one reading."""
    now = datetime.now(UTC)
    each = [sa.func.count(sa.case((_matter(matter, now), 1))) for matter in Matter]
    found = connection.execute(sa.select(*each).where(table.c.state.in_(OPEN))).one()
    return {matter: int(count) for matter, count in zip(Matter, found, strict=True)}


def counts(connection: sa.Connection) -> dict[RequestState, int]:
    """Number of requests in each state; states without any are left out."""
    chosen = sa.select(table.c.state, sa.func.count()).group_by(table.c.state)
    return {RequestState.read(state): int(count) for state, count in connection.execute(chosen)}


def open_requests(connection: sa.Connection, limit: int) -> list[Request]:
    """Open requests, most urgent first."""
    return listed(connection, Filter(matter=Matter.OPEN), Sort.DUE, limit)


def listed(
    connection: sa.Connection,
    wanted: Filter,
    sort: Sort,
    limit: int,
    *,
    skip: int = 0,
    after: tuple[str, str] | None = None,
) -> list[Request]:
    """The wanted requests in an order, part by part.

    Args:
        connection: a connection to the ledger's database.
        wanted: which requests.
        sort: their order; ``closed`` leaves out those that are open.
        limit: the largest number.
        skip: number of requests before the first one.
        after: the ``place`` of the last one seen, in place of ``skip``.
    """
    column, is_falling = _ORDERS[sort]
    chosen = sa.select(table).where(wanted.where(datetime.now(UTC)), column.is_not(None))
    if after is not None:
        here, last = sa.tuple_(column, table.c.id), sa.tuple_(*map(sa.literal, after))
        chosen = chosen.where(here < last if is_falling else here > last)
    keys = (column.desc(), table.c.id.desc()) if is_falling else (column, table.c.id)
    return requests.read(connection, chosen.order_by(*keys).limit(limit).offset(skip))


def place(found: Request, sort: Sort) -> tuple[str, str]:
    """Where ``found`` stands in an order, from which the next part starts."""
    return str(getattr(found, _ORDERS[sort][0].name)), found.id


def every(connection: sa.Connection, wanted: Filter) -> Iterator[Request]:
    """All wanted requests, oldest first, read part by part."""
    after: tuple[str, str] | None = None
    while part := listed(connection, wanted, Sort.OLDEST, READ, after=after):
        yield from part
        after = place(part[-1], Sort.OLDEST)


def of_tombstones(connection: sa.Connection, stones: set[str], tags: set[str]) -> list[Request]:
    """All requests about a person, newest first.

    Args:
        connection: a connection to the ledger's database.
        stones: the person's tombstones, and those of their other ids.
        tags: their pseudonyms in the table.
    """
    found: dict[str, Request] = {}
    for column, values in ((table.c.tombstone, sorted(stones)), (table.c.subject, sorted(tags))):
        for start in range(0, len(values), PART):
            chosen = sa.select(table).where(column.in_(values[start : start + PART]))
            found |= {row.id: row for row in requests.read(connection, chosen)}
    for start in range(0, len(stones), PART):
        mine = alias_tombstones.c.tombstone.in_(sorted(stones)[start : start + PART])
        pairs = sealing.rows(connection, sa.select(alias_tombstones).where(mine), alias_tombstones)
        found |= requests.found_by(connection, "id", {row.request for row in pairs})
    return sorted(found.values(), key=lambda row: (row.received, row.id), reverse=True)


def corrections(connection: sa.Connection, since: str) -> list[Request]:
    """Corrections that are open or were made since then."""
    mine = (table.c.kind == RequestKind.RECTIFY) & (table.c.closed.is_(None) | (table.c.closed > since))
    return requests.read(connection, sa.select(table).where(mine))


def called(connection: sa.Connection, text: str, limit: int) -> list[Request]:
    """Requests whose number begins with ``text``, or that an office knows by this reference; newest first."""
    plain = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    known = sa.select(case_files.c.request).where(case_files.c.reference == text)
    mine = table.c.id.in_(known) | (table.c.id.like(f"{plain}%", escape="\\") if len(text) > len("r-") else sa.false())
    chosen = sa.select(table).where(mine).order_by(table.c.received.desc(), table.c.id.desc()).limit(limit)
    return requests.read(connection, chosen)


def events_about(connection: sa.Connection, request: str) -> dict[str, list[int]]:
    """By kind, the numbers of the events of the log about one request, in order."""
    mine = events.c.kind.like("request.%") & events.c.entry.like(f'%"request":"{request}"%')
    found: dict[str, list[int]] = {}
    for kind, seq in connection.execute(sa.select(events.c.kind, events.c.seq).where(mine).order_by(events.c.seq)):
        found.setdefault(kind, []).append(int(seq))
    return found


def to_remind(connection: sa.Connection, before: str, days: int) -> list[Request]:
    """Open requests with a deadline until ``before`` for which no reminder of ``days`` days or fewer was sent."""
    new = table.c.reminded.is_(None) | (table.c.reminded > days)
    chosen = sa.select(table).where(table.c.state.in_(OPEN), table.c.deadline <= before, new)
    return requests.read(connection, chosen.order_by(table.c.deadline, table.c.id))


def note_reminder(connection: sa.Connection, ids: list[str], days: int) -> None:
    """Notes that a reminder was sent so many days before the deadlines."""
    for start in range(0, len(ids), PART):
        sealing.update(connection, table, table.c.id.in_(ids[start : start + PART]), reminded=days)


_ORDERS = {
    Sort.NEWEST: (table.c.received, True),
    Sort.OLDEST: (table.c.received, False),
    Sort.DUE: (table.c.deadline, False),
    Sort.CLOSED: (table.c.closed, True),
}


def _matter(matter: Matter, now: datetime) -> sa.ColumnElement[bool]:
    today, week = now.date().isoformat(), (now.date() + SOON + timedelta(days=1)).isoformat()
    accepted = table.c.state == RequestState.ACCEPTED
    is_unapproved = table.c.lot.is_not(None) & table.c.approved_by.is_(None)
    if matter == Matter.STUCK:
        return table.c.state.in_((RequestState.ACCEPTED, RequestState.LIFTING)) & table.c.problem.is_not(None)
    return (
        table.c.state.in_(OPEN)
        & {
            Matter.OVERDUE: table.c.deadline < today,
            Matter.DUE: (table.c.deadline >= today) & (table.c.deadline < week),
            Matter.APPROVAL: accepted & is_unapproved,
            Matter.HELD: accepted & (table.c.hold > now.isoformat(timespec="microseconds")),
            Matter.OPEN: sa.true(),
        }[matter]
    )

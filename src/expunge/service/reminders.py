"""Reminders: requests that are due soon or overdue, told once each."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from expunge.ledger import hooks, notices, register
from expunge.ledger.notices import Notice
from expunge.ledger.requests import Request
from expunge.workspace.deadlines import end_of
from expunge.workspace.storage import Storage

BEFORE = (7, 3, 1)
"""Days before its deadline on which an open request is told of."""
KEPT = timedelta(days=30)
"""How long deliveries are kept after they have arrived or were given up."""


def remind(storage: Storage, now: datetime) -> int:
    """Queues what is to be said of deadlines, and drops old deliveries; returns of how many requests something is said."""
    old = (now - KEPT).isoformat()
    with storage.database.reading() as connection:
        if not hooks.listed(connection):
            return 0
        is_idle = not any(_found(connection, now).values()) and not notices.has_settled(connection, old)
    if is_idle:
        return 0
    with storage.database.writing() as connection:
        found = _found(connection, now)
        for days, rows in found.items():
            about = [{"request": row.id, "deadline": row.deadline} for row in rows]
            if days == 0:
                notices.announce_requests(connection, Notice.REQUEST_OVERDUE, about)
            else:
                notices.announce_requests(connection, Notice.REQUEST_DUE, about, days_left=days)
            register.note_reminder(connection, [row.id for row in rows], days)
        notices.drop_settled(connection, old)
    return sum(map(len, found.values()))


def _found(connection: sa.Connection, now: datetime) -> dict[int, list[Request]]:
    """By the most urgent thing to say of them, the requests of which it was not said."""
    found: dict[int, list[Request]] = {}
    said = set[str]()
    for days in (0, *reversed(BEFORE)):
        last = (now + timedelta(days=days or -1)).date()  # overdue is what was due until yesterday
        found[days] = [row for row in register.to_remind(connection, end_of(last), days) if row.id not in said]
        said |= {row.id for row in found[days]}
    return found

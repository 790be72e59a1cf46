"""Forgetting the forgotten: tombstones are kept for the term in the settings, and then deleted."""

from contextlib import suppress
from datetime import timedelta

import sqlalchemy as sa

from expunge.evidence.events import EventKind
from expunge.ledger import answers, cases, log, times, tombstones
from expunge.workspace import anchoring
from expunge.workspace.storage import Storage

PURPOSE = "answers to repeated requests, refusing rows of people forgotten, forgetting again after a restore"
"""Why there are tombstones."""


def until(storage: Storage) -> str:
    """The time, ISO 8601: tombstones of requests that were over by then have served their term."""
    return (times.now() - timedelta(days=storage.configuration.tombstone_days)).isoformat(timespec="microseconds")


def is_due(connection: sa.Connection, storage: Storage) -> bool:
    """Whether the term of anything is over."""
    term = until(storage)
    return bool(tombstones.due(connection, term)) or cases.are_due(connection, term) or answers.are_due(connection, term)


def purge_tombstones(storage: Storage) -> int:
    """Drops the tombstones whose term is over, with the case files and notes of their requests and the answers for repeated
    calls; returns the number of requests. The caller holds ``storage.exclusive()``, has recovered, and knows that the clock
    can be trusted."""
    with storage.database.reading() as connection:
        if not is_due(connection, storage):
            return 0
    with storage.database.erasing() as connection:
        cases.purge(connection, until(storage))
        answers.purge(connection, until(storage))
        count = tombstones.purge(connection, until(storage))
        if count:
            log.append(connection, EventKind.TOMBSTONES_PURGED, [{"count": count}])
    with suppress(anchoring.Unreachable):  # the next batch writes it
        anchoring.keep(storage)
    return count

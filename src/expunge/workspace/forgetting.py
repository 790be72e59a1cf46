"""Forgetting those forgotten: tombstones are kept for a term that the settings say, and then go."""

from contextlib import suppress
from datetime import timedelta

from expunge.ledger import log, times, tombstones
from expunge.workspace import anchoring
from expunge.workspace.place import Place

PURPOSE = "answers to repeated requests, refusing rows of people forgotten, forgetting again after a restore"
"""Why there are tombstones."""


def until(place: Place) -> str:
    """Tombstones of requests that were over by then have served their term, ISO 8601."""
    return (times.now() - timedelta(days=place.configuration.tombstone_days)).isoformat(timespec="microseconds")


def purge_tombstones(place: Place) -> int:
    """Drops the tombstones whose term is over; of how many requests. The caller holds ``place.exclusive()``, has recovered and
    knows that the clock can be believed."""
    with place.database.reading() as connection:
        if not tombstones.due(connection, until(place)):
            return 0
    with place.database.writing() as connection:
        count = tombstones.purge(connection, until(place))
        log.append(connection, "tombstones.purged", [{"count": count}])
    place.database.wipe_free_space()
    with suppress(anchoring.Unreachable):  # the next batch writes it
        anchoring.keep(place)
    return count

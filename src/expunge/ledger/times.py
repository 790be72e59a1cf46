"""Times: to the microsecond for the desk, to the hour for everything that may be published.

How long a batch took reveals the rung, the rung depends on the rows, and everybody can read the log: so no two published times
may differ by the length of the work between them. Events of a batch all carry the hour in which it started.
"""

from datetime import UTC, datetime, timedelta

GRAIN = timedelta(hours=1)
"""The precision of published times: longer than the longest refit measured (four minutes, docs/scale.md), far shorter than the
month in which a request must be closed."""


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def coarse(moment: datetime) -> datetime:
    """The last whole ``GRAIN`` before ``moment``.

    Examples:
        >>> coarse(datetime(2026, 5, 1, 13, 59, 59, tzinfo=UTC)).isoformat()
        '2026-05-01T13:00:00+00:00'
    """
    return moment - (moment - datetime(1970, 1, 1, tzinfo=UTC)) % GRAIN


def published() -> str:
    """The present time as it may be published, ISO 8601."""
    return coarse(now()).isoformat()


def exact() -> str:
    """The present time for those who may see the data, ISO 8601."""
    return now().isoformat(timespec="microseconds")

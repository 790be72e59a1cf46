"""Dates, time stamps and times of day, from Arrow, Python or ISO texts, as microseconds since 1970."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.data.columns import Unfit, label
from expunge.data.encoding.block import Mask

EPOCH = dt.datetime(1970, 1, 1)
FIRST, LAST = np.datetime64("0001-01-01", "us"), np.datetime64("9999-12-31T23:59:59.999999", "us")
"""The range of Python's calendar, and of every other part."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Points in time.

    Args:
        at: microseconds since 1970, in UTC if a zone is known; 1970 where there is no moment, ``(n_rows,)``.
        missing: whether there is no moment, ``(n_rows,)``.
        is_clock: whether it is a time of day, without a date, ``(n_rows,)``.
    """

    at: NDArray[np.datetime64]
    missing: Mask
    is_clock: Mask


def moments_of(values: Any) -> Moments:
    """The moments in a column.

    Args:
        values: ``(n_rows,)``.

    Raises:
        Unfit: a value that is not a date or time.

    Examples:
        >>> moments_of(["2024-02-29", "2024-02-29T12:00:00+02:00", None]).at.astype(str).tolist()[:2]
        ['2024-02-29T00:00:00.000000', '2024-02-29T10:00:00.000000']
    """
    found = _of_arrow(values) if hasattr(values, "type") else None
    if found is None:
        listed = values.to_pylist() if hasattr(values, "to_pylist") else values
        each = [_moment(value, row) for row, value in enumerate(listed)]
        at = np.array([(moment - EPOCH) // dt.timedelta(microseconds=1) if moment else 0 for moment, _ in each], dtype=np.int64)
        missing, is_clock = ([moment is None for moment, _ in each], [clock for _, clock in each])
        found = Moments(at.astype("datetime64[us]"), np.array(missing, dtype=bool), np.array(is_clock, dtype=bool))
    return found


def _of_arrow(values: Any) -> Moments | None:
    """Moments of an Arrow column of dates or times; ``None`` for any other column."""
    import pyarrow as pa
    from pyarrow import types

    given, is_clock = values.type, types.is_time(values.type)
    if not (is_clock or types.is_date(given) or types.is_timestamp(given)):
        return None
    unit = "D" if types.is_date32(given) else "ms" if types.is_date64(given) else given.unit
    if types.is_date32(given) or types.is_time32(given):
        values = values.cast(pa.int32())
    missing, ticks = np.asarray(values.is_null()), np.asarray(values.cast(pa.int64()).fill_null(0))
    if unit != "ns":  # which reaches from 1677 to 2262
        low, high = (end.astype(f"datetime64[{unit}]").astype(np.int64) for end in (FIRST, LAST))
        if (beyond := (ticks < low) | (ticks > high)).any():
            raise Unfit(int(np.argmax(beyond)), "is not a date in the years 1 to 9999: correct the row")
    at = ticks.astype(f"datetime64[{unit}]").astype("datetime64[us]")
    return Moments(at, missing, np.full(len(at), is_clock) & ~missing)


def _moment(value: Any, row: int) -> tuple[dt.datetime | None, bool]:
    """A value as a moment, and whether it is a time of day."""
    if label(value) is None or type(value).__name__ == "NaTType":
        return None, False
    try:
        if isinstance(value, str):
            value = _parsed(value)
        if isinstance(value, dt.datetime):
            if value.tzinfo is not None:
                value = value.astimezone(dt.UTC).replace(tzinfo=None)
            return value, False
        if isinstance(value, dt.date):
            return dt.datetime(value.year, value.month, value.day), False
        if isinstance(value, dt.time) and value.tzinfo is None:
            return dt.datetime.combine(EPOCH, value), True
    except (ValueError, OverflowError):
        pass
    raise Unfit(row, "is not a date or time: write it as 2024-02-29, 2024-02-29T10:15:00 or 10:15, or correct the row")


def _parsed(text: str) -> dt.datetime | dt.time:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return dt.time.fromisoformat(text)

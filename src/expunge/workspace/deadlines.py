"""Deadlines: one calendar month from the day on which a request came (GDPR Art. 12(3)), to the end of that day, in UTC.

A month ends on the day with the same number, or on the last day of a shorter month: from 31 January to the end of February. If
that is one of the days off in the settings, the next working day takes its place (Regulation 1182/71, Art. 3(4)).
"""

from calendar import day_name, monthrange
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

MONTHS = 1
"""Months in which a request must be closed."""
MORE = (1, 2)
"""Months by which that may be extended, once."""
FARTHEST = timedelta(hours=14)
"""How far the clock of the earliest place on Earth is ahead of UTC: it may be tomorrow there."""
WEEK = tuple(name.casefold() for name in day_name)


@dataclass(frozen=True)
class DaysOff:
    """Days on which no deadline ends.

    Args:
        weekdays: 0 for Monday to 6 for Sunday.
        yearly: month and day of each, every year.
        once: single days.
    """

    weekdays: frozenset[int] = frozenset()
    yearly: frozenset[tuple[int, int]] = frozenset()
    once: frozenset[date] = frozenset()

    @classmethod
    def read(cls, text: str) -> "DaysOff":
        """The days named in ``text``, separated by commas.

        Args:
            text: weekdays in English, days of every year such as ``12-25``, and single days such as ``2027-03-26``.

        Raises:
            ValueError: one of them is none of these, or no working day is left.

        Examples:
            >>> date(2026, 12, 25) in DaysOff.read("saturday, sunday, 12-25")
            True
        """
        weekdays, yearly, once = set[int](), set[tuple[int, int]](), set[date]()
        for part in filter(None, (part.strip() for part in text.split(","))):
            if part.casefold() in WEEK:
                weekdays.add(WEEK.index(part.casefold()))
                continue
            try:
                if len(part) == len("12-25"):
                    day = date.fromisoformat(f"2024-{part}")  # a leap year
                    yearly.add((day.month, day.day))
                else:
                    once.add(date.fromisoformat(part))
            except ValueError:
                raise ValueError(
                    f"{part!r} is not a day off: write a weekday such as saturday, a day of every year such as 12-25, or a "
                    "single day such as 2027-03-26"
                ) from None
        if len(weekdays) == len(WEEK):
            raise ValueError("all days of the week are off, so no deadline could end: leave out the working days")
        return cls(frozenset(weekdays), frozenset(yearly), frozenset(once))

    def __contains__(self, day: date) -> bool:
        return day.weekday() in self.weekdays or (day.month, day.day) in self.yearly or day in self.once


def due_on(received: date, months: int, off: Collection[date] | DaysOff) -> date:
    """The last day of a period of ``months`` calendar months from the day ``received``, or the next day that is not ``off``.

    Examples:
        >>> due_on(date(2026, 1, 31), 1, DaysOff()).isoformat()
        '2026-02-28'
        >>> due_on(date(2026, 11, 19), 1, DaysOff.read("saturday, sunday")).isoformat()
        '2026-12-21'
    """
    years, month = divmod(received.month - 1 + months, 12)
    year = received.year + years
    day = date(year, month + 1, min(received.day, monthrange(year, month + 1)[1]))
    while day in off:
        day += timedelta(days=1)
    return day


def end_of(day: date) -> str:
    """The last second of ``day``, ISO 8601."""
    return f"{day.isoformat()}T23:59:59+00:00"


def days_left(deadline: str, now: datetime) -> int:
    """Number of days from today to that of ``deadline``; negative once it is over."""
    return (datetime.fromisoformat(deadline).date() - now.astimezone(UTC).date()).days

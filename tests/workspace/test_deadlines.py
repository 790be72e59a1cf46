"""Deadlines: one calendar month, as the law counts it, checked against a count of days that knows no months."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.errors import WorkspaceInvalid
from expunge.workspace.configuration import Configuration
from expunge.workspace.deadlines import DaysOff, days_left, due_on, end_of

DAYS = st.dates(date(1999, 1, 1), date(2199, 1, 1))


def counted(received: date, months: int) -> date:
    """The last day of the period, found day by day: the latest of the month that is not past the day's own number."""
    first = received.replace(day=1)
    for _ in range(months):
        first = next(first + timedelta(days=n) for n in range(27, 33) if (first + timedelta(days=n)).day == 1)
    within = [first + timedelta(days=n) for n in range(31) if (first + timedelta(days=n)).month == first.month]
    return max(day for day in within if day.day <= received.day)


@given(DAYS, st.integers(1, 3))
def test_a_period_of_months_ends_as_a_calendar_says(received, months):
    assert due_on(received, months, DaysOff()) == counted(received, months)


@given(DAYS, st.sets(st.sampled_from(["monday", "wednesday", "saturday", "sunday"])), st.lists(DAYS, max_size=3))
def test_it_moves_to_the_next_day_that_is_not_off(received, weekdays, once):
    off = DaysOff.read(", ".join([*sorted(weekdays), *(day.isoformat() for day in once), "12-25", "02-29"]))
    plain, moved = due_on(received, 1, DaysOff()), due_on(received, 1, off)
    assert moved >= plain and moved not in off
    assert all(plain + timedelta(days=n) in off for n in range((moved - plain).days))


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ("2026-01-31", "2026-02-28"),
        ("2028-01-31", "2028-02-29"),
        ("2026-11-03", "2026-12-03"),
        ("2026-12-31", "2027-01-31"),
        ("2026-10-31", "2026-11-30"),
    ],
)
def test_known_months(received, due):
    assert due_on(date.fromisoformat(received), 1, DaysOff()).isoformat() == due


def test_the_day_of_the_deadline_counts_whole():
    deadline = end_of(date(2026, 12, 3))
    assert days_left(deadline, datetime(2026, 12, 3, 23, 59, tzinfo=UTC)) == 0
    assert days_left(deadline, datetime(2026, 12, 4, 0, 1, tzinfo=UTC)) == -1
    assert days_left(deadline, datetime(2026, 11, 26, 12, tzinfo=UTC)) == 7


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('days_off = "saturday, 12-32"', "days_off: '12-32' is not a day off: write a weekday"),
        ('days_off = "holiday"', "'holiday' is not a day off"),
        ('days_off = "monday,tuesday,wednesday,thursday,friday,saturday,sunday"', "all days of the week are off"),
        ("hold_hours = -1", "hold_hours must be a whole number of at least 0"),
        ("deadline_days = 20", "deadline_days has no effect any more.*see days_off"),
    ],
)
def test_settings_that_cannot_be_used(line, said, tmp_path):
    (tmp_path / "workspace.toml").write_text(line)
    with pytest.raises(WorkspaceInvalid, match=said):
        Configuration.read(tmp_path / "workspace.toml")


def test_the_default_of_earlier_versions_is_read_and_does_nothing(tmp_path):
    (tmp_path / "workspace.toml").write_text("deadline_days = 30\nhold_hours = 0\n")
    assert Configuration.read(tmp_path / "workspace.toml") == Configuration(hold_hours=0)

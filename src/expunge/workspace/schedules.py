"""When a model is refitted, and why it was: on a schedule that nothing computed from rows can move. Theory §5.7.

A model is owed a refit once it has forgotten somebody since its last one. Refits that the ladder forces do not count, so
the schedule depends on requests alone. When the refit comes depends on the calendar (UTC) and on how many releases were
made. A refit at any other time moves the anchor but resets nothing.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

import sqlalchemy as sa

from expunge.ledger import releases
from expunge.ledger.batches import BatchKind
from expunge.ledger.releases import Model, Release
from expunge.ledger.restores import Restored
from expunge.privacy import Schedule
from expunge.workspace.days import day
from expunge.workspace.outline import Outline


class RefitCause(StrEnum):
    """Why a model is refitted, or was."""

    CALENDAR = "calendar"
    """The schedule's days had passed."""
    RELEASES = "releases"
    """The schedule's number of releases had been made."""
    FORCED = "forced"
    """No pass over the rows proved enough."""
    ASKED = "asked"
    """Somebody asked for it before it was due."""


WHY = {
    RefitCause.CALENDAR: "as scheduled by the calendar",
    RefitCause.RELEASES: "as scheduled by the number of releases",
    RefitCause.FORCED: "because no pass over the rows proved enough",
    RefitCause.ASKED: "because somebody asked for it",
}


@dataclass(frozen=True)
class NextRefit:
    """The scheduled refit that a model is owed.

    Args:
        day: the day from which it is due, ISO 8601.
        releases: number of further releases after which it is due before that day; ``None`` if their number does not matter.
        cause: why it is due now; ``None`` where it is not.
    """

    day: str
    releases: int | None
    cause: RefitCause | None

    @property
    def when(self) -> str:
        """The day, or that it is due now."""
        return self.day if self.cause is None else "now"

    def __str__(self) -> str:
        if self.cause is not None:
            return f"now, {WHY[self.cause]}"
        if self.releases is None:
            return f"on {day(self.day)}"
        return f"on {day(self.day)}, or after {self.releases:,} more release{'' if self.releases == 1 else 's'}"

    @classmethod
    def of(cls, model: Model, last: Release, restored: Restored | None, on: date) -> "NextRefit | None":
        """What ``model`` is owed on the day ``on``; ``None`` if it is owed nothing.

        Args:
            model: a living model.
            last: its last release.
            restored: how the ledger was last restored, if it was.
            on: the day in question (UTC).
        """
        if model.owed_since is None:
            return None
        schedule = Outline.of(model).schedule
        since, made = last.figures.since, last.figures.requests
        if restored is not None and not restored.is_before(last):
            since, made = restored.since(since, schedule.days), 1
        left = None if schedule.requests is None else max(0, schedule.requests - made)
        due = since + timedelta(days=schedule.days or 0)
        return cls(due.isoformat(), left, _cause(schedule, since, made, on))


@dataclass(frozen=True)
class LastRefit:
    """The last refit of a model after its fit.

    Args:
        at: when it was made, ISO 8601.
        cause: why it was made.
        resets_budget: whether the privacy budget started again with it, as only with a refit that was due.
    """

    at: str
    cause: RefitCause
    resets_budget: bool

    def __str__(self) -> str:
        budget = "the privacy budget started again" if self.resets_budget else "it reset nothing"
        return f"on {day(self.at)}, {WHY[self.cause]}; {budget}"

    @classmethod
    def of(cls, connection: sa.Connection, model: Model) -> "LastRefit | None":
        """The last refit of ``model``; ``None`` if there was none."""
        found = releases.last_refit(connection, model.name)
        if found is None:
            return None
        refit, before = found
        cause = RefitCause.ASKED
        if refit.kind is not BatchKind.REFIT:
            cause = RefitCause.FORCED
        elif refit.figures.requests == 0:  # it was due: the schedule starts again
            schedule = Outline.of(model).schedule
            cause = _cause(schedule, before.since, before.requests, refit.figures.since) or RefitCause.CALENDAR
        return cls(refit.at, cause, refit.figures.resets_budget)


def _cause(schedule: Schedule, since: date, made: int, on: date) -> RefitCause | None:
    """Why a refit is due on the day ``on``, ``made`` releases after the last scheduled one on the day ``since``."""
    if Schedule(days=schedule.days).is_due(since, made, on):
        return RefitCause.CALENDAR
    return RefitCause.RELEASES if schedule.is_due(since, made, on) else None

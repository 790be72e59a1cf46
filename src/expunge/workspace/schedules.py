"""When a model is refitted, and why it was: by a schedule that nothing computed from rows moves. Theory §5.7.

A model is owed a refit from the first deletion after its last scheduled one: that depends on requests and on nothing else. When
it comes is then a matter of the calendar (UTC) and of how many releases there were. A refit at any other time moves the anchor,
and resets nothing.
"""

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa

from expunge.ledger import releases
from expunge.ledger.batches import BatchKind
from expunge.ledger.releases import Model, Release
from expunge.ledger.restores import Restored
from expunge.privacy import Schedule
from expunge.workspace.model_kinds import ModelKind


class RefitCause(StrEnum):
    """Why a model is refitted, or was."""

    CALENDAR = "calendar"
    """The schedule's days were over."""
    RELEASES = "releases"
    """The schedule's number of releases was made."""
    FORCED = "forced"
    """No pass over the rows proved enough."""
    ASKED = "asked"
    """Somebody asked for it before it was due."""


WHY = {
    RefitCause.CALENDAR: "as it was due by the calendar",
    RefitCause.RELEASES: "as it was due after so many releases",
    RefitCause.FORCED: "because no pass over the rows proved enough",
    RefitCause.ASKED: "because somebody asked for it",
}


@dataclass(frozen=True)
class Outline:
    """What is read of a model's specification where its estimator is not needed.

    Args:
        kind: the estimator.
        target: the column that it predicts.
        schedule: of its refits.
    """

    kind: ModelKind
    target: str
    schedule: Schedule

    @classmethod
    def of(cls, model: Model) -> "Outline":
        """The outline of ``model``."""
        given = json.loads(model.specification)
        schedule = Schedule(days=given["refit_days"], requests=given["refit_requests"] or None)
        return cls(ModelKind(given["kind"]), given["target"], schedule)


@dataclass(frozen=True)
class NextRefit:
    """The scheduled refit that a model is owed.

    Args:
        day: from which it is due, ISO 8601.
        releases: after how many more it is due before that day; ``None`` for whatever their number.
        cause: why it is due now; ``None`` where it is not.
    """

    day: str
    releases: int | None
    cause: RefitCause | None

    def __str__(self) -> str:
        if self.cause is not None:
            return "now"
        return self.day if self.releases is None else f"{self.day}, or after {self.releases} more releases"

    @classmethod
    def of(cls, model: Model, last: Release, restored: Restored | None, on: date) -> "NextRefit | None":
        """What ``model`` is owed ``on`` a day; ``None`` if its anchor depends on nobody forgotten.

        Args:
            model: a living one.
            last: its last release.
            restored: how the ledger was last restored, if it was.
            on: the day that is asked about (UTC).
        """
        if model.owed_since is None:
            return None
        schedule = Outline.of(model).schedule
        since, made = last.figures.since, last.figures.requests
        if restored is not None and not restored.is_before(last):
            since, made = restored.since(since, schedule.days), 1
        left = None if schedule.requests is None else max(0, schedule.requests - made)
        day = since + timedelta(days=schedule.days or 0)
        return cls(day.isoformat(), left, _cause(schedule, since, made, on))


@dataclass(frozen=True)
class LastRefit:
    """The last refit of a model after its fit.

    Args:
        at: when it was made, ISO 8601.
        cause: why.
        resets_budget: whether the privacy budget began anew with it, as only with one that was due.
    """

    at: str
    cause: RefitCause
    resets_budget: bool

    def __str__(self) -> str:
        budget = "the privacy budget began anew" if self.resets_budget else "that reset nothing"
        return f"on {self.at[:10]}, {WHY[self.cause]}; {budget}"

    @classmethod
    def of(cls, connection: sa.Connection, model: Model) -> "LastRefit | None":
        """That of ``model``; ``None`` if there was none."""
        found = releases.last_refit(connection, model.name)
        if found is None:
            return None
        refit, before = found
        cause = RefitCause.FORCED
        if refit.kind is BatchKind.REFIT:
            on = max(datetime.fromisoformat(refit.at).date(), refit.figures.since)  # with which a new period begins
            cause = _cause(Outline.of(model).schedule, before.since, before.requests, on) or RefitCause.ASKED
        return cls(refit.at, cause, refit.figures.resets_budget)


def _cause(schedule: Schedule, since: date, made: int, on: date) -> RefitCause | None:
    """Why a refit is due ``on`` a day, ``made`` releases after the last scheduled one ``since``."""
    if Schedule(days=schedule.days).is_due(since, made, on):
        return RefitCause.CALENDAR
    return RefitCause.RELEASES if schedule.is_due(since, made, on) else None

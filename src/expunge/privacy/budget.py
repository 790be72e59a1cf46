"""The budget over releases, and the schedule of refits that resets it. Theory §5.2, §5.7."""

import math
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from expunge.errors import BudgetSpent
from expunge.problem.parameters import whole

REFIT_RESERVE = 2.0**-20
"""Share of the squared budget that only a refit may use, or more where rounding needs it."""
RESTORE_SHARE = 2.0**-22
"""Share of the squared budget that only copies restored from a backup may use; half of it each, one after the other."""


@dataclass(frozen=True)
class Schedule:
    """When a refit is due that resets the budget: fixed beforehand, never by anything computed from rows.

    Args:
        days: by the calendar, so many days (UTC) after the fit or the last scheduled refit; ``None`` for never.
        requests: after so many releases since then, those of refits at other times included; ``None`` for never.

    Raises:
        ValueError: a number below 1.

    Examples:
        >>> str(Schedule(days=30, requests=100))
        'every 30 days or 100 requests'
        >>> Schedule(days=30).is_due(date(2026, 1, 1), 5, on=date(2026, 1, 31))
        True

    Source: theory §5.7.
    """

    days: int | None = 30
    requests: int | None = None

    def __post_init__(self) -> None:
        for name in ("days", "requests"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, whole(f"a schedule's number of {name}", value))
                if value < 1:
                    raise ValueError(f"a schedule's number of {name} must be at least 1, or None for never, got {value!r}")

    def is_due(self, since: date, requests: int, on: date) -> bool:
        """Whether a refit is due ``on`` a day, ``requests`` releases after the last one ``since``.

        Args:
            since: day of the fit or of the last scheduled refit.
            requests: releases since then.
            on: the day that is asked about (UTC).
        """
        return (self.days is not None and (on - since).days >= self.days) or (
            self.requests is not None and requests >= self.requests
        )

    def __str__(self) -> str:
        counts = ((self.days, "day"), (self.requests, "request"))
        every = [name if count == 1 else f"{count} {name}s" for count, name in counts if count is not None]
        return f"every {' or '.join(every)}" if every else "never"


def today() -> date:
    """The day by which schedules go (UTC)."""
    return datetime.now(UTC).date()


@dataclass(frozen=True)
class PrivacyBudget:
    """A filter over releases: for everyone forgotten the squares of their μ may add up to ``mu_limit``².

    A period lasts from one scheduled refit to the next. People forgotten in it are charged every release of it from then on, a
    refit that the ladder was forced into included. At its end they join those of earlier periods, whom later releases cost
    only what rounding makes of two anchors of the same rows (``drift``). Before anybody is forgotten nothing is charged. It
    holds however the requests depend on earlier releases.

    Args:
        mu_limit: μ(ε, δ) of the guarantee.
        reserve: squared μ that only a refit may use.
        since: the day on which the period began, ISO.
        requests: releases in the period.
        is_owed: whether anybody was forgotten in the period.
        spent: Σ μ² of the releases since then.
        earlier: the largest Σ μ² of anybody forgotten before the period.
        drift: μ that each release costs those.
        restores: how many backups were restored, one after the other, before this copy of the model.
        last_drift: μ that the last release cost those forgotten before its period.

    Examples:
        >>> budget = PrivacyBudget.fitted(mu_limit=1.0, mu=0.0, on=date(2026, 1, 1)).owing()  # somebody is forgotten
        >>> budget.charged(0.6).charged(0.6).mu_total <= 1.0
        True
        >>> budget.charged(0.6).charged(0.6).charged(0.6)
        Traceback (most recent call last):
        expunge.errors.BudgetSpent: ...

    Source: theory §5.2, §5.7.
    """

    mu_limit: float
    reserve: float
    since: str
    requests: int = 0
    is_owed: bool = False
    spent: float = 0.0
    earlier: float = 0.0
    drift: float = 0.0
    restores: int = 0
    last_drift: float = 0.0

    @classmethod
    def fitted(cls, mu_limit: float, mu: float, on: date) -> "PrivacyBudget":
        """The budget of a fit that rounding leaves ``mu`` from the optimum.

        Args:
            mu_limit: μ(ε, δ) of the guarantee.
            mu: what rounding leaves of the fit's distance, over σ.
            on: the day of the fit (UTC).

        Raises:
            BudgetSpent: this leaves no room for a release; the caller says in which numbers.
        """
        budget = cls(mu_limit, reserve_for(mu_limit, mu), on.isoformat())
        if not mu <= budget.mu_left():
            raise BudgetSpent(f"the rounding of the fit alone costs mu = {mu:.3g} a release, of {mu_limit:.3g} in all")
        return budget

    def mu_left(self, *, refit: bool = False) -> float:
        """The largest μ that the next release may have.

        Args:
            refit: whether it is a refit, which may use the reserve. Default: ``False``.
        """
        if not self.earlier + self._drifted <= self._limit:
            return 0.0
        limit = self._limit - (0.0 if refit else self.reserve)
        return math.sqrt(max(0.0, limit - self.spent)) * (1.0 - 1e-12)

    @property
    def is_drifting(self) -> bool:
        """Whether releases cost people of earlier periods anything."""
        return self.earlier > 0 and self.drift > 0

    @property
    def _limit(self) -> float:
        """What the squares may add up to in this copy."""
        return _limit_of(self.mu_limit, self.restores)

    @property
    def _drifted(self) -> float:
        return self.drift**2 if self.is_drifting else 0.0

    def owing(self) -> "PrivacyBudget":
        """The budget once somebody is to be forgotten."""
        return replace(self, is_owed=True)

    def charged(self, mu: float, *, refit: bool = False, wobble: float = 0.0) -> "PrivacyBudget":
        """The budget after a release of ``mu``.

        Args:
            mu: proven distance of the release, over σ.
            refit: whether it is a refit, which may use the reserve but resets nothing; its wobble stays in the anchor.
            wobble: μ by which rounding can set this release apart from that of somebody who never saw those forgotten before
                the period; 0 where every sum is made in the same order.

        Raises:
            BudgetSpent: the release would pass the limit.
        """
        drift = max(self.drift, wobble) if refit else self.drift
        earlier = _raised(self.earlier, (drift + wobble) ** 2) if self.earlier > 0 else 0.0
        if not earlier <= self._limit:
            raise BudgetSpent(
                f"rounding costs those forgotten before {self.since} mu = {drift + wobble:.3g} a release, and would pass their "
                "budget: fit a new model"
            )
        after = replace(self, requests=self.requests + 1, earlier=earlier, drift=drift, last_drift=drift + wobble)
        if self.is_owed and not mu <= self.mu_left(refit=refit):
            raise BudgetSpent(
                f"a release of mu = {mu:.3g} would pass the budget: mu = {math.sqrt(self.spent):.3g} of {self.mu_limit:.3g} is "
                "spent since the earliest deletion. Only a scheduled refit resets it"
            )
        return replace(after, spent=_raised(self.spent, mu**2)) if self.is_owed else after

    @property
    def mu_total(self) -> float:
        """μ of all releases of the period since the earliest deletion in it, jointly; of the last period just after its end."""
        return math.sqrt(self.spent if self.requests else max(self.spent, self.earlier))

    def postponed(self, on: date) -> "PrivacyBudget":
        """The budget after a scheduled refit that was charged, because what its state depends on is not proven: the schedule
        counts from now, and nothing is reset.

        Args:
            on: the day of the refit (UTC).
        """
        return replace(self, requests=0, since=on.isoformat())

    def refitted(self, mu: float, drift: float, on: date) -> "PrivacyBudget":
        """The budget after a scheduled refit: a new period.

        Args:
            on: the day of the refit (UTC).
            mu: what rounding leaves of the refit's distance, over σ.
            drift: μ by which the anchor may differ from that of
                a fit on the same rows by somebody who never saw those forgotten; 0 if it is the same bit for bit.
        """
        ended = max(self.spent, self.earlier)
        earlier = _raised(ended, drift**2) if ended > 0 else 0.0
        reserve = reserve_for(self.mu_limit, mu)
        renewed = PrivacyBudget(self.mu_limit, reserve, on.isoformat(), restores=self.restores)
        return replace(renewed, earlier=earlier, drift=drift, last_drift=drift)

    def restored(self, restores: int, since: date) -> "PrivacyBudget":
        """The budget of a copy that goes on from a backup: as the copies before it may have left it, all that they could spend
        spent, for everybody. What is left is enough for refits, whose distance is rounding, until the scheduled one.

        Args:
            restores: how many copies there were before this one; more than any of them had.
            since: the last day at or before the restore on which, by the calendar, a period begins.

        Raises:
            ValueError: there were as many copies before already.

        Source: theory §5.7.
        """
        if restores <= self.restores:
            raise ValueError(f"{self.restores} backups were restored before this one, got {restores}")
        if math.isinf(self.mu_limit):
            return replace(self, restores=restores)
        used = _limit_of(self.mu_limit, restores - 1) * (1.0 + 1e-14)  # sums were rounded up
        return replace(self, restores=restores, since=since.isoformat(), requests=1, is_owed=True, spent=used, earlier=used)


def _limit_of(mu_limit: float, restores: int) -> float:
    """The squared μ that a copy may spend, those of all copies before it included; each leaves something to the next."""
    return mu_limit**2 * (1.0 - RESTORE_SHARE * 2.0**-restores)


def reserve_for(mu_limit: float, mu: float) -> float:
    """The squared μ kept for refits, each of which rounding makes cost ``mu``. Source: theory §5.7."""
    if math.isinf(mu_limit):
        return 0.0
    return max(REFIT_RESERVE * mu_limit**2, 4.0 * mu * mu)  # where that overflows it is infinite, and mu**2 an error


def _raised(total: float, more: float) -> float:
    """Their sum, rounded up."""
    return (total + more) * (1.0 + 1e-15) if more > 0 else total

"""Report: what is used of the capacity to forget, and what is left. Evidence: not for publication. Theory §4.3, §4.4."""

import math
from dataclasses import dataclass
from enum import StrEnum


class Regime(StrEnum):
    """What unlearning is worth for a model."""

    HIDDEN = "hidden"
    """Noise alone hides as many people at random as the statistics certify: forgetting adds next to nothing to it."""
    WORTH = "worth"
    """The statistics or passes certify more people than noise alone hides."""
    RETRAIN = "retrain"
    """Nobody is certified without a refit, and noise alone hides nobody."""


@dataclass(frozen=True)
class Forecast:
    """How many more deletions, in one request, should still be certified.

    Args:
        passes: gradient passes over the remaining rows; 0 for the statistics alone.
        random: of rows at random.
        worst_case: of the rows that move the model most. ``None`` where that cannot be
            told without a sample of rows.
    """

    passes: int
    random: int | None
    worst_case: int | None


@dataclass(frozen=True)
class CapacityReport:
    """What is used of a model's capacity to forget, and a forecast of what is left. Evidence: not for publication.

    Args:
        changed: total weight of the rows that came or went since the last fit or refit.
        remaining: of those learned now.
        distance_bound: Δ of the last release.
        distance_allowed: the most the next may have.
        budget_used: share of the squared μ budget spent since the earliest deletion of the period.
        typical_move: how far the model moves when a typical person goes, in the metric of these distances.
        forecasts: by number of passes, from none up.
    """

    changed: float
    remaining: float
    distance_bound: float
    distance_allowed: float
    budget_used: float
    typical_move: float
    forecasts: tuple[Forecast, ...]

    @property
    def hidden(self) -> float:
        """How many people at random the noise alone hides in a model that did not forget them: m move it by √m times as much as
        one."""
        return (self.distance_allowed / self.typical_move) ** 2 if self.typical_move > 0 else math.inf

    @property
    def regime(self) -> Regime:
        """Which of three this model is in, by people at random."""
        statistics = self.forecasts[0].random or 0
        most = max(forecast.random or 0 for forecast in self.forecasts)
        if self.hidden >= max(1, statistics):
            return Regime.HIDDEN
        return Regime.WORTH if most > 0 else Regime.RETRAIN

    def __str__(self) -> str:
        lines = [
            f"{self.changed:,.0f} rows changed since the last fit, {self.remaining:,.0f} are learned.",
            f"{self.budget_used:.1%} of the budget is used. The last release is proven to be within {self.distance_bound:.2g} "
            f"of retraining, the next may be up to {self.distance_allowed:.2g} from it.",
            "One more request should be certified for about",
        ]
        for forecast in self.forecasts:
            rung = f"{forecast.passes} pass{'es' * (forecast.passes > 1)}" if forecast.passes else "the statistics"
            counts = (forecast.random, forecast.worst_case)
            random, worst = ("?" if count is None else f"{count:,}" for count in counts)
            lines.append(f"  {rung:<15} {random:>10} rows at random, {worst:>8} of the most influential")
        if any(forecast.random is None for forecast in self.forecasts):
            lines.append("For what is unknown (?) give a sample of the learned rows.")
        lines.append(
            {
                Regime.HIDDEN: f"The noise alone hides about {self.hidden:,.0f} people at random, no fewer than the statistics "
                "certify: with so much noise, or so many rows, forgetting adds little to it.",
                Regime.WORTH: f"The noise alone would hide about {self.hidden:,.0f} people at random: forgetting is worth it.",
                Regime.RETRAIN: "Nobody is certified without a refit: retrain instead, or allow more noise or more passes.",
            }[self.regime]
        )
        lines.append(
            "Beyond that a request ends in a refit, which is retraining: where such requests are the rule, or a refit takes no "
            "longer than you can wait, plain retraining is the better choice."
        )
        return "\n".join(lines)

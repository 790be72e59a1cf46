"""Judges of models that learn several rows of each row: by how they predict that one. Theory §6."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit

from expunge.linear_model.scorers import HazardScorer, OrdinalScorer, graded
from expunge.linear_model.time_scores import brier, concordance, lasting
from expunge.problem.arrays import unsplit
from expunge.problem.rows import Rows
from expunge.unlearning.judging import Array, Forecast, Index, Judge, shares

LEAST = 10
"""Fewer rows that were seen beyond a time say nothing about it."""
Served = Callable[[Array], Any]
"""Makes the published estimator of weights."""
QUARTERS = (0.25, 0.5, 0.75)
"""Of the times of the rows: where a hazard that never changes is looked at."""


class OrdinalJudge(Judge):
    """Judges chances of classes in an order: by their log-loss, and by the ranked probability score, the mean over the
    cut-points of the squared error of the chance to be above.

    Args:
        rows: with codes of classes as targets.
        served: the published estimator of weights.
        labels: of the classes, from the lowest to the highest.
    """

    def __init__(self, rows: Rows, served: Served, labels: list[str]) -> None:
        super().__init__(rows)
        self._X = unsplit(rows.X)
        self._served, self._labels = served, labels

    def _above(self, weights: Array) -> Array:
        """Log-odds of being above each cut-point, ``(n_rows, K−1)``, falling."""
        scorer: OrdinalScorer = self._served(weights)
        return np.asarray(self._X @ scorer.coef_.T) + scorer.intercept_

    @property
    def _is_above(self) -> NDArray[np.bool_]:
        return np.asarray(self.rows.y[:, None] > np.arange(len(self._labels) - 1))

    def losses(self, weights: Array) -> Array:
        """−ln P(class) of each row."""
        t, every = self._above(weights), np.arange(len(self.rows))
        ends = np.full((len(t), 1), np.inf)
        t, code = np.hstack([ends, t, -ends]), self.rows.y.astype(np.intp)
        high, low = t[every, code], t[every, code + 1]
        with np.errstate(divide="ignore"):  # equal cut-points leave a class no chance
            return -np.asarray(log_expit(high) + log_expit(-low) + np.log(-np.expm1(low - high)))

    def right(self, weights: Array) -> NDArray[np.bool_]:
        """Whether the likeliest class is that of the row."""
        return np.asarray(graded(self._above(weights)).argmax(axis=1) == self.rows.y)

    def measures(self, weights: Array) -> dict[str, float]:
        """The ranked probability score."""
        errors = np.square(expit(self._above(weights)) - self._is_above).mean(axis=1)
        return {"ranked probability": float(np.average(errors, weights=self.rows.weight))}

    def forecasts(self, weights: Array) -> list[Forecast]:
        """The chance to be above each cut-point."""
        chances, came = expit(self._above(weights)), self._is_above.astype(np.float64)
        return [
            Forecast(f"probability of more than {label}", chances[:, k], shares(came[:, k]))
            for k, label in enumerate(self._labels[:-1])
        ]


class SurvivalJudge(Judge):
    """Judges chances of times: by the likelihood, by who comes first, and by the Brier score at the ends of the intervals, or
    at quarters of the times where there is one interval.

    The loss of a row is its negative log-likelihood over that of the best constant hazard for this row alone, so that it does
    not depend on the unit of time.

    Args:
        rows: with times as targets, negative where the event had not come.
        served: the published estimator of weights.
    """

    def __init__(self, rows: Rows, served: Served) -> None:
        super().__init__(rows)
        self._X = unsplit(rows.X)
        self._served, self._times, self._came = served, np.abs(rows.y), rows.y > 0

    def losses(self, weights: Array) -> Array:
        """Hazard summed up to the time, less, where the event came, 1 + ln of the time and the hazard then."""
        scorer: HazardScorer = self._served(weights)
        with np.errstate(over="ignore"):
            t = np.asarray(self._X @ scorer.coef_[0])
            summed = np.exp(t) * scorer.summed(self._times)
        own = np.searchsorted(np.asarray(scorer.intervals), self._times, side="left")
        return np.asarray(summed - np.where(self._came, 1.0 + t + scorer.intercept_[own] + np.log(self._times), 0.0))

    def measures(self, weights: Array) -> dict[str, float]:
        """Log-likelihood of a row, concordance, and the Brier score at each time."""
        scorer: HazardScorer = self._served(weights)
        weight, came, times = self.rows.weight, self._came, self._times
        best = np.where(came, 1.0 + np.log(times), 0.0)
        likelihood = -float(np.average(self.losses(weights) + best, weights=weight))
        found = {"log-likelihood": likelihood}
        found["concordance"] = concordance(np.asarray(self._X @ scorer.coef_[0]), times, came, weight)
        for at in self._stated(scorer):
            found[f"Brier at {at:g}"] = brier(scorer.predict_survival(self._X, [at])[:, 0], times, came, weight, at)
        return found

    def forecasts(self, weights: Array) -> list[Forecast]:
        """The chance that the event has not come by each time."""
        scorer: HazardScorer = self._served(weights)
        return [
            Forecast(
                f"probability that the event has not come by {at:g}",
                scorer.predict_survival(self._X, [at])[:, 0],
                partial(self._lasting, at),
            )
            for at in self._stated(scorer)
        ]

    def _lasting(self, at: float, some: Index) -> tuple[float, float]:
        return lasting(self._times[some], self._came[some], self.rows.weight[some], at)

    def _stated(self, scorer: HazardScorer) -> list[float]:
        """The times that are looked at: those that enough rows were seen beyond."""
        given = list(scorer.intervals) or [float(f"{at:.3g}") for at in np.quantile(self._times, QUARTERS)]
        return [at for at in dict.fromkeys(given) if (self._times > at).sum() >= LEAST]

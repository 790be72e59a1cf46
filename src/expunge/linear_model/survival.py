"""Survival: proportional hazards with a hazard that is constant on declared intervals. Theory §1, §6."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.errors import InvalidRows
from expunge.linear_model.classifier import Array
from expunge.linear_model.expanded import ExpandedModel
from expunge.linear_model.judges import SurvivalJudge
from expunge.linear_model.regressors import Regressor
from expunge.linear_model.scorers import HazardScorer
from expunge.problem.expansion import Expansion, TimesAtRisk
from expunge.problem.losses import Loss, Poisson
from expunge.problem.parameters import real
from expunge.problem.rows import Rows
from expunge.unlearning.judging import Judge


@dataclass(kw_only=True, eq=False, repr=False)
class PiecewiseExponentialRegressor(ExpandedModel, Regressor):
    """Times until an event, some of them cut off before it: the hazard is that of its interval of time,
    exp(intercept_j), times exp(x·w), as Cox's model has it with a hazard of any course.

    A person is a row of Poisson regression for each interval reached: so many events per time at risk there, weighed by that
    time, with a ridge penalty ½α|w|². All of them are forgotten together. Certificates count these rows and their time at
    risk, and ``excess_risk`` is a share of the mean number of events. Targets are times, negative where somebody was last seen
    without the event.

    Args:
        intervals: the ends of all intervals but the last, which has none, rising, in the unit of ``y``; none by default, for
            a hazard that never changes. They are declared: quantiles of the times would remember them.

    Attributes:
        coef_: logarithms of hazard ratios, ``(1, n_features)``.
        intercept_: logarithm of the hazard of each interval for x = 0, ``(L,)``.

    Examples:
        >>> model = PiecewiseExponentialRegressor(sigma=0, alpha=0.0).fit([[0.0], [0.0], [1.0], [1.0]], [1.0, -3.0, 1.0, 1.0])
        >>> np.exp(model.intercept_).round(6).tolist()  # one event in four years; two in two years are four times as many
        [0.25]
        >>> model.predict([[1.0]]).round(6).tolist()
        [4.0]

    Source: theory §1, §6.
    """

    _form = "sum"

    intervals: Sequence[float] = ()

    @property
    def expansion(self) -> Expansion:
        """A row as its times at risk.

        Examples:
            >>> PiecewiseExponentialRegressor(intervals=(1.0, 5.0)).expansion
            TimesAtRisk(ends=(1.0, 5.0))
        """
        return TimesAtRisk(tuple(real("intervals", end) for end in self.intervals))

    def _loss(self) -> Loss:
        return Poisson()

    def _encode_targets(self, y: Any) -> Array:
        times = super()._encode_targets(y)
        if (times == 0).any():
            raise InvalidRows(
                f"y of row {int(np.argmax(times == 0))} is 0: a time must be above 0, or below 0 if the event had not come then"
            )
        return times

    @property
    def _level_names(self) -> list[str]:
        return [f"from {end:g} on" for end in self.intervals]

    def judge(self, rows: Rows) -> Judge:
        """What judges weights by the chances of times: by the likelihood, by who comes first, and at the ends of the intervals.

        Args:
            rows: as they are given, with times that are negative where the event had not come.

        Examples:
            >>> rows = Rows(np.array([[0.0]]), np.array([3.0]))
            >>> loss = PiecewiseExponentialRegressor().judge(rows).losses(np.array([0.0, -np.log(3.0)]))  # a hazard of a third
            >>> loss.round(12).tolist()  # none is better
            [0.0]
        """
        return SurvivalJudge(rows, self._scorer_of(rows.X.shape[1]))

    def _twin(self) -> Any:
        return HazardScorer(tuple(self.intervals))

    def predict(self, X: Any) -> Array:
        """The hazard ratio of each row against x = 0, exp(x·w), ``(n_rows,)``.

        Args:
            X: ``(n_rows, n_features)``, dense or CSR.

        Examples:
            >>> PiecewiseExponentialRegressor(sigma=0).fit([[0.0], [1.0]], [2.0, 2.0]).predict([[0.0]]).tolist()
            [1.0]
        """
        scorer: HazardScorer = self.to_sklearn()
        return scorer.predict(self._checked(X))

    def predict_survival(self, X: Any, times: Any) -> Array:
        """The probability that the event has not come by each time, ``(n_rows, n_times)``.

        Args:
            X: ``(n_rows, n_features)``, dense or CSR.
            times: at least 0, in the unit of ``y``, ``(n_times,)``.

        Examples:
            >>> model = PiecewiseExponentialRegressor(sigma=0).fit([[0.0], [0.0]], [2.0, 2.0])  # a hazard of ½
            >>> model.predict_survival([[0.0]], [0.0, 2.0]).round(3).tolist()
            [[1.0, 0.368]]
        """
        scorer: HazardScorer = self.to_sklearn()
        return scorer.predict_survival(self._checked(X), times)

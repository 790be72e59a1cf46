"""Survival: proportional hazards with a hazard that is constant on declared intervals. Theory §1, §6."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.errors import InvalidRows
from expunge.linear_model.classifier import Array
from expunge.linear_model.expanded import ExpandedModel
from expunge.linear_model.regressors import Regressor
from expunge.problem.expansion import Expansion, times_at_risk
from expunge.problem.losses import Loss, Poisson
from expunge.problem.parameters import real


@dataclass(kw_only=True, eq=False, repr=False)
class PiecewiseExponentialRegressor(ExpandedModel, Regressor):
    """Times until an event, some of them cut off before it: the hazard is that of its interval of time, e^{intercept_j}, times
    e^{x·w}, as Cox's model has it with a hazard of any course.

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
    def _ends(self) -> Array:
        ends = np.array([real("intervals", end) for end in self.intervals])
        if not (np.isfinite(ends).all() and (np.diff(ends, prepend=0.0) > 0).all()):
            raise ValueError(f"intervals must be finite times above 0 that rise, got {tuple(self.intervals)}")
        return ends

    @property
    def _n_levels(self) -> int:
        return len(self._ends) + 1

    def _loss(self) -> Loss:
        return Poisson()

    def _encode_targets(self, y: Any) -> Array:
        times = super()._encode_targets(y)
        if (times == 0).any():
            raise InvalidRows(
                f"y of row {int(np.argmax(times == 0))} is 0: a time must be above 0, or below 0 if the event had not come then"
            )
        return times

    def _expansion(self, y: Array) -> Expansion:
        return times_at_risk(np.abs(y), y > 0, self._ends)

    def predict(self, X: Any) -> Array:
        """The hazard ratio of each row against x = 0, e^{x·w}, ``(n_rows,)``.

        Args:
            X: ``(n_rows, n_features)``, dense or CSR.

        Examples:
            >>> PiecewiseExponentialRegressor(sigma=0).fit([[0.0], [1.0]], [2.0, 2.0]).predict([[0.0]]).tolist()
            [1.0]
        """
        return np.asarray(np.exp(self._predictor(X)[:, 0] - self.intercept_[0]))

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
        times = np.asarray(times, dtype=np.float64)
        starts, ends = np.concatenate([[0.0], self._ends]), np.append(self._ends, np.inf)
        at_risk = np.clip(times[:, None], starts, ends) - starts
        return np.asarray(np.exp(-np.outer(self.predict(X), at_risk @ np.exp(self.intercept_))))

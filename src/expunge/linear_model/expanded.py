"""Estimators whose rows are expanded: each row of a person is several rows of the model. Theory §6."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.linear_model.base import UnlearningModel
from expunge.linear_model.served import Array
from expunge.problem.expansion import Expansion
from expunge.problem.objective import Objective, require_weights
from expunge.problem.rows import Rows


@dataclass(kw_only=True, eq=False, repr=False)
class ExpandedModel(UnlearningModel):
    """What they share: a level has an intercept of its own, the first one's and the difference from it, which is penalised like
    other weights. Certificates count the rows of the model. The other parameters are those of every estimator."""

    @property
    @abstractmethod
    def _n_levels(self) -> int:
        """L."""

    @abstractmethod
    def _expansion(self, y: Array) -> Expansion:
        """What becomes of rows with these targets."""

    def _made(self, rows: Rows, *, by_subject: bool) -> Rows:
        require_weights(rows, self._is_weighted)
        return self._expansion(rows.y).of(super()._made(rows, by_subject=by_subject), self._n_levels, by_subject=by_subject)

    def objective(self, n_features: int) -> Objective:
        """What ``fit`` minimises, over the expanded rows; a classifier must know its classes.

        Args:
            n_features: width of a row as it is given, the intercept not counted.

        Examples:
            >>> from expunge.linear_model import PiecewiseExponentialRegressor
            >>> PiecewiseExponentialRegressor(intervals=(1.0, 5.0)).objective(3).n_features
            5
        """
        if not self.fit_intercept:
            raise ValueError(f"{type(self).__name__} has an intercept for each level: leave fit_intercept=True")
        return super().objective(n_features + self._n_levels - 1)

    def to_sklearn(self) -> Any:
        """Nothing: scikit-learn has no estimator that predicts as this one.

        Raises:
            ValueError: always; ``coef_`` and ``intercept_`` are what may be published.

        Examples:
            >>> from expunge.linear_model import OrdinalClassifier
            >>> OrdinalClassifier().to_sklearn()
            Traceback (most recent call last):
                ...
            ValueError: scikit-learn has no estimator like OrdinalClassifier: publish coef_ and intercept_
        """
        return self._twin()

    def _twin(self) -> Any:
        raise ValueError(f"scikit-learn has no estimator like {type(self).__name__}: publish coef_ and intercept_")

    def _row_norm(self) -> float | None:
        given = super()._row_norm()
        return None if given is None else math.hypot(given, 1.0)  # a level's column is 1

    def _served(self, objective: Objective, weights: Array) -> tuple[Array, Array | float]:
        n_features = objective.n_features - self._n_levels + 1
        return weights[None, :n_features].copy(), weights[-1] + np.concatenate([[0.0], weights[n_features:-1]])

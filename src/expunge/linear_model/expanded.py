"""Estimators whose rows are expanded: each row of a person is several rows of the model. Theory §6."""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from expunge.linear_model.base import UnlearningModel
from expunge.linear_model.served import Array
from expunge.problem.expansion import Expansion
from expunge.problem.objective import Objective, require_weights
from expunge.problem.rows import Rows
from expunge.unlearning.rung import NoiseKind
from expunge.unlearning.settings import Settings


@dataclass(kw_only=True, eq=False, repr=False)
class ExpandedModel(UnlearningModel):
    """What they share: a level has an intercept of its own, the first one's and the difference from it, which is penalised like
    other weights. Certificates count the rows of the model. The other parameters are those of every estimator."""

    @property
    @abstractmethod
    def expansion(self) -> Expansion:
        """How rows are expanded; a classifier must know its classes."""

    def _weighed(self, rows: Rows) -> Rows:
        require_weights(rows, self._is_weighted)
        return super()._weighed(rows)

    def _made(self, rows: Rows, *, by_subject: bool) -> Rows:
        return self.expansion.rows(rows, by_subject=by_subject)

    @property
    @abstractmethod
    def _level_names(self) -> list[str]:
        """Of the levels but the first, whose constants are differences from the first one's."""

    def _names(self, n_features: int) -> list[str]:
        return [*super()._names(n_features - self.expansion.n_levels + 1), *self._level_names]

    def _scorer_of(self, n_features: int) -> Callable[[Array], Any]:
        """Makes the published estimator of weights."""
        return partial(self.published, self.objective(n_features))

    def objective(self, n_features: int) -> Objective:
        """What ``fit`` minimises, over the expanded rows; a classifier must know its classes.

        Args:
            n_features: width of a row as it is given, the intercept not counted.

        Raises:
            ValueError: ``fit_intercept`` is false, or ``offset`` is true.

        Examples:
            >>> from expunge.linear_model import PiecewiseExponentialRegressor
            >>> PiecewiseExponentialRegressor(intervals=(1.0, 5.0)).objective(3).n_features
            5
        """
        if not self.fit_intercept:
            raise ValueError(f"{type(self).__name__} has an intercept for each level: leave fit_intercept=True")
        if self.offset:
            raise ValueError(f"{type(self).__name__} makes several rows of each and takes no offset: leave offset=False")
        return super().objective(n_features + self.expansion.n_levels - 1)

    def _settings(self, sigma: float | None, noise: NoiseKind, excess_risk: float | None) -> Settings:
        return replace(super()._settings(sigma, noise, excess_risk), expanded=True)

    def _row_norm(self) -> float | None:
        given = super()._row_norm()
        return None if given is None else math.hypot(given, 1.0)  # a level's column is 1

    def _served(self, objective: Objective, weights: Array) -> tuple[Array, Array | float]:
        n_features = objective.n_features - self.expansion.n_levels + 1
        return weights[None, :n_features].copy(), weights[-1] + np.concatenate([[0.0], weights[n_features:-1]])

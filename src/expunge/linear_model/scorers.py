"""Released weights of models that scikit-learn has no estimator for, as estimators that predict and hold nothing secret."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

Array = NDArray[np.float64]


class _Scorer(BaseEstimator):
    """What is made with released weights, not fitted."""

    coef_: Array
    intercept_: Array

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coef_")

    def fit(self, X: Any, y: Any) -> None:
        """Refuses: these are weights of a release.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"{type(self).__name__} holds the weights of a release: fit the estimator that made it")


class OrdinalScorer(ClassifierMixin, _Scorer):
    """Classes in an order by proportional odds; ``coef_`` is ``(1, n_features)``, ``intercept_`` falls, ``(K−1,)``."""

    classes_: NDArray[Any]

    def predict_proba(self, X: Any) -> Array:
        """Class probabilities, ``(n_rows, K)``."""
        return graded(np.asarray(X @ self.coef_.T) + self.intercept_)

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class of each row, ``(n_rows,)``."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


class HazardScorer(RegressorMixin, _Scorer):
    """Proportional hazards; ``coef_`` is ``(1, n_features)``, ``intercept_`` the logarithm of the hazard of each interval.

    Args:
        intervals: the ends of all intervals but the last.
    """

    def __init__(self, intervals: Sequence[float] = ()) -> None:
        self.intervals = intervals

    def predict(self, X: Any) -> Array:
        """The hazard ratio of each row against x = 0, ``(n_rows,)``."""
        return np.asarray(np.exp(np.asarray(X @ self.coef_[0])))

    def predict_survival(self, X: Any, times: Any) -> Array:
        """The probability that the event has not come by each time, ``(n_rows, n_times)``."""
        return np.asarray(np.exp(-np.outer(self.predict(X), self.summed(times))))

    def summed(self, times: Any) -> Array:
        """The hazard for x = 0 summed up to each time, ``(n_times,)``."""
        starts, ends = np.array([0.0, *self.intervals]), np.array([*self.intervals, np.inf])
        at_risk = np.clip(np.asarray(times, dtype=np.float64)[:, None], starts, ends) - starts
        return np.asarray(at_risk @ np.exp(self.intercept_))


def graded(t: Array) -> Array:
    """Probabilities of ordered classes, ``(n_rows, K)``, of the log-odds of being above each cut-point, ``(n_rows, K−1)``."""
    above = np.hstack([np.ones((len(t), 1)), expit(t), np.zeros((len(t), 1))])
    return np.asarray(-np.diff(above, axis=1))

"""What of an estimator may leave: the released weights, in scikit-learn's form, and predictions with them. Theory §5.1."""

from abc import abstractmethod
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from expunge.linear_model.plan import PlannedModel
from expunge.problem.objective import Objective

Array = NDArray[np.float64]
_OF_ONE_RELEASE = itemgetter("coef_", "intercept_")
"""Reads both at once, as they are set at once: no thread predicts with half of a release."""


@dataclass(kw_only=True, eq=False, repr=False)
class ServedModel(PlannedModel):
    """What is done with released weights; the parameters are those of ``PlannedModel``."""

    def to_sklearn(self) -> Any:
        """The fitted scikit-learn estimator holding the released weights and nothing secret: safe to publish.

        Examples:
            >>> from expunge.linear_model import Ridge
            >>> Ridge(alpha=2.0, sigma=0).fit([[0.0], [1.0]], [1.0, 3.0]).to_sklearn()
            Ridge(alpha=2.0)
        """
        check_is_fitted(self)
        twin = self._twin()
        for name in ("coef_", "intercept_", "classes_", "n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                value = getattr(self, name)
                setattr(twin, name, value.copy() if isinstance(value, np.ndarray) else value)
        return twin

    def published(self, objective: Objective, weights: Array) -> Any:
        """The fitted scikit-learn estimator that serves released weights; a classifier must know its classes.

        Args:
            objective: what was minimised.
            weights: of a release, ``(p,)``.

        Examples:
            >>> from expunge.linear_model import Ridge
            >>> model = Ridge(sigma=0)
            >>> model.published(model.objective(1), np.array([2.0, 1.0])).predict([[3.0]]).tolist()
            [7.0]
        """
        twin = self._twin()
        twin.coef_, twin.intercept_ = self._served(objective, weights)
        if hasattr(self, "classes_"):
            twin.classes_ = self.classes_
        twin.n_features_in_ = np.atleast_2d(twin.coef_).shape[1]
        return twin

    @abstractmethod
    def _twin(self) -> Any:
        """An unfitted scikit-learn estimator that predicts as this one."""

    def _served(self, objective: Objective, weights: Array) -> tuple[Array, Array | float]:
        """Coefficients ``(K, n_features)``, that of an offset among them, and intercepts ``(K,)``, as scikit-learn has them."""
        blocks = objective.coefficients(weights)
        coef = np.hstack([blocks[:, : objective.n_features], np.ones((len(blocks), int(objective.offset)))])
        return coef, blocks[:, -1].copy() if objective.fit_intercept else np.zeros(len(blocks))

    def _checked(self, X: Any) -> Any:
        """Rows to predict, if the model is fitted and they are of its width."""
        check_is_fitted(self)
        return validate_data(self, X, reset=False, accept_sparse="csr", dtype=[np.float64, np.float32])

    def _predictor(self, X: Any) -> Array:
        """Xwᵀ + b of the release, ``(n_rows,)`` or ``(n_rows, K)``."""
        X = self._checked(X)
        coef, intercept = _OF_ONE_RELEASE(self.__dict__)
        predictor: Array = np.asarray(X @ coef.T) + intercept
        return predictor

"""What every estimator shares: scikit-learn's ``fit``, and ``forget``, ``learn``, ``rectify``, ``refit`` beside it."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted, validate_data

from expunge.arrays import require_unmasked
from expunge.certificate import Bound, Certificate
from expunge.errors import InvalidRows
from expunge.forecast import CapacityReport
from expunge.losses import Loss
from expunge.noise import InsecureNoise, Noise, secure_noise
from expunge.objective import Objective
from expunge.privacy import Guarantee
from expunge.rows import Rows, RowSource
from expunge.settings import Settings
from expunge.unlearner import Release, Unlearner

Array = NDArray[np.float64]
Remaining = tuple[Any, Any] | tuple[Any, Any, Any] | RowSource | None
"""``(X, y)``, ``(X, y, sample_weight)`` or a ``RowSource`` of all rows learned and not forgotten."""

INSECURE_SEED = "EXPUNGE_INSECURE_SEED"
"""Environment variable that must be ``1`` for ``random_state`` to be accepted beside noise."""


class UnlearningModel(BaseEstimator, ABC):
    """What classifiers and regressors share. Parameters common to all:

    epsilon, delta: (ε, δ) promised to everyone forgotten; ε in nats.
    sigma: standard deviation of the noise in each weight, chosen without looking at the data; 0 for no noise, no promise.
    bound: ``"local"``, or ``"worst_case"``/``"paper"`` (which need ``row_norm`` and a penalty on every weight).
    row_norm: declared bound on the norm of every row, now and later; ``None`` for none.
    max_passes: gradient passes over the remaining rows tried before a refit.
    memory_budget: bytes that the p × p arrays of the Hessian may take; a model for which they would take more keeps none and
        passes over the remaining rows for every change.
    random_state: refused beside noise unless the environment has ``EXPUNGE_INSECURE_SEED=1``.
    """

    fit_intercept: bool
    epsilon: float
    delta: float
    sigma: float
    bound: Bound
    row_norm: float | None
    max_passes: int
    memory_budget: float
    random_state: Any

    @abstractmethod
    def _loss(self) -> Loss: ...

    @abstractmethod
    def _penalty(self) -> tuple[float, Literal["sum", "mean"]]:
        """Strength and form of the penalty (theory §1)."""

    @abstractmethod
    def _learn_targets(self, y: Any) -> Array:
        """Targets as the loss wants them, remembering the classes."""

    @abstractmethod
    def _encode_targets(self, y: Any) -> Array:
        """The same for later rows."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """The fitted estimator; forgets everything learned before.

        Args:
            X: ``(n_rows, n_features)``, dense or CSR, float32 or float64.
            y: ``(n_rows,)``.
            sample_weight: ``(n_rows,)``, at least 0.

        Raises:
            InvalidRows, NoOptimum, CapacityExceeded: see ``Unlearner.learn_from``.
        """
        X, y = self._validated(X, y, reset=True)
        rows = Rows.of(X, self._learn_targets(y), sample_weight)
        objective = self.objective(rows.X.shape[1])
        self._unlearner = Unlearner.learn_from(objective, rows, self.settings(), noise=self._noise())
        self.releases_: tuple[Certificate, ...] = ()
        self._publish(self._unlearner.release)
        return self

    def objective(self, n_features: int) -> Objective:
        """What ``fit`` minimises; a classifier must know its classes."""
        penalty, form = self._penalty()
        return Objective(self._loss(), n_features, penalty, form, self.fit_intercept)

    def settings(self) -> Settings:
        """What is fixed before any row is seen."""
        guarantee = Guarantee(self.epsilon, self.delta)
        return Settings(guarantee, self.sigma, self.bound, self.row_norm, self.max_passes, self.memory_budget)

    def forget(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        ids: Sequence[object] | None = None,
        remaining: Remaining = None,
    ) -> Certificate:
        """The certificate of a new release from which nobody can tell that these rows were ever learned.

        Args:
            X, y, sample_weight: the rows to forget, as they were learned.
            ids: names of the rows; tells people with equal values apart, who otherwise count as duplicates.
            remaining: all rows learned and not forgotten; lets the ladder climb beyond the statistics.

        Raises:
            InvalidRows, NotLearned, CapacityExceeded, BudgetSpent: see ``Unlearner.forget``; nothing is changed then.
        """
        check_is_fitted(self)
        return self._publish(self._unlearner.forget(self._rows(X, y, sample_weight, ids), self._source(remaining)))

    def learn(self, X: Any, y: Any, *, sample_weight: Any = None, remaining: Remaining = None) -> Certificate:
        """The certificate of a new release that has learned these rows too; ``remaining`` includes them.

        Raises:
            InvalidRows, CapacityExceeded, BudgetSpent: see ``Unlearner.learn``; nothing is changed then.
        """
        check_is_fitted(self)
        return self._publish(self._unlearner.learn(self._rows(X, y, sample_weight), self._source(remaining)))

    def rectify(self, X_old: Any, y_old: Any, X_new: Any, y_new: Any, *, remaining: Remaining = None) -> Certificate:
        """The certificate of a new release with rows corrected (GDPR Art. 16); ``remaining`` holds the corrected rows.

        Raises:
            InvalidRows, NotLearned, CapacityExceeded, BudgetSpent: see ``Unlearner.rectify``; nothing is changed then.
        """
        check_is_fitted(self)
        old, new = self._rows(X_old, y_old), self._rows(X_new, y_new)
        return self._publish(self._unlearner.rectify(old, new, self._source(remaining)))

    def refit(self, X: Any, y: Any, sample_weight: Any = None) -> Certificate:
        """The certificate of a new release from a new anchor, on exactly the rows learned and not forgotten.

        Raises:
            InvalidRows, NotLearned: other rows; to train on other rows use ``fit``.
        """
        check_is_fitted(self)
        return self._publish(self._unlearner.refit(self._rows(X, y, sample_weight)))

    @property
    def certificate_(self) -> Certificate:
        """The certificate of the last release."""
        check_is_fitted(self)
        return self.releases_[-1]

    def capacity(self, X: Any = None, y: Any = None, sample_weight: Any = None) -> CapacityReport:
        """What is used of the capacity to forget, and a forecast of how many more random and worst-case deletions each rung
        will certify; print it for the text. An estimate, for planning.

        Args:
            X, y, sample_weight: some of the learned rows, or all of them; without them the passes cannot be told.

        Raises:
            InvalidRows: rows that do not fit the model.
            ValueError: sigma is 0, so that nothing is promised.
        """
        check_is_fitted(self)
        return self._unlearner.capacity(None if X is None else self._rows(X, y, sample_weight))

    def draw(self, count: int) -> Array:
        """Fresh releases of the present weights, ``(count, p)``: a mechanism to audit. None of them may be published.

        Raises:
            ValueError: sigma is 0, so that nothing is drawn.
        """
        check_is_fitted(self)
        if self.sigma == 0:
            raise ValueError("with sigma=0 there is no noise, and nothing to draw: choose a positive sigma")
        return self._unlearner.draw(count)

    def true_distance(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """|w̄ − ŵ′|₂, which ``distance_bound`` bounds, found by retraining on these rows: for audits and demonstrations.

        Raises:
            InvalidRows, NoOptimum: see ``Unlearner.true_distance``.
        """
        check_is_fitted(self)
        return self._unlearner.true_distance(self._rows(X, y, sample_weight))

    def to_sklearn(self) -> Any:
        """The fitted scikit-learn estimator holding the released weights and nothing secret: safe to publish."""
        check_is_fitted(self)
        twin = self._twin()
        for name in ("coef_", "intercept_", "classes_", "n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                value = getattr(self, name)
                setattr(twin, name, value.copy() if isinstance(value, np.ndarray) else value)
        return twin

    def published(self, objective: Objective, weights: Array) -> Any:
        """The fitted scikit-learn estimator that serves released ``weights``, ``(p,)``; a classifier must know its classes."""
        twin = self._twin()
        coef, intercept = self._parted(objective, weights)
        self._set_weights(coef, intercept)
        for name in ("coef_", "intercept_", "classes_"):
            if hasattr(self, name):
                setattr(twin, name, getattr(self, name))
        twin.n_features_in_ = objective.n_features
        return twin

    @abstractmethod
    def _twin(self) -> Any:
        """An unfitted scikit-learn estimator that predicts as this one."""

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_unlearner")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.non_deterministic = self.sigma > 0
        return tags

    def _noise(self) -> Noise:
        if self.sigma == 0 or self.random_state is None:
            return secure_noise
        if os.environ.get(INSECURE_SEED) != "1":
            raise ValueError(
                "random_state makes the noise reproducible, and whoever knows it can take the noise off: leave it None, or set "
                f"sigma=0, or set {INSECURE_SEED}=1 in the environment of a test"
            )
        return InsecureNoise(int(check_random_state(self.random_state).randint(2**31 - 1)))

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        require_unmasked(X, "X")  # scikit-learn would read what the mask hides
        require_unmasked(y, "y")
        try:
            X, y = validate_data(
                self, X, y, reset=reset, accept_sparse="csr", dtype=[np.float64, np.float32], ensure_all_finite=False
            )
            return X, column_or_1d(y, warn=True)
        except ValueError as error:
            raise InvalidRows(str(error)) from error

    def _rows(self, X: Any, y: Any, sample_weight: Any = None, ids: Sequence[object] | None = None) -> Rows:
        X, y = self._validated(X, y, reset=False)
        return Rows.of(X, self._encode_targets(y), sample_weight, ids)

    def _source(self, remaining: Remaining) -> RowSource | None:
        return _Deferred(self, remaining) if isinstance(remaining, tuple) else remaining

    def _publish(self, release: Release) -> Certificate:
        self._set_weights(*self._parted(self._unlearner.objective, release.weights))
        self.releases_ = (*self.releases_, release.certificate)
        return release.certificate

    def _parted(self, objective: Objective, weights: Array) -> tuple[Array, Array]:
        """Coefficients ``(K, n_features)`` and intercepts ``(K,)``."""
        blocks = objective.coefficients(weights)
        coef = blocks[:, :-1] if self.fit_intercept else blocks
        return coef.copy(), blocks[:, -1].copy() if self.fit_intercept else np.zeros(len(blocks))

    def _set_weights(self, coef: Array, intercept: Array) -> None:
        self.coef_: Array = coef
        self.intercept_: Array | float = intercept

    def _predictor(self, X: Any) -> Array:
        """Xwᵀ + b of the release, ``(n_rows,)`` or ``(n_rows, K)``."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, accept_sparse="csr", dtype=[np.float64, np.float32])
        return np.asarray(X @ self.coef_.T) + self.intercept_


class _Deferred:
    """A ``RowSource`` that checks and encodes its rows only when the ladder needs them."""

    def __init__(self, model: UnlearningModel, given: tuple[Any, ...]) -> None:
        self._model, self._given = model, given

    def batches(self) -> Iterator[Rows]:
        return self._rows.batches()

    @cached_property
    def _rows(self) -> Rows:
        return self._model._rows(*self._given)

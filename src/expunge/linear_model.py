"""Scikit-learn estimators that can forget: a translation of scikit-learn's words, nothing more. Theory §1.

Each has the objective, and so the optimum, of its namesake in scikit-learn. What is fitted is secret; ``coef_`` and
``intercept_`` are the last *release*, the only weights that may leave. A pickled estimator holds the secret state:
publish ``to_sklearn()`` instead.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn import linear_model as sklearn_linear_model
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from expunge.certificate import Bound, Certificate
from expunge.errors import InvalidRows
from expunge.losses import Gamma, Logistic, Loss, Poisson, PseudoHuber, Softmax, Squared, Tweedie
from expunge.noise import InsecureNoise, Noise, secure_noise
from expunge.objective import Objective
from expunge.privacy import Guarantee
from expunge.rows import Rows, RowSource
from expunge.unlearner import Release, Settings, Unlearner

Array = NDArray[np.float64]
Remaining = tuple[Any, Any] | tuple[Any, Any, Any] | RowSource | None
"""``(X, y)``, ``(X, y, sample_weight)`` or a ``RowSource`` of all rows learned and not forgotten."""

INSECURE_SEED = "EXPUNGE_INSECURE_SEED"
"""Environment variable that must be ``1`` for ``random_state`` to be accepted beside noise."""


class _UnlearningModel(BaseEstimator, ABC):
    """What classifiers and regressors share. Parameters common to all:

    epsilon, delta: (ε, δ) promised to everyone forgotten; ε in nats.
    sigma: standard deviation of the noise in each weight, chosen without looking at the data; 0 for no noise, no promise.
    bound: ``"local"``, or ``"worst_case"``/``"paper"`` (which need ``row_norm`` and a penalty on every weight).
    row_norm: declared bound on the norm of every row, now and later; ``None`` for none.
    max_passes: gradient passes over the remaining rows tried before a refit.
    random_state: refused beside noise unless the environment has ``EXPUNGE_INSECURE_SEED=1``.
    """

    fit_intercept: bool
    epsilon: float
    delta: float
    sigma: float
    bound: Bound
    row_norm: float | None
    max_passes: int
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
        penalty, form = self._penalty()
        objective = Objective(self._loss(), rows.X.shape[1], penalty, form, self.fit_intercept)
        settings = Settings(Guarantee(self.epsilon, self.delta), self.sigma, self.bound, self.row_norm, self.max_passes)
        self._unlearner = Unlearner.learn_from(objective, rows, settings, noise=self._noise())
        self.releases_: tuple[Certificate, ...] = ()
        self._publish(self._unlearner.release)
        return self

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
        try:
            X, y = validate_data(
                self, X, y, reset=reset, accept_sparse="csr", dtype=[np.float64, np.float32], ensure_all_finite=False
            )
            return X, column_or_1d(y, warn=True)
        except InvalidRows:
            raise
        except ValueError as error:
            raise InvalidRows(str(error)) from error

    def _rows(self, X: Any, y: Any, sample_weight: Any = None, ids: Sequence[object] | None = None) -> Rows:
        X, y = self._validated(X, y, reset=False)
        return Rows.of(X, self._encode_targets(y), sample_weight, ids)

    def _source(self, remaining: Remaining) -> RowSource | None:
        return _Deferred(self, remaining) if isinstance(remaining, tuple) else remaining

    def _publish(self, release: Release) -> Certificate:
        weights = self._unlearner.objective.coefficients(release.weights)
        coef = weights[:, :-1] if self.fit_intercept else weights
        intercept = weights[:, -1] if self.fit_intercept else np.zeros(len(weights))
        self._set_weights(coef.copy(), intercept.copy())
        self.releases_ = (*self.releases_, release.certificate)
        return release.certificate

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

    def __init__(self, model: _UnlearningModel, given: tuple[Any, ...]) -> None:
        self._model, self._given = model, given

    def batches(self) -> Iterator[Rows]:
        return self._rows.batches()

    @cached_property
    def _rows(self) -> Rows:
        return self._model._rows(*self._given)


class LogisticRegression(ClassifierMixin, _UnlearningModel):
    """Binary or multinomial logistic regression, scikit-learn's ``LogisticRegression(C=C)``.

    Attributes:
        classes_: ``(K,)``; coef_: ``(1, n_features)`` or ``(K, n_features)``; intercept_: ``(1,)`` or ``(K,)``.
        certificate_: of the last release; releases_: all certificates since ``fit``.

    Source: theory §1, §6.
    """

    def __init__(
        self,
        *,
        C: float = 1.0,
        fit_intercept: bool = True,
        epsilon: float = 1.0,
        delta: float = 1e-6,
        sigma: float = 0.05,
        bound: Bound = "local",
        row_norm: float | None = None,
        max_passes: int = 3,
        random_state: Any = None,
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.epsilon = epsilon
        self.delta = delta
        self.sigma = sigma
        self.bound = bound
        self.row_norm = row_norm
        self.max_passes = max_passes
        self.random_state = random_state

    def decision_function(self, X: Any) -> Array:
        """The linear predictor, ``(n_rows,)`` for two classes, else ``(n_rows, K)``."""
        t = self._predictor(X)
        return t[:, 0] if t.shape[1] == 1 else t

    def predict_proba(self, X: Any) -> Array:
        """Class probabilities, ``(n_rows, K)``."""
        t = self._predictor(X)
        return np.asarray(softmax(t, axis=1)) if t.shape[1] > 1 else np.hstack([expit(-t), expit(t)])

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of ``predict_proba``."""
        return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class of each row, ``(n_rows,)``."""
        t = self._predictor(X)
        codes = (t[:, 0] > 0).astype(np.intp) if t.shape[1] == 1 else t.argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def _loss(self) -> Loss:
        return Logistic() if len(self.classes_) == 2 else Softmax(len(self.classes_))

    def _penalty(self) -> tuple[float, Literal["sum", "mean"]]:
        if not self.C > 0:
            raise ValueError(f"C must be positive, got {self.C}")
        return 1.0 / self.C, "sum"

    def _learn_targets(self, y: Any) -> Array:
        try:
            check_classification_targets(y)
        except ValueError as error:
            raise InvalidRows(str(error)) from error
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InvalidRows(
                f"y holds only 1 class, {self.classes_.tolist()[0]!r}: a classifier needs samples of at least 2 classes"
            )
        return codes.astype(np.float64)

    def _encode_targets(self, y: Any) -> Array:
        codes = np.minimum(np.searchsorted(self.classes_, y), len(self.classes_) - 1)
        unknown = self.classes_[codes] != y
        if np.any(unknown):
            row = int(np.argmax(unknown))
            raise InvalidRows(
                f"y of row {row} is {y.tolist()[row]!r}, which is none of the classes learned: {self.classes_.tolist()}"
            )
        return np.asarray(codes, dtype=np.float64)

    def _twin(self) -> Any:
        return sklearn_linear_model.LogisticRegression(C=self.C, fit_intercept=self.fit_intercept)


class _Regressor(RegressorMixin, _UnlearningModel):
    """What the regressors share: a penalty ``alpha`` and one output."""

    _form: Literal["sum", "mean"]

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        epsilon: float = 1.0,
        delta: float = 1e-6,
        sigma: float = 0.05,
        bound: Bound = "local",
        row_norm: float | None = None,
        max_passes: int = 3,
        random_state: Any = None,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.epsilon = epsilon
        self.delta = delta
        self.sigma = sigma
        self.bound = bound
        self.row_norm = row_norm
        self.max_passes = max_passes
        self.random_state = random_state

    def predict(self, X: Any) -> Array:
        """The predicted mean of each row, ``(n_rows,)``."""
        t = self._predictor(X)
        return np.exp(t) if self._has_log_link() else t

    def _has_log_link(self) -> bool:
        return isinstance(self._loss(), Poisson | Gamma | Tweedie)

    def _penalty(self) -> tuple[float, Literal["sum", "mean"]]:
        return float(self.alpha), self._form

    def _learn_targets(self, y: Any) -> Array:
        return self._encode_targets(y)

    def _encode_targets(self, y: Any) -> Array:
        try:
            return np.asarray(y, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InvalidRows(f"y of a regression must be numbers: {error}") from error

    def _set_weights(self, coef: Array, intercept: Array) -> None:
        self.coef_, self.intercept_ = coef[0], float(intercept[0])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = self._has_log_link()
        tags.regressor_tags.poor_score = self.sigma > 0  # sigma does not know the scale of the targets
        return tags


class Ridge(_Regressor):
    """Least squares with a ridge penalty, scikit-learn's ``Ridge(alpha=alpha)``; forgetting is exact.

    Source: theory §1, §6.
    """

    _form = "sum"

    def _loss(self) -> Loss:
        return Squared()

    def _twin(self) -> Any:
        return sklearn_linear_model.Ridge(alpha=self.alpha, fit_intercept=self.fit_intercept)


class PseudoHuberRegressor(_Regressor):
    """Regression robust to outliers beyond about ``scale``, with a ridge penalty ½α|w|².

    Source: theory §1, §6.
    """

    _form = "sum"

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        scale: float = 1.0,
        fit_intercept: bool = True,
        epsilon: float = 1.0,
        delta: float = 1e-6,
        sigma: float = 0.05,
        bound: Bound = "local",
        row_norm: float | None = None,
        max_passes: int = 3,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            alpha,
            fit_intercept=fit_intercept,
            epsilon=epsilon,
            delta=delta,
            sigma=sigma,
            bound=bound,
            row_norm=row_norm,
            max_passes=max_passes,
            random_state=random_state,
        )
        self.scale = scale

    def _loss(self) -> Loss:
        return PseudoHuber(self.scale)

    def _twin(self) -> Any:
        return sklearn_linear_model.LinearRegression(fit_intercept=self.fit_intercept)


class _GeneralizedLinearRegressor(_Regressor):
    """Half the mean deviance plus ½α|w|², scikit-learn's convention for these."""

    _form = "mean"

    def _twin(self) -> Any:
        twin = self._unfitted_twin()
        twin._base_loss = twin._get_loss()  # what scikit-learn's fit would have set; predict needs it
        return twin

    def _unfitted_twin(self) -> Any:
        return getattr(sklearn_linear_model, type(self).__name__)(alpha=self.alpha, fit_intercept=self.fit_intercept)


class PoissonRegressor(_GeneralizedLinearRegressor):
    """Poisson regression with a log link, scikit-learn's ``PoissonRegressor(alpha=alpha)``.

    Source: theory §1, §6.
    """

    def _loss(self) -> Loss:
        return Poisson()


class GammaRegressor(_GeneralizedLinearRegressor):
    """Gamma regression with a log link, scikit-learn's ``GammaRegressor(alpha=alpha)``.

    Source: theory §1, §6.
    """

    def _loss(self) -> Loss:
        return Gamma()


class TweedieRegressor(_GeneralizedLinearRegressor):
    """Tweedie regression, scikit-learn's ``TweedieRegressor(power=power, alpha=alpha)`` with its automatic link.

    ``power`` is 0 (normal, identity link), 1 (Poisson), between 1 and 2, or 2 (Gamma).
    Source: theory §1, §6.
    """

    def __init__(
        self,
        *,
        power: float = 0.0,
        alpha: float = 1.0,
        fit_intercept: bool = True,
        epsilon: float = 1.0,
        delta: float = 1e-6,
        sigma: float = 0.05,
        bound: Bound = "local",
        row_norm: float | None = None,
        max_passes: int = 3,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            alpha,
            fit_intercept=fit_intercept,
            epsilon=epsilon,
            delta=delta,
            sigma=sigma,
            bound=bound,
            row_norm=row_norm,
            max_passes=max_passes,
            random_state=random_state,
        )
        self.power = power

    def _loss(self) -> Loss:
        known: dict[float, type[Loss]] = {0.0: Squared, 1.0: Poisson, 2.0: Gamma}
        if self.power in known:
            return known[self.power]()
        if not 1.0 < self.power < 2.0:
            raise ValueError(f"power must be 0, 1, 2 or between 1 and 2, got {self.power}: no certificate is known for others")
        return Tweedie(self.power)

    def _unfitted_twin(self) -> Any:
        twin = super()._unfitted_twin()
        return twin.set_params(power=self.power)

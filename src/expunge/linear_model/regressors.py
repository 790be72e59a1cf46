"""Regressions: least squares, robust, and generalised linear models with a log link. Theory §1, §6."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn import linear_model as sklearn_linear_model
from sklearn.base import RegressorMixin
from sklearn.utils import Tags

from expunge.certificate import Bound
from expunge.errors import InvalidRows
from expunge.linear_model.base import UnlearningModel
from expunge.losses import Gamma, Loss, Poisson, PseudoHuber, Squared, Tweedie
from expunge.settings import MEMORY_BUDGET

Array = NDArray[np.float64]


class _Regressor(RegressorMixin, UnlearningModel):
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
        memory_budget: float = MEMORY_BUDGET,
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
        self.memory_budget = memory_budget
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
        self.coef_, self.intercept_ = coef[0], intercept[0]

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
        memory_budget: float = MEMORY_BUDGET,
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
            memory_budget=memory_budget,
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
        memory_budget: float = MEMORY_BUDGET,
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
            memory_budget=memory_budget,
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

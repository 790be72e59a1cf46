"""Regressions: least squares, robust, and generalised linear models with a log link. Theory §1, §6."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn import linear_model as sklearn_linear_model
from sklearn.base import RegressorMixin
from sklearn.utils import Tags

from expunge.errors import InvalidRows
from expunge.linear_model.base import UnlearningModel
from expunge.problem.losses import Gamma, Loss, NegativeBinomial, Poisson, PseudoHuber, SmoothedQuantile, Squared, Tweedie
from expunge.problem.objective import Objective
from expunge.problem.parameters import real
from expunge.unlearning.cost import checked_range

Array = NDArray[np.float64]


@dataclass(kw_only=True, eq=False, repr=False)
class Regressor(RegressorMixin, UnlearningModel):
    """What the regressors share: one output, and two parameters beside those of every estimator.

    Args:
        alpha: strength of the penalty; at least 0; 1 by default.
        target_range: declared least and greatest target, now and later, in the unit of ``y``; ``None``, the default, for none.
            Rows outside are refused.
    """

    _form: ClassVar[Literal["sum", "mean"]]

    @property
    def _has_log_link(self) -> bool:
        return False

    alpha: float = field(default=1.0, kw_only=False)
    target_range: tuple[float, float] | None = None

    def predict(self, X: Any) -> Array:
        """The predicted mean of each row, ``(n_rows,)``, in the unit of ``y``.

        Args:
            X: ``(n_rows, n_features)``, dense or CSR.

        Examples:
            >>> model = Ridge(alpha=0.0, sigma=0).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
            >>> model.predict([[3.0]]).round(6).tolist()
            [7.0]
        """
        t = self._predictor(X)
        return np.exp(t) if self._has_log_link else t

    def _penalty(self) -> tuple[float, Literal["sum", "mean"]]:
        alpha = real("alpha", self.alpha)
        if not 0 <= alpha < np.inf:
            raise ValueError(f"alpha must be a finite number of at least 0, got {alpha}")
        return alpha, self._form

    def _declared_range(self) -> tuple[float, float] | None:
        return None if self.target_range is None else checked_range(self.target_range)

    def _learn_targets(self, y: Any) -> Array:
        return self._encode_targets(y)

    def _encode_targets(self, y: Any) -> Array:
        try:
            targets: Array = np.asarray(y, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InvalidRows(f"y of a regression must be numbers: {error}") from error
        low, high = self._declared_range() or (-np.inf, np.inf)
        outside = (targets < low) | (targets > high)
        if outside.any():
            row = int(np.argmax(outside))
            raise InvalidRows(f"y of row {row} is {targets[row]:g}, outside the declared target_range ({low:g}, {high:g})")
        return targets

    def _served(self, objective: Objective, weights: Array) -> tuple[Array, Array | float]:
        coef, intercept = super()._served(objective, weights)
        return coef[0], np.asarray(intercept)[0]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = self._has_log_link
        tags.regressor_tags.poor_score = self._is_noisy  # sigma does not know the scale of the targets
        return tags


class Ridge(Regressor):
    """Least squares with a ridge penalty, scikit-learn's ``Ridge(alpha=alpha)``; forgetting is exact.

    Examples:
        >>> model = Ridge(sigma=0).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
        >>> str(model.forget([[2.0]], [5.0]).rung)
        'exact'

    Source: theory §1, §6.
    """

    _form = "sum"

    def _loss(self) -> Loss:
        return Squared()

    def _twin(self) -> Any:
        return sklearn_linear_model.Ridge(alpha=self.alpha, fit_intercept=self.fit_intercept)


@dataclass(kw_only=True, eq=False, repr=False)
class PseudoHuberRegressor(Regressor):
    """Regression robust to outliers beyond about ``scale``, with a ridge penalty ½α|w|².

    Args:
        scale: residual beyond which the loss is nearly linear, in the unit of ``y``; positive; 1 by default.

    Examples:
        >>> model = PseudoHuberRegressor(scale=0.5, sigma=0).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 99.0])
        >>> model.forget([[2.0]], [99.0]).remaining
        2.0

    Source: theory §1, §6.
    """

    _form = "sum"

    scale: float = 1.0

    def _loss(self) -> Loss:
        return PseudoHuber(self.scale)

    def _twin(self) -> Any:
        return sklearn_linear_model.LinearRegression(fit_intercept=self.fit_intercept)


@dataclass(kw_only=True, eq=False, repr=False)
class SmoothedQuantileRegressor(Regressor):
    """Quantile regression with a smoothed corner, and a ridge penalty ½α|w|²: learns what a share of the targets stay below.

    Args:
        quantile: the share, between 0.0001 and 0.9999; 0.5, the median, by default.
        scale: over how much of the target the corner is rounded off, in the unit of ``y``; positive; 1 by default. Choose it
            well below the spread of the targets, from what you know of them; the smaller, the fewer deletions are certified.

    Examples:
        >>> model = SmoothedQuantileRegressor(quantile=0.9, scale=0.5, sigma=0).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
        >>> model.forget([[2.0]], [5.0]).remaining
        2.0

    Source: theory §1, §6.
    """

    _form = "sum"

    quantile: float = 0.5
    scale: float = 1.0

    def _loss(self) -> Loss:
        return SmoothedQuantile(self.quantile, self.scale)

    def _twin(self) -> Any:
        return sklearn_linear_model.QuantileRegressor(quantile=self.quantile, fit_intercept=self.fit_intercept)


class _GeneralizedLinearRegressor(Regressor):
    """Half the mean deviance plus ½α|w|², scikit-learn's convention for these."""

    _form = "mean"

    def over_exposure(self, y: Any, exposure: Any) -> tuple[Array, Array]:
        """The targets and sample weights with which a fit is the one with ln ``exposure`` added to the linear predictor;
        ``predict`` then gives the mean per unit of exposure.

        Args:
            y: targets, ``(n_rows,)``.
            exposure: over how much each was collected, such as years at risk, ``(n_rows,)``, positive.

        Raises:
            ValueError: the loss has no such weights (negative binomial), or an exposure is not positive.

        Examples:
            >>> import numpy as np
            >>> rates, weight = PoissonRegressor().over_exposure([2.0, 3.0], [0.5, 1.5])
            >>> rates.tolist(), weight.tolist()
            ([4.0, 2.0], [0.5, 1.5])

        Source: theory §6.
        """
        exposure = np.asarray(exposure, dtype=np.float64)
        bad = ~((exposure > 0) & (exposure < np.inf))
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(f"exposure of row {row} is {exposure[row]:g}: it must be a finite number above 0")
        return self._loss().over_exposure(np.asarray(y, dtype=np.float64), exposure)

    @property
    def _has_log_link(self) -> bool:
        return True

    def _twin(self) -> Any:
        twin = self._unfitted_twin()
        twin._base_loss = twin._get_loss()  # what scikit-learn's fit would have set; predict needs it
        return twin

    def _unfitted_twin(self) -> Any:
        return getattr(sklearn_linear_model, type(self).__name__)(alpha=self.alpha, fit_intercept=self.fit_intercept)


class PoissonRegressor(_GeneralizedLinearRegressor):
    """Poisson regression with a log link, scikit-learn's ``PoissonRegressor(alpha=alpha)``.

    Examples:
        >>> model = PoissonRegressor(sigma=0).fit([[0.0], [1.0], [2.0]], [1, 3, 8])
        >>> model.forget([[2.0]], [8]).remaining
        2.0

    Source: theory §1, §6.
    """

    def _loss(self) -> Loss:
        return Poisson()


@dataclass(kw_only=True, eq=False, repr=False)
class NegativeBinomialRegressor(_GeneralizedLinearRegressor):
    """Regression of counts that vary more than Poisson's, with a log link: of mean μ and variance μ + dispersion·μ².

    Args:
        dispersion: how much more they vary, between 1e-4 and 1e4; 1 by default. It is declared, as what would be estimated from
            the rows would remember them.

    Examples:
        >>> model = NegativeBinomialRegressor(dispersion=0.5, sigma=0).fit([[0.0], [1.0], [2.0]], [1, 3, 8])
        >>> model.forget([[2.0]], [8]).remaining
        2.0

    Source: theory §1, §6.
    """

    dispersion: float = 1.0

    def _loss(self) -> Loss:
        return NegativeBinomial(self.dispersion)

    def _unfitted_twin(self) -> Any:
        return sklearn_linear_model.PoissonRegressor(alpha=self.alpha, fit_intercept=self.fit_intercept)


class GammaRegressor(_GeneralizedLinearRegressor):
    """Gamma regression with a log link, scikit-learn's ``GammaRegressor(alpha=alpha)``.

    Examples:
        >>> model = GammaRegressor(sigma=0).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 8.0])
        >>> model.forget([[2.0]], [8.0]).remaining
        2.0

    Source: theory §1, §6.
    """

    def _loss(self) -> Loss:
        return Gamma()


@dataclass(kw_only=True, eq=False, repr=False)
class TweedieRegressor(_GeneralizedLinearRegressor):
    """Tweedie regression, scikit-learn's ``TweedieRegressor(power=power, alpha=alpha)`` with its automatic link.

    Args:
        power: 0, the default (normal, identity link), 1 (Poisson), between 1 and 2, or 2 (Gamma).

    Examples:
        >>> model = TweedieRegressor(power=1.5, sigma=0).fit([[0.0], [1.0], [2.0]], [0.0, 3.0, 8.0])
        >>> model.forget([[2.0]], [8.0]).remaining
        2.0

    Source: theory §1, §6.
    """

    power: float = 0.0
    alpha: float = 1.0

    @property
    def _has_log_link(self) -> bool:
        return bool(self.power != 0)

    def _loss(self) -> Loss:
        known: dict[float, type[Loss]] = {0.0: Squared, 1.0: Poisson, 2.0: Gamma}
        power = real("power", self.power)
        if power in known:
            return known[power]()
        if not 1.0 < power < 2.0:
            raise ValueError(f"power must be 0, 1, 2 or between 1 and 2, got {power}: no certificate is known for others")
        return Tweedie(power)

    def _unfitted_twin(self) -> Any:
        twin = super()._unfitted_twin()
        return twin.set_params(power=self.power)

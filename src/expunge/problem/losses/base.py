"""What every loss says of itself. Theory §6."""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from expunge.problem.arrays import namespace

Array = Any
"""Float64, of any array-API namespace."""


class Loss(ABC):
    """A convex loss with ``|ℓ‴| ≤ self_concordance · ℓ″``, the one property the certificates need.

    Source: theory §6.
    """

    name: ClassVar[str]
    has_minimum: ClassVar[bool] = True
    """Whether ℓ(·; y) attains its least value for every y; where not, targets can be fitted without limit."""

    @property
    def outputs(self) -> int:
        """K, the number of linear predictors of a row."""
        return 1

    @property
    def classes(self) -> int:
        """How many classes the target has; 0 for regression."""
        return 0

    @property
    @abstractmethod
    def self_concordance(self) -> float:
        """The constant c of theory §4.3."""

    @property
    @abstractmethod
    def fourth_order_concordance(self) -> float:
        """The constant c₄ with ``|ℓ⁗| ≤ c₄² · ℓ″``, of theory §4.7."""

    @property
    def derivative_bound(self) -> float:
        """b₁ ≥ sup |ℓ′|."""
        return math.inf

    @property
    def curvature_bound(self) -> float:
        """β ≥ sup ℓ″; for several outputs of the largest eigenvalue of ∇²ℓ."""
        return math.inf

    @property
    def curvature_trace_bound(self) -> float:
        """κ ≥ sup tr ∇²ℓ, what noise in every predictor of a row costs (theory §5.3); β for one output."""
        return self.curvature_bound

    @property
    def third_derivative_bound(self) -> float:
        """b₃ ≥ sup |ℓ‴|."""
        return math.inf

    @property
    def is_nearly_linear_far_out(self) -> bool:
        """Whether ℓ grows like a multiple of |t − y| where t is far from y, and its curvature dies out."""
        return self.has_minimum and math.isfinite(self.derivative_bound)

    @property
    def far_slope(self) -> float:
        """The least |ℓ′| far out, on either side, of a loss that is nearly linear there."""
        return self.derivative_bound

    @property
    def width(self) -> float:
        """How far from y a loss begins to be nearly linear, in the unit of ``y``."""
        return self.derivative_bound

    def widened(self, scale: float) -> "Loss":
        """A loss of this kind that is curved until t is about ``scale`` away from y, for the solver to pass through; itself
        where it is not nearly linear far out.

        Args:
            scale: in the unit of ``y``.
        """
        return self

    @property
    def moment_scale(self) -> float:
        """What multiplies the second moments that shape the noise, where ℓ″ is of another size than 1 (theory §5.6)."""
        return 1.0

    @abstractmethod
    def value(self, t: Array, y: Array) -> Array:
        """ℓ(t; y) per row, shape ``(n_rows,)``.

        Args:
            t: linear predictors, ``(n_rows,)``; for K outputs ``(n_rows, K)``.
            y: targets, ``(n_rows,)``; class codes 0..K−1 for classification.
        """

    @abstractmethod
    def derivative(self, t: Array, y: Array) -> Array:
        """∂ℓ/∂t, of the shape of ``t``.

        Args:
            t: linear predictors, ``(n_rows,)``; for K outputs ``(n_rows, K)``.
            y: targets, ``(n_rows,)``; class codes 0..K−1 for classification.
        """

    @abstractmethod
    def curvature(self, t: Array, y: Array) -> Array:
        """∂²ℓ/∂t², of the shape of ``t``; for K outputs ``(n_rows, K, K)``.

        Args:
            t: linear predictors, ``(n_rows,)``; for K outputs ``(n_rows, K)``.
            y: targets, ``(n_rows,)``; class codes 0..K−1 for classification.
        """

    def curvature_parts(self, t: Array, y: Array) -> tuple[Array, Array | None]:
        """d and u of the shape of ``t`` with curvature = diag(d) − uuᵀ; ``None`` for u = 0.

        Args:
            t: linear predictors, ``(n_rows,)``; for K outputs ``(n_rows, K)``.
            y: targets, ``(n_rows,)``; class codes 0..K−1 for classification.
        """
        return self.curvature(t, y), None

    def curvature_root(self, t: Array, y: Array) -> Array:
        """M with ``MᵀM = curvature``, of the shape of the curvature.

        Args:
            t: linear predictors, ``(n_rows,)``; for K outputs ``(n_rows, K)``.
            y: targets, ``(n_rows,)``; class codes 0..K−1 for classification.
        """
        return namespace(t).sqrt(self.curvature(t, y))

    def curvature_norm(self, t: Array, y: Array) -> Array:
        """Upper bound on the spectral norm of the curvature of each row, ``(n_rows,)``.

        Args:
            t: linear predictors, ``(n_rows,)``; for K outputs ``(n_rows, K)``.
            y: targets, ``(n_rows,)``; class codes 0..K−1 for classification.
        """
        return self.curvature(t, y)

    @abstractmethod
    def third_derivative(self, t: Array, y: Array) -> Array:
        """∂³ℓ/∂t³, of the shape of ``t``; for K outputs ``(n_rows, K, K, K)``.

        Args:
            t: linear predictors, ``(n_rows,)``; for K outputs ``(n_rows, K)``.
            y: targets, ``(n_rows,)``; class codes 0..K−1 for classification.
        """

    def third_parts(self, t: Array, y: Array) -> tuple[Array, Array]:
        """w, ``(n_rows, J)``, and v, ``(n_rows, J, K)``, with Σⱼ wⱼ vⱼ⊗vⱼ⊗vⱼ the third derivative of each row.

        Args:
            t: linear predictors, ``(n_rows,)``; for K outputs ``(n_rows, K)``.
            y: targets, ``(n_rows,)``; class codes 0..K−1 for classification.
        """
        third = self.third_derivative(t, y)[:, None]
        return third, namespace(t).ones_like(third)[:, :, None]

    def third_size(self, curvature: Array) -> Array:
        """No less than Σⱼ |wⱼ||vⱼ|³ of ``third_parts`` for each row, ``(n_rows,)``.

        Args:
            curvature: ``curvature_norm``.
        """
        return self.self_concordance * curvature

    def term_size(self, t: Array, slope: Array, curvature: Array) -> Array:
        """Size of the terms that ``derivative`` adds up, ``(n_rows,)``: its rounding error is a few ulps of that.

        By default that of the result: every operation then keeps the digits of what it is given (t − y does, too).

        Args:
            t: linear predictors, ``(n_rows,)``; for K outputs ``(n_rows, K)``.
            slope: Σ |∂ℓ/∂t| over the outputs, ``(n_rows,)``.
            curvature: ``curvature_norm``, ``(n_rows,)``.

        Source: theory §4.6.
        """
        return slope

    def curvature_condition(self, t: Array, y: Array) -> Array | float:
        """What a rounding within ``curvature`` does to it beyond a few ulps, relative to ``curvature_norm``.

        Args:
            t: linear predictors, ``(n_rows,)``; for K outputs ``(n_rows, K)``.
            y: targets, ``(n_rows,)``; class codes 0..K−1 for classification.

        Source: theory §4.6.
        """
        return 0.0

    def moment_weight(self, y: Array) -> Array:
        """What a row counts in the second moments that shape the noise, ``(n_rows,)``, at least 0: as near ℓ″ as a function of
        the target alone can be. A loss with classes has moments of each class instead.

        Args:
            y: targets on the host, ``(n_rows,)``.

        Source: theory §5.6.
        """
        return np.ones_like(y)

    def over_exposure(self, y: Array, exposure: Array) -> tuple[Array, Array]:
        """Targets and weights, ``(n_rows,)`` each, with which the loss is that of ``y`` where ln ``exposure`` is added to the
        linear predictor, up to a constant in y.

        Args:
            y: targets on the host, ``(n_rows,)``.
            exposure: how much of a unit each was collected over, positive, ``(n_rows,)``.

        Raises:
            ValueError: there are none for this loss.

        Source: theory §6.
        """
        raise ValueError(
            f"the {self.name} loss takes no exposure: only for Poisson, Gamma and Tweedie is an offset the same as other "
            "targets and weights; give its logarithm as an offset"
        )

    def invalid_targets(self, y: Array) -> tuple[NDArray[np.bool_], str]:
        """Mask of the targets this loss is not defined for, and what they would have to be.

        Args:
            y: targets, ``(n_rows,)``.
        """
        return y != y, "finite"


def powers(values: Array, exponent: float) -> Array:
    """values^exponent on the host; by ``math.pow``, as NumPy's last bit depends on where a value lies."""
    distinct, places = np.unique(values, return_inverse=True)
    return np.array([math.pow(value, exponent) for value in distinct])[places]


def up(constant: float) -> float:
    """A constant that was rounded twice or thrice, as an upper bound."""
    return constant * (1.0 + 1e-15)


def exp(t: Array) -> Array:
    """eᵗ, overflowing to ``inf`` without a warning."""
    with np.errstate(over="ignore"):
        return namespace(t).exp(t)


def expit(t: Array) -> Array:
    """1/(1 + e⁻ᵗ): 0 where e⁻ᵗ overflows."""
    return 1.0 / (1.0 + exp(-t))


def expit_slope(t: Array) -> Array:
    """The derivative of ``expit``."""
    e = exp(-abs(t))
    return e / (1.0 + e) ** 2


def expit_bend(t: Array) -> Array:
    """Its second derivative."""
    e = exp(-abs(t))
    bend = e * (1.0 - e) / (1.0 + e) ** 3
    return namespace(t).where(t > 0, -bend, bend)


def softplus(t: Array) -> Array:
    """ln(1 + eᵗ), without overflow."""
    xp = namespace(t)
    return xp.maximum(t, xp.zeros_like(t)) + xp.log1p(exp(-abs(t)))


class ScaledLogistic(Loss):
    """A loss whose curvature is that of the logistic loss in t/s, up to a shift and the sign of t, over s. Theory §6."""

    scale: float
    """s: over how much a corner is rounded off."""

    @property
    def self_concordance(self) -> float:
        return up(1.0 / self.scale)

    @property
    def fourth_order_concordance(self) -> float:
        return self.self_concordance

    @property
    def curvature_bound(self) -> float:
        return 0.25 * self.self_concordance

    @property
    def third_derivative_bound(self) -> float:
        return up(self.self_concordance**2 / (6.0 * math.sqrt(3.0)))

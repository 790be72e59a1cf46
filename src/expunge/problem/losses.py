"""Losses ℓ(t; y) of a linear predictor t: value, derivatives and the constants of theory §6.

Scalar losses take ``t`` and ``y`` of one shape and act elementwise. ``Softmax`` takes ``t`` of shape
``(n_rows, K)`` and class codes ``y`` of shape ``(n_rows,)``. Constants that do not exist are ``inf``. Arrays may be of any
array-API namespace; results are of the same.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from expunge.problem.arrays import beside, namespace
from expunge.problem.parameters import real, whole

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
        """Whether ℓ grows like b₁|t − y| where t is far from y, and its curvature dies out."""
        return self.has_minimum and math.isfinite(self.derivative_bound)

    @abstractmethod
    def value(self, t: Array, y: Array) -> Array:
        """ℓ(t; y) per row, shape ``(n_rows,)``."""

    @abstractmethod
    def derivative(self, t: Array, y: Array) -> Array:
        """∂ℓ/∂t, of the shape of ``t``."""

    @abstractmethod
    def curvature(self, t: Array, y: Array) -> Array:
        """∂²ℓ/∂t², of the shape of ``t``; for K outputs ``(n_rows, K, K)``."""

    def curvature_parts(self, t: Array, y: Array) -> tuple[Array, Array | None]:
        """d and u of the shape of ``t`` with curvature = diag(d) − uuᵀ; ``None`` for u = 0."""
        return self.curvature(t, y), None

    def curvature_root(self, t: Array, y: Array) -> Array:
        """M with ``MᵀM = curvature``, of the shape of the curvature."""
        return namespace(t).sqrt(self.curvature(t, y))

    def curvature_norm(self, t: Array, y: Array) -> Array:
        """Upper bound on the spectral norm of the curvature of each row, ``(n_rows,)``."""
        return self.curvature(t, y)

    def term_size(self, t: Array, slope: Array, curvature: Array) -> Array:
        """Size of the terms that ``derivative`` adds up, ``(n_rows,)``: its rounding error is a few ulps of that.

        By default that of the result: every operation then keeps the digits of what it is given (t − y does, too).

        Args:
            slope: Σ |∂ℓ/∂t| over the outputs; ``curvature``: ``curvature_norm``.

        Source: theory §4.6.
        """
        return slope

    def curvature_condition(self, t: Array, y: Array) -> Array | float:
        """What a rounding within ``curvature`` does to it beyond a few ulps, relative to ``curvature_norm``.

        Source: theory §4.6.
        """
        return 0.0

    def invalid_targets(self, y: Array) -> tuple[NDArray[np.bool_], str]:
        """Mask of the targets this loss is not defined for, and what they would have to be."""
        return y != y, "finite"


@dataclass(frozen=True)
class Logistic(Loss):
    """ln(1 + eᵗ) − yt for y ∈ {0, 1}.

    >>> float(Logistic().derivative(np.zeros(1), np.ones(1))[0])
    -0.5

    Source: theory §6.
    """

    name: ClassVar[str] = "logistic"
    has_minimum = False
    classes = 2
    self_concordance = 1.0
    derivative_bound = 1.0
    curvature_bound = 0.25
    third_derivative_bound = 1.0 / (6.0 * math.sqrt(3.0))

    def value(self, t: Array, y: Array) -> Array:
        xp = namespace(t)
        return xp.logaddexp(xp.zeros_like(t), xp.where(y > 0, -t, t))

    def derivative(self, t: Array, y: Array) -> Array:
        sign = 1.0 - 2.0 * y  # −1 for y = 1: exact
        return sign * _expit(sign * t)

    def curvature(self, t: Array, y: Array) -> Array:
        e = _exp(-abs(t))
        return e / (1.0 + e) ** 2

    def invalid_targets(self, y: Array) -> tuple[NDArray[np.bool_], str]:
        return (y != 0) & (y != 1), "class code 0 or 1"


@dataclass(frozen=True)
class Softmax(Loss):
    """logsumexp(t) − t_y for class codes y ∈ {0..K−1}.

    The third derivative along d is at most range(d) ≤ √2|d|₂ times the second, so that √2 plays the part of c.
    Source: theory §6.
    """

    n_classes: int = 3
    name: ClassVar[str] = "softmax"
    has_minimum = False
    self_concordance = math.sqrt(2.0)
    derivative_bound = math.sqrt(2.0)
    curvature_bound = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_classes", whole("n_classes", self.n_classes))

    @property
    def curvature_trace_bound(self) -> float:
        return 1.0 - 1.0 / self.n_classes  # Σ p(1 − p), largest where all classes are equally likely

    @property
    def outputs(self) -> int:
        return self.n_classes

    @property
    def classes(self) -> int:
        return self.n_classes

    def value(self, t: Array, y: Array) -> Array:
        xp = namespace(t)
        top = xp.max(t, axis=1)
        own = xp.sum(xp.where(self._is_own(t, y), t, 0.0), axis=1)
        return xp.log(xp.sum(xp.exp(t - top[:, None]), axis=1)) + (top - own)

    def derivative(self, t: Array, y: Array) -> Array:
        xp, is_own = namespace(t), self._is_own(t, y)
        others = xp.where(is_own, 0.0, self._probabilities(t))
        return xp.where(is_own, -xp.sum(others, axis=1)[:, None], others)

    def curvature(self, t: Array, y: Array) -> Array:
        root = self.curvature_root(t, y)
        return namespace(t).matrix_transpose(root) @ root

    def curvature_parts(self, t: Array, y: Array) -> tuple[Array, Array | None]:
        p = self._probabilities(t)
        return p, p

    def curvature_root(self, t: Array, y: Array) -> Array:
        p = self._probabilities(t)
        return namespace(t).sqrt(p)[:, :, None] * (beside(np.eye(self.n_classes), t) - p[:, None, :])

    def curvature_norm(self, t: Array, y: Array) -> Array:
        return y * 0.0 + self.curvature_bound

    def term_size(self, t: Array, slope: Array, curvature: Array) -> Array:
        return slope * 0.0 + (1.0 + self.n_classes / 4.0)

    def curvature_condition(self, t: Array, y: Array) -> Array | float:
        return 16.0 * (self.n_classes + 4.0)

    def _probabilities(self, t: Array) -> Array:
        xp = namespace(t)
        e = xp.exp(t - xp.max(t, axis=1)[:, None])
        return e / xp.sum(e, axis=1)[:, None]

    def _is_own(self, t: Array, y: Array) -> Array:
        """Which output is the row's own class, ``(n_rows, K)``."""
        return beside(np.arange(self.n_classes), t)[None, :] == y[:, None]

    def invalid_targets(self, y: Array) -> tuple[NDArray[np.bool_], str]:
        return (y != namespace(y).floor(y)) | (y < 0) | (y >= self.n_classes), f"class code 0..{self.n_classes - 1}"


@dataclass(frozen=True)
class Squared(Loss):
    """½(t − y)²: every step is exact.

    Source: theory §6.
    """

    name: ClassVar[str] = "squared"
    self_concordance = 0.0
    curvature_bound = 1.0
    third_derivative_bound = 0.0

    def value(self, t: Array, y: Array) -> Array:
        return 0.5 * (t - y) ** 2

    def derivative(self, t: Array, y: Array) -> Array:
        return t - y

    def curvature(self, t: Array, y: Array) -> Array:
        return namespace(t).ones_like(t)


@dataclass(frozen=True)
class PseudoHuber(Loss):
    """s²(√(1 + ((t−y)/s)²) − 1): squared near 0, linear with slope s far out.

    Source: theory §6.
    """

    scale: float = 1.0
    name: ClassVar[str] = "pseudo_huber"
    curvature_bound = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", real("scale", self.scale))
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale must be a finite positive number, got {self.scale}")

    @property
    def self_concordance(self) -> float:
        return 1.5 / self.scale

    @property
    def derivative_bound(self) -> float:
        return self.scale

    @property
    def third_derivative_bound(self) -> float:
        return float(1.5 / 1.25**2.5 / self.scale)

    def value(self, t: Array, y: Array) -> Array:
        r = (t - y) / self.scale
        return self.scale**2 * r * (r / (1.0 + _hypot1(r)))

    def derivative(self, t: Array, y: Array) -> Array:
        r = (t - y) / self.scale
        return self.scale * r / _hypot1(r)

    def curvature(self, t: Array, y: Array) -> Array:
        return _hypot1((t - y) / self.scale) ** -3.0


@dataclass(frozen=True)
class LogCosh(Loss):
    """ln cosh(t − y).

    Source: theory §6.
    """

    name: ClassVar[str] = "log_cosh"
    self_concordance = 2.0
    derivative_bound = 1.0
    curvature_bound = 1.0
    third_derivative_bound = 4.0 / (3.0 * math.sqrt(3.0))

    def value(self, t: Array, y: Array) -> Array:
        xp, r = namespace(t), abs(t - y)
        near = xp.where(r < 1.0, r, 1.0)  # ln cosh r = log1p(2 sinh²(r/2)) keeps its digits near 0
        return xp.where(r < 1.0, xp.log1p(2.0 * xp.sinh(near / 2.0) ** 2), r + xp.log1p(xp.exp(-2.0 * r)) - math.log(2.0))

    def derivative(self, t: Array, y: Array) -> Array:
        return namespace(t).tanh(t - y)

    def curvature(self, t: Array, y: Array) -> Array:
        e = _exp(-2.0 * abs(t - y))
        return 4.0 * e / (1.0 + e) ** 2

    def curvature_condition(self, t: Array, y: Array) -> Array | float:
        return 2.0 * abs(t - y)  # the rounded difference is doubled in the exponent


@dataclass(frozen=True)
class Poisson(Loss):
    """eᵗ − yt for y ≥ 0: half the Poisson deviance with a log link, up to a constant in y.

    Overflows to ``inf`` beyond t ≈ 709, which every caller treats as "no certificate".
    Source: theory §6.
    """

    name: ClassVar[str] = "poisson"
    has_minimum = False
    self_concordance = 1.0

    def value(self, t: Array, y: Array) -> Array:
        return _exp(t) - y * t

    def derivative(self, t: Array, y: Array) -> Array:
        return _exp(t) - y

    def curvature(self, t: Array, y: Array) -> Array:
        return _exp(t)

    def term_size(self, t: Array, slope: Array, curvature: Array) -> Array:
        return slope + curvature

    def invalid_targets(self, y: Array) -> tuple[NDArray[np.bool_], str]:
        return y < 0, "0 or more"


@dataclass(frozen=True)
class Gamma(Loss):
    """y e⁻ᵗ + t for y > 0: half the Gamma deviance with a log link, up to a constant in y.

    Source: theory §6.
    """

    name: ClassVar[str] = "gamma"
    self_concordance = 1.0

    def value(self, t: Array, y: Array) -> Array:
        return y * _exp(-t) + t

    def derivative(self, t: Array, y: Array) -> Array:
        return 1.0 - y * _exp(-t)

    def curvature(self, t: Array, y: Array) -> Array:
        return y * _exp(-t)

    def term_size(self, t: Array, slope: Array, curvature: Array) -> Array:
        return 1.0 + curvature

    def invalid_targets(self, y: Array) -> tuple[NDArray[np.bool_], str]:
        return y <= 0, "more than 0"


@dataclass(frozen=True)
class Tweedie(Loss):
    """``y e^{(1−k)t}/(k−1) + e^{(2−k)t}/(2−k)`` for 1 < k < 2 and y ≥ 0: half the Tweedie deviance with a log link.

    Source: theory §6.
    """

    power: float = 1.5
    name: ClassVar[str] = "tweedie"
    has_minimum = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "power", real("power", self.power))
        if not 1.0 < self.power < 2.0:
            raise ValueError(f"power must lie strictly between 1 and 2, got {self.power}; use Poisson or Gamma at the ends")

    @property
    def self_concordance(self) -> float:
        return max(self.power - 1.0, 2.0 - self.power)

    def _terms(self, t: Array, y: Array) -> tuple[Array, Array]:
        """y e^{(1−k)t} and e^{(2−k)t}; a zero target contributes 0 even where the exponential overflows."""
        claim = y * _exp(namespace(t).where(y > 0, (1.0 - self.power) * t, 0.0))
        return claim, _exp((2.0 - self.power) * t)

    def value(self, t: Array, y: Array) -> Array:
        claim, mean = self._terms(t, y)
        return claim / (self.power - 1.0) + mean / (2.0 - self.power)

    def derivative(self, t: Array, y: Array) -> Array:
        claim, mean = self._terms(t, y)
        return mean - claim

    def curvature(self, t: Array, y: Array) -> Array:
        claim, mean = self._terms(t, y)
        return (self.power - 1.0) * claim + (2.0 - self.power) * mean

    def term_size(self, t: Array, slope: Array, curvature: Array) -> Array:
        return (slope + 2.0 * curvature) * (1.0 + abs(t))  # the terms, whose exponents are rounded products

    def curvature_condition(self, t: Array, y: Array) -> Array | float:
        return abs(t)

    def invalid_targets(self, y: Array) -> tuple[NDArray[np.bool_], str]:
        return y < 0, "0 or more"


def _exp(t: Array) -> Array:
    """eᵗ, overflowing to ``inf`` without a warning."""
    with np.errstate(over="ignore"):
        return namespace(t).exp(t)


def _expit(t: Array) -> Array:
    """1/(1 + e⁻ᵗ), without overflow."""
    e = _exp(-abs(t))
    return namespace(t).where(t < 0, e, 1.0) / (1.0 + e)


def _hypot1(r: Array) -> Array:
    """√(1 + r²), without overflow."""
    xp = namespace(r)
    return xp.hypot(xp.ones_like(r), r)


LOSSES: dict[str, type[Loss]] = {
    loss.name: loss for loss in (Logistic, Softmax, Squared, PseudoHuber, LogCosh, Poisson, Gamma, Tweedie)
}
"""Every loss by its name. A new loss joins here and is then in every property test."""

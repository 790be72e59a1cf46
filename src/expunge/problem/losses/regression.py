"""Losses of t − y: squared, pseudo-Huber, log-cosh and a smoothed quantile loss. Theory §6."""

import math
from dataclasses import dataclass
from typing import ClassVar

from expunge.problem.arrays import namespace
from expunge.problem.losses.base import Array, Loss, ScaledLogistic, exp, expit, expit_bend, expit_slope, softplus
from expunge.problem.parameters import between, real


@dataclass(frozen=True)
class Squared(Loss):
    """½(t − y)²: every step is exact.

    Examples:
        >>> import numpy as np
        >>> float(Squared().derivative(np.array([1.0]), np.array([3.0]))[0])
        -2.0

    Source: theory §6.
    """

    name: ClassVar[str] = "squared"
    self_concordance = 0.0
    fourth_order_concordance = 0.0
    curvature_bound = 1.0
    third_derivative_bound = 0.0

    def value(self, t: Array, y: Array) -> Array:
        return 0.5 * (t - y) ** 2

    def derivative(self, t: Array, y: Array) -> Array:
        return t - y

    def curvature(self, t: Array, y: Array) -> Array:
        return namespace(t).ones_like(t)

    def third_derivative(self, t: Array, y: Array) -> Array:
        return namespace(t).zeros_like(t)


@dataclass(frozen=True)
class PseudoHuber(Loss):
    """s²(√(1 + ((t−y)/s)²) − 1): squared near 0, linear with slope s far out.

    Args:
        scale: s, in the unit of ``y``; positive; 1 by default.

    Raises:
        ValueError: ``scale`` is not a finite positive number.

    Examples:
        >>> import numpy as np
        >>> float(PseudoHuber(scale=4.0).derivative(np.array([3.0]), np.array([0.0]))[0])  # 3/√(1 + (3/4)²)
        2.4

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
    def fourth_order_concordance(self) -> float:
        return math.sqrt(3.0) * (1.0 + 1e-15) / self.scale

    @property
    def derivative_bound(self) -> float:
        return self.scale

    @property
    def third_derivative_bound(self) -> float:
        return float(1.5 / 1.25**2.5 / self.scale)

    def widened(self, scale: float) -> Loss:
        return PseudoHuber(scale)

    def value(self, t: Array, y: Array) -> Array:
        r = (t - y) / self.scale
        return self.scale**2 * r * (r / (1.0 + _hypot1(r)))

    def derivative(self, t: Array, y: Array) -> Array:
        r = (t - y) / self.scale
        return self.scale * r / _hypot1(r)

    def curvature(self, t: Array, y: Array) -> Array:
        return _hypot1((t - y) / self.scale) ** -3.0

    def third_derivative(self, t: Array, y: Array) -> Array:
        r = (t - y) / self.scale
        length = _hypot1(r)
        return (-3.0 / self.scale) * (r / length) * length**-4.0


@dataclass(frozen=True)
class LogCosh(Loss):
    """ln cosh(t − y).

    Examples:
        >>> import numpy as np
        >>> float(LogCosh().curvature(np.array([3.0]), np.array([3.0]))[0])
        1.0

    Source: theory §6.
    """

    name: ClassVar[str] = "log_cosh"
    self_concordance = 2.0
    fourth_order_concordance = 2.0
    derivative_bound = 1.0
    curvature_bound = 1.0
    third_derivative_bound = 4.0 / (3.0 * math.sqrt(3.0))

    def widened(self, scale: float) -> Loss:
        return PseudoHuber(scale)

    def value(self, t: Array, y: Array) -> Array:
        xp, r = namespace(t), abs(t - y)
        near = xp.where(r < 1.0, r, 1.0)  # ln cosh r = log1p(2 sinh²(r/2)) keeps its digits near 0
        return xp.where(r < 1.0, xp.log1p(2.0 * xp.sinh(near / 2.0) ** 2), r + xp.log1p(xp.exp(-2.0 * r)) - math.log(2.0))

    def derivative(self, t: Array, y: Array) -> Array:
        return namespace(t).tanh(t - y)

    def curvature(self, t: Array, y: Array) -> Array:
        e = exp(-2.0 * abs(t - y))
        return 4.0 * e / (1.0 + e) ** 2

    def third_derivative(self, t: Array, y: Array) -> Array:
        return -2.0 * namespace(t).tanh(t - y) * self.curvature(t, y)

    def curvature_condition(self, t: Array, y: Array) -> Array | float:
        return 2.0 * abs(t - y)  # the rounded difference is doubled in the exponent


@dataclass(frozen=True)
class SmoothedQuantile(ScaledLogistic):
    """s·ln(1 + exp(r/s)) − q·r for r = t − y, less its least value: the quantile loss, its corner smoothed by a logistic.

    Args:
        level: q, the share of targets that stay below the prediction; between 0.0001 and 0.9999; ½, the median, by default.
        scale: s, over how much of y the corner is rounded off, in the unit of ``y``; between 1e-30 and 1e30; 1 by default.

    Raises:
        ValueError: a parameter is out of its range.

    Examples:
        >>> import numpy as np
        >>> float(SmoothedQuantile(0.75, 2.0).derivative(np.array([3.0]), np.array([3.0]))[0])  # ½ − q
        -0.25

    Source: theory §6; Fernandes, Guerre, Horta 2021.
    """

    level: float = 0.5
    scale: float = 1.0
    name: ClassVar[str] = "smoothed_quantile"

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", between("level", self.level, 1e-4, 1.0 - 1e-4))
        object.__setattr__(self, "scale", between("scale", self.scale, 1e-30, 1e30))

    @property
    def derivative_bound(self) -> float:
        return max(self.level, 1.0 - self.level)

    @property
    def far_slope(self) -> float:
        return min(self.level, 1.0 - self.level)

    @property
    def width(self) -> float:
        return self.scale

    @property
    def moment_scale(self) -> float:
        return 0.25 / self.scale

    def widened(self, scale: float) -> Loss:
        return SmoothedQuantile(self.level, min(scale, 1e30))

    def value(self, t: Array, y: Array) -> Array:
        r, q = (t - y) / self.scale, self.level
        least = -(q * math.log(q) + (1.0 - q) * math.log1p(-q))
        return self.scale * (q * softplus(-r) + (1.0 - q) * softplus(r) - least)

    def derivative(self, t: Array, y: Array) -> Array:
        return expit((t - y) / self.scale) - self.level

    def curvature(self, t: Array, y: Array) -> Array:
        return expit_slope((t - y) / self.scale) / self.scale

    def third_derivative(self, t: Array, y: Array) -> Array:
        return expit_bend((t - y) / self.scale) / self.scale**2

    def term_size(self, t: Array, slope: Array, curvature: Array) -> Array:
        return slope + 2.0 * self.level  # p and q, whose difference may be far smaller

    def curvature_condition(self, t: Array, y: Array) -> Array | float:
        return 2.0 * abs(t - y) / self.scale  # the exponent is a rounded difference and a rounded quotient


def _hypot1(r: Array) -> Array:
    """√(1 + r²), without overflow."""
    xp = namespace(r)
    return xp.hypot(xp.ones_like(r), r)

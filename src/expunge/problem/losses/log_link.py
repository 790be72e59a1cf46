"""Losses with a log link: Poisson, negative binomial, Gamma and Tweedie. Theory §6."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from expunge.problem.arrays import namespace
from expunge.problem.losses.base import Array, Loss, exp, expit, expit_bend, expit_slope, powers, softplus
from expunge.problem.parameters import between, real


@dataclass(frozen=True)
class Poisson(Loss):
    """eᵗ − yt for y ≥ 0: half the Poisson deviance with a log link, up to a constant in y.

    Overflows to ``inf`` beyond t ≈ 709, which every caller treats as "no certificate".

    Examples:
        >>> float(Poisson().derivative(np.zeros(1), np.array([3.0]))[0])
        -2.0

    Source: theory §6.
    """

    name: ClassVar[str] = "poisson"
    has_minimum = False
    self_concordance = 1.0
    fourth_order_concordance = 1.0

    def value(self, t: Array, y: Array) -> Array:
        return exp(t) - y * t

    def derivative(self, t: Array, y: Array) -> Array:
        return exp(t) - y

    def curvature(self, t: Array, y: Array) -> Array:
        return exp(t)

    def third_derivative(self, t: Array, y: Array) -> Array:
        return exp(t)

    def term_size(self, t: Array, slope: Array, curvature: Array) -> Array:
        return slope + curvature

    def moment_weight(self, y: Array) -> Array:
        return y

    def over_exposure(self, y: Array, exposure: Array) -> tuple[Array, Array]:
        return y / exposure, exposure

    def invalid_targets(self, y: Array) -> tuple[NDArray[np.bool_], str]:
        return y < 0, "0 or more"


@dataclass(frozen=True)
class NegativeBinomial(Loss):
    """``(y + 1/a)·ln(1 + aeᵗ) − yt`` for y ≥ 0: half the deviance of counts of mean μ = eᵗ and variance μ + aμ², up to a
    constant in y.

    Args:
        dispersion: a, known beforehand; between 1e-4 and 1e4; 1 by default. Near 0 use Poisson.

    Raises:
        ValueError: ``dispersion`` is out of this range.

    Examples:
        >>> float(NegativeBinomial(0.5).derivative(np.zeros(1), np.array([4.0]))[0])  # (μ − y)/(1 + aμ)
        -2.0

    Source: theory §6.
    """

    dispersion: float = 1.0
    name: ClassVar[str] = "negative_binomial"
    has_minimum = False
    self_concordance = 1.0
    fourth_order_concordance = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "dispersion", between("dispersion", self.dispersion, 1e-4, 1e4))

    def _odds(self, t: Array) -> Array:
        """ln(aμ), the log-odds of p = aμ/(1 + aμ)."""
        return t + math.log(self.dispersion)

    def value(self, t: Array, y: Array) -> Array:
        s = self._odds(t)
        return softplus(s) / self.dispersion + y * softplus(-s)

    def derivative(self, t: Array, y: Array) -> Array:
        s = self._odds(t)
        return expit(s) / self.dispersion - y * expit(-s)

    def curvature(self, t: Array, y: Array) -> Array:
        return (y + 1.0 / self.dispersion) * expit_slope(self._odds(t))

    def third_derivative(self, t: Array, y: Array) -> Array:
        return (y + 1.0 / self.dispersion) * expit_bend(self._odds(t))

    def term_size(self, t: Array, slope: Array, curvature: Array) -> Array:
        return (slope + 4.0 * curvature) * (1.0 + self.curvature_condition(t, slope))

    def curvature_condition(self, t: Array, y: Array) -> Array | float:
        return abs(t) + 2.0 * abs(math.log(self.dispersion))  # the exponent is a rounded sum with a rounded logarithm

    def moment_weight(self, y: Array) -> Array:
        return y / (1.0 + self.dispersion * y)

    def invalid_targets(self, y: Array) -> tuple[NDArray[np.bool_], str]:
        return y < 0, "0 or more"


@dataclass(frozen=True)
class Gamma(Loss):
    """y e⁻ᵗ + t for y > 0: half the Gamma deviance with a log link, up to a constant in y.

    Examples:
        >>> float(Gamma().derivative(np.zeros(1), np.array([3.0]))[0])
        -2.0

    Source: theory §6.
    """

    name: ClassVar[str] = "gamma"
    self_concordance = 1.0
    fourth_order_concordance = 1.0

    def value(self, t: Array, y: Array) -> Array:
        return y * exp(-t) + t

    def derivative(self, t: Array, y: Array) -> Array:
        return 1.0 - y * exp(-t)

    def curvature(self, t: Array, y: Array) -> Array:
        return y * exp(-t)

    def third_derivative(self, t: Array, y: Array) -> Array:
        return -y * exp(-t)

    def term_size(self, t: Array, slope: Array, curvature: Array) -> Array:
        return 1.0 + curvature

    def over_exposure(self, y: Array, exposure: Array) -> tuple[Array, Array]:
        return y / exposure, np.ones_like(exposure)

    def invalid_targets(self, y: Array) -> tuple[NDArray[np.bool_], str]:
        return y <= 0, "more than 0"


@dataclass(frozen=True)
class Tweedie(Loss):
    """``y e^{(1−k)t}/(k−1) + e^{(2−k)t}/(2−k)`` for 1 < k < 2 and y ≥ 0: half the Tweedie deviance with a log link.

    Args:
        power: k, strictly between 1 and 2; 1.5 by default.

    Raises:
        ValueError: ``power`` is not between 1 and 2.

    Examples:
        >>> float(Tweedie(power=1.5).derivative(np.zeros(1), np.array([3.0]))[0])
        -2.0

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

    @property
    def fourth_order_concordance(self) -> float:
        return self.self_concordance

    def _terms(self, t: Array, y: Array) -> tuple[Array, Array]:
        """y e^{(1−k)t} and e^{(2−k)t}; a zero target contributes 0 even where the exponential overflows."""
        claim = y * exp(namespace(t).where(y > 0, (1.0 - self.power) * t, 0.0))
        return claim, exp((2.0 - self.power) * t)

    def value(self, t: Array, y: Array) -> Array:
        claim, mean = self._terms(t, y)
        return claim / (self.power - 1.0) + mean / (2.0 - self.power)

    def derivative(self, t: Array, y: Array) -> Array:
        claim, mean = self._terms(t, y)
        return mean - claim

    def curvature(self, t: Array, y: Array) -> Array:
        claim, mean = self._terms(t, y)
        return (self.power - 1.0) * claim + (2.0 - self.power) * mean

    def third_derivative(self, t: Array, y: Array) -> Array:
        claim, mean = self._terms(t, y)
        return (2.0 - self.power) ** 2 * mean - (self.power - 1.0) ** 2 * claim

    def term_size(self, t: Array, slope: Array, curvature: Array) -> Array:
        return (slope + 2.0 * curvature) * (1.0 + abs(t))  # the terms, whose exponents are rounded products

    def curvature_condition(self, t: Array, y: Array) -> Array | float:
        return abs(t)

    def moment_weight(self, y: Array) -> Array:
        return powers(y, 2.0 - self.power)

    def over_exposure(self, y: Array, exposure: Array) -> tuple[Array, Array]:
        return y / exposure, powers(exposure, 2.0 - self.power)

    def invalid_targets(self, y: Array) -> tuple[NDArray[np.bool_], str]:
        return y < 0, "0 or more"

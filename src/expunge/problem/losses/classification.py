"""Losses of classifiers: logistic, softmax and a smoothed hinge. Theory §6."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from expunge.problem.arrays import beside, namespace
from expunge.problem.losses.base import Array, Loss, ScaledLogistic, expit, expit_bend, expit_slope, softplus
from expunge.problem.parameters import between, whole


@dataclass(frozen=True)
class Logistic(Loss):
    """ln(1 + eᵗ) − yt for y ∈ {0, 1}.

    Examples:
        >>> float(Logistic().derivative(np.zeros(1), np.ones(1))[0])
        -0.5

    Source: theory §6.
    """

    name: ClassVar[str] = "logistic"
    has_minimum = False
    classes = 2
    self_concordance = 1.0
    fourth_order_concordance = 1.0
    derivative_bound = 1.0
    curvature_bound = 0.25
    third_derivative_bound = 1.0 / (6.0 * math.sqrt(3.0))

    def value(self, t: Array, y: Array) -> Array:
        return softplus((1.0 - 2.0 * y) * t)  # −t for y = 1: exact

    def derivative(self, t: Array, y: Array) -> Array:
        sign = 1.0 - 2.0 * y
        return sign * expit(sign * t)

    def curvature(self, t: Array, y: Array) -> Array:
        return expit_slope(t)

    def third_derivative(self, t: Array, y: Array) -> Array:
        return expit_bend(t)

    def invalid_targets(self, y: Array) -> tuple[NDArray[np.bool_], str]:
        return (y != 0) & (y != 1), "class code 0 or 1"


@dataclass(frozen=True)
class Softmax(Loss):
    """logsumexp(t) − t_y for class codes y ∈ {0..K−1}.

    The third derivative along d is at most range(d) ≤ √2|d|₂ times the second, so that √2 plays the part of c.

    Args:
        n_classes: K, how many classes there are; at least 2; 3 by default.

    Examples:
        >>> [round(float(share), 3) for share in Softmax(2).derivative(np.zeros((1, 2)), np.ones(1))[0]]
        [0.5, -0.5]

    Source: theory §6.
    """

    n_classes: int = 3
    name: ClassVar[str] = "softmax"
    has_minimum = False
    self_concordance = math.sqrt(2.0)
    fourth_order_concordance = math.sqrt(2.0)
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

    def third_derivative(self, t: Array, y: Array) -> Array:
        p, v = self.third_parts(t, y)
        return (p[:, :, None, None, None] * v[:, :, :, None, None] * v[:, :, None, :, None] * v[:, :, None, None, :]).sum(1)

    def third_parts(self, t: Array, y: Array) -> tuple[Array, Array]:
        p = self._probabilities(t)  # the third cumulant of the class's indicator e_j, drawn with probability p_j
        return p, beside(np.eye(self.n_classes), t)[None, :, :] - p[:, None, :]

    def third_size(self, curvature: Array) -> Array:
        return curvature * 0.0 + 2.0 * math.sqrt(2.0)  # |e_j − p| ≤ √2

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
class SmoothedHinge(ScaledLogistic):
    """s·ln(1 + exp((1−m)/s)) with the margin m = t for y = 1 and −t for y = 0: the hinge max(0, 1 − m), its corner smoothed.

    Args:
        scale: s, over how much of the margin the corner is rounded off; between 0.001 and 1,000; 0.5 by default.

    Raises:
        ValueError: ``scale`` is out of this range.

    Examples:
        >>> float(SmoothedHinge(0.5).derivative(np.ones(1), np.ones(1))[0])  # at the corner, halfway between −1 and 0
        -0.5

    Source: theory §6.
    """

    scale: float = 0.5
    name: ClassVar[str] = "smoothed_hinge"
    has_minimum = False
    classes = 2
    derivative_bound = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", between("scale", self.scale, 1e-3, 1e3))

    @property
    def moment_scale(self) -> float:
        return 1.0 / self.scale  # ℓ″ is so many times p(1 − p), which the moments of two classes stand for

    def _short(self, t: Array, y: Array) -> Array:
        """(1 − m)/s: how far the margin falls short of 1."""
        return (1.0 - (2.0 * y - 1.0) * t) / self.scale

    def value(self, t: Array, y: Array) -> Array:
        return self.scale * softplus(self._short(t, y))

    def derivative(self, t: Array, y: Array) -> Array:
        return (1.0 - 2.0 * y) * expit(self._short(t, y))

    def curvature(self, t: Array, y: Array) -> Array:
        return expit_slope(self._short(t, y)) / self.scale

    def third_derivative(self, t: Array, y: Array) -> Array:
        return (1.0 - 2.0 * y) * expit_bend(self._short(t, y)) / self.scale**2

    def term_size(self, t: Array, slope: Array, curvature: Array) -> Array:
        return slope * (1.0 + (1.0 + abs(t)) / self.scale)  # the exponent is a rounded difference and a rounded quotient

    def curvature_condition(self, t: Array, y: Array) -> Array | float:
        return 2.0 * (1.0 + abs(t)) / self.scale

    def invalid_targets(self, y: Array) -> tuple[NDArray[np.bool_], str]:
        return (y != 0) & (y != 1), "class code 0 or 1"

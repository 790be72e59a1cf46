"""Losses of classifiers: logistic and softmax. Theory §6."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from expunge.problem.arrays import beside, namespace
from expunge.problem.losses.base import Array, Loss, exp
from expunge.problem.parameters import whole


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
        xp, wrong = namespace(t), (1.0 - 2.0 * y) * t  # −t for y = 1: exact
        return xp.maximum(wrong, xp.zeros_like(t)) + xp.log1p(exp(-abs(wrong)))

    def derivative(self, t: Array, y: Array) -> Array:
        sign = 1.0 - 2.0 * y
        return sign * _expit(sign * t)

    def curvature(self, t: Array, y: Array) -> Array:
        e = exp(-abs(t))
        return e / (1.0 + e) ** 2

    def third_derivative(self, t: Array, y: Array) -> Array:
        e = exp(-abs(t))
        slope = e * (1.0 - e) / (1.0 + e) ** 3
        return namespace(t).where(t > 0, -slope, slope)

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


def _expit(t: Array) -> Array:
    """1/(1 + e⁻ᵗ): 0 where e⁻ᵗ overflows."""
    return 1.0 / (1.0 + exp(-t))

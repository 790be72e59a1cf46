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
        """Whether ℓ grows like b₁|t − y| where t is far from y, and its curvature dies out."""
        return self.has_minimum and math.isfinite(self.derivative_bound)

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

    def invalid_targets(self, y: Array) -> tuple[NDArray[np.bool_], str]:
        """Mask of the targets this loss is not defined for, and what they would have to be.

        Args:
            y: targets, ``(n_rows,)``.
        """
        return y != y, "finite"


def exp(t: Array) -> Array:
    """eᵗ, overflowing to ``inf`` without a warning."""
    with np.errstate(over="ignore"):
        return namespace(t).exp(t)

"""One batch of rows at one weight vector: sums over its rows, and bounds on what rounding cost them.

The standard model of floating point (Higham, *Accuracy and Stability of Numerical Algorithms*, §3) gives a sum or dot
product of k terms the relative error γ_k = ku/(1−ku) of the sum of magnitudes, u = 2⁻⁵³, in whatever order it is
taken. The linear predictor of a row is thus off by at most γ|x||w|, its derivative by the curvature times that plus a
few ulps of the terms it is made of, and every sum over m rows by a further γ_m. Theory §4.6.
"""

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.objective import Objective
from expunge.rows import Rows

Array = NDArray[np.float64]

UNIT_ROUNDOFF = 2.0**-53
ULPS = 16
"""Allowance, in ulps, for the elementary functions and the handful of operations around them in one loss value."""


def gamma(k: int) -> float:
    """γ_k, the relative error of k roundings in a row (Higham, Lemma 3.1)."""
    return k * UNIT_ROUNDOFF / (1.0 - k * UNIT_ROUNDOFF)


def row_norms(design: Any) -> Array:
    """|x| of each row of a design matrix, rounded up, ``(n_rows,)``."""
    if sparse.issparse(design):
        squares = np.asarray((design * design).sum(axis=1)).ravel()
    else:
        squares = np.einsum("ij,ij->i", design, design)
    return np.asarray(np.sqrt(squares) * (1.0 + gamma(design.shape[1] + 4)))


class Evaluation:
    """The loss of ``rows`` at weights ``w`` and its sums; no penalty is inside.

    Args:
        objective: gives loss and intercept.
        rows: the batch.
        w: weights, ``(p,)``.
    """

    def __init__(self, objective: Objective, rows: Rows, w: Array) -> None:
        self.objective, self.rows, self.loss = objective, rows, objective.loss
        self.weight = rows.weight
        self.design = objective.design(rows)
        self._norms = row_norms(self.design)
        self._gamma = gamma(len(rows) + objective.width + ULPS)
        self._place(w)

    def _place(self, w: Array) -> None:
        self.t = self.objective.predictor(w, self.design)
        self._reach = self._norms * float(np.linalg.norm(w))

    def moved_to(self, w: Array) -> "Evaluation":
        """The same rows at other weights, without reading them again."""
        moved = copy.copy(self)
        moved._place(w)
        return moved

    @property
    def count(self) -> float:
        """Total weight of the rows."""
        return float(self.weight.sum())

    @property
    def class_counts(self) -> Array:
        """Total weight per class, ``(classes,)``; empty for regression."""
        if not self.loss.classes:
            return np.empty(0)
        counts = np.bincount(self.rows.y.astype(np.intp), weights=self.weight, minlength=self.loss.classes)
        return counts.astype(np.float64)

    @property
    def value(self) -> float:
        """Σ weight · ℓ."""
        return float(self.weight @ self.loss.value(self.t, self.rows.y))

    def gradient(self) -> tuple[Array, float]:
        """Σ weight · ∇ℓ, ``(p,)``, and a bound on its rounding error in the 2-norm."""
        y = self.rows.y
        derivative = self.loss.derivative(self.t, y)
        with np.errstate(invalid="ignore"):  # diverged weights give NaN here, and no certificate later
            scaled = (self.weight * derivative.T).T.reshape(-1, self.loss.outputs)
            gradient = np.asarray((self.design.T @ scaled).T).ravel()
        slope = np.abs(derivative).reshape(-1, self.loss.outputs).sum(axis=1)
        size = np.ones_like(y) if self.loss.classes else 1.0 + np.abs(y)
        curvature = self.loss.curvature_norm(self.t, y)
        terms = ULPS * (slope + size + curvature) + curvature * self._reach
        return gradient, self._gamma * float(self.weight * self._norms @ terms)

    def hessian(self) -> tuple[Array, float]:
        """Σ weight · ∇²ℓ, ``(p, p)``, and a bound on its rounding error in the spectral norm."""
        K, width = self.loss.outputs, self.objective.width
        blocks = self.loss.curvature(self.t, self.rows.y).reshape(-1, K, K)
        hessian = np.empty((K, width, K, width))
        for k in range(K):
            for j in range(k + 1):
                block = _gram(self.design, self.weight * blocks[:, k, j], definite=k == j)
                hessian[k, :, j, :] = block
                hessian[j, :, k, :] = block.T
        return hessian.reshape(K * width, K * width), self._hessian_error()

    def curvature_root(self) -> tuple[Array, float]:
        """B with BᵀB the Hessian of the rows, ``(n_rows · K, p)``, and the error bound of that Hessian."""
        K = self.loss.outputs
        X = self.design.toarray() if sparse.issparse(self.design) else self.design
        root = self.loss.curvature_root(self.t, self.rows.y).reshape(-1, K, K)
        scaled = np.sqrt(self.weight)[:, None, None] * root
        return np.einsum("ijk,iw->ijkw", scaled, X).reshape(-1, self.objective.n_parameters), self._hessian_error()

    def _hessian_error(self) -> float:
        size = 0.0 if self.loss.classes else np.abs(self.rows.y)
        relative = ULPS + self.loss.self_concordance * (self._reach + size)
        magnitude = self.loss.curvature_norm(self.t, self.rows.y) * self._norms**2
        return self._gamma * self.loss.outputs * float((self.weight * magnitude) @ relative)


def _gram(design: Any, scale: Array, *, definite: bool) -> Array:
    """Xᵀ diag(scale) X; ``definite`` promises ``scale ≥ 0`` and halves the work (one syrk)."""
    if sparse.issparse(design):
        return np.asarray((design.T @ (design * scale[:, None])).toarray())
    with np.errstate(invalid="ignore"):  # diverged weights give NaN here, and a clear error in the factor
        if definite:
            half = np.sqrt(scale)[:, None] * design
            return np.asarray(half.T @ half)
        return np.asarray(design.T @ (scale[:, None] * design))

"""Solving with the Hessian: an explicit inverse that is kept, updated by low rank and corrected by refinement.

``Factor.of`` is the expensive part, O(p³); ``solve`` and ``Exchange`` are the cheap ones, O(p²) per vector. The
inverse may drift from the Hessian: nothing relies on its accuracy, because every solve is refined against the Hessian
itself and returns the residual that is left, which the certificate charges (theory §4.6).

All of it keeps to NumPy's BLAS. SciPy's is another library with threads of its own, and the two slow each other down
fourfold on calls of a millisecond.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from expunge.errors import NoOptimum
from expunge.numerics.rounding import UNIT_ROUNDOFF, gamma
from expunge.numerics.statistics import low_rank_update
from expunge.problem.arrays import norm, or_infinite
from expunge.problem.objective import Objective

Array = NDArray[np.float64]

REFINEMENTS = 4
STEP_GOAL = 1e-14
"""Relative residual wanted of a step, which moves the model."""
LARGE, INVERSE_ITERATIONS = 500, 30
"""With more parameters than ``LARGE`` the smallest eigenvalue is bounded by factorising."""
TINY = 1e-280
"""No eigenvalue is told from 0 below this, where float64 ends and numbers lose their digits."""
ROOT_GOAL = 1e-8
"""Relative residual wanted of H⁻¹Bᵀ, from which only a bound on s and the next inverse are made."""


@dataclass(frozen=True, eq=False)
class Hessian:
    """The Hessian of J: the rows' sum with the penalty applied on the fly, so that no second p × p array is kept.

    Args:
        objective: knows the penalty.
        sum: the rows' Hessian sum, ``(p, p)``.
        count: total weight of the rows.
    """

    objective: Objective
    sum: Array
    count: float

    def __matmul__(self, x: Array) -> Array:
        return np.asarray(self.sum @ x) + self.objective.penalty_gradient(x, self.count)

    @property
    def trace(self) -> float:
        """Its trace, which is no less than its norm."""
        return float(np.trace(self.sum)) + self.objective.penalty_trace(self.count)

    def dense(self) -> Array:
        """As one array, ``(p, p)``."""
        return self.objective.penalised_hessian(self.sum, self.count)


class Solution(NamedTuple):
    """What solving gives: x, ``product`` = Hx, and a bound on ``|Hx − target|₂`` (Frobenius for matrices)."""

    x: Array
    product: Array
    residual: float


@dataclass(frozen=True, eq=False)
class Factor:
    """An approximate inverse of a positive definite Hessian, ``(p, p)``."""

    inverse: Array

    @cached_property
    def norm(self) -> float:
        """No less than the norm of the inverse."""
        return norm(self.inverse)

    @cached_property
    def root(self) -> Array | None:
        """Its Cholesky factor, ``(p, p)``; ``None`` where rounding has left the inverse indefinite."""
        try:
            root = np.asarray(np.linalg.cholesky(self.inverse))
        except np.linalg.LinAlgError:
            return None
        return root if np.isfinite(root).all() else None

    @classmethod
    def of(cls, hessian: Hessian) -> "Factor":
        """The inverse; a Cholesky factorisation finds out whether it exists.

        Raises:
            NoOptimum: the Hessian is not positive definite to working precision.
        """
        dense = hessian.dense()
        if not np.isfinite(dense).all():
            raise NoOptimum("the Hessian is not finite: the weights have diverged; scale the rows or add a penalty")
        try:
            np.linalg.cholesky(dense)
            with np.errstate(all="ignore"):
                inverse = np.asarray(np.linalg.inv(dense), dtype=np.float64)
                inverse = 0.5 * (inverse + inverse.T)
            is_singular = not np.isfinite(inverse).all()
        except np.linalg.LinAlgError:
            is_singular = True
        if is_singular:
            loss = hessian.objective.loss
            or_else = "" if loss.has_minimum else ", or the targets can be fitted without limit"
            if loss.is_nearly_linear_far_out:
                or_else = ", or residuals are so far beyond the loss's scale that it has no curvature there (rescale y)"
            raise NoOptimum(
                "the Hessian is singular to working precision: columns of X are linearly dependent on these rows, or their "
                f"scales differ too much{or_else}; add a penalty (smaller C, larger alpha), drop the dependent columns or "
                "rescale them"
            )
        return cls(inverse)

    @np.errstate(all="ignore")  # what over- or underflows leaves an infinite residual, and no certificate
    def solve(self, hessian: Hessian, target: Array, goal: float = STEP_GOAL) -> Solution:
        """x with ``hessian @ x ≈ target``.

        Args:
            hessian: the matrix to solve with; the inverse need only be near its own.
            target: ``(p,)`` or ``(p, m)``.
            goal: relative residual at which refinement stops.
        """
        x = self.inverse @ target
        product = hessian @ x
        residual = target - product
        size = norm(residual)
        wanted = goal * norm(target)
        for _ in range(REFINEMENTS):
            if not size > wanted:
                break
            better = x + self.inverse @ residual
            reached = hessian @ better
            left = target - reached
            smaller = norm(left)
            if not smaller < 0.5 * size:
                break
            x, product, residual, size = better, reached, left, smaller
        rounding = gamma(len(x) + 8) * (hessian.trace * norm(x) + norm(target))
        return Solution(x, product, or_infinite(size + rounding))


def eigenvalue_floor(hessian: Hessian) -> float:
    """A lower bound on the smallest eigenvalue, after rounding; 0 where none above 0 can be shown.

    It is found for the matrix scaled by a power of two, so that nothing over- or underflows.
    """
    dense = hessian.dense()
    top = float(np.abs(dense).max())
    if not 0.0 < top < math.inf:
        return 0.0
    exponent = math.frexp(top)[1]
    with np.errstate(all="ignore"):
        dense = np.ldexp(dense, -exponent)
        try:
            scaled = _factorised_floor(dense) if len(dense) > LARGE else _spectral_floor(dense)
        except np.linalg.LinAlgError:
            return 0.0
        floor = float(np.ldexp(scaled, exponent))
    return floor if TINY < floor < math.inf else 0.0


def _spectral_floor(dense: Array) -> float:
    smallest = float(np.linalg.eigvalsh(dense)[0])
    return smallest - 8.0 * len(dense) * UNIT_ROUNDOFF * norm(dense)


def _factorised_floor(dense: Array) -> float:
    """The same in a few factorisations, which for large p take far less time than all eigenvalues.

    If a Cholesky factorisation of A runs to its end, λ_min(A) ≥ −γ_{p+1}/(1 − γ_{p+1})·tr(A) (Higham, Theorem 10.7). Tried with
    A = H − τI for τ near the eigenvalue that inverse iteration finds.

    Raises:
        LinAlgError: the matrix has no Cholesky factor.
    """
    inverse = np.linalg.inv(np.linalg.cholesky(dense))
    x = np.random.default_rng(0).standard_normal(len(dense))
    growth = 1.0
    for _ in range(INVERSE_ITERATIONS):
        x = inverse.T @ (inverse @ (x / norm(x)))
        growth = norm(x)
    if not 0.0 < growth < math.inf:
        return 0.0
    slack = 2.0 * gamma(len(dense) + 1) * float(np.trace(dense))
    for share in (0.99, 0.9, 0.5, 0.1):
        with suppress(np.linalg.LinAlgError):
            np.linalg.cholesky(dense - share / growth * np.eye(len(dense)))
            return share / growth - slack
    return 0.0


@np.errstate(all="ignore")
def inverse_error(hessian: Hessian, factor: Factor) -> float:
    """η with (1−η)H⁻¹ ⪯ inverse ⪯ (1+η)H⁻¹; ``inf`` where none below 1 is found.

    I − H^{1/2}GH^{1/2} is symmetric and similar to I − HG, so that its norm is at most the Frobenius norm of the latter.
    """
    p = len(factor.inverse)
    error = norm(np.eye(p) - hessian @ factor.inverse)
    error += gamma(2 * p + 8) * hessian.trace * factor.norm
    return error if error < 1.0 else math.inf


@dataclass(frozen=True, eq=False)
class Exchange:
    """Rows that are about to enter or leave a Hessian, and what solving with it says about them.

    Args:
        hessian: H before the exchange.
        factor: its approximate inverse G.
        root: B, ``(m, p)``: the rows' Hessian is BᵀB.
        solved: Z ≈ H⁻¹Bᵀ, ``(p, m)``.
        residual: bound on |HZ − Bᵀ|_F.
    """

    hessian: Hessian
    factor: Factor
    root: Array
    solved: Array
    residual: float

    @classmethod
    def of(cls, hessian: Hessian, factor: Factor, root: Array) -> "Exchange":
        """The exchange of ``root``, O(mp²)."""
        solution = factor.solve(hessian, root.T, ROOT_GOAL)
        return cls(hessian, factor, root, solution.x, solution.residual)

    @property
    def is_low_rank(self) -> bool:
        """Whether there are no more rows than parameters; with more, p × p arrays are the smaller ones."""
        return len(self.root) <= len(self.solved)

    @cached_property
    def product(self) -> Array:
        """BZ ≈ BH⁻¹Bᵀ, ``(m, m)``, symmetric."""
        with np.errstate(all="ignore"):
            product = self.root @ self.solved
            return 0.5 * (product + product.T)

    @np.errstate(all="ignore")
    def own_curvature(self, n_outputs: int) -> Array:
        """Of each learned row alone, which has ``n_outputs`` rows of B, a lower bound on the top eigenvalue of its block of
        BH⁻¹Bᵀ: BZ falls short of it by no more than |Z||E|, Z and E the row's own columns, and the rounding of BZ.
        NaN where it overflows.
        """
        n = len(self.root) // n_outputs
        own = np.linalg.norm(self.root.reshape(n, -1), axis=1)
        rounding = gamma(len(self.solved) + 8 * n_outputs) * own
        error = np.linalg.norm(self.solved.reshape(-1, n, n_outputs), axis=(0, 2)) * (self.residual + rounding)
        if self.is_low_rank:
            i = np.arange(n)
            blocks = self.product.reshape(n, n_outputs, n, n_outputs)[i, :, i, :]
        else:
            blocks = np.einsum("ikp,pil->ikl", self.root.reshape(n, n_outputs, -1), self.solved.reshape(-1, n, n_outputs))
        if n_outputs == 1:
            return np.asarray(blocks[:, 0, 0] - error)
        is_finite = np.asarray(np.isfinite(blocks).all(axis=(1, 2)))
        top = np.linalg.eigvalsh(np.where(is_finite[:, None, None], blocks, 0.0))[:, -1]
        return np.asarray(np.where(is_finite, top, math.nan) - error)

    @np.errstate(all="ignore")
    def top_whitened_curvature(self, curvature_floor: float) -> float:
        """An upper bound on s, the largest eigenvalue of H^{−1/2} BᵀB H^{−1/2}; ``curvature_floor`` is μ ≤ λ_min(H).

        For few rows s is that of BH⁻¹Bᵀ = BZ + ZᵀE + EᵀH⁻¹E with Bᵀ = HZ + E, so that an inexact Z costs no more than
        |Z||E| + |E|²/μ. For more rows than parameters G takes the place of H⁻¹, within its error η. Source: theory §4.3.
        """
        m, p = self.root.shape
        if not 0.0 < curvature_floor < math.inf:
            return math.inf
        if self.is_low_rank:
            spread = norm(self.solved)
            rounding = gamma(p + 8 * m) * spread * norm(self.root)
            inexact = spread * self.residual + self.residual * (self.residual / curvature_floor)
            return or_infinite(_top(self.product) + inexact + rounding)
        if self.factor.root is None:
            return math.inf
        half = self.root @ self.factor.root
        eta = inverse_error(self.hessian, self.factor)
        size = norm(half)
        top = _top(half.T @ half) + gamma(m + 16 * p) * size * size
        return or_infinite(top / (1.0 - eta)) if eta < 1.0 else math.inf

    def exchanged(self, after: Hessian, sign: float) -> Factor:
        """The factor of ``after`` = H + sign · BᵀB: by Woodbury, O(mp²), or anew; the old one where that is singular."""
        try:
            if not self.is_low_rank:
                return Factor.of(after)
            with np.errstate(all="ignore"):
                cholesky = np.linalg.cholesky(np.eye(len(self.root)) + sign * self.product)
                half = np.linalg.inv(cholesky) @ self.solved.T  # faster than a triangular solve, and drift is harmless
                inverse = low_rank_update(self.factor.inverse, half, -sign)
        except (NoOptimum, np.linalg.LinAlgError):
            return self.factor
        return Factor(inverse) if np.isfinite(inverse).all() else self.factor


def _top(matrix: Array) -> float:
    """The largest eigenvalue of a symmetric matrix, to rounding; ``inf`` where the matrix is not finite."""
    if not np.isfinite(matrix).all():
        return math.inf
    try:
        return float(matrix[0, 0]) if len(matrix) == 1 else float(np.linalg.eigvalsh(matrix)[-1])
    except np.linalg.LinAlgError:
        return math.inf

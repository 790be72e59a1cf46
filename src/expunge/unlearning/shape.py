"""The shape of a release's noise: a matrix A near the Hessian that no weights enter, and what it costs. Theory §5.6.

Noise of covariance s²A⁻¹ on the weights. A is a function of the exact ``Moments`` of the remaining rows, and s of their exact
weight, so that a model that forgot rows and one that never saw them draw from the same covariance, bit for bit, and only the
means differ: by μ = |w̄ − ŵ′|_A/s.

Assumes: equal inputs give equal bits. All p × p work is done by the same code on the same machine, on fresh arrays in row
order, in one BLAS thread; whoever moves a model to another machine begins there with another A, on both sides alike.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from expunge.engine.threads import one_blas_thread
from expunge.errors import NoOptimum
from expunge.numerics.factor import Factor, Hessian
from expunge.numerics.moments import Moments
from expunge.numerics.rounding import UNIT_ROUNDOFF, gamma
from expunge.numerics.triangular import solve_lower
from expunge.privacy.noise import Noise, grid_rounding
from expunge.problem.arrays import norm, or_infinite
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.bounds import ROUND_UP

Array = NDArray[np.float64]

NOISE_FLOOR = 0.02
"""τ by default."""
RIDGE = 1e-9
"""What is added to the moments of all classes before they are inverted, as a share of their mean eigenvalue."""
EVEN = 2.0
"""Where the mean eigenvalue of A is less than this many times its least, isotropic noise is the better one."""
KRYLOV = 10
"""Dimensions of the space in which κ is estimated."""
GUESSES = (1.003, 1.02, 1.1, 1.35, 2.0, 4.0, 16.0)
"""Shares of an estimate from below that are tried as bounds on κ."""


@dataclass(frozen=True, eq=False)
class Shape:
    """A = LLᵀ, and s: the noise has covariance s²A⁻¹.

    Args:
        metric: A as it was factorised, ``(p, p)``.
        factor: L, lower triangular, ``(p, p)``. The noise is that of LLᵀ.
        scale: s.
        is_isotropic: whether A is a multiple of I.
    """

    metric: Array
    factor: Array
    scale: float
    is_isotropic: bool

    @classmethod
    def of(cls, objective: Objective, moments: Moments, excess_risk: float, floor: float = NOISE_FLOOR) -> "Shape":
        """The shape for the rows of ``moments``: of nothing else.

        Args:
            objective: gives the loss and the penalty.
            moments: of the rows that remain.
            excess_risk: r, what the noise may cost in mean loss; positive.
            floor: τ, share of its mean eigenvalue that is added to A.

        Raises:
            NoOptimum: the moments and the penalty are 0, so that nothing determines a model; or all targets of a log link are.
        """
        if not moments.size > 0.0:
            raise NoOptimum("the targets are all 0, and so is what an excess risk is a share of: set noise='isotropic'")
        with one_blas_thread():
            A, exponent = _near_hessian(objective, moments)
            p = len(A)
            mean = _trace(A) / p
            if not 0.0 < mean < math.inf:
                raise NoOptimum("the rows hold nothing but zeros, and there is no penalty: no model is determined by them")
            A[np.diag_indices(p)] += floor * mean
            mean = _trace(A) / p
            is_even = _root(A - mean / EVEN * np.eye(p)) is not None
            root = None if is_even else _root(A)
            if root is None:  # decided by A alone: on both sides alike
                A, root = mean * np.eye(p), math.sqrt(mean) * np.eye(p)
                is_even = True
            metric, factor = np.ldexp(A, exponent), np.ldexp(root, exponent // 2)
        return cls(metric, factor, math.sqrt(2.0 * excess_risk * moments.size / p), is_even)

    def published(self, noise: Noise, point: Array) -> Array:
        """``point`` + N(0, s²A⁻¹), ``(p,)``: Lᵀw/s on the grid of a scale of 1, with noise of that scale, brought back by L and
        s, which are the same on both sides.

        Args:
            noise: adds N(0, I).
            point: un-noised weights w, ``(p,)``.
        """
        return self.scale * solve_lower(self.factor, noise(self.factor.T @ point / self.scale, 1.0), transposed=True)

    def distance(self, point: Array, length: float, rounding: float = 0.0) -> float:
        """How far the mean of the release of ``point`` can be from that of retraining in the metric of LLᵀ, rounded up: over s
        it is μ. It is |w̄ − ŵ′|, and what rounding makes of w̄, of Lᵀw̄ and of the grid.

        The product Lᵀw̄ is off by at most γ_{p+2}|L||w̄|, whose norm is at most γ_{p+2}|L|_F|w̄|₂; both means move to the grid
        by half a step in each coordinate, √p·2^k·s in all.

        Args:
            point: un-noised weights w̄, ``(p,)``.
            length: bound on |w̄ − ŵ′| in this metric.
            rounding: |·|₂ of what rounding has made of w̄ itself.
        """
        rounded = (gamma(len(point) + 2) * norm(point) + rounding) * norm(self.factor)
        grid = grid_rounding(len(point), 1.0) * self.scale
        return or_infinite((length + rounded + grid) * ROUND_UP)

    def length(self, displacement: Array) -> float:
        """|D| in the metric of LLᵀ.

        Args:
            displacement: D, ``(p,)``.
        """
        return norm(self.factor.T @ displacement)

    @np.errstate(all="ignore")
    def stretch(self, hessian: Hessian, factor: Factor, curvature_floor: float) -> float:
        """κ with LLᵀ ⪯ κH, rounded up; ``inf`` where none is found.

        A guess from the Krylov space of H⁻¹A, verified: if κH − A has a Cholesky factor, its least eigenvalue is no less than
        −γ_{p+1}/(1 − γ_{p+1})·κ·tr H less what forming it rounded (Higham, Theorem 10.7), and LLᵀ differs from A by at most
        γ_{p+1}|L|_F² (Theorem 10.3). Both are at most so much of H as they are of μI.

        Args:
            hessian: H.
            factor: an approximate inverse, for the guess alone.
            curvature_floor: μ ≤ λ_min(H).
        """
        A, H, p = self.metric, hessian.dense(), len(self.metric)
        if not (curvature_floor > 0.0 and np.isfinite(H).all()):
            return math.inf
        guess = _largest(A, H, factor.inverse)
        if not 0.0 < guess < math.inf:
            return math.inf
        for share in GUESSES:
            bound = share * guess
            if _root(bound * H - A) is not None:
                slack = (2.0 * gamma(p + 1) + 4.0 * UNIT_ROUNDOFF) * bound * hessian.trace
                slack += 4.0 * UNIT_ROUNDOFF * norm(A) + gamma(p + 1) * norm(self.factor) ** 2
                return or_infinite((bound + slack / curvature_floor * ROUND_UP) * ROUND_UP)
        return math.inf

    @cached_property
    def covariance(self) -> Array:
        """s²A⁻¹, ``(p, p)``."""
        inverse = solve_lower(self.factor, np.eye(len(self.factor)))
        return np.asarray(self.scale**2 * (inverse.T @ inverse))

    def cost(self, hessian: Hessian) -> float:
        """½s²·tr(A⁻¹H): what the noise adds to the sum of losses and penalty, to second order.

        Args:
            hessian: H of all rows.
        """
        return 0.5 * float(np.sum(self.covariance * hessian.dense()))

    def spread(self, objective: Objective, rows: Rows) -> Array:
        """What the noise does to the predictors of each row: s√(xᵀA⁻¹x), their standard deviation, ``(n_rows,)``; for K outputs
        a root R of their covariance s²XᵢᵀA⁻¹Xᵢ = RRᵀ, ``(n_rows, K, K)``.

        Args:
            objective: of the model.
            rows: whose predictors are asked about.
        """
        K, width = objective.loss.outputs, objective.width
        design, blocks = objective.design(rows), self.covariance.reshape(K, width, K, width)
        across = np.empty((len(rows), K, K))
        for k in range(K):
            for j in range(k + 1):
                moved = design @ blocks[k, :, j, :]
                product = design.multiply(moved).sum(axis=1) if hasattr(design, "multiply") else (design * moved).sum(axis=1)
                across[:, k, j] = across[:, j, k] = np.asarray(product).ravel()
        if K == 1:
            return np.asarray(np.sqrt(np.maximum(across[:, 0, 0], 0.0)))
        values, vectors = np.linalg.eigh(across)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :])


def _near_hessian(objective: Objective, moments: Moments) -> tuple[Array, int]:
    """A without its floor, divided by 2^e, and the even e: the moments as the loss combines them, and the penalty.

    Two classes: the parallel sum of their moments, as the Schur complement G_k − G_kG⁻¹G_k of the lighter class. K classes: the
    blocks δ_kl·G_k − G_kG⁻¹G_l. Each is ⪰ 0, and is computed so: by G = CCᵀ and products of C⁻¹G_k with themselves.
    """
    penalty = objective.penalised_hessian(np.zeros((objective.n_parameters,) * 2), moments.count)
    G = [objective.loss.moment_scale * moments.matrix(code) for code in range(max(1, objective.loss.classes))]
    top = max(float(np.abs(each).max()) for each in (*G, penalty))
    exponent = 2 * (math.frexp(top)[1] // 2)
    G, penalty = [math.ldexp(1.0, -exponent) * each for each in G], math.ldexp(1.0, -exponent) * penalty
    A = penalty
    if not objective.loss.classes:
        A = A + G[0]
    elif any(each.any() for each in G):
        whole = sum(G[1:], start=G[0])
        ridge = RIDGE * _trace(whole) / len(whole)
        root = np.asarray(np.linalg.cholesky(whole + ridge * np.eye(len(whole))), dtype=np.float64)
        own = [min(G, key=_trace)] if objective.loss.outputs == 1 else G
        halves = solve_lower(root, np.hstack(own))
        A = A - halves.T @ halves
        for k, each in enumerate(own):
            block = slice(k * len(each), (k + 1) * len(each))
            A[block, block] += each
    return np.ascontiguousarray(0.5 * (A + A.T)), exponent


def _largest(A: Array, H: Array, inverse: Array) -> float:
    """Nearly the largest eigenvalue of the pencil (A, H), from below; NaN where it overflows. ``inverse`` is near that of H."""
    x = np.random.default_rng(0).standard_normal(len(A))
    space = np.empty((len(A), min(KRYLOV, len(A))))
    for k in range(space.shape[1]):
        space[:, k] = x / norm(x)
        x = inverse @ (A @ space[:, k])
    if not np.isfinite(space).all():
        return math.nan
    basis = np.linalg.qr(space)[0]
    root = _root(basis.T @ (H @ basis))
    if root is None:
        return math.nan
    half = np.linalg.inv(root) @ basis.T
    return float(np.linalg.eigvalsh(half @ A @ half.T)[-1])


def _trace(matrix: Array) -> float:
    """The trace, rounded once."""
    return math.fsum(np.diag(matrix).tolist())


def _root(matrix: Array) -> Array | None:
    """The Cholesky factor; ``None`` where there is none."""
    try:
        root = np.asarray(np.linalg.cholesky(matrix))
    except np.linalg.LinAlgError:
        return None
    return root if np.isfinite(root).all() else None

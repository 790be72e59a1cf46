"""Leverages of rows, each with a bound on its rounding error: what v and K of theory §4.3 and §4.7 are made of."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.numerics.evaluation import Evaluation
from expunge.numerics.rounding import ROUNDOFF, ULPS, Precision, gamma
from expunge.problem.arrays import beside, host, is_on_host, namespace, norm
from expunge.problem.split import SplitMatrix

Array = NDArray[np.float64]

SINGLE = (2.0**-50, 2.0**50)
"""Sizes whose squares float32 holds with all their digits: beyond them these may become subnormal, or overflow."""
FEW = 32
"""Up to so many rows are multiplied in float64 at once: converting the factor would take longer."""
SHARE = 0.01
"""Rounding of this share is no reason to compute again in float64."""


def top_leverage(at: Evaluation, factor: Array) -> float:
    """The largest of ``leverages``; 0 of no rows."""
    return float(leverages(at, factor)[0].max(initial=0.0))


def leverages(at: Evaluation, factor: Array) -> tuple[Array, Array]:
    """Of each row an upper bound, after rounding, on the largest eigenvalue of XᵢᵀGXᵢ, Xᵢ = I_K ⊗ xᵢ, ``(n_rows,)``; and by
    how much it may be too large. ``inf`` where it overflows.

    Args:
        at: the rows; where they are evaluated does not matter.
        factor: the Cholesky factor L of G, ``(p, p)``.
    """
    if not len(at.rows):
        return np.zeros(0), np.zeros(0)
    longest, extent = at.longest, norm(factor)
    size, rounding = longest * extent, math.inf
    top = np.full(len(at.rows), math.inf)
    if isinstance(at.X, SplitMatrix):
        top, rounding = _split_root_leverages(at, at.X, factor, size)
    elif len(at.rows) > FEW and all(SINGLE[0] < each < SINGLE[1] for each in (longest, extent, size)):
        top, rounding = _root_leverages(at, factor, size, "float32")
    if not rounding <= SHARE * float(top.max()) < math.inf:
        top, rounding = _root_leverages(at, factor, size, "float64")
    slack = gamma(len(factor) + 2) * size * size
    with np.errstate(all="ignore"):
        bound = (top + rounding) ** 2 + slack
        bound = np.where(np.isnan(bound), math.inf, bound)
        excess = bound - np.maximum(top - rounding, 0.0) ** 2 + slack
        return bound, np.where(np.isnan(excess), math.inf, excess)


def _root_leverages(at: Evaluation, factor: Array, size: float, precision: Precision) -> tuple[Array, float]:
    """The square roots of ``leverages``, and a bound on their rounding error."""
    K, width = at.loss.outputs, at.objective.width
    parts: list[list[Any]] = [[0.0] * K for _ in range(K)]
    for c in range(K):  # the blocks above the diagonal are zero
        own = [_through(at, factor[k * width : (k + 1) * width, c * width : (c + 1) * width], precision) for k in range(c, K)]
        for k in range(c, K):
            for j in range(c, k + 1):
                parts[k][j] += _row_products(own[k - c], own[j - c])
    rounding = K**0.5 * gamma(len(factor) + width + ULPS, ROUNDOFF[precision]) * size
    return _roots([[host(part) for part in row[: k + 1]] for k, row in enumerate(parts)]), rounding


def _split_root_leverages(at: Evaluation, X: SplitMatrix, factor: Array, size: float) -> tuple[Array, float]:
    """The same of rows in blocks, from the matrix G itself: each is a sum over few pairs of values.

    A sum over pairs is off by at most γ|x|ᵀ|L||Lᵀ||x| ≤ γ|x|²|L|², and √a by at most √e where a is by e.
    """
    K, width, n = at.loss.outputs, at.objective.width, X.shape[1]
    with np.errstate(all="ignore"):
        G = (factor @ factor.T).reshape(K, width, K, width)
        parts = [[np.zeros(0)] * (k + 1) for k in range(K)]
        for k in range(K):
            for j in range(k + 1):
                block = 0.5 * (G[k, :, j, :] + G[k, :, j, :].T)
                parts[k][j] = X.quadratic(block[:n, :n])
                if at.objective.fit_intercept:
                    parts[k][j] = parts[k][j] + 2.0 * (X @ block[n, :n]) + block[n, n]
        return _roots(parts), math.sqrt(gamma(len(factor) + 4 * (X.stored + K + 1) ** 2 + ULPS)) * size


def _roots(parts: list[list[Array]]) -> Array:
    """The square roots of the largest eigenvalues of symmetric matrices, ``(n_rows,)``; ``inf`` where one is not finite.

    Args:
        parts: the entries (k, j), j ≤ k, of all of them, ``(n_rows,)`` each.
    """
    K = len(parts)
    if K == 1:
        tops = np.asarray(parts[0][0], dtype=np.float64)
    else:
        grid = np.array([[parts[max(k, j)][min(k, j)] for j in range(K)] for k in range(K)], dtype=np.float64)
        grid = np.moveaxis(grid, 2, 0)
        is_finite = np.asarray(np.isfinite(grid).all(axis=(1, 2)))
        tops = np.linalg.eigvalsh(np.where(is_finite[:, None, None], grid, 0.0))[:, -1]
        tops = np.where(is_finite, tops, math.inf)
    return np.sqrt(np.where(np.isnan(tops), math.inf, np.maximum(tops, 0.0)))


def _through(at: Evaluation, block: Array, precision: Precision) -> Any:
    """The rows, intercept included, times ``block``, ``(width, m)``."""
    n = at.X.shape[1]
    if not is_on_host(at.X):
        through = at.X @ beside(block[:n], at.X)
        return through + beside(block[n:], at.X) if at.objective.fit_intercept else through
    X = at.objective.values(at.rows)
    X = X if X.dtype == precision else at.X.astype(precision, copy=False)
    through = np.asarray(X @ block[:n].astype(precision, copy=False))
    return through + block[n:].astype(precision) if at.objective.fit_intercept else through


def _row_products(a: Any, b: Any) -> Any:
    """a·b row by row, ``(n_rows,)``."""
    return np.einsum("ij,ij->i", a, b) if is_on_host(a) else namespace(a).sum(a * b, axis=1)

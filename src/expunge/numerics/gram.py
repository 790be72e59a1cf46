"""Gram matrices of scaled rows: what Hessians are made of."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.numerics.rounding import Precision
from expunge.problem.arrays import host, is_on_host, namespace
from expunge.problem.filling import with_data
from expunge.problem.objective import Objective
from expunge.problem.split import SplitMatrix

Array = NDArray[np.float64]


def gram(X: Any, scales: list[Any], objective: Objective, precision: Precision) -> Array:
    """ZᵀZ with Z the rows (intercept included) times each of ``scales`` in turn, ``(K · width, K · width)``.

    Args:
        X: the rows in float64, where they lie, ``(n_rows, n_features)``, dense or CSR.
        scales: K of them, ``(n_rows,)`` each.
        precision: of the products.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # diverged weights give NaN here, and a clear error in the factor
        if sparse.issparse(X):
            return _sparse_gram(X, scales, objective, precision)
        n, width = X.shape[1], objective.width
        if isinstance(X, SplitMatrix):
            return _blockwise(len(scales), width, lambda k, j: _split_gram(X, scales[k] * scales[j], objective))
        if is_on_host(X):
            order: Literal["F", "C"] = "F" if X.strides[0] == X.itemsize else "C"
            Z = np.empty((len(X), width * len(scales)), dtype=precision, order=order)
            for k, scale in enumerate(scales):
                np.multiply(X, scale[:, None], out=Z[:, k * width : k * width + n], casting="same_kind")
                Z[:, k * width + n : (k + 1) * width] = scale[:, None]
            return np.asarray(Z.T @ Z, dtype=np.float64)
        xp = namespace(X)
        ones = [xp.ones_like(X[:, :1])] * (width - n)
        columns = [xp.concat([X, *ones], axis=1) * scale[:, None] for scale in scales]
        Z = xp.astype(xp.concat(columns, axis=1), getattr(xp, precision))
        return host(Z.T @ Z)


def _sparse_gram(X: Any, scales: list[Any], objective: Objective, precision: Precision) -> Array:
    """As ``gram`` for CSR rows: a sparse product a pair of outputs."""
    n, width = X.shape[1], objective.width
    per_row = np.diff(X.indptr)
    transposed = X.T.astype(precision, copy=False)

    def block(k: int, j: int) -> Array:
        scale = scales[k] * scales[j]
        values = (X.data * np.repeat(scale, per_row)).astype(precision, copy=False)
        scaled = with_data(X, values)
        total = np.empty((width, width))
        total[:n, :n] = (transposed @ scaled).toarray()
        return _with_intercept(total, X, scale, objective)

    return _blockwise(len(scales), width, block)


def _split_gram(X: SplitMatrix, scale: Array, objective: Objective) -> Array:
    """The block of one pair of outputs for rows in blocks, all in float64."""
    n, width = X.shape[1], objective.width
    total = np.empty((width, width))
    total[:n, :n] = X.gram(scale)
    return _with_intercept(total, X, scale, objective)


def _with_intercept(total: Array, X: Any, scale: Array, objective: Objective) -> Array:
    """``total`` with the intercept's row and column filled in."""
    if objective.fit_intercept:
        total[-1, :-1] = total[:-1, -1] = np.asarray(X.T @ scale)
        total[-1, -1] = scale.sum()
    return total


def _blockwise(K: int, width: int, block: Callable[[int, int], Array]) -> Array:
    """The matrix of the blocks (k, j), j ≤ k, and of their transposes."""
    blocks = np.empty((K, width, K, width))
    for k in range(K):
        for j in range(k + 1):
            blocks[k, :, j, :] = block(k, j)
            blocks[j, :, k, :] = blocks[k, :, j, :].T
    return blocks.reshape(K * width, K * width)

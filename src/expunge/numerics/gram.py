"""Gram matrices of scaled rows: what Hessians are made of."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.numerics.rounding import Precision
from expunge.problem.arrays import host, is_on_host, namespace
from expunge.problem.objective import Objective

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
    n, width, K = X.shape[1], objective.width, len(scales)
    blocks = np.empty((K, width, K, width))
    per_row = np.diff(X.indptr)
    transposed = X.T.astype(precision, copy=False)
    for k in range(K):
        for j in range(k + 1):
            scale = scales[k] * scales[j]
            values = (X.data * np.repeat(scale, per_row)).astype(precision, copy=False)
            scaled = sparse.csr_array((values, X.indices, X.indptr), shape=X.shape)
            block = np.empty((width, width))
            block[:n, :n] = (transposed @ scaled).toarray()
            if objective.fit_intercept:
                block[n, :n] = block[:n, n] = np.asarray(X.T @ scale)
                block[n, n] = scale.sum()
            blocks[k, :, j, :] = block
            blocks[j, :, k, :] = block.T
    return blocks.reshape(K * width, K * width)

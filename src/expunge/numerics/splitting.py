"""Putting rows into blocks, where their columns come in categories and that is less work."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.numerics.support import Support
from expunge.problem.arrays import is_on_host
from expunge.problem.rows import Rows
from expunge.problem.split import Category, SplitMatrix

DENSE_SHARE, SPARSE_SHARE = 0.25, 1.5
"""Rows are split that then store no more values than this share of their columns, or, if they are sparse, of their entries."""
SMALLEST = 1 << 18
"""Fewer values than this are not worth it."""


def split(rows: Rows, support: Support) -> Rows:
    """``rows`` in blocks, or as they are where that is no gain.

    Args:
        rows: on the host or elsewhere.
        support: of these rows, the intercept's column included.
    """
    X = rows.X
    if isinstance(X, SplitMatrix) or not is_on_host(X) or X.shape[0] * X.shape[1] < SMALLEST:
        return rows
    columns, starts = support.groups
    groups = [np.sort(group[group < X.shape[1]]) for group in np.split(columns, starts[1:])]
    groups = [group for group in groups if len(group)]
    most = SPARSE_SHARE * X.nnz / X.shape[0] if sparse.issparse(X) else DENSE_SHARE * X.shape[1]
    if len(groups) > most:
        return rows
    return replace(rows, X=_split(rows, groups))


def _split(rows: Rows, groups: list[NDArray[np.intp]]) -> SplitMatrix:
    X, n = rows.X, len(rows)
    singles = np.array([group[0] for group in groups if len(group) == 1], dtype=np.intp)
    several = [group for group in groups if len(group) > 1]
    dense = np.zeros((n, len(singles)), dtype=X.dtype)
    codes, values = np.zeros((len(several), n), dtype=np.int32), np.zeros((len(several), n), dtype=X.dtype)
    fill = _fill_sparse if sparse.issparse(X) else _fill_dense
    start = 0
    for batch in rows.batches():
        own = slice(start, start + len(batch))
        fill(batch.X, singles, several, dense[own], codes[:, own], values[:, own])
        start += len(batch)
    categories = (Category(group, codes[k], values[k]) for k, group in enumerate(several))
    return SplitMatrix(dense, singles, tuple(categories))


def _fill_dense(
    X: Any, singles: NDArray[np.intp], several: list[NDArray[np.intp]], dense: Any, codes: Any, values: Any
) -> None:
    dense[...] = X[:, singles]
    everyone = np.arange(len(X))
    for k, group in enumerate(several):
        block = X[:, group]
        codes[k] = (block != 0).argmax(axis=1)
        values[k] = block[everyone, codes[k]]


def _fill_sparse(
    X: Any, singles: NDArray[np.intp], several: list[NDArray[np.intp]], dense: Any, codes: Any, values: Any
) -> None:
    owner, place = np.zeros(X.shape[1], dtype=np.intp), np.zeros(X.shape[1], dtype=np.int32)
    for k, group in enumerate(several):
        owner[group], place[group] = k, np.arange(len(group))
    owner[singles], place[singles] = len(several), np.arange(len(singles))
    row, group_of = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr)), owner[X.indices]
    for k in range(len(several)):
        own = group_of == k
        codes[k][row[own]], values[k][row[own]] = place[X.indices[own]], X.data[own]
    own = group_of == len(several)
    dense[row[own], place[X.indices[own]]] = X.data[own]

"""The values of a matrix, dense or CSR, taken out to be put into blocks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]
Index = NDArray[np.intp]


def row_of(csr: Any) -> Index:
    """In which row each stored entry is, ``(nnz,)``."""
    return np.repeat(np.arange(csr.shape[0]), np.diff(csr.indptr))


def with_data(csr: Any, data: Array) -> Any:
    """CSR with the same places and other values."""
    return sparse.csr_array((data, csr.indices, csr.indptr), shape=csr.shape)


def fill_dense(X: Any, singles: Index, several: Sequence[Index], dense: Any, codes: Any, values: Any) -> None:
    """Fills in what each row of a dense matrix has: in the columns ``singles``, and of each group of ``several``."""
    dense[...] = X[:, singles]
    everyone = np.arange(len(X))
    for k, group in enumerate(several):
        block = X[:, group]
        codes[k] = (block != 0).argmax(axis=1)
        values[k] = block[everyone, codes[k]]


def fill_sparse(X: Any, singles: Index, several: Sequence[Index], dense: Any, codes: Any, values: Any) -> None:
    """The same of canonical CSR; what is filled in is 0 before."""
    owner, place = np.full(X.shape[1], -1), np.zeros(X.shape[1], dtype=np.int32)  # some columns are kept sparse
    for k, group in enumerate(several):
        owner[group], place[group] = k, np.arange(len(group))
    owner[singles], place[singles] = len(several), np.arange(len(singles))
    row, group_of = row_of(X), owner[X.indices]
    is_code, is_dense = (group_of >= 0) & (group_of < len(several)), group_of == len(several)
    at = group_of[is_code], row[is_code]
    codes[at], values[at] = place[X.indices[is_code]], X.data[is_code]
    dense[row[is_dense], place[X.indices[is_dense]]] = X.data[is_dense]


def by_row(csr: Any, data: NDArray[Any]) -> NDArray[Any]:
    """The sums over each row of values in the places of ``csr``, ``(n_rows,)``.

    Args:
        csr: says where the values are.
        data: one value for each stored one.
    """
    return np.asarray(with_data(csr, data) @ np.ones(csr.shape[1]))


def values_at(csr: Any, full: NDArray[Any]) -> NDArray[Any]:
    """The values of a dense matrix in the places of ``csr``.

    Args:
        csr: says where to look.
        full: of the same shape.
    """
    return np.asarray(full[row_of(csr), csr.indices])

"""Rows as blocks: dense columns, and categories, of whose columns a row has at most one.

A category is a code and a value a row, so that products and Gram matrices are look-ups and counts: a table of 3 categories and
4 numbers is 7 numbers a row, however many columns it is encoded in. Every sum is one of the products that the rounding bounds
of theory §4.6 are about, in some order, which they do not depend on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]
Index = NDArray[np.intp]

SHARE = 0.1
"""Rows are put into blocks that then are no more than this share of what was multiplied before: a product of a look-up takes as
long as some hundred of BLAS's."""
CHUNK = 1 << 19
"""Values put into blocks at a time."""


@dataclass(frozen=True, eq=False)
class Category:
    """Columns of which a row has at most one.

    Args:
        columns: where they are among all columns, ``(n_levels,)``.
        codes: which of them each row has, int32, ``(n_rows,)``.
        values: what the row has there; 0 for rows that have none of them, ``(n_rows,)``.
    """

    columns: Index
    codes: NDArray[np.int32]
    values: Array

    @cached_property
    def transposed(self) -> Any:
        """As CSC with one entry a row, ``(n_levels, n_rows)``: its products are sums by code."""
        return _one_a_row(self.codes, self.values, len(self.columns))

    @cached_property
    def matrix(self) -> Any:
        """The transpose of that: its products are look-ups."""
        return self.transposed.T

    def take(self, index: Any) -> "Category":
        """The rows at ``index``."""
        return Category(self.columns, self.codes[index], self.values[index])

    def with_values(self, values: Array) -> "Category":
        """The same columns with other values."""
        return Category(self.columns, self.codes, values)


def _one_a_row(codes: NDArray[np.int32], values: Array, n_levels: int) -> Any:
    """The CSC of one entry a row, ``(n_levels, n_rows)``."""
    return sparse.csc_array((values, codes, np.arange(len(codes) + 1, dtype=np.int32)), shape=(n_levels, len(codes)))


@dataclass(frozen=True, eq=False)
class SplitMatrix:
    """Features in blocks, ``(n_rows, n_features)``. Each column is in one of them.

    Args:
        dense: the dense columns, ``(n_rows, d)``.
        dense_columns: where these are among all columns, ``(d,)``.
        categories: the others.

    Examples:
        >>> sex = Category(np.array([0, 2]), np.array([0, 1], dtype=np.int32), np.ones(2))
        >>> X = SplitMatrix(np.array([[0.5], [0.1]]), np.array([1]), (sex,))
        >>> X.toarray()
        array([[1. , 0.5, 0. ],
               [0. , 0.1, 1. ]])
        >>> X @ np.array([1.0, 2.0, 3.0])
        array([2. , 3.2])
    """

    dense: Array
    dense_columns: Index
    categories: tuple[Category, ...]

    ndim = 2

    @classmethod
    def of(cls, X: Any, groups: Sequence[Index]) -> "SplitMatrix":
        """The blocks of a matrix: its columns one by one, but for those that go together.

        Args:
            X: dense or canonical CSR, ``(n_rows, n_features)``.
            groups: all columns, in groups of which a row has at most one that is not 0, each in order.
        """
        singles = np.array([group[0] for group in groups if len(group) == 1], dtype=np.intp)
        several = [group for group in groups if len(group) > 1]
        dense = np.zeros((X.shape[0], len(singles)), dtype=X.dtype)
        codes, values = np.zeros((len(several), len(dense)), dtype=np.int32), np.zeros((len(several), len(dense)), X.dtype)
        fill, step = _fill_sparse if sparse.issparse(X) else _fill_dense, max(1, CHUNK // max(1, X.shape[1]))
        for start in range(0, len(dense), step):
            own = slice(start, start + step)
            fill(X[own], singles, several, dense[own], codes[:, own], values[:, own])
        return cls(dense, singles, tuple(Category(group, codes[k], values[k]) for k, group in enumerate(several)))

    @classmethod
    def stacked(cls, parts: "Sequence[SplitMatrix]") -> "SplitMatrix":
        """The rows of all parts, which have the same blocks.

        Args:
            parts: one or more.
        """
        each = zip(*(part.categories for part in parts), strict=True)
        categories = (
            Category(some[0].columns, np.concatenate([c.codes for c in some]), np.concatenate([c.values for c in some]))
            for some in each
        )
        return cls(np.concatenate([part.dense for part in parts]), parts[0].dense_columns, tuple(categories))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.dense), len(self.dense_columns) + sum(len(each.columns) for each in self.categories)

    @property
    def dtype(self) -> Any:
        """Of the values."""
        return self.dense.dtype

    @property
    def stored(self) -> int:
        """Values that are stored of each row."""
        return len(self.dense_columns) + len(self.categories)

    @property
    def nbytes(self) -> int:
        """Memory that the rows take."""
        return self.dense.nbytes + sum(each.codes.nbytes + each.values.nbytes for each in self.categories)

    @property
    def T(self) -> "_Transposed":  # as NumPy calls it
        """The transpose, to multiply with."""
        return _Transposed(self)

    def __getitem__(self, index: Any) -> "SplitMatrix":
        rows = index[0] if isinstance(index, tuple) else index
        return SplitMatrix(self.dense[rows], self.dense_columns, tuple(each.take(rows) for each in self.categories))

    def astype(self, dtype: Any, copy: bool = True) -> "SplitMatrix":
        """The same with values of another type; itself where they have it, unless a ``copy`` is asked for."""
        if self.dtype == dtype and not copy:
            return self
        dense = self.dense.astype(dtype, copy=copy)
        converted = (each.with_values(each.values.astype(dtype, copy=copy)) for each in self.categories)
        return SplitMatrix(dense, self.dense_columns, tuple(converted))

    def __matmul__(self, weights: Array) -> Array:
        total = np.asarray(self.dense @ weights[self.dense_columns])
        for each in self.categories:
            total = total + np.asarray(each.matrix @ weights[each.columns])
        return total

    def summed(self, scale: Array) -> Array:
        """Σ scaleᵢ ⊗ xᵢ, ``(n_features,)`` or ``(n_features, K)``.

        Args:
            scale: of each row, ``(n_rows,)`` or ``(n_rows, K)``.
        """
        total = np.empty((self.shape[1], *scale.shape[1:]))
        total[self.dense_columns] = self.dense.T @ scale
        for each in self.categories:
            total[each.columns] = each.transposed @ scale
        return total

    def squared(self) -> "SplitMatrix":
        """Each value squared."""
        squares = tuple(each.with_values(np.square(each.values)) for each in self.categories)
        return SplitMatrix(np.square(self.dense), self.dense_columns, squares)

    def squared_norms(self) -> Array:
        """|x|² of each row, ``(n_rows,)``."""
        total = np.asarray(np.einsum("ij,ij->i", self.dense, self.dense))
        for each in self.categories:
            total = total + np.square(each.values)
        return total

    def gram(self, weights: Array) -> Array:
        """Σ weightᵢ xᵢxᵢᵀ, ``(n_features, n_features)``.

        Args:
            weights: of each row, ``(n_rows,)``.
        """
        total, dense, here = np.zeros((self.shape[1],) * 2), self.dense * weights[:, None], self.dense_columns
        total[np.ix_(here, here)] = self.dense.T @ dense
        for k, each in enumerate(self.categories):
            if len(here):
                across = each.transposed @ dense
                total[np.ix_(each.columns, here)], total[np.ix_(here, each.columns)] = across, across.T
            scaled = weights * each.values
            total[each.columns, each.columns] = each.transposed @ scaled
            for other in self.categories[:k]:
                n_codes = len(each.columns) * len(other.columns)
                both = counted(pair(each.codes, other), scaled, n_codes, other.values)
                both = both.reshape(len(each.columns), -1)
                total[np.ix_(each.columns, other.columns)], total[np.ix_(other.columns, each.columns)] = both, both.T
        return total

    def quadratic(self, matrix: Array) -> Array:
        """xᵢᵀ·matrix·xᵢ of each row, ``(n_rows,)``.

        Args:
            matrix: symmetric, ``(n_features, n_features)``.
        """
        here = self.dense_columns
        total = np.asarray(np.einsum("ij,ij->i", self.dense @ matrix[np.ix_(here, here)], self.dense))
        for k, each in enumerate(self.categories):
            half = 0.5 * each.values * np.diag(matrix)[each.columns].take(each.codes)
            if len(here):
                half = half + np.einsum("ij,ij->i", matrix[np.ix_(each.columns, here)].take(each.codes, axis=0), self.dense)
            for other in self.categories[:k]:
                across = matrix[np.ix_(each.columns, other.columns)].ravel()
                half = half + other.values * across.take(pair(each.codes, other))
            total = total + 2.0 * each.values * half
        return total

    def tocsr(self) -> Any:
        """As canonical CSR, without zeros."""
        n, blocks = len(self.dense), []
        for k, column in enumerate(self.dense_columns):
            blocks.append((np.full(n, column), self.dense[:, k]))
        blocks += [(each.columns[each.codes], each.values) for each in self.categories]
        columns = np.stack([column for column, _values in blocks], axis=1).ravel()
        values = np.stack([value for _column, value in blocks], axis=1).ravel()
        starts = np.arange(n + 1) * len(blocks)
        csr = sparse.csr_array((values, columns, starts), shape=self.shape)
        csr.eliminate_zeros()
        csr.sort_indices()
        csr.has_canonical_format = True
        return csr

    def toarray(self) -> Array:
        """As one dense array."""
        full = np.zeros(self.shape, dtype=self.dtype)
        full[:, self.dense_columns] = self.dense
        for each in self.categories:
            full[np.arange(len(full)), each.columns[each.codes]] = each.values
        return full


def pays(n_blocks: int, n_stored: float) -> bool:
    """Whether rows are better in blocks.

    Args:
        n_blocks: values of a row that would be stored.
        n_stored: values of a row that are multiplied now.
    """
    return n_blocks <= SHARE * n_stored


def _fill_dense(X: Any, singles: Index, several: Sequence[Index], dense: Any, codes: Any, values: Any) -> None:
    dense[...] = X[:, singles]
    everyone = np.arange(len(X))
    for k, group in enumerate(several):
        block = X[:, group]
        codes[k] = (block != 0).argmax(axis=1)
        values[k] = block[everyone, codes[k]]


def _fill_sparse(X: Any, singles: Index, several: Sequence[Index], dense: Any, codes: Any, values: Any) -> None:
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


class _Transposed:
    """Multiplies from the left."""

    def __init__(self, matrix: SplitMatrix) -> None:
        self.matrix = matrix

    def __matmul__(self, scale: Array) -> Array:
        return self.matrix.summed(scale)


def pair(codes: NDArray[np.int32], other: Category) -> NDArray[np.int32]:
    """The codes of both together, as one."""
    return codes * np.int32(len(other.columns)) + other.codes


def counted(codes: NDArray[np.int32], weights: Array, n_codes: int, values: Array) -> Array:
    """Σ weight · value of the rows of each code, ``(n_codes,)``; by a product of SciPy's, which lets other threads work."""
    return np.asarray(_one_a_row(codes, weights, n_codes) @ values)

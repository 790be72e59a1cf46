"""Rows as blocks: dense columns, categories, of whose columns a row has at most one, and columns that are mostly 0.

A category is a code and a value a row, so that products and Gram matrices are look-ups and counts: a table of 3 categories and
4 numbers is 7 numbers a row, however many columns it is encoded in. Small categories that have the same value in each row are
one block together: a code stands for what the row has of all of them, so that fewer pairs of blocks are counted. Every sum is
one of the products that the rounding bounds of theory §4.6 are about, in some order, which they do not depend on.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.problem.filling import by_row, fill_dense, fill_sparse, row_of, values_at, with_data
from expunge.problem.joining import alike_in, joined, joint_block
from expunge.problem.levels import Block, Counter, Levels, pair

Array = NDArray[np.float64]
Index = NDArray[np.intp]

SHARE = 0.1
"""Rows are put into blocks that then are no more than this share of what was multiplied before: a product of a look-up takes as
long as some hundred of BLAS's."""
CHUNK = 1 << 19
"""Values put into blocks at a time."""
THIN = 0.05
"""Columns with values in fewer rows than this share are kept sparse."""


@dataclass(frozen=True, eq=False)
class SplitMatrix:
    """Features in blocks, ``(n_rows, n_features)``. Each column is in one of them.

    Args:
        dense: the dense columns, ``(n_rows, d)``.
        dense_columns: where these are among all columns, ``(d,)``.
        blocks: the columns of categories.
        csr: the columns that are mostly 0, ``(n_rows, s)``.
        csr_columns: where these are among all columns, ``(s,)``.

    Examples:
        >>> X = SplitMatrix.of(np.array([[1.0, 0.5, 0.0], [0.0, 0.1, 1.0]]), [np.array([0, 2]), np.array([1])])
        >>> X.blocks[0].codes
        array([0, 1], dtype=int32)
        >>> X @ np.array([1.0, 2.0, 3.0])
        array([2. , 3.2])
    """

    dense: Array
    dense_columns: Index
    blocks: tuple[Block, ...]
    csr: Any
    csr_columns: Index

    ndim = 2

    @classmethod
    def of(
        cls, X: Any, groups: Sequence[Index], alike: Sequence[int] | None = None, thin: Index | None = None
    ) -> "SplitMatrix":
        """The blocks of a matrix: its columns one by one, but for those that go together.

        Args:
            X: dense or canonical CSR, ``(n_rows, n_features)``.
            groups: all columns, in groups of which a row has at most one that is not 0, each in order.
            alike: positions of groups that have one value in each row that has any of their columns; found out by default, and
                then from these rows.
            thin: columns, each a group of its own, that are mostly 0; none by default.
        """
        is_thin = np.zeros(X.shape[1], dtype=bool)
        is_thin[[] if thin is None else thin] = True
        several = [k for k, group in enumerate(groups) if len(group) > 1]
        columns, alone = [groups[k] for k in several], np.array([group[0] for group in groups if len(group) == 1], np.intp)
        singles, thin = alone[~is_thin[alone]], alone[is_thin[alone]]
        dense = np.zeros((X.shape[0], len(singles)), dtype=X.dtype)
        codes, values = np.zeros((len(several), len(dense)), dtype=np.int32), np.zeros((len(several), len(dense)), X.dtype)
        fill, step = fill_sparse if sparse.issparse(X) else fill_dense, max(1, CHUNK // max(1, X.shape[1]))
        for start in range(0, len(dense), step):
            own = slice(start, start + step)
            fill(X[own], singles, columns, dense[own], codes[:, own], values[:, own])
        if alike is None:
            may_join, has_none = alike_in(values), [bool((each == 0).any()) for each in values]
        else:
            may_join, has_none = [several.index(k) for k in alike if k in several], [True] * len(several)
        parts = joined([len(group) for group in columns], may_join, has_none)
        blocks = tuple(joint_block(part, columns, has_none, codes, values) for part in parts)
        return cls(dense, singles, blocks, sparse.csr_array(X[:, thin]), thin)

    @classmethod
    def one_a_row(cls, codes: Index, width: int) -> "SplitMatrix":
        """One category, 1 in each row that has one of its columns, ``(n_rows, width)``.

        Args:
            codes: the column of each row, ``(n_rows,)``; negative where it has none.
            width: number of columns.
        """
        block = Block(Levels((np.arange(width),), (False,)), np.maximum(codes, 0).astype(np.int32), (codes >= 0).astype(float))
        none, n_rows = np.zeros(0, dtype=np.intp), len(codes)
        return cls(np.zeros((n_rows, 0)), none, (block,), sparse.csr_array((n_rows, 0)), none)

    @classmethod
    def beside(cls, parts: "Sequence[SplitMatrix]", may_join: Sequence[int]) -> "SplitMatrix":
        """The columns of all parts, side by side.

        Args:
            parts: of the same rows; each block of theirs is one category.
            may_join: positions, among the blocks of all parts, of those that have one value in each row that has any of their
                columns.
        """
        starts = np.cumsum([0, *(part.shape[1] for part in parts)])
        blocks = [each for part in parts for each in part.blocks]
        columns = [start + each.levels.columns for start, part in zip(starts, parts, strict=False) for each in part.blocks]
        codes, values, has_none = [each.codes for each in blocks], [each.values for each in blocks], [True] * len(blocks)
        members = joined([len(each) for each in columns], may_join, has_none)
        return cls(
            np.hstack([part.dense for part in parts]),
            np.concatenate([start + part.dense_columns for start, part in zip(starts, parts, strict=False)]),
            tuple(joint_block(each, columns, has_none, codes, values) for each in members),
            sparse.hstack([part.csr for part in parts], format="csr"),
            np.concatenate([start + part.csr_columns for start, part in zip(starts, parts, strict=False)]),
        )

    @classmethod
    def stacked(cls, parts: "Sequence[SplitMatrix]") -> "SplitMatrix":
        """The rows of all parts, which have the same blocks.

        Args:
            parts: one or more.
        """
        first, each = parts[0], zip(*(part.blocks for part in parts), strict=True)
        blocks = (
            Block(some[0].levels, np.concatenate([b.codes for b in some]), np.concatenate([b.values for b in some]))
            for some in each
        )
        dense, csr = np.concatenate([part.dense for part in parts]), sparse.vstack([part.csr for part in parts], format="csr")
        return cls(dense, first.dense_columns, tuple(blocks), csr, first.csr_columns)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        in_blocks = sum(len(each.levels.columns) for each in self.blocks)
        return len(self.dense), len(self.dense_columns) + in_blocks + len(self.csr_columns)

    @property
    def dtype(self) -> Any:
        """Of the values."""
        return self.dense.dtype

    @property
    def stored(self) -> int:
        """Values that a row has at most, other than 0."""
        fullest = int(np.diff(self.csr.indptr).max(initial=0))
        return len(self.dense_columns) + sum(len(each.levels.categories) for each in self.blocks) + fullest

    @property
    def values(self) -> list[Array]:
        """All that is stored of the values, in no order."""
        return [self.dense, self.csr.data, *(each.values for each in self.blocks)]

    @property
    def nbytes(self) -> int:
        """Memory that the rows take."""
        csr = sum(int(each.nbytes) for each in (self.csr.data, self.csr.indices, self.csr.indptr))
        return self.dense.nbytes + csr + sum(each.codes.nbytes + each.values.nbytes for each in self.blocks)

    @property
    def T(self) -> "_Transposed":  # as NumPy calls it
        """The transpose, to multiply with."""
        return _Transposed(self)

    def __getitem__(self, index: Any) -> "SplitMatrix":
        rows = index[0] if isinstance(index, tuple) else index
        blocks = tuple(each.take(rows) for each in self.blocks)
        return replace(self, dense=np.ascontiguousarray(self.dense[rows]), blocks=blocks, csr=self.csr[rows])

    def astype(self, dtype: Any, copy: bool = True) -> "SplitMatrix":
        """The same with values of another type; itself where they have it, unless a ``copy`` is asked for."""
        if self.dtype == dtype and not copy:
            return self
        return self.mapped(lambda values: values.astype(dtype, copy=copy))

    def __matmul__(self, weights: Array) -> Array:
        total = np.asarray(self.dense @ weights[self.dense_columns])
        for each in self.blocks:
            total = total + each.looked_up(each.levels.gathered(weights[each.levels.columns]))
        return total + np.asarray(self.csr @ weights[self.csr_columns]) if len(self.csr_columns) else total

    def summed(self, scale: Array) -> Array:
        """Σ scaleᵢ ⊗ xᵢ, ``(n_features,)`` or ``(n_features, K)``.

        Args:
            scale: of each row, ``(n_rows,)`` or ``(n_rows, K)``.
        """
        total = np.empty((self.shape[1], *scale.shape[1:]))
        total[self.dense_columns] = self.dense.T @ scale
        for each in self.blocks:
            total[each.levels.columns] = each.levels.scattered(np.asarray(each.by_code @ scale))
        total[self.csr_columns] = self.csr.T @ scale
        return total

    def with_last(self, values: Array) -> "SplitMatrix":
        """The same with one dense column more, the last, of ``values``, ``(n_rows,)``."""
        dense = np.hstack([self.dense, values[:, None].astype(self.dtype)])
        return replace(self, dense=dense, dense_columns=np.append(self.dense_columns, self.shape[1]))

    def without_last(self) -> "SplitMatrix":
        """The columns but the last, which must be a dense one."""
        return replace(self, dense=self.dense[:, :-1], dense_columns=self.dense_columns[:-1])

    def last(self) -> Array:
        """The last column, which must be a dense one, ``(n_rows,)``."""
        return np.asarray(self.dense[:, -1], dtype=np.float64)

    def squared(self) -> "SplitMatrix":
        """Each value squared."""
        return self.mapped(np.square)

    def divided(self, by: Array) -> "SplitMatrix":
        """Each row divided by its own number.

        Args:
            by: positive numbers, ``(n_rows,)``.
        """
        blocks = tuple(each.with_values(each.values / by) for each in self.blocks)
        csr = with_data(self.csr, self.csr.data / by[row_of(self.csr)])
        return replace(self, dense=self.dense / by[:, None], blocks=blocks, csr=csr)

    def mapped(self, function: Callable[[Any], Any]) -> "SplitMatrix":
        """Each value mapped.

        Args:
            function: of an array; 0 must stay 0.
        """
        blocks = tuple(each.with_values(function(each.values)) for each in self.blocks)
        return replace(self, dense=function(self.dense), blocks=blocks, csr=with_data(self.csr, function(self.csr.data)))

    def largest(self) -> Array:
        """The largest magnitude in each column, ``(n_features,)``."""
        dense, csr = np.abs(self.dense).max(axis=0, initial=0.0), abs(self.csr).max(axis=0).toarray().ravel()
        return np.concatenate([dense, *(each.largest() for each in self.blocks), csr])[self._order]

    def together(self) -> NDArray[np.bool_]:
        """Whether some row has non-zeros in both columns, ``(n_features, n_features)``."""
        return self.mapped(lambda values: (values != 0).astype(np.float64)).gram(np.ones(len(self.dense))) > 0

    def squared_norms(self) -> Array:
        """|x|² of each row, ``(n_rows,)``."""
        total = np.asarray(np.einsum("ij,ij->i", self.dense, self.dense))
        for each in self.blocks:
            total = total + np.square(each.values) * each.levels.counts.take(each.codes)
        return total + by_row(self.csr, np.square(self.csr.data)) if len(self.csr_columns) else total

    def gram(self, weights: Array) -> Array:
        """Σ weightᵢ xᵢxᵢᵀ, ``(n_features, n_features)``.

        Args:
            weights: of each row, ``(n_rows,)``.
        """
        total, dense = np.zeros((self.shape[1],) * 2), self.dense * weights[:, None]  # block by block at first
        numbers, *places = self._places
        count = Counter(len(dense), self._most_pairs)
        total[numbers, numbers] = self.dense.T @ dense
        for k, (each, own) in enumerate(zip(self.blocks, places, strict=False)):
            levels, scaled = each.levels, weights * each.values
            total[own, own] = levels.both(np.asarray(each.by_code @ scaled))
            if len(self.dense_columns):
                _fill(total, own, numbers, levels.scattered(np.asarray(each.by_code @ dense)))
            for other, place in zip(self.blocks[:k], places, strict=False):
                n_pairs = levels.n_codes * other.levels.n_codes
                sums = count(pair(each.codes, other), scaled, other.values)[:n_pairs].reshape(levels.n_codes, -1)
                _fill(total, own, place, other.levels.scattered(levels.scattered(sums).T).T)
        if len(self.csr_columns):
            self._add_csr(total, dense, weights)
        return total[np.ix_(self._order, self._order)]

    def _add_csr(self, total: Array, dense: Array, weights: Array) -> None:
        """Fills in the rows and columns of a Gram matrix, block by block, that are kept as CSR; ``dense`` is weighted."""
        numbers, *places, own = self._places
        row, width = row_of(self.csr), len(self.csr_columns)
        scaled = with_data(self.csr, self.csr.data * weights[row])
        total[own, own] = (self.csr.T @ scaled).toarray()
        _fill(total, own, numbers, self.csr.T @ dense)
        count = Counter(len(row), width * max((each.levels.n_codes for each in self.blocks), default=0))
        for each, place in zip(self.blocks, places, strict=True):
            sums = count(each.codes[row] * np.int32(width) + scaled.indices, scaled.data, each.values[row])
            _fill(total, own, place, each.levels.scattered(sums[: each.levels.n_codes * width].reshape(-1, width)).T)

    @cached_property
    def _places(self) -> list[slice]:
        """Where the columns are block by block: the dense ones, those of each block, the sparse ones."""
        lengths = [len(self.dense_columns), *(len(each.levels.columns) for each in self.blocks), len(self.csr_columns)]
        ends = np.cumsum(lengths).tolist()
        return [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]

    @cached_property
    def _order(self) -> Index:
        """Where each column is block by block, ``(n_features,)``."""
        columns = [self.dense_columns, *(each.levels.columns for each in self.blocks), self.csr_columns]
        return np.argsort(np.concatenate(columns))

    @property
    def _most_pairs(self) -> int:
        """How many pairs two blocks have at most."""
        sizes = sorted((each.levels.n_codes for each in self.blocks), reverse=True)
        return math.prod(sizes[:2]) if len(sizes) > 1 else 0

    def quadratic(self, matrix: Array) -> Array:
        """xᵢᵀ·matrix·xᵢ of each row, ``(n_rows,)``.

        Args:
            matrix: symmetric, ``(n_features, n_features)``.
        """
        here = self.dense_columns
        total = np.asarray(np.einsum("ij,ij->i", self.dense @ matrix[np.ix_(here, here)], self.dense))
        for k, each in enumerate(self.blocks):
            levels, own = each.levels, each.levels.columns
            half = 0.5 * each.values * levels.squares(matrix[np.ix_(own, own)]).take(each.codes)
            if len(here):
                across = levels.gathered(matrix[np.ix_(own, here)])
                half = half + np.einsum("ij,ij->i", across.take(each.codes, axis=0), self.dense)
            for other in self.blocks[:k]:
                across = levels.gathered(matrix[np.ix_(own, other.levels.columns)])
                across = np.ascontiguousarray(other.levels.gathered(across.T).T).ravel()
                half = half + other.values * across.take(pair(each.codes, other))
            total = total + 2.0 * each.values * half
        return total + self._quadratic_csr(matrix) if len(self.csr_columns) else total

    def _quadratic_csr(self, matrix: Array) -> Array:
        """What the columns kept as CSR add to ``quadratic``."""
        csr, here, total = self.csr, self.csr_columns, np.zeros(len(self.dense))
        own, step = matrix[np.ix_(here, here)], max(1, CHUNK // len(here))
        for start in range(0, len(total), step):
            some = csr[start : start + step]
            total[start : start + step] = by_row(some, some.data * values_at(some, np.asarray(some @ own)))
        row = row_of(csr)
        if len(self.dense_columns):
            across = np.asarray(csr @ matrix[np.ix_(here, self.dense_columns)])
            total += 2.0 * np.einsum("ij,ij->i", across, self.dense)
        for each in self.blocks:
            table = each.levels.gathered(matrix[np.ix_(each.levels.columns, here)])
            total += 2.0 * each.values * by_row(csr, csr.data * table[each.codes[row], csr.indices])
        return total

    def tocsr(self) -> Any:
        """As canonical CSR, without zeros."""
        n, parts = len(self.dense), []
        for k, column in enumerate(self.dense_columns):
            parts.append((np.full(n, column), self.dense[:, k]))
        for each in self.blocks:
            parts += [(column, each.values * is_there) for column, is_there in each.levels.columns_of(each.codes)]
        columns = np.stack([column for column, _values in parts], axis=1).ravel() if parts else np.zeros(0, np.intp)
        values = np.stack([value for _column, value in parts], axis=1).ravel() if parts else np.zeros(0, self.dtype)
        csr = sparse.csr_array((values, columns, np.arange(n + 1) * len(parts)), shape=self.shape)
        if len(self.csr_columns):
            csr = csr + sparse.csr_array((self.csr.data, self.csr_columns[self.csr.indices], self.csr.indptr), shape=self.shape)
        csr.eliminate_zeros()
        csr.sort_indices()
        csr.has_canonical_format = True
        return csr

    def toarray(self) -> Array:
        """As one dense array."""
        full = np.zeros(self.shape, dtype=self.dtype)
        full[:, self.dense_columns], full[:, self.csr_columns] = self.dense, self.csr.toarray()
        for each in self.blocks:
            for column, is_there in each.levels.columns_of(each.codes):
                full[np.flatnonzero(is_there), column[is_there]] = each.values[is_there]
        return full


def pays(n_blocks: float, n_stored: float) -> bool:
    """Whether rows are better in blocks.

    Args:
        n_blocks: values of a row that would be stored.
        n_stored: values of a row that are multiplied now.
    """
    return n_blocks <= SHARE * n_stored


def _fill(total: Array, rows: slice, columns: slice, block: Array) -> None:
    """Writes a block into a symmetric matrix, and its transpose."""
    total[rows, columns], total[columns, rows] = block, block.T


class _Transposed:
    """Multiplies from the left."""

    def __init__(self, matrix: SplitMatrix) -> None:
        self.matrix = matrix

    def __matmul__(self, scale: Array) -> Array:
        return self.matrix.summed(scale)

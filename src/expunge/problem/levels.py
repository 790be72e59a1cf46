"""Blocks of categories: what their codes stand for, and sums and look-ups by code."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Codes = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Levels:
    """What the codes of a block stand for: one column of each category, or none of it.

    Args:
        categories: the columns of each category, ``(n_levels,)`` each.
        has_none: whether a category has one code more, for rows that have none of its columns.
    """

    categories: tuple[Index, ...]
    has_none: tuple[bool, ...]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many codes each category has; the code of a row is made of these in mixed radix."""
        return tuple(len(each) + more for each, more in zip(self.categories, self.has_none, strict=True))

    @property
    def n_codes(self) -> int:
        """Of the block."""
        return math.prod(self.sizes)

    @cached_property
    def columns(self) -> Index:
        """All columns, category by category."""
        return np.concatenate(self.categories)

    @cached_property
    def counts(self) -> Array:
        """How many columns each code stands for, ``(n_codes,)``."""
        return self.gathered(np.ones(len(self.columns)))

    def gathered(self, values: Array) -> Array:
        """Sums over the columns of each code, ``(n_codes, ...)``.

        Args:
            values: of each column, ``(n_columns, ...)``.
        """
        if self._is_plain:
            return values
        rest, total, done = values.shape[1:], np.zeros(()), 0
        for axis, each in enumerate(self.categories):
            part = np.zeros((self.sizes[axis], *rest))
            part[: len(each)] = values[done : done + len(each)]
            total = total + part.reshape(*self._along(axis), *rest)
            done += len(each)
        return total.reshape(self.n_codes, *rest)

    def scattered(self, sums: Array) -> Array:
        """Sums over the codes that stand for each column, ``(n_columns, ...)``: the transpose of ``gathered``.

        Args:
            sums: of each code, ``(n_codes, ...)``.
        """
        if self._is_plain:
            return sums
        grid = sums.reshape(*self.sizes, *sums.shape[1:])
        axes = range(len(self.sizes))
        parts = [
            grid.sum(axis=tuple(other for other in axes if other != axis))[: len(each)]
            for axis, each in enumerate(self.categories)
        ]
        return np.concatenate(parts)

    def both(self, sums: Array) -> Array:
        """Sums over the codes that stand for two columns, ``(n_columns, n_columns)``.

        Args:
            sums: of each code, ``(n_codes,)``.
        """
        columns = np.cumsum([0, *(len(each) for each in self.categories)])
        total, grid = np.zeros((len(self.columns),) * 2), sums.reshape(self.sizes)
        for i, first in enumerate(self.categories):
            own = slice(columns[i], columns[i + 1])
            alone = grid.sum(axis=tuple(axis for axis in range(grid.ndim) if axis != i))[: len(first)]
            total[own, own] = np.diag(alone)
            for j, second in enumerate(self.categories[:i]):
                other = slice(columns[j], columns[j + 1])
                pairs = grid.sum(axis=tuple(axis for axis in range(grid.ndim) if axis not in (i, j)))
                total[other, own] = pairs[: len(second), : len(first)]
                total[own, other] = total[other, own].T
        return total

    def squares(self, matrix: Array) -> Array:
        """Σ matrix over all pairs of columns of each code, ``(n_codes,)``.

        Args:
            matrix: symmetric, ``(n_columns, n_columns)``.
        """
        if len(self.categories) == 1:
            return self.gathered(np.diag(matrix))
        return np.asarray(np.diag(self.gathered(self.gathered(matrix).T)))

    def columns_of(self, codes: Codes) -> list[tuple[Index, NDArray[np.bool_]]]:
        """For each category the column that a row has, and whether it has one.

        Args:
            codes: of the rows, ``(n_rows,)``.
        """
        levels = np.unravel_index(codes, self.sizes)
        return [
            (each[np.minimum(level, len(each) - 1)], level < len(each))
            for level, each in zip(levels, self.categories, strict=True)
        ]

    @property
    def _is_plain(self) -> bool:
        """Whether each code is a column."""
        return self.has_none == (False,)

    def _along(self, axis: int) -> list[int]:
        return [size if other == axis else 1 for other, size in enumerate(self.sizes)]


@dataclass(frozen=True, eq=False)
class Block:
    """Columns of which a row has at most one of each category, with one value for all.

    Args:
        levels: what the codes stand for.
        codes: which columns each row has, int32, ``(n_rows,)``.
        values: what the row has there; 0 for rows that have none of them, ``(n_rows,)``.
    """

    levels: Levels
    codes: Codes
    values: Array

    @cached_property
    def by_code(self) -> Any:
        """As CSC with one entry a row, ``(n_codes, n_rows)``: its products are sums by code."""
        return _one_a_row(self.codes, self.values, self.levels.n_codes)

    def looked_up(self, table: Array) -> Array:
        """The value of each row times what the table has for its code, ``(n_rows, ...)``.

        Args:
            table: by code, ``(n_codes, ...)``.
        """
        return np.asarray(self.by_code.T @ table)

    def take(self, index: Any) -> "Block":
        """The rows at ``index``."""
        return Block(self.levels, self.codes[index], self.values[index])

    def with_values(self, values: Array) -> "Block":
        """The same columns with other values."""
        return Block(self.levels, self.codes, values)


def _one_a_row(codes: Codes, values: Array, n_codes: int) -> Any:
    """The CSC of one entry a row, ``(n_codes, n_rows)``."""
    return sparse.csc_array((values, codes, np.arange(len(codes) + 1, dtype=np.int32)), shape=(n_codes, len(codes)))


def pair(codes: Codes, other: Block) -> Codes:
    """The codes of both together, as one."""
    return codes * np.int32(other.levels.n_codes) + other.codes


def counted(codes: Codes, weights: Array, n_codes: int, values: Array) -> Array:
    """Σ weight · value of the rows of each code, ``(n_codes,)``; by a product of SciPy's, which lets other threads work."""
    return np.asarray(_one_a_row(codes, weights, n_codes) @ values)

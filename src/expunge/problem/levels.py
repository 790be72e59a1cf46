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

    @cached_property
    def incidence(self) -> Array:
        """Which columns each code stands for, 0 or 1, ``(n_codes, n_columns)``."""
        parts = []
        for level, each in zip(np.unravel_index(np.arange(self.n_codes), self.sizes), self.categories, strict=True):
            parts.append(level[:, None] == np.arange(len(each)))
        return np.hstack(parts).astype(np.float64)

    def gathered(self, values: Array) -> Array:
        """Sums over the columns of each code, ``(n_codes, ...)``.

        Args:
            values: of each column, ``(n_columns, ...)``.
        """
        if not self._is_single:
            return np.tensordot(self.incidence, values, axes=1)
        return np.concatenate([values, np.zeros((1, *values.shape[1:]))]) if self.has_none[0] else values

    def scattered(self, sums: Array) -> Array:
        """Sums over the codes that stand for each column, ``(n_columns, ...)``: the transpose of ``gathered``.

        Args:
            sums: of each code, ``(n_codes, ...)``.
        """
        return sums[: len(self.columns)] if self._is_single else np.tensordot(self.incidence.T, sums, axes=1)

    def highest(self, tops: Array) -> Array:
        """The largest over the codes that stand for each column, ``(n_columns,)``.

        Args:
            tops: of each code, at least 0, ``(n_codes,)``.
        """
        return tops[: len(self.columns)] if self._is_single else (self.incidence * tops[:, None]).max(axis=0)

    def both(self, sums: Array) -> Array:
        """Sums over the codes that stand for two columns, ``(n_columns, n_columns)``.

        Args:
            sums: of each code, ``(n_codes,)``.
        """
        if self._is_single:
            return np.diag(self.scattered(sums))
        return np.asarray((self.incidence.T * sums) @ self.incidence)

    def squares(self, matrix: Array) -> Array:
        """Σ matrix over all pairs of columns of each code, ``(n_codes,)``.

        Args:
            matrix: symmetric, ``(n_columns, n_columns)``.
        """
        if self._is_single:
            return self.gathered(np.diag(matrix))
        return np.asarray(np.einsum("ci,ci->c", self.incidence @ matrix, self.incidence))

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
    def _is_single(self) -> bool:
        """Whether each code is one column, or none."""
        return len(self.categories) == 1


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

    def largest(self) -> Array:
        """The largest magnitude in each column, ``(n_columns,)``."""
        tops = np.zeros(self.levels.n_codes)
        np.maximum.at(tops, self.codes, np.abs(self.values))
        return self.levels.highest(tops)

    def take(self, index: Any) -> "Block":
        """The rows at ``index``, without gaps."""
        return Block(self.levels, np.ascontiguousarray(self.codes[index]), np.ascontiguousarray(self.values[index]))

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


class Counter:
    """``counted`` again and again for as many rows and codes.

    Args:
        n_rows: of each sum.
        n_codes: more than the largest code.
    """

    def __init__(self, n_rows: int, n_codes: int) -> None:
        self._matrix = _one_a_row(np.zeros(n_rows, dtype=np.int32), np.zeros(n_rows), n_codes)

    def __call__(self, codes: Codes, weights: Array, values: Array) -> Array:
        """Σ weight · value of the rows of each code, ``(n_codes,)``.

        Args:
            codes: of each row, below ``n_codes``, ``(n_rows,)``.
            weights: of each row, ``(n_rows,)``.
            values: of each row, ``(n_rows,)``.
        """
        self._matrix.indices, self._matrix.data = codes, weights  # a new matrix would be checked anew, which takes longer
        return np.asarray(self._matrix @ values)

"""Symmetric tensors of third order, packed: what B of theory §4.7 is stored as, and its products in BLAS.

The p coordinates are cut into blocks of ``BLOCK``. For each pair of blocks I ≥ J one slab holds the entries (i, j, k), i in I,
j in J, k up to the end of J: about p³/6 numbers in all, one after the other in one array. A sum of w·z⊗z⊗z over rows is a
matrix product a slab, and so are the three ways to contract a slab with a vector.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BLOCK = 16
"""Coordinates in a block: larger ones waste memory, smaller ones time."""
FEW = 4
"""Up to so many rows are added one by one, by broadcasting: products of so little depth are slow."""


class Slab(NamedTuple):
    """Entries (i, j, k) with i in ``rows``, j in ``columns`` and k below ``depth``, at ``place`` of the packed array."""

    rows: slice
    columns: slice
    depth: int
    place: slice

    @property
    def shape(self) -> tuple[int, int, int]:
        """As an array of its own."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start, self.depth


@lru_cache(maxsize=8)
def layout(n_coordinates: int) -> tuple[Slab, ...]:
    """The slabs of a tensor, in the order in which they are packed."""
    blocks = [slice(start, min(start + BLOCK, n_coordinates)) for start in range(0, n_coordinates, BLOCK)]
    slabs, start = [], 0
    for i, rows in enumerate(blocks):
        for columns in blocks[: i + 1]:
            size = (rows.stop - rows.start) * (columns.stop - columns.start) * columns.stop
            slabs.append(Slab(rows, columns, columns.stop, slice(start, start + size)))
            start += size
    return tuple(slabs)


def packed_size(n_coordinates: int) -> int:
    """How many numbers a tensor is stored as; about p³/6.

    Examples:
        >>> packed_size(128) / (128**3 / 6) < 1.5
        True
    """
    return int(layout(n_coordinates)[-1].place.stop)


@dataclass(frozen=True, eq=False)
class SymmetricTensor:
    """A symmetric p × p × p tensor.

    Args:
        n_coordinates: p.
        packed: its slabs one after the other, ``(packed_size(p),)``.
    """

    n_coordinates: int
    packed: Array

    @classmethod
    def zeros(cls, n_coordinates: int) -> "SymmetricTensor":
        """The tensor of no rows."""
        return cls(n_coordinates, np.zeros(packed_size(n_coordinates)))

    def absorb(self, rows: Array, weights: Array) -> None:
        """Adds Σ w·z⊗z⊗z in place: for sums that are still being made.

        Args:
            rows: z, ``(m, p)``; so few that p² times as many numbers fit the cache.
            weights: w, ``(m,)``.
        """
        rows = np.ascontiguousarray(rows)
        across, scaled = np.ascontiguousarray(rows.T), np.ascontiguousarray((rows * weights[:, None]).T)
        n = len(rows)
        seen = [rows[:, slab.rows].any(axis=1) for slab in layout(self.n_coordinates) if slab.columns.start == 0]
        for slab in layout(self.n_coordinates):
            both = np.flatnonzero(seen[slab.rows.start // BLOCK] & seen[slab.columns.start // BLOCK])
            if not len(both):
                continue
            left, right, deep = across[slab.rows], scaled[slab.columns], rows[:, : slab.depth]
            if len(both) < 0.75 * n:  # rows of zeros in a block, as those of categories are, add nothing
                left, right, deep = left[:, both], right[:, both], deep[both]
            pairs = (left[:, None, :] * right[None, :, :]).reshape(-1, len(deep))
            self.packed[slab.place] += (pairs @ deep).ravel()

    def changed(self, rows: Array, weights: Array) -> "SymmetricTensor":
        """This tensor + Σ w·z⊗z⊗z over a few rows, a new one.

        Args:
            rows: z, ``(m, p)``.
            weights: w, ``(m,)``.
        """
        if not 0 < len(rows) <= FEW:
            grown = SymmetricTensor(self.n_coordinates, self.packed.copy())
            grown.absorb(rows, weights)
            return grown
        packed, term = np.empty_like(self.packed), np.empty(BLOCK * BLOCK * self.n_coordinates)
        for slab in layout(self.n_coordinates):
            total, added = packed[slab.place].reshape(-1, slab.depth), term[: math.prod(slab.shape)].reshape(-1, slab.depth)
            before = self.packed[slab.place].reshape(-1, slab.depth)
            for row, weight in zip(rows, weights, strict=True):
                pairs = np.multiply.outer(weight * row[slab.rows], row[slab.columns]).reshape(-1, 1)
                before = np.add(before, np.multiply(pairs, row[: slab.depth], out=added), out=total)
        return SymmetricTensor(self.n_coordinates, packed)

    def plus(self, other: "SymmetricTensor") -> "SymmetricTensor":
        """The sum of both, a new one."""
        return SymmetricTensor(self.n_coordinates, self.packed + other.packed)

    def scaled(self, share: float) -> "SymmetricTensor":
        """``share`` times this tensor."""
        return SymmetricTensor(self.n_coordinates, share * self.packed)

    def contracted(self, vector: Array) -> Array:
        """B[E], the matrix Σᵢ Eᵢ Bᵢⱼₖ, ``(p, p)``, symmetric.

        Args:
            vector: E, ``(p,)``.
        """
        lower = np.zeros((self.n_coordinates, self.n_coordinates))
        for slab in layout(self.n_coordinates):
            n_rows, n_columns, depth = slab.shape
            entries, before = self.packed[slab.place], slab.columns.start
            by_rows = vector[slab.rows] @ entries.reshape(n_rows, -1)
            lower[slab.columns, :depth] += by_rows.reshape(n_columns, depth)
            if before:  # where k is in the block of j, its entries are those of the two others
                by_depth = entries.reshape(-1, depth)[:, :before] @ vector[:before]
                lower[slab.rows, slab.columns] += by_depth.reshape(n_rows, n_columns)
            if slab.rows.start > before:
                lower[slab.rows, :depth] += np.matmul(vector[slab.columns], entries.reshape(slab.shape))
        return np.tril(lower) + np.tril(lower, -1).T

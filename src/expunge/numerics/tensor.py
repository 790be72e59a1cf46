"""Symmetric tensors of third order, packed: what B of theory §4.7 is stored as, and its products in BLAS.

The p coordinates are cut into blocks of ``BLOCK``. For each pair of blocks I ≥ J one slab holds the entries (i, j, k), i in I,
j in J, k up to the end of J: about p³/6 numbers in all, one after the other in one array. A sum of w·z⊗z⊗z over rows is a
matrix product a slab, and so are the three ways to contract a slab with a vector.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from expunge.numerics import spares

Array = NDArray[np.float64]

BLOCK = 20
"""Coordinates in a block: larger ones waste memory, smaller ones time."""
CHUNK = 1 << 8
"""Rows multiplied at a time, so that their products stay in the cache."""
SPARSE = 0.2
"""Rows of which no more than this share is not 0 are added up entry by entry, which is faster than products."""
ENTRIES = 1 << 20
"""Entries added up at a time in that way."""
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
    blocks = [(start, min(start + BLOCK, n_coordinates)) for start in range(0, n_coordinates, BLOCK)]
    return sum((stop - start) * stop * (n_coordinates - start) for start, stop in blocks)


@lru_cache(maxsize=2)
def places(n_coordinates: int) -> tuple[NDArray[np.int64], NDArray[np.integer[Any]]]:
    """Where the entries (i, j, 0) are, i ≥ j, ``(p, p)``; and for each place that of the same entry with i ≥ j ≥ k."""
    starts = np.zeros((n_coordinates, n_coordinates), dtype=np.int64)
    size = packed_size(n_coordinates)
    source: NDArray[np.integer[Any]] = np.empty(size, dtype=np.int32 if size < 1 << 31 else np.int64)
    for slab in layout(n_coordinates):
        n_rows, n_columns, depth = slab.shape
        starts[slab.rows, slab.columns] = slab.place.start + np.arange(n_rows * n_columns).reshape(n_rows, -1) * depth
    for slab in layout(n_coordinates):
        i, j, k = (index.ravel() for index in np.indices(slab.shape))
        ordered = np.sort(np.stack([i + slab.rows.start, j + slab.columns.start, k]), axis=0)
        source[slab.place] = starts[ordered[2], ordered[1]] + ordered[0]
    return starts, source


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
        packed = spares.empty(packed_size(n_coordinates))
        packed.fill(0.0)
        return cls(n_coordinates, packed)

    def absorb(self, rows: Array, weights: Array) -> None:
        """Adds Σ w·z⊗z⊗z in place: for sums that are still being made.

        Args:
            rows: z, ``(m, p)``.
            weights: w, ``(m,)``.
        """
        fullest = int(np.count_nonzero(rows, axis=1).max(initial=0))
        if fullest == 0:
            return
        is_sparse = fullest <= SPARSE * self.n_coordinates
        step = max(ENTRIES, len(self.packed) // 2) // math.comb(fullest + 2, 3) if is_sparse else CHUNK
        for start in range(0, len(rows), step):
            some, of_some = np.ascontiguousarray(rows[start : start + step]), weights[start : start + step]
            if is_sparse:
                self._absorb_sparse(some, of_some, fullest)
            else:
                self._absorb_dense(some, of_some)

    def _absorb_dense(self, rows: Array, weights: Array) -> None:
        across, scaled = np.ascontiguousarray(rows.T), np.ascontiguousarray((rows * weights[:, None]).T)
        for slab in layout(self.n_coordinates):
            pairs = (across[slab.rows, None, :] * scaled[None, slab.columns, :]).reshape(-1, len(rows))
            self.packed[slab.place] += (pairs @ rows[:, : slab.depth]).ravel()

    def _absorb_sparse(self, rows: Array, weights: Array, fullest: int) -> None:
        """The same entry by entry, for rows of which few values are not 0: each entry i ≥ j ≥ k is summed, and then copied to
        wherever else its slab holds it."""
        starts, source = places(self.n_coordinates)
        row, column = np.nonzero(rows)
        counts = np.bincount(row, minlength=len(rows))
        rank = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts) + (fullest - counts)[row]
        columns, values = np.zeros((fullest, len(rows)), dtype=np.int64), np.zeros((fullest, len(rows)))
        columns[rank, row], values[rank, row] = column, rows[row, column]  # ascending; shorter rows begin with zeros
        n_entries = math.comb(fullest + 2, 3)
        where, terms = np.empty((n_entries, len(rows)), dtype=np.int64), np.empty((n_entries, len(rows)))
        done = 0
        for a in range(fullest):
            for b in range(a + 1):
                part = slice(done, done + b + 1)
                np.add(columns[: b + 1], starts[columns[a], columns[b]], out=where[part])
                np.multiply(values[: b + 1], weights * values[a] * values[b], out=terms[part])
                done += b + 1
        summed = np.bincount(where.ravel(), terms.ravel(), len(self.packed))
        np.add(self.packed, summed[source], out=self.packed)

    def changed(self, rows: Array, weights: Array) -> "SymmetricTensor":
        """This tensor + Σ w·z⊗z⊗z over a few rows, a new one.

        Args:
            rows: z, ``(m, p)``.
            weights: w, ``(m,)``.
        """
        if not 0 < len(rows) <= FEW:
            grown = SymmetricTensor(self.n_coordinates, spares.empty(len(self.packed)))
            np.copyto(grown.packed, self.packed)
            grown.absorb(rows, weights)
            return grown
        packed, term = spares.empty(len(self.packed)), np.empty(BLOCK * BLOCK * self.n_coordinates)
        for slab in layout(self.n_coordinates):
            length = slab.rows.stop - slab.rows.start
            total, added = packed[slab.place].reshape(length, -1), term[: math.prod(slab.shape)].reshape(length, -1)
            before = self.packed[slab.place].reshape(length, -1)
            for row, weight in zip(rows, weights, strict=True):
                pairs = np.multiply.outer(weight * row[slab.columns], row[: slab.depth]).ravel()
                before = np.add(before, np.multiply(row[slab.rows, None], pairs, out=added), out=total)
        return SymmetricTensor(self.n_coordinates, packed)

    def __iadd__(self, other: "SymmetricTensor") -> "SymmetricTensor":
        """The sum of both in the memory of this one: for sums that are nobody else's."""
        np.add(self.packed, other.packed, out=self.packed)
        return self

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

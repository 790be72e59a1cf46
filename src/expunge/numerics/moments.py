"""Second moments of rows, summed exactly: what gives noise its shape. Theory §5.6.

The covariance of a release must have the same bits whether rows were forgotten or were never there. So its sums are made of
whole numbers: each value of a row, times the root of the row's weight, is rounded to a grid that depends on this value alone,
and products of whole numbers add up without rounding, in whatever order they come and go.

Level l holds the magnitudes from 2^(12l−8) to 2^(12l+4), on a grid of 2^(12l−13): a value is at most 2^17 steps, off by at
most 1.6 % (0.02 % at the upper end). A product of two values is at most 2^34 steps of the product of their grids, and BLAS
adds up 2^18 of them in float64 below 2^53, hence exactly. From there on int64 counts.

Only operations that IEEE 754 rounds correctly touch a value before it is whole: product, square root, scaling by a power of
two. Rows that lie elsewhere come to the host first.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.errors import InvalidRows
from expunge.problem.filling import row_of, with_data
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows

Array = NDArray[np.float64]
Whole = NDArray[np.int64]
Index = NDArray[np.intp] | slice

LEVEL_BITS, LOWEST, GRID = 12, -8, -13
"""Level l starts at 2^(12l + ``LOWEST``), and its grid is 2^(12l + ``GRID``)."""
CHUNK = 1 << 18
"""Rows whose products are added up in float64 before they become int64."""
MOST_ROWS = 1 << 29
"""From here on int64 might not hold a sum of products of up to 2^34."""
FEW = 1 << 16
"""CSR rows of no more values than this, zeros counted, are multiplied as dense ones, which is faster."""
SPARSE = 0.05
"""A level with a smaller share of the values is multiplied as a sparse matrix."""
WEIGHT_BITS, WEIGHT_UNIT = 30, 500
"""A row's own weight keeps so many digits; weights are counted in units of 2^−500, far below the least product of two."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Exact sums over rows of s·a·xxᵀ, the intercept's 1 in x; a is the loss's ``moment_weight``. A classifier has one a class.

    A group under sets of rows: (S ∪ A) − A has the bits of S.

    Args:
        width: coefficients per output.
        n_rows: how many rows.
        units: total weight Σs of the rows, and Σs·a, in units of 2^−500.
        sums: by class (0 for regression) and exponent, ``(width, width)``; the sum is Σ sums · 2^(12·exponent + 2·``GRID``).

    Source: theory §5.6.
    """

    width: int
    n_rows: int
    units: tuple[int, int]
    sums: dict[tuple[int, int], Whole]

    @classmethod
    def of(cls, objective: Objective, rows: Rows) -> "Moments":
        """The moments of ``rows``.

        Args:
            objective: what is minimised.
            rows: that are summed; its targets are known to be valid.

        Raises:
            InvalidRows: too many rows for exact sums.
        """
        rows = rows.on_host()
        weight = objective.loss.moment_weight(rows.y) * rows.weight
        units = _units(rows.weight), _units(weight)
        sums: dict[tuple[int, int], Whole] = {}
        for start in range(0, len(rows), CHUNK):
            chunk = rows.take(slice(start, start + CHUNK))
            if sparse.issparse(chunk.X) and len(chunk) * objective.width <= FEW:
                chunk = replace(chunk, X=chunk.X.toarray())
            scale, design = np.sqrt(weight[start : start + CHUNK]), objective.design(chunk)
            for code in range(max(1, objective.loss.classes)):
                own = chunk.y == code if objective.loss.classes else slice(None)
                _add(sums, code, _scaled(design[own], scale[own]))
        kept = {key: total for key, total in sums.items() if total.any()}
        return cls(objective.width, len(rows), units, kept)._checked()

    def __add__(self, other: "Moments") -> "Moments":
        return self._combined(other, 1)

    def __sub__(self, other: "Moments") -> "Moments":
        return self._combined(other, -1)

    @property
    def count(self) -> float:
        """Total weight of the rows, the exact sum of their rounded weights, rounded once."""
        return self.units[0] / (1 << WEIGHT_UNIT)

    @property
    def size(self) -> float:
        """Σ s·a, likewise: what an excess risk is a share of. The total weight but for a log link, and then times ȳ²⁻ᵏ."""
        return self.units[1] / (1 << WEIGHT_UNIT)

    def matrix(self, code: int = 0) -> Array:
        """The moments of one class, of all rows for a regression, in float64, symmetric, ``(width, width)``.

        Args:
            code: of the class.
        """
        total = np.zeros((self.width, self.width))
        for own, exponent in sorted(self.sums):
            if own == code:
                total += self.sums[own, exponent] * 2.0 ** (LEVEL_BITS * exponent + 2 * GRID)
        return total

    def _combined(self, other: "Moments", sign: int) -> "Moments":
        sums = dict(self.sums)
        for key, moved in other.sums.items():
            held = sums.pop(key, None)
            after = sign * moved if held is None else held + sign * moved
            if after.any():  # what is empty again is as if it had never been
                sums[key] = after
        units = self.units[0] + sign * other.units[0], self.units[1] + sign * other.units[1]
        return Moments(self.width, self.n_rows + sign * other.n_rows, units, sums)._checked()

    def _checked(self) -> "Moments":
        if self.n_rows >= MOST_ROWS:
            raise InvalidRows(
                f"shaped noise needs exact sums over rows, which are kept for fewer than {MOST_ROWS:,} rows, got "
                f"{self.n_rows:,}: set noise='isotropic'"
            )
        return self


def _units(weight: Array) -> int:
    """The total in units of 2^−500, each weight rounded to ``WEIGHT_BITS``."""
    fractions, exponents = np.frexp(weight)
    whole = np.rint(np.ldexp(fractions, WEIGHT_BITS)).astype(np.int64)
    shift = WEIGHT_UNIT - WEIGHT_BITS
    return sum(int(whole[exponents == exponent].sum()) << int(exponent) + shift for exponent in np.unique(exponents))


def _scaled(design: Any, scale: Array) -> Any:
    """Each row of ``design`` times its ``scale``."""
    if not sparse.issparse(design):
        return design * scale[:, None]
    return with_data(design, design.data * scale[row_of(design)])


def _add(sums: dict[tuple[int, int], Whole], code: int, Z: Any) -> None:
    """Adds ZᵀZ, level by level, to the ``sums`` of a class."""
    width, levels = Z.shape[1], list(_levels(Z))
    for i, (level, columns, values) in enumerate(levels):
        for other, across, others in levels[i:]:
            product = _product(values, others)
            total = sums.setdefault((code, level + other), np.zeros((width, width), dtype=np.int64))
            total[_block(columns, across)] += product
            if other != level:
                total[_block(across, columns)] += product.T


def _levels(Z: Any) -> Iterator[tuple[int, Index, Any]]:
    """The levels that are there, lowest first: number, columns that are not empty, and the values of these in steps of its
    grid, dense or CSR, every entry a whole number of at most 2^17."""
    data = Z.data if sparse.issparse(Z) else Z
    size = np.abs(data)
    top = float(size.max(initial=0.0))
    if top == 0.0:
        return
    lowest, highest = _level(float(size.min(where=size > 0.0, initial=top))), _level(top)
    for level in range(lowest, highest + 1):
        low, high = (2.0 ** (LEVEL_BITS * each + LOWEST) for each in (level, level + 1))
        is_own = (size >= low) & (size < high)
        if not is_own.any():
            continue
        whole = np.zeros_like(data)
        whole[is_own] = np.rint(data[is_own] * 2.0 ** -(LEVEL_BITS * level + GRID))
        if sparse.issparse(Z):
            steps = sparse.csr_array((whole, Z.indices, Z.indptr), shape=Z.shape, copy=True)
            steps.eliminate_zeros()
            yield level, slice(None), steps
            continue
        columns = np.flatnonzero(whole.any(axis=0))
        if len(columns) < whole.shape[1]:
            whole = whole[:, columns]
        is_sparse = np.count_nonzero(whole) < SPARSE * whole.size
        yield level, columns if len(columns) < Z.shape[1] else slice(None), sparse.csr_array(whole) if is_sparse else whole


def _level(size: float) -> int:
    """The level that a magnitude above 0 belongs to."""
    return (int(np.frexp(size)[1]) - 1 - LOWEST) // LEVEL_BITS


def _product(left: Any, right: Any) -> Whole:
    """leftᵀ right; every sum within it is below 2^53."""
    if sparse.issparse(right) and not sparse.issparse(left):
        return _product(right, left).T
    product = left.T @ right
    return np.asarray(product.toarray() if sparse.issparse(product) else product).astype(np.int64)


def _block(rows: Index, columns: Index) -> Any:
    """The index of a block."""
    if isinstance(rows, slice) or isinstance(columns, slice):
        return rows, columns
    return np.ix_(rows, columns)

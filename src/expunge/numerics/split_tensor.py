"""The third derivative of rows in blocks: sums over codes, not over columns. Theory §4.7."""

from collections.abc import Iterator
from itertools import combinations_with_replacement, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from expunge.numerics.tensor import SymmetricTensor, places
from expunge.problem.levels import Block, counted, pair
from expunge.problem.split import SplitMatrix

Array = NDArray[np.float64]
Index = NDArray[np.intp]


COPIED = 1 << 16
"""Entries copied at a time."""


class _Unit(NamedTuple):
    """A dense column or a block: what a row has there, and the columns of each of its categories."""

    values: Array
    categories: tuple[Index, ...]
    block: Block | None


def tensor_of_split(X: SplitMatrix, weights: Array, *, fit_intercept: bool) -> SymmetricTensor:
    """Σ w·x⊗x⊗x, in as many coordinates as the rows have columns, the intercept's included.

    Args:
        X: the rows x, with no columns kept as CSR.
        weights: w, ``(n_rows,)``.
        fit_intercept: whether a 1 follows each row.
    """
    units = [_Unit(X.dense[:, k], (np.array([column]),), None) for k, column in enumerate(X.dense_columns)]
    units += [_Unit(each.values, each.levels.categories, each) for each in X.blocks]
    if fit_intercept:
        units.append(_Unit(np.ones(len(weights)), (np.array([X.shape[1]]),), None))
    tensor = SymmetricTensor.zeros(X.shape[1] + fit_intercept)
    starts, source = places(tensor.n_coordinates)
    packed = tensor.packed
    for i, first in enumerate(units):
        once = weights * first.values
        for j, second in enumerate(units[: i + 1]):
            twice = once * second.values
            for third in units[: j + 1]:
                for columns, sums in _sums((first, second, third), twice):
                    lowest, middle, highest = np.sort(columns, axis=0)
                    packed[starts[highest, middle] + lowest] += sums
    for start in range(0, len(packed), COPIED):  # each sum to wherever else its slab holds it; where it is made it stays
        part = slice(start, start + COPIED)
        packed[part] = packed[source[part]]
    return tensor


def _sums(units: tuple[_Unit, _Unit, _Unit], weights: Array) -> Iterator[tuple[Index, Array]]:
    """For each choice of a category of three units the columns of these together, ``(3, m)``, each combination once, and the
    sums of the rows' weights times the last unit's values for them."""
    blocks = list(dict.fromkeys(unit.block for unit in units if unit.block is not None))
    sizes = [size for each in blocks for size in each.levels.sizes]
    if blocks:
        codes, n_codes = blocks[0].codes, blocks[0].levels.n_codes
        for each in blocks[1:]:
            codes, n_codes = pair(codes, each), n_codes * each.levels.n_codes
        grid = counted(codes, weights, n_codes, units[-1].values).reshape(sizes)
    else:
        grid = np.asarray(weights @ units[-1].values)
    first_axis = dict(zip(blocks, np.cumsum([0, *(len(each.levels.sizes) for each in blocks)]).tolist(), strict=False))
    for chosen in _choices(units):
        axes = sorted({first_axis[unit.block] + k for unit, k in chosen if unit.block is not None})
        sums = grid.sum(axis=tuple(axis for axis in range(grid.ndim) if axis not in axes))
        columns = list[Index]()
        for unit, k in chosen:
            own, shape = unit.categories[k], [1] * len(axes)
            if unit.block is not None:
                at = axes.index(first_axis[unit.block] + k)
                shape[at] = len(own)
                sums = sums[(slice(None),) * at + (slice(len(own)),)]  # without those that have none
            columns.append(own.reshape(shape))
        yield np.stack([each.ravel() for each in np.broadcast_arrays(*columns)]), np.ravel(sums)


def _choices(units: tuple[_Unit, _Unit, _Unit]) -> Iterator[list[tuple[_Unit, int]]]:
    """A category of each unit, in every way; those of a unit that is there several times in one order only."""
    different = list(dict.fromkeys(id(unit) for unit in units))
    groups = [[unit for unit in units if id(unit) == each] for each in different]
    ways = [list(combinations_with_replacement(range(len(group[0].categories)), len(group))) for group in groups]
    for way in product(*ways):
        yield [each for group, chosen in zip(groups, way, strict=True) for each in zip(group, chosen, strict=True)]

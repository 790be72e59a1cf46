"""The third derivative of rows in blocks: sums over codes, not over columns. Theory §4.7."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from expunge.numerics.tensor import SymmetricTensor, places
from expunge.problem.split import Category, SplitMatrix, counted, pair

Array = NDArray[np.float64]


class _Unit(NamedTuple):
    """A dense column or a category: the columns it may be, and what a row has there."""

    columns: NDArray[np.intp]
    values: Array
    category: Category | None


def absorb_split(tensor: SymmetricTensor, X: SplitMatrix, weights: Array, *, fit_intercept: bool) -> None:
    """Adds Σ w·x⊗x⊗x in place.

    Args:
        tensor: B, in as many coordinates as the rows have columns, the intercept's included.
        X: the rows x.
        weights: w, ``(n_rows,)``.
        fit_intercept: whether a 1 follows each row.
    """
    units = [_Unit(np.array([column]), X.dense[:, k], None) for k, column in enumerate(X.dense_columns)]
    units += [_Unit(each.columns, each.values, each) for each in X.categories]
    if fit_intercept:
        units.append(_Unit(np.array([X.shape[1]]), np.ones(len(weights)), None))
    starts, source = places(tensor.n_coordinates)
    summed = np.zeros(len(tensor.packed))
    for i, first in enumerate(units):
        once = weights * first.values
        for j, second in enumerate(units[: i + 1]):
            twice = once * second.values
            for third in units[: j + 1]:
                columns, sums = _sums((first, second, third), twice)
                lowest, middle, highest = np.sort(columns, axis=0)
                summed[starts[highest, middle] + lowest] += sums
    np.add(tensor.packed, summed[source], out=tensor.packed)


def _sums(units: tuple[_Unit, _Unit, _Unit], weights: Array) -> tuple[NDArray[np.intp], Array]:
    """The columns of three units together, ``(3, m)``, each combination once, and the sums of the rows' weights times the last
    unit's values for them."""
    values = units[-1].values
    categories = list(dict.fromkeys(unit.category for unit in units if unit.category is not None))
    if not categories:
        return np.stack([unit.columns for unit in units]), np.array([weights @ values])
    sizes, codes = [len(each.columns) for each in categories], categories[0].codes
    for each in categories[1:]:
        codes = pair(codes, each)
    sums = counted(codes, weights, int(np.prod(sizes)), values)
    levels = dict(zip(categories, np.indices(sizes).reshape(len(sizes), -1), strict=True))
    columns = [
        np.broadcast_to(unit.columns, len(sums)) if unit.category is None else unit.columns[levels[unit.category]]
        for unit in units
    ]
    return np.stack(columns), sums

"""Cubic B-splines on declared knots: smooth curves, with four neighbouring features for each row."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def extended(knots: Sequence[float], degree: int) -> Array:
    """The knots with ``degree`` more on each side, as far apart as the first two and the last two.

    Source: scikit-learn's ``SplineTransformer``, which extends them in the same way.
    """
    inner = np.asarray(knots, dtype=np.float64)
    step = np.arange(1, degree + 1)
    with np.errstate(over="ignore"):  # an error follows for the person who declares them
        before, after = inner[0] - step[::-1] * (inner[1] - inner[0]), inner[-1] + step * (inner[-1] - inner[-2])
    return np.concatenate([before, inner, after])


def basis(x: Array, knots: Sequence[float], degree: int) -> Array:
    """The B-splines at ``x``, ``(n_rows, n_knots + degree - 1)``: none is negative, and those of a row add up to 1.

    Args:
        x: from the first knot to the last, ``(n_rows,)``.
        knots: increasing, two or more.
        degree: 3 for cubic ones.

    Source: L. Piegl, W. Tiller, The NURBS Book (1997), algorithm A2.2.

    Examples:
        >>> basis(np.array([0.0, 0.5]), [0.0, 1.0], 1).tolist()
        [[1.0, 0.0], [0.5, 0.5]]
    """
    t = extended(knots, degree)
    span = np.clip(np.searchsorted(np.asarray(knots), x, side="right") - 1, 0, len(knots) - 2) + degree
    values = [np.ones(len(x))]
    for order in range(1, degree + 1):
        found, saved = [], np.zeros(len(x))
        for r in range(order):
            right, left = t[span + r + 1] - x, x - t[span + 1 - order + r]
            share = values[r] / (right + left)
            found.append(saved + right * share)
            saved = left * share
        values = [*found, saved]
    features = np.zeros((len(x), len(knots) + degree - 1))
    for r, value in enumerate(values):
        features[np.arange(len(x)), span - degree + r] = value
    return features

"""|x| of rows, wherever they lie, none of whose squares over- or underflows. Theory §4.6."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.numerics.rounding import gamma
from expunge.problem.arrays import MODERATE, dense, host, is_on_host, namespace, squared
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.problem.split import SplitMatrix

Array = NDArray[np.float64]


def row_norms(objective: Objective, rows: Rows) -> Array:
    """|x| of each row, the intercept's 1 included, rounded up, ``(n_rows,)``."""
    return host(norms_of(objective, objective.features(rows)))


@np.errstate(over="ignore")
def norms_of(objective: Objective, X: Any) -> Any:
    """``row_norms`` where the rows lie; those whose squares over- or underflow are measured again, scaled by a power of two."""
    xp, intercept = namespace(X), float(objective.fit_intercept)
    squares = _squares(X)
    norms = xp.sqrt(squares + intercept)
    is_odd = ~((squares + intercept >= MODERATE[0] ** 2) & (squares <= MODERATE[1] ** 2))  # rows of zeros among them
    if xp.any(is_odd):
        if is_on_host(X):
            norms[is_odd] = _scaled_norms(X[is_odd], intercept)
        else:
            norms = xp.where(is_odd, _scaled_norms(X, intercept), norms)
    return norms * (1.0 + gamma(X.shape[1] + 5))


def _squares(X: Any) -> Any:
    """|x|² of each row, ``(n_rows,)``."""
    if isinstance(X, SplitMatrix):
        return X.squared_norms()
    if sparse.issparse(X):
        return squared(X) @ np.ones(X.shape[1])
    return np.einsum("ij,ij->i", X, X) if is_on_host(X) else namespace(X).sum(X * X, axis=1)


def _scaled_norms(X: Any, intercept: float) -> Any:
    """|x| of each row with ``intercept`` appended, whatever its magnitude, ``(n_rows,)``."""
    X, xp = dense(X), namespace(X)
    tops = xp.max(abs(X), axis=1)
    usable = xp.where((tops > 0.0) & (tops < math.inf), tops, 1.0)
    scale = 2.0 ** xp.floor(xp.log2(usable))
    lengths = xp.sqrt(_squares(X / scale[:, None])) * scale
    return xp.hypot(lengths, xp.zeros_like(lengths) + intercept)

"""Putting rows into blocks, where their columns come in categories and that is less work."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.numerics.support import Support
from expunge.problem.arrays import is_on_host
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.problem.split import THIN, SplitMatrix, pays

SMALLEST = 1 << 18
"""Fewer values than this are not worth it."""
PRODUCTS = 12
"""A stored entry of a sparse matrix takes part in as many times the work of a value in a block."""


def can_be_split(rows: Rows) -> bool:
    """Whether it is worth finding out where ``rows`` have values, to put them into blocks."""
    return is_on_host(rows.X) and not isinstance(rows.X, SplitMatrix) and rows.X.shape[0] * rows.X.shape[1] >= SMALLEST


def split(objective: Objective, rows: Rows, support: Support) -> Rows:
    """``rows`` in blocks, or as they are where that is no gain.

    Args:
        objective: of these rows.
        rows: that can be split.
        support: of these rows, the intercept's column included.
    """
    X = rows.X
    columns, starts = support.groups
    groups = [np.sort(group[group < objective.n_features]) for group in np.split(columns, starts[1:])]
    groups = [group for group in groups if len(group)]
    alone = np.array([group[0] for group in groups if len(group) == 1], dtype=np.intp)
    filled = _filled(X)[alone]
    thin = filled < THIN * X.shape[0]
    n_stored = len(groups) - int(thin.sum()) + PRODUCTS * float(filled[thin].sum()) / X.shape[0]
    if not pays(n_stored, PRODUCTS * X.nnz / X.shape[0] if sparse.issparse(X) else X.shape[1]):
        return rows
    offset = [np.arange(objective.n_features, X.shape[1])] if objective.offset else []
    return replace(rows, X=SplitMatrix.of(X, groups + offset, thin=alone[thin]))


def _filled(X: Any) -> NDArray[np.int64]:
    """How many rows have a value in each column, ``(n_features,)``."""
    return np.asarray(np.bincount(X.indices, minlength=X.shape[1]) if sparse.issparse(X) else np.count_nonzero(X, axis=0))

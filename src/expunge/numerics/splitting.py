"""Putting rows into blocks, where their columns come in categories and that is less work."""

from dataclasses import replace

import numpy as np
from scipy import sparse

from expunge.numerics.support import Support
from expunge.problem.arrays import is_on_host
from expunge.problem.rows import Rows
from expunge.problem.split import SplitMatrix, pays

SMALLEST = 1 << 18
"""Fewer values than this are not worth it."""
PRODUCTS = 12
"""A stored entry of a sparse matrix takes part in as many times the work of a value in a block."""


def can_be_split(rows: Rows) -> bool:
    """Whether it is worth finding out where ``rows`` have values, to put them into blocks."""
    return is_on_host(rows.X) and not isinstance(rows.X, SplitMatrix) and rows.X.shape[0] * rows.X.shape[1] >= SMALLEST


def split(rows: Rows, support: Support) -> Rows:
    """``rows`` in blocks, or as they are where that is no gain.

    Args:
        rows: that can be split.
        support: of these rows, the intercept's column included.
    """
    X = rows.X
    columns, starts = support.groups
    groups = [np.sort(group[group < X.shape[1]]) for group in np.split(columns, starts[1:])]
    groups = [group for group in groups if len(group)]
    if not pays(len(groups), PRODUCTS * X.nnz / X.shape[0] if sparse.issparse(X) else X.shape[1]):
        return rows
    return replace(rows, X=SplitMatrix.of(X, groups))

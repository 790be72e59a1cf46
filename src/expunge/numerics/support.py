"""Which columns of the rows are ever non-zero, how large, and which never both in one row. Theory §4.7, reach.

Columns of which a row has at most one non-zero, as those of one category are, form a group. For every row x then
|x·D| ≤ Σ_groups max_j M_j|D_j|, M_j the largest |x_j|. All of it stays valid when rows go; rows that come take maxima and may
split groups.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.numerics.rounding import gamma
from expunge.problem.arrays import norm
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.problem.split import SplitMatrix

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Support:
    """Where rows have values, and how large these are.

    Args:
        largest: M, the largest magnitude in each column, the intercept's 1 included, ``(width,)``.
        together: whether some row has non-zeros in both columns, ``(width, width)``, symmetric.
    """

    largest: Array
    together: NDArray[np.bool_]

    @classmethod
    def of(cls, objective: Objective, rows: Rows) -> "Support":
        """The support of ``rows``."""
        X, n = objective.values(rows.on_host()), objective.n_features
        largest, together = np.ones(objective.width), np.zeros((objective.width, objective.width), dtype=bool)
        if not len(rows):
            return cls(0.0 * largest, together)
        together[n:, :] = together[:, n:] = True
        if isinstance(X, SplitMatrix):
            largest[:n], together[:n, :n] = X.largest(), X.together()
            return cls(largest, together)
        largest[:n] = np.maximum(_dense(X.max(axis=0)), -_dense(X.min(axis=0)))
        if sparse.issparse(X):
            present = sparse.csr_array(((X.data != 0).astype(np.float32), X.indices, X.indptr), shape=X.shape)
            together[:n, :n] = (present.T @ present).toarray() > 0
        else:
            present = X != 0
            is_full = present.all(axis=0)
            some = present[:, ~is_full].astype(np.float32)
            together[:n, :n] = is_full[:, None] | is_full[None, :]
            together[np.ix_(np.flatnonzero(~is_full), np.flatnonzero(~is_full))] = some.T @ some > 0
        return cls(largest, together)

    def __or__(self, other: "Support") -> "Support":
        return Support(np.maximum(self.largest, other.largest), self.together | other.together)

    @cached_property
    def groups(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The columns group by group, ``(width,)``, and where each group starts: each column joins the first that it may."""
        width = len(self.largest)
        conflicts, members = np.zeros((0, width), dtype=bool), list[list[int]]()
        for column in range(width):
            free = np.flatnonzero(~conflicts[:, column])
            if len(free):
                conflicts[free[0]] |= self.together[column]
                members[free[0]].append(column)
            else:
                conflicts = np.vstack([conflicts, self.together[column]])
                members.append([column])
        sizes = [len(group) for group in members]
        return np.concatenate(members).astype(np.intp), np.cumsum([0, *sizes[:-1]])

    @np.errstate(all="ignore")
    def reach(self, step: Array) -> float:
        """No less than max |Xᵢᵀ step|₂ over the rows.

        Args:
            step: a displacement of the weights, ``(K · width,)``.
        """
        columns, starts = self.groups
        moved = (np.abs(step.reshape(-1, len(columns))) * self.largest)[:, columns]
        per_output = np.maximum.reduceat(moved, starts, axis=1).sum(axis=1)
        return norm(per_output) * (1.0 + gamma(len(columns) + 8))


def _dense(values: Any) -> Array:
    """One value a column, ``(n_features,)``, of whatever kind the rows were."""
    return np.asarray(values.todense() if sparse.issparse(values) else values, dtype=np.float64).ravel()

"""Expansions: a row of a person as several rows of a model, one for each of some levels. Theory §6.

An expansion looks at one row at a time and learns nothing, so that the rows made of a row come and go with it, and sums over
them are sums over rows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.problem.rows import Rows

Array = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Expansion:
    """The rows that are made.

    Args:
        source: of which row each is made, ascending, ``(n_made,)``.
        level: the level of each, 0..L−1, ``(n_made,)``.
        y: targets, ``(n_made,)``.
        share: what each weighs beside the weight of its source, ``(n_made,)``; ``None`` for 1.
    """

    source: Index
    level: Index
    y: Array
    share: Array | None = None

    def of(self, rows: Rows, n_levels: int, *, by_subject: bool) -> Rows:
        """The rows made of ``rows``: their features, and beside them a column for each level but the first, 1 for its rows.

        Args:
            rows: on the host.
            n_levels: L.
            by_subject: whether ids are those of subjects, which keep them; else the level is put to them, as they name rows.
        """
        X = rows.X[self.source]
        levels = (self.level[:, None] == np.arange(1, n_levels)[None, :]).astype(X.dtype)
        made: Any = sparse.hstack([X, levels], format="csr") if sparse.issparse(X) else np.hstack([X, levels])
        ids = None if rows.ids is None else [rows.ids[i] for i in self.source]
        if ids is not None and not by_subject:
            ids = [f"{name} at level {level}" for name, level in zip(ids, self.level, strict=True)]
        weight = None if rows.sample_weight is None else rows.sample_weight[self.source]
        if self.share is not None:
            weight = self.share if weight is None else self.share * weight
        return Rows.of(made, self.y, weight, ids)


def thresholds(codes: Array, n_levels: int) -> Expansion:
    """Each row at every level k, with the target 1 where its class is above k: classes in order as comparisons.

    Args:
        codes: of the classes, 0..L, ``(n_rows,)``.
        n_levels: L, one less than there are classes.
    """
    source, level = np.repeat(np.arange(len(codes)), n_levels), np.tile(np.arange(n_levels), len(codes))
    return Expansion(source, level, (codes[source] > level).astype(np.float64))


def times_at_risk(times: Array, has_event: NDArray[np.bool_], ends: Array) -> Expansion:
    """Each row at every interval of time that it reached, with its events per time there as target and that time as weight.

    Args:
        times: at which each was last seen, positive, ``(n_rows,)``.
        has_event: whether that was the event, ``(n_rows,)``.
        ends: of all intervals but the last, which has none, ascending, ``(L−1,)``.
    """
    starts, ends = np.concatenate([[0.0], ends]), np.append(ends, np.inf)
    source, level = np.nonzero(starts[None, :] < times[:, None])
    at_risk = np.minimum(times[source], ends[level]) - starts[level]
    is_last = times[source] <= ends[level]
    return Expansion(source, level, np.where(is_last & has_event[source], 1.0 / at_risk, 0.0), at_risk)

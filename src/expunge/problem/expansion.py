"""Expansions: a row of a person as several rows of a model, one for each of some levels. Theory §6.

An expansion looks at one row at a time and learns nothing, so that the rows made of a row come and go with it, and sums over
them are sums over rows.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.problem.rows import Places, Rows

Array = NDArray[np.float64]
Index = NDArray[np.intp]


class Made(NamedTuple):
    """Names a row that was made of another.

    Args:
        row: name of the other.
        level: at which.
    """

    row: object
    level: int

    def __str__(self) -> str:
        return f"{self.row} at level {self.level}"


@dataclass(frozen=True, eq=False)
class Levels:
    """What becomes of the targets of rows.

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


class Expansion(ABC):
    """How rows are expanded."""

    @property
    @abstractmethod
    def n_levels(self) -> int:
        """L, at least 1."""

    @abstractmethod
    def levels(self, y: Array) -> Levels:
        """What becomes of rows with these targets.

        Args:
            y: as they are given, ``(n_rows,)``.
        """

    def rows(self, rows: Rows, *, by_subject: bool = False) -> Rows:
        """The rows made of ``rows``: their features, and beside them a column for each level but the first, 1 for its rows.

        Args:
            rows: on the host.
            by_subject: whether ids are those of subjects, which stay as they are; else they name rows, and are made ``Made``.
        """
        made = self.levels(rows.y)
        X = rows.X[made.source]
        levels = (made.level[:, None] == np.arange(1, self.n_levels)[None, :]).astype(X.dtype)
        wide: Any = sparse.hstack([X, levels], format="csr") if sparse.issparse(X) else np.hstack([X, levels])
        ids = rows.ids
        if isinstance(ids, Places):
            ids = ids.at(made.source)
        elif ids is not None:
            names = [ids[i] for i in made.source]
            ids = names if by_subject else [Made(name, int(k)) for name, k in zip(names, made.level, strict=True)]
        weight = None if rows.sample_weight is None else rows.sample_weight[made.source]
        if made.share is not None:
            weight = made.share if weight is None else made.share * weight
        return Rows.of(wide, made.y, weight, ids)


@dataclass(frozen=True)
class Thresholds(Expansion):
    """Each row at every level k, with the target 1 where the code of its class is above k: ordered classes as comparisons.

    Args:
        n_classes: how many there are, at least 2.
    """

    n_classes: int

    @property
    def n_levels(self) -> int:
        return self.n_classes - 1

    def levels(self, y: Array) -> Levels:
        source, level = np.repeat(np.arange(len(y)), self.n_levels), np.tile(np.arange(self.n_levels), len(y))
        return Levels(source, level, (y[source] > level).astype(np.float64))


@dataclass(frozen=True)
class TimesAtRisk(Expansion):
    """Each row at every interval of time that it reached, with its events per time there as target and that time as weight.
    Targets are times, negative where the event had not come.

    Args:
        ends: of all intervals but the last, which has none, rising.

    Raises:
        ValueError: they do not rise, or are not finite.
    """

    ends: tuple[float, ...]

    def __post_init__(self) -> None:
        if not (np.isfinite(self.ends).all() and (np.diff(self.ends, prepend=0.0) > 0).all()):
            raise ValueError(f"intervals must be finite times above 0 that rise, got {self.ends}")

    @property
    def n_levels(self) -> int:
        return len(self.ends) + 1

    def levels(self, y: Array) -> Levels:
        starts, ends, times = np.array([0.0, *self.ends]), np.array([*self.ends, np.inf]), np.abs(y)
        source, level = np.nonzero(starts[None, :] < times[:, None])
        at_risk = np.minimum(times[source], ends[level]) - starts[level]
        has_event = (times[source] <= ends[level]) & (y[source] > 0)
        return Levels(source, level, np.where(has_event, 1.0 / at_risk, 0.0), at_risk)

"""The protocol of all baselines: ``fit``, ``forget``, ``weights``, ``claims``. Theory §1.

All minimise the same objective, so that their weights can be compared; forgetting is by the rows' positions in ``fit``.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from expunge.engine.local import LocalEngine
from expunge.errors import InvalidRows, NotLearned
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.row_norms import row_norms
from expunge.numerics.solver import minimise
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows

Array = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True)
class Claims:
    """What a method promises of its ``weights``.

    Args:
        kind: ``exact`` (the retrained weights), ``certified`` ((ε, δ)-unlearning) or ``none``.
        epsilon: of a certified method, in nats.
        delta: of a certified method.
        distance_bound: proven distance to the retrained weights before noise, where the method proves one.
        assumptions: under which the claim holds.
        needs_data: whether forgetting reads rows other than those to forget.
        bytes_kept: what must be kept between fit and forget, rows that are read again included.
        source: paper.
    """

    kind: Literal["exact", "certified", "none"]
    assumptions: tuple[str, ...]
    needs_data: bool
    bytes_kept: int
    source: str
    epsilon: float = float("inf")
    delta: float = 1.0
    distance_bound: float = float("inf")


class Baseline(ABC):
    """A method of forgetting. ``weights`` are what it would publish, ``(p,)``.

    Args:
        objective: what is minimised.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    def fit(self, rows: Rows) -> Self:
        """The method with ``rows`` learned, and nothing else.

        Args:
            rows: to learn.

        Raises:
            InvalidRows: they do not fit the objective.
        """
        self._rows = self.objective.check(rows)
        self._held = np.ones(len(rows), dtype=bool)
        self._learn()
        return self

    def forget(self, gone: Index) -> Self:
        """The method without some of the rows that were given to ``fit``.

        Args:
            gone: their positions there, ``(n_gone,)``.

        Raises:
            NotLearned: a position that is not held (any more).
            InvalidRows: no row would remain.
        """
        gone = np.asarray(gone, dtype=np.intp)
        if ((gone < 0) | (gone >= len(self._held))).any() or not self._held[gone].all() or len(np.unique(gone)) < len(gone):
            raise NotLearned("a position is out of range, given twice or already forgotten; nothing was changed")
        if len(gone) >= self._held.sum():
            raise InvalidRows(f"asked to forget {len(gone)} of {self._held.sum()} rows: at least one must remain")
        self._held[gone] = False
        self._unlearn(gone)
        return self

    @property
    @abstractmethod
    def weights(self) -> Array:
        """What would be published, ``(p,)``."""

    @abstractmethod
    def claims(self) -> Claims:
        """What is promised of ``weights``."""

    @abstractmethod
    def _learn(self) -> None: ...

    @abstractmethod
    def _unlearn(self, gone: Index) -> None: ...

    @property
    def _remaining(self) -> Rows:
        return self._rows.take(self._held)

    def _gradient(self, rows: Rows, w: Array) -> Array:
        """∇J over ``rows``, penalty included, ``(p,)``."""
        at = Evaluation(self.objective, rows, w)
        return at.gradient + self.objective.penalty_gradient(w, at.count)

    def _hessian(self, rows: Rows, w: Array) -> Array:
        """∇²J over ``rows``, penalty included, ``(p, p)``."""
        at = Evaluation(self.objective, rows, w)
        return self.objective.penalised_hessian(at.hessian(), at.count)

    def _optimum(self, rows: Rows, start: Array | None = None) -> Array:
        """argmin J over ``rows``, ``(p,)``."""
        return minimise(self.objective, rows, LocalEngine(), start).point

    def _longest(self) -> float:
        """R, the norm of the longest row ever held."""
        return float(row_norms(self.objective, self._rows).max())

    def _data_bytes(self) -> int:
        size = self._rows.X.data.nbytes if hasattr(self._rows.X, "indices") else self._rows.X.nbytes
        return int(size + self._rows.y.nbytes)


def require_declared(objective: Objective) -> None:
    """Raises ``ValueError`` where the constants that a guarantee needs do not exist."""
    if objective.form != "sum" or objective.penalty == 0 or not objective.penalised.all():
        raise ValueError("this method needs a fixed penalty on every weight: form='sum', penalty > 0, fit_intercept=False")
    if not np.isfinite([objective.loss.derivative_bound, objective.loss.curvature_bound]).all():
        raise ValueError(f"this method needs bounded derivatives, which {objective.loss.name} has not")

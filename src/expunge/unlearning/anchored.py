"""A state at an anchor and the candidates that it yields: all that the rest knows of a model's kind. Theory §4.

There are two kinds: ``DenseState`` keeps a p × p Hessian, ``WideState`` sums of p numbers alone.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from expunge.engine import Engine
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.rounding import UNIT_ROUNDOFF, penalty_error
from expunge.numerics.statistics import RowExtremes, Sums
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows, RowSource
from expunge.unlearning.declared import DeclaredBound
from expunge.unlearning.remainder import Remainder
from expunge.unlearning.report import Forecast
from expunge.unlearning.rung import Rung

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AnchoredState(ABC):
    """What a model keeps of its rows: sums at an anchor, from which candidates for a release come.

    Args:
        objective: what is minimised.
        anchor: b, ``(p,)``.
        statistics: of the learned rows at b.
        extremes: R and v over the learned rows.
        curvature_floor: μ ≤ λ_min(H), H the Hessian at b.
        changed: total weight of the rows that came or went since the anchor, rounded up.
    """

    objective: Objective
    anchor: Array
    statistics: Sums
    extremes: RowExtremes
    curvature_floor: float
    changed: float

    has_hessian: ClassVar[bool]
    """Whether the Hessian is kept, so that a change can be certified without reading rows."""

    @property
    @abstractmethod
    def trace(self) -> float:
        """tr H."""

    @property
    def gradient(self) -> Array:
        """q = ∇J at the anchor, ``(p,)``."""
        return self.statistics.gradient_sum + self.objective.penalty_gradient(self.anchor, self.statistics.count)

    @property
    def gradient_error(self) -> float:
        """A bound on the rounding error of ``gradient`` in the 2-norm, the penalty's and the count's included."""
        return gradient_error(self.objective, self.anchor, self.statistics, self.gradient)

    @abstractmethod
    def added(self, rows: Rows) -> Self:
        """The state with ``rows`` learned."""

    def evaluated(self, rows: Rows) -> Evaluation:
        """``rows`` at the anchor."""
        return Evaluation(self.objective, rows.on_host(), self.anchor)

    def removed(self, rows: Rows) -> Self:
        """The state with ``rows`` forgotten; see ``without``."""
        return self.without(self.evaluated(rows))

    @abstractmethod
    def without(self, gone: Evaluation) -> Self:
        """The state with rows forgotten, which were ``evaluated`` here.

        Raises:
            NotLearned: a row that cannot have been learned.
            LastRows: the rows are all that was learned, or all of one class.
        """

    @abstractmethod
    def candidates(
        self,
        remaining: RowSource | None,
        engine: Engine,
        max_passes: int,
        declared: DeclaredBound | None = None,
        before_refit: Callable[[], None] = lambda: None,
        *,
        is_known: bool = False,
    ) -> Iterator["Candidate"]:
        """Candidates from the cheapest rung up, each computed when it is asked for.

        ``remaining`` rows are read before all else, by what is then the first pass: wrong ones are found whether or not the
        statistics suffice.

        Args:
            remaining: all rows learned and not forgotten; ``None`` for the rungs that need none.
            max_passes: how many passes are tried before a refit.
            declared: the bound of the statistics' rung, where it is not ``local``.
            before_refit: called when only a refit is left, before it is made.
            is_known: whether ``remaining`` is known to be right, so that it is read only where it is needed.

        Raises:
            NoOptimum: the remaining rows determine no model.
            InvalidRows, NotLearned: ``remaining`` is not what the state holds.
            CapacityExceeded: the statistics say nothing of what remains, and there are no ``remaining`` rows to refit on.
        """

    @abstractmethod
    def anchored_again(self, candidate: "Candidate", source: RowSource, engine: Engine) -> "Candidate":
        """A refit of ``source`` that depends no more on the order in which its rows are added up. Source: theory §5.7."""

    @abstractmethod
    def rung_needed(self, distance: float, allowed: float, max_passes: int) -> Rung:
        """The cheapest rung that should bring Δ from ``distance`` to ``allowed``: an estimate, for advice only."""

    @abstractmethod
    def displacements(self, rows: Rows, metric: Array | None = None) -> Array:
        """|H⁻¹∇ℓᵢ|, how far the model moves to first order when row i goes, ``(n_rows,)``; or a bound on it.

        Args:
            metric: L of the metric LLᵀ, ``(p, p)``; ``None`` for the 2-norm, the only one of a model without a Hessian.
        """

    @abstractmethod
    def forecasts(
        self, is_enough: Callable[["Candidate"], bool], max_passes: int, sample: Rows | None, declared: DeclaredBound | None
    ) -> tuple[Forecast, ...]:
        """How many more deletions each rung should certify; see ``forecast.forecasts``.

        Raises:
            ValueError: the state has no statistics from which this could be told.
        """

    @abstractmethod
    def rung_expected(
        self,
        n_rows: int,
        is_enough: Callable[["Candidate"], bool],
        max_passes: int,
        sample: Rows,
        declared: DeclaredBound | None,
    ) -> Rung:
        """The rung that one request of ``n_rows`` at random should take; see ``forecast.passes_expected``."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A model that could be released: its un-noised weights, how far they can be from retraining, and the state behind.

    Args:
        state: from which it was made.
        point: w̄, ``(p,)``.
        distance_bound: Δ ≥ |w̄ − ŵ′|₂, ``rounding`` included.
        rung: how that is proven, with so many ``passes``.
        hessian_change: t of theory §4.3 between the anchor and the weights.
        wobble: how far apart two such models of the same rows can be where these are added up in different orders (§5.7).
        energy_distance: a bound on |w̄ − ŵ′|_H, H the exact Hessian at the anchor, ``rounding`` not included.
        rounding: |·|₂ of what rounding has made of the last sum that ``point`` is.
        remainder: what bounds |w̄ − ŵ′| more closely, at O(p³); ``None`` where that is not tried.
    """

    state: AnchoredState
    point: Array
    distance_bound: float
    rung: Rung
    passes: int
    hessian_change: float = 0.0
    wobble: float = 0.0
    energy_distance: float = math.inf
    rounding: float = 0.0
    remainder: Remainder | None = None

    def distance(self, metric: Array | None, stretch: float) -> float:
        """A bound on |w̄ − ŵ′| in the metric LLᵀ, ``rounding`` not included.

        Args:
            metric: L, ``(p, p)``; ``None`` for the 2-norm.
            stretch: κ with LLᵀ ⪯ κH, H the exact Hessian at the anchor.
        """
        energy = math.sqrt(stretch) * self.energy_distance
        return energy if self.remainder is None else min(energy, self.remainder.distance(metric, stretch))


def gradient_error(objective: Objective, w: Array, sums: Sums, gradient: Array) -> float:
    """A bound on the rounding error of ``gradient``, that of J at ``w``: what the sums carry, and the penalty's."""
    added = 2.0 * UNIT_ROUNDOFF * float(np.linalg.norm(gradient))
    return sums.gradient_error + penalty_error(objective, w, sums.count, sums.count_error) + added

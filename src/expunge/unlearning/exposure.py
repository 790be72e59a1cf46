"""Exposure: what the releases before a deletion gave away about the rows forgotten, each charged its own move. Theory §5.5.

Release j had its mean about δⱼ = Hⱼ⁻¹g(w̄ⱼ) from that of a model without the rows, g their gradient. Where they are forgotten, g
and their Hessian are known at one point; so of all releases only sums are kept whose size does not grow.

An estimate, not a bound: δⱼ is one Newton step, g is taken to be linear between the releases and its share of the penalty to be
the same at all of them, Hⱼ and Aⱼ to be multiples of what they are at the deletion, and the covariances to be equal, which for
shaped noise differ by the share of the rows in them.
"""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from expunge.numerics.evaluation import Evaluation
from expunge.numerics.rounding import quiet
from expunge.numerics.statistics import low_rank_update
from expunge.problem.arrays import norm, or_infinite
from expunge.unlearning.anchored import AnchoredState, Candidate
from expunge.unlearning.mechanism import Mechanism
from expunge.unlearning.state import State

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Recorded:
    """Sums over releases, weighted by ωⱼ = tr Aⱼ / (sⱼ tr Hⱼ)². Secret, as the state is.

    Args:
        weight: Σωⱼ.
        mean: the weighted mean of the un-noised weights w̄ⱼ, ``(p,)``.
        scatter: Σωⱼ(w̄ⱼ − mean)(w̄ⱼ − mean)ᵀ, ``(p, p)``.
        mu_squared: Σμⱼ² of these releases.
    """

    weight: float
    mean: Array = field(repr=False)
    scatter: Array = field(repr=False)
    mu_squared: float

    def plus(self, weight: float, point: Array, mu: float) -> "Recorded":
        """These releases and one of ``point``."""
        total = self.weight + weight
        away = point - self.mean
        scatter = low_rank_update(self.scatter, math.sqrt(self.weight * (weight / total)) * away[None, :], 1.0)
        return Recorded(total, self.mean + (weight / total) * away, scatter, self.mu_squared + mu**2)


@dataclass(frozen=True, eq=False)
class Departure:
    """Rows that leave a model: all that an exposure is estimated from.

    Args:
        gone: the rows, evaluated at the anchor of ``before``.
        before: the state that still had them.
        noisy: the mechanism of its last release.
        after: what was made of the state without them.
        moved: how far the model moved, with the distance that is proven, in units of the noise.
    """

    gone: Evaluation = field(repr=False)
    before: AnchoredState = field(repr=False)
    noisy: Mechanism = field(repr=False)
    after: AnchoredState = field(repr=False)
    moved: float

    def gradient(self, at: Array) -> Array:
        """The gradient of the rows at weights ``at``, to first order from the anchor; with their share of the penalty."""
        objective, count = self.before.objective, self.before.statistics.count
        share = objective.penalty_gradient(at, count) - objective.penalty_gradient(at, count - self.gone.count)
        return self.gone.gradient + self._root.T @ (self._root @ (at - self.before.anchor)) + share

    @quiet
    def squared_moves(self, releases: Recorded) -> float:
        """Σ|δⱼ|²/sⱼ² in the metrics of the releases' noise; not finite where it cannot be told."""
        state = self.after
        if not isinstance(state, State):
            return math.nan
        p = len(releases.mean)
        across = self._root if len(self._root) <= p else np.asarray(np.linalg.qr(self._root, mode="r"))
        steps = (np.vstack([across, self.gradient(releases.mean)]) @ state.factor.inverse).T  # from the left: twice as fast
        if (metric := self.noisy.metric) is not None:
            steps = metric.T @ steps
        products = steps.T @ steps
        spread = or_infinite(float(np.sum(products[:-1, :-1] * (across @ releases.scatter @ across.T))))
        total = releases.weight * float(products[-1, -1]) + max(0.0, spread)
        return total * (self.before.trace / _size(self.noisy, p)) ** 2

    @cached_property
    def _root(self) -> Array:
        return self.gone.curvature_root()


@dataclass(frozen=True, eq=False)
class History:
    """The releases so far.

    Args:
        unrecorded: of how many nothing else is kept: those of wide models, of models without noise, and those before a state
            file of an older version was read. Each is charged the last move.
        recorded: the others; ``None`` if there is none.
    """

    unrecorded: int = 0
    recorded: Recorded | None = None

    @quiet
    def followed(self, candidate: Candidate, noisy: Mechanism, mu: float) -> "History":
        """The history with the release of ``candidate``, which was charged ``mu``."""
        state, point = candidate.state, candidate.point
        root = _size(noisy, len(point)) / noisy.scale / state.trace if noisy.scale > 0.0 < state.trace else 0.0
        if not (isinstance(state, State) and 0.0 < root * root < math.inf):
            return replace(self, unrecorded=self.unrecorded + 1)
        before = self.recorded or Recorded(0.0, point, np.zeros((len(point), len(point))), 0.0)
        return replace(self, recorded=before.plus(root * root, point, mu))

    def exposure(self, departure: Departure, n_releases: int) -> float:
        """μ of what the ``n_releases`` so far gave away about rows that leave now, as if all of them had held these."""
        if self.recorded is not None:
            squared = departure.squared_moves(self.recorded)
            if math.isfinite(squared):
                known = math.sqrt(squared) + math.sqrt(self.recorded.mu_squared)
                return math.hypot(known, math.sqrt(self.unrecorded) * departure.moved)
        return math.sqrt(n_releases) * departure.moved


def _size(noisy: Mechanism, n_parameters: int) -> float:
    """√tr A of the metric of the noise."""
    return math.sqrt(n_parameters) if noisy.metric is None else norm(noisy.metric)

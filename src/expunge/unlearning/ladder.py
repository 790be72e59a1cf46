"""The rungs of a model with a Hessian: ever dearer ways to be provably near the retrained one. Theory §4.3 to §4.5.

    statistics    b − H⁻¹q, certified by ``local``                              O(p²), no rows needed
    pass          gradient passes over the remaining rows with the same factor   O(np) each
    refit         a new anchor on the remaining rows                             O(np²) each Newton step

A wide model, whose Hessian would not fit the memory budget, has the passes of ``expunge.unlearning.wide`` only, O(np) each.

``candidates`` of a state yields one candidate a rung, cheapest first; whoever climbs takes the first that is near enough.
"""

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from expunge.engine import Engine
from expunge.errors import CapacityExceeded, NoOptimum
from expunge.numerics.factor import Factor, Hessian
from expunge.numerics.rounding import UNIT_ROUNDOFF, quiet
from expunge.problem.arrays import or_infinite
from expunge.problem.rows import Rows, RowSource
from expunge.unlearning import bounds
from expunge.unlearning.anchored import Candidate, gradient_error
from expunge.unlearning.bounds import UNCHANGED, HessianChange
from expunge.unlearning.declared import DeclaredBound
from expunge.unlearning.remainder import Remainder
from expunge.unlearning.remaining import Pass, require_rows
from expunge.unlearning.rung import Rung
from expunge.unlearning.state import State
from expunge.unlearning.taylor import Expansion, spread

Array = NDArray[np.float64]

DIVERGED = 1e100
"""A gradient this large comes from passes that run away."""
SENSITIVITY = 3.0
"""A step with B moves by no more than this times what its sums are moved by, in the metric of H, where t ≤ ½ (theory §5.7)."""
CUBES = 0.5
"""A pass over n rows takes longer than some products of p × p matrices where n is at least so many times p²."""
HIDDEN = 1e-9
"""Where rounding may be this share of the Hessian, it is what makes the Hessian look singular."""


def usable(state: State) -> State:
    """The state with a factor to step with.

    Raises:
        NoOptimum: the Hessian is singular.
        CapacityExceeded: rounding or overflow hides what it is.
    """
    if not state.statistics.is_bounded:
        raise _uninformed("a row that came or went is too far from the anchor for the statistics (its loss overflows there)")
    try:
        return state.settled()
    except NoOptimum:
        is_unpenalised = state.objective.penalty == 0.0 and state.curvature_floor == 0.0
        if is_unpenalised and state.hessian_error <= HIDDEN * state.trace:
            raise
        raise _uninformed("rounding hides the rows that remain behind far heavier ones that came or went") from None


def _uninformed(why: str) -> CapacityExceeded:
    return CapacityExceeded(
        f"{why}: pass the remaining rows; only a refit on them can determine the model. Nothing was changed",
        distance_bound=math.inf,
        distance_allowed=math.inf,
        rung=Rung.REFIT,
    )


@quiet
def from_statistics(
    state: State, declared: DeclaredBound | None = None, *, sharply: bool = False, closely: bool = True
) -> Candidate:
    """One step from the anchor, certified without rows. Source: theory §4.3, §4.7.

    Args:
        declared: what certifies it instead of the statistics.
        sharply: whether to look at third derivatives twice, and for the least eigenvalue, O(p³), where these are kept.
        closely: whether then to prepare the closer bound of a ``Remainder`` too, likewise.
    """
    step, hessian_step, residual_norm = state.step
    expansion = None if declared is not None else Expansion.of(state, step)
    if expansion is not None:
        return _from_expansion(expansion, sharply, sharply and closely)
    geometry = state.geometry
    length = geometry.length(step, hessian_step)
    after = geometry.hessian_change(step, length)
    error, point = state.gradient_error, state.anchor + step
    rounding = geometry.rounding(step, residual_norm, error)
    c = state.objective.loss.self_concordance
    rung, wobble = Rung.STATISTICS if c > 0.0 else Rung.EXACT, _wobble(geometry, rounding, point)
    if declared is not None:
        distance = state.declared_distance(declared, residual_norm + error + state.hessian_error * float(np.linalg.norm(step)))
        return Candidate(state, point, distance + _rounding_of(point), rung, 0, after.t, wobble)
    decrement = bounds.newton_decrement(length, UNCHANGED, after)
    if c > 0.0:
        decrement = min(decrement, bounds.linear_remainder(c, after.t, spread(state.higher, state.reference, step)))
    found = _candidate(state, point, after.t, decrement + rounding, rung, 0, wobble)
    return _Operator.plain(state).sharpened(found, step, decrement, rounding) if sharply and closely and c > 0.0 else found


def _from_expansion(expansion: Expansion, sharply: bool, closely: bool) -> Candidate:
    state, geometry, concordance = expansion.state, expansion.state.geometry, concordance_of(expansion.state)
    step, left, rounding = expansion.stepped()
    again = Expansion.of(state, step) if sharply else None
    if again is not None:
        expansion = again
        step, left, rounding = expansion.stepped()
    length = geometry.length(step, state.hessian @ step)
    t, point = geometry.hessian_change(step, length).t, state.anchor + step
    beyond = bounds.cubic_remainder(concordance, t, length, spread(state.higher, state.reference, step))
    growth = bounds.growth_of(t)
    if sharply:
        drift = state.hessian_change(step - expansion.at).t
        least = expansion.lowest - drift - bounds.hessian_remainder(concordance, t)
        growth = min(growth, bounds.ROUND_UP / least) if least > 0.0 else growth
    wobble = _wobble(geometry, SENSITIVITY * rounding, point)
    found = _candidate(state, point, t, beyond + left + rounding, Rung.STATISTICS, 0, wobble, growth)
    operator = _Operator.shifted(expansion) if closely else None
    return found if operator is None else operator.sharpened(found, step, beyond + left, rounding)


def is_cheaper_than_a_pass(state: State) -> bool:
    """Whether the closer bound of a ``Remainder``, O(p³), takes less than a pass over the rows."""
    return CUBES * len(state.anchor) ** 2 <= state.statistics.n_rows


def concordance_of(state: State) -> tuple[float, float]:
    """c and c₄ of the loss."""
    loss = state.objective.loss
    return loss.self_concordance, loss.fourth_order_concordance


def _candidate(
    state: State,
    point: Array,
    t: float,
    decrement: float,
    rung: Rung,
    passes: int,
    wobble: float,
    growth: float | None = None,
) -> Candidate:
    """The candidate at ``point``, where |∇J|_{H⁻¹} is at most ``decrement``; ``growth`` as for ``energy_distance``."""
    geometry, rounding = state.geometry, _rounding_of(point)
    energy = bounds.energy_distance(geometry, bounds.growth_of(t) if growth is None else growth, decrement)
    return Candidate(state, point, geometry.euclidean(energy) + rounding, rung, passes, t, wobble, energy, rounding)


def _wobble(geometry: bounds.Geometry, rounding: float, point: Array) -> float:
    """Twice what ``rounding``, in the metric of H⁻¹, can move ``point``."""
    return 2.0 * (rounding / math.sqrt(geometry.mu) + _rounding_of(point)) if geometry.mu > 0 else math.inf


def _rounding_of(point: Array) -> float:
    """Of the sum that ``point`` is."""
    return 2.0 * UNIT_ROUNDOFF * float(np.linalg.norm(point))


def refit(state: State, remaining: RowSource, engine: Engine, passes: int, start: Array) -> Candidate:
    """A new anchor on the remaining rows, by Newton from ``start``. Source: theory §4.5.

    Raises:
        InvalidRows, NotLearned: ``remaining`` is not what the state holds.
        NoOptimum: the rows determine no model.
    """
    require_rows(state, remaining, engine)
    fresh = type(state).fitted(state.objective, remaining, engine, start, order=state.order)
    anew = replace(from_statistics(fresh), rung=Rung.REFIT, passes=passes)
    return anew if isinstance(remaining, Rows) else anchored_again(state, anew, remaining, engine)


def anchored_again(state: State, candidate: Candidate, source: RowSource, engine: Engine) -> Candidate:
    """The anchor taken once more, at its own optimum: two such anchors are at most twice their distance from it apart."""
    near = type(state).fitted(state.objective, source, engine, candidate.point, order=state.order)
    step, hessian_step, residual_norm = near.step
    geometry = near.geometry
    rounding = geometry.rounding(step, residual_norm, near.gradient_error)
    away = bounds.residual(geometry, 0.0, geometry.length(step, hessian_step) + rounding)
    anew = from_statistics(near)
    return replace(anew, rung=Rung.REFIT, passes=candidate.passes, wobble=2.0 * away + anew.wobble)


def polished(state: State, point: Array, measure: Pass, max_passes: int) -> Iterator[Candidate]:
    """Passes with the anchor's factor; each is certified by its own residual.

    Args:
        measure: makes a pass over the remaining rows at a point; told whether it is the first.

    Source: theory §4.4.
    """
    geometry, hessian, wobble = state.geometry, state.hessian, 0.0
    operator = _Operator.of(state, point - state.anchor)
    for k in range(1, max_passes + 1):
        measured = measure(point, k == 1)
        gradient = measured.here.gradient_sum + state.objective.penalty_gradient(point, measured.here.count)
        if not np.abs(gradient).max() < DIVERGED:
            return  # only a refit can help
        moved = point - state.anchor
        before = state.hessian_change(moved, measured.row_shift)
        error = gradient_error(state.objective, point, measured.here, gradient)
        plain, plain_product, plain_residual = state.factor.solve(hessian, -gradient)
        rounding = geometry.rounding(plain, plain_residual, error)
        here = _candidate(state, point, before.t, geometry.length(plain, plain_product) + rounding, Rung.PASS, k, wobble)
        step, product, residual_norm = plain, plain_product, plain_residual
        if operator.expansion is not None:
            step, _product, residual_norm = operator.factor.solve(operator.matrix, -gradient)
            product = hessian @ step
        length = geometry.length(step, product)
        rounding = geometry.rounding(step, residual_norm + operator.error * float(np.linalg.norm(step)), error)
        ahead = moved + step
        after = replace(state.hessian_change(ahead), by_rows=before.by_rows + geometry.hessian_change(step, length).t)
        by_rows = operator.decrement(length, (before, after), (moved, ahead))
        wobble += _wobble(geometry, SENSITIVITY * rounding, state.anchor + ahead)
        there = _candidate(state, point + step, after.t, by_rows + rounding, Rung.PASS, k, wobble)
        if there.distance_bound <= here.distance_bound:
            yield there
            if k == max_passes or is_cheaper_than_a_pass(state):
                yield operator.sharpened(there, ahead, by_rows, rounding)
        else:
            yield here
        point = there.point


@dataclass(frozen=True, eq=False)
class _Operator:
    """What passes step with: H, or H + B[E] where third derivatives are kept. Source: theory §4.4, §4.7."""

    state: State
    matrix: Hessian
    factor: Factor
    expansion: Expansion | None = None

    @classmethod
    def plain(cls, state: State) -> "_Operator":
        """H."""
        return cls(state, state.hessian, state.factor)

    @classmethod
    def shifted(cls, expansion: Expansion) -> "_Operator | None":
        """H + B[E]; ``None`` where that is not positive definite."""
        with suppress(NoOptimum):
            return cls(expansion.state, expansion.operator, Factor.of(expansion.operator), expansion)
        return None

    @classmethod
    def of(cls, state: State, at: Array) -> "_Operator":
        """The better one of both that there is."""
        expansion = Expansion.of(state, at)
        return (None if expansion is None else cls.shifted(expansion)) or cls.plain(state)

    @property
    def error(self) -> float:
        """How far B[E] may be off."""
        return 0.0 if self.expansion is None else self.expansion.error

    def decrement(
        self, length: float, changes: tuple[HessianChange, HessianChange], displacements: tuple[Array, Array]
    ) -> float:
        """Bound on |∇J|_{H⁻¹} after a step of ``length`` from the first of ``displacements`` to the second."""
        if self.expansion is None:
            return bounds.newton_decrement(length, *changes)
        start, end = (self.state.hessian_change(displacement - self.expansion.at) for displacement in displacements)
        return bounds.shifted_decrement(length, concordance_of(self.state), changes, (start, end))

    def sharpened(self, candidate: Candidate, displacement: Array, decrement: float, rounding: float) -> Candidate:
        """The same candidate with what Lemma 6 of theory §4.7 needs, where that says something.

        Args:
            candidate: at b + ``displacement``.
            decrement: bound on |r|_{S⁺}, r what a Taylor polynomial leaves of the gradient there.
            rounding: |l|_{H⁻¹} of what else is left.
        """
        state = self.state
        geometry, t, energy = state.geometry, candidate.hessian_change, candidate.energy_distance
        reach, error = geometry.reach(energy), state.hessian_error + self.error
        if self.expansion is None:
            change, least = bounds.mean_growth(t, t + reach), 1.0
        else:
            change = bounds.hessian_remainder(concordance_of(state), t) + bounds.growth_of(t) * bounds.mean_growth(0.0, reach)
            change += state.hessian_change(displacement - self.expansion.at).t
            least = self.expansion.lowest
        least -= error / geometry.mu if geometry.mu > 0.0 else math.inf
        by_rows = or_infinite((decrement + change * energy) * bounds.ROUND_UP)
        if geometry.self_concordance == 0.0 or not (least > 0.0 and by_rows < math.inf):
            return candidate
        beyond = (rounding + error * energy / geometry.mu) * bounds.ROUND_UP
        hessian_sum, grown = state.statistics.hessian_sum, bounds.ROUND_UP / least
        return replace(
            candidate,
            remainder=Remainder(self.matrix, self.factor, hessian_sum, state.hessian_error, grown, by_rows, beyond),
        )

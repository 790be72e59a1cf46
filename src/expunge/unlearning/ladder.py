"""The ladder: ever dearer ways to a model that is provably near the retrained one. Theory §4.3 to §4.5.

    statistics    b − H⁻¹q, certified by ``local``                              O(p²), no rows needed
    pass          gradient passes over the remaining rows with the same factor   O(np) each
    refit         a new anchor on the remaining rows                             O(np²) each Newton step

A wide model, whose Hessian would not fit the memory budget, has the passes of ``expunge.unlearning.wide`` only, O(np) each.

``climb`` yields one candidate a rung, cheapest first; whoever climbs takes the first that is near enough. Nothing is
computed before it is asked for.
"""

import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from expunge.engine import Engine
from expunge.errors import CapacityExceeded, InvalidRows, NoOptimum, NotLearned
from expunge.numerics.evaluation import UNIT_ROUNDOFF, Evaluation, quiet
from expunge.numerics.statistics import Sums, anchor_digest
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows, RowSource
from expunge.unlearning import bounds
from expunge.unlearning.bounds import NOWHERE, Reach
from expunge.unlearning.certificate import Rung
from expunge.unlearning.state import SAME, State, gradient_error
from expunge.unlearning.wide import WideState, descend, is_wide

Array = NDArray[np.float64]

DIVERGED = 1e100
"""A gradient this large comes from passes that run away."""
OVERFLOWING = 1e150
"""Rows whose statistics are bounded never differ by this."""
HIDDEN = 1e-9
"""Where rounding may be this share of the Hessian, it is what makes the Hessian look singular."""

DeclaredBound = Callable[[State, float], float]
"""Δ of the statistics rung from declared constants, given the state and what rounding adds to |∇J(w̄)|₂."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A model that could be released: its un-noised weights, how far they can be from retraining, and the state behind.

    ``reach`` is t of theory §4.3 between the anchor and the weights; ``wobble`` bounds how far apart two such models of the
    same rows can be where these are added up in different orders (theory §5.7).
    """

    state: State | WideState
    point: Array
    distance_bound: float
    rung: Rung
    passes: int
    reach: float = 0.0
    wobble: float = 0.0


@dataclass(frozen=True, eq=False)
class Measured:
    """What one pass over the rows finds: sums at a point and at the anchor, max |x|, and max |Xᵢᵀ(point − anchor)|₂."""

    here: Sums
    at_anchor: Sums
    row_norm: float
    row_shift: float

    def __add__(self, other: "Measured") -> "Measured":
        return Measured(
            self.here.plus(other.here, 1.0),
            self.at_anchor.plus(other.at_anchor, 1.0),
            max(self.row_norm, other.row_norm),
            max(self.row_shift, other.row_shift),
        )


Pass = Callable[[Array, bool], Measured]
"""Makes a pass at a point; the flag says whether it is the first, which also checks the rows."""


def fitted(objective: Objective, source: RowSource, engine: Engine, memory_budget: float) -> Candidate:
    """A new anchor: with its Hessian, if that fits ``memory_budget`` bytes, else without.

    Raises:
        InvalidRows, NoOptimum: the rows cannot be fitted.
    """
    if not is_wide(objective, memory_budget):
        return replace(from_statistics(State.fitted(objective, source, engine)), rung="refit")
    *_, last = _descended(objective, source, engine, np.zeros(objective.n_parameters))
    return last


def climb(
    state: State | WideState,
    remaining: RowSource | None,
    engine: Engine,
    max_passes: int,
    declared: DeclaredBound | None = None,
    before_refit: Callable[[], None] = lambda: None,
    *,
    is_known: bool = False,
) -> Iterator[Candidate]:
    """Candidates from the cheapest rung up; only the statistics' where there are no ``remaining`` rows. These are read before
    all else, by what is then the first pass: wrong ones are found whether or not the statistics suffice.

    Args:
        is_known: whether ``remaining`` is known to be right, so that it is read only where it is needed.
        before_refit: called when only a refit is left, before it is made.

    Raises:
        NoOptimum: the remaining rows determine no model.
        InvalidRows, NotLearned: ``remaining`` is not what the state holds.
        CapacityExceeded: the statistics say nothing of what remains, and there are no ``remaining`` rows to refit on.
    """
    if isinstance(state, WideState):
        if remaining is not None:
            _measure(state, remaining, engine, state.anchor, is_first=True)
            yield from _descended(state.objective, remaining, engine, state.anchor)
        return
    try:
        state = _usable(state)
    except (NoOptimum, CapacityExceeded):
        if remaining is None:
            raise
        before_refit()
        yield refit(state, remaining, engine, 0, state.anchor)
        return
    point, measure = state.point, None if remaining is None else _Passes(state, remaining, engine)
    if measure is not None and not is_known:
        measure(point, True)
    yield from_statistics(state, declared)
    state = state.tightened()
    if declared is None:
        yield from_statistics(state)
    if remaining is None or measure is None:
        return
    for candidate in polished(state, point, measure, max_passes):
        yield candidate
        point = candidate.point
    before_refit()
    yield refit(state, remaining, engine, max_passes, point)


def _usable(state: State) -> State:
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
        f"{why}: pass the remaining rows, only a refit on them can tell the model. Nothing was changed",
        distance_bound=math.inf,
        distance_allowed=math.inf,
        rung="refit",
    )


@quiet
def from_statistics(state: State, declared: DeclaredBound | None = None) -> Candidate:
    """One Newton step from the anchor, certified without rows. Source: theory §4.3."""
    step, hessian_step, residual_norm = state.step
    geometry = state.geometry
    length = geometry.length(step, hessian_step)
    after = geometry.reach(step, length)
    error, point = state.gradient_error, state.anchor + step
    rounding = geometry.rounding(step, residual_norm, error)
    if declared is None:
        distance = bounds.residual(geometry, after.t, bounds.newton_decrement(length, NOWHERE, after) + rounding)
    else:
        distance = declared(state, residual_norm + error + state.hessian_error * float(np.linalg.norm(step)))
    is_exact = state.objective.loss.self_concordance == 0.0
    rung: Rung = "exact" if is_exact else "statistics"
    return Candidate(state, point, distance + _rounding_of(point), rung, 0, after.t, _wobble(geometry, rounding, point))


def _wobble(geometry: bounds.Geometry, rounding: float, point: Array) -> float:
    """Twice what ``rounding``, in the metric of H⁻¹, can move ``point``."""
    return 2.0 * (rounding / math.sqrt(geometry.mu) + _rounding_of(point)) if geometry.mu > 0 else math.inf


def _rounding_of(point: Array) -> float:
    """Of the sum that ``point`` is."""
    return 2.0 * UNIT_ROUNDOFF * float(np.linalg.norm(point))


def _descended(objective: Objective, source: RowSource, engine: Engine, start: Array) -> Iterator[Candidate]:
    """The points of ``wide.descend``; the optimum counts as a refit. Source: theory §4.4."""
    for state, passes, is_optimum in descend(objective, source, engine, start):
        distance = state.distance_bound
        yield Candidate(state, state.anchor, distance, "refit" if is_optimum else "pass", passes, wobble=2.0 * distance)


def refit(state: State, remaining: RowSource, engine: Engine, passes: int, start: Array) -> Candidate:
    """A new anchor on the remaining rows, by Newton from ``start``. Source: theory §4.5.

    Raises:
        InvalidRows, NotLearned: ``remaining`` is not what the state holds.
        NoOptimum: the rows determine no model.
    """
    _measure(state, remaining, engine, state.anchor, is_first=True)
    anew = replace(from_statistics(State.fitted(state.objective, remaining, engine, start)), rung="refit", passes=passes)
    return anew if isinstance(remaining, Rows) else _anchored_again(anew, remaining, engine)


def refit_cold(state: State | WideState, source: RowSource, engine: Engine, memory_budget: float) -> Candidate:
    """A fit on the rows that ``state`` holds, as somebody would make it who never saw others.

    Raises:
        InvalidRows, NotLearned: ``source`` is not what the state holds.
        NoOptimum: the rows determine no model, or the descent of a wide model stalls before its optimum.

    Source: theory §5.7.
    """
    _measure(state, source, engine, state.anchor, is_first=True)
    cold = fitted(state.objective, source, engine, memory_budget)
    if cold.rung != "refit":
        raise NoOptimum(
            "the descent stalled before the optimum: its last gradient no longer falls, though it is more than rounding. Scale "
            "the columns alike, raise the penalty (smaller C, larger alpha), or raise memory_budget. Nothing was changed"
        )
    is_anchored = isinstance(source, Rows) or isinstance(cold.state, WideState)
    return cold if is_anchored else _anchored_again(cold, source, engine)


def _anchored_again(candidate: Candidate, source: RowSource, engine: Engine) -> Candidate:
    """The anchor taken once more, at its own optimum: two such anchors are at most twice their distance from it apart."""
    near = State.fitted(candidate.state.objective, source, engine, candidate.point)
    step, hessian_step, residual_norm = near.step
    geometry = near.geometry
    rounding = geometry.rounding(step, residual_norm, near.gradient_error)
    away = bounds.residual(geometry, 0.0, geometry.length(step, hessian_step) + rounding)
    anew = from_statistics(near)
    return replace(anew, rung="refit", passes=candidate.passes, wobble=2.0 * away + anew.wobble)


def estimate_rung(candidate: Candidate, allowed: float, max_passes: int) -> Rung:
    """The cheapest rung that should bring a statistics ``candidate`` within ``allowed``: an estimate, for advice only.

    Each pass gains about a factor e^t − 1 (theory §4.4).
    """
    if isinstance(candidate.state, WideState):
        return "refit"
    step, hessian_step, _residual = candidate.state.step
    geometry = candidate.state.geometry
    t = geometry.reach(step, geometry.length(step, hessian_step)).t
    needed = allowed / candidate.distance_bound if candidate.distance_bound > 0 else 1.0
    is_contracting = t < np.log(2.0) and np.expm1(t) ** max_passes <= needed
    return "pass" if max_passes > 0 and is_contracting else "refit"


def polished(state: State, point: Array, measure: Pass, max_passes: int) -> Iterator[Candidate]:
    """Passes with the anchor's factor; each is certified by its own residual.

    Args:
        measure: makes a pass over the remaining rows at a point; told whether it is the first.

    Source: theory §4.4.
    """
    geometry, hessian, wobble = state.geometry, state.hessian, 0.0
    for k in range(1, max_passes + 1):
        measured = measure(point, k == 1)
        gradient = measured.here.gradient_sum + state.objective.penalty_gradient(point, measured.here.count)
        if not np.abs(gradient).max() < DIVERGED:
            return  # only a refit can help
        moved = point - state.anchor
        before = geometry.reach(moved, geometry.length(moved, hessian @ moved), measured.row_shift)
        step, hessian_step, residual_norm = state.factor.solve(hessian, -gradient)
        length = geometry.length(step, hessian_step)
        error = gradient_error(state.objective, point, measured.here, gradient)
        rounding = geometry.rounding(step, residual_norm, error)
        distance = bounds.residual(geometry, before.t, length + rounding)
        here = Candidate(state, point, distance, "pass", k, before.t, wobble)
        moved = moved + step
        after = geometry.reach(moved, geometry.length(moved, hessian @ moved))
        after = Reach(after.by_norm, after.by_whitened_norm, before.by_rows + geometry.reach(step, length).t)
        decrement = bounds.newton_decrement(length, before, after) + rounding
        ahead = point + step
        distance, wobble = bounds.residual(geometry, after.t, decrement), wobble + _wobble(geometry, rounding, ahead)
        there = Candidate(state, ahead, distance + _rounding_of(ahead), "pass", k, after.t, wobble)
        yield there if there.distance_bound <= here.distance_bound else here
        point = there.point


@dataclass
class _Passes:
    """A ``Pass`` over the remaining rows; the first, which checks them, is made once."""

    state: State
    remaining: RowSource
    engine: Engine
    first: Measured | None = None

    def __call__(self, point: Array, is_first: bool) -> Measured:
        if not is_first:
            return _measure(self.state, self.remaining, self.engine, point, is_first)
        self.first = self.first or _measure(self.state, self.remaining, self.engine, point, is_first)
        return self.first


def require_rows(state: State | WideState, source: RowSource, engine: Engine) -> None:
    """Raises ``InvalidRows`` or ``NotLearned`` unless ``source`` holds the state's own rows; one pass."""
    _measure(state, source, engine, state.anchor, is_first=True)


def _measure(state: State | WideState, remaining: RowSource, engine: Engine, point: Array, is_first: bool) -> Measured:
    """One gradient pass at ``point``; the first also checks, at the anchor, that the rows are the state's own."""
    objective, moved = state.objective, point - state.anchor
    digest, anchor, is_weighted = anchor_digest(objective, point), state.statistics.anchor, state.statistics.is_weighted

    def measure(rows: Rows) -> Measured:
        at = Evaluation(objective, objective.check(rows, is_weighted), point)
        here = Sums.at(at, digest)
        old = Sums.at(at.moved_to(state.anchor), anchor) if is_first else here
        return Measured(here, old, at.longest, at.shift(moved))

    measured: Measured = engine.reduce(remaining, measure, operator.add)
    if is_first:
        _require_same_rows(state, measured)
    return measured


def _require_same_rows(state: State | WideState, measured: Measured) -> None:
    """Refuses rows that cannot be the state's own, whatever the rounding was: other numbers, weights, norms or gradients."""
    held, found = state.statistics, measured.at_anchor
    off = abs(found.count - held.count)
    is_same = found.n_rows == held.n_rows and np.array_equal(found.class_rows, held.class_rows)
    if not (is_same and off <= (found.count_error + held.count_error) * (1.0 + 1e-6)):
        raise InvalidRows(
            f"remaining has rows of total weight {found.count:g} ({_by_class(found)}), but {held.count:g} ({_by_class(held)}) "
            "are learned and not forgotten: pass exactly the rows that remain"
        )
    longest = state.extremes.row_norm
    if measured.row_norm > longest * SAME:
        raise InvalidRows(
            f"remaining holds a row that is longer ({measured.row_norm:.6g}) than any row learned ({longest:.6g}): "
            "pass exactly the rows that remain, encoded as they were for fit"
        )
    if not held.is_bounded:
        return  # nothing is known of the gradient
    with np.errstate(over="ignore", invalid="ignore"):
        apart = float(np.linalg.norm(found.gradient_sum - held.gradient_sum))
    if not apart <= min((found.gradient_error + held.gradient_error) * (1.0 + 1e-6), OVERFLOWING):
        raise NotLearned(
            f"remaining is not what was learned less what is to be forgotten (their gradients differ by {apart:.3g}): a row "
            "of the request was never learned, or remaining holds other rows or other weights; nothing was changed"
        )


def _by_class(sums: Sums) -> str:
    per_class = f", {'/'.join(map(str, sums.class_rows))} by class" if len(sums.class_rows) else ""
    return f"{sums.n_rows} rows{per_class}"

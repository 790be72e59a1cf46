"""The ladder: ever dearer ways to a model that is provably near the retrained one. Theory §4.3 to §4.5.

    statistics    b − H⁻¹q, certified by ``local``                              O(p²), no rows needed
    pass          gradient passes over the remaining rows with the same factor   O(np) each
    refit         a new anchor on the remaining rows                             O(np²) each Newton step

A wide model, whose Hessian would not fit the memory budget, has the passes of ``expunge.wide`` only, O(np) each.

``climb`` yields one candidate a rung, cheapest first; whoever climbs takes the first that is near enough. Nothing is
computed before it is asked for.
"""

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from expunge import bounds
from expunge.bounds import NOWHERE, Reach
from expunge.certificate import Rung
from expunge.engine import Engine
from expunge.errors import InvalidRows, NoOptimum, NotLearned
from expunge.evaluation import Evaluation
from expunge.objective import Objective
from expunge.rows import Rows, RowSource
from expunge.state import State
from expunge.wide import WideState, descend, is_wide

Array = NDArray[np.float64]

DIVERGED = 1e100
"""A gradient this large comes from passes that run away."""

DeclaredBound = Callable[[State, float], float]
"""Δ of the statistics rung from declared constants, given the state and what rounding adds to |∇J(w̄)|₂."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A model that could be released: its un-noised weights, how far they can be from retraining, and the state behind.

    ``reach`` is t of theory §4.3 between the anchor and the weights.
    """

    state: State | WideState
    point: Array
    distance_bound: float
    rung: Rung
    passes: int
    reach: float = 0.0


@dataclass(frozen=True, eq=False)
class Measured:
    """What one pass over the rows finds at a point: sums, and the largest |Xᵢᵀ(point − anchor)|."""

    count: float
    gradient: Array
    gradient_error: float
    row_shift: float
    anchor_gradient: Array
    anchor_error: float

    def __add__(self, other: "Measured") -> "Measured":
        return Measured(
            self.count + other.count,
            self.gradient + other.gradient,
            self.gradient_error + other.gradient_error,
            max(self.row_shift, other.row_shift),
            self.anchor_gradient + other.anchor_gradient,
            self.anchor_error + other.anchor_error,
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
) -> Iterator[Candidate]:
    """Candidates from the cheapest rung up; only the statistics' where there are no ``remaining`` rows.

    Args:
        before_refit: called when only a refit is left, before it is made.

    Raises:
        NoOptimum: the remaining rows determine no model.
        InvalidRows, NotLearned: ``remaining`` is not what the state holds.
    """
    if isinstance(state, WideState):
        if remaining is not None:
            _measure(state, remaining, engine, state.anchor, is_first=True)
            yield from _descended(state.objective, remaining, engine, state.anchor)
        return
    try:
        state = state.settled()
    except NoOptimum:
        if remaining is None:
            raise
        before_refit()
        yield refit(state, remaining, engine, 0, state.anchor)
        return
    yield from_statistics(state, declared)
    state = state.tightened()
    if declared is None:
        yield from_statistics(state)
    if remaining is None:
        return
    point = state.point
    for candidate in polished(state, point, partial(_measure, state, remaining, engine), max_passes):
        yield candidate
        point = candidate.point
    before_refit()
    yield refit(state, remaining, engine, max_passes, point)


def from_statistics(state: State, declared: DeclaredBound | None = None) -> Candidate:
    """One Newton step from the anchor, certified without rows. Source: theory §4.3."""
    step, hessian_step, residual_norm = state.step
    geometry = state.geometry
    length = geometry.length(step, hessian_step)
    after = geometry.reach(step, length)
    error = state.statistics.gradient_error
    if declared is None:
        decrement = bounds.newton_decrement(length, NOWHERE, after) + geometry.rounding(step, residual_norm, error)
        distance = bounds.residual(geometry, after.t, decrement)
    else:
        distance = declared(state, residual_norm + error + state.statistics.hessian_error * float(np.linalg.norm(step)))
    is_exact = state.objective.loss.self_concordance == 0.0
    return Candidate(state, state.anchor + step, distance, "exact" if is_exact else "statistics", 0, after.t)


def _descended(objective: Objective, source: RowSource, engine: Engine, start: Array) -> Iterator[Candidate]:
    """The points of ``wide.descend``; the last counts as a refit. Source: theory §4.4."""
    for state, passes, is_last in descend(objective, source, engine, start):
        yield Candidate(state, state.anchor, state.distance_bound, "refit" if is_last else "pass", passes)


def refit(state: State, remaining: RowSource, engine: Engine, passes: int, start: Array) -> Candidate:
    """A new anchor on the remaining rows, by Newton from ``start``. Source: theory §4.5.

    Raises:
        InvalidRows, NotLearned: ``remaining`` is not what the state holds.
    """
    _measure(state, remaining, engine, state.anchor, is_first=True)
    anew = State.fitted(state.objective, remaining, engine, start)
    return replace(from_statistics(anew), rung="refit", passes=passes)


def refit_cold(
    state: State | WideState, source: RowSource, engine: Engine, memory_budget: float
) -> tuple[Candidate, float | None]:
    """A fit on the rows that ``state`` holds, and how far its anchor can be from that of the same fit by somebody else.

    Of ``Rows`` every sum is made in their order: the anchors are the same bit for bit, 0. The rows of a table may lie, and be
    added up, in another way where somebody was never in it. There the anchor is taken once more, at its own optimum, and the
    two are at most twice its distance from that apart; ``None`` for a wide model, which has no anchor to step from.

    Raises:
        InvalidRows, NotLearned: ``source`` is not what the state holds.
        NoOptimum: the rows determine no model.

    Source: theory §5.7.
    """
    _measure(state, source, engine, state.anchor, is_first=True)
    cold = fitted(state.objective, source, engine, memory_budget)
    if isinstance(source, Rows):
        return cold, 0.0
    if isinstance(cold.state, WideState):
        return cold, None
    near = State.fitted(state.objective, source, engine, cold.point)
    step, hessian_step, residual_norm = near.step
    geometry = near.geometry
    rounding = geometry.rounding(step, residual_norm, near.statistics.gradient_error)
    away = bounds.residual(geometry, 0.0, geometry.length(step, hessian_step) + rounding)
    return replace(from_statistics(near), rung="refit"), 2.0 * away


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
    geometry, hessian = state.geometry, state.hessian
    for k in range(1, max_passes + 1):
        measured = measure(point, k == 1)
        gradient = measured.gradient + state.objective.penalty_gradient(point, state.statistics.count)
        if not np.abs(gradient).max() < DIVERGED:
            return  # only a refit can help
        moved = point - state.anchor
        before = geometry.reach(moved, geometry.length(moved, hessian @ moved), measured.row_shift)
        step, hessian_step, residual_norm = state.factor.solve(hessian, -gradient)
        length = geometry.length(step, hessian_step)
        rounding = geometry.rounding(step, residual_norm, measured.gradient_error)
        here = Candidate(state, point, bounds.residual(geometry, before.t, length + rounding), "pass", k, before.t)
        moved = moved + step
        after = geometry.reach(moved, geometry.length(moved, hessian @ moved))
        after = Reach(after.by_norm, after.by_whitened_norm, before.by_rows + geometry.reach(step, length).t)
        decrement = bounds.newton_decrement(length, before, after) + rounding
        there = Candidate(state, point + step, bounds.residual(geometry, after.t, decrement), "pass", k, after.t)
        yield there if there.distance_bound <= here.distance_bound else here
        point = there.point


def _measure(state: State | WideState, remaining: RowSource, engine: Engine, point: Array, is_first: bool) -> Measured:
    """One gradient pass at ``point``; the first also checks, at the anchor, that the rows are the state's own."""
    objective, moved = state.objective, point - state.anchor

    def measure(rows: Rows) -> Measured:
        at = Evaluation(objective, objective.check(rows), point)
        old = at.moved_to(state.anchor) if is_first else at
        return Measured(at.count, at.gradient, at.gradient_error, at.shift(moved), old.gradient, old.gradient_error)

    measured: Measured = engine.reduce(remaining, measure, operator.add)
    if is_first:
        _require_same_rows(state, measured)
    return measured


def _require_same_rows(state: State | WideState, measured: Measured) -> None:
    held = state.statistics
    if abs(measured.count - held.count) > 1e-9 * held.count:
        raise InvalidRows(
            f"remaining has rows of total weight {measured.count:g}, but {held.count:g} are learned and not forgotten: "
            "pass exactly the rows that remain"
        )
    apart = float(np.linalg.norm(measured.anchor_gradient - held.gradient_sum))
    if not apart <= (measured.anchor_error + held.gradient_error) * (1.0 + 1e-6):
        raise NotLearned(
            f"remaining is not what was learned less what is to be forgotten (their gradients differ by {apart:.3g}): a row "
            "of the request was never learned, or remaining holds other rows or other weights; nothing was changed"
        )

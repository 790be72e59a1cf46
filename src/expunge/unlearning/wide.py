"""Wide models, whose p × p Hessian would not fit: nothing is kept but sums of p numbers, and passes do the rest. Theory §4.4.

Newton's method with conjugate gradients on Hessian–vector products, preconditioned by the Hessian's diagonal. Each of its
points is certified by its own gradient: with μ a lower bound on the curvature there, the distance to the optimum follows
from the last line of theory §4.3 at t = 0. μ comes from the penalty. Where the intercepts s are not penalised it comes from
what the penalty leaves: with D = ΣAᵢ the summed curvature of the outputs, κ the gauge, a = λ_min(D + κ11ᵀ), b = tr(D)R², the
rows give at least (√a|s| − √b|u|)₊² to α|u|², and over |s|² + |u|² = 1 that is at least aα/(a + b + α), the determinant of
the 2 × 2 form over its trace.
"""

import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from expunge.engine import Engine
from expunge.errors import InvalidRows, NoOptimum
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.line_search import LineSearch
from expunge.numerics.rounding import UNIT_ROUNDOFF, gamma
from expunge.numerics.statistics import RowExtremes, Sums, anchor_digest
from expunge.problem.arrays import norm
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows, RowSource
from expunge.unlearning import bounds
from expunge.unlearning.anchored import AnchoredState, Candidate, gradient_error
from expunge.unlearning.declared import DeclaredBound
from expunge.unlearning.remaining import require_rows
from expunge.unlearning.report import Forecast
from expunge.unlearning.rung import Rung
from expunge.unlearning.state import changed_by, require_all_classes, require_remaining, require_short

Array = NDArray[np.float64]

ARRAYS = 14
"""p × p arrays that a fit or an update with a Hessian takes at its peak (12.4 measured, two states alive)."""
SMALLEST = 1e-290
"""A curvature below this has lost digits to underflow."""
STALLED, VALUE_ROUNDING = 0.5, 1e-10
"""A gradient no smaller than this share of the last is the best there is, if the loss fell by no more than rounding."""
MAX_LOOKS, MAX_PRODUCTS = 100, 500
FORCING = 0.1
"""Conjugate gradients stop at this relative residual, and at less the nearer the optimum is."""
SHORTEST = 2.0**-30
"""Share of a step below which it is taken as it is."""


def is_wide(objective: Objective, memory_budget: float) -> bool:
    """Whether the p × p arrays would take more than ``memory_budget`` bytes."""
    return 8 * ARRAYS * objective.n_parameters**2 > memory_budget


@dataclass(frozen=True, eq=False)
class WideState(AnchoredState):
    """A point and the sums of the learned rows there; no Hessian.

    Args:
        hessian_trace: tr ∇²J at the anchor.

    The other arguments are those of ``AnchoredState``: the anchor is the un-noised model, and v is R/√μ.
    """

    hessian_trace: float

    has_hessian = False

    @property
    def trace(self) -> float:
        return self.hessian_trace

    @property
    def distance_bound(self) -> float:
        """Δ of the anchor itself, while no row has come or gone since. Source: theory §4.4 at t = 0."""
        geometry = bounds.Geometry(self.objective.loss.self_concordance, self.extremes, self.curvature_floor, 0.0)
        gradient, error = self.gradient, self.gradient_error
        size = norm(gradient) * (1.0 + gamma(len(gradient) + 8))
        return bounds.residual(geometry, 0.0, (size + error) / math.sqrt(geometry.mu))

    def displacements(self, rows: Rows, metric: Array | None = None) -> Array:
        """An upper bound on |H⁻¹∇ℓᵢ|₂ for each row, ``(n_rows,)``: |ℓ′ᵢ||xᵢ|/μ; ``inf`` where ℓ′ᵢ overflows."""
        at = self.evaluated(rows)
        with np.errstate(over="ignore"):
            return np.asarray(at.slopes() * at.norms / self.curvature_floor) * (1.0 + gamma(8))

    def added(self, rows: Rows) -> Self:
        """The state with ``rows`` learned: their sums added at the anchor."""
        at = self.evaluated(rows)
        terms = Sums.at(at, self.statistics.anchor)
        return replace(
            self,
            statistics=self.statistics.plus(terms, 1.0),
            extremes=_extremes(max(self.extremes.row_norm, at.longest), self.curvature_floor),
            changed=changed_by(self.changed, terms),
        )

    def without(self, gone: Evaluation) -> Self:
        """The state with rows forgotten: their sums subtracted at the anchor.

        Raises:
            NotLearned: a row longer than any learned; others are found out by the pass that must follow.
            InvalidRows: the rows are all that was learned, or all of one class.
        """
        require_short(gone.norms, self.extremes.row_norm)
        terms = Sums.at(gone, self.statistics.anchor)
        require_remaining(terms, self.statistics)
        statistics = self.statistics.plus(terms, -1.0)
        require_all_classes(statistics, "the rows that would remain")
        return replace(self, statistics=statistics, changed=changed_by(self.changed, terms))

    def candidates(
        self,
        remaining: RowSource | None,
        engine: Engine,
        max_passes: int,
        declared: DeclaredBound | None = None,
        before_refit: Callable[[], None] = lambda: None,
        *,
        is_known: bool = False,
    ) -> Iterator[Candidate]:
        """Those of the passes, which are as many as the descent needs; none without ``remaining`` rows."""
        if remaining is not None:
            require_rows(self, remaining, engine)
            yield from descended(self.objective, remaining, engine, self.anchor)

    def anchored_again(self, candidate: Candidate, source: RowSource, engine: Engine) -> Candidate:
        """``candidate`` itself: its distance bounds what the order can do."""
        return candidate

    def rung_needed(self, distance: float, allowed: float, max_passes: int) -> Rung:
        """Always a refit."""
        return Rung.REFIT

    def forecasts(
        self, is_enough: Callable[[Candidate], bool], max_passes: int, sample: Rows | None, declared: DeclaredBound | None
    ) -> tuple[Forecast, ...]:
        """None: every change passes over the remaining rows.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "a wide model keeps no statistics that could tell this: every change passes over the remaining rows, "
            "and is certified by that"
        )

    def rung_expected(
        self,
        n_rows: int,
        is_enough: Callable[[Candidate], bool],
        max_passes: int,
        sample: Rows,
        declared: DeclaredBound | None,
    ) -> Rung:
        """Always passes, as many as the descent needs."""
        return Rung.PASS


def descended(objective: Objective, source: RowSource, engine: Engine, start: Array) -> Iterator[Candidate]:
    """The points of ``descend`` as candidates; the optimum counts as a refit. Source: theory §4.4."""
    for state, passes, is_optimum in descend(objective, source, engine, start):
        distance = state.distance_bound
        yield Candidate(state, state.anchor, distance, Rung.REFIT if is_optimum else Rung.PASS, passes, wobble=2.0 * distance)


@dataclass(frozen=True, eq=False)
class _Look:
    """What one pass finds at a point: sums, loss, longest row, diagonal of the Hessian, and D."""

    sums: Sums
    value: float
    row_norm: float
    diagonal: Array
    output_curvature: Array

    def __add__(self, other: "_Look") -> "_Look":
        return _Look(
            self.sums.plus(other.sums, 1.0),
            self.value + other.value,
            max(self.row_norm, other.row_norm),
            self.diagonal + other.diagonal,
            self.output_curvature + other.output_curvature,
        )


def descend(objective: Objective, source: RowSource, engine: Engine, start: Array) -> Iterator[tuple[WideState, int, bool]]:
    """Ever better states over ``source``: each with the passes made so far, and whether it is the optimum, to rounding.

    The optimum is the last. If the gradient stalls before it cannot be told from rounding, the last is none.

    Raises:
        InvalidRows: the source is empty, or a row does not fit the objective.
        NoOptimum: no penalty, from which μ comes, or no minimum is found.
    """
    if objective.penalty == 0:
        raise NoOptimum(
            f"with {objective.n_parameters} parameters the Hessian does not fit the memory budget, and without it the "
            "certificate comes from the penalty: add one (smaller C, larger alpha), or raise memory_budget"
        )
    search, passes, previous = LineSearch.at(start), 0, math.inf
    for look_number in range(MAX_LOOKS):
        point = search.point
        look: _Look = engine.reduce(source, partial(_look, objective, point, look_number == 0), operator.add)
        passes += 1
        count = look.sums.count
        if look.sums.n_rows == 0:
            raise InvalidRows("the sample weights are all zero: at least one row needs a positive weight")
        here = look.value + objective.penalty_value(point, count)
        if look_number == 0 and point.any() and not math.isfinite(here):
            search = LineSearch.at(np.zeros_like(start))
            continue
        if search.fails(here):
            search.shorten(0.5 * search.length)
            continue
        state = _state(objective, point, look)
        gradient = state.gradient
        size, rounding = float(np.linalg.norm(gradient)), gradient_error(objective, point, look.sums, gradient)
        is_stalled = size > STALLED * previous and search.decrease <= VALUE_ROUNDING * abs(here)
        is_optimum = size <= rounding  # it cannot be told from zero
        yield state, passes, is_optimum
        if is_optimum or is_stalled:
            return
        forcing = min(FORCING, math.sqrt(size / max(size, float(np.linalg.norm(look.sums.gradient_sum)))))

        def product(x: Array, w: Array = point, count: float = count) -> Array:
            total: Array = engine.reduce(source, partial(_product, objective, w, x), operator.add)
            return total + objective.penalty_gradient(x, count)

        diagonal = look.diagonal + objective.penalty_diagonal(count)
        step, products = _conjugate_gradients(product, -gradient, diagonal, forcing)
        passes += products
        slack = VALUE_ROUNDING * abs(here) if math.isfinite(here) else 0.0
        search, previous = LineSearch(point, step, here, -float(gradient @ step), SHORTEST, slack), size
    raise NoOptimum(f"no minimum after {MAX_LOOKS} looks at the rows: raise the penalty (smaller C, larger alpha)")


def _state(objective: Objective, point: Array, look: _Look) -> WideState:
    count = look.sums.count
    trace = float(look.diagonal.sum()) + objective.penalty_trace(count)
    least = max(0.0, count - look.sums.count_error)
    floor = curvature_floor(objective, least, look.output_curvature, look.row_norm, look.sums.hessian_error)
    if floor <= 0.0:
        raise NoOptimum(
            "the curvature is not distinguishable from zero: the targets can be fitted without limit, or the scales of columns "
            "and weights differ too much; raise the penalty (smaller C, larger alpha) or scale the columns alike"
        )
    require_all_classes(look.sums, "the rows")
    return WideState(objective, point, look.sums, _extremes(look.row_norm, floor), floor, 0.0, trace)


def _extremes(row_norm: float, curvature_floor: float) -> RowExtremes:
    """R, and v = R/√μ."""
    return RowExtremes(row_norm, row_norm / math.sqrt(curvature_floor))


def curvature_floor(objective: Objective, count: float, output_curvature: Array, row_norm: float, error: float) -> float:
    """μ ≤ λ_min(∇²J) from the penalty and D; 0 where none above 0 can be shown.

    Args:
        output_curvature: D, ``(K, K)``.
        row_norm: R, the intercept's 1 included.
        error: bound on |D's rounding|.
    """
    alpha = objective.penalty_scale(count)
    if not objective.fit_intercept:
        return _trusted(alpha)
    if not (np.isfinite(output_curvature).all() and math.isfinite(error)):
        return 0.0
    K = len(output_curvature)
    gauged = output_curvature + (1.0 if K > 1 else 0.0)
    a = float(np.linalg.eigvalsh(gauged)[0]) - error - 8.0 * K * UNIT_ROUNDOFF * norm(gauged)
    if not a > 0.0:
        return 0.0
    b = (float(np.trace(output_curvature)) + K * error) * row_norm * row_norm
    return _trusted(alpha * (a / (a + b + alpha)))  # the quotient is at most 1: nothing overflows but b, which gives 0


def _trusted(floor: float) -> float:
    """``floor`` less its own rounding; 0 where it is not finite, or so small that its digits are lost."""
    return floor * (1.0 - 1e-12) if SMALLEST <= floor < math.inf else 0.0


def _look(objective: Objective, point: Array, is_first: bool, rows: Rows) -> _Look:
    at = Evaluation(objective, objective.check(rows) if is_first else rows, point)
    diagonal, output_curvature = at.curvature_sums()
    return _Look(Sums.at(at, anchor_digest(objective, point)), at.value, at.longest, diagonal, output_curvature)


def _product(objective: Objective, point: Array, x: Array, rows: Rows) -> Array:
    return Evaluation(objective, rows, point).product(x)


def _conjugate_gradients(product: Callable[[Array], Array], target: Array, diagonal: Array, goal: float) -> tuple[Array, int]:
    """x with |product(x) − target| ≤ goal·|target|, about, and how many products it took; an ascent direction never."""
    x, residual = np.zeros_like(target), target
    scaled = residual / diagonal
    direction, energy = scaled, float(residual @ scaled)
    wanted = goal * float(np.linalg.norm(target))
    for k in range(1, MAX_PRODUCTS + 1):
        moved = product(direction)
        curvature = float(direction @ moved)
        if not curvature > 0.0:
            return (x, k) if x.any() else (scaled, k)
        x = x + energy / curvature * direction
        residual = residual - energy / curvature * moved
        if float(np.linalg.norm(residual)) <= wanted:
            return x, k
        scaled = residual / diagonal
        energy, before = float(residual @ scaled), energy
        direction = scaled + energy / before * direction
    return x, MAX_PRODUCTS

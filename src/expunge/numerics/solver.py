"""Newton's method for the empirical risk, to the anchor of a fit or refit. Theory §4.5.

The step is the full one where the self-concordant length cR|δ| says that it is safe; elsewhere, if the next look at the
rows shows that the objective did not fall, it is shortened, down to ln(1+d)/d with d = cR|δ|, which always makes it fall.
Where a loss is nearly linear far out, as pseudo-Huber and log-cosh are, its curvature there says nothing about how far to go.
If shorter steps do not help, Newton's method begins anew on the pseudo-Huber loss of a scale as large as the residuals, which
is nearly quadratic, and follows its optimum down to the scale wanted.

It starts from the optimum of every 4th row, itself found from every 16th, and so on: most steps then see few rows. Hessians are
multiplied in float32 until the next point is predicted to be the anchor; its own, which the certificate rests on, always in
float64.

The stopping rule is on what the last step leaves, which self-concordance bounds (theory §4.3), never on a change of value:
a warm start cannot end before the gradient is small.
"""

import math
import operator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from expunge.engine import Engine
from expunge.engine.threads import one_blas_thread
from expunge.errors import InvalidRows, NoOptimum
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.factor import Factor, Hessian
from expunge.numerics.line_search import LineSearch
from expunge.numerics.rounding import ROUNDOFF, Precision
from expunge.numerics.statistics import Statistics, anchor_digest
from expunge.problem.arrays import SMALLEST, norm, or_infinite
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows, RowSource, ThinnableSource

Array = NDArray[np.float64]

TOLERANCE = 1e-11
"""What may be left of |∇J|_{H⁻¹} one Newton step from the anchor, where the model is, relative to |w|_H."""
NEAR = 1e-4
"""Length of that step, relative to |w|_H, beyond which a point is no anchor yet."""
THINNING, START_NEAR = 4, 0.1
"""Newton starts from the optimum of every 4th row, to a step within what those rows can tell."""
ROWS_PER_PARAMETER = 8
"""Fewer of those rows than this are no better start than zeros."""
SINGLE_SHARE = 0.1
"""A Hessian in float32 is good for a step if its condition is at most this share of its precision."""
SAFE = 0.5
"""A full step is safe where t = cR|δ| is at most this."""
MAX_LOOKS = 200
PASSING_STEPS = 3
PATIENCE, NARROWING = 3, 4.0
"""After so many steps in vain such a loss is widened, and then narrowed again by this factor at a time."""
SINGLE_FLOOR = 1e-20
"""A trace below this may be what float32, which ends at 1e-38, has left of a larger one."""
SMALL = 1000
"""With up to as many parameters a second thread is worth less to the factorisation than its wake-ups cost the rows."""
_FIRST: Precision = "float32"


@dataclass(frozen=True, eq=False)
class Optimum:
    """Where Newton's method stopped.

    Args:
        anchor: there, ``(p,)``.
        point: one more Newton step on, the optimum itself.
        statistics: at the anchor.
        factor: of their Hessian.
        row_norm: R = max |x|.
    """

    anchor: Array
    point: Array
    statistics: Statistics
    factor: Factor
    row_norm: float


@dataclass(frozen=True, eq=False)
class _Look:
    """What one pass over the rows finds: sums at the point, and the loss at zero if it is the first; whether any product of
    its Hessian is in float32."""

    statistics: Statistics
    value: float
    value_at_zero: float
    row_norm: float
    is_single: bool

    def __add__(self, other: "_Look") -> "_Look":
        return _Look(
            self.statistics + other.statistics,
            self.value + other.value,
            self.value_at_zero + other.value_at_zero,
            max(self.row_norm, other.row_norm),
            self.is_single or other.is_single,
        )


def minimise(
    objective: Objective, source: RowSource, engine: Engine, start: Array | None = None, *, enough: float = 0.0
) -> Optimum:
    """The anchor from which one Newton step minimises the objective over ``source``.

    Args:
        start: weights to start from, ``(p,)``, if they are better than zeros; by default the optimum of every 4th row.
        enough: a length of that step, relative to |w|_H, at which to stop before; the statistics then bound no errors, and
            nothing can be certified. 0 by default: the anchor.

    Raises:
        InvalidRows: the source is empty, or a row does not fit the objective.
        NoOptimum: dependent columns without a penalty, or targets that can be fitted without limit.
    """
    with np.errstate(all="ignore"), one_blas_thread() if objective.n_parameters <= SMALL else nullcontext():
        start = _thinned_optimum(objective, source, engine) if start is None else start
        return _found(objective, source, engine, start, enough=enough)


class _Lost(Exception):
    """Newton's steps from ``anchor``, where rows have the mean loss ``level``, lead nowhere."""

    def __init__(self, anchor: Array, level: float) -> None:
        self.anchor, self.level = anchor, level


def _found(objective: Objective, source: RowSource, engine: Engine, start: Array, *, enough: float) -> Optimum:
    """Newton's method from ``start``, if need be by way of wider losses; ``enough`` as for ``minimise``."""
    loss = objective.loss
    if not loss.is_nearly_linear_far_out:
        return _newton(objective, source, engine, start, enough=enough)
    try:
        return _newton(objective, source, engine, start, enough=enough, patience=PATIENCE)
    except _Lost as lost:
        start, wide = lost.anchor, lost.level / loss.far_slope + loss.width  # no less than the mean residual
    while wide > loss.width:
        wider = replace(objective, loss=loss.widened(wide))
        start, wide = _newton(wider, source, engine, start, is_passing=True).point, wide / NARROWING
    return _newton(objective, source, engine, start, enough=enough)


def _newton(
    objective: Objective,
    source: RowSource,
    engine: Engine,
    start: Array,
    *,
    enough: float = 0.0,
    is_passing: bool = False,
    patience: float = math.inf,
) -> Optimum:
    """Newton's method from ``start``.

    Args:
        enough: as for ``minimise``.
        is_passing: whether to stop as soon as full steps are safe.
        patience: after so many steps in vain it raises ``_Lost``.
    """
    c, precision, row_norm = objective.loss.self_concordance, _FIRST, 0.0
    search = LineSearch.at(start)
    factor: Factor | None = None
    decrement = math.inf
    in_vain, n_steps, shorter, is_linear = 0, 0, 0.5, objective.loss.is_nearly_linear_far_out
    for look_number in range(MAX_LOOKS):
        point = search.point
        look = _pass(objective, source, engine, point, precision, is_first=look_number == 0)
        count = look.statistics.count
        value_here = look.value + objective.penalty_value(point, count)
        if look_number == 0:
            row_norm = look.row_norm
            if point.any() and not value_here < look.value_at_zero:
                search = LineSearch.at(np.zeros_like(point))
                continue
        elif search.fails(value_here):
            in_vain += 1
            if in_vain > patience:
                raise _Lost(search.anchor, search.value / count)
            length = search.length
            search.shorten(shorter * length if is_linear else min(0.5 * length, math.sqrt(length * search.shortest)))
            shorter *= shorter
            continue
        hessian = Hessian(objective, look.statistics.hessian_sum, count)
        try:
            here = _factor(hessian, is_single=look.is_single)
        except NoOptimum:
            if patience < math.inf:
                raise _Lost(point, value_here / count) from None
            raise
        if here is None:
            precision, search.shortest = "float64", search.length
            continue
        factor, previous = here, decrement
        gradient = look.statistics.gradient_sum + objective.penalty_gradient(point, count)
        step = factor.solve(hessian, -gradient).x
        decrement = _root(-float(gradient @ step))
        size = _root(float(point @ (hessian @ point)))
        danger = c * row_norm * norm(step)
        if not (math.isfinite(value_here) and math.isfinite(decrement) and math.isfinite(danger)):
            break
        safe_length = 1.0 if danger <= SAFE else math.log1p(danger) / danger
        search, shorter = LineSearch(point, step, value_here, decrement * decrement, safe_length), 0.5
        is_stalled = danger <= SAFE and decrement >= 0.5 * previous
        is_near = _is_anchor(decrement, danger, size) or is_stalled
        n_steps += 1
        is_enough = (enough > 0.0 and (decrement <= enough * size or is_stalled)) or (is_passing and n_steps > PASSING_STEPS)
        if is_enough or (is_near and precision == "float64"):
            return Optimum(point, search.point, look.statistics, factor, row_norm)
        if is_stalled:
            precision, decrement, search = "float64", math.inf, LineSearch.at(point)
            continue
        ahead = 0.5 * danger * math.exp(min(danger, 1.0))
        if look.is_single:
            ahead += SINGLE_SHARE * hessian.trace * factor.norm * ROUNDOFF["float32"]
        precision = "float64" if _is_anchor(ahead * decrement, ahead * danger, size) else precision
    raise NoOptimum(_no_minimum(objective, row_norm))


def _root(square: float) -> float:
    """√square, 0 of what rounding has made negative; ``inf`` of NaN."""
    return math.sqrt(or_infinite(max(square, 0.0)))


def _no_minimum(objective: Objective, row_norm: float) -> str:
    uneven = f"rows (of norm {row_norm:.3g}), targets or weights are too large or too uneven for float64"
    if objective.loss.has_minimum or (objective.penalty > 0 and not objective.fit_intercept):
        return f"no minimum was found in {MAX_LOOKS} looks at the rows: {uneven}; rescale the columns, or raise the penalty"
    return (
        f"no minimum was found in {MAX_LOOKS} looks at the rows: the targets can be fitted without limit (a feature separates "
        f"the classes, or all counts are zero), or {uneven}; add a penalty (smaller C, larger alpha), or rescale the columns"
    )


def _is_anchor(decrement: float, danger: float, size: float) -> bool:
    """Whether a step of this length is short, and leaves next to nothing: it leaves at most ½te^t of it (theory §4.3)."""
    left = 0.5 * danger * math.exp(min(danger, 1.0)) * decrement
    return danger <= SAFE and decrement <= NEAR * size and left <= TOLERANCE * size


def _pass(
    objective: Objective,
    source: RowSource,
    engine: Engine,
    anchor: Array,
    precision: Precision,
    *,
    is_first: bool,
) -> _Look:
    """What the rows say at ``anchor``.

    Args:
        is_first: whether the rows are still to be checked and measured.
    """
    digest = anchor_digest(objective, anchor)
    look_at = partial(_look, objective, anchor, digest, precision, is_first)
    look: _Look = engine.reduce(source, look_at, operator.add)
    if look.statistics.count == 0:
        raise InvalidRows("the sample weights are all zero: at least one row needs a positive weight")
    return look


def _factor(hessian: Hessian, *, is_single: bool) -> Factor | None:
    """The factor of a Hessian; ``None`` if its products are in float32, and it is too ill-conditioned for that."""
    if not is_single:
        return Factor.of(hessian)
    with suppress(NoOptimum):
        factor = Factor.of(hessian)
        is_seen = float(np.trace(hessian.sum)) >= SINGLE_FLOOR
        if is_seen and hessian.trace * factor.norm * ROUNDOFF["float32"] <= SINGLE_SHARE:
            return factor
    return None


def _look(
    objective: Objective,
    anchor: Array,
    digest: str,
    precision: Precision,
    is_first: bool,
    rows: Rows,
) -> _Look:
    at = Evaluation(objective, objective.check(rows) if is_first else rows, anchor)
    return _Look(
        Statistics.evaluated(at, digest, precision),
        at.value,
        at.value_at_zero if is_first else 0.0,
        at.longest if is_first else 0.0,
        at.is_single(precision),
    )


def _thinned_optimum(objective: Objective, source: RowSource, engine: Engine) -> Array:
    """The optimum of every 4th row; zeros where these are too few to determine one."""
    zeros = np.zeros(objective.n_parameters)
    if not isinstance(source, ThinnableSource) or len(source) < THINNING * ROWS_PER_PARAMETER * len(zeros):
        return zeros
    penalty = objective.penalty / THINNING if objective.form == "sum" else objective.penalty
    penalty = max(penalty, SMALLEST) if penalty > 0 else penalty
    objective, thinned = replace(objective, penalty=penalty), source.thinned(THINNING)
    try:
        return _found(objective, thinned, engine, _thinned_optimum(objective, thinned, engine), enough=START_NEAR).point
    except (NoOptimum, InvalidRows):
        return zeros

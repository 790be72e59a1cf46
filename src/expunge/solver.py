"""Newton's method for the empirical risk, to the anchor of a fit or refit. Theory §4.5.

The step is the full one where the self-concordant length cR|δ| says that it is safe; elsewhere it is halved until the
objective falls, down to ln(1+d)/d with d = cR|δ|, which always makes it fall. It starts from the optimum of every 4th
row, itself found from every 16th, and so on: most steps then see few rows. The stopping rule is on the gradient in
the metric of the Hessian, never on a change of value: a warm start cannot end before the gradient is small.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from expunge.engine import Engine
from expunge.errors import InvalidRows, NoOptimum
from expunge.evaluation import Evaluation, row_norms
from expunge.factor import Factor, Hessian
from expunge.objective import Objective
from expunge.rows import Rows, RowSource
from expunge.statistics import Statistics

Array = NDArray[np.float64]

TOLERANCE = 1e-7
"""Relative size |∇J|_{H⁻¹} / |w|_H at which the anchor is good; the model is one more Newton step away, so its own is that
squared."""
THINNING, START_TOLERANCE = 4, 1e-2
"""Newton starts from the optimum of every 4th row, to a tolerance within what those rows can tell."""
ROWS_PER_PARAMETER = 8
"""Fewer of those rows than this are no better start than zeros."""
MAX_STEPS = 100
SUFFICIENT_DECREASE = 1e-4


@dataclass(frozen=True, eq=False)
class Optimum:
    """Where Newton's method stopped.

    Args:
        anchor: there, ``(p,)``; ``point``: one more Newton step on, the optimum itself.
        statistics: at the anchor; ``factor``: of their Hessian; ``row_norm``: R = max |x|.
    """

    anchor: Array
    point: Array
    statistics: Statistics
    factor: Factor
    row_norm: float


def minimise(
    objective: Objective, source: RowSource, engine: Engine, start: Array | None = None, tolerance: float = TOLERANCE
) -> Optimum:
    """The anchor at which the objective over ``source`` is minimal to ``tolerance``.

    Args:
        start: weights to start from, ``(p,)``, if they are better than zeros; by default the optimum of every 4th row.
        tolerance: relative size |∇J|_{H⁻¹} / |w|_H at which to stop.

    Raises:
        InvalidRows: the source is empty, or a row does not fit the objective.
        NoOptimum: dependent columns without a penalty, or targets that can be fitted without limit.
    """
    row_norm, weight = engine.reduce(source, lambda rows: _survey(objective, rows), _merge)
    if weight == 0:
        raise InvalidRows("the sample weights are all zero: at least one row needs a positive weight")

    def total(at: Array) -> float:
        value: float = engine.reduce(source, lambda rows: Evaluation(objective, rows, at).value, operator.add)
        return value + objective.penalty_value(at, weight)

    w = np.zeros(objective.n_parameters)
    if start is None and isinstance(source, Rows) and len(source) >= THINNING * ROWS_PER_PARAMETER * objective.n_parameters:
        w = _thinned_optimum(objective, source, engine)
    elif start is not None and np.isfinite(start).all() and total(start) < total(w):
        w = start
    previous = math.inf
    for _ in range(MAX_STEPS):
        anchor = w
        statistics = engine.reduce(source, partial(Statistics.of, objective, anchor=anchor), operator.add)
        hessian = Hessian(objective, statistics.hessian_sum, statistics.count)
        factor = Factor.of(hessian)
        gradient = statistics.gradient_sum + objective.penalty_gradient(anchor, statistics.count)
        step = factor.solve(hessian, -gradient).x
        decrement = math.sqrt(max(0.0, -float(gradient @ step)))
        danger = objective.loss.self_concordance * row_norm * float(np.linalg.norm(step))
        is_stalled = danger <= 0.5 and decrement >= 0.5 * previous
        if decrement <= tolerance * math.sqrt(max(0.0, float(anchor @ (hessian @ anchor)))) or is_stalled:
            return Optimum(anchor, anchor + step, statistics, factor, row_norm)
        previous = decrement
        w = anchor + step if danger <= 0.5 else _damped(total, anchor, step, decrement, danger)
    raise NoOptimum(
        f"no minimum after {MAX_STEPS} Newton steps: the targets can be fitted without limit (a feature separates the "
        "classes, or all counts are zero); add a penalty (smaller C, larger alpha)"
    )


def _damped(total: Callable[[Array], float], w: Array, step: Array, decrement: float, danger: float) -> Array:
    """The longest of ``w + step``, ``w + step/2``, … that makes J fall enough, and no less than the safe length."""
    safe = math.log1p(danger) / danger
    before = total(w)
    length = 1.0
    while length > safe and not total(w + length * step) <= before - SUFFICIENT_DECREASE * length * decrement**2:
        length *= 0.5
    return w + max(length, safe) * step


def _thinned_optimum(objective: Objective, rows: Rows, engine: Engine) -> Array:
    """The optimum of every 4th row; zeros where these are too few to determine one."""
    penalty = objective.penalty / THINNING if objective.form == "sum" else objective.penalty
    thinned = rows.take(slice(None, None, THINNING))
    try:
        return minimise(replace(objective, penalty=penalty), thinned, engine, tolerance=START_TOLERANCE).point
    except (NoOptimum, InvalidRows):
        return np.zeros(objective.n_parameters)


def _survey(objective: Objective, rows: Rows) -> tuple[float, float]:
    """The norm of the longest row and the total weight."""
    return float(row_norms(objective.design(objective.check(rows))).max(initial=0.0)), float(rows.weight.sum())


def _merge(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    return max(a[0], b[0]), a[1] + b[1]

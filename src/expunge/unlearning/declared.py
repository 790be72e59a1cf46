"""Bounds from declared constants alone: what is known of every row before any is seen. Theory §4.1."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.numerics.statistics import Sums
from expunge.problem.objective import Objective
from expunge.unlearning.bounds import ROUND_UP

Array = NDArray[np.float64]


@dataclass(frozen=True)
class DeclaredBound:
    """Δ of the statistics' rung for rows of which only a bound on their norm is known.

    Args:
        formula: ``bounds.worst_case`` or ``bounds.sekhari2021``.
        row_norm: bound on |x| of every row, now and later.

    Source: theory §4.1.
    """

    formula: Callable[..., float]
    row_norm: float

    def distance(
        self, objective: Objective, anchor: Array, statistics: Sums, changed: float, anchor_gradient: float, rounding: float
    ) -> float:
        """Δ; ``inf`` where no curvature is left.

        Args:
            anchor: b, ``(p,)``.
            statistics: of the rows there.
            changed: total weight of the rows that came or went since.
            anchor_gradient: bound on |∇J(b)| for the rows the anchor was fitted on.
            rounding: what rounding adds to |∇J(w̄)|₂.
        """
        convexity = objective.penalty_scale(max(0.0, statistics.count - statistics.count_error))
        if not convexity > 0:
            return math.inf
        # in the mean form a row also brings or takes along its share of the penalty's gradient at the anchor
        share = objective.penalty * float(np.linalg.norm(anchor)) if objective.form == "mean" else 0.0
        return rounding / convexity + self.formula(
            count=statistics.count + statistics.count_error,
            changed=changed,
            strong_convexity=convexity,
            lipschitz=objective.loss.derivative_bound * self.row_norm + share * ROUND_UP,
            hessian_lipschitz=objective.loss.third_derivative_bound * self.row_norm**3,
            gradient=anchor_gradient,
        )

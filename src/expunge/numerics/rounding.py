"""The model of floating point that every bound rests on. Theory §4.6.

The standard model (Higham, *Accuracy and Stability of Numerical Algorithms*, §3) gives a sum or dot product of k terms the
relative error γ_k = ku/(1−ku) of the sum of magnitudes, u = 2⁻⁵³, in whatever order it is taken.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from expunge.problem.objective import Objective

Array = NDArray[np.float64]
Precision = Literal["float32", "float64"]

UNIT_ROUNDOFF = 2.0**-53
UNDERFLOW = 2.0**-960
"""Times γ, still above what an elementary function or a product loses by underflow, 2⁻¹⁰²²; far below what is told from 0."""
ULPS = 32
"""Roundings allowed for the elementary functions and the handful of operations around them in one loss value."""
ROUNDOFF: dict[Precision, float] = {"float32": 2.0**-24, "float64": UNIT_ROUNDOFF}

quiet = np.errstate(over="ignore", invalid="ignore")
"""At weights far from the rows' optimum eᵗ overflows: the sums are then NaN and their error bounds infinite, never warnings."""


def gamma(k: int, unit: float = UNIT_ROUNDOFF) -> float:
    """γ_k, the relative error of k roundings in a row (Higham, Lemma 3.1)."""
    return k * unit / (1.0 - k * unit)


def penalty_error(objective: Objective, w: Array, count: float, count_error: float) -> float:
    """A bound on |penalty_gradient(w, count) − the true one|₂, where ``count`` may be off by ``count_error``.

    Source: theory §4.6.
    """
    K = objective.loss.outputs
    gauge = K * gamma(K + 4) if K > 1 and objective.fit_intercept else 0.0
    rounding = gamma(4) * abs(objective.penalty_scale(count)) + gauge
    return (penalty_scale_error(objective, count_error) + rounding) * float(np.linalg.norm(w)) * (1.0 + gamma(len(w) + ULPS))


def penalty_scale_error(objective: Objective, count_error: float) -> float:
    """How far ``penalty_scale`` may be off where the count may be off by ``count_error``."""
    return objective.penalty * count_error if objective.form == "mean" else 0.0

"""What is left of the gradient at a candidate, as sums over rows: rows pull no farther than their own curvature. Theory §4.7.

The penalty is a quadratic, so that no remainder of a Taylor polynomial holds any of it. Where H is mostly penalty, and where
noise has a floor, a bound in the metric of the rows' Hessian S alone is far below one in the metric of H = S + penalty.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from expunge.numerics.factor import Factor, Hessian, inverse_error
from expunge.numerics.rounding import UNIT_ROUNDOFF, gamma, quiet
from expunge.problem.arrays import norm, or_infinite
from expunge.unlearning.bounds import ROUND_UP

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Remainder:
    """∇J(w̄) = r + l and M, so that M(ŵ′ − w̄) is −l and a vector of length ``by_rows`` in the metric of S⁺.

    Args:
        operator: M as stored, near the Hessian between w̄ and ŵ′.
        factor: an approximate inverse of M.
        hessian_sum: S at the anchor as stored, ``(p, p)``.
        error: how far it may be off, spectral norm.
        growth: M ⪰ H/growth, H the exact Hessian at the anchor.
        by_rows: |r|_{S⁺} + x|e|_H, with −xS ⪯ M − ∇²J ⪯ xS on the mean from w̄ to ŵ′.
        beyond: |l|_{H⁻¹}, what rounding leaves.

    Source: theory §4.7, Lemma 6.
    """

    operator: Hessian
    factor: Factor
    hessian_sum: Array
    error: float
    growth: float
    by_rows: float
    beyond: float
    _gains: list[tuple[Array | None, float]] = field(default_factory=list, repr=False)

    def distance(self, metric: Array | None, stretch: float) -> float:
        """A bound on |w̄ − ŵ′| in the metric LLᵀ; O(p³) the first time.

        Args:
            metric: L, ``(p, p)``; ``None`` for the 2-norm.
            stretch: κ with LLᵀ ⪯ κH.
        """
        if not any(known is metric for known, _gain in self._gains):
            self._gains.append((metric, self._gain(metric)))
        gain = next(gain for known, gain in self._gains if known is metric)
        return or_infinite((gain * self.by_rows + math.sqrt(stretch) * self.growth * self.beyond) * ROUND_UP)

    @quiet
    def _gain(self, metric: Array | None) -> float:
        """No less than ‖LᵀM⁻¹S^{1/2}‖.

        With G the inverse at hand and MG = I − E, M⁻¹ = G + GE(I − E)⁻¹.
        """
        eta = inverse_error(self.operator, self.factor)
        if not eta < 1.0:
            return math.inf
        inverse, p = self.factor.inverse, len(self.hessian_sum)
        through = inverse if metric is None else metric.T @ inverse
        rounding = 0.0 if metric is None else gamma(p) * norm(metric) * self.factor.norm
        product = through @ self.hessian_sum @ through.T
        if not np.isfinite(product).all():
            return math.inf
        size, extent = norm(through), norm(self.hessian_sum) + self.error
        top = max(0.0, float(np.linalg.eigvalsh(0.5 * (product + product.T))[-1]))
        slack = (gamma(4 * p + 16) * extent + self.error) * size * size + 8.0 * p * UNIT_ROUNDOFF * norm(product)
        inexact = (rounding + size * eta / (1.0 - eta)) * math.sqrt(extent)
        return or_infinite((math.sqrt(top + slack) + inexact) * ROUND_UP)

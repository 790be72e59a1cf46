"""The step and the bounds that third derivatives allow: a zero of the gradient's Taylor polynomial. Theory §4.7.

m(E) = q + HE + ½B[E, E] is what the statistics say of the gradient at b + E. One Newton step of it from F leaves ½B[δ, δ],
which is bounded, not computed: |B[δ, δ]|_{H⁻¹} ≤ t(δ)|δ|_H. So a step takes one look at B.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from expunge.numerics.factor import Hessian, inverse_error
from expunge.numerics.higher import HigherSums, Reference
from expunge.numerics.rounding import UNIT_ROUNDOFF, gamma, quiet
from expunge.problem.arrays import norm, or_infinite
from expunge.unlearning import bounds
from expunge.unlearning.state import State

Array = NDArray[np.float64]

NEAR = 1e-10
"""Relative residual of a step beyond which it is solved for anew."""


@dataclass(frozen=True, eq=False)
class Expansion:
    """The third order of a state: B at a displacement F, and the Hessian that it makes there.

    Args:
        state: whose statistics these are.
        at: F, ``(p,)``.
        operator: H + B[F].
        shift: B[F], ``(p, p)``.
        error: how far B[F] may be off, spectral norm.
        size: no less than the Frobenius norm of B.
    """

    state: State
    at: Array
    operator: Hessian
    shift: Array
    error: float
    size: float

    @classmethod
    def of(cls, state: State, at: Array) -> "Expansion | None":
        """The expansion at a displacement; ``None`` where the state keeps no third derivatives, or overflow hides them."""
        higher = state.higher
        error = math.inf if higher is None else higher.contraction_error(norm(at))
        if higher is None or higher.third is None or not math.isfinite(error):
            return None
        shift = higher.third.contracted(at)
        operator = Hessian(state.objective, state.statistics.hessian_sum + shift, state.statistics.count)
        return cls(state, at, operator, shift, error + 2.0 * UNIT_ROUNDOFF * norm(operator.sum), higher.third_size)

    def stepped(self) -> "tuple[Array, float, float]":
        """E = F + δ, one Newton step of m from F; a bound on the exact |m(E)|_{H⁻¹}; and what rounding adds to it."""
        state, at = self.state, self.at
        hessian, geometry = state.hessian, state.geometry
        here = state.gradient + (hessian @ at) + 0.5 * (self.shift @ at)
        found, _product, residual = state.factor.solve(self.operator, here)
        if residual > NEAR * norm(here):  # H⁻¹ is no near inverse of H + B[F]
            with suppress(np.linalg.LinAlgError):
                found = np.asarray(np.linalg.solve(self.operator.dense(), here), dtype=np.float64)
        end = at - found
        end = end if np.isfinite(end).all() else at
        step = end - at
        left = here + (self.operator @ step)
        length = geometry.length(step, hessian @ step)
        beyond = 0.5 * geometry.hessian_change(step, length).t * length
        sizes = (state.trace + self.size * norm(at)) * (norm(at) + norm(end)) + norm(state.gradient)
        rounding = norm(left) + gamma(len(at) + 16) * sizes + self.error * (0.5 * norm(at) + norm(step))
        return end, beyond, geometry.rounding(end, rounding, state.gradient_error)

    @cached_property
    @quiet
    def lowest(self) -> float:
        """x ≤ λ_min(I + H^{−1/2}B[F]H^{−1/2}), after rounding; −∞ where none is found. O(p³)."""
        factor, geometry = self.state.factor, self.state.geometry
        eta = inverse_error(self.state.hessian, factor)
        if factor.root is None or not (eta < 1.0 and geometry.mu > 0.0):
            return -math.inf
        whitened = factor.root.T @ self.shift @ factor.root
        if not np.isfinite(whitened).all():
            return -math.inf
        rounding = gamma(16 * len(self.at)) * norm(factor.root) ** 2 * norm(self.shift)
        least = min(0.0, float(np.linalg.eigvalsh(whitened)[0]) - rounding)
        return 1.0 + least / ((1.0 - eta) * (1.0 - geometry.eta)) * bounds.ROUND_UP - self.error / geometry.mu


def spread(higher: HigherSums | None, reference: Reference | None, step: Array) -> float:
    """√(|E|²_W · EᵀKE), rounded up; ``inf`` where K is not kept."""
    if higher is None or reference is None:
        return math.inf
    return math.sqrt(or_infinite(reference.square(step) * higher.leverage_square(step))) * bounds.ROUND_UP

"""From distance to (ε, δ), and from ε and δ to the distance that they allow. Theory §5.1, §5.3.

Two Gaussians N(·, σ²I) whose means are Δ apart are μ-GDP indistinguishable with μ = Δ/σ, exactly
δ(ε) = Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ). dp-accounting inverts that to a tolerance, which fails where ε is tiny; each result
here is checked against the exact δ and steps to the safe side until that holds, so that a μ is never too large and an ε
never too small.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from expunge.problem.parameters import real

SAFE_SIDE = 1e-9
"""Relative step to the safe side, far above the inversions' tolerance of 1e-12."""
MU_MAX = 1e4
"""Beyond this μ, ε exceeds 10⁷ and is reported as infinite."""
EPSILON_MAX = 1e6
"""A larger ε has the μ of this one: it promises nothing either."""
TAIL = 90.0
"""Twice the exponent at which the tail of a Gaussian is left out of an integral, e⁻⁴⁵ of it."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(128)


@dataclass(frozen=True)
class Guarantee:
    """The (ε, δ) that every person forgotten is promised. ε in nats.

    Args:
        epsilon: ε, in nats; finite and positive.
        delta: δ, strictly between 0 and 1.

    Raises:
        ValueError: ε is not positive and finite, or δ not strictly between 0 and 1.

    Examples:
        >>> Guarantee(epsilon=1, delta=1e-6)
        Guarantee(epsilon=1.0, delta=1e-06)
    """

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        for name in ("epsilon", "delta"):
            object.__setattr__(self, name, real(name, getattr(self, name)))
        if not (math.isfinite(self.epsilon) and self.epsilon > 0):
            raise ValueError(f"epsilon must be a finite positive number, got {self.epsilon}")
        if not 0 < self.delta < 1:
            raise ValueError(f"delta must lie strictly between 0 and 1, got {self.delta}")

    @cached_property
    def mu(self) -> float:
        """A μ, never too large, for which μ-GDP implies (ε, δ).

        Examples:
            >>> round(1 / Guarantee(1.0, 1e-5).mu, 2)
            3.73

        Source: theory §5.1.
        """
        return _mu(min(self.epsilon, EPSILON_MAX), self.delta)


@lru_cache(1024)  # the search takes milliseconds, and a guarantee is made again wherever it is read
def _mu(epsilon: float, delta: float) -> float:
    from dp_accounting.gaussian_mechanism import get_sigma_gaussian

    with np.errstate(divide="ignore"):  # its search passes points where δ vanishes
        mu, step = float(1.0 / get_sigma_gaussian(epsilon, delta)), SAFE_SIDE
    if not 0.0 < mu < math.inf:
        mu = math.sqrt(2.0 * math.pi) * delta  # enough whatever ε is: no two Gaussians differ by more than μ/√(2π)
    while log_delta(epsilon, mu) > math.log(delta):
        mu *= 1.0 - step
        step = min(2.0 * step, 0.5)
    return mu * (1.0 - SAFE_SIDE)


def log_delta(epsilon: float, mu: float) -> float:
    """ln δ(ε) of μ-GDP, to a relative 1e-9 of δ and never below it.

    With z = (L − ε)/μ, L the privacy loss, δ = E[(1 − e^{ε−L})₊] = ∫₀^∞ (1 − e^{−μz}) φ(z − a) dz, a = μ/2 − ε/μ: nothing
    cancels, however small ε, μ and δ are.

    Examples:
        >>> round(math.exp(log_delta(1.0, 0.5)), 5)
        0.00683

    Source: theory §5.1.
    """
    a = mu / 2.0 - epsilon / mu
    low = max(0.0, a - math.sqrt(TAIL))
    high = a + math.sqrt(TAIL) if a > 0 else TAIL / (math.sqrt(TAIL + a * a) - a)
    bend = min(max(low, 40.0 / mu), high)  # 1 − e^{−μz} bends before here
    total = 0.0
    for start, end in ((low, bend), (bend, high)):
        half = 0.5 * (end - start)
        z = start + half * (1.0 + _NODES)
        density = np.exp(a * z - 0.5 * z * z if a <= 0 else -0.5 * (z - a) ** 2)
        total += half * float(_WEIGHTS @ (-np.expm1(-mu * z) * density))
    return math.log(total / math.sqrt(2.0 * math.pi)) - (0.5 * a * a if a <= 0 else 0.0) + SAFE_SIDE


def epsilon_of(mu: float, delta: float) -> float:
    """An ε, never too small, for which μ-GDP implies (ε, δ); in nats, ``inf`` for μ over 10⁴.

    Args:
        mu: μ of Gaussian differential privacy; at least 0.
        delta: δ, strictly between 0 and 1.

    Examples:
        >>> epsilon_of(0.0, 1e-5)
        0.0

    Source: theory §5.1.
    """
    if not mu <= MU_MAX:
        return math.inf
    if math.erf(mu / math.sqrt(8.0)) * (1.0 + SAFE_SIDE) <= delta:  # the total variation distance
        return 0.0
    from dp_accounting.gaussian_mechanism import get_epsilon_gaussian

    with np.errstate(divide="ignore"):  # its search passes points where δ vanishes
        epsilon, step = float(get_epsilon_gaussian(1.0 / mu, delta)), SAFE_SIDE
    while log_delta(epsilon, mu) > math.log(delta):
        epsilon = epsilon * (1.0 + step) + step * mu
        step *= 2.0
    return epsilon * (1.0 + SAFE_SIDE)


def sigma_from_excess_risk(excess_risk: float, curvature_trace_bound: float, row_norm: float) -> float:
    """The σ whose noise costs at most ``excess_risk`` in mean loss: ½κσ²R², whatever p is.

    Args:
        excess_risk: what the noise may add to the mean loss, in units of the loss; positive.
        curvature_trace_bound: κ of the loss.
        row_norm: declared bound R on |x|, the intercept's 1 included.

    Raises:
        ValueError: an argument that is not finite and positive: such a loss has no bound of this kind.

    Examples:
        >>> round(sigma_from_excess_risk(0.001, 0.25, 1.0), 4)
        0.0894

    Source: theory §5.3.
    """
    given = (("excess_risk", excess_risk), ("curvature_trace_bound", curvature_trace_bound), ("row_norm", row_norm))
    for name, value in given:
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be finite and positive, got {value}")
    return math.sqrt(2.0 * excess_risk / curvature_trace_bound) / row_norm

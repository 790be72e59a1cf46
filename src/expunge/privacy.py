"""From distance to (ε, δ), and the budget over releases. Theory §5.

Two Gaussians N(·, σ²I) whose means are Δ apart are μ-GDP indistinguishable with μ = Δ/σ, exactly
δ(ε) = Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ). dp-accounting inverts that to a tolerance; each result here takes a last step to
the safe side of it, so that a μ is never too large and an ε never too small.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from expunge.errors import BudgetSpent

SAFE_SIDE = 1e-9
"""Relative step to the safe side, far above the inversions' tolerance of 1e-12."""
MU_MAX = 1e4
"""Beyond this μ, ε exceeds 10⁷ and is reported as infinite."""
REFIT_RESERVE = 2.0**-20
"""Share of the squared budget that only a refit may use, so that a refit is always affordable."""


@dataclass(frozen=True)
class Guarantee:
    """The (ε, δ) that every person forgotten is promised. ε in nats.

    Raises:
        ValueError: ε is not positive and finite, or δ not strictly between 0 and 1.
    """

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.epsilon) and self.epsilon > 0):
            raise ValueError(f"epsilon must be a finite positive number, got {self.epsilon}")
        if not 0 < self.delta < 1:
            raise ValueError(f"delta must lie strictly between 0 and 1, got {self.delta}")

    @cached_property
    def mu(self) -> float:
        """A μ, never too large, for which μ-GDP implies (ε, δ).

        >>> round(1 / Guarantee(1.0, 1e-5).mu, 2)
        3.73

        Source: theory §5.1.
        """
        from dp_accounting.gaussian_mechanism import get_sigma_gaussian

        return float(1.0 / get_sigma_gaussian(self.epsilon, self.delta)) * (1.0 - SAFE_SIDE)


def epsilon_of(mu: float, delta: float) -> float:
    """An ε, never too small, for which μ-GDP implies (ε, δ); in nats, ``inf`` for μ over 10⁴.

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
        return float(get_epsilon_gaussian(1.0 / mu, delta)) * (1.0 + SAFE_SIDE) + SAFE_SIDE


@dataclass(frozen=True)
class PrivacyBudget:
    """A filter over releases: the squares of their μ may add up to ``mu_limit``² from the earliest deletion to a refit.

    It holds however the deletions depend on earlier releases. Before any deletion nothing is owed and nothing charged.

    Args:
        mu_limit: μ(ε, δ) of the guarantee.
        spent: Σ μ² of the releases since the earliest deletion not yet refitted.
        is_owed: whether there has been such a deletion.

    Source: theory §5.2.
    """

    mu_limit: float
    spent: float = 0.0
    is_owed: bool = False

    def mu_left(self, *, refit: bool = False) -> float:
        """The largest μ that the next release may have."""
        limit = self.mu_limit**2 * (1.0 if refit else 1.0 - REFIT_RESERVE)
        return math.sqrt(max(0.0, limit - self.spent)) * (1.0 - 1e-12)

    def owing(self) -> "PrivacyBudget":
        """The budget once somebody is to be forgotten."""
        return replace(self, is_owed=True)

    def charged(self, mu: float, *, refit: bool = False) -> "PrivacyBudget":
        """The budget after a release of ``mu``.

        Raises:
            BudgetSpent: the release would pass the limit.
        """
        if not self.is_owed:
            return self
        if not mu <= self.mu_left(refit=refit):
            raise BudgetSpent(
                f"a release of mu = {mu:.3g} would pass the budget: mu = {math.sqrt(self.spent):.3g} of {self.mu_limit:.3g} is "
                "spent since the earliest deletion; refit to restore it"
            )
        return replace(self, spent=(self.spent + mu**2) * (1.0 + 1e-15))

    @property
    def mu_total(self) -> float:
        """μ of all releases since the earliest deletion not yet refitted, jointly."""
        return math.sqrt(self.spent)

    def refitted(self) -> "PrivacyBudget":
        """The budget after a refit: later releases cost those already forgotten nothing."""
        return PrivacyBudget(self.mu_limit)


def sigma_from_excess_risk(excess_risk: float, curvature_trace_bound: float, row_norm: float) -> float:
    """The σ whose noise costs at most ``excess_risk`` in mean loss: ½κσ²R², whatever p is.

    Args:
        excess_risk: what the noise may add to the mean loss, in units of the loss; positive.
        curvature_trace_bound: κ of the loss; ``row_norm``: declared bound R on |x|, the intercept's 1 included.

    Raises:
        ValueError: an argument that is not finite and positive: such a loss has no bound of this kind.

    >>> round(sigma_from_excess_risk(0.001, 0.25, 1.0), 4)
    0.0894

    Source: theory §5.3.
    """
    given = (("excess_risk", excess_risk), ("curvature_trace_bound", curvature_trace_bound), ("row_norm", row_norm))
    for name, value in given:
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be finite and positive, got {value}")
    return math.sqrt(2.0 * excess_risk / curvature_trace_bound) / row_norm

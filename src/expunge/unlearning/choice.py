"""Choice: which candidate is released, what its rounding costs, and why there may be none. Theory §5.1, §5.7."""

import math
from collections.abc import Iterator

from expunge.errors import BudgetSpent, CapacityExceeded
from expunge.privacy import PrivacyBudget
from expunge.problem.rows import Rows, RowSource
from expunge.unlearning.anchored import Candidate
from expunge.unlearning.mechanism import Mechanism
from expunge.unlearning.release import charged_mu
from expunge.unlearning.rung import NoiseKind, Rung
from expunge.unlearning.settings import Settings

STEADY = 0.5
"""With no more change of the Hessian than this, two anchors of the same rows give models no farther apart (theory §5.7)."""


def _is_in_order(source: RowSource | None) -> bool:
    """Whether every sum over ``source`` is made in the same order by whoever has the same rows."""
    return source is None or isinstance(source, Rows)


def charged_wobble(candidate: Candidate, mechanism: Mechanism, budget: PrivacyBudget, source: RowSource | None) -> float:
    """μ that rounding may cost those forgotten in earlier periods. Source: theory §5.7."""
    if mechanism.scale == 0 or (_is_in_order(source) and not budget.is_drifting):
        return 0.0
    return mechanism.wobble(candidate) / mechanism.scale


def cheapest(
    candidates: Iterator[Candidate],
    settings: Settings,
    mechanism: Mechanism,
    budget: PrivacyBudget,
    source: RowSource | None,
) -> Candidate:
    """The first candidate that is near enough; without noise there is no target, and the last polished one is taken.

    Args:
        source: the remaining rows the candidates were made with.
    """
    is_wobbling = budget.is_drifting or (budget.earlier > 0 and not _is_in_order(source))
    mu = allowed = math.inf
    candidate = None
    for candidate in candidates:
        is_refit = candidate.rung is Rung.REFIT
        if mechanism.scale > 0:
            allowed, mu = budget.mu_left(refit=is_refit), charged_mu(candidate, mechanism)
            is_enough = mu <= allowed and (candidate.hessian_change <= STEADY or not is_wobbling)
        else:
            is_polished = candidate.passes == settings.max_passes and math.isfinite(candidate.distance_bound)
            is_enough = source is None or is_refit or candidate.rung is Rung.EXACT or is_polished
        if is_enough:
            return candidate
    if mechanism.scale == 0 and candidate is not None and math.isfinite(candidate.distance_bound):
        return candidate
    raise _refusal(candidate, mu, allowed, settings, mechanism, budget)


def _refusal(
    candidate: Candidate | None,
    mu: float,
    mu_allowed: float,
    settings: Settings,
    mechanism: Mechanism,
    budget: PrivacyBudget,
) -> CapacityExceeded | BudgetSpent:
    is_noisy, less = mechanism.scale > 0, "sigma" if mechanism.kind is NoiseKind.ISOTROPIC else "excess_risk"
    distance = mu * mechanism.scale if is_noisy else math.inf  # in the metric of the noise
    allowed = mu_allowed * mechanism.scale if is_noisy else math.inf
    spent = f"{budget.mu_total / settings.guarantee.mu:.0%} of the budget is spent" if budget.mu_total else "no budget is spent"
    numbers = f"proven distance {distance:.4g}, allowed {allowed:.4g}; {spent}"
    if candidate is None:
        return CapacityExceeded(
            "a wide model, which keeps no Hessian, changes by passes over the remaining rows: give them. Nothing was changed",
            distance_bound=math.inf,
            distance_allowed=mechanism.scale * budget.mu_left() if is_noisy else math.inf,
            rung=Rung.PASS,
        )
    if candidate.rung is Rung.REFIT or not candidate.state.has_hessian:
        return CapacityExceeded(
            f"even a refit cannot be certified ({numbers}): the problem is too ill-conditioned for this {less}; rescale the "
            f"columns, add a penalty or raise {less}. Nothing was changed",
            distance_bound=distance,
            distance_allowed=allowed,
            rung=Rung.REFIT,
        )
    if allowed <= mechanism.grid(len(candidate.point)):
        return BudgetSpent(
            "the releases since the earliest deletion have used the whole budget: pass the remaining rows, with which a "
            f"release costs next to nothing, or wait for the scheduled refit ({settings.schedule}), which resets it. Nothing "
            "was changed"
        )
    rung = candidate.state.rung_needed(distance, allowed, settings.max_passes)
    return CapacityExceeded(
        f"the statistics alone do not prove enough ({numbers}): pass the remaining rows, with which a {rung} should do. "
        "Nothing was changed",
        distance_bound=distance,
        distance_allowed=allowed,
        rung=rung,
    )

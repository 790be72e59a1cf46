"""Charges: what each release of a model costs people whom it has forgotten, and what all of them cost together. Theory §5.8."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from expunge.errors import SignatureInvalid

RELATIVE = 1e-9
"""How far rounding may separate a composed μ from one that is composed again."""


class Why(StrEnum):
    """Why a release has the cost that it has for people."""

    DELETION = "deletion"
    """It forgot them: its distance from exact retraining without them."""
    LATER = "later"
    """It came later, before a scheduled refit, or is an unscheduled refit: its distance."""
    SCHEDULED = "scheduled refit"
    """The first scheduled refit after it, from which on the model is as if they had never been: the effect of rounding."""
    AFTER = "after a scheduled refit"
    """It came after that: the effect of rounding on two models of the same rows, 0 if every sum is made in the same order."""


@dataclass(frozen=True)
class Charge:
    """The cost of one release.

    Args:
        why: the reason for the cost.
        mu: Gaussian certifiability of this release alone.
    """

    why: Why
    mu: float


def require_order(charges: Iterable[Why]) -> None:
    """Raises ``SignatureInvalid`` unless these are reasons of consecutive releases, the first of which forgot."""
    expected = {Why.DELETION}
    for why in charges:
        if why not in expected:
            raise SignatureInvalid(f"a release is charged as {str(why)!r} where that is impossible")
        expected = {Why.LATER, Why.SCHEDULED} if why in (Why.DELETION, Why.LATER) else {Why.AFTER}


def composed(mus: Iterable[float]) -> float:
    """μ of several Gaussian mechanisms together, √Σμ².

    Args:
        mus: μ of each mechanism.

    Examples:
        >>> composed([3.0, 4.0])
        5.0
    """
    return math.sqrt(math.fsum(mu * mu for mu in mus))


def delta_of(mu: float, epsilon: float) -> float:
    """δ(ε) = Φ(a) − e^ε Φ(−b) of μ-GDP, with a = μ/2 − ε/μ and b = μ/2 + ε/μ; to check a claim, not to make one.

    Since e^ε φ(b) = φ(a), the second term is φ(a)·Φ(−b)/φ(b): nothing overflows.

    Args:
        mu: μ, positive and finite.
        epsilon: ε, at least 0.

    Examples:
        >>> round(delta_of(0.5, 1.0), 5)
        0.00683

    Source: theory §5.1.
    """
    a, b = mu / 2.0 - epsilon / mu, mu / 2.0 + epsilon / mu
    if b < 25.0:
        ratio = math.erfc(b / math.sqrt(2.0)) * math.sqrt(math.pi / 2.0) * math.exp(0.5 * b * b)
    else:
        ratio = (1.0 - 1.0 / b**2 + 3.0 / b**4 - 15.0 / b**6) / b
    density = math.exp(-0.5 * a * a) / math.sqrt(2.0 * math.pi)
    return 0.5 * math.erfc(-a / math.sqrt(2.0)) - density * ratio

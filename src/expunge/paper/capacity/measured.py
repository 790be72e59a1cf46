"""Capacity that is measured: the risk on rows that were not learned, after an adversary's deletions. Theory §2."""

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from expunge.errors import CapacityExceeded, InvalidRows
from expunge.paper.capacity.computed import require_gamma
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.cost import NoisyLoss
from expunge.unlearning.dense import require_hessian
from expunge.unlearning.influence import Adversary, deletion_order
from expunge.unlearning.unlearner import Unlearner, secret_of

Array = NDArray[np.float64]


class FittedModel(Protocol):
    """What ``empirical_capacity`` needs of an estimator of ``expunge.linear_model``."""

    @property
    def unlearner_(self) -> Unlearner: ...

    def encoded(self, X: Any, y: Any, sample_weight: Any = None) -> Rows: ...


@dataclass(frozen=True)
class RiskPoint:
    """The excess held-out risk after ``m`` deletions, the noise's expected cost included.

    Args:
        m: how many rows were forgotten.
        rung: on which rung of the ladder.
        excess_risk: mean held-out loss over that of the un-noised model of all rows, in units of the loss.
        low: lower end of its bootstrap interval.
        high: upper end.
    """

    m: int
    rung: str
    excess_risk: float
    low: float
    high: float


@dataclass(frozen=True)
class EmpiricalCapacity:
    """The most deletions found harmless, ``capacity``; why not more, ``reason``; and the risk wherever it was measured.

    Args:
        capacity: the most deletions found harmless.
        reason: why it is no larger.
        points: the risk wherever it was measured.
    """

    capacity: int
    reason: str
    points: tuple[RiskPoint, ...]


def empirical_capacity(
    model: FittedModel,
    holdout: tuple[Any, ...],
    *,
    learned: tuple[Any, ...],
    adversary: Adversary = "influence",
    gamma: float = 0.01,
    confidence: float = 0.95,
    seed: int = 0,
) -> EmpiricalCapacity:
    """The largest m, to 5 %, whose expected excess population risk stays within ``gamma`` when an adversary chooses whom.

    Each m is forgotten in one request, on the cheapest rung that certifies it, from the model as it is; the model itself
    stays as it is. The risk is the mean loss of held-out rows, over the noise too.

    Args:
        model: a fitted estimator.
        holdout: ``(X, y)`` or ``(X, y, sample_weight)``, rows that were not learned.
        learned: the same of all that were.
        adversary: who goes first, see ``expunge.unlearning.influence``.
        gamma: excess risk allowed, in units of the loss.
        confidence: of the bootstrap intervals.
        seed: of the order, of the noise that is averaged over, and of the bootstrap.

    Raises:
        InvalidRows: rows that do not fit the model, or ``learned`` is not what it has learned.
        ValueError: gamma is not positive, confidence not between 0 and 1, or the adversary unknown.

    Source: theory §2; paper, Definition 3.
    """
    require_gamma(gamma)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, got {confidence}")
    unlearner, rng = model.unlearner_, np.random.default_rng(seed)
    rows, held_out = model.encoded(*learned), model.encoded(*holdout)
    order = deletion_order(adversary, require_hessian(secret_of(unlearner).state), rows, held_out, rng)
    risk = HeldOutRisk(unlearner.objective, held_out, secret_of(unlearner).point, rng, confidence)
    points: list[RiskPoint] = []
    reason = f"one of {len(rows)} rows must remain"

    def is_harmless(m: int) -> bool:
        nonlocal reason
        twin = unlearner.twin(lambda weights, _sigma: weights.copy())
        forgotten = rows.take(order[:m])
        try:
            release = twin.forget(replace(forgotten, ids=range(m)), rows.take(order[m:]))
        except (InvalidRows, CapacityExceeded) as refusal:
            reason = f"{m} deletions are refused: {refusal}"
            return False
        points.append(RiskPoint(m, release.certificate.rung, *risk.excess(release.weights, twin.noise_spread(held_out))))
        if points[-1].excess_risk > gamma:
            reason = f"{m} deletions cost {points[-1].excess_risk:.3g} > gamma = {gamma:g}"
        return points[-1].excess_risk <= gamma

    low, high = 0, 1
    while high < len(rows) and is_harmless(high):
        low, high = high, 2 * high
    high = min(high, len(rows))
    while high - low > max(1, low // 20):
        middle = (low + high) // 2
        low, high = (middle, high) if is_harmless(middle) else (low, middle)
    return EmpiricalCapacity(low, reason, tuple(sorted(points, key=lambda point: point.m)))


class HeldOutRisk:
    """The mean held-out loss of weights with noise, over that of un-noised reference weights; with bootstrap intervals."""

    RESAMPLES = 500

    def __init__(
        self, objective: Objective, holdout: Rows, reference: Array, rng: np.random.Generator, confidence: float = 0.95
    ) -> None:
        n = len(holdout)
        self._losses = NoisyLoss(objective, holdout, seed=int(rng.integers(2**31)))
        self._counts = rng.multinomial(n, np.full(n, 1.0 / n), size=self.RESAMPLES) * holdout.weight
        self._weight = holdout.weight
        self._tails = [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0]
        self._reference = self._losses.at(reference, 0.0)

    def excess(self, weights: Array, spread: Array) -> tuple[float, float, float]:
        """The excess risk of ``weights`` once noise is added, and its interval.

        Args:
            spread: of the noise in the predictors of the held-out rows, as for ``NoisyLoss.over``.
        """
        excess = self._losses.over(weights, spread) - self._reference
        low, high = np.quantile(self._counts @ excess / self._counts.sum(axis=1), self._tails)
        return float(np.average(excess, weights=self._weight)), float(low), float(high)

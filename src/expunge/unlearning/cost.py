"""What noise costs in loss: σ from the cost one can afford, and whether a fit is worth its noise. Theory §5.3.

N(0, σ²I) on the weights is N(0, σ²|x|²) on each linear predictor of a row, so that what it costs can be bounded before any
row is seen, and computed for rows at hand without drawing a single release.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.errors import NoiseDrownsModel, NoiseTooLarge
from expunge.numerics.row_norms import row_norms
from expunge.privacy.guarantee import sigma_from_excess_risk
from expunge.problem.losses import Loss
from expunge.problem.objective import Objective
from expunge.problem.parameters import real
from expunge.problem.rows import Rows

Array = NDArray[np.float64]

DEFAULT_SIGMA = 0.05
"""σ where nothing is declared from which it could follow: for rows of norm about 1 and targets of spread about 1."""
WARNING_SHARE, NEGLIGIBLE = 0.1, 0.01
"""A cost above this share of what the fit gains over the null model is worth a warning; but none below this share of the null
model's own loss, since where there is little to learn a little noise takes nothing."""
REFUSAL_SHARE = 1.0
"""A cost above this share of the null model's own loss is refused: it is more than any model could gain."""
LOG_LINK_SHARE = 0.1
"""With a log link, never below this share of ȳ²⁻ᵏ: predicted means are then still right to within a factor of about 1.5, even
where the targets vary less than that."""
FARTHEST = 60
"""Doublings of the range in which a best constant is looked for."""
SAMPLE = 1024
"""Rows looked at to tell what a fit gains and its noise costs."""


class Undeclared(ValueError):
    """Something must be declared before an excess risk says how much noise that is."""


def affordable_sigma(
    loss: Loss,
    *,
    fit_intercept: bool,
    excess_risk: float,
    row_norm: float | None,
    target_range: tuple[float, float] | None = None,
) -> float:
    """The σ whose noise costs at most ``excess_risk``, from what is declared alone.

    In units of the loss for a classifier, as a share of the largest loss that the null model can have on ``target_range`` for
    a regression with an identity link, and as a share of ȳ²⁻ᵏ with k the variance power for one with a log link (of the mean
    target for Poisson; Gamma's loss has no unit).

    Args:
        loss: of the model.
        fit_intercept: whether it has an intercept.
        excess_risk: at least 0; 0 for no noise.
        row_norm: declared bound R on |x|, the intercept's 1 included; ``None`` for none.
        target_range: declared least and greatest target; ``None`` for none.

    Raises:
        Undeclared: a declaration or the intercept is missing.
        ValueError: a number that cannot be.

    Examples:
        >>> from expunge.problem.losses import Logistic
        >>> sigma = affordable_sigma(Logistic(), fit_intercept=True, excess_risk=0.001, row_norm=2.0)
        >>> round(sigma**2 * 2.0**2 * 0.25 / 2, 6)  # half the curvature, β|x|² at most, times the variance
        0.001

    Source: theory §5.3.
    """
    if not (math.isfinite(excess_risk) and excess_risk >= 0):
        raise ValueError(f"excess_risk must be a finite number of at least 0, got {excess_risk}")
    if excess_risk == 0:
        return 0.0
    if row_norm is None:
        raise Undeclared("excess_risk needs row_norm, the declared bound on the norm of every row: declare it, or set sigma")
    if math.isfinite(loss.curvature_trace_bound):
        scale = 1.0 if loss.classes else largest_null_loss(loss, target_range)
        return sigma_from_excess_risk(excess_risk * scale, loss.curvature_trace_bound, row_norm)
    if not fit_intercept:
        raise Undeclared(
            f"what noise costs the {loss.name} loss is known only for a model with an intercept: set fit_intercept, or sigma"
        )
    return sigma_from_excess_risk(math.log1p(excess_risk), 1.0, row_norm)


def checked_range(target_range: object) -> tuple[float, float]:
    """``target_range`` as two finite numbers.

    Raises:
        ValueError: anything else, or the second not above the first.
    """
    if not (isinstance(target_range, tuple | list) and len(target_range) == 2):
        raise ValueError(f"target_range must be a pair (low, high), got {target_range!r}")
    low, high = (real("target_range", end) for end in target_range)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"target_range must be two finite numbers, the first below the second, got {target_range!r}")
    return low, high


def largest_null_loss(loss: Loss, target_range: tuple[float, float] | None) -> float:
    """What the best constant loses on the worst targets of the range: what the constant loses that loses the same at both
    ends. None loses less at its worse end, and targets at the two ends make every constant lose that on average.
    """
    if target_range is None:
        raise Undeclared(
            f"excess_risk of the {loss.name} loss is a share of the null model's loss: declare the range of the targets, or "
            "set sigma"
        )
    low, high = checked_range(target_range)
    below, above = 0.0, 1.0
    for _ in range(200):
        share = 0.5 * (below + above)
        ends = loss.value(np.array([share * (high - low), (share - 1.0) * (high - low)]), np.zeros(2))
        if ends[0] == ends[1] or share in (below, above):
            break
        below, above = (below, share) if ends[0] > ends[1] else (share, above)
    return float(ends.min())


class NoisyLoss:
    """The loss of each row over the noise: one output is integrated by Gauss–Hermite quadrature, several are averaged over
    draws of exact second moments, each with its opposite.

    Args:
        objective: what is evaluated.
        rows: on which rows, on the host.
        nodes: of the quadrature.
        draws: an even number.
        seed: of the draws.
    """

    def __init__(self, objective: Objective, rows: Rows, *, nodes: int = 40, draws: int = 256, seed: int = 0) -> None:
        self._objective, self._rows = objective, rows
        self._norms = row_norms(objective, rows)
        if objective.loss.outputs == 1:
            self._nodes, weights = np.polynomial.hermite_e.hermegauss(nodes)
            self._weights = weights / weights.sum()
        else:
            outputs = objective.loss.outputs
            half = np.random.default_rng(seed).standard_normal((max(draws // 2, 2 * outputs), outputs))
            half = np.linalg.qr(half).Q * math.sqrt(len(half))  # second moments exact, so that the cost is to second order
            self._nodes, self._weights = np.vstack([half, -half]), np.full(2 * len(half), 0.5 / len(half))

    def at(self, weights: Array, sigma: float) -> Array:
        """The expected loss of each row once N(0, σ²I) is added to ``weights``, ``(n_rows,)``."""
        return self.over(weights, sigma * self._norms)

    def over(self, weights: Array, spread: Array) -> Array:
        """The expected loss of each row under Gaussian noise in its predictors, ``(n_rows,)``.

        Args:
            weights: without noise, ``(p,)``.
            spread: the noise's standard deviation, ``(n_rows,)``, that of each of K independent predictors alike; or a root R
                of the covariance RRᵀ of the K predictors, ``(n_rows, K, K)``.
        """
        loss, y = self._objective.loss, self._rows.y
        t = self._objective.predicted(weights, self._rows)
        if not spread.any():
            return np.asarray(loss.value(t, y))
        if spread.ndim == 1 and t.ndim > 1:
            spread = spread[:, None]
        moves = spread.__matmul__ if spread.ndim > 2 else spread.__mul__
        return np.asarray(sum(w * loss.value(t + moves(z), y) for z, w in zip(self._nodes, self._weights, strict=True)))


@dataclass(frozen=True)
class NoiseCost:
    """What noise costs in mean loss, and what the fit gains: secret, as both depend on the rows.

    Args:
        median: standard deviation of the noise in the predictor of the median row; for several outputs, of that with the most.
        largest: the same of the worst-served row.
        cost: expected increase of the mean loss.
        gain: mean loss of the null model (the best constant; 0 everywhere without an intercept) less that of the fit.
        null: mean loss of the null model over that of a perfect one.
        tolerated: cost below which nothing is refused.

    Source: theory §5.3.
    """

    median: float
    largest: float
    cost: float
    gain: float
    null: float
    tolerated: float

    @classmethod
    def of(cls, objective: Objective, rows: Rows, point: Array, sigma: float) -> "NoiseCost":
        """The cost of N(0, σ²I).

        Args:
            objective: what was minimised.
            rows: that were learned.
            point: the un-noised weights, ``(p,)``.
            sigma: σ of the noise in each weight.
        """
        return cls.over(objective, rows, point, lambda sample: sigma * row_norms(objective, sample))

    @classmethod
    def over(cls, objective: Objective, rows: Rows, point: Array, spread: Callable[[Rows], Array]) -> "NoiseCost":
        """An estimate from at most about a thousand of ``rows``, for un-noised weights ``point``.

        Args:
            objective: what was minimised.
            rows: that were learned.
            point: the un-noised weights, ``(p,)``.
            spread: of the noise in the predictors of rows, as for ``NoisyLoss.over``.
        """
        sample = rows.thinned(max(1, len(rows) // SAMPLE)).on_host()
        if not sample.weight.sum() > 0:
            return cls(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        with np.errstate(all="ignore"):
            loss = NoisyLoss(objective, sample, nodes=16, draws=32)
            moved = spread(sample)
            exact, noisy = loss.at(point, 0.0), loss.over(point, moved)
            single = moved if moved.ndim == 1 else np.sqrt(np.square(moved).sum(axis=2)).max(axis=1)
            null, perfect = _null_losses(objective, sample), perfect_losses(objective.loss, sample.y)
            mean = sample.weight / sample.weight.sum()
            cost, gain, worst = (float(mean @ losses) for losses in (noisy - exact, null - exact, null - perfect))
            tolerated = LOG_LINK_SHARE * _unit(objective.loss, float(mean @ sample.y))
        cost = math.inf if math.isnan(cost) else cost
        return cls(float(np.median(single)), float(single.max()), cost, gain, worst, tolerated)

    @property
    def is_large(self) -> bool:
        """Whether it takes a good part of what the fit gains: worth a warning."""
        return self.null > 0 and self.cost > max(WARNING_SHARE * self.gain, NEGLIGIBLE * self.null)

    @property
    def is_too_large(self) -> bool:
        """Whether it is more than any model could gain: the releases would be worth nothing."""
        return self.null > 0 and self.cost > max(REFUSAL_SHARE * self.null, self.tolerated)

    def require_worth(self) -> None:
        """Raises ``NoiseTooLarge`` if the releases would be worth nothing; warns of ``NoiseDrownsModel`` if they lose much."""
        if self.is_too_large:
            raise NoiseTooLarge(f"{self}. Nothing was released")
        if self.is_large:
            warnings.warn(str(self), NoiseDrownsModel, stacklevel=4)

    def __str__(self) -> str:
        return (
            f"the noise adds about {self.cost:.3g} to the mean loss (it is {self.median:.3g} in the predictor of the median "
            f"row, {self.largest:.3g} in that of the worst-served), and the fit is only {self.gain:.3g} better than a constant "
            "model: bring the columns to a common scale of about 1 (a FeatureSchema declares ranges), or ask for less noise: a "
            "smaller sigma, or a smaller excess_risk (for isotropic noise with row_norm declared)"
        )


def _null_losses(objective: Objective, rows: Rows) -> Array:
    """The losses of the best constant model, beside the offsets; of zero weights where there is no intercept."""
    loss, y, weight = objective.loss, rows.y, rows.weight
    n, offsets = len(rows), objective.offsets(rows)
    if not objective.fit_intercept:
        zeros = np.zeros((n, loss.outputs) if loss.outputs > 1 else n)
        return np.asarray(loss.value(zeros if offsets is None else offsets, y))
    if offsets is not None:
        return np.asarray(loss.value(offsets + _best_constant(loss, y, weight, offsets), y))
    if loss.outputs > 1:
        share = np.bincount(y.astype(np.intp), weight, loss.classes) / weight.sum()
        return np.asarray(-np.log(share[y.astype(np.intp)], where=weight > 0, out=np.zeros(n)))
    if not math.isfinite(loss.curvature_bound):  # a log link: its best constant is the mean
        return np.asarray(loss.value(np.full(n, np.log(np.average(y, weights=weight))), y))
    return np.asarray(loss.value(np.full(n, _best_constant(loss, y, weight)), y))


def _best_constant(loss: Loss, y: Array, weight: Array, offsets: Array | float = 0.0) -> float:
    """The constant prediction of the least loss, by bisection of the slope; far out where there is none, as of one class."""
    from scipy.optimize import brentq

    def slope(constant: float) -> float:
        return float(weight @ loss.derivative(offsets + np.full(len(y), constant), y))

    low, high, step = float(y.min()), float(y.max()), 1.0 + float(np.ptp(y))
    for _ in range(FARTHEST):
        if slope(low) <= 0.0 <= slope(high):
            return float(brentq(slope, low, high)) if low < high else low
        low, high, step = (low - step if slope(low) > 0.0 else low), (high + step if slope(high) < 0.0 else high), 2.0 * step
    return low if slope(low) > 0.0 else high


def _unit(loss: Loss, mean: float) -> float:
    """ȳ²⁻ᵏ of a loss with a log link, which is its curvature at the null model; 0 for the others, which know no such unit."""
    if math.isfinite(loss.curvature_bound):
        return 0.0
    return float(loss.curvature(np.log([mean]), np.array([mean]))[0])


def perfect_losses(loss: Loss, y: Array) -> Array:
    """The least loss that each target allows, ``(n_rows,)``.

    Args:
        loss: of the model.
        y: targets, ``(n_rows,)``.
    """
    if math.isfinite(loss.curvature_bound):
        return np.zeros(len(y))
    return np.where(y > 0, loss.value(np.log(np.where(y > 0, y, 1.0)), y), 0.0)

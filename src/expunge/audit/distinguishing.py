"""Audit: what an independent check can find against a certificate. Theory §7.

A mechanism is a callable that draws: ``count -> array (count, …)``. The auditor draws from two of them, the model that forgot
and the model that never learned, and tries to tell them apart. What it can tell is a *lower* bound on the privacy loss: one
above the certified value proves a bug, one below proves nothing, so its power is shown on mechanisms broken on purpose.

Half of the draws serve to learn the test, the other half to count its errors; so the bounds hold however the test was found.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm

Array = NDArray[np.float64]
Mechanism = Callable[[int], Array]
"""Draws independent outputs: ``count -> (count, …)``."""

SHRINKAGE = 1e-6
"""Share of the mean variance added to every direction's, so that constant outputs can be told apart too."""


@dataclass(frozen=True, eq=False)
class TradeOff:
    """How well two mechanisms could be told apart, on held-out draws at one threshold.

    Args:
        n_draws: held-out draws of each mechanism.
        confidence: of all bounds together.
        false_positives: share of draws of the second mechanism taken for the first's.
        false_negatives: share of draws of the first taken for the second's.
        false_positives_bound: Clopper–Pearson upper bound on the rate of the former.
        false_negatives_bound: the same of the latter.
        curve: type I and type II error at every threshold, ``(k, 2)``; for the figure, not for the bounds.

    Source: theory §7.
    """

    n_draws: int
    confidence: float
    false_positives: float
    false_negatives: float
    false_positives_bound: float
    false_negatives_bound: float
    curve: Array

    @property
    def band(self) -> float:
        """By how much an error of ``curve`` may be off, at every threshold at once, at ``confidence``.

        Source: Massart, *The tight constant in the Dvoretzky–Kiefer–Wolfowitz inequality*, 1990, for two sides of two samples.
        """
        return math.sqrt(math.log(4.0 / (1.0 - self.confidence)) / (2.0 * self.n_draws))

    @property
    def mu_lower_bound(self) -> float:
        """A μ that the mechanisms' own is at least, at ``confidence``."""
        alpha, miss = self.false_positives_bound, self.false_negatives_bound
        return max(0.0, float(norm.isf(alpha) - norm.ppf(miss))) if alpha < 1 and miss < 1 else 0.0

    def epsilon_lower_bound(self, delta: float) -> float:
        """An ε, in nats, that the mechanisms' own at ``delta`` is at least, at ``confidence``.

        Args:
            delta: δ, a probability.
        """
        alpha, miss = self.false_positives_bound, self.false_negatives_bound
        ratios = [(1.0 - delta - alpha) / miss, (1.0 - delta - miss) / alpha]
        return max(0.0, *(math.log(ratio) if ratio > 0 else 0.0 for ratio in ratios))

    def exceeds(self, mu: float) -> bool:
        """Whether the audit proves that the privacy loss is above a certified ``mu``.

        Args:
            mu: μ, as certified; at least 0.
        """
        return self.mu_lower_bound > mu


def black_box(mechanism_a: Mechanism, mechanism_b: Mechanism, *, n_draws: int, confidence: float = 0.99) -> TradeOff:
    """How well released weights of two mechanisms could be told apart, by the best linear test.

    The test projects on the direction in which the means are farthest apart for their spread; between Gaussians of one
    covariance that is the likelihood ratio, so no test is better.

    Args:
        mechanism_a: the model that forgot.
        mechanism_b: the one that never learned; ``count -> (count, p)``.
        n_draws: drawn from each, at least 4; half to learn the direction.
        confidence: of the bounds; 0.99 by default.

    Raises:
        ValueError: fewer than 4 draws, a confidence not between 0 and 1, or draws of different shapes or not finite.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> told = black_box(lambda n: rng.normal(3.0, 1.0, (n, 2)), lambda n: rng.normal(0.0, 1.0, (n, 2)), n_draws=400)
        >>> told.exceeds(1.0), told.exceeds(3 * 2**0.5)  # their μ is |(3, 3)|₂/1
        (True, False)

    Source: theory §7.
    """
    (learn_a, test_a), (learn_b, test_b) = _halves(mechanism_a, mechanism_b, n_draws, confidence)
    direction = _direction(learn_a, learn_b)
    return _trade_off(learn_a @ direction, learn_b @ direction, test_a @ direction, test_b @ direction, confidence)


def membership(mechanism_a: Mechanism, mechanism_b: Mechanism, *, n_draws: int, confidence: float = 0.99) -> TradeOff:
    """How well predictions alone could be told apart: a likelihood-ratio membership test on the deleted rows.

    For people who have only scores. Each deleted row's score is taken for normal with its own mean and spread under either
    mechanism, fitted on one half of the draws; the rows' log-likelihood ratios are added up.

    Args:
        mechanism_a: ``count -> (count, m)``, scores of the m deleted rows by the model that forgot: best the log-odds of the
            true label.
        mechanism_b: the same by models retrained without them.
        n_draws: drawn from each, at least 4; half to learn how the scores are spread.
        confidence: of the bounds; 0.99 by default.

    Raises:
        ValueError: as ``black_box``.

    Source: theory §7; Carlini et al., *Membership Inference Attacks From First Principles*, 2022.
    """
    (learn_a, test_a), (learn_b, test_b) = _halves(mechanism_a, mechanism_b, n_draws, confidence)
    fits = [(half.mean(axis=0), half.std(axis=0, ddof=1)) for half in (learn_a, learn_b)]
    floor = SHRINKAGE * float(np.mean([spread for _mean, spread in fits])) + np.finfo(float).tiny

    def ratio(scores: Array) -> Array:
        logs = [norm.logpdf(scores, mean, np.maximum(spread, floor)).sum(axis=1) for mean, spread in fits]
        return np.asarray(logs[0] - logs[1])

    return _trade_off(ratio(learn_a), ratio(learn_b), ratio(test_a), ratio(test_b), confidence)


def sequence(stream_a: Mechanism, stream_b: Mechanism, *, n_draws: int, confidence: float = 0.99) -> TradeOff:
    """How well whole streams of releases could be told apart: their joint lower bound must stay under the filter's total.

    Args:
        stream_a: ``count -> (count, k, p)``: k releases in a row, later requests chosen as one likes from earlier releases.
        stream_b: the same of another mechanism.
        n_draws: streams drawn from each, at least 4; half to learn the direction.
        confidence: of the bounds; 0.99 by default.

    Raises:
        ValueError: as ``black_box``.

    Source: theory §5.2, §7.
    """

    def flat(stream: Mechanism) -> Mechanism:
        return lambda count: np.asarray(stream(count), dtype=np.float64).reshape(count, -1)

    return black_box(flat(stream_a), flat(stream_b), n_draws=n_draws, confidence=confidence)


def _halves(a: Mechanism, b: Mechanism, n_draws: int, confidence: float) -> list[tuple[Array, Array]]:
    """For each mechanism the draws to learn from and those to test on."""
    if n_draws < 4:
        raise ValueError(f"n_draws must be at least 4, got {n_draws}: half of the draws learn the test, half are counted")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, got {confidence}")
    draws = [np.asarray(mechanism(n_draws), dtype=np.float64) for mechanism in (a, b)]
    for name, drawn in zip("ab", draws, strict=True):
        if drawn.ndim != 2 or drawn.shape != (n_draws, draws[0].shape[-1]):
            raise ValueError(f"mechanism_{name} drew shape {drawn.shape}, expected ({n_draws}, {draws[0].shape[-1]})")
        if not np.isfinite(drawn).all():
            raise ValueError(f"mechanism_{name} drew values that are not finite")
    return [(drawn[: n_draws // 2], drawn[n_draws // 2 :]) for drawn in draws]


def _direction(a: Array, b: Array) -> Array:
    """Fisher's discriminant or the plain difference of means: the one that tells the training draws apart better."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    plain: Array = a.mean(axis=0) - b.mean(axis=0)
    pooled = np.vstack([a - a.mean(axis=0), b - b.mean(axis=0)])
    if not pooled.any():
        return plain
    labels = np.repeat([1, 0], [len(a), len(b)])
    scale = float(np.abs(pooled).max())
    fitted = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(np.vstack([a, b]) / scale, labels)
    least = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE).fit(np.vstack([a, b]) / scale, labels)

    def separation(direction: Array) -> float:
        apart, spread = abs(float(plain @ direction)), float((pooled @ direction).std())
        return apart / spread if spread > 0 else math.inf if apart > 0 else 0.0

    usable = len(pooled) > 4 * pooled.shape[1]  # with fewer draws the unshrunk one fits their noise
    candidates = [plain, fitted.coef_[0], *([least.coef_[0]] if usable else [])]
    return max(candidates, key=separation)


def _trade_off(learn_a: Array, learn_b: Array, test_a: Array, test_b: Array, confidence: float) -> TradeOff:
    """Errors of the test "score above the threshold: it is a", the threshold being the best on the learning draws."""
    sign = 1.0 if learn_a.mean() >= learn_b.mean() else -1.0
    learn_a, learn_b, test_a, test_b = (sign * scores for scores in (learn_a, learn_b, test_a, test_b))
    kappa = (1.0 - confidence) / 2.0
    thresholds = np.unique(np.concatenate([learn_a, learn_b]))
    thresholds = 0.5 * (thresholds[1:] + thresholds[:-1]) if len(thresholds) > 1 else thresholds
    errors = _errors(learn_a, learn_b, thresholds)
    bounds = [_clopper_pearson(count, len(learn_a), kappa) for count in errors]
    best = thresholds[np.argmax(norm.isf(bounds[0]) - norm.ppf(bounds[1]))]
    false_positives, false_negatives = (int(count[0]) for count in _errors(test_a, test_b, np.array([best])))
    n = len(test_a)
    curve = np.stack(_errors(test_a, test_b, np.quantile(np.concatenate([test_a, test_b]), np.linspace(0, 1, 101))), axis=1)
    return TradeOff(
        n_draws=n,
        confidence=confidence,
        false_positives=false_positives / n,
        false_negatives=false_negatives / n,
        false_positives_bound=float(_clopper_pearson(np.array(false_positives), n, kappa)),
        false_negatives_bound=float(_clopper_pearson(np.array(false_negatives), n, kappa)),
        curve=curve / n,
    )


def _errors(a: Array, b: Array, thresholds: Array) -> list[NDArray[np.intp]]:
    """How many of ``b`` are above, and of ``a`` not above, each threshold."""
    not_above_a, not_above_b = (np.searchsorted(np.sort(scores), thresholds, side="right") for scores in (a, b))
    return [len(b) - not_above_b, not_above_a]


def _clopper_pearson(count: NDArray[np.intp], n: int, kappa: float) -> Array:
    """Upper bound on a rate of which ``count`` of ``n`` were seen, wrong with probability ``kappa`` at most."""
    return np.where(count >= n, 1.0, beta.ppf(1.0 - kappa, count + 1.0, np.maximum(n - count, 1e-300)))

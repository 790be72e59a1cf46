"""Audit: what an independent check can find against a certificate. Theory §7.

A mechanism is a callable that draws: ``count -> array (count, …)``. The auditor draws from two of them, the model that forgot
and the model that never learned, and tries to tell them apart. What it can tell is a *lower* bound on the privacy loss: one
above the certified value proves a bug, one below proves nothing, so its power is shown on mechanisms broken on purpose.

Half of the draws serve to learn the test, the other half to count its errors; so the bounds hold however the test was found.
"""

import copy
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import beta, norm

from expunge.errors import InvalidRows, ModelCopyWarning

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
        false_positives, false_negatives: share of draws of the second taken for the first, and the reverse.
        false_positives_bound, false_negatives_bound: Clopper–Pearson upper bounds on these rates.
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
    def mu_lower_bound(self) -> float:
        """A μ that the mechanisms' own is at least, at ``confidence``."""
        alpha, miss = self.false_positives_bound, self.false_negatives_bound
        return max(0.0, float(norm.isf(alpha) - norm.ppf(miss))) if alpha < 1 and miss < 1 else 0.0

    def epsilon_lower_bound(self, delta: float) -> float:
        """An ε, in nats, that the mechanisms' own at ``delta`` is at least, at ``confidence``."""
        alpha, miss = self.false_positives_bound, self.false_negatives_bound
        ratios = [(1.0 - delta - alpha) / miss, (1.0 - delta - miss) / alpha]
        return max(0.0, *(math.log(ratio) if ratio > 0 else 0.0 for ratio in ratios))

    def exceeds(self, mu: float) -> bool:
        """Whether the audit proves that the privacy loss is above a certified ``mu``."""
        return self.mu_lower_bound > mu


def black_box(mechanism_a: Mechanism, mechanism_b: Mechanism, *, n_draws: int, confidence: float = 0.99) -> TradeOff:
    """How well released weights of two mechanisms could be told apart, by the best linear test.

    The test projects on the direction in which the means are farthest apart for their spread; between Gaussians of one
    covariance that is the likelihood ratio, so no test is better.

    Args:
        mechanism_a: the model that forgot; ``mechanism_b``: the one that never learned; ``count -> (count, p)``.
        n_draws: drawn from each, at least 4; half to learn the direction.
        confidence: of the bounds.

    Raises:
        ValueError: fewer than 4 draws, a confidence not between 0 and 1, or draws of different shapes or not finite.

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
        mechanism_a, mechanism_b: ``count -> (count, m)``, scores of the m deleted rows by the model that forgot and by models
            retrained without them: best the log-odds of the true label.

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
        stream_a, stream_b: ``count -> (count, k, p)``: k releases in a row, later requests chosen as one likes from earlier
            releases.

    Raises:
        ValueError: as ``black_box``.

    Source: theory §5.2, §7.
    """

    def flat(stream: Mechanism) -> Mechanism:
        return lambda count: np.asarray(stream(count), dtype=np.float64).reshape(count, -1)

    return black_box(flat(stream_a), flat(stream_b), n_draws=n_draws, confidence=confidence)


@dataclass(frozen=True)
class AuditedRelease:
    """One release: what was certified, and what retraining finds.

    Args:
        rung: how it was certified; ``forgotten``: rows.
        certified_distance, true_distance: Δ and |w̄ − ŵ′|₂.
        retraining_error: bound on how far the retrained weights are from the optimum, which the comparison allows for.
        certified_mu, true_mu: the distances over σ; infinite where σ = 0.
        certified_mu_total, true_mu_total: √Σμ² of the releases since the earliest deletion of the period.
    """

    rung: str
    forgotten: int
    certified_distance: float
    true_distance: float
    retraining_error: float
    certified_mu: float
    true_mu: float
    certified_mu_total: float
    true_mu_total: float

    @property
    def is_honest(self) -> bool:
        """Whether what is certified, alone and in total, covers what retraining finds."""
        if not self.true_distance - self.retraining_error <= self.certified_distance:
            return False
        slack = self.retraining_error / self.true_distance if self.true_distance > 0 else 0.0
        return not self.true_mu_total * (1.0 - min(1.0, slack)) > self.certified_mu_total


@dataclass(frozen=True)
class ExactAudit:
    """An audit by retraining: every release, in order."""

    releases: tuple[AuditedRelease, ...]

    @property
    def is_honest(self) -> bool:
        """Whether every release is."""
        return all(release.is_honest for release in self.releases)


def exact(model: Any, U: Sequence[tuple[Any, ...]], remaining: tuple[Any, ...]) -> ExactAudit:
    """Forgets on a copy of ``model``, retrains after every request, and sets the true distance beside the certified one.

    Args:
        model: a fitted estimator of ``expunge.linear_model``; it stays as it is.
        U: requests in order, each ``(X, y)`` or ``(X, y, sample_weight)``, as the model was fitted.
        remaining: the same of the rows that are learned and in no request.

    Raises:
        InvalidRows, NotLearned: what ``forget`` raises.

    Source: theory §7.
    """
    from sklearn.base import clone

    audited = rehearsal(model)
    retrained = clone(model).set_params(sigma=0)
    releases: list[AuditedRelease] = []
    true_square = 0.0
    for i, (X, y, *weight) in enumerate(U):
        left = _joined([*U[i + 1 :], remaining])
        certificate = audited.forget(X, y, sample_weight=weight[0] if weight else None, ids=range(len(y)), remaining=left)
        distance = audited.true_distance(*left)
        mu = distance / certificate.sigma if certificate.sigma > 0 else math.inf
        true_square += mu**2
        releases.append(
            AuditedRelease(
                rung=certificate.rung,
                forgotten=len(y),
                certified_distance=certificate.distance_bound,
                true_distance=distance,
                retraining_error=retrained.fit(*left).certificate_.distance_bound,
                certified_mu=certificate.mu,
                true_mu=mu,
                certified_mu_total=certificate.mu_total,
                true_mu_total=math.sqrt(true_square),
            )
        )
    return ExactAudit(tuple(releases))


def _joined(parts: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """All rows of the parts, with weights if they have them.

    Raises:
        InvalidRows: some parts have weights, and others have none.
    """
    if len({len(part) for part in parts}) > 1:
        raise InvalidRows("some rows come with weights and others without: give them with all rows, or with none")
    X, *columns = zip(*parts, strict=True)
    return (_stacked(list(X)), *(np.concatenate(column) for column in columns))


def rehearsal(model: Any) -> Any:
    """A copy of ``model``, an estimator or an unlearner, that may release: for experiments.

    Assumes: nothing that it releases is published, so that no budget is spent.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelCopyWarning)
        twin = copy.deepcopy(model)
    twin.take_over()
    return twin


def _stacked(parts: list[Any]) -> Any:
    return sparse.vstack(parts, format="csr") if any(sparse.issparse(part) for part in parts) else np.concatenate(parts)


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

"""Audits by retraining: the true distance of every release beside the certified one. Theory §7."""

import copy
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from expunge.errors import InvalidRows, ModelCopyWarning


@dataclass(frozen=True)
class AuditedRelease:
    """One release: what was certified, and what retraining finds.

    Args:
        rung: how it was certified.
        forgotten: how many rows were forgotten.
        certified_distance: Δ.
        true_distance: |w̄ − ŵ′|₂.
        retraining_error: bound on how far the retrained weights are from the optimum, which the comparison allows for.
        certified_mu: of the release; infinite where there is no noise.
        true_mu: that of the true distance, in the metric of the noise.
        certified_mu_total: √Σμ², as certified, of the releases since the earliest deletion of the period.
        true_mu_total: the same by the true distances.
        mu_error: how much of ``true_mu`` may be ``retraining_error``; ``None`` for the share that it is of ``true_distance``.
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
    mu_error: float | None = None

    @property
    def is_honest(self) -> bool:
        """Whether what is certified, alone and in total, covers what retraining finds."""
        if not self.true_distance - self.retraining_error <= self.certified_distance:
            return False
        of, error = (self.true_distance, self.retraining_error) if self.mu_error is None else (self.true_mu, self.mu_error)
        slack = error / of if of > 0 else 0.0
        return not self.true_mu_total * (1.0 - min(1.0, slack)) > self.certified_mu_total


@dataclass(frozen=True)
class ExactAudit:
    """An audit by retraining.

    Args:
        releases: every one, in order.
    """

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

    Examples:
        >>> from expunge.linear_model import Ridge
        >>> X, y = np.arange(6.0)[:, None], np.arange(6.0) ** 2
        >>> audit = exact(Ridge(sigma=0).fit(X, y), [(X[:1], y[:1]), (X[1:2], y[1:2])], (X[2:], y[2:]))
        >>> audit.is_honest, [release.forgotten for release in audit.releases]
        (True, [1, 1])

    Source: theory §7.
    """
    from sklearn.base import clone

    audited = rehearsal(model)
    retrained = clone(model).set_params(sigma=0, noise="auto", excess_risk=None)
    releases: list[AuditedRelease] = []
    true_square = 0.0
    for i, (X, y, *weight) in enumerate(U):
        left = _joined([*U[i + 1 :], remaining])
        certificate = audited.forget(X, y, sample_weight=weight[0] if weight else None, ids=range(len(y)), remaining=left)
        mu, error = audited.true_mu(*left), retrained.fit(*left).certificate_.distance_bound
        true_square += mu**2
        releases.append(
            AuditedRelease(
                rung=certificate.rung,
                forgotten=len(y),
                certified_distance=certificate.distance_bound,
                true_distance=audited.true_distance(*left),
                retraining_error=error,
                certified_mu=certificate.mu,
                true_mu=mu,
                certified_mu_total=certificate.mu_total,
                true_mu_total=math.sqrt(true_square),
                mu_error=audited.unlearner_.most_mu(error),
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
    """A copy of ``model`` that may release: for experiments.

    Args:
        model: a fitted estimator, or an unlearner; it stays as it is.

    Assumes: nothing that it releases is published, so that no budget is spent.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelCopyWarning)
        twin = copy.deepcopy(model)
    twin.take_over()
    return twin


def _stacked(parts: list[Any]) -> Any:
    return sparse.vstack(parts, format="csr") if any(sparse.issparse(part) for part in parts) else np.concatenate(parts)

"""Release: what leaves, what it costs, and the secret behind it. Theory §5.

The secret is one value: whatever changes it makes another, after everything else has succeeded.
"""

import math
import secrets
import time
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from expunge.errors import InvalidRows
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.moments import Moments
from expunge.privacy import PrivacyBudget
from expunge.privacy.noise import Noise
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.anchored import AnchoredState, Candidate
from expunge.unlearning.certificate import ASSUMPTIONS, DECLARED_NORM, EXPANDED, Certificate
from expunge.unlearning.exposure import Departure, History
from expunge.unlearning.learned import LearnedRows
from expunge.unlearning.mechanism import Mechanism
from expunge.unlearning.rung import Bound, NoiseKind
from expunge.unlearning.settings import Settings

Array = NDArray[np.float64]

VERSION = version("expunge")


@dataclass(frozen=True, eq=False)
class Release:
    """Weights that may leave, ``(p,)``, read-only, and the certificate that goes with them.

    Args:
        weights: that may leave, ``(p,)``.
        certificate: what is promised of them, and the evidence.
    """

    weights: Array
    certificate: Certificate


@dataclass(frozen=True, eq=False)
class Secret:
    """All that changes: the state, digests of its rows if they are tracked, their moments if these shape the noise, the
    un-noised weights last released, how that was done, the budget, and what is kept of the releases so far.
    """

    state: AnchoredState = field(repr=False)
    learned: LearnedRows | None = field(repr=False)
    moments: Moments | None = field(repr=False)
    mechanism: Mechanism = field(repr=False)
    point: Array = field(repr=False)
    budget: PrivacyBudget
    n_releases: int
    history: History = field(repr=False)
    release: Release


@dataclass(frozen=True, eq=False)
class Change:
    """What one operation does to the rows: some come, some go, or none do in a refit."""

    added: Rows | None = None
    removed: Rows | None = None

    def check(self, objective: Objective, settings: Settings, is_weighted: bool) -> None:
        """Refuses rows that the objective cannot take, empty requests and duplicates in what is to be forgotten.

        Args:
            is_weighted: whether the rows of the model have weights.
        """
        for rows in (self.added, self.removed):
            if rows is not None and len(objective.check(rows, is_weighted)) == 0:
                raise InvalidRows("the request holds no rows: give at least one")
        if self.removed is None or settings.by_subject:  # which knows how often each row was learned under an id
            return
        pair = self.removed.duplicate()
        if pair is not None:
            raise InvalidRows(
                f"rows {pair[0]} and {pair[1]} of the request are the same: a request is a set of rows. If they are different "
                "people with the same values, say so: forget(X, y, ids=...), one id per row"
            )

    def tracked(self, learned: LearnedRows, classes: int) -> LearnedRows:
        """The digests of the rows with the change made; rows go before others come, so that none makes up for one that is not
        there."""
        if self.removed is not None:
            learned = learned.removed(self.removed, classes)
        return learned if self.added is None else learned.added(self.added)

    def summed(self, objective: Objective, moments: Moments) -> Moments:
        """The moments with the change made."""
        if self.added is not None:
            moments = moments + Moments.of(objective, self.added)
        return moments if self.removed is None else moments - Moments.of(objective, self.removed)

    def applied(self, state: AnchoredState) -> tuple[AnchoredState, Evaluation | None]:
        """The state with the change made, and the rows that went, evaluated; new rows first, so that the Hessian never dips."""
        if self.added is not None:
            state = state.added(self.added)
        if self.removed is None:
            return state, None
        gone = state.evaluated(self.removed)
        return state.without(gone), gone


def charged_mu(candidate: Candidate, mechanism: Mechanism) -> float:
    """μ that the release of ``candidate`` costs; 0 without noise, where nothing is promised."""
    return mechanism.distance(candidate) / mechanism.scale * (1.0 + 1e-12) if mechanism.scale > 0 else 0.0


def published(
    settings: Settings,
    noise: Noise,
    before: Secret | None,
    candidate: Candidate,
    learned: LearnedRows | None,
    moments: Moments | None,
    mechanism: Mechanism,
    budget: PrivacyBudget,
    change: Change,
    started: float,
    gone: Evaluation | None = None,
    is_reset: bool = False,
) -> Secret:
    """The secret after publishing ``candidate``: noise added, certificate written.

    Args:
        before: the secret until now; ``None`` for the fit.
        learned: digests of the rows after the change, if they are tracked.
        moments: of the rows after the change, if these shape the noise.
        mechanism: of these rows.
        budget: after this release.
        started: when the operation began, by ``time.perf_counter``.
        gone: the rows that went, evaluated where the state was before.
        is_reset: whether it is a refit that resets the budget.
    """
    scale, state, point = mechanism.scale, candidate.state, candidate.point
    distance, is_shaped = mechanism.distance(candidate), mechanism.kind is NoiseKind.SHAPED
    mu, exposure = charged_mu(candidate, mechanism), 0.0
    if before is not None and gone is not None:
        moved = (mechanism.length(point - before.point) + distance) / scale if scale > 0 else math.inf
        departure = Departure(gone, before.state, before.mechanism, state, moved)
        exposure = before.history.exposure(departure, before.n_releases)
    weights = mechanism.published(noise, point)
    weights.setflags(write=False)
    certificate = Certificate(
        epsilon=settings.guarantee.epsilon if scale > 0 else math.inf,
        delta=settings.guarantee.delta,
        mu=mu if scale > 0 else math.inf,
        mu_total=budget.mu_total if scale > 0 else math.inf,
        since=budget.since,
        requests=budget.requests,
        noise=mechanism.kind,
        sigma=settings.sigma,
        excess_risk=settings.excess_risk,
        noise_floor=settings.noise_floor if is_shaped else None,
        scale=scale,
        distance_bound=candidate.distance_bound if is_shaped else distance,
        rung=candidate.rung,
        passes=candidate.passes,
        bound=settings.bound,
        n_forgotten=0 if change.removed is None else len(change.removed),
        n_learned=0 if change.added is None else len(change.added),
        remaining=state.statistics.count,
        n_parameters=len(point),
        condition=state.trace / state.curvature_floor if state.curvature_floor > 0 else math.inf,
        exposure_mu=exposure,
        resets_budget=is_reset,
        drift_mu=budget.last_drift,
        seconds=time.perf_counter() - started,
        salt=secrets.token_hex(32),
        weights_digest=sha256(weights.astype("<f8").tobytes()).hexdigest(),
        library_version=VERSION,
        assumptions=(
            *ASSUMPTIONS,
            *(() if settings.bound is Bound.LOCAL else (DECLARED_NORM,)),
            *((EXPANDED,) if settings.expanded else ()),
        ),
    )
    n_releases = 1 if before is None else before.n_releases + 1
    history = (History() if before is None else before.history).followed(candidate, mechanism, mu)
    return Secret(state, learned, moments, mechanism, point, budget, n_releases, history, Release(weights, certificate))


def require_norm(longest: float, declared: float | None) -> None:
    """Raises ``InvalidRows`` if a row is longer than declared."""
    if declared is not None and longest > declared * (1.0 + 1e-9):
        raise InvalidRows(
            f"a row has norm {longest:.6g}, above the declared row_norm {declared:g}: normalise the rows, or declare a larger "
            "bound and fit again"
        )

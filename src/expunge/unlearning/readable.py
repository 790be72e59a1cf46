"""What can be read of a model that forgets, without changing it: capacity, influences, what noise costs. Theory §4, §5.

Most of it depends on the rows: for whoever holds them, never to be published.
"""

import math
from datetime import date
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from expunge.engine import Engine
from expunge.privacy.budget import today
from expunge.privacy.noise import Noise
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows, RowSource
from expunge.unlearning.anchored import Candidate
from expunge.unlearning.cost import NoiseCost
from expunge.unlearning.dense import require_hessian
from expunge.unlearning.fitting import fitted
from expunge.unlearning.influence import typical_displacement
from expunge.unlearning.ownership import Owned
from expunge.unlearning.release import Release, Secret, charged_mu
from expunge.unlearning.report import CapacityReport
from expunge.unlearning.rung import NoiseKind, Rung
from expunge.unlearning.settings import Settings

Array = NDArray[np.float64]


class ReadableModel(Owned):
    """A secret, its settings, and what can be told of them.

    Args:
        settings: what was fixed before any row was seen.
        secret: the state behind the last release.
        engine: what sums over rows.
        noise: what is added to weights before they leave.
    """

    def __init__(self, settings: Settings, secret: Secret, engine: Engine, noise: Noise) -> None:
        super().__init__()
        self.settings = settings
        self._secret = secret
        self._engine = engine
        self._noise = noise

    @property
    def objective(self) -> Objective:
        """What is minimised."""
        return self._secret.state.objective

    @property
    def release(self) -> Release:
        """The last release."""
        return self._secret.release

    @property
    def n_releases(self) -> int:
        """How many releases there have been, the fit included."""
        return self._secret.n_releases

    @property
    def is_refit_due(self) -> bool:
        """Whether a refit now would be the scheduled one, which resets the budget."""
        budget = self._secret.budget
        return self.settings.schedule.is_due(date.fromisoformat(budget.since), budget.requests, today())

    def influence(self, rows: Rows) -> Array:
        """How far each of these rows moves the un-noised weights when it goes, to first order in the 2-norm, ``(n_rows,)``.

        A wide model, which has no Hessian, gives an upper bound on that: |∇ℓᵢ|/μ.

        Args:
            rows: that were learned.
        """
        state = self._secret.state
        return state.displacements(self.objective.check(rows))

    def influence_in_noise(self, rows: Rows) -> Array:
        """The same in units of the noise, which hides what is far below 1, ``(n_rows,)``; infinite where there is none.

        Args:
            rows: that were learned.
        """
        secret = self._secret
        if not secret.mechanism.scale > 0:
            return np.full(len(rows), math.inf)
        return secret.state.displacements(self.objective.check(rows), secret.mechanism.metric) / secret.mechanism.scale

    def capacity(self, sample: Rows | None = None) -> CapacityReport:
        """What is used of the capacity to forget, and a forecast of what is left: an estimate, for planning.

        Args:
            sample: some of the learned rows, or all of them; without it the forecast is of the statistics' rung alone.

        Raises:
            InvalidRows: rows that do not fit the model.
            ValueError: there is no noise, so that nothing is promised that could be exceeded; or a wide model.
        """
        secret, settings = self._secret, self.settings
        if not settings.is_noisy:
            raise ValueError("with sigma=0 nothing is promised, and so there is no capacity: choose a positive sigma")
        state = secret.state
        if sample is not None:
            self.objective.check(sample)
        budget, noisy = secret.budget.owing(), secret.mechanism
        left, certificate = budget.mu_left(), secret.release.certificate
        is_isotropic = noisy.kind is NoiseKind.ISOTROPIC
        forecasts = state.forecasts(self._is_enough, settings.max_passes, sample, settings.declared_bound)
        return CapacityReport(
            changed=state.changed,
            remaining=state.statistics.count,
            distance_bound=certificate.distance_bound if is_isotropic else certificate.mu * certificate.scale,
            distance_allowed=max(0.0, noisy.scale * left - noisy.grid(len(secret.point))),
            budget_used=(budget.mu_total / budget.mu_limit) ** 2,
            typical_move=typical_displacement(require_hessian(state), noisy.metric),
            forecasts=forecasts,
        )

    def rung_expected(self, n_rows: int, sample: Rows) -> Rung:
        """The rung that one request should take, an estimate: much quicker than ``capacity``, which looks for the largest.

        Args:
            n_rows: of the request, at random.
            sample: some of the learned rows, or all of them.

        Raises:
            InvalidRows: rows that do not fit the model.
        """
        settings = self.settings
        if not settings.is_noisy:  # nothing is promised, and the statistics do
            return Rung.STATISTICS
        self.objective.check(sample)
        bound = settings.declared_bound
        return self._secret.state.rung_expected(n_rows, self._is_enough, settings.max_passes, sample, bound)

    def _is_enough(self, candidate: Candidate) -> bool:
        """Whether what is left of the budget allows it as the next release of a request."""
        secret = self._secret
        return charged_mu(candidate, secret.mechanism) <= secret.budget.owing().mu_left()

    def draw(self, count: int) -> Array:
        """Fresh releases of the present weights, ``(count, p)``: a mechanism to audit. None of them may be published.

        Args:
            count: how many.
        """
        secret = self._secret
        return np.array([secret.mechanism.published(self._noise, secret.point) for _ in range(count)])

    def twin(self, noise: Noise) -> Self:
        """Another unlearner with the same secret, for audits and studies: its releases spend nothing of this one's budget, and
        none of them may be published.

        Args:
            noise: of its releases.
        """
        return type(self)(self.settings, self._secret, self._engine, noise)

    def noise_cost(self, rows: Rows) -> NoiseCost:
        """What the noise of a release costs, estimated on learned ``rows``; a word to whoever fits, not to be published.

        Args:
            rows: that were learned.

        Source: theory §5.3.
        """
        secret = self._secret
        return NoiseCost.over(self.objective, rows, secret.point, partial(secret.mechanism.spread, self.objective))

    def noise_spread(self, rows: Rows) -> Array:
        """What the noise of a release does to the predictors of each row: its standard deviation, ``(n_rows,)``, or for several
        outputs with noise in common a root of its covariance, ``(n_rows, K, K)``. It depends on the learned rows.

        Args:
            rows: any rows of this objective.

        Source: theory §5.6.
        """
        return self._secret.mechanism.spread(self.objective, rows)

    @property
    def weight_noise(self) -> Array:
        """Standard deviation of the noise of a release in each weight, ``(p,)``. It depends on the learned rows.

        Source: theory §5.6.
        """
        return self._secret.mechanism.deviations(len(self._secret.point))

    def true_distance(self, source: RowSource) -> float:
        """|w̄ − ŵ′|₂, what ``distance_bound`` bounds, found by retraining on ``source``: for audits and demonstrations.

        Args:
            source: all rows learned and not forgotten.

        Raises:
            InvalidRows, NoOptimum: ``source`` cannot be fitted.
        """
        return float(np.linalg.norm(self._away(source)))

    def true_mu(self, source: RowSource) -> float:
        """μ by the true distance, which the certificate's bounds: |w̄ − ŵ′| in the metric of the noise over its scale.

        Args:
            source: all rows learned and not forgotten.

        Raises:
            InvalidRows, NoOptimum: ``source`` cannot be fitted.
        """
        noisy = self._secret.mechanism
        return noisy.length(self._away(source)) / noisy.scale if noisy.scale > 0 else math.inf

    def most_mu(self, distance: float) -> float:
        """The largest μ that weights ``distance`` apart in the 2-norm can have.

        Args:
            distance: of two un-noised models of the same rows.
        """
        noisy = self._secret.mechanism
        return noisy.most(distance) / noisy.scale if noisy.scale > 0 else math.inf

    def _away(self, source: RowSource) -> Array:
        """w̄ − ŵ′, by retraining on ``source``."""
        return self._secret.point - fitted(self.objective, source, self._engine, self.settings).point

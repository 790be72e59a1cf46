"""Differential privacy by output perturbation: noise for any m rows, and nothing to do when they go. Theory §3."""

from benchmarks.baselines.base import Array, Baseline, Claims, Index, require_declared
from expunge.errors import CapacityExceeded
from expunge.privacy import Guarantee
from expunge.privacy.noise import Noise, secure_noise
from expunge.problem.objective import Objective


class OutputPerturbation(Baseline):
    """ŵ + N(0, σ²I) once, σ for up to ``max_deletions`` rows: their whole influence is hidden, so they are never touched.

    In sums |ŵ − ŵ′| ≤ m·b₁R/α for m rows. Claims (ε, δ) by the exact Gaussian factor.

    Args:
        objective: what is minimised; its penalty must be fixed and on every weight.
        guarantee: (ε, δ), chosen before the data.
        max_deletions: m, the most rows that may be forgotten.
        row_norm: declared bound R on |x|₂ of every row.
        noise: draws it; by default OpenDP's sampler.

    Raises:
        ValueError: the objective has no such constants.
    """

    def __init__(
        self, objective: Objective, guarantee: Guarantee, max_deletions: int, row_norm: float, noise: Noise = secure_noise
    ) -> None:
        super().__init__(objective)
        require_declared(objective)
        self.guarantee, self.max_deletions, self._noise = guarantee, max_deletions, noise
        self.distance_bound = max_deletions * objective.loss.derivative_bound * row_norm / objective.penalty

    def _learn(self) -> None:
        self._w = self._noise(self._optimum(self._rows), self.sigma)

    def _unlearn(self, gone: Index) -> None:
        deleted = int((~self._held).sum())
        if deleted > self.max_deletions:
            self._held[gone] = True
            raise CapacityExceeded(
                f"{deleted} deletions, but the noise was made for {self.max_deletions}: fit again; nothing was changed",
                distance_bound=self.distance_bound / self.max_deletions * deleted,
                distance_allowed=self.distance_bound,
                rung="refit",
            )

    @property
    def sigma(self) -> float:
        """σ of the noise."""
        return self.distance_bound / self.guarantee.mu

    @property
    def weights(self) -> Array:
        return self._w

    def claims(self) -> Claims:
        return Claims(
            "certified",
            ("Every row is at most as long as declared.", "The penalty is on every weight."),
            False,
            self._w.nbytes,
            "Chaudhuri, Monteleoni, Sarwate 2011; Sekhari et al. 2021, §1",
            self.guarantee.epsilon,
            self.guarantee.delta,
            self.distance_bound,
        )

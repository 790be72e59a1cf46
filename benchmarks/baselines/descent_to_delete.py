"""Descent-to-Delete: Neel, Roth and Sharifi-Malvajerdi, ALT 2021. Descent from the old weights, then noise. Theory §5.1."""

import math

import numpy as np

from benchmarks.baselines.base import Array, Baseline, Claims, Index, require_declared
from expunge.errors import CapacityExceeded
from expunge.numerics.row_norms import row_norms
from expunge.privacy import Guarantee
from expunge.privacy.noise import Noise, secure_noise
from expunge.problem.objective import Objective


class DescentToDelete(Baseline):
    """Full-gradient steps on what remains, as many as bring the proven distance within what the noise hides.

    J is α-strongly convex and S-smooth, S = β·|X|₂² + α; a step of length 2/(α + S) contracts by (S − α)/(S + α). Deleting m
    rows moves the optimum by at most m·b₁R/α (in sums), so the distance to it obeys e ← contraction^k (e + m·b₁R/α).

    Args:
        objective: what is minimised; its penalty must be fixed and on every weight.
        guarantee: (ε, δ), chosen before the data.
        sigma: standard deviation of the noise in each published weight, chosen before the data.
        noise: draws it; by default OpenDP's sampler.
        max_steps: the most passes over the rows in one ``fit`` or ``forget``; 100,000 by default.

    Raises:
        ValueError: the objective has no such constants.
        CapacityExceeded: on ``fit`` and ``forget``, if more than ``max_steps`` would be needed.
    """

    def __init__(
        self,
        objective: Objective,
        guarantee: Guarantee,
        sigma: float,
        noise: Noise = secure_noise,
        max_steps: int = 100_000,
    ) -> None:
        super().__init__(objective)
        require_declared(objective)
        self.guarantee, self.sigma, self.max_steps, self._noise = guarantee, sigma, max_steps, noise

    def _learn(self) -> None:
        self._rows_norm = self._longest()
        norms = row_norms(self.objective, self._rows)
        design = self.objective.design(self._rows)
        spectral = min(float(norms @ norms), float(np.abs(design.T @ design).sum(axis=0).max()) * (1.0 + 1e-9))
        alpha, loss = self.objective.penalty, self.objective.loss
        smooth = loss.curvature_bound * spectral + alpha
        self._step, self._contraction = 2.0 / (alpha + smooth), (smooth - alpha) / (smooth + alpha)
        self._w = np.zeros(self.objective.n_parameters)
        first = float(np.linalg.norm(self._gradient(self._rows, self._w))) / alpha
        self._descend(first)

    def _unlearn(self, gone: Index) -> None:
        moved = len(gone) * self.objective.loss.derivative_bound * self._rows_norm / self.objective.penalty
        self._descend(self.distance_bound + moved)

    def _descend(self, distance: float) -> None:
        """Steps until the distance is at most half of what σ hides; half, so that the next deletion starts near."""
        allowed = 0.5 * self.sigma * self.guarantee.mu
        self.n_steps = (
            max(0, math.ceil(math.log(allowed / distance) / math.log(self._contraction))) if distance > allowed else 0
        )
        if self.n_steps > self.max_steps:
            raise CapacityExceeded(
                f"{self.n_steps:,} passes over the rows would be needed, more than {self.max_steps:,}",
                distance_bound=distance,
                distance_allowed=allowed,
                rung="refit",
            )
        rows = self._remaining
        for _ in range(self.n_steps):
            self._w = self._w - self._step * self._gradient(rows, self._w)
        self.distance_bound = distance * self._contraction**self.n_steps
        self._published = self._noise(self._w, self.sigma)

    @property
    def weights(self) -> Array:
        return self._published

    def claims(self) -> Claims:
        return Claims(
            "certified",
            ("sigma is fixed before the data.", "The un-noised weights are kept secret."),
            True,
            self._data_bytes() + self._w.nbytes,
            "Neel et al. 2021 (perturbed gradient descent, with a secret state)",
            self.guarantee.epsilon,
            self.guarantee.delta,
            self.distance_bound,
        )

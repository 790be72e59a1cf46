"""Certified removal by objective perturbation: Guo, Goldstein, Hannun and van der Maaten, ICML 2020. Theory §3."""

import numpy as np

from benchmarks.baselines.base import Array, Baseline, Claims, Index, require_declared
from expunge.numerics.evaluation import Evaluation
from expunge.privacy import Guarantee
from expunge.privacy.noise import Noise, secure_noise
from expunge.problem.objective import Objective

MAX_STEPS = 100


class CertifiedRemoval(Baseline):
    """Minimises J(w) + b·w with b ~ N(0, σ²I), and removes rows by a Newton step while the gradient it leaves is small.

    If |∇J′(w⁻) + b| ≤ ε′, w⁻ is the exact minimiser for another b at most ε′ away, so (ε, δ) holds with σ = ε′/μ(ε, δ).
    A removal with step s adds at most b₃·R·|s|·|X|₂·|Xs| to that gradient (Guo et al., corollary 1). |X|₂ is bounded from
    above, and what the optimiser left at fit is charged first: public code estimates the one from below and forgets the
    other. When ε′ is spent it fits anew.

    Args:
        objective: what is minimised; its penalty must be fixed and on every weight.
        guarantee: (ε, δ), chosen before the data.
        sigma: standard deviation of each coordinate of b, chosen before the data.
        noise: draws b; by default OpenDP's sampler.

    Raises:
        ValueError: the objective has no such constants.
    """

    def __init__(self, objective: Objective, guarantee: Guarantee, sigma: float, noise: Noise = secure_noise) -> None:
        super().__init__(objective)
        require_declared(objective)
        if not np.isfinite(objective.loss.third_derivative_bound):
            raise ValueError(f"this method needs a bounded third derivative, which {objective.loss.name} has not")
        self.guarantee, self.sigma, self._noise = guarantee, sigma, noise
        self.n_refits = -1

    @property
    def residual_allowed(self) -> float:
        """ε′, the gradient norm that b hides."""
        return self.sigma * self.guarantee.mu

    def _learn(self) -> None:
        rows = self._remaining
        self._b = self._noise(np.zeros(self.objective.n_parameters), self.sigma)
        w = self._optimum(rows)
        left = self._gradient(rows, w) + self._b
        for _ in range(MAX_STEPS):
            step, length = np.linalg.solve(self._hessian(rows, w), left), 1.0
            ahead = self._gradient(rows, w - step) + self._b
            while length > 1e-6 and not np.linalg.norm(ahead) < np.linalg.norm(left):
                length *= 0.5
                ahead = self._gradient(rows, w - length * step) + self._b
            if length <= 1e-6:
                break  # to rounding
            w, left = w - length * step, ahead
        self._w = w
        self.residual = float(np.linalg.norm(left)) + self._rounding()
        self.n_refits += 1

    def _unlearn(self, gone: Index) -> None:
        rows = self._remaining
        removed = Evaluation(self.objective, self._rows.take(gone), self._w).gradient
        step = np.linalg.solve(self._hessian(rows, self._w), removed)
        design = self.objective.design(rows)
        spectral = float(np.sqrt(np.abs(design.T @ design).sum(axis=0).max())) * (1.0 + 1e-9)  # |X|₂² ≤ ‖XᵀX‖₁
        added = self.objective.loss.third_derivative_bound * self._longest() * float(np.linalg.norm(step))
        added *= spectral * float(np.linalg.norm(design @ step))
        self._w = self._w + step
        self.residual += added + self._rounding()
        if self.residual > self.residual_allowed:
            self._learn()

    def _rounding(self) -> float:
        return Evaluation(self.objective, self._remaining, self._w).gradient_error

    @property
    def weights(self) -> Array:
        return self._w

    def claims(self) -> Claims:
        return Claims(
            "certified",
            ("b and its sigma are fixed before the data.", "Only the last release is seen."),
            True,
            self._data_bytes() + self._b.nbytes,
            "Guo et al. 2020",
            self.guarantee.epsilon,
            self.guarantee.delta,
            self.residual / self.objective.penalty,
        )

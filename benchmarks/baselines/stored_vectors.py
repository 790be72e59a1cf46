"""Stored vectors, Hessian-free: Qiao, Zhang, Tang and Wei, ICLR 2025. One vector a row, added when it goes. Theory §4.2."""

import numpy as np

from benchmarks.baselines.base import Array, Baseline, Claims, Index
from expunge.numerics.evaluation import Evaluation
from expunge.problem.objective import Objective


class StoredVectors(Baseline):
    """Keeps for each row how far the weights would have gone otherwise had the descent left that row out.

    Along gradient descent on J with steps η the difference follows a_i ← (I − ηH)a_i + η∇ℓ_i, H and ∇ℓ_i at the present
    weights; forgetting adds Σ_U a_i. Needs no Hessian at deletion and p numbers for every row; approximates, claims nothing.

    Args:
        objective: what is minimised; with one output.
        n_steps: of the descent; 200 by default.

    Raises:
        ValueError: several outputs.
    """

    def __init__(self, objective: Objective, n_steps: int = 200) -> None:
        super().__init__(objective)
        if objective.loss.outputs > 1:
            raise ValueError("this method is for one output")
        self.n_steps = n_steps

    def _learn(self) -> None:
        rows, p = self._rows, self.objective.n_parameters
        self._w, self._vectors = np.zeros(p), np.zeros((len(rows), p))
        design = self.objective.design(rows)
        X = design.toarray() if hasattr(design, "toarray") else design
        for _ in range(self.n_steps):
            at = Evaluation(self.objective, rows, self._w)
            own = (rows.weight * at.loss.derivative(at.t, rows.y))[:, None] * X
            hessian = self._hessian(rows, self._w)
            step = 1.0 / float(np.linalg.eigvalsh(hessian)[-1])
            self._vectors += step * (own - self._vectors @ hessian)
            self._w = self._w - step * self._gradient(rows, self._w)

    def _unlearn(self, gone: Index) -> None:
        self._w = self._w + self._vectors[gone].sum(axis=0)
        self._vectors[gone] = 0.0

    @property
    def weights(self) -> Array:
        return self._w

    def claims(self) -> Claims:
        assumed = ("Few rows go, each moving the descent to first order.",)
        return Claims("none", assumed, False, self._w.nbytes + self._vectors.nbytes, "Qiao et al. 2025")

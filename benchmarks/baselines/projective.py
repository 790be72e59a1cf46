"""Projective residual update: Izzo, Smart, Chaudhuri and Zou, AISTATS 2021. Exact on the deleted rows. Theory §4.2."""

import numpy as np

from benchmarks.baselines.base import Array, Baseline, Claims, Index
from expunge.errors import InvalidRows
from expunge.numerics.evaluation import Evaluation
from expunge.problem.objective import Objective


class ProjectiveResidualUpdate(Baseline):
    """Moves the weights to the nearest ones that predict the deleted rows as the retrained model would.

    The predictions come from the leave-k-out formula, exact for least squares and one weighted step for other losses; the
    nearest weights differ by a combination of the deleted rows, O(m²p). What the retrained weights change outside their
    span is not corrected, so the method claims nothing.

    Args:
        objective: what is minimised; with one output.

    Raises:
        ValueError: several outputs.
    """

    def __init__(self, objective: Objective) -> None:
        super().__init__(objective)
        if objective.loss.outputs > 1:
            raise ValueError("this method is for one output")

    def _learn(self) -> None:
        self._w = self._optimum(self._rows)
        self._inverse = np.linalg.inv(self._hessian(self._rows, self._w))

    def _unlearn(self, gone: Index) -> None:
        rows = self._rows.take(gone)
        at = Evaluation(self.objective, rows, self._w)
        design = self.objective.design(rows)
        X = design.toarray() if hasattr(design, "toarray") else design
        root = at.curvature_root()  # √(weight·ℓ″)·x
        hat = root @ self._inverse @ root.T
        slope = rows.weight * at.loss.derivative(at.t, rows.y)
        scale = np.sqrt(rows.weight * at.loss.curvature(at.t, rows.y))
        if not (scale > 0).all():
            raise InvalidRows("a row has no curvature left at these weights: retrain")
        shift = np.linalg.solve(np.eye(len(gone)) - hat, hat @ (slope / scale)) / scale  # X_U(w′ − w), by leaving U out
        self._inverse = self._inverse + self._inverse @ root.T @ np.linalg.solve(np.eye(len(gone)) - hat, root @ self._inverse)
        self._w = self._w + X.T @ np.linalg.lstsq(X @ X.T, shift, rcond=None)[0]

    @property
    def weights(self) -> Array:
        return self._w

    def claims(self) -> Claims:
        kept = self._w.nbytes + self._inverse.nbytes
        return Claims("none", ("What changes lies in the span of the deleted rows.",), False, kept, "Izzo et al. 2021")

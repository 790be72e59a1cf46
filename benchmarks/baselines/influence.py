"""The influence function: one step with the Hessian of fit time, never downdated. Theory §4.2."""

import numpy as np

from benchmarks.baselines.base import Array, Baseline, Claims, Index
from expunge.numerics.evaluation import Evaluation


class InfluenceFunction(Baseline):
    """w ← w + H⁻¹Σ_U∇ℓ(w), H of all rows at fit. Claims nothing: even least squares is only approximated."""

    def _learn(self) -> None:
        self._w = self._optimum(self._rows)
        self._anchor = self._w
        self._inverse = np.linalg.inv(self._hessian(self._rows, self._w))

    def _unlearn(self, gone: Index) -> None:
        self._w = self._w + self._inverse @ Evaluation(self.objective, self._rows.take(gone), self._anchor).gradient

    @property
    def weights(self) -> Array:
        return self._w

    def claims(self) -> Claims:
        kept = self._w.nbytes + self._anchor.nbytes + self._inverse.nbytes
        return Claims("none", ("Few and typical rows go.",), False, kept, "Cook 1977; Koh and Liang 2017")

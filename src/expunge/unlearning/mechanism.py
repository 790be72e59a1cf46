"""Mechanisms: how un-noised weights become a release, and what that costs in μ. Theory §5.1, §5.6.

A mechanism measures distances in its own metric: a release whose mean is within a distance d of that of exact retraining is
μ-GDP with μ = d/scale. It is fixed before the rows are seen (``Isotropic``), or is a function of the rows that remain and of
nothing else (``Shaped``), and so the same for a model that forgot and for one that never learned.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from expunge.numerics.moments import Moments
from expunge.numerics.row_norms import row_norms
from expunge.numerics.statistics import Sums
from expunge.privacy.noise import Noise, grid_rounding
from expunge.problem.arrays import norm
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.anchored import Candidate
from expunge.unlearning.bounds import ROUND_UP
from expunge.unlearning.dense import require_hessian
from expunge.unlearning.rung import NoiseKind
from expunge.unlearning.settings import Settings
from expunge.unlearning.shape import Shape

Array = NDArray[np.float64]


class Mechanism(ABC):
    """Adds the noise of a release."""

    kind: ClassVar[NoiseKind]

    @property
    @abstractmethod
    def scale(self) -> float:
        """σ, or s; 0 for no noise."""

    @abstractmethod
    def distance(self, candidate: Candidate) -> float:
        """An upper bound, in this metric, on how far the mean of a release of ``candidate`` is from exact retraining's."""

    def wobble(self, candidate: Candidate) -> float:
        """The same of two such models of the same rows, added up in different orders. Source: theory §5.7."""
        return self.most(candidate.wobble) + self.grid(len(candidate.point))

    @abstractmethod
    def grid(self, n_parameters: int) -> float:
        """What the grid of the noise is of every distance."""

    @abstractmethod
    def length(self, displacement: Array) -> float:
        """|displacement| in this metric."""

    @abstractmethod
    def most(self, euclidean: float) -> float:
        """The largest length of a displacement of this 2-norm."""

    @property
    def metric(self) -> Array | None:
        """L of this metric LLᵀ, ``(p, p)``; ``None`` for the 2-norm."""
        return None

    @abstractmethod
    def deviations(self, n_parameters: int) -> Array:
        """Standard deviation of the noise in each weight, ``(p,)``."""

    @abstractmethod
    def published(self, noise: Noise, point: Array) -> Array:
        """``point`` with noise, ``(p,)``."""

    @abstractmethod
    def spread(self, objective: Objective, rows: Rows) -> Array:
        """Standard deviation of the noise in the predictors of each row, ``(n_rows,)``; for several outputs that do not have
        the same and none in common, a root of their covariance, ``(n_rows, K, K)``."""


class Isotropic(Mechanism):
    """N(0, σ²I), σ fixed before any row was seen.

    Args:
        sigma: σ.
    """

    kind = NoiseKind.ISOTROPIC

    def __init__(self, sigma: float) -> None:
        self._sigma = sigma

    @property
    def scale(self) -> float:
        return self._sigma

    def distance(self, candidate: Candidate) -> float:
        found = candidate.distance_bound
        if candidate.remainder is not None:
            stretch = 1.0 / require_hessian(candidate.state).geometry.mu
            found = min(found, (candidate.distance(None, stretch) + candidate.rounding) * ROUND_UP)
        return found + self.grid(len(candidate.point))

    def most(self, euclidean: float) -> float:
        return euclidean

    def grid(self, n_parameters: int) -> float:
        return grid_rounding(n_parameters, self._sigma)

    def length(self, displacement: Array) -> float:
        return float(np.linalg.norm(displacement))

    def deviations(self, n_parameters: int) -> Array:
        return np.full(n_parameters, self._sigma)

    def published(self, noise: Noise, point: Array) -> Array:
        return noise(point, self._sigma) if self._sigma > 0 else point.copy()

    def spread(self, objective: Objective, rows: Rows) -> Array:
        return self._sigma * row_norms(objective, rows)


class Shaped(Mechanism):
    """N(0, s²A⁻¹), A and s of the rows that remain.

    Args:
        shape: A and s.
    """

    kind = NoiseKind.SHAPED

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._stretch: tuple[Sums, float] | None = None

    @property
    def scale(self) -> float:
        return self.shape.scale

    def distance(self, candidate: Candidate) -> float:
        length = candidate.distance(self.shape.factor, self._stretch_of(candidate))
        return self.shape.distance(candidate.point, length, candidate.rounding)

    @property
    def metric(self) -> Array | None:
        return self.shape.factor

    def most(self, euclidean: float) -> float:
        return norm(self.shape.factor) * euclidean

    def grid(self, n_parameters: int) -> float:
        return grid_rounding(n_parameters, 1.0) * self.scale

    def length(self, displacement: Array) -> float:
        return self.shape.length(displacement)

    def deviations(self, n_parameters: int) -> Array:
        return np.sqrt(np.diag(self.shape.covariance))

    def published(self, noise: Noise, point: Array) -> Array:
        return self.shape.published(noise, point)

    def spread(self, objective: Objective, rows: Rows) -> Array:
        return self.shape.spread(objective, rows)

    def _stretch_of(self, candidate: Candidate) -> float:
        """κ with respect to the exact Hessian at the candidate's anchor, which is no less than 1 − η times the stored one."""
        state = require_hessian(candidate.state)
        if self._stretch is None or self._stretch[0] is not state.statistics or not self._stretch[1] < np.inf:
            found, eta = self.shape.stretch(state.hessian, state.factor, state.curvature_floor), state.geometry.eta
            self._stretch = state.statistics, found / (1.0 - eta) if eta < 1.0 else np.inf
        return self._stretch[1]


def mechanism(settings: Settings, objective: Objective, moments: Moments | None) -> Mechanism:
    """The mechanism of releases of the rows of ``moments``.

    Args:
        settings: resolved.
        objective: what is minimised.
        moments: of the rows that remain; ``None`` for isotropic noise, which depends on no row.

    Raises:
        NoOptimum: the rows leave no shape.
    """
    if moments is None or settings.excess_risk is None:
        return Isotropic(settings.sigma or 0.0)
    return Shaped(Shape.of(objective, moments, settings.excess_risk, settings.noise_floor))

"""What a state holds beyond gradient and Hessian: B and K of theory §4.7, sums over rows at the anchor like these.

- **K = Σ weight · hᵢ · ∇²ℓᵢ** with hᵢ the leverage of row i with respect to a matrix G that is fixed at the fit: it bounds the
  fourth powers of what a displacement does to the rows' predictors.
- **B = Σ weight · ∇³ℓᵢ**, the third derivative, kept at order 3.

Each carries a bound on its rounding error, which the certificate charges (theory §4.6).
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from expunge.numerics.evaluation import Evaluation
from expunge.numerics.factor import Factor, Hessian, inverse_error
from expunge.numerics.leverage import leverages
from expunge.numerics.rounding import UNIT_ROUNDOFF, gamma, quiet
from expunge.numerics.split_tensor import tensor_of_split
from expunge.numerics.statistics import low_rank_update
from expunge.numerics.tensor import SymmetricTensor
from expunge.problem.arrays import norm, or_infinite
from expunge.problem.split import SplitMatrix

Array = NDArray[np.float64]

CHUNK = 1 << 11
"""Rows whose third derivatives are added at a time, each a dense row of p numbers."""


@dataclass(frozen=True, eq=False)
class Reference:
    """W = G⁻¹, near the Hessian as it was at the fit, and never changed: leverages are with respect to G.

    Args:
        root: the Cholesky factor of G, ``(p, p)``.
        hessian: the Hessian H at the fit, ``(p, p)``.
        eta: G ⪰ (1 − η)H⁻¹.
    """

    root: Array
    hessian: Array
    eta: float

    @classmethod
    def of(cls, hessian: Hessian, factor: Factor) -> "Reference | None":
        """The reference of a fit; ``None`` where its Hessian is too ill-conditioned for one."""
        eta = inverse_error(hessian, factor)
        if factor.root is None or not eta < 1.0:
            return None
        return cls(factor.root, hessian.dense(), eta)

    @cached_property
    def size(self) -> float:
        """|H| at the fit, in the Frobenius norm."""
        return norm(self.hessian)

    @quiet
    def square(self, step: Array) -> float:
        """No less than |step|²_W."""
        product, length = self.hessian @ step, norm(step)
        rounding = gamma(2 * len(step) + 8) * length * self.size * length
        return or_infinite((max(0.0, float(step @ product)) + rounding) / (1.0 - self.eta) * (1.0 + 1e-12))


@dataclass(frozen=True, eq=False)
class HigherTerms:
    """The same of a few rows, B and K left as what they are made of.

    Args:
        leverage_root: a factor of K, ``(m · outputs, p)``: K is ``leverage_rootᵀ leverage_root``.
        leverage_error: a bound on the rounding error of K, spectral norm.
        rows: z, ``(m, p)``, with B = Σ w z⊗z⊗z; none at order 2.
        weights: w, ``(m,)``.
        third_error: bound on the rounding error of w and z: |error[E, E]| is at most that times |E|².
        third_size: no less than Σ |w||z|³.
    """

    leverage_root: Array
    leverage_error: float
    rows: Array
    weights: Array
    third_error: float
    third_size: float

    @classmethod
    def at(cls, at: Evaluation, reference: Reference, order: int) -> "HigherTerms":
        """The terms of evaluated rows."""
        root, error = at.weighted_root(*leverages(at, reference.root))
        if order < 3:
            return cls(root, error, np.zeros((0, root.shape[1])), np.zeros(0), 0.0, 0.0)
        return cls(root, error, *at.third_terms(slice(None)), *at.third_bounds())


@dataclass(frozen=True, eq=False)
class HigherSums:
    """B and K of all rows learned.

    Args:
        leverage_sum: K, ``(p, p)``, or more.
        leverage_error: by how much it may be less, spectral norm.
        third: B; ``None`` at order 2.
        third_error: |error of B[E, E]| is at most that times |E|².
        third_size: no less than the Frobenius norm of B.
    """

    leverage_sum: Array
    leverage_error: float
    third: SymmetricTensor | None
    third_error: float
    third_size: float

    @classmethod
    @quiet
    def at(cls, at: Evaluation, leverages: tuple[Array, Array], order: int) -> "HigherSums":
        """The sums over one batch of evaluated rows, whose ``leverages`` these are.

        K is only ever bounded from above, and leverages are rounded up: that these are too large is no error. Of rows that go
        it is one, since they may take more away than they brought (``HigherTerms``).
        """
        total, error = at.weighted_hessian(leverages[0])
        if order < 3:
            return cls(total, error, None, 0.0, 0.0)
        if isinstance(at.X, SplitMatrix) and at.loss.outputs == 1 and not len(at.X.csr_columns):
            third = tensor_of_split(at.X, at.third_weights()[:, 0], fit_intercept=at.objective.fit_intercept)
        else:
            third = SymmetricTensor.zeros(len(total))
            for start in range(0, len(at.rows), CHUNK):
                third.absorb(*at.third_terms(slice(start, start + CHUNK)))
        return cls(total, error, third, *at.third_bounds())

    @quiet
    def __iadd__(self, other: "HigherSums") -> "HigherSums":
        """The sums over both batches, B in the memory of this one: for sums that are nobody else's."""
        total, size = self.leverage_sum + other.leverage_sum, self.third_size + other.third_size
        third = None if other.third is None else self.third
        if third is not None and other.third is not None:
            third += other.third
        return HigherSums(
            total,
            self.leverage_error + other.leverage_error + 2.0 * UNIT_ROUNDOFF * norm(total),
            third,
            self.third_error + other.third_error + 2.0 * UNIT_ROUNDOFF * size,
            size * (1.0 + 1e-12),
        )

    @quiet
    def plus(self, terms: HigherTerms, sign: float) -> "HigherSums":
        """These sums and ``sign`` times ``terms``."""
        total = low_rank_update(self.leverage_sum, terms.leverage_root, sign)
        rounding = 4.0 * UNIT_ROUNDOFF * (self.size + norm(terms.leverage_root) ** 2)
        changed = replace(self, leverage_sum=total, leverage_error=self.leverage_error + terms.leverage_error + rounding)
        if self.third is None:
            return changed
        third_size = self.third_size + (terms.third_size if sign > 0 else 0.0)
        rounding = gamma(len(terms.rows) + 8) * (third_size + terms.third_size)
        return replace(
            changed,
            third=self.third.changed(terms.rows, sign * terms.weights),
            third_error=self.third_error + terms.third_error + rounding,
            third_size=third_size * (1.0 + 1e-12),
        )

    @cached_property
    def size(self) -> float:
        """|K|, in the Frobenius norm."""
        return norm(self.leverage_sum)

    @quiet
    def leverage_square(self, step: Array) -> float:
        """No less than stepᵀK step."""
        product, size = self.leverage_sum @ step, norm(step)
        rounding = gamma(2 * len(step) + 8) * size * self.size * size
        return or_infinite((max(0.0, float(step @ product)) + rounding + self.leverage_error * size * size) * (1.0 + 1e-12))

    def contraction_error(self, size: float) -> float:
        """How far, in the spectral norm, the computed B[E] may be from the exact one for |E| = ``size``."""
        if self.third is None:
            return math.inf
        return or_infinite((self.third_error + gamma(2 * self.third.n_coordinates + 8) * self.third_size) * size)

"""Statistics at an anchor: a group under sets of rows. Theory §4.2.

``Statistics`` are plain sums over rows of the gradient and Hessian of the loss at one fixed weight vector, the
anchor; no penalty is inside. Learning rows adds theirs, forgetting rows subtracts them, parts of a table add up.
``RowTerms`` are the statistics of a few rows with the Hessian left as a factor B (H = BᵀB), which costs O(mp)
numbers instead of O(p²). ``RowExtremes`` are the two row bounds that the certificate needs beside them.

Floating-point sums are not exact, so each carries a bound on its own error. Errors add under + and − alike; the
certificate charges them (theory §4.6). Rows are counted in integers beside their total weight, which is one more such sum:
whether any are left is never asked of a float.
"""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.errors import AnchorMismatch, InvalidRows
from expunge.numerics import spares
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.rounding import UNIT_ROUNDOFF, Precision, quiet
from expunge.problem.arrays import norm
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows

Array = NDArray[np.float64]

BLOCK = 64
"""Rows of a p × p matrix worked on at a time."""


def low_rank_update(matrix: Array, root: Array, sign: float) -> Array:
    """``matrix + sign · rootᵀ root``, a new ``(p, p)`` array, from ``root`` of shape ``(m, p)``."""
    combine = np.add if sign > 0 else np.subtract
    if len(root) != 1:
        update = np.matmul(root.T, root, out=spares.empty(*matrix.shape))
        return combine(matrix, update, out=update)
    update = spares.empty(*matrix.shape)  # depth one: slow by matmul, so by broadcasting, in blocks that stay in cache
    for start in range(0, len(matrix), BLOCK):
        block = slice(start, start + BLOCK)
        combine(matrix[block], root.T[block] * root, out=update[block])
    return update


def two_sum(a: float, b: float) -> tuple[float, float]:
    """a + b, and the size of its rounding error, exactly (Knuth)."""
    total = a + b
    part = total - a
    return total, abs((a - (total - part)) + (b - part))


def sum_up(a: float, b: float) -> float:
    """a + b, rounded up; exact where it can be.

    Examples:
        >>> sum_up(1.0, 2.0), sum_up(1.0, 1e-20) > 1.0
        (3.0, True)
    """
    total, rounding = two_sum(a, b)
    return math.nextafter(total, math.inf) if rounding else total


def anchor_digest(objective: Objective, anchor: Array) -> str:
    """Names the place at which statistics are taken: a digest of the objective and the anchor's weights."""
    return hashlib.sha256(repr(objective).encode() + np.ascontiguousarray(anchor).tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class Sums:
    """Everything but the Hessian: what ``Statistics`` and ``RowTerms`` share, and all that a wide model keeps.

    Args:
        anchor: digest of objective and anchor; statistics of different anchors do not mix.
        n_rows: how many rows of positive weight.
        class_rows: of each class, ``(classes,)``, empty for regression.
        count: total weight of the rows.
        count_error: bound on the rounding error of ``count``; 0 for rows without weights.
        gradient_sum: ``(p,)``, Σ weight · ∇ℓ.
        gradient_error: bound on the rounding error of ``gradient_sum`` in the 2-norm.
        hessian_error: bound on the rounding error of the Hessian sum in the spectral norm.
        is_weighted: whether the rows came with weights.
    """

    anchor: str
    n_rows: int
    class_rows: NDArray[np.int64]
    count: float
    count_error: float
    gradient_sum: Array
    gradient_error: float
    hessian_error: float
    is_weighted: bool

    @classmethod
    def at(cls, at: Evaluation, digest: str) -> "Sums":
        """The sums of evaluated rows; ``digest`` names the anchor.

        Args:
            at: the rows, evaluated at the anchor.
            digest: names the anchor.
        """
        return cls._with_errors(at, digest, is_bounded=True)

    @staticmethod
    def _with_errors(at: Evaluation, digest: str, *, is_bounded: bool) -> "Sums":
        """As ``at``; errors that nobody wants are ``inf``: bounding them takes about as long as the gradient."""
        return Sums(
            digest,
            at.n_rows,
            at.class_rows,
            at.count,
            at.count_error,
            at.gradient,
            at.gradient_error if is_bounded else math.inf,
            at.hessian_error if is_bounded else math.inf,
            at.rows.sample_weight is not None,
        )

    @property
    def is_bounded(self) -> bool:
        """Whether anything is known of the sums: not if a row overflows at the anchor, or comes near it."""
        return self.gradient_error + self.hessian_error < math.inf

    @quiet
    def plus(self, other: "Sums", sign: float) -> "Sums":
        """These sums and ``sign`` times those of ``other``.

        Args:
            other: sums at the same anchor.
            sign: 1 to add them, -1 to take them out.

        Raises:
            AnchorMismatch: they were taken at different anchors.
            InvalidRows: some of the rows have weights and others have none, which would count as 1 without a word.
        """
        if other.is_weighted != self.is_weighted:
            raise InvalidRows("some rows come with weights and others without: give the weights of all, or of none")
        if other.anchor != self.anchor:
            raise AnchorMismatch(
                f"statistics at anchor {other.anchor[:12]} cannot be combined with statistics at anchor "
                f"{self.anchor[:12]}: recompute them at the present anchor"
            )
        gradient = self.gradient_sum + sign * other.gradient_sum
        count, rounding = two_sum(self.count, sign * other.count)
        return Sums(
            self.anchor,
            self.n_rows + int(sign) * other.n_rows,
            self.class_rows + int(sign) * other.class_rows,
            count,
            self.count_error + other.count_error + rounding,
            gradient,
            self.gradient_error + other.gradient_error + 2.0 * UNIT_ROUNDOFF * norm(gradient),
            self.hessian_error + other.hessian_error,
            self.is_weighted,
        )


@dataclass(frozen=True, eq=False)
class RowTerms(Sums):
    """Statistics of a few rows, the Hessian as a factor ``root``, ``(m · K, p)``: it is ``rootᵀ root``."""

    root: Array

    @classmethod
    def at(cls, at: Evaluation, digest: str) -> "RowTerms":
        """The terms of evaluated rows; ``digest`` names the anchor."""
        return cls(**vars(Sums.at(at, digest)), root=at.curvature_root())

    def add_hessian_to(self, hessian: Array, sign: float) -> Array:
        """``hessian + sign · rootᵀ root``, a new array."""
        return low_rank_update(hessian, self.root, sign)


@dataclass(frozen=True, eq=False)
class Statistics(Sums):
    """Sums over rows at one anchor, with the Hessian sum ``hessian_sum``, ``(p, p)``.

    Law: T(S ∪ A) − T(A) = T(S), up to the carried errors.
    Args:
        hessian_sum: sum of the rows' Hessians at the anchor, ``(p, p)``.

    Source: theory §4.2.
    """

    hessian_sum: Array

    @classmethod
    def of(cls, objective: Objective, rows: Rows, anchor: Array) -> "Statistics":
        """The statistics of ``rows`` at ``anchor``.

        Args:
            objective: what is minimised.
            rows: that are summed.
            anchor: the weights at which they are evaluated, ``(p,)``.
        """
        return cls.evaluated(Evaluation(objective, rows, anchor), anchor_digest(objective, anchor))

    @classmethod
    def evaluated(cls, at: Evaluation, digest: str, precision: Precision = "float64") -> "Statistics":
        """The statistics of evaluated rows; ``digest`` names the anchor.

        Args:
            at: the rows, evaluated at the anchor.
            digest: names the anchor.
            precision: of the Hessian; with float32 the errors are not bounded, and no certificate can come of it.
        """
        sums = Sums._with_errors(at, digest, is_bounded=precision == "float64")
        return cls(**vars(sums), hessian_sum=at.hessian(precision))

    def __add__(self, other: "Statistics | RowTerms") -> "Statistics":
        return self._combined(other, 1.0)

    def __sub__(self, other: "Statistics | RowTerms") -> "Statistics":
        return self._combined(other, -1.0)

    @quiet
    def _combined(self, other: "Statistics | RowTerms", sign: float) -> "Statistics":
        sums = self.plus(other, sign)
        hessian = other.add_hessian_to(self.hessian_sum, sign)
        size = float(np.abs(np.trace(self.hessian_sum)) + np.abs(np.trace(hessian)))
        size += 2.0 * len(hessian) * sums.hessian_error  # ≥ Frobenius norms: H is positive semidefinite, but for its error
        error = sums.hessian_error + 4.0 * UNIT_ROUNDOFF * size
        return Statistics(**(vars(sums) | {"hessian_error": error}), hessian_sum=hessian)

    def add_hessian_to(self, hessian: Array, sign: float) -> Array:
        """``hessian + sign · hessian_sum``, a new array.

        Args:
            hessian: ``(p, p)``.
            sign: 1 to add, -1 to take out.
        """
        return hessian + sign * self.hessian_sum


@dataclass(frozen=True)
class RowExtremes:
    """Bounds over all rows: R ≥ max |x|, and v² ≥ the largest eigenvalue of any XᵢᵀH⁻¹Xᵢ. Source: theory §4.3."""

    row_norm: float
    whitened_norm: float

    def __or__(self, other: "RowExtremes") -> "RowExtremes":
        return RowExtremes(max(self.row_norm, other.row_norm), max(self.whitened_norm, other.whitened_norm))

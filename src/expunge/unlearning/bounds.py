"""How far the model can be from the retrained optimum: proven upper bounds Δ ≥ |w̄ − ŵ′|₂. Theory §4.

Every function returns an upper bound, or ``inf`` where it can prove none: numerical failure fails closed. A NaN or an
infinite number among what goes in proves nothing, an infinite curvature no more than an infinite gradient.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from expunge.numerics.statistics import RowExtremes
from expunge.numerics.support import Support
from expunge.problem.arrays import norm, or_infinite

Array = NDArray[np.float64]

ROUND_UP = 1.0 + 1e-12
"""Every formula below is raised by this factor, which covers the roundings of norms of up to 10⁴ coordinates."""


@dataclass(frozen=True)
class Geometry:
    """The Hessian at the anchor as the bounds see it.

    Args:
        self_concordance: c of the loss (theory §6).
        extremes: R and v of the remaining rows.
        curvature_floor: μ, a lower bound on λ_min(H), H the stored Hessian.
        hessian_error: bound on the rounding error of H, spectral norm.
        support: where the remaining rows have values; ``None`` if that is not known.
        intercepts: how many outputs have one, their last coefficient, for which every row has a 1.

    The Hessian of real arithmetic lies between (1 ∓ η)H with η = hessian_error/μ. ``R``, ``v`` and ``mu`` below are
    those of that Hessian, so that rounding is inside every bound (theory §4.6).
    """

    self_concordance: float
    extremes: RowExtremes
    curvature_floor: float
    hessian_error: float
    support: Support | None = None
    intercepts: int = 0

    @property
    def eta(self) -> float:
        """Relative error of H; 1 or more where H is not known to be positive definite."""
        is_number = 0.0 < self.curvature_floor < math.inf and 0.0 <= self.hessian_error < math.inf
        return self.hessian_error / self.curvature_floor if is_number else math.inf

    @property
    def mu(self) -> float:
        """Lower bound on the smallest eigenvalue of the exact Hessian; 0 where it is not known to be positive definite."""
        return self.curvature_floor * (1.0 - self.eta) if self.eta < 1.0 else 0.0

    @property
    def row_norm(self) -> float:
        """R."""
        return or_infinite(self.extremes.row_norm)

    @property
    def whitened_norm(self) -> float:
        """v with respect to the exact Hessian."""
        return or_infinite(self.extremes.whitened_norm / math.sqrt(1.0 - self.eta)) if self.eta < 1.0 else math.inf

    def length(self, step: Array, hessian_step: Array) -> float:
        """|step|_H in the exact Hessian's metric, from ``hessian_step = H @ step``.

        Args:
            step: a displacement D, ``(p,)``.
            hessian_step: H @ D, ``(p,)``.
        """
        size = norm(step)
        rounding = (len(step) + 4) * 2.0**-53 * size * norm(hessian_step)
        with np.errstate(all="ignore"):
            square = or_infinite(float(step @ hessian_step))
        return math.sqrt(or_infinite(max(0.0, square) + rounding + self.hessian_error * size * size)) * ROUND_UP

    def euclidean(self, energy: float) -> float:
        """|e|₂ of whatever has |e|_H ≤ ``energy``.

        Args:
            energy: |e|_H, H the exact Hessian at the anchor.
        """
        return energy / math.sqrt(self.mu) * ROUND_UP if self.mu > 0.0 else math.inf

    def reach(self, energy: float) -> float:
        """c·max |Xᵢᵀe| of whatever has |e|_H ≤ ``energy``.

        Args:
            energy: |e|_H, H the exact Hessian at the anchor.
        """
        reaches = self.row_norm * self.euclidean(energy), self.whitened_norm * energy
        return or_infinite(self.self_concordance * min(or_infinite(each) for each in reaches) * ROUND_UP)

    def hessian_change(self, step: Array, length: float, by_rows: float = math.inf) -> "HessianChange":
        """How far a displacement can move the Hessian, in four norms of it.

        Args:
            step: the displacement D.
            length: |D|_H.
            by_rows: max |XᵢᵀD|₂ over the rows where a pass has measured it.
        """
        c = self.self_concordance
        if c == 0.0:
            return UNCHANGED
        return HessianChange(
            or_infinite(c * self._reach_by_norm(step) * ROUND_UP),
            or_infinite(c * self.whitened_norm * length * ROUND_UP),
            or_infinite(c * by_rows * ROUND_UP),
            math.inf if self.support is None else or_infinite(c * self.support.reach(step) * ROUND_UP),
        )

    def _reach_by_norm(self, step: Array) -> float:
        """No less than max |Xᵢᵀ step|₂ from R: of the features and of the intercepts apart, which is no more than R|step|₂."""
        if self.intercepts == 0:
            return self.row_norm * norm(step)
        coefficients = step.reshape(self.intercepts, -1)
        features = math.sqrt(max(0.0, (self.row_norm - 1.0) * (self.row_norm + 1.0)))
        return features * norm(coefficients[:, :-1]) + norm(coefficients[:, -1])

    def rounding(self, step: Array, residual_norm: float, gradient_error: float) -> float:
        """What inexact arithmetic adds to ``|∇J|_{H⁻¹}`` after ``step``. Source: theory §4.6.

        Args:
            step: that was taken, ``(p,)``.
            residual_norm: |H step + gradient|₂, left by the linear solve.
            gradient_error: bound on the rounding error of that gradient.
        """
        if not self.eta < 1.0:
            return math.inf
        total = residual_norm + gradient_error + self.hessian_error * norm(step)
        return or_infinite(total / math.sqrt(self.mu) * ROUND_UP)


@dataclass(frozen=True)
class HessianChange:
    """t of theory §4.3 in four norms: by R, cv|D|_H, c·max|XᵢᵀD| and cΣ_groups max M_j|D_j|. Their minimum is no norm.

    Args:
        by_norm: cR|D|₂; with an intercept c(√(R² − 1)|D_features|₂ + |D_intercept|₂).
        by_whitened_norm: cv|D|_H.
        by_rows: c·max|XᵢᵀD|; infinite where no pass has measured it.
        by_support: c times the reach of ``Support``; infinite where that is not known.
    """

    by_norm: float
    by_whitened_norm: float
    by_rows: float
    by_support: float = math.inf

    @property
    def t(self) -> float:
        """``e^{−t}H ⪯ ∇²J(b + D) ⪯ e^{t}H``."""
        return min(self.by_norm, self.by_whitened_norm, self.by_rows, self.by_support)


NORMS = tuple(each.name for each in fields(HessianChange))
"""In which t is known; each is taken by itself where a norm is needed, for their minimum is none."""
UNCHANGED = HessianChange(0.0, 0.0, 0.0, 0.0)
"""Of no displacement."""


def energy_distance(geometry: Geometry, growth: float, decrement: float) -> float:
    """|w − ŵ′|_H at a point with ``∇²J ⪰ H/growth`` and ``|∇J|_{H⁻¹} ≤ decrement``; H the exact Hessian at the anchor.

    Args:
        geometry: of the Hessian at the anchor.
        growth: e^t, or less where more is known of the Hessian at the point.
        decrement: bound on the gradient norm in the metric of H⁻¹.

    Source: the last line of theory §4.3, before it is divided by √μ.
    """
    if not (geometry.eta < 1.0 and 0.0 < growth < math.inf and math.isfinite(decrement)):
        return math.inf
    scaled = growth * decrement * ROUND_UP
    z = geometry.reach(scaled)
    return scaled * (-math.log1p(-z) / z if z > 0 else 1.0) if z < 1.0 else math.inf


def residual(geometry: Geometry, t: float, decrement: float) -> float:
    """Δ at a point with ``e^{−t}H ⪯ ∇²J ⪯ e^{t}H`` and ``|∇J|_{H⁻¹} ≤ decrement``: the last line of theory §4.3.

    Args:
        geometry: of the Hessian at the anchor.
        t: how far the Hessian may have changed since the anchor.
        decrement: bound on the gradient norm in the metric of H⁻¹.

    Source: theory §4.3, §4.4.
    """
    return geometry.euclidean(energy_distance(geometry, growth_of(t), decrement))


def growth_of(t: float) -> float:
    """e^t; ``inf`` where that says nothing.

    Args:
        t: how far the Hessian may have changed since the anchor.
    """
    return math.exp(t) if t < 700.0 else math.inf


def newton_decrement(length: float, before: HessianChange, after: HessianChange) -> float:
    """Bound on ``|∇J(w + δ)|_{H⁻¹}`` after the step δ = −H⁻¹∇J(w), of length |δ|_H.

    Args:
        length: |δ|_H.
        before: of w − b; ``UNCHANGED`` where w is the anchor, which gives ρ of theory §4.3.
        after: of w + δ − b.

    Source: theory §4.3 (ρ), §4.4 (passes).
    """
    growth = min(mean_growth(getattr(before, name), getattr(after, name)) for name in NORMS)
    return or_infinite(length * growth * ROUND_UP)


def linear_remainder(self_concordance: float, t: float, spread: float) -> float:
    """Bound on ``|∇J(b + D)|_{H⁻¹}`` after D = −H⁻¹q from an average of leverages, where ``newton_decrement`` has the largest.

    Args:
        self_concordance: c of the loss.
        t: of D, theory §4.3.
        spread: √(|D|²_W · DᵀKD).

    Source: theory §4.7, below Lemma 5.
    """
    return or_infinite(self_concordance * exponential_tail(t, 2) * spread * ROUND_UP)


def cubic_remainder(concordance: tuple[float, float], t: float, length: float, spread: float) -> float:
    """Bound on ``|∇J(b + E) − m(E)|_{H⁻¹}``, m the gradient's Taylor polynomial of second order at b.

    Args:
        concordance: c and c₄ of the loss.
        t: of E, theory §4.3.
        length: |E|_H.
        spread: √(|E|²_W · EᵀKE).

    Source: theory §4.7, Lemma 5.
    """
    c, c4 = concordance
    tail = exponential_tail(t, 3)
    by_largest, by_average = or_infinite((c4 / c * t) ** 2 * tail * length), or_infinite(c4 * c4 / c * t * tail * spread)
    return or_infinite(min(by_largest, by_average) * ROUND_UP)


def hessian_remainder(concordance: tuple[float, float], t: float) -> float:
    """x with −xH ⪯ ∇²J(b + E) − H − B[E] ⪯ xH.

    Args:
        concordance: c and c₄ of the loss.
        t: of E, theory §4.3.

    Source: theory §4.7, sandwich.
    """
    c, c4 = concordance
    return or_infinite((c4 / c * t) ** 2 * exponential_tail(t, 2) * ROUND_UP)


def shifted_decrement(
    length: float,
    concordance: tuple[float, float],
    places: tuple[HessianChange, HessianChange],
    drifts: tuple[HessianChange, HessianChange],
) -> float:
    """Bound on ``|∇J(w + δ)|_{H⁻¹}`` after the step δ = −(H + B[E])⁻¹∇J(w), of length |δ|_H.

    Args:
        length: |δ|_H.
        concordance: c and c₄ of the loss.
        places: of w − b and of w + δ − b.
        drifts: of w − b − E and of w + δ − b − E.

    Source: theory §4.7, passes: the bound is convex along the step in each norm, so that the mean of its ends holds.
    """
    beyond = min(sum(hessian_remainder(concordance, getattr(place, name)) for place in places) for name in NORMS)
    drifted = min(sum(getattr(drift, name) for drift in drifts) for name in NORMS)
    return or_infinite(0.5 * length * (beyond + drifted) * ROUND_UP)


def exponential_tail(t: float, k: int) -> float:
    """The exponential series from its k-th term on, divided by tᵏ: the sum of tʲ⁻ᵏ/j! over j ≥ k, rounded up; ``inf`` from 700
    on.

    Args:
        t: at least 0.
        k: how many terms are left out.

    Examples:
        >>> exponential_tail(0.0, 3) >= 1 / 6
        True
    """
    if not 0.0 <= t < 700.0:
        return math.inf
    if t > 1.0:
        return (math.exp(t) - sum(t**j / math.factorial(j) for j in range(k))) / t**k * (1.0 + 1e-9)
    return sum(t**j / math.factorial(j + k) for j in range(20)) * (1.0 + 1e-12)


def worst_case(
    *, count: float, changed: float, strong_convexity: float, lipschitz: float, hessian_lipschitz: float, gradient: float
) -> float:
    """Δ from constants alone: Newton from the old optimum after ``changed`` of the rows went or came.

    In sums: |b − ŵ′| ≤ (|∇J_S(b)| + mL)/λ, and one Newton step leaves at most M/(2λ) times its square. With
    λ = nλ̄, M = nM̄ and ∇J_S(b) = 0 this is M̄m²L²/(2λ̄³n²) of theory §4.1.

    Args:
        count: total weight of the rows now learned.
        changed: m, total weight of the rows forgotten or learned since the anchor.
        strong_convexity: λ of J over the rows now learned.
        lipschitz: L, bound on the gradient one row contributes (penalty share included).
        hessian_lipschitz: M of one row.
        gradient: bound on |∇J_S(b)| at the anchor for the rows it was fitted on.

    Source: theory §4.1.
    """
    if hessian_lipschitz == 0:
        return 0.0
    if not 0.0 < strong_convexity < math.inf:
        return math.inf
    away = (gradient + changed * lipschitz) / strong_convexity
    return or_infinite(count * hessian_lipschitz * away * away / (2.0 * strong_convexity) * ROUND_UP)


def sekhari2021(
    *, count: float, changed: float, strong_convexity: float, lipschitz: float, hessian_lipschitz: float, gradient: float
) -> float:
    """The paper's own Δ = 2M̄m²L²/(λ̄³n²), four times ``worst_case``; kept as the reference.

    Args:
        count: as for ``worst_case``.
        changed: as for ``worst_case``.
        strong_convexity: as for ``worst_case``.
        lipschitz: as for ``worst_case``.
        hessian_lipschitz: as for ``worst_case``.
        gradient: as for ``worst_case``.

    Source: Sekhari et al. 2021, Lemma 3 and Theorem 3; theory §3.
    """
    return 4.0 * worst_case(
        count=count,
        changed=changed,
        strong_convexity=strong_convexity,
        lipschitz=lipschitz,
        hessian_lipschitz=hessian_lipschitz,
        gradient=gradient,
    )


def mean_growth(before: float, after: float) -> float:
    """The mean of e^t − 1 along a step: that of the exponentials at its ends, as a difference quotient, less 1.

    Args:
        before: t₀, where it begins.
        after: t₁, where it ends.
    """
    if not (before < 700.0 and after < 700.0):
        return math.inf
    low, high = sorted((before, after))
    width = high - low
    # e^{low}·(e^{width} − 1)/width − 1, written so that nothing cancels for small arguments
    if width > 1e-5:
        excess = (math.expm1(width) - width) / width
    else:
        excess = width / 2.0 + width * width / 3.0
    return (math.expm1(low) + math.exp(low) * excess) * (1.0 + 1e-9)

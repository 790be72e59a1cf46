"""One batch of rows at one weight vector: sums over its rows, and bounds on what rounding cost them.

In the model of floating point of ``numerics.rounding`` the linear predictor of a row is off by at most γ(|x||w| + |o|), o its
offset, its derivative by the curvature times that plus a few ulps of the terms it is made of (which the loss knows), and every
sum over m rows by a further γ_m. Theory §4.6.

That model leaves out over- and underflow. What overflows is infinite or NaN, which bounds nothing. What underflows is off by
less than ``UNDERFLOW``: each row is charged as if its curvature were larger by that, and each sum for its own products. And it
is linear only where the predictor's error is small beside 1/c, the distance on which the curvature changes: hence the curvature
charged is the largest within that error.

Rows may lie on any device: each sum is made there and comes back to the host.
"""

import copy
import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.numerics.gram import gram
from expunge.numerics.rounding import ULPS, UNDERFLOW, UNIT_ROUNDOFF, Precision, gamma, quiet
from expunge.numerics.row_norms import norms_of
from expunge.problem.arrays import beside, dense, host, namespace, norm, or_infinite, squared
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.problem.split import SplitMatrix

Array = NDArray[np.float64]

LARGEST = 1e100
"""Sums of larger terms are not bounded: their squares come near overflow."""


class Evaluation:
    """The loss of ``rows`` at weights ``w`` and its sums; no penalty is inside.

    Args:
        objective: gives loss and intercept.
        rows: the batch.
        w: weights, ``(p,)``.
    """

    def __init__(self, objective: Objective, rows: Rows, w: Array) -> None:
        self.objective, self.rows, self.loss = objective, rows, objective.loss
        self.X, self._offsets = objective.features(rows), objective.offsets(rows)
        self._xp = namespace(self.X)
        self._gamma = gamma(self.loss.outputs * (len(rows) + objective.width) + ULPS)
        self._place(w)

    @quiet
    def _place(self, w: Array) -> None:
        t = self.objective.predictor(w, self.X)
        self.t = t if self._offsets is None else t + self._offsets
        self._size = norm(w)

    def moved_to(self, w: Array) -> "Evaluation":
        """The same rows at other weights, without reading them again."""
        moved = copy.copy(self)
        for name in ("_derivative", "_curvature_norm", "_slope_error", "gradient"):
            moved.__dict__.pop(name, None)
        moved._place(w)
        return moved

    @property
    def count(self) -> float:
        """Total weight of the rows."""
        weight = self.rows.sample_weight
        return float(len(self.rows)) if weight is None else float(self._xp.sum(weight))

    @property
    def count_error(self) -> float:
        """A bound on the rounding error of ``count``; rows without weights are counted exactly."""
        return 0.0 if self.rows.sample_weight is None else gamma(len(self.rows)) * self.count

    @property
    def n_rows(self) -> int:
        """How many rows have a positive weight."""
        weight = self.rows.sample_weight
        return len(self.rows) if weight is None else int(np.count_nonzero(host(weight)))

    @property
    def class_rows(self) -> NDArray[np.int64]:
        """How many rows of each class have a positive weight, ``(classes,)``; empty for regression."""
        if not self.loss.classes:
            return np.empty(0, dtype=np.int64)
        codes, weight = host(self.rows.y).astype(np.intp), self.rows.sample_weight
        codes = codes if weight is None else codes[host(weight) > 0.0]
        return np.bincount(codes, minlength=self.loss.classes).astype(np.int64)

    @property
    def norms(self) -> Array:
        """|x| of each row, the intercept's 1 included, rounded up, ``(n_rows,)``."""
        return host(self._norms)

    @property
    def longest(self) -> float:
        """max |x|."""
        return or_infinite(float(self._xp.max(self._norms))) if len(self.rows) else 0.0

    @property
    @quiet
    def value(self) -> float:
        """Σ weight · ℓ."""
        return self._total(self.loss.value(self.t, self.rows.y))

    @property
    @quiet
    def value_at_zero(self) -> float:
        """Σ weight · ℓ at w = 0."""
        at_zero = self._xp.zeros_like(self.t) if self._offsets is None else self._offsets
        return self._total(self.loss.value(at_zero, self.rows.y))

    def shift(self, step: Array) -> float:
        """max |Xᵢᵀ step|₂ over the rows, rounded up."""
        if not len(self.rows):
            return 0.0
        with np.errstate(all="ignore"):
            moved = self._columns(self.objective.predictor(step, self.X))
            top = float(self._xp.max(abs(moved)))
            if self.loss.outputs > 1 and 0.0 < top < math.inf:  # scaled, so that no square over- or underflows
                moved = moved / top
                top = top * float(self._xp.max(self._xp.sum(moved * moved, axis=1))) ** 0.5
        rounding = gamma(self.objective.width + 8) * self.longest * norm(step)
        return or_infinite(top * (1.0 + gamma(8)) + rounding)

    @cached_property
    def gradient(self) -> Array:
        """Σ weight · ∇ℓ, ``(p,)``; NaN where it overflows."""
        return self._sum_of_rows(self._derivative)

    @property
    @quiet
    def gradient_error(self) -> float:
        """A bound on the rounding error of ``gradient`` in the 2-norm; ``inf`` near overflow."""
        size = float(self._xp.sum(self._pull))
        error = self._gamma * size + self._total(self._norms * self._slope_error) + self._underflow
        return error * (1.0 + self._gamma) if size <= LARGEST and error <= LARGEST else math.inf

    @quiet
    def slopes(self) -> Array:
        """An upper bound, after rounding, on |ℓ′| of each row, ``(n_rows,)``; ``inf`` where it overflows."""
        bound = host((self._slope + self._slope_error) * (1.0 + gamma(self.loss.outputs + ULPS)))
        return np.where(np.isnan(bound), math.inf, bound)

    @quiet
    def product(self, x: Array) -> Array:
        """Σ weight · ∇²ℓ · x, ``(p,)``, without the matrix."""
        return self._sum_of_rows(self._bent(self.objective.predictor(x, self.X)))

    @quiet
    def curvature_sums(self) -> tuple[Array, Array]:
        """The diagonal of Σ weight · ∇²ℓ, ``(p,)``, and D = Σ weight · Aᵢ, Aᵢ the curvature in the outputs, ``(K, K)``."""
        d, u = self.loss.curvature_parts(self.t, self.rows.y)
        d = self._columns(self._weighted(d))
        D = np.diag(np.atleast_1d(host(self._xp.sum(d, axis=0))))
        if u is not None:
            weighted = self._weighted(u)
            D = D - host(weighted.T @ u)
            d = d - weighted * u
        diagonal = host(squared(self.X).T @ d).T
        if self.objective.fit_intercept:
            diagonal = np.hstack([diagonal, host(self._xp.sum(d, axis=0))[:, None]])
        return np.ascontiguousarray(diagonal).ravel(), D

    @quiet
    def hessian(self, precision: Precision = "float64", extra: Any = 1.0) -> Array:
        """Σ weight · extra · ∇²ℓ, ``(p, p)``.

        With K outputs it is the block diagonal of the Xᵀdiag(d_k)X less ZᵀZ, Z = (u_1∘X … u_K∘X).

        Args:
            precision: of the products within the batch; sums over batches are in float64.
            extra: another weight of each row, ``(n_rows,)``.
        """
        K, width = self.loss.outputs, self.objective.width
        d, u = self.loss.curvature_parts(self.t, self.rows.y)
        d = self._columns(d)
        blocks = [gram(self.X, [self._rooted(extra * d[:, k])], self.objective, precision) for k in range(K)]
        if u is None:
            return blocks[0]
        across = gram(self.X, [self._rooted(extra) * u[:, k] for k in range(K)], self.objective, precision)
        for k in range(K):
            across[k * width : (k + 1) * width, k * width : (k + 1) * width] -= blocks[k]
        return np.negative(across, out=across)

    def is_single(self, precision: Precision) -> bool:
        """Whether products of ``hessian`` are in float32 if that is asked for; those of rows in blocks never are."""
        return precision == "float32" and not isinstance(self.X, SplitMatrix)

    @property
    @quiet
    def hessian_error(self) -> float:
        """A bound on the rounding error of ``hessian()`` and of what ``curvature_root`` makes, in the 2-norm; ``inf`` near
        overflow."""
        return self._curvature_error(self._bend)

    @quiet
    def weighted_hessian(self, extra: Array) -> tuple[Array, float]:
        """``hessian`` with ``extra`` weights, ``(n_rows,)``, and a bound on its error."""
        extra = beside(extra, self.X)
        return self.hessian(extra=extra), self._curvature_error(self._bend * extra)

    @quiet
    def weighted_root(self, extra: Array, excess: Array) -> tuple[Array, float]:
        """``curvature_root`` with ``extra`` weights, and a bound on the error of the Hessian that it makes.

        Args:
            extra: another weight of each row, ``(n_rows,)``.
            excess: by how much that may be too large, ``(n_rows,)``.
        """
        bent, beyond = self._bend * beside(extra, self.X), self._bend * beside(excess, self.X)
        error = self._curvature_error(bent) + or_infinite(float(self._xp.sum(beyond)))
        return self.curvature_root(extra), error * (1.0 + self._gamma)

    def _curvature_error(self, bend: Any) -> float:
        """What rounding costs Σ weight · ∇²ℓ where its terms have the norms ``bend``, ``(n_rows,)``."""
        spread = 1.0 if self.loss.outputs == 1 else 4.0  # diag(d) and uuᵀ, or the factor's squares, each at most twice the norm
        size = float(self._xp.sum(bend))
        rounding = UNIT_ROUNDOFF * (ULPS + self.loss.curvature_condition(self.t, self.rows.y))
        error = spread * self._gamma * size + float(self._xp.sum(bend * (rounding + self._moved))) + self._underflow
        return error * (1.0 + self._gamma) if size <= LARGEST and error <= LARGEST else math.inf

    @property
    def _moved(self) -> Any:
        """How far rounding of its predictor moves a row's curvature, relative to it, ``(n_rows,)``."""
        return self.loss.self_concordance * self._gamma * self._reach

    @quiet
    def third_terms(self, part: slice) -> tuple[Array, Array]:
        """z, ``(m, p)``, and w, ``(m,)``, with Σ w z⊗z⊗z the third derivative Σ weight · ∇³ℓ of some rows; m is K times their
        number, or their number for one output.

        Args:
            part: of the rows.
        """
        rows = self.rows.take(part)
        X = dense(self.objective.design(rows))
        w, v = (host(values) for values in self.loss.third_parts(self.t[part], rows.y))
        w = (w * host(rows.weight)[:, None]).ravel()
        return (X if self.loss.outputs == 1 else np.einsum("ijk,iw->ijkw", v, X).reshape(len(w), -1)), w

    @quiet
    def third_weights(self) -> Array:
        """The weights w of ``third_terms`` of all rows, ``(n_rows, K)``."""
        w, _v = self.loss.third_parts(self.t, self.rows.y)
        return host(w) * host(self.rows.weight)[:, None]

    @quiet
    def third_bounds(self) -> tuple[float, float]:
        """Bounds on the error of Σ w (z·E)² z, |E| = 1, of ``third_terms`` and on Σ |w||z|³; ``inf`` near overflow."""
        long = self._weighted(self._norms**3)
        size = self.loss.third_size(self._curvature_norm)
        total = float(self._xp.sum(long * size))
        rounding = 4.0 * UNIT_ROUNDOFF * (ULPS + self.loss.curvature_condition(self.t, self.rows.y)) * size
        moved = self.loss.fourth_order_concordance**2 * self._curvature_norm * self._gamma * self._reach
        error = self._gamma * total + float(self._xp.sum(long * (rounding + moved))) + self._underflow * (1.0 + self.longest)
        grown = 1.0 + self._gamma
        return (error * grown, total * grown) if total <= LARGEST and error <= LARGEST else (math.inf, math.inf)

    @quiet
    def curvature_root(self, extra: Array | float = 1.0) -> Array:
        """B with BᵀB the Hessian of the rows, ``(n_rows · K, p)``.

        Args:
            extra: another weight of each row, ``(n_rows,)``.
        """
        K = self.loss.outputs
        X = dense(self.objective.design(self.rows))
        root = host(self.loss.curvature_root(self.t, self.rows.y)).reshape(-1, K, K)
        scaled = np.sqrt(host(self.rows.weight) * extra)[:, None, None] * root
        return np.asarray(np.einsum("ijk,iw->ijkw", scaled, X).reshape(-1, self.objective.n_parameters))

    @cached_property
    def _norms(self) -> Any:
        return norms_of(self.objective, self.X)

    @property
    def _reach(self) -> Any:
        """How large a row's predictor may be, what rounding of it is relative to, ``(n_rows,)``."""
        reach = self._norms * self._size
        return reach if self._offsets is None else reach + abs(self._offsets)

    @cached_property
    @quiet
    def _derivative(self) -> Any:
        return self.loss.derivative(self.t, self.rows.y)

    @cached_property
    @quiet
    def _curvature_norm(self) -> Any:
        """No less than the curvature of each row anywhere within rounding of its predictor, ``(n_rows,)``."""
        blur = self._gamma * self.loss.self_concordance * self._reach
        curvature = (self.loss.curvature_norm(self.t, self.rows.y) + UNDERFLOW) * self._xp.exp(blur)
        most = self.loss.curvature_bound
        return self._xp.where(curvature > most, most, curvature) if most < math.inf else curvature

    @property
    def _underflow(self) -> float:
        """What the products of the sums lose beside the rows' own."""
        longest = self.longest
        return UNDERFLOW * len(self.rows) * self.objective.n_parameters * (1.0 + longest * longest)

    @property
    def _slope(self) -> Any:
        """No less than |ℓ′| of each row as computed, ``(n_rows,)``."""
        return self._xp.sum(abs(self._columns(self._derivative)), axis=1)

    @cached_property
    def _slope_error(self) -> Any:
        """A bound on the rounding error of ℓ′ of each row, ``(n_rows,)``."""
        size = self.loss.term_size(self.t, self._slope, self._curvature_norm)
        return UNIT_ROUNDOFF * ULPS * size + self._curvature_norm * self._gamma * self._reach

    @property
    def _pull(self) -> Any:
        """|weight · ∇ℓ| of each row, rounded up, ``(n_rows,)``."""
        return self._weighted(self._norms * self._slope)

    @property
    def _bend(self) -> Any:
        """|weight · ∇²ℓ| of each row, rounded up, ``(n_rows,)``."""
        return self._weighted(self._curvature_norm * self._norms**2)

    def _bent(self, moved: Any) -> Any:
        """∇²ℓ of each row times ``moved``, of the shape of ``t``; not weighted."""
        d, u = self.loss.curvature_parts(self.t, self.rows.y)
        return d * moved if u is None else d * moved - u * self._xp.sum(u * moved, axis=1)[:, None]

    def _columns(self, values: Any) -> Any:
        """``values`` as ``(n_rows, K)``."""
        return self._xp.reshape(values, (-1, self.loss.outputs))

    def _weighted(self, values: Any) -> Any:
        weight = self.rows.sample_weight
        if weight is None:
            return values
        return values * (weight if values.ndim == 1 else weight[:, None])

    def _total(self, values: Any) -> float:
        return float(self._xp.sum(self._weighted(values)))

    @quiet
    def _sum_of_rows(self, slopes: Any) -> Array:
        """Σ weight · slopeᵢ ⊗ xᵢ, ``(p,)``."""
        scaled = self._columns(self._weighted(slopes))
        total = host(self.X.T @ scaled).T
        if self.objective.fit_intercept:
            total = np.hstack([total, host(self._xp.sum(scaled, axis=0))[:, None]])
        return np.ascontiguousarray(total).ravel()

    def _rooted(self, scale: Any) -> Any:
        """√(weight · scale)."""
        weight = self.rows.sample_weight
        scaled = scale if weight is None else weight * scale
        return scaled**0.5 if isinstance(scaled, float) else self._xp.sqrt(scaled)

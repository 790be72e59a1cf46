"""The objective J_S(w): a loss summed over rows, a ridge penalty and an intercept. Theory §1.

Everything is kept as a *sum* over rows. The two forms differ in the penalty alone:

- ``sum``:  ½ Σ_j α_j w_j², which deleting rows leaves as it is (scikit-learn's ``C = 1/α``, ``Ridge``);
- ``mean``: ½ λ W |w|² with W the total weight of the rows, so that each row carries its share and takes it along
  when it goes (scikit-learn's ``PoissonRegressor`` and kin; the paper).

The intercept, the last coefficient of each output, is not penalised. Softmax with an intercept has a flat direction
(one constant added to all K intercepts); the gauge ½κ(Σ_k b_k)², κ = 1, fixes it and changes no prediction.

Weights are one flat vector of ``K · (n_features + intercept)`` numbers, output by output.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.errors import InvalidRows
from expunge.problem.arrays import LARGEST, SMALLEST, beside, host, is_on_host, namespace, unsplit
from expunge.problem.losses import Loss
from expunge.problem.parameters import real, truth, whole
from expunge.problem.rows import Rows
from expunge.problem.split import SplitMatrix

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Objective:
    """What is minimised.

    Args:
        loss: the loss of one row.
        n_features: width of a row, the intercept not counted.
        penalty: α in the sum form, λ in the mean form; 0, or between 1e-60 and 1e60.
        form: ``"sum"`` or ``"mean"``.
        fit_intercept: whether a constant 1 is appended to every row.
        offset: whether rows have one column more, the last: an offset, which is added to the linear predictor as it is.

    Raises:
        ValueError: a penalty that is negative, not finite, or out of this range; an offset of several outputs.

    Source: theory §1.
    """

    loss: Loss
    n_features: int
    penalty: float = 1.0
    form: Literal["sum", "mean"] = "sum"
    fit_intercept: bool = True
    offset: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_features", whole("n_features", self.n_features))
        object.__setattr__(self, "penalty", real("penalty", self.penalty))
        object.__setattr__(self, "fit_intercept", truth("fit_intercept", self.fit_intercept))
        object.__setattr__(self, "offset", truth("offset", self.offset))
        if self.offset and self.loss.outputs > 1:
            raise ValueError(
                f"the {self.loss.name} loss has {self.loss.outputs} linear predictors, and an offset is added to one: it is "
                "for regressions and for classifiers of two classes"
            )
        if not (math.isfinite(self.penalty) and self.penalty >= 0):
            raise ValueError(f"penalty must be a finite number of at least 0, got {self.penalty}")
        if self.penalty != 0 and not SMALLEST <= self.penalty <= LARGEST:
            raise ValueError(f"penalty must be 0 or between {SMALLEST:g} and {LARGEST:g}, got {self.penalty:g}: use 0 for none")

    @property
    def width(self) -> int:
        """Coefficients per output."""
        return self.n_features + self.fit_intercept

    @property
    def n_parameters(self) -> int:
        """p, the length of the weight vector."""
        return self.loss.outputs * self.width

    @cached_property
    def penalised(self) -> NDArray[np.bool_]:
        """Mask of the penalised weights, ``(p,)``."""
        mask = np.ones((self.loss.outputs, self.width), dtype=bool)
        if self.fit_intercept:
            mask[:, -1] = False
        return mask.ravel()

    @cached_property
    def _gauge(self) -> Array | None:
        """The vector g with gauge term ½(g·w)², or ``None`` where nothing is flat."""
        if self.loss.outputs == 1 or not self.fit_intercept:
            return None
        return np.where(self.penalised, 0.0, 1.0)

    def penalty_scale(self, count: float) -> float:
        """What multiplies ½|w|² for rows of total weight ``count``.

        Args:
            count: total weight of the rows.
        """
        return self.penalty * count if self.form == "mean" else self.penalty

    def penalty_value(self, w: Array, count: float) -> float:
        """The penalty and the gauge at ``w``.

        Args:
            w: weights, ``(p,)``.
            count: total weight of the rows.
        """
        gauge = 0.0 if self._gauge is None else float(np.square(self._gauge @ w))
        return 0.5 * (self.penalty_scale(count) * float(w[self.penalised] @ w[self.penalised]) + gauge)

    def penalty_gradient(self, w: Array, count: float) -> Array:
        """Gradient of the penalty and the gauge, ``(p,)``.

        It is linear in ``w``, hence also the product of their Hessian with ``w``; ``(p, m)`` gives m products at once.

        Args:
            w: weights, ``(p,)``.
            count: total weight of the rows.
        """
        gradient = self.penalty_scale(count) * (w.T * self.penalised).T
        return gradient if self._gauge is None else gradient + (np.multiply.outer(self._gauge @ w, self._gauge)).T

    def penalty_diagonal(self, count: float) -> Array:
        """Diagonal of the Hessian of penalty and gauge, ``(p,)``.

        Args:
            count: total weight of the rows.
        """
        diagonal = np.where(self.penalised, self.penalty_scale(count), 0.0)
        return diagonal if self._gauge is None else diagonal + self._gauge

    def penalty_trace(self, count: float) -> float:
        """Trace of the Hessian of penalty and gauge.

        Args:
            count: total weight of the rows.
        """
        gauge = 0.0 if self._gauge is None else float(self._gauge.sum())
        return self.penalty_scale(count) * float(self.penalised.sum()) + gauge

    def penalised_hessian(self, hessian_sum: Array, count: float) -> Array:
        """``hessian_sum`` with the curvature of penalty and gauge added, a new array.

        Args:
            hessian_sum: sum of the rows' Hessians, ``(p, p)``.
            count: total weight of the rows.
        """
        return hessian_sum + self.penalty_gradient(np.eye(self.n_parameters), count)

    def check(self, rows: Rows, is_weighted: bool | None = None) -> Rows:
        """``rows`` themselves, if this objective can be evaluated on them.

        Args:
            rows: to be learned or forgotten.
            is_weighted: whether the rows of the model have weights; ``None`` at its fit, where either will do.

        Raises:
            InvalidRows: wrong width, weights where the model has none, none where it has them, or a target that
                the loss is not defined for.
        """
        if rows.X.shape[1] != self.n_features + self.offset:
            counted = rows.X.shape[1] - self.offset
            also = " and an offset, which is the last column of both" if self.offset else ""
            raise InvalidRows(
                f"rows have {counted} features, but the model has {self.n_features} features{also}: "
                "encode them with the same schema"
            )
        if is_weighted is not None:
            require_weights(rows, is_weighted)
        bad, wanted = self.loss.invalid_targets(rows.y)
        if namespace(bad).any(bad):
            row = int(np.argmax(host(bad)))
            raise InvalidRows(
                f"y of row {rows.name(row)} is {float(rows.y[row]):g}, but the {self.loss.name} loss needs {wanted}"
            )
        return rows

    def values(self, rows: Rows) -> Any:
        """The features as the rows hold them, in float32 or float64, ``(n_rows, n_features)``: all but the offset's column.

        Args:
            rows: of this objective.
        """
        if not self.offset:
            return rows.X
        return rows.X.without_last() if isinstance(rows.X, SplitMatrix) else rows.X[:, : self.n_features]

    def features(self, rows: Rows) -> Any:
        """The rows in float64, where they lie, ``(n_rows, n_features)``, dense or CSR; no intercept and no offset.

        Args:
            rows: of this objective.
        """
        X = self.values(rows)
        xp = namespace(X)
        return X.astype(np.float64, copy=False) if xp is np else xp.astype(X, xp.float64, copy=False)

    def offsets(self, rows: Rows) -> Any:
        """What is added to the linear predictors, where the rows lie, ``(n_rows,)``; ``None`` where nothing is.

        Args:
            rows: of this objective.
        """
        if not self.offset:
            return None
        if isinstance(rows.X, SplitMatrix):
            return rows.X.last()
        last = rows.X[:, -1:]
        last = last.toarray() if sparse.issparse(last) else last
        xp = namespace(last)
        return xp.reshape(last.astype(np.float64) if xp is np else xp.astype(last, xp.float64), (-1,))

    def predicted(self, w: Array, rows: Rows) -> Any:
        """The linear predictors of rows, their offsets included, ``(n_rows,)``, or ``(n_rows, K)`` for several outputs.

        Args:
            w: weights, ``(p,)``.
            rows: of this objective.
        """
        t, offsets = self.predictor(w, self.features(rows)), self.offsets(rows)
        return t if offsets is None else t + offsets

    def design(self, rows: Rows) -> Any:
        """The rows on the host with the intercept's column, float64, ``(n_rows, width)``, dense or CSR; of blocks CSR.

        Args:
            rows: of this objective.
        """
        X = self.features(rows)
        X = unsplit(X) if is_on_host(X) else host(X)
        if not self.fit_intercept:
            return X
        ones = np.ones((len(rows), 1))
        return sparse.csr_array(sparse.hstack([X, ones], format="csr")) if sparse.issparse(X) else np.hstack([X, ones])

    def coefficients(self, w: Array) -> Array:
        """``w`` as a matrix ``(K, width)``.

        Args:
            w: weights, ``(p,)``.
        """
        return w.reshape(self.loss.outputs, self.width)

    def predictor(self, w: Array, X: Any) -> Any:
        """Xwᵀ + b, ``(n_rows,)``, or ``(n_rows, K)`` for several outputs; ``X`` as ``features`` gives it. It has no offsets, so
        that it is linear in ``w``.

        Args:
            w: weights, ``(p,)``.
            X: features, ``(n_rows, n_features)``.
        """
        blocks = self.coefficients(w)
        t = X @ beside(blocks[0, : self.n_features] if self.loss.outputs == 1 else blocks[:, : self.n_features].T, X)
        if not self.fit_intercept:
            return t
        return t + (float(blocks[0, -1]) if self.loss.outputs == 1 else beside(blocks[:, -1], X))

    @property
    def fingerprint(self) -> str:
        """A text that differs whenever the objective differs."""
        return repr(self) + " with an offset" * self.offset


def require_weights(rows: Rows, is_weighted: bool) -> None:
    """Raises ``InvalidRows`` unless ``rows`` have weights where the model has them, and none where it has none.

    Args:
        rows: to be learned or forgotten.
        is_weighted: whether the rows of the model have weights.
    """
    if is_weighted != (rows.sample_weight is not None):
        raise InvalidRows(
            "the model was fitted with weights, and these rows come without: give the sample_weight of each"
            if is_weighted
            else "the model was fitted without weights, so that each row counts once: give no sample_weight"
        )

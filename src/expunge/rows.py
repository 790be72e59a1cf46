"""Rows: a validated block of features, targets and weights; and RowSource, anything that yields such blocks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.errors import InvalidRows

Array = NDArray[np.float64]

BATCH_VALUES = 1 << 18
"""Numbers in one batch (2 MiB of float64): large enough for BLAS-3, small enough to stay in cache.

Wide rows come at least ``n_features`` at a time, so that adding up p × p sums never costs more than making them."""


class RowSource(Protocol):
    """Rows that can be read again and again, batch by batch."""

    def batches(self) -> Iterator["Rows"]:
        """The rows in blocks, each row once."""
        ...


@dataclass(frozen=True, eq=False)
class Rows:
    """A block of rows, itself a ``RowSource``.

    Args:
        X: features, ``(n_rows, n_features)``, float32 or float64, dense or CSR.
        y: targets ``(n_rows,)``; class codes 0..K−1 for classification.
        sample_weight: ``(n_rows,)``, at least 0; multiplies the loss of its row.
        ids: names of the rows, one each. With them a request is checked for duplicates by id, otherwise by value.

    Assumes: finite values and matching lengths; ``Rows.of`` checks them.
    """

    X: Any
    y: Array
    sample_weight: Array | None = None
    ids: Sequence[object] | None = None

    @classmethod
    def of(cls, X: Any, y: Any, sample_weight: Any = None, ids: Sequence[object] | None = None) -> "Rows":
        """Rows from anything array-like; float32 and CSR are kept as they are, all else becomes float64.

        Raises:
            InvalidRows: wrong shapes, NaN or infinite values, negative weights; the message names the first bad row.

        >>> len(Rows.of([[1.0, 2.0]], [0]))
        1
        """
        if sparse.issparse(X):
            X = sparse.csr_array(X)
        else:
            X = np.asarray(X)
        if X.dtype not in (np.float32, np.float64):
            X = X.astype(np.float64)
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        rows = cls(X, np.asarray(y, dtype=np.float64), weight, ids)
        rows._check()
        return rows

    def _check(self) -> None:
        if self.X.ndim != 2:
            raise InvalidRows(f"X must have two dimensions (n_rows, n_features), got {self.X.ndim}")
        n_rows = self.X.shape[0]
        for name, values in (("y", self.y), ("sample_weight", self.sample_weight)):
            if values is not None and values.shape != (n_rows,):
                raise InvalidRows(f"{name} has shape {values.shape}, but X has {n_rows} rows: expected ({n_rows},)")
        if self.ids is not None and len(self.ids) != n_rows:
            raise InvalidRows(f"{len(self.ids)} ids for {n_rows} rows: give one id per row")
        _refuse(~np.isfinite(self.y), "y", "is NaN or infinite: remove or impute it")
        if self.sample_weight is not None:
            _refuse(~np.isfinite(self.sample_weight), "sample_weight", "is NaN or infinite")
            _refuse(self.sample_weight < 0, "sample_weight", "is negative: weights must be at least 0")
        step = self._rows_per_batch
        for start in range(0, n_rows, step):
            block = self.X[start : start + step]
            finite = np.isfinite(block.data if sparse.issparse(block) else block)
            if not finite.all():
                dense = block.toarray() if sparse.issparse(block) else block
                row, column = np.argwhere(~np.isfinite(dense))[0]
                raise InvalidRows(f"row {start + row}, column {column} of X is NaN or infinite: remove or impute it")

    def __len__(self) -> int:
        return int(self.X.shape[0])

    @property
    def weight(self) -> Array:
        """The sample weights, ones where none were given, ``(n_rows,)``."""
        return np.ones(len(self)) if self.sample_weight is None else self.sample_weight

    @property
    def _rows_per_batch(self) -> int:
        width = int(self.X.shape[1])
        return max(BATCH_VALUES // max(1, width), width)

    def take(self, index: Any) -> "Rows":
        """The rows at ``index`` (a slice, a boolean mask or positions)."""
        weight = None if self.sample_weight is None else self.sample_weight[index]
        ids = None if self.ids is None else [self.ids[i] for i in np.arange(len(self))[index]]
        return Rows(self.X[index], self.y[index], weight, ids)

    def batches(self) -> Iterator["Rows"]:
        """The rows in blocks that fit the cache; views where ``X`` is dense."""
        step = self._rows_per_batch
        for start in range(0, len(self), step):
            yield self.take(slice(start, start + step))

    def duplicate(self) -> tuple[int, int] | None:
        """Positions of two equal rows, or of two rows with one id; ``None`` if all differ."""
        if len(self) < 2:
            return None
        seen: dict[object, int] = {}
        X = (self.X.toarray() if sparse.issparse(self.X) else np.ascontiguousarray(self.X)) + 0.0  # −0 is 0
        for i in range(len(self)):
            key = (X[i].tobytes(), float(self.y[i])) if self.ids is None else self.ids[i]
            if key in seen:
                return seen[key], i
            seen[key] = i
        return None


def _refuse(bad: NDArray[np.bool_], name: str, reason: str) -> None:
    if bad.any():
        raise InvalidRows(f"{name} of row {int(np.argmax(bad))} {reason}")

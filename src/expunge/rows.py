"""Rows: a validated block of features, targets and weights; and RowSource, anything that yields such blocks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.arrays import beside, host, is_on_host, namespace
from expunge.errors import InvalidRows

Array = NDArray[np.float64]

BATCH_VALUES = 1 << 19
"""Numbers in one batch (4 MiB of float64): large enough for BLAS-3, small enough to stay in cache.

Wide rows come at least four times ``n_features`` at a time, so that adding up p × p sums costs little beside making them."""
DEVICE_BATCH_VALUES = 1 << 25
"""The same on another device, where a batch should fill many cores (256 MiB of float64)."""


class RowSource(Protocol):
    """Rows that can be read again and again, batch by batch."""

    def batches(self) -> Iterator["Rows"]:
        """The rows in blocks, each row once."""
        ...


@runtime_checkable
class PartedSource(RowSource, Protocol):
    """Rows in parts that can be read apart, in any thread or process."""

    def parts(self) -> Sequence[RowSource]:
        """The parts, small enough to be held by the dozen; together they are the source."""
        ...


@runtime_checkable
class ThinnableSource(RowSource, Protocol):
    """Rows of which a few can be read without the others."""

    def __len__(self) -> int:
        """How many rows there are, about."""
        ...

    def thinned(self, step: int) -> RowSource:
        """About every ``step``-th row: enough to start from, never to certify with."""
        ...


def parts_of(source: RowSource) -> Iterator[RowSource]:
    """The parts of ``source``, or its batches."""
    return iter(source.parts()) if isinstance(source, PartedSource) else source.batches()


@dataclass(frozen=True, eq=False)
class Places(Sequence[str]):
    """Names of rows by where they lie, made only when they are asked for.

    Args:
        where: what holds them; ``numbers``: of the rows in it.
    """

    where: str
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, row: Any) -> Any:
        return f"{self.numbers[row]} of {self.where}"

    def at(self, index: Any) -> "Places":
        """The names at ``index`` (a slice, a boolean mask or positions)."""
        return Places(self.where, self.numbers[index])


@dataclass(frozen=True, eq=False)
class Rows:
    """A block of rows, itself a ``RowSource``.

    Args:
        X: features, ``(n_rows, n_features)``, float32 or float64, dense or CSR, or of any array-API namespace and device.
        y: targets, beside X, ``(n_rows,)``; class codes 0..K−1 for classification.
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
        """Rows from anything array-like; float32 and CSR are kept as they are, all else becomes float64. Memory-mapped arrays
        stay on disk, arrays of PyTorch, CuPy and other array-API namespaces where they are.

        Raises:
            InvalidRows: wrong shapes, NaN or infinite values, negative weights; the message names the first bad row.

        >>> len(Rows.of([[1.0, 2.0]], [0]))
        1
        """
        if sparse.issparse(X):
            X = sparse.csr_array(X)
        elif isinstance(X, np.ndarray) or not (hasattr(X, "__array_namespace__") or hasattr(X, "__dlpack__")):
            X = np.asarray(X)
        xp = namespace(X)
        if X.dtype not in (xp.float32, xp.float64):
            X = X.astype(np.float64) if xp is np else xp.astype(X, xp.float64)
        weight = None if sample_weight is None else beside(sample_weight, X)
        rows = cls(X, beside(y, X), weight, ids)
        rows._check()
        return rows

    def _check(self) -> None:
        if self.X.ndim != 2:
            raise InvalidRows(f"X must have two dimensions (n_rows, n_features), got {self.X.ndim}")
        n_rows = self.X.shape[0]
        for name, values in (("y", self.y), ("sample_weight", self.sample_weight)):
            if values is not None and tuple(values.shape) != (n_rows,):
                raise InvalidRows(f"{name} has shape {values.shape}, but X has {n_rows} rows: expected ({n_rows},)")
        if self.ids is not None and len(self.ids) != n_rows:
            raise InvalidRows(f"{len(self.ids)} ids for {n_rows} rows: give one id per row")
        xp = namespace(self.X)
        self._refuse(~xp.isfinite(self.y), "y", "is NaN or infinite: remove or impute it")
        if self.sample_weight is not None:
            self._refuse(~xp.isfinite(self.sample_weight), "sample_weight", "is NaN or infinite")
            self._refuse(self.sample_weight < 0, "sample_weight", "is negative: weights must be at least 0")
        step = self._rows_per_batch
        for start in range(0, n_rows, step):
            block = _taken(self.X, slice(start, start + step))
            finite = xp.isfinite(block.data if sparse.issparse(block) else block)
            if not xp.all(finite):
                dense = block.toarray() if sparse.issparse(block) else host(block)
                row, column = np.argwhere(~np.isfinite(dense))[0]
                raise InvalidRows(f"row {self.name(start + row)}, column {column} of X is NaN or infinite: remove or impute it")

    def _refuse(self, bad: Any, what: str, reason: str) -> None:
        if namespace(bad).any(bad):
            raise InvalidRows(f"{what} of row {self.name(int(np.argmax(host(bad))))} {reason}")

    def name(self, row: int) -> object:
        """What an error calls the row at position ``row``: its id, or the position itself."""
        return row if self.ids is None else self.ids[row]

    def __len__(self) -> int:
        return int(self.X.shape[0])

    @property
    def weight(self) -> Array:
        """The sample weights, ones where none were given, ``(n_rows,)``."""
        return namespace(self.X).ones_like(self.y) if self.sample_weight is None else self.sample_weight

    @property
    def _rows_per_batch(self) -> int:
        n_rows, width = self.X.shape
        if sparse.issparse(self.X):
            return int(max(BATCH_VALUES // 4 * n_rows // max(1, self.X.nnz), width))
        return int(max((BATCH_VALUES if is_on_host(self.X) else DEVICE_BATCH_VALUES) // max(1, width), 4 * width))

    def take(self, index: Any) -> "Rows":
        """The rows at ``index`` (a slice, a boolean mask or positions)."""
        weight = None if self.sample_weight is None else _taken(self.sample_weight, index)
        if isinstance(self.ids, Places):
            ids: Sequence[object] | None = self.ids.at(index)
        else:
            ids = None if self.ids is None else [self.ids[i] for i in np.arange(len(self))[index]]
        return Rows(_taken(self.X, index), _taken(self.y, index), weight, ids)

    def batches(self) -> Iterator["Rows"]:
        """The rows in blocks that fit the cache; views where ``X`` is dense."""
        step = self._rows_per_batch
        for start in range(0, len(self), step):
            yield self.take(slice(start, start + step))

    def thinned(self, step: int) -> "Rows":
        """Every ``step``-th row."""
        return self.take(slice(None, None, step))

    def on_host(self) -> "Rows":
        """The same rows in NumPy arrays."""
        if is_on_host(self.X):
            return self
        weight = None if self.sample_weight is None else host(self.sample_weight)
        return Rows(host(self.X), host(self.y), weight, self.ids)

    def duplicate(self) -> tuple[int, int] | None:
        """Positions of two equal rows, or of two rows with one id; ``None`` if all differ."""
        if len(self) < 2:
            return None
        seen: dict[object, int] = {}
        X = (self.X.toarray() if sparse.issparse(self.X) else np.ascontiguousarray(host(self.X))) + 0.0  # −0 is 0
        for i in range(len(self)):
            key = (X[i].tobytes(), float(self.y[i])) if self.ids is None else self.ids[i]
            if key in seen:
                return seen[key], i
            seen[key] = i
        return None


def _taken(X: Any, index: Any) -> Any:
    """``X[index]``; of a slice of CSR rows a view, too."""
    if not isinstance(index, slice):
        return X[index if is_on_host(X) else namespace(X).asarray(np.asarray(index), device=X.device)]
    start, stop, step = index.indices(X.shape[0])
    if not (sparse.issparse(X) and step == 1):
        return X[start:stop:step, ...]
    low, high = X.indptr[[start, max(start, stop)]]
    indptr = X.indptr[start : max(start, stop) + 1] - low
    return sparse.csr_array((X.data[low:high], X.indices[low:high], indptr), shape=(len(indptr) - 1, X.shape[1]))

"""Rows: a validated block of features, targets and weights; and RowSource, anything that yields such blocks."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.errors import InvalidRows
from expunge.problem.arrays import (
    LARGEST,
    SMALLEST,
    beside,
    canonical,
    dense,
    host,
    is_extreme,
    is_on_host,
    namespace,
    real,
    unsplit,
)
from expunge.problem.split import SplitMatrix

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
        where: what holds them.
        numbers: of the rows in it.
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
        X: features, ``(n_rows, n_features)``, float32 or float64, dense or canonical CSR (every entry once, in order), or of
            any array-API namespace and device.
        y: targets, beside X, ``(n_rows,)``; class codes 0..K−1 for classification.
        sample_weight: ``(n_rows,)``, at least 0; multiplies the loss of its row.
        ids: names of the rows, one each. With them a request is checked for duplicates by id, otherwise by value.

    Raises:
        InvalidRows: sparse rows of another form; ``Rows.of`` makes them canonical.

    Assumes: matching lengths, and values that are 0 or of magnitudes between 1e-60 and 1e60; ``Rows.of`` checks them.
    """

    X: Any
    y: Array
    sample_weight: Array | None = None
    ids: Sequence[object] | None = None

    def __post_init__(self) -> None:
        if sparse.issparse(self.X) and not (self.X.format == "csr" and self.X.has_canonical_format):
            raise InvalidRows(
                "sparse rows must be canonical CSR, in which every entry is stored once and in order: make them with Rows.of"
            )

    @classmethod
    def of(cls, X: Any, y: Any, sample_weight: Any = None, ids: Sequence[object] | None = None) -> "Rows":
        """Rows from anything array-like, taken for its values: float32 and canonical CSR are kept as they are, sparse arrays of
        another form become canonical CSR, all else becomes float64. Memory-mapped arrays stay on disk, arrays of PyTorch, CuPy
        and other array-API namespaces where they are. Nothing given is changed.

        Args:
            X: features, ``(n_rows, n_features)``, of numbers.
            y: targets, ``(n_rows,)``, or one column of a table, ``(n_rows, 1)``.
            sample_weight: weights, of the same shape; one number is the weight of every row. Default: 1.
            ids: names of the rows, ``(n_rows,)``; ``None``, the default, for none.

        Raises:
            InvalidRows: wrong shapes; masked, NaN or infinite values; magnitudes beyond 1e±60; negative weights. The message
                names the first bad row.

        Examples:
            >>> len(Rows.of([[1.0, 2.0]], [0]))
            1
        """
        if not isinstance(X, SplitMatrix):
            X = canonical(X, "X") if sparse.issparse(X) else real(X, "X")
        weight = None if sample_weight is None else _per_row(sample_weight, "sample_weight", X)
        rows = cls(X, _per_row(y, "y", X), weight, ids)
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
        self._require_moderate(self.y, "y")
        if self.sample_weight is not None:
            self._require_moderate(self.sample_weight, "sample_weight")
            self._refuse(self.sample_weight < 0, "sample_weight", "is negative: weights must be at least 0")
        if isinstance(self.X, SplitMatrix) and not any(is_extreme(values).any() for values in self.X.values):
            return
        xp = namespace(self.X)
        is_bad = is_extreme if self.X.dtype == xp.float64 else lambda values: ~xp.isfinite(values)  # float32 holds no extremes
        step = self._rows_per_batch
        for start in range(0, n_rows, step):
            block = unsplit(_taken(self.X, slice(start, start + step)))
            if xp.any(is_bad(block.data if sparse.issparse(block) else block)):
                dense = block.toarray() if sparse.issparse(block) else host(block)
                row, column = np.argwhere(is_extreme(dense))[0]
                where = f"row {self.name(start + row)}, column {column} of X"
                raise InvalidRows(f"{where} {_fault(float(dense[row, column]), 'rescale the column, or set the value to 0')}")

    def _require_moderate(self, values: Any, what: str) -> None:
        bad = is_extreme(values)
        if namespace(bad).any(bad):
            row = int(np.argmax(host(bad)))
            raise InvalidRows(f"{what} of row {self.name(row)} {_fault(float(values[row]), 'rescale all of them')}")

    def _refuse(self, bad: Any, what: str, reason: str) -> None:
        if namespace(bad).any(bad):
            raise InvalidRows(f"{what} of row {self.name(int(np.argmax(host(bad))))} {reason}")

    def name(self, row: int) -> object:
        """What an error calls the row at position ``row``: its id, or the position itself.

        Args:
            row: position of the row.
        """
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
        if isinstance(self.X, SplitMatrix):
            return int(max(BATCH_VALUES // max(1, self.X.stored), width))
        return int(max((BATCH_VALUES if is_on_host(self.X) else DEVICE_BATCH_VALUES) // max(1, width), 4 * width))

    def take(self, index: Any) -> "Rows":
        """The rows at ``index`` (a slice, a boolean mask or positions).

        Args:
            index: positions of rows, ``(k,)``.
        """
        weight = None if self.sample_weight is None else _taken(self.sample_weight, index)
        if isinstance(self.ids, Places):
            ids: Sequence[object] | None = self.ids.at(index)
        else:
            ids = None if self.ids is None else [self.ids[i] for i in np.arange(len(self))[index]]
        return Rows(_taken(self.X, index), _taken(self.y, index), weight, ids)

    def batches(self) -> Iterator["Rows"]:
        """The rows in blocks that fit the cache, all about as long, so that threads end together; views of dense ``X``."""
        most = self._rows_per_batch
        step = max(1, math.ceil(len(self) / max(1, math.ceil(len(self) / most))))
        for start in range(0, len(self), step):
            yield self.take(slice(start, start + step))

    def thinned(self, step: int) -> "Rows":
        """Every ``step``-th row.

        Args:
            step: one row in so many is kept.
        """
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
        X = np.ascontiguousarray(host(dense(self.X))) + 0.0  # −0 is 0
        for i in range(len(self)):
            key = (X[i].tobytes(), float(self.y[i])) if self.ids is None else self.ids[i]
            if key in seen:
                return seen[key], i
            seen[key] = i
        return None


def _taken(X: Any, index: Any) -> Any:
    """``X[index]``; of a slice of CSR rows a view, too."""
    if not isinstance(index, slice):
        if is_on_host(X):
            return X[index]
        xp, positions = namespace(X), np.arange(X.shape[0])[index]
        return xp.take(X, xp.asarray(positions, device=X.device), axis=0)
    start, stop, step = index.indices(X.shape[0])
    if X.ndim == 1 and step != 1 and is_on_host(X):
        return X[start:stop:step].copy()  # what is read again and again is read faster without gaps
    if not (sparse.issparse(X) and step == 1):
        return X[start:stop:step, ...]
    low, high = X.indptr[[start, max(start, stop)]]
    indptr = X.indptr[start : max(start, stop) + 1] - low
    taken = sparse.csr_array((X.data[low:high], X.indices[low:high], indptr), shape=(len(indptr) - 1, X.shape[1]))
    taken.has_canonical_format = X.has_canonical_format  # as all of them, so its rows: no need to look again
    return taken


def _per_row(values: Any, what: str, X: Any) -> Any:
    """One number a row, in float64, beside ``X``."""
    values = real(values.toarray() if sparse.issparse(values) else values, what)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 0 and what == "sample_weight":
        values = np.full(X.shape[0], float(values))
    if is_on_host(X) or is_on_host(values) or namespace(values) is not namespace(X):
        values = host(values)
        values = values if is_on_host(X) or values.flags.writeable else values.copy()  # PyTorch takes no read-only arrays
    return beside(values, X)


def _fault(value: float, remedy: str) -> str:
    if not np.isfinite(value):
        return "is NaN or infinite: remove or impute it"
    return f"is {value:g}: a value must be 0 or of a magnitude between {SMALLEST:g} and {LARGEST:g}; {remedy}"

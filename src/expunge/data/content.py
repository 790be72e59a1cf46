"""Content: a digest of rows that shows whether they are the same again, whatever file or query they come from."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


class Content:
    """Digests columns as their batches pass; it does not matter how they are divided into batches."""

    def __init__(self) -> None:
        self._columns: dict[str, tuple[Any, Any]] = {}

    def add(self, rows: pa.RecordBatch, without: str) -> None:
        """Adds rows with all their columns but ``without``."""
        for name in rows.schema.names:
            if name == without:
                continue
            lengths, texts = self._columns.setdefault(name, (hashlib.sha256(), hashlib.sha256()))
            values = _texts(rows[name])
            lengths.update(pc.fill_null(pc.binary_length(values), -1).to_numpy(zero_copy_only=False).astype("<i8").tobytes())
            there = values.drop_null()
            texts.update(pc.binary_join(pa.ListArray.from_arrays([0, len(there)], there), "")[0].as_buffer())

    def of(self, batches: Iterable[pa.RecordBatch], without: str) -> Iterator[pa.RecordBatch]:
        """The same batches, which are added as they pass."""
        for batch in batches:
            self.add(batch, without)
            yield batch

    def hexdigest(self) -> str:
        """SHA-256 over names and columns, in hexadecimal."""
        whole = hashlib.sha256()
        for name, (lengths, texts) in sorted(self._columns.items()):
            whole.update(f"{len(name)} {name}".encode() + lengths.digest() + texts.digest())
        return whole.hexdigest()


def _texts(column: Any) -> pa.Array:
    """The values as texts; types that have none are written as Python writes them."""
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([None if value is None else repr(value) for value in column.to_pylist()], pa.string())

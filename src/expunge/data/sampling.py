"""A sample that is spread over all rows, however many there will be."""

from collections.abc import Iterable, Iterator

import pyarrow as pa


class Sample:
    """Rows at equal intervals among those that pass: all of up to ``2 * size``, and at least ``size`` of more.

    Examples:
        >>> sample = Sample(2)
        >>> [len(batch) for batch in sample.of([pa.record_batch({"a": range(10)})])]
        [10]
        >>> sample.table["a"].to_pylist()
        [0, 4, 8]
    """

    def __init__(self, size: int) -> None:
        self._size, self._step, self._seen = size, 1, 0
        self._parts: list[pa.Table] = []

    def of(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same batches, sampled as they pass."""
        for batch in batches:
            first = -self._seen % self._step
            self._seen += len(batch)
            if first < len(batch):
                self._parts.append(_every(pa.Table.from_batches([batch]), first, self._step))
            while sum(map(len, self._parts)) > 2 * self._size:
                self._step *= 2
                self._parts = [_every(self.table, 0, 2)]
            yield batch

    @property
    def table(self) -> pa.Table:
        """The rows that were kept."""
        return pa.concat_tables(part.replace_schema_metadata() for part in self._parts)


def _every(table: pa.Table, first: int, step: int) -> pa.Table:
    return table if step == 1 else table.take(pa.array(range(first, len(table), step), pa.int64()))

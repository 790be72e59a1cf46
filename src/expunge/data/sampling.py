"""Samples of rows that pass, however many there will be: spread over all of them, or one of each person."""

import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from expunge.data.identities import texts_of
from expunge.identities import Rule, canonical


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


class OneEach:
    """One row of each person, drawn at random, for each independently of all others; rows of nobody are left out.

    So without a person's rows, the same rows of everybody else are drawn with the same probability: where one looks at no
    other rows, adding or removing a person adds or removes one row.

    Args:
        subject: the column that says to whom a row belongs.
        rule: by which ids are compared.

    Examples:
        >>> each = OneEach("who", Rule())
        >>> sum(map(len, each.of([pa.record_batch({"who": ["a", "b", "a"]}), pa.record_batch({"who": ["b", None]})])))
        5
        >>> sorted(each.table["who"].to_pylist())
        ['a', 'b']
    """

    MOST = 100_000
    """Rows that wait before all but one of each person are dropped."""

    def __init__(self, subject: str, rule: Rule) -> None:
        self._subject, self._rule = subject, rule
        self._parts: list[pa.Table] = []
        self._owners: list[str | None] = []
        self._keys = np.empty(0, dtype=np.uint64)
        self._kept = 0

    def of(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same batches; rows are drawn once whoever reads them has taken the next."""
        for batch in batches:
            yield batch
            self._parts.append(pa.Table.from_batches([batch]).replace_schema_metadata())
            ids = texts_of(batch[self._subject], self._subject)
            self._owners += [None if text is None else canonical(text, self._rule) for text in ids]
            self._keys = np.concatenate([self._keys, random_keys(len(batch))])
            if len(self._owners) > 2 * self._kept + self.MOST:
                self._draw()

    @property
    def table(self) -> pa.Table:
        """The rows that were drawn."""
        self._draw()
        return self._parts[0]

    def _draw(self) -> None:
        rows = one_each(self._owners, self._keys)
        self._parts = [pa.concat_tables(self._parts).take(pa.array(rows))]
        self._owners, self._keys = [self._owners[row] for row in rows.tolist()], self._keys[rows]
        self._kept = len(rows)


def one_each(owners: Sequence[str | None], keys: NDArray[np.uint64]) -> NDArray[np.intp]:
    """The rows that are drawn, one a person: of the rows of each the one with the least key; rows of nobody are left out.

    Args:
        owners: to whom each row belongs, ``(n_rows,)``.
        keys: random, one a row, ``(n_rows,)``.

    Examples:
        >>> one_each(["a", None, "b", "a"], np.array([5, 0, 9, 3], dtype=np.uint64)).tolist()
        [3, 2]
    """
    first: dict[str, int] = {}
    for row in np.argsort(keys, kind="stable").tolist():
        owner = owners[row]
        if owner is not None:
            first.setdefault(owner, row)
    return np.array(list(first.values()), dtype=np.intp)


def random_keys(n: int) -> NDArray[np.uint64]:
    """Random keys from the operating system, ``(n,)``.

    Args:
        n: how many.
    """
    return np.frombuffer(os.urandom(8 * n), dtype=np.uint64)


def _every(table: pa.Table, first: int, step: int) -> pa.Table:
    return table if step == 1 else table.take(pa.array(range(first, len(table), step), pa.int64()))

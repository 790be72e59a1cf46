"""RowSources over tables larger than memory: Parquet and Delta on any store, and SQL queries.

A row group is a part: parts are read, decoded and encoded in the engine's threads or on its workers, a few at a time.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from expunge.data.parquet import row_groups
from expunge.data.reading import read_batches
from expunge.data.table_columns import TableColumns
from expunge.errors import InvalidRows
from expunge.problem.arrays import canonical
from expunge.problem.rows import Places, Rows, RowSource
from expunge.problem.split import SplitMatrix

IN_MEMORY = 1 << 30
"""Size in bytes up to which ``in_one_block`` keeps encoded rows."""
TOGETHER = 4096
"""Number of rows from which on parts are encoded one by one; smaller ones are encoded together, as each takes its time however
few rows it has."""


class Part(Protocol):
    """A part of a table."""

    @property
    def name(self) -> str:
        """Where it is, for errors."""
        ...

    @property
    def n_rows(self) -> int:
        """Approximate number of rows."""
        ...

    def tables(self, columns: Sequence[str], looked_up: Sequence[str] = ()) -> Iterator[pa.Table]:
        """Its rows, a few at a time; columns that are ``looked_up`` may come as codes."""
        ...


class Selection(Protocol):
    """Whose rows are read."""

    @property
    def column(self) -> str:
        """The column that says to whom a row belongs."""
        ...

    def kept(self, table: pa.Table) -> pa.Array:
        """Mask of the rows that are read."""
        ...


@dataclass(frozen=True)
class Without:
    """People whose rows are left out, even where a file still holds them.

    Args:
        column: the column that says to whom a row belongs.
        subjects: the people left out, as the column has them.
    """

    column: str
    subjects: pa.Array

    def kept(self, table: pa.Table) -> pa.Array:
        """Mask of the rows that stay.

        Args:
            table: rows with the column.
        """
        return pc.invert(pc.is_in(table[self.column], value_set=self.subjects.cast(table[self.column].type)))


def columns_read(columns: TableColumns, people: Selection | None) -> list[str]:
    """The columns that are read, each once."""
    return list(dict.fromkeys([*columns.columns, *([] if people is None else [people.column])]))


@dataclass(frozen=True, eq=False)
class EncodedPart:
    """A part of a table as a RowSource."""

    part: Part
    columns: TableColumns
    people: Selection | None = None

    def tables(self, looked_up: Sequence[str] = ()) -> Iterator[tuple[pa.Table, Places]]:
        """Its rows before they are encoded, a few at a time, and their names.

        Args:
            looked_up: columns that may come as codes. Default: none.
        """
        first = 0
        for table in self.part.tables(columns_read(self.columns, self.people), looked_up):
            ids = Places(self.part.name, np.arange(first, first + len(table)))
            first += len(table)
            if self.people is not None:
                kept = self.people.kept(table)
                table, ids = table.filter(kept), ids.at(np.asarray(kept))
            yield table, ids

    def batches(self) -> Iterator[Rows]:
        looked_up = [name for name in self.columns.looked_up if self.people is None or name != self.people.column]
        for table, ids in self.tables(looked_up):
            try:
                rows = self.columns.rows(table, ids)
            except InvalidRows as error:
                where = self.part.name
                raise error if where in str(error) else InvalidRows(f"{where}: {error}") from error
            if len(rows):
                yield from rows.batches()


class TableSource:
    """The rows of a table, part by part; a ``PartedSource`` and a ``ThinnableSource``.

    Args:
        find: returns the parts, when they are first needed.
    """

    def __init__(self, find: Callable[[], Sequence[EncodedPart]]) -> None:
        self._find = find

    @cached_property
    def _parts(self) -> Sequence[EncodedPart]:
        return self._find()

    @classmethod
    def open(
        cls,
        location: str,
        columns: TableColumns,
        *,
        without: Without | None = None,
        storage_options: dict[str, Any] | None = None,
    ) -> "TableSource":
        """A Parquet file, a folder of them or a Delta table; see ``parquet.row_groups``.

        Args:
            location: a path, or a URL of any fsspec store.
            columns: how columns become rows.
            without: people whose rows are left out. Default: nobody.
            storage_options: options for the store. Default: none.

        Raises:
            InvalidRows: there is nothing there, or the files do not match.
        """
        groups = row_groups(str(location), columns_read(columns, without), storage_options)
        return cls(lambda: [EncodedPart(group, columns, without) for group in groups])

    def parts(self) -> Sequence[EncodedPart]:
        return self._parts

    def batches(self) -> Iterator[Rows]:
        for part in self._parts:
            yield from part.batches()

    def __len__(self) -> int:
        return sum(part.part.n_rows for part in self._parts)

    def thinned(self, step: int) -> "TableSource":
        """Every ``step``-th part.

        Args:
            step: one part in ``step`` is kept.
        """
        return TableSource(lambda: self._parts[step // 2 :: step])

    def sample(self, n: int) -> Rows:
        """The first ``n`` rows or a few more; all of them if there are fewer.

        Args:
            n: number of rows wanted.
        """
        return first_rows(self._parts, n)

    def in_one_block(self) -> "Rows | TableSource":
        """The same rows in one block, if they take no more than ``IN_MEMORY`` bytes."""
        kept: list[Rows] = []
        size = 0
        for rows in gathered(self._parts):
            size += _size(rows.X)
            if size > IN_MEMORY:
                return self
            kept.append(rows)
        return joined_rows(kept)


class CachedTable:
    """A table that is read when it is first needed, and then kept in memory if it fits."""

    def __init__(self, source: TableSource) -> None:
        self._source = source

    @cached_property
    def _rows(self) -> Rows | TableSource:
        return self._source.in_one_block()

    def parts(self) -> Sequence[RowSource]:
        return self._rows.parts() if isinstance(self._rows, TableSource) else list(self._rows.batches())

    def batches(self) -> Iterator[Rows]:
        return self._rows.batches()

    def __len__(self) -> int:
        return len(self._rows)

    def thinned(self, step: int) -> RowSource:
        """See ``TableSource`` and ``Rows``."""
        return self._rows.thinned(step)


@dataclass(frozen=True)
class TablePart:
    """A table in memory as a part."""

    table: pa.Table
    name: str

    @property
    def n_rows(self) -> int:
        return len(self.table)

    def tables(self, columns: Sequence[str], looked_up: Sequence[str] = ()) -> Iterator[pa.Table]:
        yield self.table.select(list(columns))


class QuerySource:
    """The result of a SQL query, run again for every pass; the rows must not change in between.

    Args:
        columns: how columns become rows.
        without: people whose rows are left out. Default: nobody.
        url: URL of the database, as SQLAlchemy writes it.
        query: the SQL statement.
    """

    def __init__(self, url: str, query: str, columns: TableColumns, *, without: Without | None = None) -> None:
        self._url, self._query = url, query
        self._columns, self._without = columns, without

    @cached_property
    def _schema(self) -> pa.Schema:
        """The types of all values, found once."""
        return read_batches(self._url, self._query)[0]

    def batches(self) -> Iterator[Rows]:
        row = 0
        for batch in read_batches(self._url, self._query, columns=self._schema)[1]:
            table = pa.Table.from_batches([batch])
            part = TablePart(table, f"the query's rows from {row} on")
            row += len(table)
            yield from EncodedPart(part, self._columns, self._without).batches()


def first_rows(parts: Iterable[EncodedPart], n: int) -> Rows:
    """The first ``n`` rows of ``parts`` or a few more; all of them if there are fewer.

    Raises:
        InvalidRows: there is none.
    """
    return joined_rows(list(gathered(parts, n)))


def gathered(parts: Iterable[EncodedPart], n: float = math.inf) -> Iterator[Rows]:
    """The rows of ``parts``, those of small ones in blocks.

    Args:
        parts: of one table.
        n: number of rows after which it is enough, up to a few. Default: all.
    """
    waiting: list[EncodedPart] = []
    for part in parts:
        waiting.append(part)
        if sum(each.part.n_rows for each in waiting) >= min(TOGETHER, n):
            for rows in _together(waiting):
                n -= len(rows)
                yield rows
                if n <= 0:
                    return
            waiting = []
    yield from _together(waiting)


def _together(parts: Sequence[EncodedPart]) -> Iterator[Rows]:
    """The rows of these parts, encoded at once; where they cannot be, one by one, so that the error names the row."""
    if len(parts) > 1:
        try:
            table = pa.concat_tables(table for part in parts for table, _ids in part.tables())
            rows = parts[0].columns.rows(table, range(len(table)))
        except (InvalidRows, pa.ArrowException):
            pass
        else:
            if len(rows):
                yield from rows.batches()
            return
    for part in parts:
        yield from part.batches()


def joined_rows(parts: Sequence[Rows]) -> Rows:
    """The rows of all ``parts``, in one block.

    Raises:
        InvalidRows: there is none.
    """
    if not parts:
        raise InvalidRows("there are no rows with a target: give at least one")
    weights = [part.sample_weight for part in parts if part.sample_weight is not None]
    return Rows(
        _stacked([part.X for part in parts]),
        np.concatenate([part.y for part in parts]),
        np.concatenate(weights) if weights else None,
    )


def _stacked(blocks: Sequence[Any]) -> Any:
    """The rows of all blocks, which are of one kind."""
    if isinstance(blocks[0], SplitMatrix):
        return SplitMatrix.stacked(blocks)
    return canonical(sparse.vstack(blocks, format="csr"), "X") if sparse.issparse(blocks[0]) else np.concatenate(blocks)


def _size(X: Any) -> int:
    """Bytes that rows take."""
    return int(X.data.nbytes + X.indices.nbytes + X.indptr.nbytes if sparse.issparse(X) else X.nbytes)

"""SubjectTable: people's rows in a Delta Lake table from which a person's rows can be removed without a trace.

Every row carries a pseudonym, a number, and a bucket, the first digits of the pseudonym, by which the table is
partitioned. Rows are removed by rewriting their buckets: the transaction log names buckets, never people, and neither
log nor Parquet files keep statistics of values. The files that held the rows are deleted at once.

A list kept elsewhere (in the ledger of a workspace) says which files make up the table, and what they hold to the last bit:
a file is read only if it is on that list and is the file that was written. New files are written beside the
old ones before the list changes; the transaction log follows it. Only files that are named for deletion are deleted.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from expunge.data.files import NOTHING, Change, DataFile
from expunge.data.own_columns import BUCKET, BUCKETS, ROW, SUBJECT, alias_names, buckets_of, by_bucket, is_own
from expunge.data.parquet import RowGroup, files_row_groups
from expunge.data.stored_types import stored_type
from expunge.data.table_files import READS, TableFiles, prefix
from expunge.data.transaction_log import TransactionLog
from expunge.data.widening import Wider, widened
from expunge.errors import InvalidRows, WorkspaceInvalid

FRAGMENTS = 16
"""Number of files from which on a bucket is rewritten as one."""
GROUP = 4096
"""Least number of rows of a bucket gathered before they are written."""
OTHERS = f"{SUBJECT} NOT IN (SELECT {SUBJECT} FROM tags)"
"""In SQL: the row belongs to none of the people in ``tags``."""


class SubjectTable(TableFiles):
    """The table in the folder ``path``; ``listed`` says which files are the table now."""

    def __init__(self, path: Path, listed: Callable[[], Sequence[DataFile]]) -> None:
        super().__init__(path, listed)
        self._known: tuple[str, pa.Schema] | None = None
        self._log = TransactionLog(self.path)

    @staticmethod
    def create(path: Path, columns: pa.Schema, aliases: int = 0) -> None:
        """Makes an empty table with ``columns`` and the table's own.

        Args:
            aliases: number of other ids that a person may have.

        Raises:
            InvalidRows: a column has the name of one of the table's own, or a type that it cannot hold.
            WorkspaceInvalid: Delta Lake takes the path for another one.
        """
        own = [pa.field(SUBJECT, pa.string()), pa.field(ROW, pa.int64()), pa.field(BUCKET, pa.int32())]
        own += [pa.field(name, pa.string()) for name in alias_names(aliases)]
        fields = [pa.field(field.name, stored_type(field.type)) for field in columns]
        taken = [name for name in columns.names if is_own(name)]
        if taken:
            raise InvalidRows(f"the name of column {taken[0]!r} is reserved for the table: rename it")
        TransactionLog.create(path.resolve(), pa.schema([*own, *fields]))

    @property
    def schema(self) -> pa.Schema:
        """Names and types of all columns, the table's own first: those of its files or, if it is empty, those that were
        declared."""
        return self.settled(self._schema_now)

    def _schema_now(self) -> pa.Schema:
        first = next(iter(self._listed()), None)
        if first is None:
            return self._log.schema()
        if self._known is None or self._known[0] != first.path:
            self.verify(first)
            stored = [field.remove_metadata() for field in pq.read_schema(self.path / first.path)]
            self._known = first.path, pa.schema([*stored[:2], pa.field(BUCKET, pa.int32()), *stored[2:]])
        return self._known[1]

    def require_logged(self) -> None:
        """Raises ``WorkspaceInvalid`` if the transaction log names other files than the list, or columns other than theirs."""
        if self.logged() != {file.path for file in self._listed()}:
            raise WorkspaceInvalid(
                f"the table {self.path} was changed from outside: its transaction log does not name the same files as the "
                "ledger, so models and table may no longer agree. Restore the table from a backup; nothing was changed"
            )
        if _named(self._log.schema()) != _named(self.schema):
            raise WorkspaceInvalid(
                f"the transaction log of the table {self.path} does not name the columns of its files: it was changed "
                "from outside, or is damaged. Restore it from a backup; nothing was changed"
            )

    @property
    def _stored(self) -> pa.Schema:
        """The columns that its files hold: all but the bucket, which is in their names."""
        return pa.schema([field for field in self.schema if field.name != BUCKET])

    @property
    def columns(self) -> pa.Schema:
        """Names and types of the columns that came with the data."""
        return pa.schema([field for field in self.schema if not is_own(field.name)])

    # reading

    def count(self, where: str | None = None, without: Collection[str] = ()) -> int:
        """Number of rows, of all or of those with a value in column ``where``, without the people in ``without``."""
        if where is None:
            return sum(file.rows for file in self._listed())
        tags = _tags(without)
        statement = f"SELECT count(*) AS n FROM rows WHERE {_quoted(where)} IS NOT NULL AND {OTHERS}"
        return int(self._query(statement, None, tags)["n"][0].as_py())

    def distinct(self, column: str, limit: int, without: Collection[str] = ()) -> list[Any]:
        """Up to ``limit`` different values of ``column``, without missing ones and those of the people in ``without``."""
        held = f"SELECT DISTINCT {_quoted(column)} AS v FROM rows WHERE {OTHERS}"
        statement = f"SELECT v FROM ({held}) WHERE v IS NOT NULL ORDER BY v LIMIT {int(limit)}"
        return list(self._query(statement, None, _tags(without))["v"].to_pylist())

    def subjects(self) -> pa.ChunkedArray:
        """Every pseudonym in the table, once."""
        return self._query(f"SELECT DISTINCT {SUBJECT} FROM rows")[SUBJECT]

    def of_subjects(self, pseudonyms: Sequence[str]) -> pa.Table:
        """All rows of these people."""
        statement = f"SELECT * FROM rows WHERE {SUBJECT} IN (SELECT {SUBJECT} FROM tags) ORDER BY {ROW}"
        found = self._query(statement, buckets_of(pseudonyms), _tags(pseudonyms))
        return found.select(self.schema.names).cast(self.schema)  # DuckDB has other names for some types

    def counts(self, pseudonyms: Sequence[str]) -> dict[str, int]:
        """Number of rows of each of these people; people without rows are left out."""
        statement = f"SELECT {SUBJECT}, count(*) AS n FROM rows WHERE {SUBJECT} IN (SELECT {SUBJECT} FROM tags) GROUP BY 1"
        found = self._query(statement, buckets_of(pseudonyms), _tags(pseudonyms))
        return dict(zip(found[SUBJECT].to_pylist(), found["n"].to_pylist(), strict=True))

    def repeats(self, columns: Sequence[str]) -> bool:
        """Whether two rows have the same values in ``columns``, or a row lacks one of them."""
        names = [_quoted(name) for name in columns]
        twice = f"SELECT 1 FROM rows GROUP BY {', '.join(names)} HAVING count(*) > 1"
        empty = " OR ".join(f"{name} IS NULL" for name in names)
        return bool(len(self._query(f"({twice} LIMIT 1) UNION ALL (SELECT 1 FROM rows WHERE {empty} LIMIT 1)")))

    def having(self, values: pa.Table) -> pa.Table:
        """All rows whose values match a row of ``values`` in its columns."""
        shared = ", ".join(map(_quoted, values.column_names))
        return self._query(f"SELECT * FROM rows SEMI JOIN tags USING ({shared}) ORDER BY {ROW}", None, values)

    def owners(self, column: str, pseudonyms: Sequence[str]) -> dict[str, list[str]]:
        """The people whose rows hold each of these values in an alias ``column``; values that nobody has are left out. Reads
        the column of the whole table, because people are in buckets by their own pseudonym."""
        tags = pa.table({"tag": pa.array(list(pseudonyms), pa.string())})
        name = _quoted(column)
        statement = f"SELECT DISTINCT {name} AS tag, {SUBJECT} FROM rows WHERE {name} IN (SELECT tag FROM tags) ORDER BY 1, 2"
        return _grouped(self._query(statement, None, tags), "tag", SUBJECT)

    def aliases_of(self, pseudonyms: Sequence[str], column: str) -> dict[str, list[str]]:
        """For each person, the values of an alias ``column`` in their rows."""
        name = _quoted(column)
        theirs = f"{name} IS NOT NULL AND {SUBJECT} IN (SELECT {SUBJECT} FROM tags)"
        statement = f"SELECT DISTINCT {SUBJECT}, {name} AS tag FROM rows WHERE {theirs} ORDER BY 1, 2"
        return _grouped(self._query(statement, buckets_of(pseudonyms), _tags(pseudonyms)), SUBJECT, "tag")

    def row_groups(self, columns: Sequence[str], change: Change = NOTHING) -> list[RowGroup]:
        """The row groups of its files, of which ``columns`` are to be read.

        Args:
            change: a prepared change: the files that make up the table after it are read.

        Raises:
            WorkspaceInvalid: a file is missing or damaged.
        """
        files = self.verified(change.applied(self._listed()))
        try:
            return files_row_groups([str(self.path / file.path) for file in files], columns)
        except InvalidRows as error:
            raise self._unreadable(error) from error

    def first_row_groups(self, columns: Sequence[str]) -> Iterator[RowGroup]:
        """The row groups of its files, one file after the other. Each is verified when it is reached: who needs only some rows
        does not wait until all files were read.

        Raises:
            WorkspaceInvalid: a file is missing or damaged.
        """
        for file in sorted(self._listed(), key=lambda file: file.place):
            self.verify(file)
            try:
                yield from files_row_groups([str(self.path / file.path)], columns)
            except InvalidRows as error:
                raise self._unreadable(error) from error

    def by_bucket(
        self, without: Collection[str] = ()
    ) -> Iterator[Callable[[Sequence[str]], tuple[NDArray[np.intp], pa.Table]]]:
        """For each bucket, which holds all rows of its people, a function that reads some columns: the person of each row, and
        the rows; the people in ``without`` are left out."""
        gone = pa.array(sorted(without), pa.string())
        for bucket, files in groupby(sorted(self._listed(), key=lambda file: file.place), lambda file: file.bucket):
            yield partial(self._of_bucket, bucket, list(files), gone)

    def _of_bucket(
        self, bucket: int, files: list[DataFile], gone: pa.Array, columns: Sequence[str]
    ) -> tuple[NDArray[np.intp], pa.Table]:
        for left in reversed(range(READS)):
            try:
                names = [SUBJECT, *columns]
                read = [self._read(file, names) for file in self.verified(files)]
                rows = pa.concat_tables(read or [self._stored.empty_table().select(names)])
                rows = _without(rows, gone) if len(gone) else rows
                return rows[SUBJECT].combine_chunks().dictionary_encode().indices.to_numpy(), rows
            except WorkspaceInvalid:
                now = [file for file in self._listed() if file.bucket == bucket]
                if not left or set(now) == set(files):  # otherwise the bucket was rewritten in between
                    raise
                files = now
        raise AssertionError

    # writing

    def write(self, rows: Iterable[pa.RecordBatch], batch: int) -> list[DataFile]:
        """Writes any number of numbered rows to new files of ``batch``, which do not belong to the table yet.

        Raises:
            WorkspaceInvalid: the folder cannot be written to.
        """
        import pyarrow.dataset as ds

        schema = self.schema
        written: list[tuple[str, int]] = []
        failed: list[Exception] = []

        def noticed() -> Iterator[pa.RecordBatch]:
            try:
                for part in rows:
                    yield part.select(schema.names).cast(schema)
            except Exception as error:  # would otherwise reach us as the writer's own
                failed.append(error)
                raise

        try:
            ds.write_dataset(
                pa.RecordBatchReader.from_batches(schema, noticed()),
                self.path,
                format="parquet",
                partitioning=ds.partitioning(pa.schema([schema.field(BUCKET)]), flavor="hive"),
                basename_template=f"{prefix(batch)}{{i}}.parquet",
                file_options=ds.ParquetFileFormat().make_write_options(compression="zstd", write_statistics=False),
                file_visitor=lambda file: written.append((file.path, file.metadata.num_rows)),
                existing_data_behavior="overwrite_or_ignore",
                use_threads=False,
                min_rows_per_group=GROUP,
                max_open_files=2 * BUCKETS,
            )
            made = [self._written(Path(path), n) for path, n in written]
        except (OSError, ValueError, RuntimeError) as error:
            if failed:
                raise failed[0] from None
            raise self._unwritable(error) from error
        return sorted(made, key=lambda file: file.place)

    def prepare(self, batch: int, without: Sequence[str], added: pa.Table | None) -> Change:
        """Writes the files of ``batch`` that hold the rows of every bucket it touches, without the people in ``without`` and
        with ``added``; returns which files come and which go.

        Raises:
            WorkspaceInvalid: a file is not the one that was written, or the folder cannot be written to.
        """
        change = Change()
        stored = self._stored
        names = stored.names
        leaving = set(buckets_of(without))
        new = {} if added is None else by_bucket(added)
        present = self.files(sorted(leaving | set(new)))
        for bucket in sorted(leaving | set(new)):
            parts = [new[bucket].select(names).cast(stored)] if bucket in new else []
            going = [file for file in present if file.bucket == bucket]
            if bucket not in leaving and len(going) < FRAGMENTS:
                going = []
            else:
                gone = pa.array(list(without), pa.string())
                for file in going:
                    parts.append(_without(self._read(file, names).cast(stored), gone))
            kept = pa.concat_tables(parts).sort_by(ROW)
            coming = [self._write_file(bucket, batch, kept)] if len(kept) else []
            change = Change((*change.coming, *coming), (*change.going, *going))
        return change

    def prepare_widened(self, batch: int, column: str, to: Wider) -> Change:
        """Rewrites all files with another type of ``column``; returns which files come and which go.

        Raises:
            InvalidRows: a value would change.
            WorkspaceInvalid: a file is not the one that was written, or the folder cannot be written to.
        """
        coming, going, names = [], self.files(), self._stored.names
        for bucket, files in groupby(going, lambda file: file.bucket):
            held = pa.concat_tables(self._read(file, names) for file in files)
            coming.append(self._write_file(bucket, batch, widened(held, column, to)))
        return Change(tuple(coming), tuple(going))

    def follow(self, wider: tuple[str, Wider] | None = None) -> None:
        """Makes the transaction log agree with the list; see ``TransactionLog.follow``."""
        self._log.follow(self._listed(), wider)

    def logged(self) -> set[str]:
        """The files that make up the table according to its transaction log, below the table's folder."""
        return self._log.files()

    def strays(self) -> list[Path]:
        """Files here that belong neither to the table nor to its transaction log, and unfinished entries of that log."""
        listed = {self.path / file.path for file in self._listed()}
        log = self.path / "_delta_log"
        others = [path for path in self.path.rglob("*") if path.is_file() and path not in listed and log not in path.parents]
        return others + self._log.unfinished()

    def _dataset(self, files: Sequence[DataFile]) -> Any:
        """The rows of ``files`` and their bucket. Nothing else is read from a path, whose characters are all literal."""
        import pyarrow.dataset as ds
        from pyarrow.fs import LocalFileSystem

        return ds.FileSystemDataset.from_paths(
            [str(self.path / file.path) for file in files],
            schema=self.schema,
            format=ds.ParquetFileFormat(),
            filesystem=LocalFileSystem(),
            partitions=[ds.field(BUCKET) == pa.scalar(file.bucket, pa.int32()) for file in files],
        )

    def _query(self, statement: str, buckets: Sequence[int] | None = None, tags: pa.Table | None = None) -> pa.Table:
        import duckdb

        def found() -> pa.Table:
            connection = _connection(tags=tags)
            try:
                connection.register("rows", self._dataset(self.files(buckets)))
                return connection.sql(statement).to_arrow_table()
            except (duckdb.Error, pa.ArrowException, OSError) as error:
                raise self._unreadable(error) from error
            finally:
                connection.close()

        return self.settled(found)


def _named(schema: pa.Schema) -> dict[str, pa.DataType]:
    return dict(zip(schema.names, schema.types, strict=True))


def _without(rows: pa.Table, gone: pa.Array) -> pa.Table:
    """The rows of everybody else."""
    return rows.filter(pc.invert(pc.is_in(rows[SUBJECT], value_set=gone)))


def _grouped(pairs: pa.Table, key: str, value: str) -> dict[str, list[str]]:
    """The values of each key, in order."""
    found: dict[str, list[str]] = {}
    for row in pairs.to_pylist():
        found.setdefault(row[key], []).append(row[value])
    return found


def _tags(pseudonyms: Iterable[str]) -> pa.Table:
    return pa.table({SUBJECT: pa.array(sorted(pseudonyms), pa.string())})


_DATABASES: dict[int, Any] = {}
"""DuckDB's database in memory, by the process that made it: one that was forked has none of its threads."""


def _connection(**tables: pa.Table | None) -> Any:
    """A connection that sees these tables and no other's, and leaves nothing when it is closed. Its database is made once: that
    takes much longer than a query."""
    import duckdb

    database = _DATABASES.get(os.getpid())
    if database is None:  # no rows may be left in a spill file
        database = _DATABASES.setdefault(os.getpid(), duckdb.connect(config={"temp_directory": ""}))
    connection = database.cursor()
    for name, table in tables.items():
        if table is not None:
            connection.register(name, table)
    return connection


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

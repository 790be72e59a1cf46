"""SubjectTable: people's rows in a Delta Lake table that a person's rows can be taken out of without a trace.

Every row carries a pseudonym, a number, and a bucket, the first digits of the pseudonym, by which the table is
partitioned. Rows are removed by writing their buckets anew: the transaction log names buckets, never people, and neither
log nor Parquet files keep statistics of values. The files that held the rows are deleted at once.
"""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from expunge.data.parquet import RowGroup, files_row_groups
from expunge.data.pseudonyms import SubjectKey, subject_text
from expunge.errors import InvalidRows, WorkspaceInvalid

SUBJECT, ROW, BUCKET = "_subject", "_row", "_bucket"
"""Columns of the table's own."""
BUCKETS = 64
RETRIES = 5
"""Readers that find a file deleted under them look at the new version this often."""


class SubjectTable:
    """The table in the folder ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @classmethod
    def create(cls, path: Path, columns: pa.Schema) -> "SubjectTable":
        """An empty table with ``columns`` and the table's own.

        Raises:
            InvalidRows: a column has a name of the table's own, or a type that it cannot hold.
        """
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        own = [pa.field(SUBJECT, pa.string()), pa.field(ROW, pa.int64()), pa.field(BUCKET, pa.int32())]
        fields = [pa.field(field.name, stored_type(field.type)) for field in columns]
        taken = {field.name for field in own} & set(columns.names)
        if taken:
            raise InvalidRows(f"the name of column {taken.pop()!r} is one of the table's own: rename it")
        try:
            DeltaTable.create(
                path,
                pa.schema([*own, *fields]),
                partition_by=[BUCKET],
                configuration={"delta.dataSkippingNumIndexedCols": "0"},
            )
        except (DeltaError, ValueError, pa.ArrowException) as error:
            raise InvalidRows(f"the table cannot hold these columns: {str(error).splitlines()[0]}") from error
        return cls(path)

    @property
    def version(self) -> int:
        """Number of the present version; every change makes a new one."""
        return int(self._delta().version())

    @property
    def columns(self) -> pa.Schema:
        """Names and types of the columns that came with the data."""
        schema = pa.schema(self._delta().schema().to_arrow())
        return pa.schema([field for field in schema if field.name not in (SUBJECT, ROW, BUCKET)])

    def count(self, where: str | None = None) -> int:
        """How many rows there are, all or those with a value in column ``where``."""
        condition = "" if where is None else f"WHERE {_quoted(where)} IS NOT NULL"
        return int(self._query(f"SELECT count(*) AS n FROM rows {condition}", self._files())["n"][0].as_py())

    def distinct(self, column: str, limit: int) -> list[Any]:
        """Up to ``limit`` different values of ``column``, missing ones left out."""
        name = _quoted(column)
        statement = f"SELECT DISTINCT {name} AS v FROM rows WHERE {name} IS NOT NULL ORDER BY v LIMIT {int(limit)}"
        return list(self._query(statement, self._files())["v"].to_pylist())

    def subjects(self) -> pa.ChunkedArray:
        """Every pseudonym in the table, once."""
        return self._query(f"SELECT DISTINCT {SUBJECT} FROM rows", self._files())[SUBJECT]

    def of_subjects(self, pseudonyms: Sequence[str]) -> pa.Table:
        """All rows of these people."""
        tags = pa.table({SUBJECT: pa.array(list(pseudonyms), pa.string())})
        statement = f"SELECT * FROM rows WHERE {SUBJECT} IN (SELECT {SUBJECT} FROM tags) ORDER BY {ROW}"
        return self._query(statement, self._files(buckets_of(pseudonyms)), tags)

    def counts(self, pseudonyms: Sequence[str]) -> dict[str, int]:
        """How many rows each of these people has; those without any are left out."""
        tags = pa.table({SUBJECT: pa.array(list(pseudonyms), pa.string())})
        statement = f"SELECT {SUBJECT}, count(*) AS n FROM rows WHERE {SUBJECT} IN (SELECT {SUBJECT} FROM tags) GROUP BY 1"
        found = self._query(statement, self._files(buckets_of(pseudonyms)), tags)
        return dict(zip(found[SUBJECT].to_pylist(), found["n"].to_pylist(), strict=True))

    def row_groups(self, columns: Sequence[str]) -> list[RowGroup]:
        """The row groups of its files, whose ``columns`` are to be read.

        Raises:
            WorkspaceInvalid: a file is missing or damaged.
        """
        try:
            return files_row_groups(self._files(), columns)
        except InvalidRows as error:
            raise self._unreadable(error) from error

    def append(self, rows: Iterable[pa.RecordBatch]) -> None:
        """Adds numbered rows, in one version."""
        self._write(rows, mode="append")

    def rewrite(self, without: Sequence[str], from_row: int, added: Sequence[pa.RecordBatch] = ()) -> None:
        """Takes out the people in ``without`` and every row numbered ``from_row`` or more, puts in ``added``.

        Doing it twice is doing it once. What was taken out is gone from the disk afterwards.
        """
        late = self._query(f"SELECT DISTINCT {SUBJECT} FROM rows WHERE {ROW} >= {int(from_row)}", self._files())[SUBJECT]
        coming = [tag for batch in added for tag in batch[SUBJECT].to_pylist()]
        buckets = buckets_of([*without, *late.to_pylist(), *coming])
        if buckets:
            tags = pa.table({SUBJECT: pa.array(list(without), pa.string())})
            kept = self._query(
                f"SELECT * FROM rows WHERE {ROW} < {int(from_row)} AND {SUBJECT} NOT IN (SELECT {SUBJECT} FROM tags)",
                self._files(buckets),
                tags,
            )
            names = pa.schema(self._delta().schema().to_arrow()).names
            parts = [*kept.select(names).to_batches(), *(batch.select(names) for batch in added)]
            self._write(parts, mode="overwrite", predicate=f"{BUCKET} IN ({', '.join(map(str, buckets))})")
        self.purge()

    def purge(self) -> None:
        """Deletes every file that no longer belongs to the table."""
        for path in self.strays():
            os.unlink(path)

    def strays(self) -> list[Path]:
        """Files of rows that do not belong to the present version."""
        present = {Path(path) for path in self._files()}
        return [path for path in self.path.rglob("*.parquet") if path not in present and "_delta_log" not in path.parts]

    def compact_log(self) -> None:
        """Writes a checkpoint of the transaction log, so that opening the table stays fast."""
        self._delta().create_checkpoint()

    def _write(self, rows: Iterable[pa.RecordBatch], **kwargs: Any) -> None:
        from deltalake import ColumnProperties, WriterProperties, write_deltalake
        from deltalake.exceptions import DeltaError

        delta = self._delta()
        schema = pa.schema(delta.schema().to_arrow())
        failed: list[Exception] = []

        def noticed() -> Iterator[pa.RecordBatch]:
            try:
                for batch in rows:
                    yield batch.select(schema.names).cast(schema)
            except Exception as error:  # would reach us as the writer's own
                failed.append(error)
                raise

        properties = WriterProperties(compression="ZSTD", default_column_properties=ColumnProperties(statistics_enabled="NONE"))
        try:
            reader = pa.RecordBatchReader.from_batches(schema, noticed())
            write_deltalake(delta, reader, writer_properties=properties, **kwargs)
        except (DeltaError, OSError, ValueError, RuntimeError) as error:
            if failed:
                raise failed[0] from None
            raise WorkspaceInvalid(f"the table {self.path} cannot be written ({str(error).splitlines()[0]})") from error

    def _delta(self) -> Any:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        try:
            return DeltaTable(self.path)
        except (DeltaError, OSError, ValueError) as error:
            cause = str(error).splitlines()[0]
            raise WorkspaceInvalid(f"the table {self.path} cannot be opened ({cause}): restore it from a backup") from error

    def _unreadable(self, error: Exception) -> WorkspaceInvalid:
        cause = str(error).splitlines()[0]
        return WorkspaceInvalid(f"a file of the table {self.path} cannot be read ({cause}): restore it from a backup")

    def _files(self, buckets: Sequence[int] | None = None) -> list[str]:
        folders = None if buckets is None else {f"{BUCKET}={bucket}" for bucket in buckets}
        paths = [path.removeprefix("file://") for path in self._delta().file_uris()]
        return sorted(path for path in paths if folders is None or Path(path).parent.name in folders)

    def _query(self, statement: str, files: Sequence[str], tags: pa.Table | None = None) -> pa.Table:
        import duckdb

        schema = pa.schema(self._delta().schema().to_arrow())
        if not files:
            return _connection(rows=schema.empty_table(), tags=tags).sql(statement).to_arrow_table()
        for left in reversed(range(RETRIES)):
            connection = _connection(tags=tags)
            try:
                connection.execute(
                    "CREATE VIEW rows AS SELECT * FROM read_parquet("
                    f"[{', '.join(_literal(path) for path in files)}], hive_partitioning = true, "
                    f"hive_types = {{'{BUCKET}': INTEGER}})"
                )
                return connection.sql(statement).to_arrow_table()
            except duckdb.Error as error:
                if not left or all(Path(path).exists() for path in files):
                    raise self._unreadable(error) from error
                time.sleep(0.05)  # somebody rewrote the table in between
                buckets = {int(Path(path).parent.name.partition("=")[2]) for path in files}
                files = self._files(sorted(buckets))
            finally:
                connection.close()
        raise AssertionError


def numbered(
    batches: Iterable[pa.RecordBatch], subject_column: str, key: SubjectKey, columns: pa.Schema, first_row: int
) -> Iterator[pa.RecordBatch]:
    """The batches as the table holds them: pseudonyms for subject ids, and rows numbered from ``first_row``.

    Raises:
        InvalidRows: a subject is missing, or a column is missing or of another type; names the row.
    """
    known: dict[str, str] = {}
    row = 0
    for batch in batches:
        missing = [name for name in [subject_column, *columns.names] if name not in batch.schema.names]
        if missing:
            raise InvalidRows(f"column {missing[0]!r} is missing: the rows must have the columns of the table")
        subjects = [subject_text(value) for value in batch[subject_column].to_pylist()]
        if "" in subjects:
            raise InvalidRows(
                f"row {row + subjects.index('')} has no subject (column {subject_column!r} is empty): every row must belong to "
                "somebody, or it can never be forgotten. Nothing was changed"
            )
        tags = []
        for subject in subjects:
            if subject not in known:
                known[subject] = key.pseudonym(subject)
            tags.append(known[subject])
        values = []
        for field in columns:
            try:
                values.append(batch[field.name].cast(stored_type(field.type)))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise InvalidRows(
                    f"column {field.name!r} holds {batch[field.name].type} after row {row}, where the table has {field.type}"
                ) from error
        own = {
            SUBJECT: pa.array(tags, pa.string()),
            ROW: pa.array(range(first_row + row, first_row + row + len(batch)), pa.int64()),
            BUCKET: pa.array([bucket_of(tag) for tag in tags], pa.int32()),
        }
        yield pa.RecordBatch.from_pydict({**own, **dict(zip(columns.names, values, strict=True))})
        row += len(batch)


def bucket_of(pseudonym: str) -> int:
    """The bucket in which a person's rows lie."""
    return int(pseudonym[:2], 16) % BUCKETS


def buckets_of(pseudonyms: Iterable[str]) -> list[int]:
    """The buckets in which these people's rows lie."""
    return sorted({bucket_of(pseudonym) for pseudonym in pseudonyms})


def stored_type(given: pa.DataType) -> pa.DataType:
    """The type in which the table keeps a column of type ``given``."""
    if pa.types.is_dictionary(given):
        return stored_type(given.value_type)
    if pa.types.is_null(given) or pa.types.is_large_string(given) or pa.types.is_string_view(given):
        return pa.string()
    if pa.types.is_unsigned_integer(given):
        return pa.int64()
    if pa.types.is_float16(given):
        return pa.float32()
    return given


def _connection(**tables: pa.Table | None) -> Any:
    import duckdb

    connection = duckdb.connect(config={"temp_directory": ""})  # nothing of the rows is to be left in a spill file
    for name, table in tables.items():
        if table is not None:
            connection.register(name, table)
    return connection


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

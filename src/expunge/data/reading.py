"""Reading rows from outside: a CSV or Parquet file of any size, or a SQL query, batch by batch."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from expunge.data.dialect import Reading
from expunge.data.row_numbers import counted, row_of
from expunge.data.urls import database_url, without_password
from expunge.errors import InvalidRows

__all__ = ["Reading", "read_batches", "row_of"]

BATCH = 65_536
"""Rows read at a time."""


def read_batches(
    source: str,
    query: str | None = None,
    *,
    texts: Collection[str] = (),
    reading: Reading = Reading(),  # noqa: B008  # it never changes
    columns: pa.Schema | None = None,
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The columns of ``source`` and its rows in batches; ``row_of`` says what a row is called.

    Args:
        source: path of a ``.csv`` or ``.parquet`` file; with ``query``, a database URL as SQLAlchemy writes it.
        query: SQL whose result is read.
        texts: columns, ids above all, that a text file gives to the letter: only an empty cell is missing.
        reading: what is known of the file; the rest is detected.
        columns: names and types that the rows must fit; without them types are found by reading all rows once.

    Raises:
        InvalidRows: no such file, another kind of file, or the first rows cannot be read; later rows raise it as they come.
    """
    schema, batches = _read(source, query)
    return schema, _counted(batches)


def _counted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    row = 1
    for batch in batches:
        yield counted(batch, row)
        row += len(batch)


def _read(source: str, query: str | None) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    if query is not None:
        return _from_database(source, query)
    path = Path(source)
    if not path.is_file():
        raise InvalidRows(f"there is no file {path}: give a .csv or .parquet file, or a database URL and --query")
    try:
        if path.suffix == ".parquet":
            file = pyarrow.parquet.ParquetFile(path)
            return file.schema_arrow, _explained(path, file.iter_batches(batch_size=BATCH))
        if path.suffix == ".csv":
            options = pyarrow.csv.ConvertOptions(strings_can_be_null=True, null_values=["", "NA", "NaN", "null", "NULL"])
            reader = pyarrow.csv.open_csv(path, convert_options=options)
            return reader.schema, _explained(path, iter(reader))
    except pa.ArrowInvalid as error:
        raise _unreadable(path, error) from error
    raise InvalidRows(f"{path} is neither .csv nor .parquet: convert it, or give a database URL and --query")


def _explained(path: Path, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    rows = 0
    try:
        for batch in batches:
            yield batch
            rows += len(batch)
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error, rows) from error


def _unreadable(path: Path, error: Exception, rows: int = 0) -> InvalidRows:
    """The reader's words, without the values of the row that it quotes."""
    text = re.sub(r"(Expected \d+ columns, got \d+).*", r"\1", str(error), flags=re.S)
    text = re.sub(r"invalid value '.*'", "invalid value", text, flags=re.S)
    said = (text or type(error).__name__).splitlines()[0]
    return InvalidRows(f"{path} cannot be read after row {rows:,}: {said}. Mend it; nothing was changed")


def _from_database(url: str, query: str) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    import sqlalchemy as sa

    try:
        address = database_url(url)
    except ValueError as error:
        raise InvalidRows(str(error)) from error

    def tables() -> Iterator[list[dict[str, Any]]]:
        try:
            engine = sa.create_engine(address, hide_parameters=True)
            with engine.connect().execution_options(stream_results=True) as connection:
                result = connection.execute(sa.text(query)).mappings()
                for part in result.partitions(BATCH):
                    yield [dict(row) for row in part]
            engine.dispose()
        except (sa.exc.SQLAlchemyError, ImportError) as error:
            cause = str(getattr(error, "orig", None) or error).strip().splitlines()
            said = without_password(cause[0], address) if cause else type(error).__name__
            raise InvalidRows(f"the query failed: {said}") from error

    def batches() -> Iterator[pa.RecordBatch]:
        yield from first.to_batches()
        for part in parts:
            yield from pa.Table.from_pylist(part, schema=first.schema).to_batches()

    parts = tables()
    rows = next(parts, None)
    if not rows:
        raise InvalidRows("the query gave no rows")
    first = pa.Table.from_pylist(rows)
    return first.schema, batches()

"""Rows of a SQL query: the type of a column fits all its values, not only the first ones."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
from pyarrow import types

from expunge.data.headings import require_names
from expunge.data.row_numbers import counted
from expunge.data.urls import database_url
from expunge.errors import InvalidRows

BATCH = 65_536
"""Number of rows read at a time."""
DIGITS = 38
"""Number of digits that an exact number may have."""


_NO_SQL = "it is not valid SQL for this database, or names a table or column that does not exist or may not be read"
_UNREACHED = "the database cannot be reached"
MEANINGS = {
    "SQLITE_ERROR": _NO_SQL,
    "SQLITE_CANTOPEN": _UNREACHED,
    "SQLITE_NOTADB": "the file is not a database",
    "SQLITE_BUSY": "another program is writing there",
    "ResourceClosedError": "the statement returns no rows",
    "08": _UNREACHED,
    "22": "a value cannot be computed or converted",
    "28": "the user or the password is not accepted",
    "3D": "there is no such database",
    "42": _NO_SQL,
    "57": "the database stopped it",
}
"""Meanings of drivers' codes, by the code or its beginning (classes of SQLSTATE)."""


def _failed(error: BaseException) -> InvalidRows:
    """The message for a driver's error: its kind and its code. Its text may quote a value, or a part of the statement."""
    found = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)
    code = str(found or next((part for part in error.args[:1] if isinstance(part, int)), ""))
    kind = type(error).__name__
    means = next((MEANINGS[key] for key in (code, kind, code[:2]) if key in MEANINGS), "")
    return InvalidRows(
        f"the query failed: {', '.join(filter(None, (kind, code)))}{f' ({means})' if means else ''}. The database's message "
        "is not shown, because it may quote a value: run the query in its own client to see it. Nothing was changed"
    )


class Query:
    """A query that is run again for every pass over its rows.

    Args:
        url: URL of the database, as SQLAlchemy writes it.
        query: the SQL statement.

    Raises:
        InvalidRows: the URL cannot be read.
    """

    def __init__(self, url: str, query: str) -> None:
        try:
            self._address = database_url(url)
        except ValueError as error:
            raise InvalidRows(str(error)) from error
        self._query = query

    def schema(self) -> pa.Schema:
        """The columns, with types that fit all their values.

        Raises:
            InvalidRows: the query fails or returns no rows, or a column holds values of different kinds.
        """
        found: pa.Schema | None = None
        first = 1
        for batch in self.batches():
            found = batch.schema if found is None else _merged(found, batch.schema, first)
            first += len(batch)
        if found is None:
            raise InvalidRows("the query returned no rows")
        return found.remove_metadata()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Its rows; the type of a column may differ from batch to batch.

        Raises:
            InvalidRows: the query fails, or a column holds values of different kinds.
        """
        first = 1
        for names, rows in self._parts():
            columns = [_array(name, values, first) for name, values in zip(names, zip(*rows, strict=True), strict=True)]
            yield counted(pa.RecordBatch.from_arrays(columns, names=names), first)
            first += len(rows)

    def _parts(self) -> Iterator[tuple[list[str], list[Any]]]:
        import sqlalchemy as sa

        try:
            engine = sa.create_engine(self._address, hide_parameters=True)
            try:
                with engine.connect().execution_options(stream_results=True) as connection:
                    result = connection.execute(sa.text(self._query))
                    names = [str(name) for name in result.keys()]  # noqa: SIM118  # not a mapping
                    require_names("the query", names)
                    for part in result.partitions(BATCH):
                        yield names, [tuple(row) for row in part]
            finally:
                engine.dispose()
        except ImportError as error:
            raise InvalidRows(
                f"the query failed: {error.name} is not installed, which this kind of database needs: install it"
            ) from error
        except sa.exc.SQLAlchemyError as error:
            raise _failed(getattr(error, "orig", None) or error) from error


_KINDS = dict.fromkeys((bool, int, float, Decimal, str, bytes, date, datetime, time, timedelta)) | {
    memoryview: bytes,
    UUID: str,
}
"""Kinds of values that databases return, and the types in which a table keeps those that it cannot keep as they are."""
_CAST = "cast it in the query, as in CAST(column AS TEXT)"


def _array(name: str, values: tuple[Any, ...], first: int) -> pa.Array:
    """A column of values of one kind; integers among other numbers become numbers."""
    kinds = {type(value) for value in values} - {type(None)}
    for kind in kinds - _KINDS.keys():
        row = first + [type(value) for value in values].index(kind)
        raise InvalidRows(f"column {name!r} of the query holds a {kind.__name__} in row {row}, which no table keeps: {_CAST}")
    if len(kinds) > 1 and kinds not in ({int, float}, {int, Decimal}):
        one = next(type(value) for value in values if value is not None)
        place = next(i for i, value in enumerate(values) if value is not None and type(value) is not one)
        raise _mixed(name, one.__name__, type(values[place]).__name__, first + place)
    keep = next((_KINDS[kind] for kind in kinds), None)
    given = values if keep is None else [None if value is None else keep(value) for value in values]
    try:
        if datetime in kinds and len({value.tzinfo is None for value in given if value is not None}) > 1:
            raise ValueError  # Arrow would take one for the other
        return pa.array(given, pa.float64() if float in kinds else None)
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        raise InvalidRows(
            f"column {name!r} of the query holds a value that no table keeps, from row {first} on: a whole number of more than "
            f"64 bits, an exact number of more than {DIGITS} digits or not finite, or times with and without a zone: {_CAST}"
        ) from None


def _merged(one: pa.Schema, other: pa.Schema, row: int) -> pa.Schema:
    return pa.schema([pa.field(a.name, _common(a.name, a.type, b.type, row)) for a, b in zip(one, other, strict=True)])


def _common(name: str, one: pa.DataType, other: pa.DataType, row: int) -> pa.DataType:
    """The type that holds the values of both."""
    if one == other or types.is_null(other):
        return one
    if types.is_null(one):
        return other
    if (types.is_floating(one) and types.is_integer(other)) or (types.is_integer(one) and types.is_floating(other)):
        return pa.float64()
    exact = [_exact(given) for given in (one, other)]
    if exact[0] is None or exact[1] is None:
        raise _mixed(name, str(one), str(other), row)
    before, after = (max(sizes) for sizes in zip(*exact, strict=True))
    if before + after > DIGITS:
        raise InvalidRows(
            f"column {name!r} of the query holds numbers of more than {DIGITS} digits, from row {row} on: {_CAST}"
        )
    return pa.decimal128(before + after, after)


def _exact(given: pa.DataType) -> tuple[int, int] | None:
    """Digits before and after the mark of an exact number."""
    if types.is_integer(given):
        return 19, 0
    return (given.precision - given.scale, given.scale) if types.is_decimal(given) else None


def _mixed(name: str, one: str, other: str, row: int) -> InvalidRows:
    return InvalidRows(
        f"column {name!r} of the query holds {other} from row {row} on, but {one} before: a column has one type, so {_CAST}"
    )

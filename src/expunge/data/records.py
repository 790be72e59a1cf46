"""Rows as JSON has them: one object each, with values that become what the same text in a file would be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from expunge.data.column_types import Misfit, Rules, is_written, named
from expunge.data.dialect import Reading
from expunge.data.fitting import WrongType, fitted
from expunge.errors import InvalidRows


@dataclass(frozen=True)
class Records:
    """Rows that came as JSON, and are in memory alone.

    Args:
        rows: an object each.
    """

    rows: Sequence[Mapping[str, "Value"]] = field(repr=False)

    def __str__(self) -> str:
        return "what was sent"


Value = str | bool | int | float | None
_UNFIT = (Misfit, WrongType, OverflowError, pa.ArrowInvalid)


def table_of(rows: Sequence[Mapping[str, Value]], columns: pa.Schema, reading: Reading) -> pa.Table:
    """The rows as a table with these columns; what else they have is left out.

    A text is read as a cell of a file; a number must be one that the column can hold as it is, and fits no column of texts,
    since leading zeros and digits may have been lost on its way.

    Args:
        rows: an object each, with a value or ``None`` for every column.
        columns: names and types.
        reading: how texts are written.

    Raises:
        InvalidRows: a row lacks a column, or a value does not fit; names row, from 1 on, and column.

    Examples:
        >>> columns = pa.schema([("age", pa.int64()), ("since", pa.date32())])
        >>> table_of([{"age": 5, "since": "2024-02-29"}], columns, Reading()).to_pylist()
        [{'age': 5, 'since': datetime.date(2024, 2, 29)}]
    """
    rules = Rules.of(reading)
    for column in columns:
        for number, row in enumerate(rows, start=1):
            if column.name not in row:
                raise InvalidRows(f"row {number} has no {column.name!r}: give every column of the schema, null where missing")
    return pa.table([_column([row[column.name] for row in rows], column, rules) for column in columns], schema=columns)


def _column(values: Sequence[Value], column: pa.Field, rules: Rules) -> pa.Array:
    try:
        return _fitting(values, column.type, rules)
    except _UNFIT:
        for number, value in enumerate(values, start=1):
            try:
                _fitting([value], column.type, rules)
            except _UNFIT:
                raise InvalidRows(
                    f"row {number}, column {column.name!r}: the value is not of type {named(column.type)}: correct it"
                ) from None
        raise InvalidRows(f"column {column.name!r}: values of several kinds: give one kind") from None


def _fitting(values: Sequence[Value], kind: pa.DataType, rules: Rules) -> pa.Array:
    if not types.is_boolean(kind) and any(isinstance(value, bool) for value in values):
        raise WrongType  # Arrow would take it for 0 or 1
    texts = pa.array([value if isinstance(value, str) else None for value in values], pa.string())
    others = fitted(pa.array([None if isinstance(value, str) else value for value in values]), kind)
    if types.is_string(kind) or not is_written(kind):
        return pc.coalesce(fitted(texts, kind), others)
    return pc.coalesce(rules.parsed(texts, kind), others)

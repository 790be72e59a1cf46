"""Widening: a column gets a type that holds more, such as 45.5 among whole numbers; every value stays as it was."""

from typing import Literal, cast, get_args

import pyarrow as pa
from pyarrow import types

from expunge.data.columns import label
from expunge.errors import InvalidRows

Wider = Literal["number", "text"]
TYPES: dict[Wider, pa.DataType] = {"number": pa.float64(), "text": pa.string()}


def require_wider(column: str, given: pa.DataType, to: str) -> None:
    """Raises ``ValueError`` unless a column of type ``given`` can become a ``number`` or a ``text``."""
    if to not in get_args(Wider):
        raise ValueError(f"--to must be {' or '.join(get_args(Wider))}, got {to!r}")
    is_narrow = types.is_floating(given) and given.bit_width < TYPES["number"].bit_width
    if to == "number" and not (types.is_integer(given) or is_narrow):
        raise ValueError(f"column {column!r} holds {given}: only whole numbers and numbers of fewer digits can become numbers")
    if to == "text" and (types.is_string(given) or types.is_nested(given) or types.is_binary(given)):
        raise ValueError(f"column {column!r} holds {given}, which cannot become text")


def wider_of(given: pa.DataType) -> Wider | None:
    """The type that holds more to which a column of this type can change."""
    for to in get_args(Wider):
        try:
            require_wider("", given, to)
        except ValueError:
            continue
        return cast(Wider, to)
    return None


def widened(rows: pa.Table, column: str, to: Wider) -> pa.Table:
    """``rows`` with another type of ``column``; texts are what schemas call the values.

    Raises:
        InvalidRows: a whole number has more digits than a number with decimals holds.
    """
    held = rows[column]
    try:
        values = held.cast(TYPES[to]) if to == "number" else pa.array([label(value) for value in held.to_pylist()], pa.string())
    except pa.ArrowInvalid as error:
        raise InvalidRows(
            f"column {column!r} holds whole numbers of more than 15 digits, which would be rounded: widen it to text. Nothing "
            "was changed"
        ) from error
    return rows.set_column(rows.schema.get_field_index(column), pa.field(column, TYPES[to]), values)

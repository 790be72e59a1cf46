"""The ids in a column of a table: texts as they are written, not as a library may have changed them."""

import sys
from collections.abc import Sequence
from typing import Any

from expunge.errors import InvalidRows
from expunge.identities import canonical

ANY_ROWS = range(sys.maxsize)
"""Positions of rows, however many there are."""


def subject_texts(column: Any, name: str, rows: Sequence[int] = ANY_ROWS) -> list[str]:
    """The ids in a column, none of them missing; see ``texts_of``.

    Args:
        rows: numbers of the rows for error messages; by default their positions.

    Raises:
        InvalidRows: an id is missing or invalid (the message names the row), or the column does not hold ids.
    """
    texts = texts_of(column, name, rows)
    for row, text in zip(rows, texts, strict=False):
        if text is None:
            raise InvalidRows(
                f"row {row} has no subject (column {name!r} is empty): every row must belong to somebody, or it can never be "
                "forgotten. Nothing was changed"
            )
    return [text for text in texts if text is not None]


def texts_of(column: Any, name: str, rows: Sequence[int] = ANY_ROWS) -> list[str | None]:
    """The ids in a column as they are written there, ``None`` where one is missing or only white space.

    Texts stay as they are, whole numbers become their decimal digits, UUIDs their usual form.

    Args:
        column: a pyarrow column, or a sequence of Python values as pandas, Polars and NumPy give them.
        name: name of the column.
        rows: numbers of the rows for error messages; by default their positions.

    Raises:
        InvalidRows: a value is not an id (the message names the row), or the column has another type.
    """
    values = _pyarrow_values(column, name) if hasattr(column, "dictionary_encode") else _python_values(column, name, rows)
    seen: dict[str, bool] = {}  # whether anything of it can be seen
    for row, text in zip(rows, values, strict=False):
        if text is not None and text not in seen:
            try:
                seen[text] = bool(canonical(text))
            except ValueError as error:
                raise InvalidRows(f"row {row}, column {name!r}: {error}. Nothing was changed") from None
    return [text if text is not None and seen[text] else None for text in values]


def _pyarrow_values(column: Any, name: str) -> list[str | None]:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if _is_text(kind) or pa.types.is_null(kind):
        return list(column.to_pylist())
    is_uuid = getattr(kind, "extension_name", None) == "arrow.uuid"
    if pa.types.is_integer(kind) or is_uuid:
        return [None if value is None else str(value) for value in column.to_pylist()]
    raise _no_ids(name, str(kind))


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _python_values(column: Any, name: str, rows: Sequence[int]) -> list[str | None]:
    import numbers
    import uuid

    values: Sequence[Any] = column.tolist() if hasattr(column, "tolist") else list(column)
    found: list[str | None] = []
    for row, value in zip(rows, values, strict=False):
        if isinstance(value, str | uuid.UUID | numbers.Integral) and not isinstance(value, bool):
            found.append(str(value))
        elif value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and value != value):
            found.append(None)
        else:
            raise _no_ids(name, type(value).__name__, f", in row {row},")
    return found


def _no_ids(name: str, kind: str, where: str = "") -> InvalidRows:
    return InvalidRows(
        f"column {name!r} holds {kind}{where} where ids of people are needed, and what is not text may have lost digits "
        "(leading zeros, those after the 15th) that tell people apart: save the column as text, or as whole numbers. Nothing "
        "was changed"
    )

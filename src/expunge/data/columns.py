"""Columns of tables of any kind (pandas, Polars, Arrow, sequences): their names, and values as texts, codes or numbers."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NO_NUMBER = "is not a number: correct the row, or declare the column a category"


class Unfit(ValueError):
    """A value that cannot be accepted: in row ``row``, with the reason, which follows the row's name in a message."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(f"row {row} {reason}")
        self.row, self.reason = row, reason


def column_names(table: Any) -> list[str]:
    """Names of the columns of a table of any kind."""
    names = getattr(table, "column_names", None)  # pyarrow
    if names is None:
        names = getattr(table, "columns", table)  # pandas and Polars; else a mapping
    return [str(name) for name in names]


def codes_of(values: Any, declared: Sequence[str]) -> NDArray[np.intp]:
    """Position of each value in ``declared``, ``(n_rows,)``; −1 where it is not there, −2 where it is missing.

    Examples:
        >>> codes_of(["b", None, "c"], ["a", "b"]).tolist()
        [1, -2, -1]
    """
    place = {value: i for i, value in enumerate(declared)}

    def code(value: Any) -> int:
        text = label(value)
        return -2 if text is None else place.get(text, -1)

    if hasattr(values, "dictionary_encode"):  # pyarrow: each different value once
        encoded = values.dictionary_encode()
        parts = encoded.chunks if hasattr(encoded, "chunks") else [encoded]
        coded = [
            np.array([*map(code, part.dictionary.to_pylist()), -2], dtype=np.intp)[part.indices.fill_null(-1).to_numpy()]
            for part in parts
        ]
        return np.concatenate(coded) if coded else np.empty(0, dtype=np.intp)
    return np.array([code(value) for value in values], dtype=np.intp)


def column_values(table: Any, name: str) -> Any:
    """A column: a pyarrow one as it is, any other as Python values."""
    if name in column_names(table) and hasattr(table[name], "dictionary_encode"):
        return table[name]
    return _column(table, name)


def _column(table: Any, name: str) -> list[Any]:
    """A column as Python values, ``None`` or NaN where missing."""
    if name not in column_names(table):
        raise KeyError(name)
    values = table[name]
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(values, method):
            return list(getattr(values, method)())
    return list(values)


def different(values: Any) -> list[str]:
    """The different labels of a column, in the order in which they come.

    Examples:
        >>> different(["b", None, "a", "b"])
        ['b', 'a']
    """
    each = values.unique().to_pylist() if hasattr(values, "unique") else values
    return [text for text in dict.fromkeys(map(label, each)) if text is not None]


def label(value: Any) -> str | None:
    """The text by which a value is declared: whole floats as integers; ``None`` where missing."""
    if value is None or (isinstance(value, float | np.floating) and math.isnan(value)) or type(value).__name__ == "NAType":
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def numbers_of(values: Any) -> Array:
    """A column as numbers, NaN where missing; raises a ``ValueError`` where it holds something else."""
    if hasattr(values, "type"):  # pyarrow
        from pyarrow import types

        if types.is_integer(values.type) or types.is_floating(values.type):
            return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)  # NaN where null
        if types.is_decimal(values.type):
            return numbers_of(values.cast("float64"))
        values = values.to_pylist()
    return np.array([_number(value, row) for row, value in enumerate(values)], dtype=np.float64)


def _number(value: Any, row: int) -> float:
    if label(value) is None:
        return math.nan
    if isinstance(value, str) and ("_" in value or not value.isascii()):
        raise Unfit(row, NO_NUMBER)  # Python accepts 1_000 and the digits of all scripts
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Unfit(row, NO_NUMBER) from None

"""Encodings as TOML tables: ``kind``, and the arguments by name."""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

from expunge.data.columns import label
from expunge.data.encoding.block import Combination, Encoding
from expunge.data.encoding.category import Category, OrderedCategory
from expunge.data.encoding.cross import Cross
from expunge.data.encoding.cyclic import Cyclic
from expunge.data.encoding.embedding import Embedding
from expunge.data.encoding.fourier import RandomFourier
from expunge.data.encoding.hashed import HashedCategory, HashedText
from expunge.data.encoding.indicator import MissingIndicator
from expunge.data.encoding.number import Number

ENCODINGS: dict[str, type[Any]] = {
    made.kind: made for made in (Number, Category, OrderedCategory, Cyclic, HashedCategory, HashedText, Embedding)
}
COMBINATIONS: dict[str, type[Any]] = {made.kind: made for made in (Cross, RandomFourier)}


def quoted(text: str) -> str:
    """``text`` as a TOML string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def encoding_of(table: Any) -> Encoding:
    """The encoding that a table declares.

    Args:
        table: the table of one column, as ``tomllib`` reads it.

    Raises:
        ValueError: an unknown kind, missing or unknown keys, or impossible values.
    """
    given = dict(table) if isinstance(table, dict) else {}
    with_indicator = given.pop(MissingIndicator.kind, False)
    if not isinstance(with_indicator, bool):
        raise ValueError(f"{MissingIndicator.kind} must be true or false")
    found: Encoding = _made(given, ENCODINGS)
    return MissingIndicator(found) if with_indicator else found


def combination_of(table: Any) -> Combination:
    """The combination of columns that a table declares.

    Args:
        table: the table of one combination, as ``tomllib`` reads it.

    Raises:
        ValueError: an unknown kind, missing or unknown keys, or impossible values.
    """
    found: Combination = _made(dict(table) if isinstance(table, dict) else {}, COMBINATIONS)
    return found


def lines_of(declared: Encoding | Combination) -> list[str]:
    """The lines of the table that declares this, without its heading; defaults are not written.

    Args:
        declared: an encoding or a combination.
    """
    if isinstance(declared, MissingIndicator):
        return [*lines_of(declared.encoding), f"{MissingIndicator.kind} = true"]
    lines = [f"kind = {quoted(declared.kind)}"]
    for field in fields(declared):  # type: ignore[arg-type]  # all of them are dataclasses
        value = getattr(declared, field.name)
        if field.default is MISSING or value != field.default:
            lines += _written(field.name, value)
    return lines


def _made(given: dict[str, Any], kinds: Mapping[str, type[Any]]) -> Any:
    kind = given.pop("kind", None)
    if not isinstance(kind, str) or kind not in kinds:
        raise ValueError(f"kind must be one of {', '.join(map(quoted, kinds))}, got {kind!r}")
    made = kinds[kind]
    needed = {field.name for field in fields(made) if field.default is MISSING}
    allowed = {field.name for field in fields(made)}
    if wrong := (set(given) - allowed) | (needed - set(given)):
        raise ValueError(f"missing or unknown keys: {', '.join(sorted(wrong))}")
    types = get_type_hints(made)
    try:
        return made(**{name: READERS[types[name]](name, value) for name, value in given.items()})
    except TypeError as error:
        raise ValueError(str(error)) from None


def _written(name: str, value: Any) -> list[str]:
    if name == "values":
        return ["values = [", *(f"  {quoted(each)}," for each in value), "]"]
    return [f"{name} = {_literal(value)}"]


def _literal(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_literal, value))}]"
    return quoted(value) if isinstance(value, str) else repr(value if isinstance(value, int) else float(value))


def _number(_name: str, value: Any) -> float:
    return float(value)


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string, got {value!r}")
    return value


def _list_of(read: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    def listed(name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"{name} must be a list, got {value!r}")
        return tuple(read(name, each) for each in value)

    return listed


def _text_or_number(name: str, value: Any) -> str | float:
    return value if isinstance(value, str) else _number(name, value)


READERS: dict[Any, Callable[[str, Any], Any]] = {
    float: _number,
    float | None: _number,
    int: _whole,
    int | None: _whole,
    str: _text,
    str | None: _text,
    tuple[float, ...]: _list_of(_number),
    tuple[int, ...]: _list_of(_whole),
    tuple[str, ...]: _list_of(lambda _name, value: str(label(value))),
    tuple[str | float, ...]: _list_of(_text_or_number),
}
"""How a TOML value becomes an argument of each type."""

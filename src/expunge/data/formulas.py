"""Formulas: a schema's features written in a few operations that every target of an export has.

A formula is a number, or a tuple of an operation and its arguments; ``OPERATIONS`` lists them. Targets (SQL, ONNX, JSON) know
the operations and no encodings. An encoding that can be written registers with ``formulas``; any other is refused by name.
"""

import math
from collections.abc import Iterator, Mapping
from functools import singledispatch
from typing import Any

from expunge.data.encoding import Category, Cross, MissingIndicator, Number, OrderedCategory
from expunge.data.schema import FeatureSchema
from expunge.problem.arrays import SMALLEST

Formula = float | tuple[Any, ...]

OPERATIONS = {
    "number": "the number in a column, NaN where missing",
    "is": "1 where the value of a column, as text, is this one, else 0",
    "if_known": "0 where the number in a column is missing, else the formula",
    "+": "sum",
    "-": "difference",
    "*": "product",
    "/": "quotient",
    "min": "the smaller of two",
    "max": "the larger of two",
}
"""What each operation is; the first argument of the first three is the name of a column, all others are formulas."""


class NotWritable(ValueError):
    """An encoding that cannot be written as formulas."""


@singledispatch
def formulas(encoding: object, name: str) -> list[Formula]:
    """One formula for each feature of an encoding.

    Args:
        encoding: how the column is declared.
        name: of the column.

    Raises:
        NotWritable: it cannot be written so.

    Examples:
        >>> formulas(Category(("F", "M")), "sex")
        [('is', 'sex', 'F'), ('is', 'sex', 'M')]
    """
    raise _not_writable(f"column {name!r}", type(encoding).__name__)


def _not_writable(what: str, kind: str) -> NotWritable:
    return NotWritable(
        f"{what} is encoded as {kind}, which cannot be written in this format: export it as sklearn, which brings the encoding "
        "along; or declare it in another way in schema.toml, and run expunge replace"
    )


@formulas.register
def _number(encoding: Number, name: str) -> list[Formula]:
    if encoding.degree != 1 or encoding.scale != "linear":
        raise _not_writable(f"column {name!r}", f"Number of degree {encoding.degree} on a {encoding.scale} scale")
    x = ("min", ("max", ("number", name), encoding.low), encoding.high)
    knots = encoding.knots
    if not knots:
        return [("if_known", name, _share(x, encoding.low, encoding.high))]
    found: list[Formula] = []
    for i, knot in enumerate(knots):
        rising = [_share(x, knots[i - 1], knot)] if i else []
        falling = [_share(x, knots[i + 1], knot)] if i + 1 < len(knots) else []
        hat = ("min", *rising, *falling) if rising and falling else (rising or falling)[0]
        found.append(("if_known", name, ("max", hat, 0.0)))
    return found


@formulas.register
def _category(encoding: Category, name: str) -> list[Formula]:
    return [("is", name, value) for value in encoding.values]


@formulas.register
def _ordered(encoding: OrderedCategory, name: str) -> list[Formula]:
    *_, last = each = [("is", name, value) for value in encoding.values]
    reached: list[Formula] = [last]
    for one in reversed(each[:-1]):
        reached.append(("+", one, reached[-1]))
    return [("/", found, math.sqrt(len(each))) for found in reversed(reached)]


@formulas.register
def _with_indicator(encoding: MissingIndicator, name: str) -> list[Formula]:
    if not isinstance(encoding.encoding, Number):
        raise _not_writable(f"column {name!r}", f"{type(encoding.encoding).__name__} with a missing-value indicator")
    return [*formulas(encoding.encoding, name), ("-", 1.0, ("if_known", name, 1.0))]


def _products(made: object, name: str, columns: Mapping[str, list[Formula]]) -> list[Formula]:
    """Those of a cross, of those of its columns."""
    if not isinstance(made, Cross) or made.n_features is not None:
        raise _not_writable(f"features {name!r}", f"{'hashed ' if isinstance(made, Cross) else ''}{type(made).__name__}")
    found, *others = (columns[column] for column in made.columns)
    for factors in others:
        found = [("*", a, b) for a in found for b in factors]
    return found


def _share(x: Formula, start: float, end: float) -> Formula:
    """How far ``x`` is on the way from ``start`` to ``end``."""
    return ("/", ("-", x, float(start)), float(end - start))


def schema_formulas(schema: FeatureSchema) -> list[Formula]:
    """The formulas of all features, before rows are normalised, in the order of ``FeatureSchema.feature_names``.

    Args:
        schema: how rows become features.

    Raises:
        NotWritable: an encoding that cannot be written so; names the column and what to do.
    """
    columns = {name: formulas(encoding, name) for name, encoding in schema.columns.items()}
    crosses = [formula for name, made in schema.features.items() for formula in _products(made, name, columns)]
    return [*(formula for found in columns.values() for formula in found), *crosses]


def columns_read(formula: Formula) -> Iterator[tuple[str, str]]:
    """The operations that read columns in a formula, and the columns.

    Args:
        formula: of a feature.
    """
    if isinstance(formula, tuple):
        operation, *arguments = formula
        if operation in ("number", "is", "if_known"):
            yield operation, arguments.pop(0)
        if operation != "is":
            for argument in arguments:
                yield from columns_read(argument)


FAINT = SMALLEST
"""Features closer to 0 than this are 0."""

"""Formulas: a schema's features written in a few operations that every target of an export has.

A formula is a number, or a tuple of an operation and its arguments; ``OPERATIONS`` lists them. Targets (SQL, ONNX, JSON) know
the operations and no encodings. An encoding that can be written registers with ``formulas``; any other is refused by name.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce, singledispatch
from itertools import product
from typing import Any

from expunge.data.encoding import (
    Category,
    Combination,
    Cross,
    Cyclic,
    Encoding,
    MissingIndicator,
    Number,
    OrderedCategory,
    RandomFourier,
)
from expunge.data.encoding.cyclic import LARGEST
from expunge.data.encoding.indicator import plain
from expunge.data.encoding.spline import extended
from expunge.data.schema import FeatureSchema
from expunge.problem.arrays import SMALLEST

Formula = float | tuple[Any, ...]

READING = {
    "number": "the number in a column, NaN where missing",
    "is": "1 where the value of a column, as text, is this one, else 0",
    "is_missing": "1 where a column has no value, else 0",
}
"""Operations of which the first argument is the name of a column."""
OPERATIONS = {
    **READING,
    "+": "sum",
    "-": "difference",
    "*": "product",
    "/": "quotient",
    "min": "the smaller of two",
    "max": "the larger of two",
    "log": "natural logarithm",
    "sin": "sine of an angle in radians",
    "mod": "of two: what is left of the first without whole multiples of the second, which is positive; of either sign",
    "if_known": "of two: 0 where the first is NaN, else the second",
    "if_below": "of four: where the first is below the second the third, else the fourth",
}
"""What each operation is; arguments that are no names of columns or texts are formulas."""
WAY_OUT = (
    "which cannot be written in this format: export it as sklearn, which brings the encoding along; or declare it in another "
    "way in schema.toml, and run expunge replace"
)
FAINT = SMALLEST
"""Features closer to 0 than this are 0."""


class NotWritable(ValueError):
    """An encoding that cannot be written as formulas."""


def schema_formulas(schema: FeatureSchema) -> list[Formula]:
    """The formulas of all features, before rows are normalised, in the order of ``FeatureSchema.feature_names``.

    Args:
        schema: how rows become features.

    Raises:
        NotWritable: an encoding that cannot be written so; names the column and what to do.
    """
    found = [formula for name, encoding in schema.columns.items() for formula in formulas(encoding, name)]
    return found + [made for name, each in schema.features.items() for made in combined(each, name, schema.columns)]


def columns_read(formula: Formula) -> Iterator[tuple[str, str]]:
    """The operations that read columns in a formula, and the columns.

    Args:
        formula: of a feature.
    """
    if isinstance(formula, tuple):
        operation, *arguments = formula
        if operation in READING:
            yield operation, arguments.pop(0)
        for argument in arguments:
            yield from columns_read(argument)


def texts_compared(formula: Formula) -> Iterator[str]:
    """The texts with which values are compared in a formula.

    Args:
        formula: of a feature.
    """
    if isinstance(formula, tuple):
        operation, *arguments = formula
        if operation == "is":
            yield arguments[1]
        else:
            for argument in arguments:
                yield from texts_compared(argument)


@singledispatch
def formulas(encoding: Encoding, name: str) -> list[Formula]:
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
    raise NotWritable(f"column {name!r} is of kind {encoding.kind}, {WAY_OUT}")


@singledispatch
def combined(combination: Combination, name: str, declared: Mapping[str, Encoding]) -> list[Formula]:
    """One formula for each feature that is made of several columns.

    Args:
        combination: how it is made.
        name: of the combination.
        declared: how the columns are declared, by name.

    Raises:
        NotWritable: it, or one of its columns, cannot be written so.
    """
    raise NotWritable(f"features {name!r} are of kind {combination.kind}, {WAY_OUT}")


@formulas.register
def _category(encoding: Category, name: str) -> list[Formula]:
    return [("is", name, value) for value in encoding.values]


@formulas.register
def _ordered(encoding: OrderedCategory, name: str) -> list[Formula]:
    reached: list[Formula] = [("is", name, encoding.values[-1])]
    for value in encoding.values[-2::-1]:
        reached.append(("+", ("is", name, value), reached[-1]))
    return [("/", formula, math.sqrt(len(reached))) for formula in reversed(reached)]


@formulas.register
def _indicator(encoding: MissingIndicator, name: str) -> list[Formula]:
    return [*formulas(encoding.encoding, name), ("is_missing", name)]


@formulas.register
def _cyclic(encoding: Cyclic, name: str) -> list[Formula]:
    if any(isinstance(period, str) for period in encoding.periods):
        raise NotWritable(
            f"column {name!r} is a cycle of dates or times, {WAY_OUT}, such as hours or months as numbers, with the length of "
            "their period"
        )
    x: Formula = ("number", name)
    within: Formula = ("min", ("max", x, -LARGEST), LARGEST)
    size, found = 1.0 / math.sqrt(len(encoding.periods) * encoding.harmonics), list[Formula]()
    for period in map(float, encoding.periods):
        for k in range(1, encoding.harmonics + 1):
            angle: Formula = ("*", ("mod", within, period), 2.0 * math.pi * k / period)
            found += [("*", ("sin", angle), size), ("*", ("sin", ("+", angle, math.pi / 2.0)), size)]
    beyond = math.nextafter(LARGEST, math.inf)
    whole = [("if_below", ("max", x, ("-", 0.0, x)), beyond, wave, 0.0) for wave in found]
    return [("if_known", x, wave) for wave in whole]


@formulas.register
def _number(encoding: Number, name: str) -> list[Formula]:
    x, places = _scaled(encoding, name)
    if not encoding.knots:
        found = [_share(x, places[0], places[1])]
    elif encoding.degree == 1:
        found = [_hat(x, places, i) for i in range(len(places))]
    else:
        found = [_bump(x, places, i) for i in range(len(places) + 2)]
    return [("if_known", ("number", name), formula) for formula in found]


def _scaled(encoding: Number, name: str) -> tuple[Formula, list[float]]:
    """The number in its range, and its knots or ends, on its scale."""
    points = [float(point) for point in encoding.knots or (encoding.low, encoding.high)]
    x: Formula = ("min", ("max", ("number", name), points[0]), points[-1])
    if encoding.scale == "log":
        return ("log", x), [math.log(point) for point in points]
    if encoding.scale == "signed_log":
        above, below = ("max", x, 0.0), ("max", ("-", 0.0, x), 0.0)
        places = [math.copysign(math.log(1.0 + abs(point)), point) for point in points]
        return ("-", ("log", ("+", 1.0, above)), ("log", ("+", 1.0, below))), places
    return x, points


def _share(x: Formula, start: float, end: float) -> Formula:
    """How far ``x`` is on the way from ``start`` to ``end``."""
    return ("/", ("-", x, start), end - start)


def _hat(x: Formula, places: list[float], i: int) -> Formula:
    """1 at a knot, 0 at its neighbours and beyond."""
    rising = [_share(x, places[i - 1], places[i])] if i else []
    falling = [_share(x, places[i + 1], places[i])] if i + 1 < len(places) else []
    return ("max", _folded("min", [*rising, *falling]), 0.0)


def _bump(x: Formula, places: list[float], i: int) -> Formula:
    """A cubic B-spline: a polynomial on each of the at most four spans between knots that it covers."""
    from scipy.interpolate import BSpline, PPoly  # it loads all of scipy.optimize

    knots = extended(places, 3)[i : i + 5]
    pieces = PPoly.from_spline(BSpline.basis_element(knots, extrapolate=False))
    first, last = max(places[0], knots[0]), min(places[-1], knots[-1])  # SciPy adds pieces before and after
    inside = [(start, pieces.c[:, place]) for place, start in enumerate(pieces.x[:-1]) if first <= start < last]
    spans = {float(start): _polynomial(("-", x, float(start)), coefficients.tolist()) for start, coefficients in inside}
    found: Formula = 0.0
    ends = [*list(spans)[1:], float(knots[-1])]
    for (_start, polynomial), end in reversed(list(zip(spans.items(), ends, strict=True))):
        found = polynomial if end >= places[-1] else ("if_below", x, end, polynomial, found)
    return found if first <= places[0] else ("if_below", x, first, 0.0, found)


def _polynomial(u: Formula, coefficients: list[float]) -> Formula:
    """By Horner, from the highest power."""
    total: Formula = coefficients[0]
    for coefficient in coefficients[1:]:
        total = ("+", ("*", total, u), coefficient)
    return total


def _folded(operation: str, parts: Sequence[Formula]) -> Formula:
    """An operation over all parts, from the first on."""
    return reduce(lambda together, part: (operation, together, part), parts)


@combined.register
def _cross(combination: Cross, name: str, declared: Mapping[str, Encoding]) -> list[Formula]:
    if combination.n_features is not None:
        raise NotWritable(f"features {name!r} are a hashed cross, {WAY_OUT}")
    parts = [formulas(declared[column], column) for column in combination.columns]
    return [_folded("*", together) for together in product(*parts)]


@combined.register
def _waves(combination: RandomFourier, _name: str, declared: Mapping[str, Encoding]) -> list[Formula]:
    shares: list[Formula] = []
    for column in combination.columns:
        encoding = plain(declared[column])
        assert isinstance(encoding, Number)  # which the schema has checked
        x, places = _scaled(encoding, column)
        shares.append(_share(x, places[0], places[-1]))
    angles = [
        _folded("+", [("*", share, 2.0 * math.pi * turns) for share, turns in zip(shares, wave, strict=True)])
        for wave in combination.directions.T.tolist()
    ]
    size = math.sqrt(1.0 / len(angles))
    waves: list[Formula] = [("sin", ("+", angle, math.pi / 2.0)) for angle in angles]
    found: list[Formula] = [("*", wave, size) for wave in [*waves, *(("sin", angle) for angle in angles)]]
    for column in combination.columns:
        found = [("if_known", ("number", column), formula) for formula in found]
    return found

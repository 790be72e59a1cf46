"""SQL: a model as one SELECT over a table of raw rows, in the dialect of DuckDB, PostgreSQL or Spark.

It is written in DuckDB's dialect and translated by sqlglot. Each step is a lateral subquery of constants and of the steps
before, which the databases flatten into projections: the numbers of a row (n), its features (r, and f without those next to
0), their norm (s), the linear predictors (t), of several classes their largest (m) and odds (o), of ordered ones the chances
of being above (a), of each (o) and the largest (m), and the prediction.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Literal, get_args

import pyarrow as pa
from pyarrow import types

from expunge.data.column_types import named
from expunge.data.columns import label
from expunge.data.encoding import Cyclic, Number
from expunge.data.encoding.indicator import plain
from expunge.data.formulas import FAINT, Formula, NotWritable
from expunge.workspace.exports.rules import Rules
from expunge.workspace.model_kinds import InverseLink

Dialect = Literal["duckdb", "postgres", "spark"]
DIALECTS: tuple[str, ...] = get_args(Dialect)
NEAREST, FARTHEST = 1e-40, 700.0
"""Numbers nearer to 0 than this share of their range are 0, and no exponential is taken beyond the second: PostgreSQL refuses
what under- or overflows."""
TOGETHER = 50
"""Terms of a sum in one pair of parentheses: databases limit how deep an expression is."""
_INFIX = {"+": "+", "-": "-", "*": "*", "/": "/"}
_CALLS = {"min": "LEAST", "max": "GREATEST", "log": "LN", "sin": "SIN"}


def select(rules: Rules, dialect: Dialect, table: str) -> str:
    """The statement: all columns of ``table``, ``prediction``, and of a classifier ``probability_CLASS`` for each class.

    Args:
        rules: of the model.
        dialect: of the database.
        table: name of the table or view with the raw rows.

    Raises:
        ImportError: sqlglot is not installed.
        NotWritable: a column of a type that has no literals in SQL.
    """
    import sqlglot

    written = _Written(rules)
    numbers = [f"{written.number(name)} AS n{i}" for i, name in enumerate(rules.numbers)]
    raw = [f"{written.formula(formula)} AS f{i}" for i, formula in enumerate(rules.formulas)]
    features = [f"CASE WHEN ABS(r.f{i}) < {_constant(FAINT)} THEN 0e0 ELSE r.f{i} END AS f{i}" for i in range(len(raw))]
    squares = [f"f.f{i} * f.f{i}" for i in range(len(raw))]
    norm = f"GREATEST(SQRT({_sum(squares)}), {_constant(FAINT)})" if rules.normalise else _constant(1.0)
    pairs = zip(rules.published.coefficients, rules.published.intercepts, strict=True)
    offset = f" + {written.formula(rules.offset)}" if rules.offset else ""
    t = [f"{_dot(coef)} / s.norm + {_constant(b)}{offset} AS t{k}" for k, (coef, b) in enumerate(pairs)]
    steps = {"n": numbers, "r": raw, "f": features, "s": [f"{norm} AS norm"], "t": t}
    classes = rules.published.classes
    if rules.inverse_link is InverseLink.CUMULATIVE:
        above = [
            f"1e0 / (1e0 + EXP(-LEAST(GREATEST(t.t{k}, {_constant(-FARTHEST)}), {_constant(FARTHEST)})))" for k in range(len(t))
        ]
        steps["a"] = [f"{chance} AS a{k}" for k, chance in enumerate(above)]
        bounds = ["1e0", *(f"a.a{k}" for k in range(len(t))), "0e0"]
        steps["o"] = [f"{high} - {low} AS o{k}" for k, (high, low) in enumerate(pairwise(bounds))]
        steps["m"] = [f"GREATEST({', '.join(f'o.o{k}' for k in range(len(classes)))}) AS o"]
    elif len(classes) > 2:
        steps["m"] = [f"GREATEST({', '.join(f't.t{k}' for k in range(len(t)))}) AS t"]
        steps["o"] = [f"EXP(GREATEST(t.t{k} - m.t, {_constant(-FARTHEST)})) AS o{k}" for k in range(len(t))]
    if rules.inverse_link is InverseLink.CUMULATIVE:
        results = _chosen([f"o.o{k} = m.o" for k in range(len(classes))], [f"o.o{k}" for k in range(len(classes))], classes)
    elif rules.inverse_link is InverseLink.SOFTMAX:
        results = _classified(classes)
    else:
        result = _side(classes) if rules.inverse_link is InverseLink.THRESHOLD else _mean(rules.inverse_link)
        results = [f"{result} AS prediction"]
    fence = " OFFSET 0" if dialect == "postgres" else ""  # or its planner writes each step into the next, times its uses
    laterals = "".join(
        f" CROSS JOIN LATERAL (SELECT {', '.join(step)}{fence}) AS {name}" for name, step in steps.items() if step
    )
    statement = f"SELECT d.*, {', '.join(results)} FROM {_name(table)} AS d{laterals}"
    translated = sqlglot.parse_one(statement, read="duckdb").sql(dialect=dialect, pretty=True, identify=True)
    published = rules.published
    head = f"-- release {published.release} of model {published.model}, certificate {published.certificate}, by Expunge"
    return f"{head}\n{translated};\n"


class _Written:
    """Formulas over the columns of the table ``d`` and its numbers ``n``."""

    def __init__(self, rules: Rules) -> None:
        self._kinds = rules.kinds
        self._declared = rules.published.specification.features.columns
        self._numbers = {name: f"n.n{i}" for i, name in enumerate(rules.numbers)}

    def number(self, name: str) -> str:
        """A column as a number; NULL where it is missing or NaN, and 0 where it is next to 0."""
        raw = f"d.{_name(name)}"
        if types.is_boolean(self._kinds[name]):
            return f"CAST(CASE WHEN {raw} THEN 1 WHEN NOT {raw} THEN 0 END AS DOUBLE)"
        size = 1.0  # of an offset
        if name in self._declared:
            declared = plain(self._declared[name])
            assert isinstance(declared, Number | Cyclic)  # no other encoding is written with numbers
            size = declared.high - declared.low if isinstance(declared, Number) else min(map(float, declared.periods))
        x, nearest = f"CAST({raw} AS DOUBLE)", _constant(NEAREST * size)
        return f"CASE WHEN {x} = CAST('NaN' AS DOUBLE) THEN NULL WHEN ABS({x}) < {nearest} THEN 0e0 ELSE {x} END"

    def formula(self, formula: Formula) -> str:
        """A formula."""
        if not isinstance(formula, tuple):
            return _constant(formula)
        operation, *arguments = formula
        if operation == "number":
            return self._numbers[arguments[0]]
        if operation == "is":
            return self._is(*arguments)
        if operation == "is_missing":
            return f"CAST(CASE WHEN {self._is_missing(arguments[0])} THEN 1 ELSE 0 END AS DOUBLE)"
        written = [self.formula(argument) for argument in arguments]
        if operation == "if_known":
            return "CASE WHEN {} IS NULL THEN 0e0 ELSE {} END".format(*written)
        if operation == "if_below":
            return "CASE WHEN {} < {} THEN {} ELSE {} END".format(*written)
        if operation == "mod":
            return "({0} - {1} * FLOOR({0} / {1}))".format(*written)
        if operation in _INFIX:
            return f"({f' {_INFIX[operation]} '.join(written)})"
        return f"{_CALLS[operation]}({', '.join(written)})"

    def _is_missing(self, name: str) -> str:
        if name in self._numbers:
            return f"{self._numbers[name]} IS NULL"
        raw = f"d.{_name(name)}"
        is_nan = f" OR CAST({raw} AS DOUBLE) = CAST('NaN' AS DOUBLE)" if types.is_floating(self._kinds[name]) else ""
        return f"{raw} IS NULL{is_nan}"

    def _is(self, name: str, value: str) -> str:
        literal = _literal(name, value, self._kinds[name])
        return f"CAST({'0' if literal is None else f'CASE WHEN d.{_name(name)} = {literal} THEN 1 ELSE 0 END'} AS DOUBLE)"


def _literal(name: str, value: str, kind: pa.DataType) -> str | None:
    """The value of a column of this type whose text is ``value``; ``None`` where none is."""
    if types.is_string(kind) or types.is_large_string(kind):
        return _text(value)
    read: list[tuple[Callable[[pa.DataType], bool], Callable[[str], object], Callable[[str], str]]] = [
        (types.is_boolean, lambda text: {"True": True, "False": False}[text], str),
        (types.is_integer, int, str),
        (types.is_floating, float, lambda text: f"CAST({_text(text)} AS DOUBLE)"),
        (types.is_decimal, lambda text: round(Decimal(text), kind.scale), str),
        (types.is_date, date.fromisoformat, lambda text: f"CAST({_text(text)} AS DATE)"),
        (types.is_timestamp, datetime.fromisoformat, lambda text: f"CAST({_text(text)} AS {_stamp(kind)})"),
    ]
    for is_such, parse, write in read:
        if is_such(kind):
            try:
                return write(value) if label(parse(value)) == value else None
            except (ValueError, KeyError, InvalidOperation):
                return None
    raise NotWritable(
        f"column {name!r} holds {named(kind)}, which has no literals in all databases: export the model as sklearn, or turn "
        "the column into a text where the rows come from"
    )


def _stamp(kind: pa.DataType) -> str:
    return "TIMESTAMP" if kind.tz is None else "TIMESTAMPTZ"


def _classified(classes: Sequence[str]) -> list[str]:
    if len(classes) == 2:
        t = f"LEAST(GREATEST(t.t0, {_constant(-FARTHEST)}), {_constant(FARTHEST)})"
        return _named(_side(classes), [f"1e0 / (1e0 + EXP({t}))", f"1e0 / (1e0 + EXP(-{t}))"], classes)
    total = _sum([f"o.o{k}" for k in range(len(classes))])
    largest = [f"t.t{k} = m.t" for k in range(len(classes))]
    return _chosen(largest, [f"o.o{k} / {total}" for k in range(len(classes))], classes)


def _chosen(conditions: Sequence[str], chances: Sequence[str], classes: Sequence[str]) -> list[str]:
    cases = " ".join(f"WHEN {each} THEN {_text(name)}" for each, name in zip(conditions, classes, strict=True))
    return _named(f"CASE {cases} END", chances, classes)


def _named(prediction: str, chances: Sequence[str], classes: Sequence[str]) -> list[str]:
    named = [f"{chance} AS {_name(f'probability_{name}')}" for chance, name in zip(chances, classes, strict=True)]
    return [f"{prediction} AS prediction", *named]


def _side(classes: Sequence[str]) -> str:
    return f"CASE WHEN t.t0 > 0e0 THEN {_text(classes[1])} ELSE {_text(classes[0])} END"


def _mean(inverse_link: InverseLink) -> str:
    return (
        "t.t0"
        if inverse_link is InverseLink.IDENTITY
        else f"EXP(LEAST(GREATEST(t.t0, {_constant(-FARTHEST)}), {_constant(FARTHEST)}))"
    )


def _dot(coefficients: Iterable[float]) -> str:
    return _sum([f"{_constant(value)} * f.f{i}" for i, value in enumerate(coefficients)])


def _sum(terms: Sequence[str]) -> str:
    """The sum in parentheses, of which none holds too many terms."""
    while len(terms) > TOGETHER:
        terms = [_sum(terms[i : i + TOGETHER]) for i in range(0, len(terms), TOGETHER)]
    return f"({' + '.join(terms)})"


def _constant(value: float) -> str:
    """A number that is a double in every dialect."""
    written = repr(float(value))
    return written if "e" in written else f"{written}e0"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

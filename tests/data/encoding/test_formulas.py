"""Encodings that an export can write as formulas are the same features; any other is refused by name."""

import math
from typing import Any

import numpy as np
import pytest

from expunge.data.columns import label
from expunge.data.encoding import Category, Cross, Encoding, MissingIndicator, Number, OrderedCategory, RandomFourier
from expunge.data.formulas import NotWritable, schema_formulas
from expunge.data.schema import FeatureSchema
from tests.data.encoding.cases import CASES

COLUMNS: dict[str, Encoding] = {
    "age": MissingIndicator(Number(0, 100, (0, 40, 100))),
    "pay": Number(-5, 5),
    "grade": OrderedCategory(("low", "mid", "high")),
    "sex": Category(("F", "M")),
}
CROSSES = {"all": Cross(("grade", "age", "sex")), "two": Cross(("pay", "sex"))}


def value(formula: Any, row: dict[str, Any]) -> float:
    """What a formula is in a row."""
    if not isinstance(formula, tuple):
        return float(formula)
    operation, *given = formula
    if operation == "is":
        return float(label(row[given[0]]) == given[1])
    number = math.nan if given[0] not in row or row[given[0]] is None else row[given[0]]
    if operation == "number":
        return number
    if operation == "if_known":
        return 0.0 if math.isnan(number) else value(given[1], row)
    a, b = (value(each, row) for each in given)
    return {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else math.nan, "min": min(a, b), "max": max(a, b)}[operation]


def test_formulas_are_the_features():
    schema = FeatureSchema(COLUMNS, normalise=False, features=CROSSES)
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = [
        {
            "age": rng.choice([None, -3.0, 17.0, 40.0, 99.0, 200.0]),
            "pay": rng.choice([None, -9.0, 0.0, 3.3]),
            "grade": rng.choice([None, "low", "mid", "high", "?"]),
            "sex": rng.choice([None, "F", "M", "?"]),
        }
        for _ in range(60)
    ]
    formulas = schema_formulas(schema)
    assert len(formulas) == len(schema.feature_names)
    found = [[value(formula, row) for formula in formulas] for row in rows]
    expected = schema.encode({name: [row[name] for row in rows] for name in COLUMNS}).X
    np.testing.assert_allclose(found, expected, atol=1e-15)


WRITABLE = {"number", "knots", "category", "ordered", "number with indicator"}


@pytest.mark.parametrize("name", [name for name in CASES if name not in WRITABLE])
def test_what_cannot_be_written_is_refused_by_name(name):
    with pytest.raises(NotWritable, match=r"column 'x' is encoded as .*, which cannot be written .* export it as sklearn"):
        schema_formulas(FeatureSchema({"x": CASES[name].encoding}))


@pytest.mark.parametrize("made", [Cross(("age", "sex"), n_features=8), RandomFourier(("age", "pay"))])
def test_combinations_that_cannot_be_written_are_refused_by_name(made):
    with pytest.raises(NotWritable, match=r"features 'f' is encoded as (hashed Cross|RandomFourier)"):
        schema_formulas(FeatureSchema(COLUMNS, features={"f": made}))

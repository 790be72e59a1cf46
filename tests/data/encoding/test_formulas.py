"""Encodings that an export can write as formulas are the same features; any other is refused by name."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from expunge.data.columns import label
from expunge.data.formulas import NotWritable, schema_formulas
from expunge.data.schema import FeatureSchema
from tests.conftest import examples
from tests.data.encoding.cases import CASES, COLUMNS, COMBINATIONS, tables

WRITABLE = {name for name in CASES if not name.startswith(("hashed", "words", "characters", "seasons", "clock", "embedding"))}
COMBINED = {"pairs", "curves", "threes", "waves", "waves of one"}


def value(formula: Any, row: dict[str, Any]) -> float:
    """What a formula is in a row."""
    if not isinstance(formula, tuple):
        return float(formula)
    operation, *given = formula
    if operation in ("is", "is_missing", "number"):
        cell = row[given[0]]
        is_missing = label(cell) is None
        if operation == "number":
            return math.nan if is_missing else float(cell)
        return float(is_missing if operation == "is_missing" else label(cell) == given[1])
    values = [value(each, row) for each in given if operation not in ("if_known", "if_below")]
    match operation:
        case "if_known":
            return 0.0 if math.isnan(value(given[0], row)) else value(given[1], row)
        case "if_below":
            return value(given[2 if value(given[0], row) < value(given[1], row) else 3], row)
        case "+" | "-" | "*" | "/":
            a, b = values
            return {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else math.nan}[operation]
        case "min" | "max":
            return {"min": min, "max": max}[operation](values)
        case "mod":
            return float(np.mod(values[0], values[1]))
        case "log" | "sin":
            return {"log": math.log, "sin": math.sin}[operation](values[0])
    raise AssertionError(operation)


@settings(max_examples=examples(25))
@given(table=tables())
def test_formulas_are_the_features(table):
    columns = {name: COLUMNS[name] for name in CASES if name in WRITABLE}
    schema = FeatureSchema(columns, normalise=False, features={name: COMBINATIONS[name] for name in COMBINED})
    formulas = schema_formulas(schema)
    assert len(formulas) == len(schema.feature_names)
    rows = [dict(zip(table, cells, strict=True)) for cells in zip(*table.values(), strict=True)]
    found = [[value(formula, row) for formula in formulas] for row in rows]
    np.testing.assert_allclose(found, schema.encode(table).X, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in CASES if name not in WRITABLE])
def test_what_cannot_be_written_is_refused_by_name(name):
    with pytest.raises(NotWritable, match=r"column 'x' is .*, which cannot be written .* export it as sklearn"):
        schema_formulas(FeatureSchema({"x": CASES[name].encoding}))


@pytest.mark.parametrize("name", [name for name in COMBINATIONS if name not in COMBINED])
def test_combinations_that_cannot_be_written_are_refused_by_name(name):
    columns = {column: COLUMNS[column] for column in WRITABLE | set(COMBINATIONS[name].columns)}
    with pytest.raises(NotWritable, match="cannot be written"):
        schema_formulas(FeatureSchema(columns, features={"f": COMBINATIONS[name]}))

"""The digest of rows: the same for the same values, however they are cut, and another for any other."""

import datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from expunge.data.content import Content

ROWS = pa.table(
    {
        "n": pa.array([1, None, 3, 4]),
        "x": pa.array([0.1, 2.0, None, float("nan")]),
        "t": pa.array(["a", "", None, "ü"]),
        "b": pa.array([True, None, False, True]),
        "d": pa.array([datetime.date(2024, 2, 29), None, None, datetime.date(1, 1, 1)]),
        "m": pa.array([Decimal("1.10"), None, Decimal("2.00"), Decimal("0.00")]),
        "l": pa.array([[1], [], None, [2, 3]]),
        "row": pa.array([0, 1, 2, 3]),
    }
)


def digest(*tables: pa.Table) -> str:
    content = Content()
    for table in tables:
        for batch in table.to_batches():
            content.add(batch, without="row")
    return content.hexdigest()


def test_is_of_the_values_alone():
    whole = digest(ROWS)
    assert digest(ROWS.slice(0, 1), ROWS.slice(1, 2), ROWS.slice(3)) == whole
    assert digest(ROWS.set_column(7, "row", pa.array([9, 8, 7, 6]))) == whole
    assert digest(ROWS.select(list(reversed(ROWS.column_names)))) == whole


@pytest.mark.parametrize("column", ["n", "x", "t", "b", "d", "m", "l"])
def test_any_other_value_gives_another(column):
    at, values = ROWS.column_names.index(column), ROWS[column].to_pylist()
    for changed in ([values[0], values[0], *values[2:]], [*values[:3], None], [values[1], values[0], *values[2:]]):
        other = ROWS.set_column(at, column, pa.array(changed, ROWS[column].type))
        assert digest(other) != digest(ROWS), changed


def test_texts_do_not_run_into_each_other():
    assert digest(pa.table({"a": ["ab", "c"]})) != digest(pa.table({"a": ["a", "bc"]}))
    assert digest(pa.table({"a": ["ab"], "b": ["c"]})) != digest(pa.table({"a": ["a"], "b": ["bc"]}))
    assert digest(pa.table({"a": ["", None]})) != digest(pa.table({"a": [None, ""]}))

"""Rows as JSON: each value is of its column's type, or its row and column are named."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from expunge.data.dialect import Reading
from expunge.data.records import table_of
from expunge.errors import InvalidRows

KINDS = {
    "text": pa.string(),
    "whole": pa.int64(),
    "number": pa.float64(),
    "flag": pa.bool_(),
    "day": pa.date32(),
    "moment": pa.timestamp("us"),
    "zoned": pa.timestamp("us", "UTC"),
}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("text", "00007", "00007"),
        ("text", "", ""),
        ("text", "NA", "NA"),
        ("whole", 7, 7),
        ("whole", 7.0, 7),
        ("whole", "7", 7),
        ("number", 7, 7.0),
        ("number", "-1.5e-3", -0.0015),
        ("flag", True, True),
        ("flag", "false", False),
        ("day", "2024-02-29", date(2024, 2, 29)),
        ("moment", "2024-02-29 10:15:00", datetime(2024, 2, 29, 10, 15)),
        ("zoned", "2024-02-29T10:15:00+02:00", datetime(2024, 2, 29, 8, 15, tzinfo=UTC)),
        *((name, None, None) for name in KINDS),
    ],
)
def test_a_value_becomes_what_a_file_would_have(name, value, expected):
    columns = pa.schema([(name, KINDS[name])])
    assert table_of([{name: value, "other": "x"}], columns, Reading())[name].to_pylist() == [expected]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", 7),
        ("text", True),
        ("whole", 7.5),
        ("whole", "007"),
        ("whole", 2**63),
        ("whole", True),
        ("number", "seven"),
        ("number", ""),
        ("number", False),
        ("flag", 1),
        ("day", "29.02.2024"),
        ("day", 20240229),
        ("moment", "yesterday"),
        ("zoned", "2024-02-29 10:15:00"),
    ],
)
def test_a_value_of_another_type_is_named(name, value):
    columns = pa.schema([(name, KINDS[name])])
    with pytest.raises(InvalidRows, match=f"row 3, column '{name}': the value is not of type"):
        table_of([{name: None}, {name: None}, {name: value}], columns, Reading())


def test_texts_are_written_as_the_reading_says():
    columns = pa.schema([("number", pa.float64()), ("day", pa.date32())])
    reading = Reading(decimal=",", date_format="%d.%m.%Y")
    assert table_of([{"number": "1,5", "day": "29.02.2024"}], columns, reading).to_pylist() == [
        {"number": 1.5, "day": date(2024, 2, 29)}
    ]


def test_a_row_without_a_column_is_named():
    with pytest.raises(InvalidRows, match="row 2 has no 'text'"):
        table_of([{"text": None}, {}], pa.schema([("text", pa.string())]), Reading())

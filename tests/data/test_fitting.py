"""Values that have a type: in a column of another they are the same value, or refused at their place."""

from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.data.column_types import Inexact, Misfit
from expunge.data.fitting import WrongType, fitted
from tests.conftest import examples

WHOLE = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint64()]
WITH_DECIMALS = [pa.float32(), pa.float64()]
EXACT = [pa.decimal128(38, 0), pa.decimal128(38, 6)]
values = st.one_of(st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False), st.integers(-300, 300))


def is_kept(value: float, kind: pa.DataType) -> bool:
    """Whether ``kind`` has this number, by arithmetic."""
    try:
        held = pa.scalar(value, kind).as_py() if kind in WITH_DECIMALS else None
    except (pa.ArrowInvalid, OverflowError):
        return False
    exact = Fraction(value)
    if held is not None:
        return abs(held) != float("inf") and Fraction(held) == exact
    if kind in EXACT:
        return (exact * 10**kind.scale).denominator == 1 and abs(exact) < 10 ** (38 - kind.scale)
    low, high = (0, 2**64) if kind == pa.uint64() else (-(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1))
    return exact.denominator == 1 and low <= exact < high


@settings(max_examples=examples(500))
@given(st.lists(values, min_size=1, max_size=5), st.sampled_from([*WHOLE, *WITH_DECIMALS, *EXACT]))
def test_numbers_stay_the_same_numbers(given_values, wanted):
    is_whole = all(isinstance(value, int) for value in given_values)
    try:
        column = pa.array(given_values, None if is_whole else pa.float64())
    except (pa.ArrowInvalid, OverflowError):
        return  # no column holds them
    held = column.to_pylist()
    right = [is_kept(value, wanted) for value in held]
    if not is_whole and wanted in EXACT:
        with pytest.raises(WrongType):
            fitted(column, wanted)
    elif all(right):
        assert [Fraction(value) for value in fitted(column, wanted).to_pylist()] == [Fraction(value) for value in held]
    else:
        with pytest.raises(Misfit) as refusal:
            fitted(column, wanted)
        assert refusal.value.index == right.index(False)


@pytest.mark.parametrize("given_values", [[0.5, 0.1], [1.0, 1e300], [16777216, 16777217]])
def test_a_number_that_would_be_rounded_is_told_from_what_is_none(given_values):
    with pytest.raises(Inexact) as refusal:
        fitted(pa.array(given_values), pa.float32())
    assert refusal.value.index == 1 and refusal.value.reason(pa.float32()) == "would be rounded in a column of 32-bit numbers"


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (pa.array(["7"]), pa.int64()),
        (pa.array([7]), pa.string()),
        (pa.array([True]), pa.int64()),
        (pa.array([1]), pa.bool_()),
        (pa.array([b"7"]), pa.string()),
        (pa.array([1], pa.timestamp("us")), pa.timestamp("us", "UTC")),
        (pa.array([1], pa.timestamp("us")), pa.int64()),
        (pa.array([[1]]), pa.int64()),
    ],
    ids=lambda each: str(getattr(each, "type", each)),
)
def test_nothing_is_parsed_or_printed(values, wanted):
    with pytest.raises(WrongType):
        fitted(values, wanted)

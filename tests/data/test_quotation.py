"""Quotation marks: whatever pieces a file comes in, those are refused that Python's strict reader refuses."""

import csv
import io

from hypothesis import example, given, settings
from hypothesis import strategies as st

from expunge.data.quotation import BadText, Quotation
from tests.conftest import examples


def is_refused_by_python(text: str) -> bool:
    try:
        list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        return "expected after" in str(error)
    return False


def is_refused(text: str, sizes: list[int]) -> bool:
    quotation, rest = Quotation(","), text.encode()
    try:
        for size in sizes:
            quotation.add(rest[:size])
            rest = rest[size:]
        quotation.add(rest)
        quotation.add(b"\nend,\n", is_last=True)
    except BadText:
        return True
    return False


@settings(max_examples=examples(500))
@given(text=st.text('"",,\n\rab', max_size=30), sizes=st.lists(st.integers(1, 5), max_size=12))
@example(text='"a,""b""c",2', sizes=[4, 1])
@example(text='a"b,"c""', sizes=[7])
@example(text='"a""b"c', sizes=[2, 1, 1])
@example(text='aaa,"aaa"""a', sizes=[1, 5, 5])
def test_it_refuses_what_python_refuses(text, sizes):
    assert is_refused(text, sizes) == is_refused_by_python(text)

"""Lists of ids in files: separators, spreadsheets, and what of a file is shown to whoever gave it."""

import io

import openpyxl
import pytest

from expunge.data.lists import Unclear, look, read_list


def workbook(*rows):
    book, out = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.create_sheet("other").append(["no", "ids"])
    book.save(out)
    return out.getvalue()


@pytest.mark.parametrize(("text", "sign"), [("a;b,c", ";"), ("a,b;c", ","), ("a\tb;c", "\t"), ("a|b", "|")])
def test_a_separator_that_is_given_is_used(text, sign):
    found = read_list(f"{text}\n".encode(), ["who"], table=True, headed=False, sign=sign)
    assert found.sign == sign and found.columns == 2 and found.ids == ("a",)
    assert found.first == (tuple(text.split(sign)),)


def test_the_first_sheet_counts_and_a_number_is_its_digits():
    content = workbook(["name", "who"], ["Ann", 17], [], ["Bob", "00023"], ["Cid", 4.0], ["Dan", None])
    found = read_list(content, ["who"])
    assert found.ids == ("17", "00023", "4") and found.lines == (2, 4, 5)
    assert (found.heading, found.by, found.sign) == ("who", "who", None)
    assert found.first[1] == ("Ann", "17")


@pytest.mark.parametrize("value", [1.5, True, 10**15 + 1])
def test_a_cell_that_cannot_be_an_id_is_named_by_its_row(value):
    content = workbook(["who", "sum"], ["a", 2.5], [value, 1])
    with pytest.raises(ValueError, match=r"row 3: the cell holds .* not an id: format the column as text") as caught:
        read_list(content, ["who"])
    assert str(value) not in str(caught.value)


@pytest.mark.parametrize("content", [b"PK\x03\x04", b"PK\x03\x04" + bytes(500), workbook(["a"])[:300]])
def test_a_damaged_spreadsheet_is_told(content):
    with pytest.raises(ValueError, match="cannot be read as an Excel file"):
        read_list(content, ["who"])


def test_a_file_in_which_it_is_unclear_where_the_ids_are_can_be_looked_at():
    content = b"name;id\nAnn;17\nBob;18\nC;1\nD;2\nE;3\n"
    with pytest.raises(Unclear):
        read_list(content, ["who"], table=True)
    seen = look(content, table=True)
    assert (seen.ids, seen.columns, seen.sign, len(seen.first)) == ((), 2, ";", 5)
    assert seen.first[0] == ("name", "id") and "17" not in repr(seen)

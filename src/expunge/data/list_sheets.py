"""Lists of ids in Excel files that are in memory: the cells of the first sheet as texts, and which of them cannot be ids."""

import io
from collections.abc import Iterator
from datetime import date
from typing import Any
from zipfile import BadZipFile, ZipFile

from expunge.data.excel import DIGITS, is_id, kind_of, text_of
from expunge.data.lists import Cell

LARGEST = 64 << 20
"""Bytes that the parts of a file may have once they are unpacked."""
NOT_EXCEL = "the file cannot be read as an Excel file: save it again as .xlsx, or as CSV"


def rows_of(content: bytes) -> list[tuple[int, list[str]]]:
    """The rows of the first sheet that are not blank, with their numbers.

    Raises:
        ValueError: it is not an Excel file, or too large.
    """
    try:
        with ZipFile(io.BytesIO(content)) as parts:
            size = sum(part.file_size for part in parts.infolist())
    except BadZipFile:
        raise ValueError(NOT_EXCEL) from None
    if size > LARGEST:
        raise ValueError("the Excel file is too large once it is unpacked: save the column with the ids as CSV")
    try:
        return list(_rows(content))
    except (KeyError, ValueError, OSError, BadZipFile, TypeError, AttributeError) as error:  # openpyxl raises what it meets
        raise ValueError(NOT_EXCEL) from error


def _rows(content: bytes) -> Iterator[tuple[int, list[str]]]:
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    for number, row in enumerate(book.worksheets[0].iter_rows(values_only=True), 1):
        cells = [_cell(value) for value in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield number, cells


def _cell(value: Any) -> str:
    if value is None:
        return ""
    found = Cell(text_of(value))
    if isinstance(value, bool | int | float | date) and not is_id(value):
        whole = isinstance(value, float) and value.is_integer() and abs(value) < 10**DIGITS
        if not whole:
            found.problem = (
                f"the cell holds {kind_of(value)}, which is not an id: format the column as text in Excel and enter the ids "
                f"again (Excel keeps {DIGITS} digits of a number)"
            )
    return found

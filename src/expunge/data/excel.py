"""Excel files: the cells of a sheet as texts, as they would be in a text file.

A cell with a number gives its digits, one with a date the date in ISO 8601, and a formula the value that Excel computed last.
Excel itself keeps only 15 digits of a number and no leading zeros, so ids belong in cells formatted as text.
"""

from collections.abc import Collection, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa

from expunge.data.dialect import Reading
from expunge.data.headings import first_row_names, require_names
from expunge.data.row_numbers import numbered_as
from expunge.errors import InvalidRows

BATCH = 8192
"""Number of rows read at a time."""
DIGITS = 15
"""Number of digits that Excel keeps of a number."""

Row = tuple[Any, ...]


class ExcelFile:
    """A sheet of an Excel file.

    Args:
        path: path of the file.
        reading: what is known about it.
        expected: names of columns that it should have.
        texts: columns of ids, in which a number must be whole and have all its digits.

    Raises:
        InvalidRows: it is not an Excel file, it is unclear which sheet is meant, or the heading cannot be used.
    """

    def __init__(self, path: Path, reading: Reading, expected: Collection[str] = (), texts: Collection[str] = ()) -> None:
        self.path, self._given, self._texts = path, reading, texts
        self.sheet = reading.sheet or ""
        first = next(self._rows(), None)
        if first is None:
            raise InvalidRows(f"{path}: the sheet {self.sheet!r} is empty: choose one with a heading and rows")
        self._first, row = first
        cells = [None if value is None else text_of(value) for value in row]
        names = first_row_names(str(path), cells, reading.heading, list(expected))
        self.has_heading = names is not None
        self.names = names or [f"column_{i + 1}" for i in range(len(row))]
        require_names(str(path), self.names)

    @property
    def reading(self) -> Reading:
        """What is known about it now."""
        return Reading(heading=self.has_heading, sheet=self.sheet)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Its rows below the heading, each cell a text, or null where it is empty; blank rows are skipped.

        Raises:
            InvalidRows: a cell cannot be read.
        """
        gathered: list[tuple[int, list[str | None]]] = []
        for number, row in self._rows():
            if number == self._first and self.has_heading:
                continue
            gathered.append((number, self._cells(number, row)))
            if len(gathered) == BATCH:
                yield self._batch(gathered)
                gathered = []
        if gathered:
            yield self._batch(gathered)

    def _batch(self, rows: list[tuple[int, list[str | None]]]) -> pa.RecordBatch:
        columns = zip(*(cells for _number, cells in rows), strict=True)
        batch = pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in columns], names=self.names)
        return numbered_as(batch, np.array([number for number, _cells in rows]))

    def _cells(self, number: int, row: Row) -> list[str | None]:
        if len(row) > len(self.names):
            raise InvalidRows(f"{self.path}, row {number} has a cell to the right of the heading: name its column, or clear it")
        given = [*row, *[None] * (len(self.names) - len(row))]
        for name, value in zip(self.names, given, strict=True):
            if name in self._texts and isinstance(value, int | float | datetime | date) and not is_id(value):
                raise InvalidRows(
                    f"{self.path}, row {number}, column {name!r}: the cell holds {kind_of(value)}, which is not an id: format "
                    f"the column as text in Excel and enter the ids again (Excel keeps {DIGITS} digits of a number)"
                )
        return [None if value is None else text_of(value) or None for value in given]

    def _rows(self) -> Iterator[tuple[int, Row]]:
        """Numbers and values of the rows that are not blank, without empty cells at their ends."""
        import openpyxl
        from openpyxl.utils.exceptions import InvalidFileException

        try:
            with self.path.open("rb") as one, self.path.open("rb") as other:
                values = openpyxl.load_workbook(one, read_only=True, data_only=True)
                formulas = openpyxl.load_workbook(other, read_only=True)
                self.sheet = _sheet(self.path, values.sheetnames, self.sheet)
                yield from self._rows_of(values[self.sheet], formulas[self.sheet])
        except InvalidRows:
            raise
        except (OSError, KeyError, ValueError, BadZipFile, InvalidFileException) as error:
            raise InvalidRows(f"{self.path} cannot be read as an Excel file: save it again as .xlsx, or as .csv") from error

    def _rows_of(self, values: Any, formulas: Any) -> Iterator[tuple[int, Row]]:
        for number, (row, written) in enumerate(zip(values.iter_rows(), formulas.iter_rows(), strict=True), start=1):
            found = [cell.value for cell in row]
            if any(cell.data_type == "f" and value is None for cell, value in zip(written, found, strict=True)):
                raise InvalidRows(
                    f"{self.path}, row {number}: a formula has never been computed: open the file in Excel and save it"
                )
            while found and found[-1] in (None, ""):
                found.pop()
            if found:
                yield number, tuple(found)


def _sheet(path: Path, names: list[str], wanted: str) -> str:
    if wanted and wanted not in names:
        raise InvalidRows(f"{path} has no sheet {wanted!r}: it has {', '.join(map(repr, names))}")
    if not wanted and len(names) != 1:
        raise InvalidRows(f"{path} has {len(names)} sheets, {', '.join(map(repr, names))}: choose one with --sheet")
    return wanted or names[0]


def is_id(value: Any) -> bool:
    """Whether a number in a cell can be an id: whole, with all its digits."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**DIGITS


def kind_of(value: Any) -> str:
    """What a cell holds that is not an id, in words."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return f"a number of more than {DIGITS} digits"
    return "a number that is not whole" if isinstance(value, float) else "a date"


def text_of(value: Any) -> str:
    """The value of a cell as it would be in a text file."""
    if isinstance(value, datetime):
        is_day = (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0)
        return value.date().isoformat() if is_day else value.isoformat(sep=" ")
    if isinstance(value, float) and value.is_integer() and abs(value) < 10**DIGITS:
        return str(int(value))
    return str(value)

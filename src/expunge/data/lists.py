"""Lists of ids, from files and pages: one id per line, or a column of a table; how they were understood can be told.

Whether the first line is a heading is never guessed from its looks: it is one if it names a column of ids, or if
somebody says so.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from expunge.identities import canonical

TABLES = (".csv", ".tsv")
"""Name endings of files that are tables; any other file has one id per line."""
PREVIEWED = 5
"""Number of rows that are shown to whoever gave a file."""
SIGNS = ",;\t|"
"""Signs that may separate the columns of a table."""


EXCEL = b"PK\x03\x04"
"""How an Excel file begins."""


class Cell(str):
    """The text of a cell of a spreadsheet; ``problem`` says why it cannot be an id."""

    problem: str | None = None


class Unclear(ValueError):
    """Nobody said where in a list the ids are."""


@dataclass(frozen=True)
class IdList:
    """Ids with the lines on which they are.

    Args:
        ids: the ids as written.
        lines: the line of each id, from 1 on.
        heading: the name of the column in the first line, if that was taken for a heading.
        by: the column of ids that the heading names, if it names one.
        columns: number of columns.
        sign: what separates the columns of a table; ``None`` for a text file and a spreadsheet.
        first: the first rows, cell by cell.
    """

    ids: tuple[str, ...] = field(repr=False)
    lines: tuple[int, ...]
    heading: str | None
    by: str | None
    columns: int
    sign: str | None = None
    first: tuple[tuple[str, ...], ...] = field(default=(), repr=False)

    @property
    def understood(self) -> str:
        """How the list was understood, for the person who gave it."""
        ids = f"{len(self.ids):,} {'id' if len(self.ids) == 1 else 'ids'}"
        if self.heading is None:
            return f"{ids}; the first line was taken for an id, not for a heading"
        return f"{ids}; the first line was taken for a heading, and the ids from the column {self.heading!r}"


def is_table(name: str) -> bool:
    """Whether the file of this name is a table."""
    return name.lower().endswith(TABLES)


def read_list(
    content: bytes,
    known: Sequence[str],
    *,
    table: bool = False,
    column: str | None = None,
    headed: bool | None = None,
    sign: str | None = None,
) -> IdList:
    """The ids in a file: text, a table, or a spreadsheet, of which the first sheet counts.

    Args:
        content: UTF-8 text, or an Excel file.
        known: names of the columns of ids, by which a heading is recognised.
        table: whether it is a CSV file; otherwise it has one id per line.
        column: the heading of the column with the ids.
        headed: whether the first line is a heading; by default, if it has a name in ``known``.
        sign: what separates the columns of a table; by default, a sign of ``SIGNS`` in its first line.

    Raises:
        ValueError: it is not UTF-8, or not a table; the message quotes no id.
        Unclear: it has several columns, and nobody said which one.
    """
    rows, sign = _rows(content, sign, table=table)
    first = [_seen(cell) for cell in rows[0][1]] if rows else []
    names = {name.casefold(): name for name in known}
    named = [place for place, cell in enumerate(first) if cell.casefold() in names]
    is_headed = column is not None or (bool(named) if headed is None else headed)
    place = _place(first, column, named if is_headed else [], is_told=headed is not None)
    chosen = [(number, cells[place]) for number, cells in rows[is_headed:] if place < len(cells) and _seen(cells[place])]
    for number, cell in chosen:
        if isinstance(cell, Cell) and cell.problem is not None:
            raise ValueError(f"row {number}: {cell.problem}")
    heading = first[place] if is_headed and first else None
    return IdList(
        tuple(cell for _number, cell in chosen),
        tuple(number for number, _cell in chosen),
        heading,
        names.get(heading.casefold()) if heading is not None else None,
        len(first),
        sign,
        _first(rows),
    )


def look(content: bytes, *, table: bool = False, sign: str | None = None) -> IdList:
    """The first rows of a file, as ``read_list`` sees them, where it is unclear which column has the ids; no id is read.

    Raises:
        ValueError: as for ``read_list``.
    """
    rows, sign = _rows(content, sign, table=table)
    return IdList((), (), None, None, max((len(cells) for _number, cells in rows), default=0), sign, _first(rows))


def _rows(content: bytes, sign: str | None, *, table: bool) -> tuple[list[tuple[int, list[str]]], str | None]:
    """The rows that are not blank, with their numbers, and what separates their columns."""
    if content.startswith(EXCEL):
        from expunge.data.list_sheets import rows_of  # it needs packages that take their time to import

        rows, used = rows_of(content), None
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ValueError("the list is not UTF-8 text: save it as text, or as CSV, in UTF-8") from None
        used = (sign or _sign(text)) if table else None
        rows = [(number, [line]) for number, line in enumerate(_lines(text), 1)] if used is None else _table(text, used)
    return [(number, cells) for number, cells in rows if any(_seen(cell) for cell in cells)], used


def _first(rows: list[tuple[int, list[str]]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(map(str, cells)) for _number, cells in rows[:PREVIEWED])


def _place(first: list[str], column: str | None, named: list[int], *, is_told: bool) -> int:
    """The position of the column with the ids."""
    if column is not None:
        found = [place for place, cell in enumerate(first) if cell == _seen(column)]
        if len(found) != 1:
            raise ValueError(f"the first line names {len(found)} columns {column!r}: give the heading of the one with the ids")
        return found[0]
    if len(named) == 1 or (named and is_told):
        return named[0]
    if len(first) > 1 and not is_told:
        raise Unclear(
            f"the list has {len(first)} columns: give the heading of the one with the ids, or say that the first line is not a "
            "heading and they are in the first column"
        )
    return 0


def _lines(text: str) -> list[str]:
    """Lines end as in text files; other white space may be part of an id."""
    return text.replace("\r\n", "\n").split("\n")


def _table(text: str, sign: str) -> list[tuple[int, list[str]]]:
    """The rows of a CSV file, with the lines on which they start."""
    found: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign, strict=True)
    begins = 1
    try:
        for cells in reader:
            found.append((begins, cells))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"line {begins} is not CSV ({error}): correct it, or give one id per line in a text file") from None
    return found


def _sign(text: str) -> str:
    """The separator of the columns: a sign that is in the first line, outside of quotes; a comma if there is none."""
    first = next(iter(csv.reader(io.StringIO(text, newline=""), delimiter="\0", quoting=csv.QUOTE_NONE)), [""])
    outside = "".join(part for number, part in enumerate((first or [""])[0].split('"')) if number % 2 == 0)
    return next((sign for sign in SIGNS if sign in outside), ",")


def _seen(cell: str) -> str:
    """What can be seen of a cell; a cell without an id counts as seen too, so that it is refused and not left out."""
    try:
        return canonical(cell)
    except ValueError:
        return cell

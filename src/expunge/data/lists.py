"""Lists of ids, as files and pages give them: one id a line, or a column of a table; what was understood can be said.

Whether the first line is a heading is never guessed from how it looks: it is one if it says the name of a column of ids, or if
somebody says so.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from expunge.identities import canonical

TABLES = (".csv", ".tsv")
"""Ends of the names of files that are tables; any other is one id a line."""
SIGNS = ",;\t|"
"""What may part the columns of a table."""


class Unclear(ValueError):
    """Nobody said where in a list the ids are."""


@dataclass(frozen=True)
class IdList:
    """Ids with the lines on which they are.

    Args:
        ids: as written.
        lines: the line of each, from 1 on.
        heading: the first line's name of the column, if it was taken for a heading.
        by: the column of ids that the heading names, if it names one.
        columns: how many there are.
    """

    ids: tuple[str, ...] = field(repr=False)
    lines: tuple[int, ...]
    heading: str | None
    by: str | None
    columns: int

    @property
    def understood(self) -> str:
        """What was understood, for whoever gave the list."""
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
) -> IdList:
    """The ids in a file.

    Args:
        content: UTF-8 text.
        known: names of the columns of ids, by which a heading is known.
        table: whether it is a CSV file; else it has one id a line.
        column: the heading of the column with the ids.
        headed: whether the first line is a heading; by default if it says a name in ``known``.

    Raises:
        ValueError: it is not UTF-8, or no table; it quotes no id.
        Unclear: it has several columns, and nobody says which.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("the list is not UTF-8 text: save it as text, or as CSV, in UTF-8") from None
    rows = _table(text) if table else [(number, [line]) for number, line in enumerate(_lines(text), 1)]
    rows = [(number, cells) for number, cells in rows if any(_seen(cell) for cell in cells)]
    first = [_seen(cell) for cell in rows[0][1]] if rows else []
    names = {name.casefold(): name for name in known}
    named = [place for place, cell in enumerate(first) if cell.casefold() in names]
    is_headed = column is not None or (bool(named) if headed is None else headed)
    place = _place(first, column, named if is_headed else [], is_told=headed is not None)
    chosen = [(number, cells[place]) for number, cells in rows[is_headed:] if place < len(cells) and _seen(cells[place])]
    heading = first[place] if is_headed and first else None
    return IdList(
        tuple(cell for _number, cell in chosen),
        tuple(number for number, _cell in chosen),
        heading,
        names.get(heading.casefold()) if heading is not None else None,
        len(first),
    )


def _place(first: list[str], column: str | None, named: list[int], *, is_told: bool) -> int:
    """In which column the ids are."""
    if column is not None:
        found = [place for place, cell in enumerate(first) if cell == _seen(column)]
        if len(found) != 1:
            raise ValueError(f"the first line names {len(found)} columns {column!r}: give the heading of the one with the ids")
        return found[0]
    if len(named) == 1 or (named and is_told):
        return named[0]
    if len(first) > 1 and not is_told:
        raise Unclear(
            f"the list has {len(first)} columns: say the heading of the one with the ids, or that the first line is not a "
            "heading and they are in the first column"
        )
    return 0


def _lines(text: str) -> list[str]:
    """Ends of lines are those of text files; other white space may be in an id."""
    return text.replace("\r\n", "\n").split("\n")


def _table(text: str) -> list[tuple[int, list[str]]]:
    """The rows of a CSV file with the lines on which they begin."""
    found: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_sign(text), strict=True)
    begins = 1
    try:
        for cells in reader:
            found.append((begins, cells))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"line {begins} is not CSV ({error}): correct it, or give one id a line in a text file") from None
    return found


def _sign(text: str) -> str:
    """What parts the columns: the sign that is in the first line, outside of quotes; a comma if there is none."""
    first = next(iter(csv.reader(io.StringIO(text, newline=""), delimiter="\0", quoting=csv.QUOTE_NONE)), [""])
    outside = "".join(part for number, part in enumerate((first or [""])[0].split('"')) if number % 2 == 0)
    return next((sign for sign in SIGNS if sign in outside), ",")


def _seen(cell: str) -> str:
    """What can be seen of a cell; a cell that holds no id is seen too, so that it is refused and not left out."""
    try:
        return canonical(cell)
    except ValueError:
        return cell

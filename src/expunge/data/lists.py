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
SIGNS = ",;\t|"
"""Signs that may separate the columns of a table."""


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
    """

    ids: tuple[str, ...] = field(repr=False)
    lines: tuple[int, ...]
    heading: str | None
    by: str | None
    columns: int

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
) -> IdList:
    """The ids in a file.

    Args:
        content: UTF-8 text.
        known: names of the columns of ids, by which a heading is recognised.
        table: whether it is a CSV file; otherwise it has one id per line.
        column: the heading of the column with the ids.
        headed: whether the first line is a heading; by default, if it has a name in ``known``.

    Raises:
        ValueError: it is not UTF-8, or not a table; the message quotes no id.
        Unclear: it has several columns, and nobody said which one.
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


def _table(text: str) -> list[tuple[int, list[str]]]:
    """The rows of a CSV file, with the lines on which they start."""
    found: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_sign(text), strict=True)
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

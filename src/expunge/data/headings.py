"""Names of columns: those in the first row, and those that a table can have."""

import re
from collections.abc import Sequence

from expunge.errors import InvalidRows

_LOOKS_LIKE_DATA = re.compile(r"[-+]?\d[\d.,' ]*([eE][-+]?\d+)?%?|\d{4}-\d\d-\d\d.*|\d{1,2}[./]\d{1,2}[./]\d{2,4}.*")


def first_row_names(
    source: str, cells: Sequence[str | None], is_heading: bool | None, expected: Sequence[str]
) -> list[str] | None:
    """The names of the columns in the first row, if it is a heading.

    Args:
        cells: cells of the first row.
        is_heading: whether the user says that it is a heading.
        expected: columns that the file should have.

    Raises:
        InvalidRows: the first row looks like data, and nobody has said what it is.
    """
    names = [cell or "" for cell in cells]
    if is_heading is None and not (expected and set(expected) <= set(names)):
        for position, name in enumerate(names, start=1):
            if _LOOKS_LIKE_DATA.fullmatch(name.strip()):
                raise InvalidRows(
                    f"{source}: the first row looks like data, not like names of columns (its cell {position} is a number "
                    "or a date): give --heading if it is one, or --no-heading, which calls the columns column_1, column_2 …"
                )
    return None if is_heading is False else names


def require_names(source: str, names: Sequence[str]) -> None:
    """Raises ``InvalidRows`` unless the table and its readers can tell the columns apart by these names."""
    seen: dict[str, str] = {}
    for position, name in enumerate(names, start=1):
        if not name.strip():
            raise InvalidRows(f"{source}: column {position} has no name in the heading: name it, or remove the column")
        if not name.isprintable():
            raise InvalidRows(
                f"{source}: the name of column {position} has a line break or another character that cannot be seen "
                f"({name!a}): rename it"
            )
        if name.casefold() in seen:
            other = seen[name.casefold()]
            difference = "are the same" if other == name else "differ only in upper and lower case, which databases ignore"
            raise InvalidRows(f"{source}: the names of two columns, {other!r} and {name!r}, {difference}: rename one of them")
        seen[name.casefold()] = name

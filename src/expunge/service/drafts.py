"""Drafts of requests: what an operator was shown is exactly what is requested.

A list of ids is read once. Between its preview and the request it is kept in the memory of this process alone, and in no file,
page or ledger. It belongs to its owner, for half an hour, and is deleted with the request.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from expunge.data.lists import IdList, Unclear, look, read_list
from expunge.ledger.requests import Basis, RequestKind
from expunge.service.shelf import Shelf
from expunge.workspace.cases import NO_CASE, Case

HEADED: dict[str, bool | None] = {"": None, "yes": True, "no": False}
"""Whether the first line of a file is a heading, in the words of the page."""
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
"""What separates the columns of a file, in the words of the page."""


@dataclass(frozen=True)
class Given:
    """What an operator entered.

    Args:
        typed: one id per line.
        content: content of a file; ``is_table`` if that is a CSV file.
        by: the column of the ids; "" for any.
        heading: whether the file's first line is a heading.
        column: the heading of the column with the ids, or "".
        separator: a word of ``SEPARATORS``, or "".
        case: how the requests came, and what is noted of them.
        kind: what is asked for.
        ground: of a restriction, why.
    """

    typed: str = field(repr=False)
    content: bytes = field(repr=False)
    is_table: bool
    by: str
    heading: str
    column: str
    separator: str = ""
    case: Case = NO_CASE
    kind: RequestKind = RequestKind.FORGET
    ground: Basis | None = None

    def read(self, known: Sequence[str]) -> "Draft":
        """The draft made of it.

        Args:
            known: the columns of ids.

        Raises:
            ValueError: the file is not a list.
        """
        typed = read_list(self.typed.encode("utf-8", "replace"), known, headed=False)
        file, unclear = None, None
        if self.content:
            headed, column, sign = HEADED.get(self.heading), self.column or None, SEPARATORS.get(self.separator)
            is_table = self.is_table or column is not None or sign is not None
            try:
                file = read_list(self.content, known, table=is_table, column=column, headed=headed, sign=sign)
            except Unclear as error:
                file, unclear = look(self.content, table=is_table, sign=sign), str(error)
        entries = [
            Entry(text, self.by or None, f"typed line {line}") for text, line in zip(typed.ids, typed.lines, strict=True)
        ]
        if file is not None:
            by = self.by or file.by
            entries += [Entry(text, by, f"line {line}") for text, line in zip(file.ids, file.lines, strict=True)]
        once: dict[tuple[str, str | None], Entry] = {}
        for entry in entries:
            once.setdefault((entry.text, entry.by), entry)
        return Draft(self, file, tuple(once.values()), unclear)


@dataclass(frozen=True)
class Entry:
    """An id, its column if that was given, and where it was given."""

    text: str = field(repr=False)
    by: str | None
    where: str


@dataclass(frozen=True)
class Draft:
    """What an operator entered, as it was understood.

    Args:
        entries: every id once.
        file: how the file was read, if there is one.
        unclear: why it is unclear where in the file the ids are; such a draft cannot be confirmed.
    """

    given: Given
    file: IdList | None
    entries: tuple[Entry, ...]
    unclear: str | None = None


class Drafts(Shelf[Draft]):
    """The drafts of a service, under random names."""

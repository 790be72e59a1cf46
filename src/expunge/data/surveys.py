"""A survey of texts: the type of each column, found from every one of its cells."""

from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from expunge.data.column_types import STAMP, ZONED, Rules, named
from expunge.data.dialect import Reading
from expunge.data.row_numbers import row_of
from expunge.errors import InvalidRows

MARKS = (".", ",")
"""The decimal marks between which a file decides."""
GROUPED = "^-?[1-9][0-9]{0,2}([.,][0-9]{3})+$"
"""Numbers in which the mark could also stand for thousands."""


class Survey:
    """What the columns of a file may be, after everything seen of them.

    Args:
        names: names of the columns.
        texts: columns that are taken literally, whatever they look like.
        reading: what is known about the file.
    """

    def __init__(self, names: Sequence[str], texts: Collection[str], reading: Reading) -> None:
        self._reading = reading
        marks = MARKS if reading.decimal is None and reading.thousands is None else (reading.decimal or ".",)
        self.rules = {mark: Rules.of(Reading(decimal=mark).over(reading)) for mark in marks}
        self.columns = {name: _Seen(self.rules, name in texts) for name in names}
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Looks at more rows."""
        for name, column in self.columns.items():
            column.add(batch, batch[name])
        self.rows += len(batch)

    @property
    def decimal(self) -> str:
        """The decimal mark that the columns show.

        Raises:
            InvalidRows: some columns show one mark, and some the other.
        """
        shown = {mark: [name for name, column in self.columns.items() if column.shows(mark)] for mark in self.rules}
        if len(shown) > 1 and all(shown.values()):
            raise InvalidRows(
                f"numbers in column {shown[','][0]!r} have a decimal comma, in column {shown['.'][0]!r} a decimal point: give "
                "--decimal , or --decimal . (columns with the other mark are then text)"
            )
        if len(shown) == 1:
            return next(iter(shown))
        return "," if shown[","] else "."

    @property
    def reading(self) -> Reading:
        """What is known about the file now."""
        return Reading(decimal=self.decimal, null_words=self.rules[self.decimal].null_words).over(self._reading)

    @property
    def schema(self) -> pa.Schema:
        """The columns with their types."""
        mark = self.decimal
        return pa.schema([pa.field(name, column.type(mark)) for name, column in self.columns.items()])

    @property
    def notes(self) -> list[str]:
        """Notes on columns that are text although most of their values are numbers."""
        mark = self.decimal
        return [
            f"column {name!r} is text: {column.numbers[mark]:,} of its {column.present:,} values are numbers, and the first "
            f"that is not is in row {column.odd_row[mark]:,}"
            for name, column in self.columns.items()
            if named(column.type(mark)) == "text" and mark in column.odd_row and 2 * column.numbers[mark] > column.present
        ]


class _Seen:
    """What was seen of a column: ``numbers`` of its ``present`` values are numbers, by decimal mark; the first other is in row
    ``odd_row``."""

    def __init__(self, rules: dict[str, Rules], is_literal: bool) -> None:
        self._is_literal, self._rules, self._any = is_literal, rules, next(iter(rules.values()))
        kinds: list[tuple[pa.DataType | None, str | None]] = [(self._any.formatted, None), (pa.int64(), None)]
        kinds += [*((pa.float64(), mark) for mark in rules), (pa.date32(), None), (STAMP, None), (ZONED, None)]
        self._open = [(kind, mark) for kind, mark in kinds if kind is not None and not is_literal]
        self._shown: set[str] = set()
        self.present = 0
        self.numbers = dict.fromkeys(rules, 0)
        self.odd_row: dict[str, int] = {}

    def add(self, batch: pa.RecordBatch, texts: pa.Array) -> None:
        """Looks at more of its cells."""
        texts = texts if self._is_literal else self._any.present(texts)
        present = len(texts) - texts.null_count
        self.present += present
        if self._is_literal or not present:
            return
        self._open = [(kind, mark) for kind, mark in self._open if self._rules.get(mark or "", self._any).fits(texts, kind)]
        unsure = {mark for kind, mark in self._open if kind == pa.float64() and mark is not None} - self._shown
        if unsure:
            is_sure = pc.invert(pc.match_substring_regex(texts, GROUPED))
            self._shown |= {mark for mark in unsure if pc.any(pc.and_(pc.match_substring(texts, mark), is_sure)).as_py()}
        for mark, rules in self._rules.items():
            if (pa.float64(), mark) in self._open:
                self.numbers[mark] += present
                continue
            is_number = rules.numeric(texts)
            self.numbers[mark] += pc.sum(is_number).as_py() or 0
            if mark not in self.odd_row and pc.all(is_number).as_py() is False:
                self.odd_row[mark] = row_of(batch, pc.index(is_number, False).as_py())

    def shows(self, mark: str) -> bool:
        """Whether the column holds numbers with this decimal mark that are not numbers with the other."""
        return mark in self._shown and {found for _kind, found in self._open} == {mark}

    def type(self, mark: str) -> pa.DataType:
        """Its type, if ``mark`` is the decimal mark."""
        kinds = [kind for kind, found in self._open if found in (None, mark)]
        return kinds[0] if kinds and self.present else pa.string()

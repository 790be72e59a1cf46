"""Inspecting: how a file would be understood, and which of its values somebody should check before they are stored."""

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from expunge.data.column_types import Rules, named
from expunge.data.reading import UNKNOWN, Reading, Understood, understood
from expunge.data.row_numbers import row_of

EXAMPLES = 3
"""Number of values shown of each odd kind."""
COUNTED = 10_000
"""Up to this many different values of a column are counted."""
SHOWN = 40
"""Number of characters shown of a value."""
MAYBE_MISSING = ["?", "-", "--", ".", "n/a", "#n/a", "na", "nan", "null", "none", "nil", "unknown", "missing", "inf", "-inf"]
"""Words, in small letters, that often stand for a missing value or for something that is not a number."""
LOOSE = r"^\s*[-+$€£]?\s*[0-9][0-9.,'’ \x{a0}]*([eE][-+]?[0-9]+)?\s*[%$€£]?\s*$"
"""What a person may have meant as a number."""

Mask = Callable[[pa.Array, Rules], pa.Array]


@dataclass
class Odd:
    """Values of one kind that somebody should check.

    Args:
        kind: what is odd about them.
        count: number of cells.
        examples: some of the values, shortened, each with the row where it first occurs.
    """

    kind: str
    count: int = 0
    examples: dict[str, int] = field(default_factory=dict)

    def add(self, batch: pa.RecordBatch, texts: pa.Array, is_odd: pa.Array) -> None:
        """Counts them in more rows."""
        self.count += pc.sum(is_odd).as_py() or 0
        for index in pc.indices_nonzero(is_odd)[:COUNTED].to_pylist() if len(self.examples) < EXAMPLES else ():
            if len(self.examples) < EXAMPLES:
                self.examples.setdefault(shown(texts[index].as_py()), row_of(batch, index))


@dataclass
class ColumnReport:
    """How a column would be understood.

    Args:
        name: name of the column.
        type: the type in words.
        missing: number of cells without a value.
        different: number of different values, at most ``COUNTED + 1``.
        low: the least of its values, if they have an order.
        high: the greatest of its values.
        odd: values that somebody should check.
    """

    name: str
    type: str
    missing: int = 0
    different: int = 0
    low: str | None = None
    high: str | None = None
    odd: list[Odd] = field(default_factory=list)


@dataclass(frozen=True)
class Inspection:
    """How a source would be understood: its rows, how it is read, and its columns."""

    rows: int
    words: Sequence[str]
    columns: Sequence[ColumnReport]


def inspected(source: str, query: str | None = None, *, texts: Sequence[str] = (), reading: Reading = UNKNOWN) -> Inspection:
    """How ``source`` would be understood; nothing is stored. The arguments are those of ``read_batches``.

    Raises:
        InvalidRows: it cannot be read.
    """
    found = understood(source, query, texts=texts, reading=reading)
    reports = [ColumnReport(field.name, named(field.type)) for field in found.schema]
    values = [_Values(kind.type) for kind in found.schema]
    rows = 0
    for batch in found.open(found.schema):
        rows += len(batch)
        for seen, column in zip(values, batch.columns, strict=True):
            seen.add(column)
    for report, seen in zip(reports, values, strict=True):
        seen.tell(report)
    _find_odd(found, reports, values)
    return Inspection(rows, [*found.reading.words, *found.notes], reports)


def shown(value: object) -> str:
    """A value for the screen: quoted, shortened, and without characters that control a terminal."""
    text = value if isinstance(value, str) else str(value)
    return repr(text if len(text) <= SHOWN else textwrap.shorten(text[:SHOWN], SHOWN, placeholder="…") + "…")


class _Values:
    """Counts of a column's values."""

    def __init__(self, kind: pa.DataType) -> None:
        self._missing = 0
        self._is_ordered = any(test(kind) for test in (types.is_primitive, types.is_decimal)) and not types.is_boolean(kind)
        self._ends: list[Any] = []
        self.different: pa.Array | None = None if types.is_nested(kind) else pa.array([], kind)

    def add(self, values: pa.Array) -> None:
        """Looks at more values."""
        self._missing += values.null_count
        if self.different is not None and len(self.different) <= COUNTED:
            self.different = pa.chunked_array([self.different, pc.drop_null(pc.unique(values))]).unique()
        if self._is_ordered:
            ends = pc.min_max(values).as_py()
            self._ends += [end for end in ends.values() if end is not None]

    def tell(self, report: ColumnReport) -> None:
        """Writes the counts to ``report``."""
        report.missing = self._missing
        report.different = 0 if self.different is None else min(len(self.different), COUNTED + 1)
        if self._ends:
            report.low, report.high = str(min(self._ends)), str(max(self._ends))


def _find_odd(found: Understood, reports: Sequence[ColumnReport], values: Sequence[_Values]) -> None:
    """Adds to ``reports`` the values that are oddly written."""
    rules = Rules.of(found.reading)
    kinds = {report.name: {kind: Odd(kind) for kind in _KINDS} for report in reports}
    for batch in found.written():
        for name, texts in zip(batch.schema.names, batch.columns, strict=True):
            if types.is_string(texts.type) or types.is_large_string(texts.type):
                is_text = named(found.schema.field(name).type) == "text"
                for kind, (mask, needs_text) in _KINDS.items():
                    if is_text or not needs_text:
                        kinds[name][kind].add(batch, texts, pc.fill_null(mask(texts, rules), False))
    for report, seen in zip(reports, values, strict=True):
        report.odd = [odd for odd in kinds[report.name].values() if odd.count]
        if report.type == "text" and seen.different is not None and len(seen.different) <= COUNTED:
            report.odd += _alike(seen.different.to_pylist())


def _alike(labels: list[str]) -> Iterator[Odd]:
    """Labels that differ only in case or white space."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(re.sub(r"\s+", " ", label).strip().casefold(), []).append(label)
    alike = [group for group in groups.values() if len(group) > 1]
    if alike:
        examples = {" and ".join(map(shown, group[:EXAMPLES])): 0 for group in alike[:EXAMPLES]}
        yield Odd("differ only in case or spaces", len(alike), examples)


def _is_word(texts: pa.Array, rules: Rules) -> pa.Array:
    return pc.is_in(texts, value_set=pa.array(rules.null_words, pa.string()))


def _may_be_missing(texts: pa.Array, rules: Rules) -> pa.Array:
    is_known = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(texts)), value_set=pa.array(MAYBE_MISSING))
    return pc.and_not(is_known, _is_word(texts, rules))


def _is_nearly_a_number(texts: pa.Array, rules: Rules) -> pa.Array:
    is_meant = pc.match_substring_regex(texts, LOOSE)
    is_code = pc.match_substring_regex(texts, "^(0[0-9]+|[0-9]{16,})$")
    return pc.and_not(pc.and_not(is_meant, rules.numeric(texts)), is_code)


_KINDS: dict[str, tuple[Mask, bool]] = {
    "taken as missing": (_is_word, False),
    "perhaps missing, taken as text": (_may_be_missing, True),
    "spaces around": (lambda texts, _: pc.not_equal(pc.utf8_trim_whitespace(texts), texts), True),
    "leading zeros": (lambda texts, _: pc.match_substring_regex(texts, "^0[0-9]+$"), True),
    "too many digits for a number": (lambda texts, _: pc.match_substring_regex(texts, "^-?[1-9][0-9]{15,}$"), True),
    "nearly a number": (_is_nearly_a_number, True),
}
"""Kinds of odd values: a function that finds them, and whether only columns of texts can have them."""

"""The types of the texts in a file: one rule for each type, the same for every file, and no digit is lost.

- An *integer* has no leading zero and fits 64 bits.
- A *number* has a decimal mark, or an exponent with a sign, or at most 15 digits: ``12E4`` and ``00012`` are codes.
- A *date* is ``2024-02-29``, or in the given date format; a *time stamp* also has a time of day, ``2024-02-29 10:15:00``, and
  may have a zone, ``2024-02-29T10:15:00+02:00``.
- Everything else is text. A column has the first of these types that fits all of its cells; cells with the words for missing
  values do not count.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from expunge.data.dialect import NULL_WORDS, Reading

STAMP, ZONED = pa.timestamp("us"), pa.timestamp("us", "UTC")
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?"
_ZONE = r"(Z|[-+][0-9]{2}:?[0-9]{2})"


class Misfit(ValueError):
    """A cell that is not of the type of its column; ``index`` is its position."""

    def __init__(self, index: int) -> None:
        self.index = index

    def reason(self, wanted: pa.DataType) -> str:
        """Why it is not of type ``wanted``, for a file of rejects."""
        return f"not of type {named(wanted)}"


class Inexact(Misfit):
    """A number that a column of numbers could only hold by rounding it."""

    def reason(self, wanted: pa.DataType) -> str:
        """Why it is not of type ``wanted``, for a file of rejects."""
        return f"would be rounded in a column of {wanted.bit_width}-bit numbers"


@dataclass(frozen=True)
class Rules:
    """What the values of a file are: the rules above, with the file's marks, words and format."""

    decimal: str = "."
    thousands: str | None = None
    null_words: tuple[str, ...] = NULL_WORDS
    date_format: str | None = None

    @classmethod
    def of(cls, reading: Reading) -> "Rules":
        """The rules given by ``reading``, and the usual ones where it leaves them open."""
        words = NULL_WORDS if reading.null_words is None else reading.null_words
        return cls(reading.decimal or ".", reading.thousands, words, reading.date_format)

    @property
    def formatted(self) -> pa.DataType | None:
        """The type of dates in the given format: dates, or time stamps if the format has a time of day."""
        if self.date_format is None:
            return None
        return STAMP if re.search("%[HIMSTRXcp]", self.date_format) else pa.date32()

    def present(self, texts: pa.Array) -> pa.Array:
        """``texts``, with null in place of words for a missing value."""
        is_word = pc.is_in(texts, value_set=pa.array(self.null_words, pa.string()))
        return pc.if_else(is_word, None, texts) if pc.any(is_word).as_py() else texts

    def fits(self, texts: pa.Array, wanted: pa.DataType) -> bool:
        """Whether all ``texts`` are of type ``wanted``."""
        try:
            self._as(texts, wanted)
        except (Misfit, pa.ArrowInvalid):
            return False
        return True

    def parsed(self, texts: pa.Array, wanted: pa.DataType) -> pa.Array:
        """``texts`` as values of type ``wanted``.

        Raises:
            Misfit: the first text that is not of the type.
        """
        try:
            return self._as(texts, wanted)
        except pa.ArrowInvalid:
            raise Misfit(_first(texts, lambda part: self.fits(part, wanted))) from None

    def numeric(self, texts: pa.Array) -> pa.Array:
        """A mask of the ``texts`` that look like numbers; null where there is no text."""
        return pc.match_substring_regex(texts, self._number)

    def _as(self, texts: pa.Array, wanted: pa.DataType) -> pa.Array:
        if types.is_integer(wanted):
            return self._plain(_matching(texts, self._integer)).cast(wanted)
        if types.is_floating(wanted):
            values = self._plain(_matching(texts, self._number)).cast(pa.float64()).cast(wanted)
            return _where(values, pc.is_finite(values))
        if types.is_decimal(wanted):
            return self._plain(_matching(texts, self._number)).cast(wanted)
        if types.is_boolean(wanted):
            return pc.utf8_lower(_matching(texts, "^(true|True|TRUE|false|False|FALSE)$")).cast(wanted)
        if types.is_date32(wanted) or types.is_timestamp(wanted):
            return self._times(texts, wanted)
        return texts

    def _times(self, texts: pa.Array, wanted: pa.DataType) -> pa.Array:
        pattern = f"^{_DATE}$" if types.is_date32(wanted) else f"^{_DATE}({_CLOCK})?$"
        if types.is_timestamp(wanted) and wanted.tz is not None:
            return _matching(texts, f"^{_DATE}{_CLOCK}{_ZONE}$").cast(wanted)
        if self.formatted is None or (types.is_date32(wanted) and self.formatted != wanted):
            return _matching(texts, pattern).cast(wanted)
        found, is_so = self._formatted(texts)
        other = pc.if_else(is_so, None, texts)
        return pc.coalesce(pc.if_else(is_so, found, None).cast(wanted), _matching(other, pattern).cast(wanted))

    def _formatted(self, texts: pa.Array) -> tuple[pa.Array, pa.Array]:
        """Times in the given format, and which ``texts`` are such: formatted again, they are the same."""
        found = pc.strptime(texts, format=self.date_format, unit="s", error_is_null=True)
        is_same = pc.equal(_bare(pc.strftime(found, format=self.date_format)), _bare(texts))
        return found, pc.fill_null(pc.and_(is_same, pc.greater_equal(pc.year(found), 1000)), False)  # %Y takes two digits too

    def _plain(self, texts: pa.Array) -> pa.Array:
        """Numbers as Arrow reads them."""
        if self.thousands is not None:
            texts = pc.replace_substring(texts, self.thousands, "")
        return texts if self.decimal == "." else pc.replace_substring(texts, self.decimal, ".")

    @cached_property
    def _integer(self) -> str:
        return f"^-?(0|[1-9][0-9]*{self._grouped})$"

    @cached_property
    def _number(self) -> str:
        mark, whole = re.escape(self.decimal), f"(0|[1-9][0-9]*{self._grouped})"
        return (
            f"^-?((0|[1-9][0-9]{{0,14}}{self._grouped})|{whole}[eE][-+][0-9]+"
            f"|({whole}{mark}[0-9]*|{mark}[0-9]+)([eE][-+]?[0-9]+)?)$"
        )

    @property
    def _grouped(self) -> str:
        return "" if self.thousands is None else f"|[1-9][0-9]{{0,2}}({re.escape(self.thousands)}[0-9]{{3}}){{1,4}}"


def is_written(wanted: pa.DataType) -> bool:
    """Whether a text can be a value of type ``wanted``."""
    tests = (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean, types.is_date32, types.is_timestamp)
    return types.is_string(wanted) or any(test(wanted) for test in tests)


def named(given: pa.DataType) -> str:
    """The type in words.

    Examples:
        >>> named(pa.int64()), named(pa.timestamp("us"))
        ('integer', 'time stamp')
    """
    words = {
        types.is_integer: "integer",
        types.is_floating: "number",
        types.is_boolean: "true or false",
        types.is_date: "date",
        types.is_string: "text",
        types.is_large_string: "text",
        types.is_string_view: "text",
    }
    if types.is_timestamp(given):
        return "time stamp" if given.tz is None else "time stamp with zone"
    return next((word for test, word in words.items() if test(given)), str(given))


def _bare(texts: pa.Array) -> pa.Array:
    """Dates in small letters, without the zeros and spaces that may be left out."""
    return pc.utf8_lower(pc.replace_substring_regex(texts, r"(^|[^0-9])0+([0-9])", r"\1\2"))


def _matching(texts: pa.Array, pattern: str) -> pa.Array:
    return _where(texts, pc.match_substring_regex(texts, pattern))


def _where(values: pa.Array, is_right: pa.Array) -> pa.Array:
    """``values``, all of which are right or null."""
    if pc.all(is_right).as_py() is False:
        raise Misfit(pc.index(is_right, False).as_py())
    return values


def _first(texts: pa.Array, fits: Callable[[pa.Array], bool]) -> int:
    """Position of the first of ``texts`` that does not fit."""
    low, high = 0, len(texts)  # all before low fit, and not all before high
    while high - low > 1:
        middle = (low + high) // 2
        if fits(texts.slice(low, middle - low)):
            low = middle
        else:
            high = middle
    return low

"""How to read a file, as far as somebody has said; what is left open is detected, and shown."""

import json
import time
from dataclasses import asdict, dataclass, fields, replace

from expunge.errors import InvalidRows

NULL_WORDS = ("NA", "NaN", "nan", "null", "NULL")
"""Cells that mean missing values, besides empty ones, unless other words are given."""
VALUES = ("decimal", "thousands", "null_words", "date_format")
"""Options that say what a value is: chosen when a workspace is made, and the same for every later file."""
_A_DAY = time.gmtime(0)


@dataclass(frozen=True)
class Reading:
    """Options of reading; ``None`` means that the option is detected, or that its default holds.

    Args:
        delimiter: the character between cells.
        encoding: encoding of the text, a Python codec such as ``cp1252``.
        heading: whether the first row names the columns.
        sheet: sheet of an Excel file.
        decimal: decimal mark of numbers, ``.`` or ``,``.
        thousands: mark between groups of three digits; by default there is none.
        null_words: cells that mean missing values, besides empty ones; by default ``NULL_WORDS``.
        date_format: format of dates as for ``strptime``, besides ISO 8601: ``%d.%m.%Y``.

    Raises:
        ValueError: an invalid option.
    """

    delimiter: str | None = None
    encoding: str | None = None
    heading: bool | None = None
    sheet: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    null_words: tuple[str, ...] | None = None
    date_format: str | None = None

    def __post_init__(self) -> None:
        if self.delimiter is not None and (
            len(self.delimiter) != 1 or self.delimiter in '"\r\n\0' or not self.delimiter.isascii()
        ):
            raise ValueError("the delimiter must be one ASCII character that is not a quotation mark or line break")
        if self.decimal not in (None, ".", ","):
            raise ValueError("the decimal mark must be . or ,")
        if self.thousands is not None and (len(self.thousands) != 1 or self.thousands.isalnum() or self.thousands in "-+"):
            raise ValueError("the thousands mark must be one character that is not a letter, digit or sign")
        if self.thousands is not None and self.thousands == (self.decimal or "."):
            raise ValueError("the decimal mark and the thousands mark must differ: give --decimal too")
        if self.date_format is not None:
            try:
                is_right = time.strptime(time.strftime(self.date_format, _A_DAY), self.date_format)[:3] == _A_DAY[:3]
            except ValueError:
                is_right = False
            if not is_right:
                raise ValueError(f"{self.date_format!r} is not a date format: use one such as %d.%m.%Y")
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except LookupError:
                raise ValueError(f"there is no encoding {self.encoding!r}: use one such as cp1252, latin-1 or utf-16") from None

    def over(self, other: "Reading") -> "Reading":
        """These options, and those of ``other`` where these leave something open.

        Args:
            other: the options that hold where these leave something open.
        """
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(other, **{name: value for name, value in given.items() if value is not None})

    @classmethod
    def from_json(cls, text: str) -> "Reading":
        """The options that ``to_json`` wrote.

        Args:
            text: what ``to_json`` wrote.
        """
        given = json.loads(text)
        return cls(**{**given, "null_words": None if given["null_words"] is None else tuple(given["null_words"])})

    def to_json(self) -> str:
        """All options, as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def words(self) -> list[str]:
        """What is known, in words."""
        names = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", ".": "point"}
        said = [
            self.encoding and f"its encoding is {self.encoding}",
            self.delimiter and f"cells are separated by {names.get(self.delimiter, self.delimiter)}",
            self.sheet and f"the sheet is {self.sheet!r}",
            {None: None, True: "the first row is the heading", False: "there is no heading"}[self.heading],
            self.decimal and f"numbers have a decimal {names[self.decimal]}",
            self.thousands and f"thousands are marked with {names.get(self.thousands, repr(self.thousands))}",
            self.date_format and f"dates are written {self.date_format}",
            None
            if self.null_words is None
            else f"missing values are empty cells{''.join(f', {word}' for word in self.null_words if word)}",
        ]
        found = [text for text in said if text]
        return [f"read as follows: {'; '.join(found)}"] if found else []

    def require_only(self, source: str, *names: str) -> None:
        """Raises ``InvalidRows`` if an option is given that ``source`` cannot have: neither in ``names`` nor about values.

        Args:
            names: names of the options that the file can have.
            source: name of the file.
        """
        for field in fields(self):
            if field.name not in (*names, *VALUES) and getattr(self, field.name) is not None:
                raise InvalidRows(f"{source} cannot have the option {field.name}: leave it out")

    @property
    def values(self) -> "Reading":
        """The options that say what a value is."""
        return Reading(**{name: getattr(self, name) for name in VALUES})


UNKNOWN = Reading()
"""Nothing is known."""

"""How a file is to be read, as far as somebody has said it: what is left open is detected, and shown."""

import json
import time
from dataclasses import asdict, dataclass, fields, replace

from expunge.errors import InvalidRows

NULL_WORDS = ("NA", "NaN", "nan", "null", "NULL")
"""Cells that are missing values, beside empty ones, unless other words are named."""
VALUES = ("decimal", "thousands", "null_words", "date_format")
"""Options that say what a value is: chosen once, when a workspace is made, and the same for every later file."""
_A_DAY = time.gmtime(0)


@dataclass(frozen=True)
class Reading:
    """Options of reading; ``None`` means that it is detected, or that the default holds.

    Args:
        delimiter: what stands between cells, one character.
        encoding: of the text, a codec of Python's such as ``cp1252``.
        heading: whether the first row names the columns.
        sheet: of an Excel file.
        decimal: decimal mark of numbers, ``.`` or ``,``.
        thousands: mark between groups of three digits; by default there is none.
        null_words: cells that are missing values, beside empty ones; by default ``NULL_WORDS``.
        date_format: of dates, as ``strptime`` has it, beside ISO 8601: ``%d.%m.%Y``.

    Raises:
        ValueError: an option that cannot be.
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
            raise ValueError("the delimiter must be one ASCII character, and no quotation mark or line break")
        if self.decimal not in (None, ".", ","):
            raise ValueError("the decimal mark must be . or ,")
        if self.thousands is not None and (len(self.thousands) != 1 or self.thousands.isalnum() or self.thousands in "-+"):
            raise ValueError("the thousands mark must be one character, and no letter, digit or sign")
        if self.thousands is not None and self.thousands == (self.decimal or "."):
            raise ValueError("the decimal mark and the thousands mark must differ: give --decimal too")
        if self.date_format is not None:
            try:
                is_right = time.strptime(time.strftime(self.date_format, _A_DAY), self.date_format)[:3] == _A_DAY[:3]
            except ValueError:
                is_right = False
            if not is_right:
                raise ValueError(f"{self.date_format!r} is not a format of dates: %d.%m.%Y is one")
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except LookupError:
                raise ValueError(f"there is no encoding {self.encoding!r}: cp1252, latin-1 and utf-16 are some") from None

    def over(self, other: "Reading") -> "Reading":
        """This, and where it says nothing what ``other`` says.

        Args:
            other: what holds where this says nothing.
        """
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(other, **{name: value for name, value in given.items() if value is not None})

    @classmethod
    def from_json(cls, text: str) -> "Reading":
        """What ``to_json`` wrote.

        Args:
            text: what ``to_json`` wrote.
        """
        given = json.loads(text)
        return cls(**{**given, "null_words": None if given["null_words"] is None else tuple(given["null_words"])})

    def to_json(self) -> str:
        """All of it, as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def words(self) -> list[str]:
        """What is known, for a person."""
        names = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", ".": "point"}
        said = [
            self.encoding and f"its encoding is {self.encoding}",
            self.delimiter and f"cells are parted by {names.get(self.delimiter, self.delimiter)}",
            self.sheet and f"the sheet is {self.sheet!r}",
            {None: None, True: "the first row is the heading", False: "there is no heading"}[self.heading],
            self.decimal and f"numbers have a decimal {names[self.decimal]}",
            self.thousands and f"thousands are marked with {names.get(self.thousands, repr(self.thousands))}",
            self.date_format and f"dates are written {self.date_format}",
            None
            if self.null_words is None
            else f"missing are empty cells{''.join(f', {word}' for word in self.null_words if word)}",
        ]
        found = [text for text in said if text]
        return [f"read so: {'; '.join(found)}"] if found else []

    def require_only(self, source: str, *names: str) -> None:
        """Raises ``InvalidRows`` if more is said than ``names`` and what a value is, which ``source`` cannot have.

        Args:
            names: of options that the file can have.
            source: what the file is called.
        """
        for field in fields(self):
            if field.name not in (*names, *VALUES) and getattr(self, field.name) is not None:
                raise InvalidRows(f"{source} has no {field.name} that could be said: leave the option out")

    @property
    def values(self) -> "Reading":
        """The part that says what a value is."""
        return Reading(**{name: getattr(self, name) for name in VALUES})


UNKNOWN = Reading()
"""Nothing is known."""

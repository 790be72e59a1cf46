"""Quotation marks in text files: one in a quoted cell is doubled, or ends the cell. Readers accept others, and lose them."""

import re

_CELL = re.compile(rb'"(?:[^"]++|"")*+"')


class BadText(Exception):
    """Bytes that are not text, or not cells."""


class Quotation:
    """Follows the quotation marks of a file through its pieces.

    Args:
        delimiter: the character between cells.
    """

    def __init__(self, delimiter: str) -> None:
        ends = rb"\r\n" + re.escape(delimiter.encode())
        cell = rb'(?<![^%b])"(?:[^"]++|"")*+"(?=[%b])' % (ends, ends)
        self._right = re.compile(rb'(?:[^"]++|%b|(?<=[^%b])")*+' % (cell, ends))
        self._left, self._enough = b"\n", 0

    def add(self, piece: bytes, *, is_last: bool = False) -> None:
        """Looks at the next ``piece``.

        Args:
            is_last: whether the file ends with it, so nothing may be left for later.

        Raises:
            BadText: a mark is followed by something that cannot follow it.
        """
        text = self._left + piece
        if is_last or len(text) >= self._enough:  # in a long cell, not every piece is worth another look
            end = self._right.match(text, 1).end()  # type: ignore[union-attr]  # it also matches nothing
            cell = _CELL.match(text, end)
            if cell is not None and cell.end() < len(text):
                raise BadText(
                    'a quotation mark in a quoted cell is neither doubled nor its end (some programs write \\" for one): write '
                    "it twice. Nothing was changed"
                )
            text = text[end - 1 :]
            self._enough = 2 * len(text) if len(text) > 1 else 0
        self._left = text

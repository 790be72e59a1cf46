"""Words of the ledger: where a column holds one of a few words, each has one meaning and one owner."""

from enum import StrEnum
from typing import Self

from expunge.errors import LedgerCorrupt


class Word(StrEnum):
    """One of a few words that a column may hold."""

    @classmethod
    def read(cls, text: str) -> Self:
        """The word that was written as ``text``.

        Raises:
            LedgerCorrupt: there is no such word.
        """
        try:
            return cls(text)
        except ValueError as error:
            known = ", ".join(cls)
            raise LedgerCorrupt(f"the ledger holds {text!r} where one of {known} belongs: run expunge doctor") from error

"""Pseudonyms: keyed hashes that stand for subject ids in the table and in the ledger; the ids themselves are kept nowhere.

One secret key; two pseudonyms of every subject that cannot be linked without it: the one in the table, which goes with
the rows, and the tombstone, which stays and answers "already forgotten".
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expunge.data import keyfiles
from expunge.data.schema import label


@dataclass(frozen=True)
class SubjectKey:
    """The key under which subject ids are hashed."""

    secret: bytes = field(repr=False)

    @classmethod
    def create(cls, path: Path) -> "SubjectKey":
        """A new key, kept in ``path``, readable by its owner alone."""
        return cls(keyfiles.create(path))

    @classmethod
    def load(cls, path: Path) -> "SubjectKey":
        """The key in ``path``.

        Raises:
            WorkspaceInvalid: it is missing or damaged.
        """
        return cls(keyfiles.load(path, "subject key", "nobody's rows can be found again"))

    def pseudonym(self, subject: str) -> str:
        """What stands for ``subject`` in the table, 32 hexadecimal digits."""
        return hmac.digest(self.secret, b"subject\0" + subject.encode(), "sha256").hex()[:32]

    def tombstone(self, pseudonym: str) -> str:
        """What stands for it in the ledger for good, 32 hexadecimal digits."""
        return hmac.digest(self.secret, b"tombstone\0" + pseudonym.encode(), "sha256").hex()[:32]

    def receipt_salt(self, request: str) -> str:
        """The salt of the receipt for ``request``, 64 hexadecimal digits: nobody knows it who has neither key nor receipt."""
        return hmac.digest(self.secret, b"receipt\0" + request.encode(), "sha256").hex()

    def fingerprint(self) -> str:
        """Tells one key from another without giving it away."""
        return hashlib.sha256(b"expunge subject key\0" + self.secret).hexdigest()[:16]


def subject_text(value: Any) -> str:
    """A subject id as the text it is hashed as: whole floats as integers, no spaces around it.

    >>> subject_text(7.0), subject_text(" ab ")
    ('7', 'ab')
    """
    return (label(value) or "").strip()

"""Hashed ids: the stated hash of an id in a column, by which people on a suppression list are found.

Such a list (California's DROP, a marketing suppression list) names people by a plain hash of, say, their e-mail address. Ids
are kept here as keyed hashes alone, from which nobody can make the plain one. So a column that lists are about is declared when
the workspace is made, with how its ids are normalised and hashed. Then each row also gets the pseudonym of that hash, as of any
other id: at rest it is a keyed hash, and a listed hash is looked up like an id. Its column is called ``sha256(lower(email))``.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from expunge.identities import WHITE_SPACE, canonical

NORMALISATIONS: dict[str, Callable[[str], str]] = {
    "exact": lambda text: text,
    "lower": lambda text: text.lower(),
    "digits": lambda text: re.sub(r"\D", "", text),
    "e164": lambda text: "+" + re.sub(r"\D", "", text),
}
"""How an id is written before it is hashed, white space around it left out: as it is, in lower case (e-mail addresses), its
digits alone, or these after a plus sign (telephone numbers with their country code, E.164)."""
ALGORITHMS = ("sha256", "sha512", "sha1", "md5")
NAME = re.compile(rf"({'|'.join(ALGORITHMS)})\(({'|'.join(NORMALISATIONS)})\((.+)\)\)", re.DOTALL)


@dataclass(frozen=True)
class HashedId:
    """The hash of the ids in a column.

    Args:
        column: the column of ids.
        normalisation: one of ``NORMALISATIONS``.
        algorithm: one of ``ALGORITHMS``.
    """

    column: str
    normalisation: str
    algorithm: str

    def __str__(self) -> str:
        return f"{self.algorithm}({self.normalisation}({self.column}))"

    @classmethod
    def named(cls, name: str) -> "HashedId | None":
        """The one that ``str`` wrote; ``None`` for the name of any other column."""
        found = NAME.fullmatch(name)
        return None if found is None else cls(found[3], found[2], found[1])

    @classmethod
    def declared(cls, text: str) -> "HashedId":
        """The one that somebody declared, as ``sha256(lower(email))``.

        Raises:
            ValueError: it is written otherwise, or names what there is not.
        """
        found = cls.named(text)
        if found is None:
            raise ValueError(
                f"a hashed alias is written like sha256(lower(email)), got {text!r}: the hash is {', '.join(ALGORITHMS)}, "
                f"what is done before it {', '.join(NORMALISATIONS)}, and then comes a column"
            )
        return found

    def of(self, text: str) -> str:
        """The hash of an id, in lower-case hexadecimal.

        Examples:
            >>> HashedId("email", "lower", "sha256").of(" Ann@Example.org ")[:16]
            '438c4c7afe600cdf'
        """
        written = NORMALISATIONS[self.normalisation](canonical(text)).strip(WHITE_SPACE)
        return hashlib.new(self.algorithm, written.encode(), usedforsecurity=False).hexdigest()

    def read(self, entry: str) -> str | None:
        """A listed hash, in hexadecimal or Base64, as lower-case hexadecimal; ``None`` if it is not such a hash."""
        size = hashlib.new(self.algorithm, usedforsecurity=False).digest_size
        if re.fullmatch(rf"[0-9a-fA-F]{{{2 * size}}}", entry):
            return entry.lower()
        plain = entry.replace("-", "+").replace("_", "/")
        try:
            content = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        except (binascii.Error, ValueError):
            return None
        return content.hex() if len(content) == size else None


def plain_columns(names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of ``names`` that are columns of the data, and not hashes of one."""
    return tuple(name for name in names if HashedId.named(name) is None)

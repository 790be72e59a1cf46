"""Pseudonyms: keyed hashes that stand for subject ids in the table and in the ledger; the ids themselves are kept nowhere.

There is one secret key. Every subject has two pseudonyms that cannot be linked without it: the one in the table, which goes
with the rows, and the tombstone, which stays for its term and answers "already forgotten". Another id of the same person, an
alias, is hashed with the name of its column, so equal values in two columns (customer 1001 and device 1001) are different.
"""

import hashlib
import hmac
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from expunge.data import keyfiles
from expunge.identities import EXACT, FIRST, Rule, canonical, spellings

_NAME, _LOSS = "subject key", "nobody's rows can be found again"
_RULE = "ids by rule "
"""A line of the key's file: how ids are compared."""


@dataclass(frozen=True)
class SubjectKey:
    """The key under which subject ids are hashed.

    Args:
        rules: rules by which ids are and were compared, newest last; new rows get the pseudonym by the newest.
    """

    secret: bytes = field(repr=False)
    rules: tuple[Rule, ...] = (EXACT,)

    @classmethod
    def create(cls, path: Path, rule: Rule = EXACT) -> "SubjectKey":
        """A new key, kept in ``path``, readable only by its owner."""
        return cls(keyfiles.create(path, [f"{_RULE}{rule}"]), (rule,))

    @classmethod
    def load(cls, path: Path) -> "SubjectKey":
        """The key in ``path``; a file that names no rule dates from when there was only one.

        Raises:
            WorkspaceInvalid: it is missing or damaged.
        """
        secret, lines = keyfiles.load_with_lines(path, _NAME, _LOSS)
        try:
            rules = tuple(Rule.named(line.removeprefix(_RULE)) for line in lines)
        except ValueError:
            raise keyfiles.damaged(path, _NAME, _LOSS) from None
        return cls(secret, rules or (FIRST,))

    def save(self, path: Path) -> None:
        """Writes it to ``path``."""
        keyfiles.write(path, self.secret, [f"{_RULE}{rule}" for rule in self.rules])

    @property
    def rule(self) -> Rule:
        """How ids are compared now."""
        return self.rules[-1]

    def renewed(self) -> "SubjectKey":
        """The same key by the newest rule; itself if it has that."""
        return self if self.rule == self.rule.newest else replace(self, rules=(*self.rules, self.rule.newest))

    def canonical(self, text: str) -> str:
        """The form of an id that is compared; see ``identities.canonical``."""
        return canonical(text, self.rule)

    def pseudonym(self, text: str, alias: str | None = None) -> str:
        """The pseudonym of the id ``text`` in the table, 32 hexadecimal digits.

        Args:
            alias: the column of the id, if that is not the subject's.

        Raises:
            ValueError: ``text`` is not an id.
        """
        return self._hashed([self.canonical(text)], alias)[0]

    def present(self, texts: Collection[str], alias: str | None = None) -> dict[str, str]:
        """The pseudonym of each of ``texts`` by the present rule; see ``pseudonym``."""
        rule = self.rule
        return dict(zip(texts, self._hashed([canonical(text, rule) for text in texts], alias), strict=True))

    def pseudonyms(self, text: str, alias: str | None = None) -> list[str]:
        """All possible pseudonyms of the id ``text``: first the present one, then those by earlier rules."""
        earlier = [spelled for rule in self.rules[:-1] for spelled in spellings(text, rule)]
        return list(dict.fromkeys(self._hashed([self.canonical(text), *earlier], alias)))

    def _hashed(self, forms: Sequence[str], alias: str | None) -> list[str]:
        kind = "subject" if alias is None else f"alias\0{alias}"
        begun, tags = hmac.new(self.secret, f"{kind}\0".encode(), "sha256"), []
        for form in forms:
            keyed = begun.copy()  # at half the cost of hmac.digest
            keyed.update(form.encode())
            tags.append(keyed.hexdigest()[:32])
        return tags

    def tombstone(self, pseudonym: str) -> str:
        """The tombstone that stands for it in the ledger for its term, 32 hexadecimal digits."""
        return hmac.digest(self.secret, b"tombstone\0" + pseudonym.encode(), "sha256").hex()[:32]

    def receipt_salt(self, request: str) -> str:
        """The salt of the receipt for ``request``, 64 hexadecimal digits: only holders of the key or the receipt know it."""
        return hmac.digest(self.secret, b"receipt\0" + request.encode(), "sha256").hex()

    def call(self, part: str, text: str) -> str:
        """A keyed hash of a ``part`` of a call, 64 hexadecimal digits, against which nobody without the key can try a guess."""
        return hmac.digest(self.secret, f"call\0{part}\0{text}".encode(), "sha256").hex()

    def fingerprint(self) -> str:
        """A mark that distinguishes keys, and sets of rules, without revealing the key."""
        rules = "\n".join(map(str, self.rules)).encode()
        return hashlib.sha256(b"expunge subject key\0" + self.secret + b"\0" + rules).hexdigest()[:16]


def nobody(_pseudonyms: Collection[str]) -> Collection[str]:
    """In a new table nobody has a pseudonym."""
    return ()


@dataclass(frozen=True)
class Identification:
    """How ids become pseudonyms.

    Args:
        key: key under which ids are hashed.
        subject: the column that says to whom a row belongs.
        aliases: columns with other ids of the same person.
        taken: returns those pseudonyms of a collection that already stand for somebody, in the table or in the ledger.
    """

    key: SubjectKey
    subject: str
    aliases: tuple[str, ...] = ()
    taken: Callable[[Collection[str]], Collection[str]] = nobody

    def pseudonyms(self, texts: Sequence[str], alias: str | None = None) -> list[str]:
        """The pseudonym of each of ``texts``: by an earlier rule if somebody already has it, otherwise the present one."""
        if len(self.key.rules) == 1:  # as in every workspace that is made today: there is one pseudonym of an id
            present = self.key.present(set(texts), alias)
            return [present[text] for text in texts]
        made = {text: self.key.pseudonyms(text, alias) for text in dict.fromkeys(texts)}
        earlier = {pseudonym for _present, *before in made.values() for pseudonym in before}
        taken = set(self.taken(earlier)) if earlier else set[str]()
        return [next((found for found in made[text] if found in taken), made[text][0]) for text in texts]

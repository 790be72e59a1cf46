"""Pseudonyms: keyed hashes that stand for subject ids in the table and in the ledger; the ids themselves are kept nowhere.

One secret key; two pseudonyms of every subject that cannot be linked without it: the one in the table, which goes with
the rows, and the tombstone, which stays for its term and answers "already forgotten". Another id of the same person, an alias,
is hashed under the name of its column, so that equal values of two columns (a customer 1001 and a device 1001) are two.
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
        rules: how ids are and were compared, the newest last; new rows get the pseudonym of that one.
    """

    secret: bytes = field(repr=False)
    rules: tuple[Rule, ...] = (EXACT,)

    @classmethod
    def create(cls, path: Path, rule: Rule = EXACT) -> "SubjectKey":
        """A new key, kept in ``path``, readable by its owner alone."""
        return cls(keyfiles.create(path, [f"{_RULE}{rule}"]), (rule,))

    @classmethod
    def load(cls, path: Path) -> "SubjectKey":
        """The key in ``path``; a file that names no rule is of the time when there was one only.

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
        """What stands for the id ``text`` in the table, 32 hexadecimal digits.

        Args:
            alias: the column of which it is, if that is not the subject's.

        Raises:
            ValueError: no id.
        """
        return self._hashed([self.canonical(text)], alias)[0]

    def present(self, texts: Collection[str], alias: str | None = None) -> dict[str, str]:
        """What stands for each of ``texts`` by the present rule; see ``pseudonym``."""
        rule = self.rule
        return dict(zip(texts, self._hashed([canonical(text, rule) for text in texts], alias), strict=True))

    def pseudonyms(self, text: str, alias: str | None = None) -> list[str]:
        """All that may stand for the id ``text``, the present one first, then those by earlier rules."""
        earlier = [spelled for rule in self.rules[:-1] for spelled in spellings(text, rule)]
        return list(dict.fromkeys(self._hashed([self.canonical(text), *earlier], alias)))

    def _hashed(self, forms: Sequence[str], alias: str | None) -> list[str]:
        kind = "subject" if alias is None else f"alias\0{alias}"
        begun, tags = hmac.new(self.secret, f"{kind}\0".encode(), "sha256"), []
        for form in forms:
            keyed = begun.copy()  # which costs half of what hmac.digest does
            keyed.update(form.encode())
            tags.append(keyed.hexdigest()[:32])
        return tags

    def tombstone(self, pseudonym: str) -> str:
        """What stands for it in the ledger for its term, 32 hexadecimal digits."""
        return hmac.digest(self.secret, b"tombstone\0" + pseudonym.encode(), "sha256").hex()[:32]

    def receipt_salt(self, request: str) -> str:
        """The salt of the receipt for ``request``, 64 hexadecimal digits: nobody knows it who has neither key nor receipt."""
        return hmac.digest(self.secret, b"receipt\0" + request.encode(), "sha256").hex()

    def fingerprint(self) -> str:
        """Tells one key, and one set of rules, from another without giving the key away."""
        rules = "\n".join(map(str, self.rules)).encode()
        return hashlib.sha256(b"expunge subject key\0" + self.secret + b"\0" + rules).hexdigest()[:16]


def nobody(_pseudonyms: Collection[str]) -> Collection[str]:
    """In a new table nobody has a pseudonym."""
    return ()


@dataclass(frozen=True)
class Identification:
    """How whose a row is becomes pseudonyms.

    Args:
        key: under which ids are hashed.
        subject: the column that says whose a row is.
        aliases: columns with other ids of the same person.
        taken: tells which of some pseudonyms stand for somebody already, in the table or in the ledger.
    """

    key: SubjectKey
    subject: str
    aliases: tuple[str, ...] = ()
    taken: Callable[[Collection[str]], Collection[str]] = nobody

    def pseudonyms(self, texts: Sequence[str], alias: str | None = None) -> list[str]:
        """What stands for each of ``texts``: the pseudonym by an earlier rule where somebody has that, else the present one."""
        if len(self.key.rules) == 1:  # as in every workspace that is made today: there is one pseudonym of an id
            present = self.key.present(set(texts), alias)
            return [present[text] for text in texts]
        made = {text: self.key.pseudonyms(text, alias) for text in dict.fromkeys(texts)}
        earlier = {pseudonym for _present, *before in made.values() for pseudonym in before}
        taken = set(self.taken(earlier)) if earlier else set[str]()
        return [next((found for found in made[text] if found in taken), made[text][0]) for text in texts]

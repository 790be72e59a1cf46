"""Suppression lists: people on a list of hashed ids are forgotten, and their later rows are left out.

A list states the column of its ids, how they were normalised, and the hash, as California's DROP does. It is matched with the
hashed aliases that were declared when the workspace was made (``data.hashed_ids``). Whoever is found is asked to be forgotten,
like anybody. Every entry is kept, as a keyed hash, for the rows that come later.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import sqlalchemy as sa

from expunge.data.hashed_ids import HashedId
from expunge.data.own_columns import alias_names
from expunge.evidence.events import EventKind
from expunge.ledger import log, suppressions, times
from expunge.ledger.suppressions import SuppressionList
from expunge.workspace import batch, desk
from expunge.workspace.asking import Answer, ForgetRequest
from expunge.workspace.people import id_columns
from expunge.workspace.storage import Storage

LIST_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class GivenList:
    """A list as somebody brought it.

    Args:
        name: what it is to be called; it is in the log.
        hashed: what its entries are.
        entries: the hashes, in hexadecimal or Base64.
        lines: the line of each, for error messages.
    """

    name: str
    hashed: HashedId
    entries: Sequence[str] = field(repr=False)
    lines: Sequence[int] = field(repr=False)


@dataclass(frozen=True)
class Suppressed:
    """What became of a list.

    Args:
        name: of the list.
        column: the hashed alias that it is about.
        entries: number of different hashes on it.
        new: number of those that were not on the list of this name before.
        several: number of hashes that stand for several people here, of whom nobody was asked to be forgotten.
        answers: for each hash that stands for one person, by the answer to the request.
    """

    name: str
    column: str
    entries: int
    new: int
    several: int
    answers: Sequence[Answer] = field(repr=False)

    @property
    def unmatched(self) -> int:
        """Number of hashes that nobody here has; they are kept for later rows."""
        return self.entries - self.several - len(self.answers)


class Suppression:
    """The suppression lists of the workspace at ``storage``."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def lists(self) -> list[SuppressionList]:
        """The lists that are kept, by name."""
        with self.storage.database.reading() as connection:
            return suppressions.lists(connection)

    @property
    def hashes(self) -> list[str]:
        """The hashes that were declared, as ``sha256(lower(email))``: lists can be about these."""
        with self.storage.database.reading() as connection:
            _subject, aliases = id_columns(connection)
        return [name for name in aliases if HashedId.named(name) is not None]

    def applied(self) -> None:
        """Notes that rows that came were compared with the lists; the caller may change the workspace."""
        if self.lists():
            with self.storage.database.writing() as connection:
                suppressions.apply(connection, times.published())

    def add(self, given: GivenList, *, actor: str = "local") -> Suppressed:
        """Keeps a list, and makes a request to forget everybody on it who is found here: all of it, or nothing. To do it again
        changes nothing.

        Args:
            given: the list.
            actor: who brings it. Default: ``"local"``.

        Raises:
            ValueError: an impossible name, a column for which no such hash was declared, or an entry that is not such a hash.
        """
        if not LIST_NAME.fullmatch(given.name):
            raise ValueError(f"a list's name is made of lower-case letters, digits, '.', '_' and '-', got {given.name!r}")
        storage, alias, hashes = self.storage, str(given.hashed), list(dict.fromkeys(_hashes(given)))
        with batch.in_charge(storage):  # no rows come in between
            with storage.database.reading() as connection:
                _subject, aliases = id_columns(connection)
            _require_declared(alias, aliases)
            tags = {each: storage.subject_key.pseudonyms(each, alias) for each in hashes}
            column = alias_names(len(aliases))[aliases.index(alias)]
            owners = storage.table.owners(column, sorted({tag for made in tags.values() for tag in made}))
            people = {each: {owner for tag in made for owner in owners.get(tag, ())} for each, made in tags.items()}
            stones = [storage.subject_key.tombstone(tag) for made in tags.values() for tag in made]
            added = list[int]()

            def keep(connection: sa.Connection, answers: Sequence[Answer]) -> None:
                made = sum(answer.receipt is not None for answer in answers)
                added.append(suppressions.add(connection, given.name, alias, stones, times.published(), actor, made))
                log.note(connection, EventKind.SUPPRESSION_ADDED, [{"list": given.name}])

            matched = [ForgetRequest(each, actor, by=alias) for each in hashes if len(people[each]) == 1]
            answers = desk.ask(storage, matched, besides=keep)
        several = sum(len(who) > 1 for who in people.values())
        return Suppressed(given.name, alias, len(hashes), added[0], several, answers)

    def lift(self, name: str) -> None:
        """Drops a list: rows of people on it are taken again.

        Args:
            name: name of the list.

        Raises:
            ValueError: there is no such list.
        """
        with self.storage.database.erasing() as connection:
            if not suppressions.lift(connection, name):
                raise ValueError(f"there is no suppression list {name!r}: see expunge suppressions")
            log.note(connection, EventKind.SUPPRESSION_LIFTED, [{"list": name}])


def listed_rows(storage: Storage, connection: sa.Connection, rows: pa.Table) -> set[int]:
    """Positions of arriving rows of people who are on a list."""
    _subject, aliases = id_columns(connection)
    about = {each.column for each in suppressions.lists(connection)}
    found: set[int] = set()
    for name, column in zip(aliases, alias_names(len(aliases)), strict=True):
        if name in about:
            tags = rows[column].to_pylist()
            stones = {tag: storage.subject_key.tombstone(tag) for tag in set(tags) - {None}}
            listed = suppressions.among(connection, stones.values())
            found |= {row for row, tag in enumerate(tags) if tag is not None and stones[tag] in listed}
    return found


def _hashes(given: GivenList) -> list[str]:
    found = [given.hashed.read(entry.strip()) for entry in given.entries]
    wrong = [line for line, each in zip(given.lines, found, strict=True) if each is None]
    if wrong:
        raise ValueError(
            f"line {wrong[0]} is not a {given.hashed.algorithm} hash in hexadecimal or Base64, as {len(wrong):,} of "
            f"{len(found):,} lines: check the hash that the list states. Nothing was imported"
        )
    if not found:
        raise ValueError("there are no hashes in the list: give at least one")
    return [each for each in found if each is not None]


def _require_declared(alias: str, aliases: Sequence[str]) -> None:
    if alias not in aliases:
        declared = ", ".join(name for name in aliases if HashedId.named(name) is not None)
        raise ValueError(
            f"no hash {alias} was declared when this workspace was made, so nobody can be found by it: "
            + (f"declared are {declared}" if declared else "make a workspace with expunge init --hashed-alias")
        )

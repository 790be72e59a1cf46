"""People: whom an id stands for. The subject column says who a person is; other ids of theirs, aliases, lead to them.

An id is looked for in the subject column and in every alias column, under the present rule of ids and every earlier one. If
it leads to more than one person (a device that two share, a customer number that is another's telephone), it stands for none.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import pyarrow as pa
import sqlalchemy as sa

from expunge.data.near import MEANING, Likeness, near_forms
from expunge.data.own_columns import SUBJECT, alias_names
from expunge.data.pseudonyms import Identification, SubjectKey
from expunge.data.table import SubjectTable
from expunge.errors import InvalidRows, Refusal, RequestRefused
from expunge.ledger import tombstones
from expunge.ledger.properties import read_property
from expunge.workspace.storage import Storage

UNKNOWN = "no rows here have this id: check the id and its spelling"
LOOKED_AT = 100
"""Number of unknown ids in one call up to which similar ids are looked for."""
ALIASES = "alias_columns"
"""The property that names the alias columns, as JSON."""
SUBJECT_COLUMN = "subject_column"
"""The property that names the subject column."""


@dataclass(frozen=True)
class Id:
    """An id as somebody gave it; ``by`` names its column, if that was given."""

    text: str = field(repr=False)
    by: str | None = None


class Problem(NamedTuple):
    """Why something is not an id of this table."""

    reason: Refusal
    message: str


@dataclass(frozen=True)
class Found:
    """Whom an id stands for.

    Args:
        people: for each person who has rows, their pseudonyms: one, or several if what is now one id had two spellings before.
        rows: number of rows that they have.
        tombstones: tombstones under which somebody with this id may have been forgotten.
        problem: why this is not an id of this table.
    """

    people: tuple[tuple[str, ...], ...] = field(default=(), repr=False)
    rows: int = 0
    tombstones: tuple[str, ...] = field(default=(), repr=False)
    problem: Problem | None = None

    @property
    def person(self) -> tuple[str, ...]:
        """The pseudonyms of the one person; empty if there is none, or more than one."""
        return self.people[0] if len(self.people) == 1 else ()


class Near(NamedTuple):
    """How a form resembles an id that nobody has, and whom the form stands for."""

    likeness: Likeness
    who: Found


@dataclass(frozen=True)
class Returned:
    """Tombstones of people whose rows came again after they were forgotten.

    Args:
        rows: positions of these rows, in order.
        column: the column in which the first was found.
    """

    rows: tuple[int, ...]
    column: str
    tombstones: tuple[str, ...] = field(repr=False)


class People:
    """Who is in the table of ``storage``, and who was."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        with storage.database.reading() as connection:
            self.subject, self.aliases = id_columns(connection)
            if storage.subject_key.fingerprint() != read_property(connection, "subject_key"):
                del storage.__dict__["subject_key"]  # another process has put a new rule of ids into use

    @property
    def _table(self) -> SubjectTable:
        return self._storage.table

    @property
    def _key(self) -> SubjectKey:
        return self._storage.subject_key

    @cached_property
    def identification(self) -> Identification:
        """How ids become pseudonyms here."""
        return Identification(self._key, self.subject, self.aliases, self._taken)

    def find(self, ids: Sequence[Id]) -> list[Found]:
        """Whom each of ``ids`` stands for, found in one pass over the table."""
        problems = [self._problem(each) for each in ids]
        good = [each for each, problem in zip(ids, problems, strict=True) if problem is None]
        own = {each: self._key.pseudonyms(each.text) if each.by in (None, self.subject) else [] for each in good}
        rows = self._table.counts(_all(own.values())) if good else {}
        others: dict[Id, list[str]] = {each: [] for each in good}
        stones = {each: list(map(self._key.tombstone, own[each])) for each in good}
        for alias, column in zip(self.aliases, alias_names(len(self.aliases)), strict=True):
            tags = {each: self._key.pseudonyms(each.text, alias) for each in good if each.by in (None, alias)}
            owners = self._table.owners(column, _all(tags.values())) if tags else {}
            for each, made in tags.items():
                others[each] += [owner for tag in made for owner in owners.get(tag, ())]
                stones[each] += map(self._key.tombstone, made)
        rows |= self._table.counts(_all(others.values())) if any(others.values()) else {}
        return [
            Found(problem=problem) if problem is not None else self._found(own[each], others[each], stones[each], rows)
            for each, problem in zip(ids, problems, strict=True)
        ]

    def near(self, ids: Sequence[Id], found: Sequence[Found]) -> dict[int, list[Near]]:
        """For each id that nobody has, by its number, whom similar forms stand for; only the first such ids are looked at."""
        unknown = [number for number, who in enumerate(found) if not who.people and who.problem is None][:LOOKED_AT]
        forms = [(number, kind, form) for number in unknown for kind, form in near_forms(ids[number].text)]
        likes = self.find([Id(form, ids[number].by) for number, _kind, form in forms])
        near: dict[int, list[Near]] = {number: [] for number in unknown}
        for (number, kind, _form), who in zip(forms, likes, strict=True):
            near[number].append(Near(kind, who))
        return near

    def one(self, text: str, by: str | None = None) -> tuple[str, ...]:
        """The pseudonyms of the person for whom the id ``text`` stands.

        Raises:
            RequestRefused: it is not an id, nobody has it, or several people have it.
        """
        ids = [Id(text, by)]
        (found,) = self.find(ids)
        if found.problem is not None:
            raise RequestRefused(found.problem.message, reason=found.problem.reason)
        if not found.people:
            near = next((kind for kind, who in self.near(ids, [found])[0] if who.people), None)
            hint = "" if near is None else f"; somebody has {MEANING[near]}"
            raise RequestRefused(f"{UNKNOWN}{hint}", reason=Refusal.UNKNOWN_SUBJECT, near=near)
        if not found.person:
            raise RequestRefused(self.several(len(found.people)), reason=Refusal.SEVERAL_PEOPLE)
        return found.person

    def several(self, count: int) -> str:
        """The message for an id that stands for ``count`` people."""
        return (
            f"this id stands for {count} people: name its column, or give the id of the right person in column {self.subject!r}"
        )

    def returned(self, connection: sa.Connection, added: pa.Table) -> Returned | None:
        """Who in ``added`` was forgotten and has no rows here, found by subject or by an alias that was theirs alone."""
        stones, columns = tombstones.standing(connection), [SUBJECT, *alias_names(len(self.aliases))]
        found: list[str] = []
        rows: dict[int, str] = {}
        for column, name in zip(columns, (self.subject, *self.aliases), strict=True):
            tags = added[column].to_pylist()
            back = {tag for tag in set(tags) - {None} if self._key.tombstone(tag) in stones}
            back -= set(self._table.counts(sorted(back)) if column == SUBJECT else self._table.owners(column, sorted(back)))
            rows = {row: name for row, tag in enumerate(tags) if tag in back} | rows
            found += map(self._key.tombstone, sorted(back))
        return Returned(tuple(sorted(rows)), rows[min(rows)], tuple(found)) if rows else None

    def leaving(self, people: Mapping[str, str]) -> dict[str, list[str]]:
        """By request, the tombstones for the other ids of those about to be erased; ids that somebody else has are left out.

        Args:
            people: by request, the pseudonym of its person.
        """
        found: dict[str, list[str]] = {request: [] for request in people}
        for column in alias_names(len(self.aliases)):
            theirs = self._table.aliases_of(list(people.values()), column)
            owners = self._table.owners(column, _all(theirs.values())) if theirs else {}
            for request, person in people.items():
                own = [tag for tag in theirs.get(person, ()) if set(owners[tag]) <= set(people.values())]
                found[request] += map(self._key.tombstone, own)
        return found

    def _problem(self, given: Id) -> Problem | None:
        columns = (self.subject, *self.aliases)
        if given.by is not None and given.by not in columns:
            return Problem(
                Refusal.UNKNOWN_COLUMN, f"there is no id column {given.by!r}: the id columns are {', '.join(columns)}"
            )
        try:
            is_empty = not self._key.canonical(given.text)
        except ValueError as error:
            return Problem(Refusal.INVALID_ID, str(error))
        return Problem(Refusal.EMPTY, "the subject is empty: give an id") if is_empty else None

    def _found(self, own: Sequence[str], others: Sequence[str], stones: Sequence[str], rows: Mapping[str, int]) -> Found:
        theirs = tuple(tag for tag in own if tag in rows)
        people = [theirs] if theirs else []
        people += [(owner,) for owner in dict.fromkeys(others) if owner not in theirs]
        return Found(tuple(people), sum(rows[tag] for tags in people for tag in tags), tuple(stones))

    def _taken(self, pseudonyms: Collection[str]) -> set[str]:
        """Those of ``pseudonyms`` that stand for somebody who has rows or was forgotten."""
        listed = sorted(pseudonyms)
        found = set(self._table.counts(listed))
        for column in alias_names(len(self.aliases)):
            found |= set(self._table.owners(column, listed))
        with self._storage.database.reading() as connection:
            stones = tombstones.standing(connection)
        return found | {tag for tag in listed if self._key.tombstone(tag) in stones}


def id_columns(connection: sa.Connection) -> tuple[str, tuple[str, ...]]:
    """The subject column, and the columns with other ids of a person."""
    return str(read_property(connection, SUBJECT_COLUMN)), tuple(json.loads(read_property(connection, ALIASES) or "[]"))


def refused_return(back: Returned, names: Sequence[int]) -> InvalidRows:
    """The error for rows, numbered by ``names``, that belong to somebody who was forgotten."""
    return InvalidRows(
        f"row {names[back.rows[0]]} belongs to somebody who was forgotten (by column {back.column!r}), as do the rows of "
        f"{len(back.tombstones)} ids in all: drop them from the file, set them aside with --rejects, or give --returning if "
        "they have come back. Nothing was changed"
    )


def _all(lists: Collection[Sequence[str]]) -> list[str]:
    return sorted({value for each in lists for value in each})

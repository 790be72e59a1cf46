"""What is held about one person, for the person: their rows as stored, and which models learned them (GDPR Art. 15 and 20).

Ids are kept as keyed hashes only, so that they are in no row. When a row came is not kept: a person may be in any release of a
model that learned them, since it was fitted or replaced.
"""

import csv
import io
import json
import math
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from expunge.data.own_columns import is_own
from expunge.evidence.events import EventKind
from expunge.ledger import log, releases, requests, restrictions
from expunge.ledger.batches import BatchKind
from expunge.ledger.requests import Basis, RequestState
from expunge.workspace.people import People
from expunge.workspace.specification import Specification
from expunge.workspace.storage import Storage

Value = str | bool | int | float | list[Any] | None
"""What JSON has."""
FIRST = (BatchKind.FIT, BatchKind.REPLACE)
"""Batches with the first release of a model that still exists."""


@dataclass(frozen=True)
class Learned:
    """A model that learned some of a person's rows.

    Args:
        model: its name.
        target: the column that it predicts.
        n_rows: how many of the person's rows it learned.
        releases: certificates of its releases since it was fitted or replaced, oldest first.
        at: when the newest of them was made.
    """

    model: str
    target: str
    n_rows: int
    releases: list[int]
    at: str


@dataclass(frozen=True)
class Restriction:
    """A restriction of the processing of a person's data (GDPR Art. 18) that stands or was asked for.

    Args:
        request: id of the request.
        state: ``restricted`` while it stands, ``lifting`` until the models have followed its end; before it takes effect,
            ``accepted`` or ``working``.
        ground: why it was asked for, if that is known.
        since: when it took effect; ``None`` before.
    """

    request: str
    state: RequestState
    ground: Basis | None
    since: str | None


@dataclass(frozen=True)
class Disclosure:
    """What is held about one person.

    Args:
        rows: as they came, column by column; texts where JSON has no such type.
        models: those that learned any of them, and have not forgotten them.
        restrictions: of the processing of the data, oldest first; while one stands, no model has them.
    """

    rows: list[dict[str, Value]] = field(repr=False)
    models: list[Learned]
    restrictions: list[Restriction] = field(default_factory=list)

    def to_json(self) -> str:
        """Everything, as JSON."""
        others = {"models": [vars(each) for each in self.models], "restrictions": [vars(each) for each in self.restrictions]}
        return json.dumps({"rows": self.rows, **others}, indent=1, ensure_ascii=False)

    def to_csv(self) -> str:
        """The rows, as CSV with a heading; lists are JSON."""
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(self.rows[0])
        writer.writerows(
            [json.dumps(value) if isinstance(value, list) else value for value in row.values()] for row in self.rows
        )
        return out.getvalue()


def disclosed(storage: Storage, subject: str, by: str | None, actor: str) -> Disclosure:
    """What is held about the person with the id ``subject``; that somebody looked is logged, whom they looked up is not.

    Args:
        by: the column of the id; by default any.
        actor: who looks.

    Raises:
        RequestRefused: nobody has this id, or several people have it.
    """
    person = People(storage).one(subject, by)
    held = storage.table.of_subjects(person)
    with storage.database.writing() as connection:
        log.note(connection, EventKind.PERSON_SHOWN, [{"actor": actor}])
    with storage.database.reading() as connection:
        forgetting = requests.forgetting(connection)
        open_ones = [request.id for request in requests.asked(connection) if request.subject in person]
        already = {model for request in open_ones for model in forgetting.get(request, ())}
        about = restrictions.of(connection, person)
        found = []
        for model in releases.all_models(connection):
            specification = Specification.from_json(model.specification)
            n_rows = 0 if model.name in already else len(specification.rows(held))
            if n_rows:
                listed = releases.listed(connection, model.name)
                first = max(place for place, each in enumerate(listed) if each.kind in FIRST)
                certificates = [each.id for each in listed[first:]]
                found.append(Learned(model.name, specification.target, n_rows, certificates, listed[-1].at))
    restricted = [Restriction(row.id, row.state, row.ground, row.closed) for row in about]
    kept = [name for name in held.column_names if not is_own(name)]
    columns = {name: _values(held[name]) for name in kept}
    return Disclosure([{name: columns[name][row] for name in kept} for row in range(len(held))], found, restricted)


def _values(column: pa.ChunkedArray) -> list[Value]:
    """The values of a column as JSON has them, others as text."""
    values: list[Any] = column.to_pylist()
    if all(value is None or isinstance(value, str | bool | int | list) for value in values):
        return values
    if pa.types.is_floating(column.type):
        return [value if value is None or math.isfinite(value) else str(value) for value in values]
    if pa.types.is_binary(column.type):
        return [None if value is None else value.hex() for value in values]
    return list(pc.cast(column, pa.string()).to_pylist())

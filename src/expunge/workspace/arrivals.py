"""Arrivals: rows from outside that are to be added to the table, read and checked before anything changes."""

import json
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from expunge.data.collisions import hashed_in, require_few_collisions
from expunge.data.columns import codes_of
from expunge.data.content import Content
from expunge.data.hashed_ids import plain_columns
from expunge.data.identities import texts_of
from expunge.data.numbering import numbered
from expunge.data.oddities import Odd, odd_values, require_usual
from expunge.data.own_columns import ROW, SUBJECT
from expunge.data.reading import Reading, read_batches
from expunge.data.records import Records, table_of
from expunge.data.rejects import Rejects
from expunge.data.row_numbers import rows_of
from expunge.data.schema import FeatureSchema
from expunge.data.widening import wider_of
from expunge.errors import InvalidRows, WorkspaceInvalid, WrongValue
from expunge.ledger import batches, releases
from expunge.ledger.properties import read_property, set_property
from expunge.ledger.sealing import SealKey
from expunge.workspace.people import People
from expunge.workspace.specification import Specification
from expunge.workspace.storage import Storage
from expunge.workspace.withheld import Forgetting

READING = "reading"
"""The property that records how values were written when the workspace was made, and so are written in later files."""
FIRST = "first_content"
"""The property that holds the keyed digest of the rows from which the workspace was made, and the time, as JSON."""


@dataclass(frozen=True)
class Arrival:
    """Rows from outside.

    Args:
        rows: the rows as the table will hold them, numbered.
        names: number of each row in its file.
        given: the rows as they were read, if some may be set aside.
        content: keyed digest by which the same rows are recognised if they come again.
        left_out: columns that the table does not have.
        models: specifications of the living models.
    """

    rows: pa.Table = field(repr=False)
    names: Sequence[int] = field(repr=False)
    given: pa.Table | None = field(repr=False)
    content: str = field(repr=False)
    left_out: tuple[str, ...]
    models: tuple[Specification, ...] = field(repr=False)

    def without(self, reasons: Mapping[int, str], rejects: Rejects) -> "Arrival":
        """The same arrival without the rows at these positions, which are set aside."""
        assert self.given is not None
        for place, reason in reasons.items():
            rejects.add(self.names[place], reason, self.given.slice(place, 1))
        return self.left(reasons)

    def left(self, dropped: Collection[int]) -> "Arrival":
        """The same arrival without the rows at these positions."""
        kept = [place for place in range(len(self.rows)) if place not in dropped]
        places, names = pa.array(kept, pa.int64()), [self.names[place] for place in kept]
        given = None if self.given is None else self.given.take(places)
        return replace(self, rows=self.rows.take(places), names=names, given=given)


def arrival(
    storage: Storage, data: str | Records, query: str | None, reading: Reading, rejects: Rejects | None = None
) -> Arrival:
    """The rows of a file, of a query or in memory, as the table would hold them.

    Args:
        data: a file, or with ``query`` the URL of a database; or rows in memory, which have every column.
        reading: what is known about the file, besides what was known when the workspace was made.
        rejects: where rows that cannot be taken go; without it such a row is an error.

    Raises:
        InvalidRows: the rows cannot be read, have no subject, or do not fit the table; the message names the row.
    """
    with storage.database.reading() as connection:
        next_row = int(read_property(connection, "next_row") or 0)
        models = tuple(Specification.from_json(model.specification) for model in releases.all_models(connection))
        reading = reading.over(Reading.from_json(str(read_property(connection, READING))))
    who, columns = People(storage).identification, storage.table.columns
    ids = (who.subject, *plain_columns(who.aliases))
    if isinstance(data, Records):
        given, batches = _in_memory(data, ids, columns, reading)
    else:
        given, batches = read_batches(data, query, texts=ids, reading=reading, columns=columns, rejects=rejects)
    seen = _Seen(who.subject, rejects)
    try:
        parts = [part for part in numbered(seen.of(batches), who, columns, next_row) if len(part)]
    except WrongValue as error:
        raise _with_way_out(error, columns) from error
    if not parts:
        raise InvalidRows(f"{data if query is None else 'the query'} holds no rows that can be taken: give at least one")
    rows, known = pa.Table.from_batches(parts), {*ids, *columns.names}
    content = Content()
    for part in parts:
        content.add(part, without=ROW)
    keyed = keyed_content(SealKey.load(storage.seal_key_path), content)
    left_out = tuple(name for name in given.names if name not in known)
    found = Arrival(rows, seen.names, seen.given, keyed, left_out, models)
    if rejects is not None:
        found = found.without(_of_no_class(found), rejects)
    for specification in models:
        specification.table_columns.rows(found.rows, found.names)  # says which row fits no class, before anything starts
    return found


def _in_memory(
    data: Records, ids: Sequence[str], columns: pa.Schema, reading: Reading
) -> tuple[pa.Schema, Iterable[pa.RecordBatch]]:
    """The columns of rows in memory, and the rows."""
    own = [pa.field(name, pa.string()) for name in ids if name not in columns.names]
    table = table_of(data.rows, pa.schema([*own, *columns]), reading)
    others = dict.fromkeys(name for row in data.rows for name in row if name not in table.column_names)
    return pa.schema([*table.schema, *(pa.field(name, pa.null()) for name in others)]), table.to_batches()


def _with_way_out(error: WrongValue, columns: pa.Schema) -> InvalidRows:
    to = wider_of(columns.field(error.column).type) if error.column in columns.names else None
    if to is None:
        return error
    return InvalidRows(f"{error}. To allow such values in the table, run expunge widen {shlex.quote(error.column)} --to {to}")


def _of_no_class(arrived: Arrival) -> dict[int, str]:
    """Rows whose target is not a class that a model knows, with the reason."""
    found: dict[int, str] = {}
    for model in arrived.models:
        if model.classes:
            unknown = np.flatnonzero(codes_of(arrived.rows[model.target], model.classes) == -1)
            found |= dict.fromkeys(unknown.tolist(), f"column {model.target!r}: not a class that a model has learned")
    return found


class _Seen:
    """Batches as they were read, with the number of each row; kept if some rows may be set aside."""

    def __init__(self, subject: str, rejects: Rejects | None) -> None:
        self._subject, self._rejects = subject, rejects
        self.names: list[int] = []
        self._batches: list[pa.RecordBatch] = []

    def of(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches, without rows that have no subject if those can be set aside."""
        for batch in batches:
            if self._rejects is not None:
                texts = texts_of(batch[self._subject], self._subject, rows_of(batch))
                nobody = {row: f"column {self._subject!r}: no subject" for row, text in enumerate(texts) if text is None}
                batch = self._rejects.without(batch, nobody, batch)
                self._batches.append(batch.replace_schema_metadata(None))
            self.names.extend(rows_of(batch, len(self.names) + 1))
            yield batch

    @property
    def given(self) -> pa.Table | None:
        """All the batches, if they were kept."""
        return pa.Table.from_batches(self._batches) if self._batches else None


def keyed_content(key: SealKey, content: Content) -> str:
    """A digest of rows against which nobody without the workspace's key can test a guess."""
    return key.mac("content", content.hexdigest())


def added_before(connection: sa.Connection, content: str) -> str | None:
    """When the rows with this keyed digest were added, if they were and that is still recorded."""
    first, at = json.loads(read_property(connection, FIRST) or '[null, ""]')
    return str(at) if first == content else batches.added_before(connection, content)


def forget_contents(connection: sa.Connection, before: str) -> None:
    """Drops the digests of rows that were added before that time."""
    _first, at = json.loads(read_property(connection, FIRST) or '[null, ""]')
    if at and at < before:
        set_property(connection, FIRST, '[null, ""]')
    batches.forget_contents(connection, before)


def expected(storage: Storage, found: Arrival, *, accept_undeclared: bool) -> dict[str, Odd]:
    """What is odd in the arriving rows.

    Raises:
        InvalidRows: too much of a column is undeclared or missing and that was not accepted; or as for ``require_whole``.
    """
    schemas = _schemas(storage, found.models)
    odd = odd_values([(found.rows, found.names)], schemas)
    if not accept_undeclared:
        require_usual(odd, storage.configuration.undeclared_percent, lambda: in_table(storage, schemas))
    require_whole(storage, found.rows, found.names)
    return odd


def require_whole(storage: Storage, rows: pa.Table, names: Sequence[int]) -> None:
    """Raises ``InvalidRows`` if a row, numbered by ``names``, belongs to somebody whom only some models have forgotten."""
    with storage.database.reading() as connection:
        leaving = Forgetting.of(connection).leaving
    row = next((row for row, tag in enumerate(rows[SUBJECT].to_pylist()) if tag in leaving), None)
    if row is not None:
        raise InvalidRows(
            f"row {names[row]} belongs to somebody whom some models have forgotten and others not yet: see expunge status, and "
            "drop the row from the file. Nothing was changed"
        )


def n_restricted(storage: Storage, rows: pa.Table) -> int:
    """How many of ``rows`` belong to people whose processing is restricted, so that no model learns them."""
    with storage.database.reading() as connection:
        before = Forgetting.of(connection)
    standing = {before.people[request] for request in before.standing}
    return sum(tag in standing for tag in rows[SUBJECT].to_pylist()) if standing else 0


def in_table(storage: Storage, schemas: Collection[FeatureSchema], without: Sequence[str] = ()) -> dict[str, Odd]:
    """What is odd in the table's rows; the people in ``without`` are left out."""
    columns = dict.fromkeys(name for schema in schemas for name in schema.columns)
    return odd_values(_named(storage, columns, without), schemas)


def require_apart(storage: Storage, schema: FeatureSchema, without: Sequence[str] = ()) -> None:
    """Raises ``InvalidRows`` if more hashed values of the table share features than ``schema`` allows.

    Args:
        without: people who are left out.
    """
    hashed = hashed_in(schema)
    if hashed:
        columns = dict.fromkeys(name for each in hashed for name in each.columns)
        require_few_collisions(hashed, _named(storage, columns, without))


def _named(storage: Storage, columns: Iterable[str], without: Sequence[str]) -> Iterator[tuple[pa.Table, list[int]]]:
    """These columns of the table, part by part, and the numbers of the rows; the people in ``without`` are left out."""
    for read in storage.table.by_bucket(without):
        _people, rows = read([ROW, *columns])
        yield rows, rows[ROW].to_pylist()


def _schemas(storage: Storage, models: Sequence[Specification]) -> list[FeatureSchema]:
    """The feature schemas of the models; without models, that of schema.toml where it can be used."""
    found = list({model.schema: model.features for model in models}.values())
    if found:
        return found
    try:
        schema = read_schema(storage.schema_path)
    except WorkspaceInvalid:  # no model needs it
        return []
    names = set(storage.table.columns.names)
    return [schema.with_columns({name: column for name, column in schema.columns.items() if name in names})]


def read_schema(path: Path) -> FeatureSchema:
    """The schema in the file at ``path``.

    Raises:
        WorkspaceInvalid: it is missing, or not a schema.
    """
    try:
        return FeatureSchema.read(path)
    except FileNotFoundError:
        raise WorkspaceInvalid(
            f"there is no schema at {path}: restore it, or propose one with expunge schema propose"
        ) from None
    except ValueError as error:
        raise WorkspaceInvalid(f"the schema cannot be used: {error}") from error

"""Filling a new workspace: rows into the table, keys, schema and ledger. The folder is a workspace once all are there."""

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from expunge.data.content import Content
from expunge.data.files import DataFile
from expunge.data.hashed_ids import HashedId, plain_columns
from expunge.data.numbering import numbered
from expunge.data.origins import SchemaPrivacy
from expunge.data.own_columns import ROW
from expunge.data.probing import require_storable
from expunge.data.pseudonyms import Identification, SubjectKey
from expunge.data.reading import UNKNOWN, Reading, read_batches, understood
from expunge.data.sampling import OneEach, Sample
from expunge.data.schema import FeatureSchema
from expunge.data.table import SubjectTable
from expunge.data.urls import sqlite_url
from expunge.errors import InvalidRows
from expunge.evidence.events import EventKind
from expunge.evidence.signing import PublicKeys, SigningKey
from expunge.files import write_file
from expunge.identities import EXACT, Rule
from expunge.ledger import data_files, log, times
from expunge.ledger.anchor import INSTANCE
from expunge.ledger.properties import set_property
from expunge.ledger.public_keys import add_key, keys
from expunge.ledger.sealing import SealKey
from expunge.workspace import drafts, edits, row_keys
from expunge.workspace.arrivals import FIRST, READING, keyed_content
from expunge.workspace.configuration import Configuration
from expunge.workspace.people import ALIASES, SUBJECT_COLUMN
from expunge.workspace.states import Notify
from expunge.workspace.storage import Storage

PROPOSED_FROM = 100_000
"""Number of rows from which a schema is proposed."""


@dataclass(frozen=True)
class Origin:
    """Where rows come from.

    Args:
        data: a file, a folder of Parquet files, or with ``query`` the URL of a database.
        reading: what is known about the file.
    """

    data: str
    query: str | None = None
    reading: Reading = UNKNOWN


@dataclass(frozen=True)
class IdColumns:
    """The columns of a new workspace that say to whom a row belongs.

    Args:
        subject: the column that says to whom a row belongs.
        aliases: columns with other ids of the same person.
        rule: the rule by which ids are compared.
    """

    subject: str
    aliases: tuple[str, ...] = ()
    rule: Rule = EXACT

    @classmethod
    def of(cls, subject: str, aliases: Sequence[str], hashed: Sequence[str], rule: Rule) -> "IdColumns":
        """The columns that somebody declared; the column of a hash is an alias too.

        Raises:
            ValueError: an impossible hash.
        """
        declared = [HashedId.declared(text) for text in hashed]
        beside = [each.column for each in declared if each.column not in (subject, *aliases)]
        return cls(subject, (*aliases, *dict.fromkeys([*beside, *map(str, declared)])), rule)

    @property
    def columns(self) -> tuple[str, ...]:
        """All the columns of ids."""
        return (self.subject, *self.aliases)

    @property
    def hashed(self) -> tuple[HashedId, ...]:
        """The hashes of columns of ids by which people on lists are found."""
        return tuple(found for name in self.aliases if (found := HashedId.named(name)) is not None)

    @property
    def plain(self) -> tuple[str, ...]:
        """The columns of ids that the data have."""
        return plain_columns(self.columns)

    def require(self, columns: pa.Schema) -> None:
        """Raises ``InvalidRows`` unless each of these columns is there, once."""
        for name in self.plain:
            if name not in columns.names:
                there = ", ".join(map(repr, columns.names))
                raise InvalidRows(f"there is no column {name!r} to say to whom a row belongs: the columns are {there}")
            if self.columns.count(name) > 1:
                raise InvalidRows(f"column {name!r} is given twice as a column of ids: give it once")
        for each in self.hashed:
            if each.column not in self.plain or str(each) in columns.names:
                raise InvalidRows(f"{each} is not the hash of a column of ids, or a column has this name: rename the column")

    def sample(self, private: float | None) -> Sample | OneEach:
        """What is to be kept of the rows that pass, for a proposal: some throughout, or for a private one a row a person."""
        return Sample(PROPOSED_FROM) if private is None else OneEach(self.subject, self.rule)

    def proposed(self, rows: pa.Table, private: float | None) -> FeatureSchema:
        """A draft of the schema from a sample of the rows, or a private proposal."""
        return FeatureSchema.propose(rows, self.subject, ignore=plain_columns(self.aliases), rule=self.rule, private=private)


@dataclass(frozen=True)
class _Imported:
    """What was read from the data.

    Args:
        key: key under which the ids were hashed.
        files: files of the table.
        content: digest of the rows.
        sample: some of the rows.
        reading: how values were written.
    """

    key: SubjectKey
    files: Sequence[DataFile]
    content: Content
    sample: pa.Table
    reading: Reading

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(file.rows for file in self.files)


def fill(
    storage: Storage,
    identity: str,
    origin: Origin,
    ids: IdColumns,
    schema: FeatureSchema | None,
    database: str | None,
    row_key: Sequence[str],
    notify: Notify,
    private: float | None = None,
) -> None:
    """Makes all parts of the workspace ``identity`` in its folder.

    Args:
        schema: how rows become features; without it, one is drafted from rows throughout the file.
        database: URL of an empty database for the ledger; without it, the ledger is a file in the folder.
        row_key: columns that together name a row; none if there are none.
        notify: told what was understood and what to check next.
        private: ε for which the schema is proposed privately; ``None`` for a draft.

    Raises:
        InvalidRows: the rows cannot be read, or have no subject, or nothing can be proposed.
        WorkspaceInvalid: the folder or the database is in use or cannot be written to, or the row key does not identify a row.
        ValueError: both a schema and ``private``, or ε is not positive and finite.
    """
    if private is not None:
        SchemaPrivacy(private)  # before a long file is read
        if schema is not None:
            raise ValueError("a schema that is given is not proposed: leave out schema, or private")
    configuration = Configuration() if database is None else Configuration(database=database)
    configuration.write(storage.configuration_path)
    sample = ids.sample(private)
    imported = _imported(storage, origin, ids, set() if schema is None else set(schema.columns), sample, notify)
    if row_key:
        row_keys.require_key(SubjectTable(storage.path / "table", lambda: imported.files), ids.columns, row_key)
    features = schema or ids.proposed(imported.sample, private)
    write_file(storage.schema_path, features.to_toml().encode())
    _record(storage, identity, ids, imported, features if features.draft and schema is None else None, database, row_key)
    notify(f"{imported.rows:,} rows imported; subject ids are not kept, only keyed hashes of them")
    if features.private is not None and schema is None:
        notify(f"schema.toml was proposed from the rows: {spent_on(features.private)}")
    elif schema is None:
        notify(
            "schema.toml was drafted from what at least ten people share: check its ranges and categories before you fit. "
            "They should come from what you know about the world: what is taken from the data remembers the people in it"
        )


def spent_on(privacy: SchemaPrivacy) -> str:
    """What a private proposal tells, in words."""
    return (
        f"it tells at most ε = {privacy.epsilon:g}, δ = {privacy.delta:g} about any one person, and every certificate of a "
        "model that is fitted with it says so"
    )


def _imported(
    storage: Storage, origin: Origin, ids: IdColumns, declared: set[str], sample: Sample | OneEach, notify: Notify
) -> _Imported:
    """The rows, in the table, under a new key; id columns are kept as they are only if they are ``declared`` features."""
    found = understood(origin.data, origin.query, texts=ids.plain, reading=origin.reading)
    for sentence in found.words:
        notify(sentence)
    ids.require(found.schema)
    if missing := sorted(declared - set(found.schema.names)):
        raise InvalidRows(f"the schema declares column {missing[0]!r}, which the data does not have")
    key, hashed = SubjectKey.create(storage.subject_key_path, ids.rule), set(ids.plain) - declared
    kept = pa.schema([field for field in found.schema if field.name not in hashed])
    require_storable(kept)
    SubjectTable.create(storage.path / "table", kept, len(ids.aliases))
    table, content = SubjectTable(storage.path / "table", list), Content()
    batches = sample.of(found.open(table.columns))
    first = next(batches, None)
    if first is None:
        raise InvalidRows("there are no rows: a workspace needs at least one")
    who = Identification(key, ids.subject, ids.aliases)
    files = table.write(content.of(numbered(_chained(first, batches), who, table.columns, 0), without=ROW), 0)
    return _Imported(key, files, content, sample.table, found.reading.values)


def _record(
    storage: Storage,
    identity: str,
    ids: IdColumns,
    imported: _Imported,
    draft: FeatureSchema | None,
    database: str | None,
    row_key: Sequence[str],
) -> None:
    """Makes keys and a ledger of what was imported; the log's first head is signed, and published beside the key."""
    signing_key = SigningKey.create(storage.keys)
    keyed = keyed_content(SealKey.create(storage.seal_key_path), imported.content)
    ledger = storage.reach(sqlite_url(storage.path.absolute() / "ledger.sqlite") if database is None else database)
    ledger.claim(identity)
    fingerprint = imported.key.fingerprint()
    with ledger.writing() as connection:
        body = {"workspace": identity, "subject_key": fingerprint, "keyid": signing_key.keyid}
        log.append(connection, EventKind.WORKSPACE_CREATED, [body])  # not how many rows: who knows all but one could tell
        add_key(connection, signing_key.keyid, signing_key.pem, times.exact())
        for name, value in ((SUBJECT_COLUMN, ids.subject), ("next_row", imported.rows), ("rows", imported.rows)):
            set_property(connection, name, value)
        set_property(connection, ALIASES, json.dumps(ids.aliases))
        set_property(connection, "folder", storage.mark())
        set_property(connection, INSTANCE, secrets.token_hex(8))
        set_property(connection, "subject_key", fingerprint)
        set_property(connection, FIRST, json.dumps([keyed, times.published()]))
        set_property(connection, READING, imported.reading.to_json())
        data_files.add(connection, imported.files, 0)
        edits.remember(connection, storage)
        if row_key:
            row_keys.remember(connection, row_key)
        if draft is not None:
            drafts.remember(connection, draft.to_toml())
    with ledger.reading() as connection:
        signed, pems = log.checkpoint(connection), keys(connection)
    SubjectTable(storage.path / "table", lambda: imported.files).follow()
    ledger.close()
    write_file(storage.checkpoint_path, str(signed).encode())
    write_file(storage.public_key_path, str(PublicKeys.of(pems)).encode())


def propose_schema(origin: Origin, subject: str, private: float | None = None) -> FeatureSchema:
    """A draft schema from rows throughout a file, or throughout the result of a query; or a private one, from one row a person.

    Args:
        origin: where the rows come from.
        subject: the column that says to whom a row belongs.
        private: ε for which it is private for each person. Default: a draft.

    Raises:
        InvalidRows: the file cannot be read, or has no such column, or no features; or too few people share anything.
        ValueError: ε is not positive and finite.
    """
    if private is not None:
        SchemaPrivacy(private)  # before a long file is read
    ids = IdColumns(subject)
    columns, batches = read_batches(origin.data, origin.query, texts=ids.columns, reading=origin.reading)
    ids.require(columns)
    sample = ids.sample(private)
    if not sum(len(batch) for batch in sample.of(batches)):
        raise InvalidRows(f"{origin.data} holds no rows")
    return ids.proposed(sample.table, private)


def _chained(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest

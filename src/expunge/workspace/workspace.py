"""Workspace: what the command line and the service call. Design §1, §4; people's rows, models trained on them, evidence."""

import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

import pyarrow as pa

from expunge.data.probing import require_storable
from expunge.data.pseudonyms import Identification, SubjectKey
from expunge.data.reading import UNKNOWN, Reading, read_batches, understood
from expunge.data.sampling import Sample
from expunge.data.schema import FeatureSchema
from expunge.data.table import SUBJECT, SubjectTable, numbered
from expunge.data.urls import sqlite_url
from expunge.errors import ExpungeError, InvalidRows, LastRows, WorkspaceInvalid, WorkUnfinished
from expunge.evidence.receipts import Receipt
from expunge.evidence.signing import PublicKeys, SigningKey, endorse
from expunge.evidence.statements import digest
from expunge.files import write_file
from expunge.forecast import CapacityReport
from expunge.identities import CASELESS, EXACT, Rule
from expunge.ledger import data_files, log, releases, requests, times
from expunge.ledger.anchor import INSTANCE
from expunge.ledger.facts import add_key, fact, keys, set_fact
from expunge.ledger.sealing import SealKey
from expunge.privacy import Guarantee
from expunge.workspace import batch, desk, drafts, edits, making, queue, states
from expunge.workspace.batch import COMING_KEY, Outcome
from expunge.workspace.configuration import Configuration
from expunge.workspace.desk import Answer, Wish
from expunge.workspace.people import ALIASES, SUBJECT_COLUMN, Id, People, id_columns, refuse_returned
from expunge.workspace.place import PATIENCE, Place
from expunge.workspace.queue import Processed
from expunge.workspace.specification import Kind, Specification
from expunge.workspace.states import Say, Work, silent

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
PROPOSED_FROM = 100_000
"""Rows that a schema is proposed from."""
READING = "reading"
"""The fact that says how values were written when the workspace was made, and so are in later files."""
SAMPLE = 5_000
"""Rows from which a capacity is forecast."""


class How(TypedDict, total=False):
    """How a model is fitted, each with a default.

    Args:
        model: the estimator, ``logistic`` by default.
        penalty: ``C`` of a classifier, ``alpha`` of a regression; 1 by default.
        epsilon, delta: the promise, 1 and 1e-6 by default.
        sigma: its noise; by default it follows from ``excess_risk`` (0.001) and the schema (theory §5.3).
    """

    model: Kind
    penalty: float
    epsilon: float
    delta: float
    sigma: float | None
    excess_risk: float


class Workspace:
    """The workspace in a folder; use ``create`` or ``open``."""

    def __init__(self, place: Place) -> None:
        self.place = place

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        data: str,
        subject: str,
        *,
        aliases: Sequence[str] = (),
        ignore_case: bool = False,
        query: str | None = None,
        reading: Reading = UNKNOWN,
        schema: str | os.PathLike[str] | None = None,
        database: str | None = None,
        say: Say = silent,
    ) -> "Workspace":
        """A new workspace in the folder ``path``, all of it or nothing.

        Args:
            data: a file of rows (text, Excel, Parquet), a folder of Parquet files, or a database URL with ``query``.
            subject: column that says whose a row is; ``aliases``: columns with other ids of the same person.
            ignore_case: whether ids that differ in the case of letters only are the same.
            reading: what is known of the file; the rest is detected. What it says of values holds for later files too.
            schema: TOML file of the feature schema; without it one is drafted from rows all over the file.
            database: URL of an empty database for the ledger; without it a file in the folder.

        Raises:
            InvalidRows: rows that cannot be read, or without a subject.
            WorkspaceInvalid: the folder or the database is in use, or cannot be written to.
        """
        with making.folder(Path(path)) as (place, identity):
            ids = _Ids(subject, tuple(aliases), CASELESS if ignore_case else EXACT)
            cls(place)._fill(identity, data, ids, query, reading, schema, database, say)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Workspace":
        """The workspace in the folder ``path``.

        Raises:
            WorkspaceInvalid: there is none, or a part of it cannot be used.
        """
        place = Place(Path(path))
        place.configuration  # noqa: B018  # says if there is no workspace
        return cls(place)

    def _fill(
        self,
        identity: str,
        data: str,
        ids: "_Ids",
        query: str | None,
        reading: Reading,
        schema: Any,
        database: str | None,
        say: Say,
    ) -> None:
        place = self.place
        configuration = Configuration() if database is None else Configuration(database=database)
        configuration.write(place.configuration_path)
        found = understood(data, query, texts=ids.columns, reading=reading)
        for sentence in found.words:
            say(sentence)
        columns = found.schema
        ids.require(columns)
        features = None if schema is None else _read_schema(schema)
        declared = set() if features is None else set(features.columns)
        if missing := sorted(declared - set(columns.names)):
            raise InvalidRows(f"the schema declares column {missing[0]!r}, which the data does not have")
        key = SubjectKey.create(place.subject_key_path, ids.rule)
        who, hashed = Identification(key, ids.subject, ids.aliases), set(ids.columns) - declared
        kept = pa.schema([field for field in columns if field.name not in hashed])
        require_storable(kept)
        SubjectTable.create(place.path / "table", kept, len(ids.aliases))
        table, sample = SubjectTable(place.path / "table", list), Sample(PROPOSED_FROM)
        batches = sample.of(found.open(table.columns))
        first = next(batches, None)
        if first is None:
            raise InvalidRows("there are no rows: a workspace needs at least one")
        files = table.write(numbered(_chained(first, batches), who, table.columns, 0), 0)
        rows = sum(file.rows for file in files)
        proposed = features is None
        features = features or ids.proposed(sample.table)
        write_file(place.schema_path, features.to_toml().encode())
        signing_key = SigningKey.create(place.keys)
        SealKey.create(place.seal_key_path)
        ledger = place.reach(sqlite_url(place.path.absolute() / "ledger.sqlite") if database is None else database)
        ledger.claim(identity)
        with ledger.writing() as connection:
            body = {"workspace": identity, "subject_key": key.fingerprint(), "keyid": signing_key.keyid}
            log.append(connection, "workspace.created", [body])  # not how many rows: who knows all but one could tell
            add_key(connection, signing_key.keyid, signing_key.pem, times.exact())
            for name, value in ((SUBJECT_COLUMN, ids.subject), ("next_row", rows), ("rows", rows)):
                set_fact(connection, name, value)
            set_fact(connection, ALIASES, json.dumps(ids.aliases))
            set_fact(connection, "folder", place.mark())
            set_fact(connection, INSTANCE, secrets.token_hex(8))
            set_fact(connection, "subject_key", key.fingerprint())
            set_fact(connection, READING, found.reading.values.to_json())
            data_files.add(connection, files, 0)
            edits.remember(connection, place)
            if proposed:
                drafts.remember(connection, features.to_toml())
        with ledger.reading() as connection:
            signed, pems = log.checkpoint(connection), keys(connection)
        SubjectTable(place.path / "table", lambda: files).follow()
        ledger.close()
        write_file(place.checkpoint_path, str(signed).encode())
        write_file(place.public_key_path, str(PublicKeys.of(pems)).encode())
        say(f"{rows:,} rows imported; subject ids are kept nowhere, only keyed hashes of them")
        if proposed:
            say(
                "schema.toml was drafted from what at least ten people share: check its ranges and categories before you fit. "
                "They should come from what you know of the world: what is taken from the data remembers the people in it"
            )

    # models

    def fit(self, name: str, target: str, **how: Unpack[How]) -> Outcome:
        """A new model and its first release; whoever has asked to be forgotten is not learned.

        Args:
            name: lower-case letters, digits, ``.``, ``_`` and ``-``; target: column to predict.
            how: see ``How``.

        Raises:
            InvalidRows, NoOptimum, CapacityExceeded: the rows cannot be fitted.
            ValueError: a name, parameter or kind that cannot be.
            WorkspaceInvalid: there is a model of this name, or there was.
        """
        if not NAME.fullmatch(name):
            raise ValueError(f"a model's name is made of lower-case letters, digits, '.', '_' and '-', got {name!r}")
        with batch.working(self.place):
            with self.place.database.reading() as connection:
                if releases.model(connection, name) is not None:
                    raise WorkspaceInvalid(f"there is a model {name!r} already, or was: choose another name")
            specification = self._specification({"target": target, **how})
            return batch.run(self.place, Work("fit", models=(), fitted=(name, specification)), silent).outcomes[0]

    def replace(self, name: str, **how: Unpack[How]) -> Outcome:
        """Learns ``name`` anew, as another model with a budget of its own: from the present schema, without anybody who has
        asked to be forgotten. Its earlier releases are withdrawn.

        To those who were in both, two models are two models: what they give away adds up (theory §5.4).

        Args:
            how: what is to be different; see ``How``.

        Raises:
            InvalidRows, NoOptimum, CapacityExceeded: the rows cannot be fitted.
            ValueError: a parameter or kind that cannot be.
            WorkspaceInvalid: no such model.
        """
        with batch.working(self.place):
            old = self._require_model(name)
            kept = {key: getattr(old, key) for key in ("target", "penalty", "epsilon", "delta", "sigma")}
            try:
                specification = self._specification({**kept, "model": old.kind, **how})
            except LastRows as error:
                raise InvalidRows(f"{error}; or run expunge retire {name}") from error
            return batch.run(self.place, Work("replace", models=(name,), fitted=(name, specification)), silent).outcomes[0]

    def retire(self, name: str) -> int:
        """Withdraws a model for good: its releases and its state are destroyed. Returns how many requests that closed.

        Raises:
            WorkspaceInvalid: no such model.
        """
        with batch.working(self.place):
            self._require_model(name)
            return len(batch.run(self.place, Work("retire", models=(name,)), silent).closed)

    def refit(self, name: str) -> Outcome:
        """A release of ``name`` from a new anchor: nothing in its state then depends on anybody forgotten. It resets the budget
        only if the schedule says that it is due; before that it is charged like any other.

        Raises:
            WorkspaceInvalid: no such model.
        """
        with batch.working(self.place):
            self._require_model(name)
            return batch.run(self.place, Work("refit", models=(name,)), silent).outcomes[0]

    def capacity(self, name: str) -> CapacityReport:
        """What is used of the model's capacity to forget, and a forecast of what is left.

        Raises:
            WorkspaceInvalid: no such model.
            ValueError: it was fitted with sigma 0.
        """
        specification = self._require_model(name)
        unlearner = states.state_of(self.place, name)
        return unlearner.capacity(specification.source(self.place.table).sample(SAMPLE))

    # people

    def forget(
        self,
        subjects: Sequence[str],
        *,
        actor: str = "local",
        keys: Mapping[str, str] | None = None,
        by: str | None = None,
    ) -> list[Answer]:
        """Answers to the wish that ``subjects`` be forgotten; ``process`` then does it. See ``desk.ask``.

        Args:
            actor: who asks; keys: idempotency keys by subject.
            by: the column of which the ids are, where that must be said.
        """
        return desk.ask(self.place, [Wish(subject, actor, (keys or {}).get(subject), by) for subject in subjects])

    def ask(self, wishes: Sequence[Wish]) -> list[Answer]:
        """Answers to wishes to be forgotten, in order; see ``desk.ask``."""
        return desk.ask(self.place, wishes)

    @property
    def id_columns(self) -> tuple[str, ...]:
        """The columns of ids: the subject's, then its aliases."""
        with self.place.database.reading() as connection:
            subject, aliases = id_columns(connection)
        return subject, *aliases

    def cancel(self, request: str) -> None:
        """Withdraws an accepted request; see ``desk.cancel``."""
        desk.cancel(self.place, request)

    def receipt(self, request: str, subject: str) -> Receipt:
        """The receipt of a request, once more; see ``desk.receipt_again``."""
        return desk.receipt_again(self.place, request, subject)

    def counts(self, wishes: Sequence[Wish]) -> list[int]:
        """How many rows each wish is about, in order; none where it stands for nobody, or for several people."""
        found = People(self.place).find([Id(wish.subject, wish.by) for wish in wishes])
        return [who.rows if who.person else 0 for who in found]

    def preview(self, wishes: Sequence[Wish]) -> dict[str, Any]:
        """What requests would touch: rows by wish (in order), and by model how far each person moves it, in σ."""
        found = People(self.place).find([Id(wish.subject, wish.by) for wish in wishes])
        leaving = self.place.table.of_subjects([tag for who in found for tag in who.person])
        moved: dict[str, list[float]] = {}
        with self.place.database.reading() as connection:
            models = releases.all_models(connection)
        for row in models:
            rows = Specification.from_json(row.specification).rows(leaving)
            by_tag = states.influences(states.state_of(self.place, row.name), leaving, rows)
            moved[row.name] = [sum(by_tag.get(tag, 0.0) for tag in who.person) for who in found]
        return {"rows": [who.rows if who.person else 0 for who in found], "influence": moved}

    def rectify(
        self, subject: str, data: str, *, reading: Reading = UNKNOWN, actor: str = "local"
    ) -> tuple[Answer, list[Outcome]]:
        """Replaces all rows of ``subject`` by those in the file ``data``, in every model and in the table, at once.

        Args:
            reading: what is known of the file, beside what was known when the workspace was made; actor: who asks.

        Raises:
            RequestRefused: nobody of this id has rows.
            InvalidRows: rows of somebody else, or rows that do not fit.
        """
        with batch.working(self.place):
            tags = People(self.place).one(subject)
            added = self._read_rows(data, reading)
            if not set(added[SUBJECT].to_pylist()) <= set(tags):
                raise InvalidRows(f"{data} holds rows of somebody else: a correction is about one subject")
            with self.place.database.reading() as connection:
                values, receipt = desk.accepted(self.place, connection, subject, tags[0], actor, "rectify")
            try:
                outcomes = batch.run(self.place, Work("rectify", gone=tags, made=(values,), added=added), silent).outcomes
            except WorkUnfinished as error:
                raise WorkUnfinished(f"{error}. Make the receipt with expunge receipt {values['id']} --subject -") from error
        answer = Answer(values["id"], "closed", "corrected", values["deadline"], len(added), receipt=receipt.document)
        return answer, outcomes

    def append(
        self, data: str, *, reading: Reading = UNKNOWN, returning: bool = False, say: Say = silent
    ) -> tuple[int, list[Outcome]]:
        """Learns the rows in the file ``data`` in every model; how many, and the new releases.

        Args:
            reading: what is known of the file, beside what was known when the workspace was made.
            returning: accept rows of people who were forgotten and have come back.

        Raises:
            InvalidRows: rows that do not fit, or, unless ``returning``, rows of somebody forgotten.
        """
        with batch.working(self.place):
            added = self._read_rows(data, reading)
            with self.place.database.reading() as connection:
                back = People(self.place).returned(connection, added)
            if not returning:
                refuse_returned(back)
            stones = () if back is None else back.tombstones
            return len(added), batch.run(self.place, Work("append", added=added, returning=stones), say).outcomes

    def process(self, say: Say = silent, patience: float = PATIENCE, *, is_due: bool = False) -> Processed:
        """Works the whole queue; see ``queue.process``."""
        return queue.process(self.place, say, patience, is_due=is_due)

    # keys

    def rotate_key(self, *, is_revoked: bool = False) -> str:
        """Signs with a new key from now on, which the old one endorses. Returns the new key's id.

        Args:
            is_revoked: somebody else may have the old key: of what it signed, only what is in the log up to now stays valid.
        """
        with batch.working(self.place):
            with self.place.database.reading() as connection:
                self.place.signing_key(connection)  # without which no other key can be vouched for
            key = SigningKey.generate()
            with self.place.database.writing() as connection:
                set_fact(connection, COMING_KEY, key.keyid)
            key.save(self.place.keys)
            with self.place.database.writing() as connection:
                old = self.place.signing_key(connection)
                log.seal(connection, old)
                endorsement = endorse(old, key, log.size(connection), is_revoked=is_revoked)
                kind = "key.revoked" if is_revoked else "key.rotated"
                log.append(connection, kind, [{"from": old.keyid, "keyid": key.keyid, "endorsement": digest(endorsement)}])
                add_key(connection, key.keyid, key.pem, times.exact(), endorsement)
                set_fact(connection, COMING_KEY, "")
            try:
                batch.recover(self.place)  # deletes the old private key and publishes the new public one
            except (ExpungeError, OSError) as error:
                raise WorkUnfinished(
                    f"the new key signs from now on, but the old one could not be put away ({error}): run expunge process when "
                    "the cause is mended"
                ) from error
        return key.keyid

    # parts

    def _specification(self, how: Mapping[str, Any]) -> Specification:
        Guarantee(how.get("epsilon", 1.0), how.get("delta", 1e-6))
        with self.place.database.reading() as connection:
            asked = [row.subject for row in requests.asked(connection)]
        return Specification.of(
            self.place.table,
            _read_schema(self.place.schema_path),
            kind=how.get("model", "logistic"),
            target=how["target"],
            penalty=how.get("penalty", 1.0),
            epsilon=how.get("epsilon", 1.0),
            delta=how.get("delta", 1e-6),
            sigma=how.get("sigma"),
            excess_risk=how.get("excess_risk", 0.001),
            refit_days=self.place.configuration.refit_days,
            refit_requests=self.place.configuration.refit_requests,
            without=asked,
        )

    def _require_model(self, name: str) -> Specification:
        with self.place.database.reading() as connection:
            return Specification.from_json(releases.named(connection, name).specification)

    def _read_rows(self, data: str, reading: Reading) -> pa.Table:
        with self.place.database.reading() as connection:
            next_row = int(fact(connection, "next_row") or 0)
            reading = reading.over(Reading.from_json(str(fact(connection, READING))))
        who, columns = People(self.place).identification, self.place.table.columns
        _columns, batches = read_batches(data, texts=(who.subject, *who.aliases), reading=reading, columns=columns)
        parts = [part for part in numbered(batches, who, columns, next_row) if len(part)]
        if not parts:
            raise InvalidRows(f"{data} holds no rows: give at least one")
        return pa.Table.from_batches(parts)


def _chained(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest


@dataclass(frozen=True)
class _Ids:
    """The columns of a new workspace that say whose a row is, and the rule by which ids are compared."""

    subject: str
    aliases: tuple[str, ...] = ()
    rule: Rule = EXACT

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them."""
        return (self.subject, *self.aliases)

    def require(self, columns: pa.Schema) -> None:
        """Raises ``InvalidRows`` unless each of them is there, once."""
        for name in self.columns:
            if name not in columns.names:
                there = ", ".join(map(repr, columns.names))
                raise InvalidRows(f"there is no column {name!r} to tell whose a row is: there are {there}")
            if self.columns.count(name) > 1:
                raise InvalidRows(f"column {name!r} is named twice as one that tells whose a row is: name it once")

    def proposed(self, rows: pa.Table) -> FeatureSchema:
        """A draft of the schema from a sample of the rows."""
        return FeatureSchema.propose(rows, self.subject, ignore=self.aliases, rule=self.rule)


def _read_schema(path: str | os.PathLike[str]) -> FeatureSchema:
    try:
        return FeatureSchema.read(path)
    except FileNotFoundError:
        raise WorkspaceInvalid(
            f"there is no schema at {path}: restore it, or propose one with expunge schema propose"
        ) from None
    except ValueError as error:
        raise WorkspaceInvalid(f"the schema cannot be used: {error}") from error


def propose_schema(data: str, subject: str, query: str | None = None, reading: Reading = UNKNOWN) -> FeatureSchema:
    """A draft schema from rows all over a file, or all over the result of a query.

    Raises:
        InvalidRows: the file cannot be read, or has no such column or no features.
    """
    ids = _Ids(subject)
    columns, batches = read_batches(data, query, texts=ids.columns, reading=reading)
    ids.require(columns)
    sample = Sample(PROPOSED_FROM)
    if not sum(len(batch) for batch in sample.of(batches)):
        raise InvalidRows(f"{data} holds no rows")
    return ids.proposed(sample.table)

"""Edits of the ledger by whoever can write to its database and has no key: one for each thing that an entry says.

Each is plain SQL on one row, which ``{row}`` stands for; the list holds every column of every table.
"""

import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from expunge.ledger.tables import metadata

NOBODY, NEVER = "0" * 32, "2099-01-01T00:00:00+00:00"
EARLIER = "earlier"
"""The ledger of an earlier day, as the database calls it."""
VERSION = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.Text, primary_key=True))


@dataclass(frozen=True)
class Edit:
    """One kind of edit.

    Args:
        table: that it is in; ``what`` it does there.
        sql: the statement.
        where: of which rows it makes sense.
    """

    table: str
    what: str
    sql: str
    where: str = "1 = 1"

    def __str__(self) -> str:
        return f"{self.table}: {self.what}"

    @property
    def is_of_an_earlier_day(self) -> bool:
        """Whether it needs the ledger of an earlier day."""
        return EARLIER in self.sql

    @property
    def keys(self) -> list[str]:
        """The columns that name a row."""
        table = VERSION if self.table == VERSION.name else metadata.tables[self.table]
        return [column.name for column in table.primary_key.columns]

    @property
    def choice(self) -> str:
        """Finds the rows it makes sense of."""
        names = ", ".join(self.keys)
        return f"SELECT {names} FROM {self.table} WHERE {self.where} ORDER BY {names}"

    def of(self, row: Sequence[object]) -> str:
        """The statement for the row of these keys."""
        return self.sql.format(row=" AND ".join(f"{name} = {_text(key)}" for name, key in zip(self.keys, row, strict=True)))


def apply(edit: Edit, ledger: Path, earlier: Path, rng: random.Random | None = None) -> str:
    """Does it to an SQLite ledger that nobody has open; what was done. To the first row, or to any by ``rng``.

    Args:
        earlier: the ledger of an earlier day.
    """
    with closing(sqlite3.connect(ledger, isolation_level=None)) as connection:
        connection.execute(f"ATTACH '{earlier}' AS {EARLIER}")
        rows = connection.execute(edit.choice).fetchall()
        assert rows, f"{edit}: there is no such row"
        statement = edit.of(rows[0] if rng is None else rng.choice(rows))
        connection.executescript(statement)
        assert connection.total_changes, f"{edit}: {statement} did nothing"
    return statement


def _text(value: object) -> str:
    return str(value) if isinstance(value, int) else "'{}'".format(str(value).replace("'", "''"))


def _set(table: str, column: str, value: str, where: str = "1 = 1", what: str = "") -> Edit:
    return Edit(table, what or f"another {column}", f"UPDATE {table} SET {column} = {value} WHERE {{row}}", where)


def _columns(table: str) -> list[str]:
    return [column.name for column in metadata.tables[table].columns]


def _doubled(table: str, where: str = "1 = 1", **changed: str) -> Edit:
    """A copy of a row under another name."""
    values = ", ".join(changed.get(name, name) for name in _columns(table))
    sql = f"INSERT INTO {table} ({', '.join(_columns(table))}) SELECT {values} FROM {table} WHERE {{row}}"
    return Edit(table, "one too many", sql, where)


def _dropped(table: str, where: str = "1 = 1", what: str = "dropped") -> Edit:
    return Edit(table, what, f"DELETE FROM {table} WHERE {{row}}", where)


def _put_back(table: str) -> Edit:
    """The row of an earlier day, with the seal it had."""
    names = ", ".join(_columns(table))
    sql = f"INSERT OR REPLACE INTO main.{table} ({names}) SELECT {names} FROM {EARLIER}.{table} WHERE {{row}}"
    keys = [column.name for column in metadata.tables[table].primary_key.columns]
    same = " AND ".join(f"old.{key} = main.{table}.{key}" for key in keys)
    changed = f"EXISTS (SELECT 1 FROM {EARLIER}.{table} AS old WHERE {same} AND old.seal <> main.{table}.seal)"
    return Edit(table, "as it was on an earlier day", sql, changed)


def _other(table: str, column: str, where: str = "1 = 1") -> Edit:
    """The value of another row."""
    key = next(iter(metadata.tables[table].primary_key.columns)).name
    other = (
        f"(SELECT {column} FROM {table} AS other WHERE other.{column} <> {table}.{column} ORDER BY other.{key} DESC LIMIT 1)"
    )
    return _set(table, column, other, where, f"{column} of another")


REQUESTS = [
    _set("requests", "subject", f"'{NOBODY}'", "subject IS NOT NULL", "somebody else"),
    _set("requests", "subject", "NULL", "subject IS NOT NULL", "nobody"),
    _set("requests", "tombstone", f"'{NOBODY}'", "state = 'closed'"),
    _set("requests", "tombstone", "''", "state = 'closed'", "a tombstone before its time"),
    _set("requests", "deadline", f"'{NEVER}'", "state = 'accepted'"),
    _set("requests", "received", "'2020-01-01T00:00:00.000000+00:00'"),
    _set("requests", "state", "'cancelled'", "state = 'accepted'", "cancelled"),
    _set("requests", "state", "'closed'", "state = 'accepted'", "closed"),
    _set("requests", "state", "'returned'", "state = 'closed'", "returned"),
    _set("requests", "state", "'accepted'", "state IN ('closed', 'cancelled', 'refused')", "accepted again"),
    _set("requests", "kind", "'rectify'", what="a correction"),
    _set("requests", "actor", "'somebody'"),
    _set("requests", "commitment", f"'{NOBODY * 2}'", "state = 'closed'"),
    _set("requests", "key", "'another'"),
    _set("requests", "id", "'r-0'", "state IN ('accepted', 'cancelled', 'refused')"),
    _set("requests", "problem", "'none'"),
    _set("requests", "attempts", "attempts + 9"),
    _set("requests", "again", f"'{NEVER}'", "state = 'accepted'"),
    _set("requests", "batch", "1", "batch IS NOT NULL"),
    _set("requests", "closed", f"'{NEVER}'"),
    _set("requests", "reminded", "0"),
    _set("requests", "received_on", "'2020-01-01'"),
    _set("requests", "channel", "'letter'"),
    _set("requests", "first_deadline", f"'{NEVER}'"),
    _set("requests", "extension", "'many'"),
    _set("requests", "reason", "'mistake'", "state = 'accepted'"),
    _set("requests", "hold", f"'{NEVER}'", "state = 'accepted'"),
    _set("requests", "lot", "'l-0'", "state = 'accepted'"),
    _set("requests", "approved_by", "'somebody'", "state = 'accepted'"),
    _dropped("requests", "state IN ('accepted', 'cancelled', 'refused')"),
    _doubled("requests", id="'r-0'", key="'r-0'"),
    _put_back("requests"),
]
CASE_FILES = [
    _set("case_files", "reference", "'another'"),
    _set("case_files", "checked_by", "'somebody'"),
    _set("case_files", "request", "(SELECT id FROM requests WHERE state = 'closed')", what="of another request"),
    _dropped("case_files"),
    _doubled("case_files", request="(SELECT id FROM requests WHERE state = 'closed')"),
]
NOTES = [
    _set("notes", "text", "'another'"),
    _set("notes", "actor", "'somebody'"),
    _set("notes", "at", f"'{NEVER}'"),
    _set("notes", "request", "(SELECT id FROM requests WHERE state = 'closed')", what="of another request"),
    _set("notes", "id", "id + 1000"),
    _dropped("notes"),
    _doubled("notes", id="id + 1000"),
]
ACTS = [
    _set("acts", "act", "'approved'"),
    _set("acts", "reason", "'mistake'", "act <> 'cancelled'"),
    _set("acts", "actor", "'somebody'"),
    _set("acts", "at", f"'{NEVER}'"),
    _set("acts", "request", "(SELECT id FROM requests WHERE state = 'closed')", what="of another request"),
    _set("acts", "id", "id + 1000"),
    _dropped("acts"),
    _doubled("acts", id="id + 1000"),
]
MODELS = [
    _set("models", "specification", "replace(specification, '0.05', '0.01')", "specification LIKE '%0.05%'", "less noise"),
    _set("models", "specification", "replace(specification, 'spend', 'visits')", "name = 'spend'", "another target"),
    _set("models", "specification", "replace(specification, '\"yes\"', '\"ja\"')", "name = 'churn'", "another class"),
    _set("models", "salt", f"'{NOBODY * 2}'"),
    _set("models", "created", f"'{NEVER}'"),
    _set("models", "owed_since", "NULL", "owed_since IS NOT NULL", "nothing owed"),
    _set("models", "owed_since", f"'{NEVER}'", "owed_since IS NOT NULL", "owed later"),
    _set("models", "aside", "'a reason'", "retired IS NULL", "set aside"),
    _set("models", "again", f"'{NEVER}'", "retired IS NULL"),
    _set("models", "retired", "created", "retired IS NULL", "retired"),
    _set("models", "retired", "NULL", "retired IS NOT NULL", "back from retirement"),
    _doubled("models", name="'another'"),
    _put_back("models"),
]
RELEASES = [
    _other("releases", "weights", "weights IS NOT NULL"),
    _set("releases", "weights", "NULL", "weights IS NOT NULL", "no weights"),
    _other("releases", "evidence"),
    _set("releases", "evidence", "replace(evidence, '\"mu\": ', '\"mu\": -')", what="evidence that says something else"),
    _other("releases", "envelope"),
    _set("releases", "model", "'visits'", "model = 'spend' AND number > 1"),
    _set("releases", "number", "number + 90"),
    _set("releases", "batch", "1", "batch > 1"),
    _set("releases", "event", "1"),
    _set("releases", "state_digest", f"'{NOBODY * 2}'", "state_digest IS NOT NULL"),
    _set("releases", "table_digest", f"'{NOBODY * 2}'", "table_digest IS NOT NULL"),
    _set("releases", "at", f"'{NEVER}'"),
    _set("releases", "purged", f"'{NEVER}'"),
    _set("releases", "id", "99"),
    _dropped("releases"),
    _doubled("releases", id="99", number="99"),
    _put_back("releases"),
]
TOKENS = [
    _set("tokens", "role", "'operator'", "role <> 'operator'", "more rights"),
    _set("tokens", "digest", f"'{NOBODY * 2}'"),
    _set("tokens", "revoked", "NULL", "revoked IS NOT NULL", "revoked no more"),
    _set("tokens", "revoked", "created", "revoked IS NULL", "revoked"),
    _set("tokens", "name", "'somebody'"),
    _set("tokens", "created", f"'{NEVER}'"),
    _set("tokens", "id", "'0000000000000000'"),
    _dropped("tokens"),
    _doubled("tokens", id="'0000000000000000'"),
    _put_back("tokens"),
]
FACTS = [
    _set("facts", "value", "'7'"),
    _set("facts", "name", "'something'"),
    _dropped("facts"),
    _doubled("facts", name="'something'"),
    _put_back("facts"),
    *(_set("facts", "value", "'7'", f"name = '{name}'", f"another {name}") for name in ("rows", "folder", "subject_key")),
]
FILES = [
    _set("data_files", "digest", f"'{NOBODY * 2}'"),
    _set("data_files", "rows", '"rows" + 1'),
    _set("data_files", "size", "size + 1"),
    _set("data_files", "state", "'going'", what="going"),
    _set("data_files", "batch", "batch + 1"),
    _set("data_files", "path", "'_bucket=1/batch-99-0.parquet'"),
    _dropped("data_files"),
    _doubled("data_files", path="'_bucket=1/batch-99-0.parquet'"),
]
BATCHES = [
    _set("batches", "kind", "'append'", "kind <> 'append'"),
    _set("batches", "state", "'intent'", what="not done"),
    _set("batches", "state", "'certified'", "state = 'closed'", "not tidied up"),
    _set("batches", "state", "'abandoned'", "state = 'closed'", "given up"),
    _set("batches", "states", "'[[\"churn\", 1]]'", "kind <> 'fit'"),
    _set("batches", "started", f"'{NEVER}'"),
    _set("batches", "content", f"'{NOBODY * 2}'"),
    _set("batches", "closed", f"'{NEVER}'"),
    _dropped("batches", "kind = 'retire'"),
    _doubled("batches", id="99"),
]
HELD = [
    _set("held", "kind", "'key.rotated'"),
    _set("held", "at", f"'{NEVER}'"),
    _set("held", "body", "replace(body, 'auditor', 'operator')", what="an event that says something else"),
    _set("held", "id", "id + 1"),
    _dropped("held"),
    _doubled("held", id="id + 1"),
]
"""Of a workspace in which a batch was interrupted."""
FORGOTTEN_BY = [
    _set("forgotten_by", "model", "'visits'", "model = 'churn'"),
    _set("forgotten_by", "batch", "1"),
    _set("forgotten_by", "request", "(SELECT id FROM requests WHERE state = 'accepted')"),
    _dropped("forgotten_by"),
    _doubled("forgotten_by", "model = 'churn'", model="'visits'"),
]
ALIAS_TOMBSTONES = [
    _set("alias_tombstones", "tombstone", f"'{NOBODY}'"),
    _set("alias_tombstones", "request", "(SELECT id FROM requests WHERE state = 'accepted')"),
    _dropped("alias_tombstones"),
    _doubled("alias_tombstones", tombstone=f"'{NOBODY}'"),
]
EVENTS = [
    _set("events", "entry", "replace(entry, 'T', ' ')", what="another entry"),
    _set("events", "entry", "replace(entry, '}}', ',\"a\":1}}')", what="an entry that says more"),
    _set("events", "kind", "'test'"),
    _other("events", "leaf"),
    _set("events", "seq", "seq + 1000"),
    _dropped("events", "seq = (SELECT max(seq) FROM events)", "the last dropped"),
    _dropped("events", "seq = 1", "the first dropped"),
    _dropped("events"),
    _doubled("events", "seq = (SELECT max(seq) FROM events)", seq="seq + 1"),
]
CHECKPOINTS = [
    _other("checkpoints", "envelope"),
    _other("checkpoints", "root"),
    _set("checkpoints", "size", "size + 1000"),
    _dropped("checkpoints", "size = (SELECT max(size) FROM checkpoints)", "the newest dropped"),
    _dropped("checkpoints", "size < (SELECT max(size) FROM checkpoints)", "an older one dropped"),
    _doubled("checkpoints", size="size + 1000"),
]
SEALS = [
    _set("seals", "serial", "serial + 1"),
    _set("seals", "serial", "serial - 1", what="an earlier serial"),
    _set("seals", "total", f"'{NOBODY * 2}'"),
    _set("seals", "rows", '"rows" + 1'),
    _set("seals", "size", "size - 1"),
    _set("seals", "peaks", "'[]'"),
    _set("seals", "mac", f"'{NOBODY * 2}'"),
    _set("seals", "id", "2"),
    _dropped("seals"),
    _doubled("seals", id="2"),
    Edit(
        "seals",
        "as it was on an earlier day",
        f"INSERT OR REPLACE INTO main.seals SELECT * FROM {EARLIER}.seals WHERE {{row}}",
    ),
]
PUBLIC_KEYS = [
    _other("public_keys", "pem"),
    _set("public_keys", "keyid", f"'{NOBODY * 2}'"),
    _set("public_keys", "since", f"'{NEVER}'"),
    _set("public_keys", "until", "NULL", "until IS NOT NULL", "an old key that signs again"),
    _set("public_keys", "until", "since", "until IS NULL", "a key that signs no more"),
    _dropped("public_keys"),
    _doubled("public_keys", keyid=f"'{NOBODY * 2}'"),
    _put_back("public_keys"),
]
WEBHOOKS = [
    _set("webhooks", "url", "'http://127.0.0.1:9/elsewhere'"),
    _set("webhooks", "secret", "'another'"),
    _set("webhooks", "created", f"'{NEVER}'"),
    _set("webhooks", "id", "'w-0'", "id NOT IN (SELECT webhook FROM deliveries)"),
    _dropped("webhooks", "id NOT IN (SELECT webhook FROM deliveries)"),
    _doubled("webhooks", id="'w-1'"),
]
DELIVERIES = [
    _set("deliveries", "event", "'test'"),
    _set("deliveries", "body", "replace(body, 'spend', 'churn')", "body LIKE '%spend%'", "a notice that says something else"),
    _set("deliveries", "queued", f"'{NEVER}'"),
    _set("deliveries", "webhook", "(SELECT id FROM webhooks WHERE id <> deliveries.webhook)"),
    _set("deliveries", "attempts", "attempts + 1"),
    _set("deliveries", "due", "NULL", "due IS NOT NULL", "given up"),
    _set("deliveries", "outcome", "'arrived'"),
    _set("deliveries", "id", "id + 1000"),
    _dropped("deliveries"),
    _doubled("deliveries", id="id + 1000"),
]
SESSIONS = [
    _other("sessions", "token"),
    _set("sessions", "started", f"'{NEVER}'"),
    _set("sessions", "digest", f"'{NOBODY * 2}'"),
    _dropped("sessions"),
    _doubled("sessions", digest=f"'{NOBODY * 2}'"),
]
JOBS = [
    _set("jobs", "kind", "'audit'"),
    _other("jobs", "model"),
    _set("jobs", "wanted", "'{{\"a\": 1}}'"),
    _set("jobs", "state", "'queued'"),
    _set("jobs", "actor", "'somebody'"),
    _set("jobs", "instance", "'i-2'"),
    _set("jobs", "asked", f"'{NEVER}'"),
    _set("jobs", "started", f"'{NEVER}'"),
    _set("jobs", "ended", f"'{NEVER}'"),
    _set("jobs", "progress", "'half'"),
    _set("jobs", "result", "'{{}}'"),
    _set("jobs", "cause", "'bug'"),
    _set("jobs", "problem", "'none'"),
    _set("jobs", "id", "id + 1000"),
    _dropped("jobs"),
    _doubled("jobs", id="id + 1000"),
]
INSTANCES = [
    *(_set("instances", column, "'another'") for column in ("id", "host", "version")),
    *(_set("instances", column, f"'{NEVER}'") for column in ("started", "seen")),
    _dropped("instances"),
    _doubled("instances", id="'i-0'"),
]
PULLS = [
    _set("pulls", "token", "(SELECT id FROM tokens WHERE id <> pulls.token)"),
    _set("pulls", "release", "1", "release > 1"),
    *(_set("pulls", column, f"'{NEVER}'") for column in ("first", "last")),
    _dropped("pulls"),
    _doubled("pulls", token="(SELECT id FROM tokens WHERE id <> pulls.token)"),
]
ANSWERS = [
    *(_set("answers", column, "'more'") for column in ("key", "body", "content")),
    _set("answers", "at", f"'{NEVER}'"),
    _dropped("answers"),
    _doubled("answers", key="'a third'"),
]
LISTS = [
    _set("suppression_lists", "column", "'who'"),
    _set("suppression_lists", "imported", f"'{NEVER}'"),
    _set("suppression_lists", "name", "'a list'", "name NOT IN (SELECT list FROM suppressions)"),
    _dropped("suppression_lists", "name NOT IN (SELECT list FROM suppressions)"),
    _doubled("suppression_lists", name="'a list'"),
    _set("suppressions", "tombstone", f"'{'3' * 32}'"),
    _set("suppressions", "list", "'other'", "list = 'drop'"),
    _dropped("suppressions"),
    _doubled("suppressions", tombstone=f"'{'3' * 32}'"),
]
ALEMBIC = [
    _set(VERSION.name, "version_num", "'9999'", what="of a newer version"),
    _set(VERSION.name, "version_num", "'0000'", what="of an older version"),
    _dropped(VERSION.name),
]
EDITS = [
    *(
        *REQUESTS,
        *CASE_FILES,
        *NOTES,
        *ACTS,
        *MODELS,
        *RELEASES,
        *TOKENS,
        *FACTS,
        *FILES,
        *BATCHES,
        *FORGOTTEN_BY,
        *EVENTS,
        *ALIAS_TOMBSTONES,
        *CHECKPOINTS,
    ),
    *(*SEALS, *PUBLIC_KEYS, *WEBHOOKS, *DELIVERIES, *ALEMBIC),
    *(*SESSIONS, *JOBS, *INSTANCES, *PULLS, *ANSWERS, *LISTS),
]

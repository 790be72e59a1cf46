"""What can be damaged in a workspace, one bit of a file or one entry of the ledger at a time, and what it then says and does.

Damage is *found* if the doctor reports it (of settings and schema, which are for people to edit, as a warning), *refused* if
the next operation ends with a reason, and *harmless* if that operation does and leaves to the last row what it does without
the damage. Whatever else may come of it is a fault of ours.
"""

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import sqlalchemy as sa

from expunge.data.schema import FeatureSchema
from expunge.errors import ExpungeError
from expunge.ledger import answers, hooks, jobs, log, pulls, releases, sessions, suppressions, times, tokens
from expunge.ledger.jobs import Instance, JobKind, JobState
from expunge.ledger.tables import metadata
from expunge.ledger.tokens import Holder
from expunge.unlearning.storage import load_unlearner
from expunge.workspace import Workspace
from expunge.workspace.asking import ForgetRequest
from expunge.workspace.cases import Case
from expunge.workspace.doctor import EDITED, examine
from expunge.workspace.storage import Storage
from tests.workspace.people import CLASSES, SCHEMA, people, with_mail, workspace

Verdict = Literal["found", "refused", "harmless"]
EARLIER = "earlier.sqlite"
"""The ledger of an earlier day, beside the workspace."""
LOCKS = ("lock", "ledger.lock")
"""Empty files: there is nothing to damage in them, and the folder is known by the first."""
CHANCE = {"salt", "weights_digest", "seconds", "since"}
"""Evidence that is another every time."""


def prepare(folder: Path, database: str | None = None) -> Path:
    """A workspace with something in every table that can hold something at rest; the folder it is in.

    Two living models and one withdrawn, three people forgotten and one who waits, a request refused and one cancelled, two
    signing keys, two tokens, one of them revoked, two webhooks, one of them with deliveries, and what a service leaves. Beside
    it, unless it is kept in another ``database``, lies the ledger of an earlier day.
    """
    table, schema = with_mail(people(60, 40)), SCHEMA + CLASSES
    made = workspace(folder, models=False, table=table, schema=schema, database=database, aliases=("mail",))
    storage = made.storage
    made.fit("churn", "churn", delta=1e-5)
    made.fit("spend", "spend", model="ridge", sigma=0.05)
    made.fit("visits", "visits", model="ridge", sigma=0.05)
    made.retire("visits")
    with storage.database.writing() as connection:
        hooks.add(connection, "http://127.0.0.1:9/told", times.exact())
        for role in ("operator", "auditor"):
            tokens.issue(connection, role, role)
    made.forget(["person-1", "person-2"])
    if database is None:
        storage.database.close()
        (folder / EARLIER).write_bytes((storage.path / "ledger.sqlite").read_bytes())
    made.process()
    made.rotate_key()
    with storage.database.writing() as connection:
        tokens.revoke(connection, tokens.listed(connection)[1].id)
    made.forget(["person-3", "nobody"])
    made.process()
    noted = Case(reference="a reference", checked_by="an officer", note="a note")
    (given_up, _waits) = made.ask([ForgetRequest(f"person-{number}", "local", case=noted) for number in (4, 5)])
    made.cancel(given_up.request)
    with storage.database.writing() as connection:
        hooks.add(connection, "http://127.0.0.1:9/also", times.exact())
        _serve(connection)
    storage.database.close()
    return storage.path


def _serve(connection: sa.Connection) -> None:
    """What a service leaves in the ledger: sessions, jobs, instances, fetched releases, kept answers, and a list."""
    (holder, other), now = tokens.listed(connection)[:2], times.exact()
    for each in (holder, other):
        sessions.start(connection, Holder(each.id, each.name, each.role), 3600.0)
    for instance in ("i-1", "i-2"):
        jobs.saw(connection, Instance(instance, "a host", "1.0", now, now))
    for model in ("churn", "spend"):
        number = jobs.add(connection, JobKind.REFIT, model, "{}", holder.id, "i-1")
        jobs.start(connection, number, "i-1")
        jobs.finish(connection, number, JobState.FAILED, cause="environment", problem="the disk is full")
        pulls.note(connection, releases.newest(connection, model), holder.id)
    for key in ("a key", "another key"):
        answers.keep(connection, key, answers.Kept("a body", "[]"), now)
    suppressions.add(connection, "drop", "mail", ("0" * 32, "1" * 32), now, "local", 1)
    suppressions.add(connection, "other", "mail", ("2" * 32,), now, "local", 0)
    suppressions.add(connection, "empty", "mail", (), now, "local", 0)


class Kept:
    """The files of the workspace in the folder ``path`` as they are now, to put back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = self._read()

    def _read(self) -> dict[str, bytes]:
        found = (file for file in self.path.rglob("*") if file.is_file() and file.name not in LOCKS)
        return {str(file.relative_to(self.path)): file.read_bytes() for file in found}

    def restore(self) -> None:
        """Puts every file back, and takes away those that came."""
        now = self._read()
        for name in {**now, **self.files}:
            content = self.files.get(name)
            if now.get(name) != content:
                file = self.path / name
                file.unlink(missing_ok=True)
                if content is not None:
                    file.parent.mkdir(mode=0o700, exist_ok=True)
                    file.touch(mode=0o600)
                    file.write_bytes(content)
        for folder in sorted(self.path.rglob("*"), reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def problems(path: Path) -> Iterator[str]:
    """The doctor's checks that find something."""
    storage = Storage(path)
    try:
        for finding in examine(storage):
            if finding.problem or (finding.check == EDITED and finding.warning):
                yield finding.check
    finally:
        _close(storage)


def verdict(path: Path, before: set[str], undamaged: Callable[[], dict[str, Any]]) -> tuple[Verdict, str]:
    """What becomes of the damage in the workspace at ``path``, and what is said of it.

    Args:
        before: checks that find something in the undamaged workspace too.
        undamaged: what the operation leaves of the undamaged workspace.

    Raises:
        AssertionError: it changes what is said or done, and nobody notices.
    """
    try:
        for check in problems(path):
            if check not in before:
                return "found", check
    except ExpungeError as error:
        return "refused", str(error)
    try:
        found = operated(path)
    except ExpungeError as error:
        return "refused", str(error)
    expected = undamaged()
    different = [name for name in expected if not _equal(found[name], expected[name])]
    assert not different, f"nobody noticed: {[(name, found[name], expected[name]) for name in different]}"
    return "harmless", ""


def _close(storage: Storage) -> None:
    if "unproven_database" in vars(storage):
        storage.unproven_database.close()


def _equal(one: Any, other: Any) -> bool:
    return bool(np.allclose(one, other, rtol=1e-9, atol=0)) if isinstance(one, np.ndarray) else bool(one == other)


def operated(path: Path) -> dict[str, Any]:
    """What the workspace says and holds after forgetting one more person.

    Raises:
        ExpungeError: it refuses to.
    """
    found = Workspace.open(path)
    try:
        found.forget(["person-7"])
        found.process()
        return meaning(found.storage)
    finally:
        _close(found.storage)


def meaning(storage: Storage) -> dict[str, Any]:
    """Everything that a workspace says, promises and holds, without what is another every time: noise, names, times."""
    with storage.database.reading() as connection:

        def told(name: str, *columns: str) -> list[tuple[Any, ...]]:
            table = metadata.tables[name]
            return sorted(map(tuple, connection.execute(sa.select(*(table.c[column] for column in columns)))), key=repr)

        rows = list(connection.execute(sa.select(metadata.tables["requests"])))
        living = {model.name: releases.current(connection, model.name) for model in releases.all_models(connection)}
        found: dict[str, Any] = {
            "settings": storage.configuration,
            "schema": FeatureSchema.read(storage.schema_path),
            "requests": sorted(
                (
                    row.tombstone,
                    row.kind,
                    row.state,
                    row.actor,
                    row.problem or "",
                    row.attempts,
                    row.batch or 0,
                    _days(row),
                    row.reminded,
                )
                for row in rows
            ),
            "models": [
                (*model[:2], *(value is not None for value in model[2:]))
                for model in told("models", "name", "specification", "owed_since", "aside", "again", "retired")
            ],
            "releases": [_release(row) for row in releases.all_releases(connection)],
            "files": [file[:2] for file in told("data_files", "path", "rows", "state", "batch")],
            "batches": told("batches", "id", "kind", "state", "states"),
            "forgotten by": told("forgotten_by", "model", "batch"),
            "tokens": told("tokens", "id", "name", "role", "digest", "created", "revoked"),
            "webhooks": told("webhooks", "id", "url", "secret", "created"),
            "deliveries": told("deliveries", "id", "webhook", "event", "attempts", "outcome"),
            "keys": told("public_keys", "keyid", "pem", "since", "until"),
            "facts": [row for row in told("facts", "name", "value") if row[0] != log.SEEN],
            "events": [event.kind for event in log.entries(connection, 0, 10_000)],
        }
    for name, last in living.items():
        secret = load_unlearner(storage.state_path(name, last.number))._secret
        found[f"point of {name}"] = secret.point
        found[f"budget of {name}"] = secret.budget
    subjects = sorted(storage.table.subjects().to_pylist())
    return {**found, "rows": storage.table.of_subjects(subjects).to_pylist()}


def _days(request: Any) -> int:
    day = "T".join(request.received[:13].split("T")) + ":00:00+00:00"
    return int((np.datetime64(request.deadline[:19]) - np.datetime64(day[:19])) // np.timedelta64(1, "h"))


def _release(row: Any) -> tuple[Any, ...]:
    evidence = {name: value for name, value in json.loads(row.evidence).items() if name not in CHANCE}
    numbers = {name: f"{value:.9g}" if isinstance(value, float) else value for name, value in evidence.items()}
    return row.model, row.number, row.batch, row.event, row.weights is None, row.purged is None, numbers


# bits of files


def kind_of(name: str) -> str:
    """What a file is, the same for all of its kind."""
    named = {"table/_delta_log/": "transaction log of the table", "table/_bucket": "rows", "models/": "model state"}
    for start, kind in named.items():
        if name.startswith(start):
            return kind
    return re.sub(r"-[0-9a-f]{16}", "", name)


def flips(files: dict[str, bytes], rng: random.Random) -> Iterator[tuple[str, int, int]]:
    """Files, offsets and bits, without end; all kinds of files are as likely, the ledger three times so."""
    kinds: dict[str, list[str]] = {}
    for name in sorted(files):
        if files[name]:
            kinds.setdefault(kind_of(name), []).append(name)
    drawn = [*kinds, *["ledger.sqlite"] * 2]
    while True:
        name = rng.choice(kinds[rng.choice(drawn)])
        yield name, rng.randrange(len(files[name])), rng.randrange(8)


def flip(path: Path, name: str, offset: int, bit: int) -> None:
    """Flips one bit where it is."""
    with (path / name).open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))

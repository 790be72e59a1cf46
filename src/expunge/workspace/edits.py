"""Edits: what workspace.toml and schema.toml say now that they did not say when they were last used.

Both are for people to edit, so a valid change of a value is no damage. But it may not be theirs: a bit may have flipped, or
somebody without the right to it may have moved a deadline. So the ledger keeps, sealed, what the two files said when a
command last took them as they were. The doctor names what differs, and the next command that writes takes it, and notes in
the log which settings it was; what they are stays in the house, since a database's address may hold a password.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict

import sqlalchemy as sa

from expunge.evidence.events import EventKind
from expunge.evidence.statements import digest
from expunge.ledger import log
from expunge.ledger.properties import read_property, set_property
from expunge.workspace import drafts
from expunge.workspace.configuration import Configuration
from expunge.workspace.storage import Storage

USED = "used"
"""The property that holds, by setting and for the schema, the digest of what was last used."""
SCHEMA = "schema.toml"


def noticed(storage: Storage) -> str | None:
    """What the two files say otherwise than when they were last used, for the doctor; ``None`` if nothing."""
    with storage.database.reading() as connection:
        before = _used(connection)
        made = drafts.as_made(connection)
    now = _now(storage)
    changed = sorted(name for name in before if before[name] != now[name])
    if now[SCHEMA] in made:
        changed = [name for name in changed if name != SCHEMA]
    if not changed:
        return None
    settings = [name for name in changed if name != SCHEMA]
    said = [f"workspace.toml has another value of {', '.join(settings)}"] if settings else []
    said += [f"{SCHEMA} was changed"] if SCHEMA in changed else []
    return (
        f"{' and '.join(said)} since a command last used it: if that was nobody's wish, put it back. The next command that "
        "works in the workspace takes it as it is"
    )


def take(storage: Storage) -> None:
    """Notes what the two files say now as used; which settings are others goes into the log. The caller is in charge."""
    now = _now(storage)
    with storage.database.reading() as connection:
        before = _used(connection)
    if now == before:
        return
    with storage.database.writing() as connection:
        _keep(connection, now)
        changed = sorted(name for name in before if name != SCHEMA and before[name] != now[name])
        if changed:  # not whether the schema is another: a draft is corrected for those who were just forgotten
            log.append(connection, EventKind.SETTINGS_CHANGED, [{"settings": changed}])


def is_taken(storage: Storage) -> bool:
    """Whether what the two files say is noted as used."""
    with storage.database.reading() as connection:
        return _used(connection) == _now(storage)


def remember(connection: sa.Connection, storage: Storage) -> None:
    """Notes what the two files say now, in a workspace that is being made."""
    _keep(connection, _now(storage))


def _used(connection: sa.Connection) -> dict[str, str]:
    return dict(json.loads(read_property(connection, USED) or "{}"))


def _keep(connection: sa.Connection, now: Mapping[str, str]) -> None:
    set_property(connection, USED, json.dumps(now, sort_keys=True))


def _now(storage: Storage) -> dict[str, str]:
    """By setting, and for the schema, the digest of what it says; of a database's address without the password."""
    values = asdict(Configuration.read(storage.configuration_path))
    values["database"] = sa.make_url(values["database"]).render_as_string(hide_password=True)
    schema = b""
    with suppress(OSError):  # the doctor's first check says so
        schema = storage.schema_path.read_bytes()
    return {**{name: digest(json.dumps(value)) for name, value in values.items()}, SCHEMA: digest(schema)}

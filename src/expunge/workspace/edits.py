"""Edits: how workspace.toml and schema.toml differ from when they were last used.

People may edit both, so a valid change of a value is not damage. But it may be nobody's intention: a bit may have flipped, or
somebody may have moved a deadline without permission. So the ledger keeps sealed digests of what the two files said when a
command last used them. The doctor names what differs, and the next command that writes accepts it and notes in the log which
settings changed. Their values are not published, since a database's address may hold a password.
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
    """How the two files differ from when they were last used, for the doctor; ``None`` if they do not."""
    with storage.database.reading() as connection:
        before = _used(connection)
        made = drafts.as_made(connection)
    now = _now(storage)
    changed = _changed(before, now)
    if now[SCHEMA] in made:
        changed = [name for name in changed if name != SCHEMA]
    if not changed:
        return None
    settings = [name for name in changed if name != SCHEMA]
    said = [f"workspace.toml has another value for {', '.join(settings)}"] if settings else []
    said += [f"{SCHEMA} was changed"] if SCHEMA in changed else []
    return (
        f"{' and '.join(said)} since a command last used it: if nobody intended that, undo it. The next command that "
        "works in the workspace uses the files as they are"
    )


def take(storage: Storage) -> None:
    """Notes that the two files are used as they are now, and logs which settings changed. The caller is in charge."""
    now = _now(storage)
    with storage.database.reading() as connection:
        before = _used(connection)
    if now == before:
        return
    with storage.database.writing() as connection:
        _keep(connection, now)
        changed = [name for name in _changed(before, now) if name != SCHEMA]
        if changed:  # not a changed schema: a draft is corrected because of the people just forgotten
            log.append(connection, EventKind.SETTINGS_CHANGED, [{"settings": changed}])


def is_taken(storage: Storage) -> bool:
    """Whether the two files are noted as used as they are now."""
    with storage.database.reading() as connection:
        return _used(connection) == _now(storage)


def remember(connection: sa.Connection, storage: Storage) -> None:
    """Notes what the two files say now, in a workspace that is being made."""
    _keep(connection, _now(storage))


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What has another value now; settings that only one version knows are left out."""
    return sorted(name for name in before if name in now and before[name] != now[name])


def _used(connection: sa.Connection) -> dict[str, str]:
    return dict(json.loads(read_property(connection, USED) or "{}"))


def _keep(connection: sa.Connection, now: Mapping[str, str]) -> None:
    set_property(connection, USED, json.dumps(now, sort_keys=True))


def _now(storage: Storage) -> dict[str, str]:
    """The digest of each setting and of the schema; of a database's address, without the password."""
    values = asdict(Configuration.read(storage.configuration_path))
    values["database"] = sa.make_url(values["database"]).render_as_string(hide_password=True)
    schema = b""
    with suppress(OSError):  # the doctor's first check says so
        schema = storage.schema_path.read_bytes()
    return {**{name: digest(json.dumps(value)) for name, value in values.items()}, SCHEMA: digest(schema)}

"""Drafts: what schema.toml and the models have taken from people's rows, checked again whenever somebody was forgotten.

A draft that nobody has edited is corrected: anything that fewer than ten people share is taken out of schema.toml. What
people have edited is theirs, and what a model was fitted with stays in it: there the doctor and the status report it. How
much was found is not published: an event in the log would tell everybody that the people just forgotten shared a value
with few others.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa

from expunge.data.drafting import Short, short
from expunge.data.encoding import Encoding
from expunge.data.schema import FeatureSchema
from expunge.errors import WorkspaceInvalid
from expunge.evidence.statements import digest
from expunge.files import write_file
from expunge.ledger import releases
from expunge.ledger.properties import read_property, set_property
from expunge.workspace.storage import Storage

DRAFT = "draft"
"""The property that holds the digests of texts that are the draft as made, and not a person's work."""
SHORT = "short"
"""The property that holds, by digest of a schema or specification, how much of it too few people shared at the last look."""


@dataclass(frozen=True)
class Source:
    """The specification of a ``model``, or schema.toml: its ``text``, and the columns that were taken from rows."""

    model: str | None
    text: str
    columns: Mapping[str, Encoding]


@dataclass(frozen=True)
class Lacking:
    """How much of a source fewer than ten people share, by column."""

    source: Source
    values: Mapping[str, int]


def remember(connection: sa.Connection, text: str) -> None:
    """Notes that ``text`` is the draft as it was made."""
    set_property(connection, DRAFT, json.dumps([digest(text)]))


def as_made(connection: sa.Connection) -> list[str]:
    """The digests of drafts as they were made."""
    return list(json.loads(read_property(connection, DRAFT) or "[]"))


def lacking(storage: Storage) -> list[Lacking]:
    """What fewer than ten people now share in schema.toml and in each model."""
    with storage.database.reading() as connection:
        sources = [*_drafts(storage), *_models(connection)]
    found = _short(storage, sources)
    return [Lacking(source, _values(source, found)) for source in sources if _values(source, found)]


def looked_again(storage: Storage, notify: Callable[[str], None]) -> dict[str, int] | None:
    """Corrects schema.toml if nobody has edited it; how much of the rest too few people share, by digest. Safe to repeat.

    The caller holds ``storage.exclusive()``. ``None`` where the rows cannot be read; nothing waits for them.
    """
    with storage.database.reading() as connection:
        drafts, models = _drafts(storage), _models(connection)
        made = as_made(connection)
    try:
        found = _short(storage, [*drafts, *models])
    except WorkspaceInvalid as error:
        notify(f"what was drafted from the rows could not be checked again: {error}")
        return None
    for draft in drafts:
        values = _values(draft, found)
        if values and digest(draft.text) in made:
            _mend(storage, draft, found)
            drafts = []
            notify(f"schema.toml, an unedited draft: took out {sum(values.values()):,} values that fewer than ten people share")
    return {
        digest(source.text): sum(_values(source, found).values()) for source in [*drafts, *models] if _values(source, found)
    }


def note(connection: sa.Connection, counts: Mapping[str, int]) -> None:
    """Keeps what ``looked_again`` found, for the status."""
    if counts or read_property(connection, SHORT) is not None:
        set_property(connection, SHORT, json.dumps(counts))


def noted(storage: Storage, connection: sa.Connection) -> list[tuple[str | None, int]]:
    """What was found when somebody was last forgotten, in sources unchanged since: the model, if it is one, and how much."""
    counts = json.loads(read_property(connection, SHORT) or "{}")
    known: list[tuple[str | None, str]] = [(row.name, row.specification) for row in releases.all_models(connection)]
    with suppress(OSError, ValueError):
        known.insert(0, (None, storage.schema_path.read_text(encoding="utf-8")))
    return [(model, counts[digest(text)]) for model, text in known if digest(text) in counts]


def _drafts(storage: Storage) -> list[Source]:
    """schema.toml, if it can be read and is a draft."""
    try:
        text = storage.schema_path.read_text(encoding="utf-8")
        schema = FeatureSchema.from_toml(text)
    except (OSError, ValueError):  # the doctor's first check says so
        return []
    return [Source(None, text, schema.columns)] if schema.draft else []


def _models(connection: sa.Connection) -> list[Source]:
    """The models that took something from the rows."""
    from expunge.workspace.specification import Specification  # too heavy for the status to load always

    found = []
    for model in releases.all_models(connection):
        taken = Specification.from_json(model.specification).taken
        if taken:
            found.append(Source(model.name, model.specification, taken))
    return found


def _short(storage: Storage, sources: Iterable[Source]) -> dict[tuple[str, Encoding], Short]:
    names = set(storage.table.columns.names)
    declared = {(name, column) for source in sources for name, column in source.columns.items() if name in names}
    return short(storage.table, declared)


def _values(source: Source, found: Mapping[tuple[str, Encoding], Short]) -> dict[str, int]:
    return {name: found[name, column].values for name, column in source.columns.items() if (name, column) in found}


def _mend(storage: Storage, draft: Source, found: Mapping[tuple[str, Encoding], Short]) -> None:
    """Takes what too few people share out of schema.toml, which counts as unedited whatever happens in between."""
    schema = FeatureSchema.from_toml(draft.text)
    left = {name: found[name, column].left if (name, column) in found else column for name, column in schema.columns.items()}
    text = schema.with_columns({name: column for name, column in left.items() if column is not None}).to_toml()
    with storage.database.writing() as connection:
        set_property(connection, DRAFT, json.dumps([digest(draft.text), digest(text)]))
    write_file(storage.schema_path, text.encode())
    with storage.database.writing() as connection:
        remember(connection, text)

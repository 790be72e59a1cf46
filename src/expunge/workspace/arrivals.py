"""Arrivals: rows from outside that are to come into the table, read and judged before anything changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from expunge.data.content import Content
from expunge.data.oddities import Odd, odd_values, require_declared
from expunge.data.reading import Reading, read_batches
from expunge.data.schema import FeatureSchema
from expunge.data.table import ROW, SUBJECT, numbered
from expunge.errors import InvalidRows, WorkspaceInvalid
from expunge.ledger import releases
from expunge.ledger.facts import fact
from expunge.ledger.sealing import SealKey
from expunge.workspace.people import People
from expunge.workspace.place import Place
from expunge.workspace.specification import Specification
from expunge.workspace.states import Forgetting

READING = "reading"
"""The fact that says how values were written when the workspace was made, and so are in later files."""
LEAST = 6
"""Fewer undeclared values of a column never stop a command."""


@dataclass(frozen=True)
class Arrival:
    """Rows from outside.

    Args:
        rows: as the table will hold them, numbered.
        content: keyed digest by which the same rows are recognised when they come again.
        left_out: columns that the table does not have.
        odd: by column of features, what is undeclared and missing in it.
    """

    rows: pa.Table = field(repr=False)
    content: str = field(repr=False)
    left_out: tuple[str, ...]
    odd: Mapping[str, Odd]

    @property
    def told(self) -> dict[str, Any]:
        """What whoever brought the rows is told of them, as JSON values."""
        return {"left_out": list(self.left_out), **told(self.odd)}


def told(odd: Mapping[str, Odd]) -> dict[str, Any]:
    """What is odd, as JSON values; columns in which nothing is are left out."""
    return {
        "undeclared": {name: found.undeclared for name, found in odd.items() if found.undeclared},
        "missing": {name: found.missing for name, found in odd.items() if found.missing},
    }


def arrival(place: Place, data: str, query: str | None, reading: Reading) -> Arrival:
    """The rows of a file or a query, as the table would hold them.

    Args:
        reading: what is known of the file, beside what was known when the workspace was made.

    Raises:
        InvalidRows: they cannot be read, have no subject, or do not fit the table; names the row.
    """
    with place.database.reading() as connection:
        next_row = int(fact(connection, "next_row") or 0)
        reading = reading.over(Reading.from_json(str(fact(connection, READING))))
    who, columns = People(place).identification, place.table.columns
    given, batches = read_batches(data, query, texts=(who.subject, *who.aliases), reading=reading, columns=columns)
    parts = [part for part in numbered(batches, who, columns, next_row) if len(part)]
    if not parts:
        raise InvalidRows(f"{data if query is None else 'the query'} holds no rows: give at least one")
    rows, known = pa.Table.from_batches(parts), {who.subject, *who.aliases, *columns.names}
    content = Content()
    content.add(rows, without=ROW)
    keyed = SealKey.load(place.seal_key_path).mac("content", content.hexdigest())
    return Arrival(rows, keyed, tuple(name for name in given.names if name not in known), odd_values([rows], _schemas(place)))


def require_expected(place: Place, found: Arrival, *, accept_undeclared: bool) -> None:
    """Raises ``InvalidRows`` if too much of a column is undeclared, unless that was accepted, or as ``require_whole`` does."""
    if not accept_undeclared:
        require_declared(found.odd, place.configuration.undeclared_percent, LEAST)
    require_whole(place, found.rows, found.rows)


def require_whole(place: Place, touched: pa.Table, given: pa.Table) -> None:
    """Raises ``InvalidRows`` if a row of ``touched`` is of somebody whom only some of the models have forgotten; names the row
    of ``given`` in the same position."""
    with place.database.reading() as connection:
        before = Forgetting.of(connection)
    leaving = {before.people[request] for request in before.by if request in before.people}
    row = next((row for row, tag in enumerate(touched[SUBJECT].to_pylist()) if tag in leaving), None)
    if row is not None:
        number = int(given[ROW][row].as_py()) - int(pc.min(given[ROW]).as_py())
        raise InvalidRows(
            f"row {number} is of somebody whom some models have forgotten and others have not yet: see expunge status, and "
            "drop the row from the file. Nothing was changed"
        )


def in_table(place: Place, schema: FeatureSchema, without: Sequence[str]) -> dict[str, Odd]:
    """What is odd in the table's rows; the people in ``without`` are left out."""
    read = [bucket([*schema.columns])[1] for bucket in place.table.by_bucket(without)]
    return odd_values(read, [schema])


def _schemas(place: Place) -> list[FeatureSchema]:
    """How rows become features: in the models, and in schema.toml where it can be used."""
    with place.database.reading() as connection:
        texts = [Specification.from_json(row.specification).schema for row in releases.all_models(connection)]
    found = [FeatureSchema.from_toml(text) for text in dict.fromkeys(texts)]
    if found:
        return found
    try:
        schema = read_schema(place.schema_path)
    except WorkspaceInvalid:  # of no use to what has no model
        return []
    names = set(place.table.columns.names)
    return [FeatureSchema({name: column for name, column in schema.columns.items() if name in names})]


def read_schema(path: Path) -> FeatureSchema:
    """The schema in the file at ``path``.

    Raises:
        WorkspaceInvalid: it is missing, or none.
    """
    try:
        return FeatureSchema.read(path)
    except FileNotFoundError:
        raise WorkspaceInvalid(
            f"there is no schema at {path}: restore it, or propose one with expunge schema propose"
        ) from None
    except ValueError as error:
        raise WorkspaceInvalid(f"the schema cannot be used: {error}") from error

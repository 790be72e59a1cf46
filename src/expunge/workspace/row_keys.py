"""Row keys: columns that name a row, so that a repeated row is recognised, and one with new values can replace it."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from expunge.data.own_columns import BUCKET, ROW, SUBJECT, alias_names
from expunge.data.table import SubjectTable
from expunge.errors import InvalidRows, WorkspaceInvalid
from expunge.ledger.properties import read_property, set_property
from expunge.workspace.people import id_columns
from expunge.workspace.storage import Storage

ROW_KEY = "row_key"
"""The property that names the columns of the row key, as JSON."""


@dataclass(frozen=True)
class Known:
    """Rows from outside, sorted by whether the table has their keys.

    Args:
        new: rows whose keys the table does not have.
        changed: rows whose keys the table has with different values; their numbers are ``names``.
        old: the table's rows with these keys.
        same: number of rows that the table already has.
    """

    new: pa.Table = field(repr=False)
    changed: pa.Table = field(repr=False)
    names: Sequence[int] = field(repr=False)
    old: pa.Table = field(repr=False)
    same: int


def declared(connection: sa.Connection) -> tuple[str, ...]:
    """The columns of the row key; empty if none was declared."""
    return tuple(json.loads(read_property(connection, ROW_KEY) or "[]"))


def declare(storage: Storage, names: Sequence[str]) -> None:
    """Makes these columns the row key. The caller holds ``storage.exclusive()``.

    Raises:
        WorkspaceInvalid: as for ``require_key``.
    """
    require_key(storage.table, id_names(storage), names)
    with storage.database.writing() as connection:
        remember(connection, names)


def remember(connection: sa.Connection, names: Sequence[str]) -> None:
    """Notes that these columns are the row key."""
    set_property(connection, ROW_KEY, json.dumps(list(names)))


def require_key(table: SubjectTable, ids: Sequence[str], names: Sequence[str]) -> None:
    """Raises ``WorkspaceInvalid`` unless every row of the table has values in these columns that no other row has.

    Args:
        ids: the columns of ids: the subject's, then its aliases.
    """
    columns = _stored(ids, names)
    known = [SUBJECT, *alias_names(len(ids) - 1), *table.columns.names]
    unknown = [name for name, column in zip(names, columns, strict=True) if column not in known]
    if unknown or not names or len(set(columns)) < len(columns):
        raise WorkspaceInvalid(
            f"a row key is one or more different columns of the table, got {', '.join(map(repr, names)) or 'none'}"
            + (f": there is no column {unknown[0]!r}" if unknown else "")
        )
    if table.repeats(columns):
        raise WorkspaceInvalid(
            f"columns {', '.join(names)} do not identify a row: some rows have the same values there, or no value. Choose "
            "columns that tell every row from all others"
        )


def known(storage: Storage, rows: pa.Table, called: Sequence[int]) -> Known | None:
    """Which of ``rows``, numbered by ``called``, the table already has; ``None`` if there is no row key.

    Raises:
        InvalidRows: a row has no key, or two have the same; the message names them.
    """
    with storage.database.reading() as connection:
        names = declared(connection)
    if not names:
        return None
    columns = _stored(id_names(storage), names)
    keys = _keys(rows, columns)
    _require_different(keys, names, called)
    old = storage.table.having(rows.select(columns))
    place_of = {key: row for row, key in enumerate(_keys(old, columns))}
    pairs = [(row, place_of[key]) for row, key in enumerate(keys) if key in place_of]
    values = [name for name in rows.column_names if name not in (ROW, BUCKET)]
    given = rows.select(values).take(_places(row for row, _old in pairs)).to_pylist()
    held = old.select(values).take(_places(row for _row, row in pairs)).to_pylist()
    changed = [pair for pair, one, other in zip(pairs, given, held, strict=True) if one != other]
    there = {row for row, _old in pairs}
    return Known(
        rows.take(_places(row for row in range(len(rows)) if row not in there)),
        rows.take(_places(row for row, _old in changed)),
        [called[row] for row, _old in changed],
        old.take(_places(row for _row, row in changed)),
        len(pairs) - len(changed),
    )


def require_own(storage: Storage, rows: pa.Table, called: Sequence[int], people: Collection[str]) -> None:
    """Raises ``InvalidRows`` if a row has the row key of a row of anybody but ``people``, or as for ``known``."""
    found = known(storage, rows, called)
    owners = [] if found is None else found.old[SUBJECT].to_pylist()
    for row, owner in zip(found.names if found else (), owners, strict=True):
        if owner not in people:
            raise InvalidRows(f"row {row} has the row key of somebody else's row: correct it. Nothing was changed")


def replaced(storage: Storage, found: Known, rows: pa.Table) -> tuple[tuple[str, ...], pa.Table]:
    """How ``rows`` replace ``found.old``: the people whose rows are written again, and all the rows that are then written."""
    owners = tuple(sorted(set(found.old[SUBJECT].to_pylist())))
    theirs = storage.table.of_subjects(owners)
    kept = theirs.filter(pc.invert(pc.is_in(theirs[ROW], value_set=found.old[ROW].combine_chunks())))
    return owners, pa.concat_tables([kept.select(rows.column_names).cast(rows.schema), rows])


def id_names(storage: Storage) -> tuple[str, ...]:
    """The columns of ids: the subject's, then its aliases."""
    with storage.database.reading() as connection:
        subject, aliases = id_columns(connection)
    return (subject, *aliases)


def _stored(ids: Sequence[str], names: Sequence[str]) -> list[str]:
    """What the table calls these columns: ids are stored as pseudonyms."""
    stored = dict(zip(ids, [SUBJECT, *alias_names(len(ids) - 1)], strict=True))
    return [stored.get(name, name) for name in names]


def _places(rows: Iterable[int]) -> pa.Array:
    return pa.array(list(rows), pa.int64())


def _keys(rows: pa.Table, columns: Sequence[str]) -> list[tuple[object, ...]]:
    return list(zip(*(rows[name].to_pylist() for name in columns), strict=True))


def _require_different(keys: Sequence[tuple[object, ...]], names: Sequence[str], called: Sequence[int]) -> None:
    seen: dict[tuple[object, ...], int] = {}
    for row, key in zip(called, keys, strict=True):
        if None in key:
            raise InvalidRows(
                f"row {row} has no {names[key.index(None)]}, which is part of the row key: every row must have one. Nothing "
                "was changed"
            )
        if key in seen:
            raise InvalidRows(
                f"rows {seen[key]} and {row} have the same row key ({', '.join(names)}): leave one out. Nothing was changed"
            )
        seen[key] = row

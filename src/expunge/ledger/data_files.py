"""The files that make up the table: what the ledger knows about each, and what batches do to them."""

from collections.abc import Iterable

import sqlalchemy as sa

from expunge.data.files import Change, DataFile
from expunge.ledger import sealing
from expunge.ledger.tables import data_files


def present(connection: sa.Connection) -> list[DataFile]:
    """The files that make up the table now."""
    return _in_state(connection, data_files.c.state == "present")


def going(connection: sa.Connection, batch: int) -> list[DataFile]:
    """The files that ``batch`` took out of the table and that may still exist."""
    return _in_state(connection, (data_files.c.state == "going") & (data_files.c.batch == batch))


def add(connection: sa.Connection, files: Iterable[DataFile], batch: int) -> None:
    """Puts new files into the table."""
    values = [{**vars(file), "state": "present", "batch": batch} for file in files]
    sealing.insert(connection, data_files, values)


def change(connection: sa.Connection, made: Change, batch: int) -> None:
    """Adds the files that come, and takes out those that go."""
    add(connection, made.coming, batch)
    for file in made.going:
        sealing.update(connection, data_files, data_files.c.path == file.path, state="going", batch=batch)


def drop(connection: sa.Connection, batch: int) -> None:
    """Forgets the files that ``batch`` took out, once they are deleted."""
    sealing.delete(connection, data_files, (data_files.c.state == "going") & (data_files.c.batch == batch))


def _in_state(connection: sa.Connection, state: sa.ColumnElement[bool]) -> list[DataFile]:
    found = sealing.rows(connection, sa.select(data_files).where(state), data_files)
    return [DataFile(row.path, row.rows, row.size, row.digest) for row in found]

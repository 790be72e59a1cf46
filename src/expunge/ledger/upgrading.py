"""Ledgers of older versions: the copy that is kept of one before its tables are changed, and which one cannot be upgraded."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from expunge.errors import WorkspaceInvalid
from expunge.files import delete_file, sync_file, sync_folder

COPY = ".before-"
"""What the name of a copy has after the ledger's own; the revision that it was made for follows."""


def keep_copy(ledger: Path, revision: str) -> Path:
    """Copies the SQLite ledger as it is, before its tables become those of ``revision``. Returns the copy's path.

    Args:
        ledger: the database's file; nobody else writes to it meanwhile.
        revision: of the migration that follows. A copy that an interrupted attempt left is made anew.

    Raises:
        WorkspaceInvalid: the copy cannot be written.
    """
    copy = ledger.with_name(f"{ledger.name}{COPY}{revision}")
    try:
        delete_file(copy)
        os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(ledger)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        sync_file(copy)
        sync_folder(copy.parent)
    except (OSError, sqlite3.Error) as error:
        raise WorkspaceInvalid(
            f"{ledger} was made by an older version, and no copy of it can be kept before it is upgraded ({error}): make room "
            "for one, or let the folder be written to; nothing was changed"
        ) from error
    return copy


def copies(ledger: Path) -> list[Path]:
    """The copies that were kept of a ledger."""
    return sorted(ledger.parent.glob(f"{ledger.name}{COPY}*"))


def delete_copies(ledger: Path) -> None:
    """Deletes the copies that were kept of a ledger: they hold what is to be gone from it."""
    for copy in copies(ledger):
        delete_file(copy)


def is_unsealed(url: str | sa.URL) -> bool:
    """Whether there is a ledger at ``url``, and it is of before ledgers were sealed: nobody can tell whether it was altered."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    try:
        inspected = sa.inspect(engine)
        return inspected.has_table("events") and not inspected.has_table("seals")
    except SQLAlchemyError:
        return False  # whoever opens it says what is wrong with it
    finally:
        engine.dispose()

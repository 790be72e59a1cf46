"""SQLite: how a ledger in a file is opened, and how its transactions begin."""

import os
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry


def readable(url: sa.URL) -> sa.URL:
    """``url``, or one that SQLite can read even though the folder cannot be written to (read-only media)."""
    file = Path(str(url.database)).absolute()
    if not file.is_file() or os.access(file.parent, os.W_OK):
        return url
    query = {"uri": "true", "mode": "ro"}
    if not Path(f"{file}-wal").exists():  # otherwise part of the ledger is there, with the process that has it open
        query["immutable"] = "1"
    return url.set(database=f"file:{quote(str(file))}", query=query)


def configure(connection: Any, _entry: ConnectionPoolEntry) -> None:
    """Sets up a new connection of the pool."""
    connection.isolation_level = None  # transactions are started by ``begin``, so that writers take their lock at once
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "foreign_keys = ON"):
        try:
            connection.execute(f"PRAGMA {pragma}").fetchall()
        except UnicodeDecodeError as error:  # from a message that quotes the damaged page
            raise sqlite3.DatabaseError("database disk image is malformed") from error


def begin(connection: sa.Connection) -> None:
    """Starts a transaction; one that writes takes its lock at once."""
    is_writing = connection.get_execution_options().get("is_writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")

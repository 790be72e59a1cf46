"""Server: what keeps the ledger, with its version, for people who have to say what runs where."""

import sqlite3

import sqlalchemy as sa


def server_of(connection: sa.Connection) -> str:
    """The name and the version of the database behind a connection."""
    if connection.dialect.name == "sqlite":
        return f"SQLite {sqlite3.sqlite_version}"
    return f"PostgreSQL {connection.exec_driver_sql('SHOW server_version').scalar()}"

"""The database under the ledger: SQLite in the workspace, or PostgreSQL by URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from expunge.errors import LedgerCorrupt, WorkspaceBusy, WorkspaceInvalid

HEAD = "0001"
"""The newest migration; a test compares it with the migrations there are."""
WAIT = 30.0
"""Seconds to wait for another writer."""
LEAD_LOCK = 0x45585056
"""The one that the process holds which works the queue."""
APPEND_LOCK = 0x45585055
"""PostgreSQL's advisory lock that writers of the ledger hold to the end of their transaction."""


class Database:
    """Transactions on the ledger's database: many readers, one writer at a time."""

    def __init__(self, url: str) -> None:
        try:
            self.url = sa.engine.make_url(url)
        except sa.exc.ArgumentError as error:
            raise WorkspaceInvalid(
                "the database URL cannot be read: write it as postgresql+psycopg://user@host/name"
            ) from error
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        arguments: dict[str, Any] = {"timeout": WAIT, "check_same_thread": False} if self.is_sqlite else {}
        pool = None if self.is_sqlite else NullPool  # a server that was restarted in between is not noticed then
        self.engine = sa.create_engine(self.url, connect_args=arguments, poolclass=pool, hide_parameters=True)
        if self.is_sqlite:
            sa.event.listen(self.engine, "connect", _configure_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one moment of the ledger."""
        with self._explained(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that writes: all of it or nothing; others wait for it.

        Raises:
            WorkspaceBusy: another writer did not finish in time.
            LedgerCorrupt: the database is damaged.
            WorkspaceInvalid: it cannot be reached or written to.
        """
        with (
            self._explained(),
            self.engine.connect() as connection,
            connection.execution_options(is_writing=True).begin(),
        ):
            if not self.is_sqlite:
                connection.execute(sa.text(f"SET LOCAL lock_timeout = '{int(WAIT)}s'"))
                connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({APPEND_LOCK})"))
            yield connection

    def migrate(self) -> None:
        """Brings the tables to the newest migration; a ledger of a newer version is refused.

        Raises:
            WorkspaceInvalid: written by a newer version of this package.
        """
        with self._explained(), self.engine.connect() as connection:
            found = self._revision(connection)
        if found == HEAD:
            return
        if found is not None and found > HEAD:
            raise WorkspaceInvalid(f"the ledger has revision {found}, this version knows {HEAD}: install the newer expunge")
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.writing() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def wipe_free_space(self) -> None:
        """Makes sure that what was deleted is gone from the files too."""
        with self._explained(), self.engine.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("COMMIT")  # the listener has begun a transaction
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                connection.exec_driver_sql("BEGIN")
            else:
                vacuuming = connection.execution_options(isolation_level="AUTOCOMMIT")
                for table in ("requests", "releases"):
                    vacuuming.exec_driver_sql(f"VACUUM {table}")

    @contextmanager
    def leading(self) -> Iterator[bool]:
        """Whether this process, among all on the same database, may work now; held until the block ends or the process dies."""
        if self.is_sqlite:  # the workspace's file lock is enough: SQLite is on one machine
            yield True
            return
        with self._explained(), self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            is_leading = bool(connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({LEAD_LOCK})").scalar())
            yield is_leading
            if is_leading:
                connection.exec_driver_sql(f"SELECT pg_advisory_unlock({LEAD_LOCK})")

    def verify(self) -> None:
        """Raises ``LedgerCorrupt`` if the database itself finds damage."""
        if self.is_sqlite:
            with self.reading() as connection:
                found = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
            if found != "ok":
                raise LedgerCorrupt(f"the database is damaged ({found}): restore {self.url.database} from a backup")

    def close(self) -> None:
        """Gives all connections back."""
        self.engine.dispose()

    def _revision(self, connection: sa.Connection) -> str | None:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            cause = str(error.orig).strip().splitlines()[0] if error.orig else str(error)
            if "locked" in cause or "lock timeout" in cause:
                raise WorkspaceBusy("another process has been writing to the ledger for a long time: try again") from error
            if self.is_sqlite and ("malformed" in cause or "not a database" in cause or "disk image" in cause):
                raise LedgerCorrupt(
                    f"the ledger's database is damaged ({cause}): restore {self.url.database} from a backup"
                ) from error
            if isinstance(error, OperationalError) or type(error) is DatabaseError:
                where = self.url.database if self.is_sqlite else self.url.render_as_string(hide_password=True)
                raise WorkspaceInvalid(
                    f"the ledger's database {where} cannot be used ({cause}); nothing was changed"
                ) from error
            raise


def _configure_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions are begun by _begin_sqlite, so that writers take their lock at once
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").fetchall()


def _begin_sqlite(connection: sa.Connection) -> None:
    is_writing = connection.get_execution_options().get("is_writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")

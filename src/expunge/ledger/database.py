"""The database under the ledger: SQLite in the workspace, or PostgreSQL by URL."""

import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from expunge.data.urls import database_url, shown, sqlite_url, without_password
from expunge.errors import LedgerCorrupt, WorkspaceBusy, WorkspaceInvalid
from expunge.files import delete_file, sync_folder
from expunge.ledger import sealing
from expunge.ledger.patience import APPEND_LOCK, LEAD_LOCK, REACHING, READING
from expunge.ledger.properties import set_property
from expunge.ledger.resealing import sealed_anew
from expunge.ledger.sealing import Sealing, SealKey
from expunge.ledger.sqlite import begin, configure, readable
from expunge.ledger.tables import events, metadata, properties, seals
from expunge.ledger.witness import Witness

HEAD = "0007"
"""The newest migration; a test compares it with the existing migrations."""
MIGRATIONS = Path(__file__).parent / "migrations"
UNDEFINED = ("UndefinedTable", "UndefinedColumn")
"""PostgreSQL's errors for a missing table or column."""
COPY = "ledger.sqlite.before-migration"
"""The copy of an older ledger, beside its witness; see ``Database.copy_path``."""
COPIED = 10_000
"""Number of rows copied at a time."""
WAIT = 30.0
"""Seconds to wait for another writer."""
JOBS_LOCK = 0x45585057
"""PostgreSQL's advisory lock held by the process that does a job."""


class Database:
    """Transactions on the ledger's database: many readers, one writer at a time.

    Args:
        url: URL of the database, as SQLAlchemy writes it.
        key: key with which its rows are sealed.
        witness: the record, outside the database, of where it stands; without it, an older copy is not noticed.
        sign: signs the head of the log at the end of every transaction that made it longer.
    """

    def __init__(
        self,
        url: str | sa.URL,
        key: SealKey,
        witness: Witness | None = None,
        sign: Callable[[sa.Connection], object] | None = None,
    ) -> None:
        self._key, self._witness, self._sign = key, witness, sign
        try:
            self.url = database_url(url)
        except ValueError as error:
            raise WorkspaceInvalid(str(error)) from error
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        arguments: dict[str, Any] = {"timeout": WAIT, "check_same_thread": False} if self.is_sqlite else dict(REACHING)
        pool = None if self.is_sqlite else NullPool  # so a restart of the server between transactions does no harm
        address = readable(self.url) if self.is_sqlite else self.url
        self.engine = sa.create_engine(address, connect_args=arguments, poolclass=pool, hide_parameters=True)
        weakref.finalize(self, self.engine.dispose).atexit = False  # a database that was not closed leaves no connection open
        if self.is_sqlite:
            sa.event.listen(self.engine, "connect", configure)
            sa.event.listen(self.engine, "begin", begin)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one moment of the ledger.

        Raises:
            LedgerCorrupt: the database is damaged, or its seal was altered.
            WorkspaceInvalid: it cannot be reached.
        """
        with self._explained(), self.engine.connect() as connection:
            if not self.is_sqlite:  # SQLite's transactions see one moment anyway
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                if not self.is_sqlite:
                    connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{READING}s'")
                connection.execution_options(sealing=Sealing(self._key, sealing.read(connection, self._key)))
                yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that writes everything or nothing; others wait for it. What it leaves behind is sealed.

        Raises:
            WorkspaceBusy: another writer did not finish in time.
            LedgerCorrupt: the database is damaged, its seal was altered, or it is not where its witness says.
            WorkspaceInvalid: it cannot be reached or written to.
        """
        with ExitStack() as stack, self._locked() as connection:
            before = sealing.read(connection, self._key)
            if self._witness is not None:
                self._witness.require(before)
            account = Sealing(self._key, before)
            connection.execution_options(sealing=account)
            yield connection
            if self._sign is not None and account.now.size > before.size:
                self._sign(connection)
            after = account.write(connection)
            if self._witness is not None and after != before:
                stack.enter_context(self._witness.announced(before, after))

    @contextmanager
    def erasing(self) -> Iterator[sa.Connection]:
        """Like ``writing``, for deletions that must be final: when it commits, the copy of an older ledger is gone; then the
        free space is wiped.

        Raises:
            OSError: the copy cannot be deleted; nothing was changed.
        """
        with self.writing() as connection:
            yield connection
            if self.copy_path is not None:
                delete_file(self.copy_path)
        self.wipe_free_space()

    def require_newest(self) -> None:
        """Raises ``LedgerCorrupt`` unless the database stands where its witness says."""

        def standing() -> sealing.Sealed:
            with self.reading() as connection:
                return sealing.read(connection, self._key)

        if self._witness is not None:
            self._witness.require_settled(standing)

    def migrate(self, *, is_new: bool = True) -> None:
        """Brings the tables to the newest migration; a ledger of a newer version is refused.

        Of an older ledger, every row is checked first, a copy is kept in ``copy_path``, and every row is sealed again; see
        ``resealing``. The whole upgrade is one transaction.

        Args:
            is_new: whether there may be no tables yet.

        Raises:
            WorkspaceInvalid: it was written by a newer version of this package, or no copy can be kept.
            LedgerCorrupt: there are no tables, though it is not new; their version does not exist; or a row was altered.
        """
        with self._explained(), self.engine.connect() as connection:
            found = self._revision(connection)
        if found == HEAD:
            return
        if found is None and not is_new:
            raise LedgerCorrupt(f"the database {shown(self.url)} is empty and holds no ledger: restore it from a backup")
        if found is not None and found > HEAD:
            raise WorkspaceInvalid(f"the ledger has revision {found}, but this version knows {HEAD}: install a newer expunge")
        from alembic.util import CommandError

        with ExitStack() as stack, self._locked() as connection:
            if found is None:
                _upgrade(connection, HEAD)
                return
            try:
                with sealed_anew(connection, self._key) as standing:
                    if self.copy_path is not None:
                        _keep_copy(connection, found, self.copy_path)
                    _upgrade(connection, HEAD)
            except CommandError as error:
                raise LedgerCorrupt(
                    f"the ledger has revision {found}, which does not exist in any version: restore it from a backup"
                ) from error
            if self._witness is not None and self._witness.stands(standing[0]):
                stack.enter_context(self._witness.announced(*standing))

    @property
    def copy_path(self) -> Path | None:
        """Where ``migrate`` keeps a copy of an older ledger until the next ``erasing``; ``None`` without a witness."""
        return None if self._witness is None else self._witness.path.with_name(COPY)

    def claim(self, workspace: str) -> None:
        """Makes the tables in an empty database, for the workspace of this identity; again if making them was interrupted.

        Raises:
            WorkspaceInvalid: another workspace has its ledger there, or the database cannot be used.
        """
        if self.is_sqlite:
            Path(str(self.url.database)).touch(mode=0o600)  # SQLite would let others read it
        with self._locked() as connection:
            if sa.inspect(connection).has_table(properties.name):
                owner = connection.execute(sa.select(properties.c.value).where(properties.c.name == "workspace")).scalar()
                if owner not in (None, workspace):  # without an owner, the attempt ended before naming one
                    raise WorkspaceInvalid("the database holds the ledger of another workspace: give an empty one")
                self._drop(connection)
        self.migrate()
        with self.writing() as connection:
            set_property(connection, "workspace", workspace)

    def take(self, source: sa.Connection, instance: str) -> None:
        """Makes the tables in an empty database with everything as it is in ``source``; all of it or nothing.

        Args:
            source: the ledger whose rows are taken as they are sealed.
            instance: id of the copy that is made; what an interrupted attempt at the same copy left is made again.

        Raises:
            WorkspaceInvalid: the database is in use, or cannot be used.
        """
        self.require_free(instance)
        with self._locked() as connection:
            self._drop(connection)
        self.migrate()
        with self._locked() as connection:
            _copy_rows(source, connection, metadata.sorted_tables)

    def require_free(self, instance: str) -> None:
        """Raises ``WorkspaceInvalid`` unless the database is empty, or holds only an attempt at this copy."""
        with self._explained(), self.engine.connect() as connection, connection.begin():
            if not sa.inspect(connection).has_table(properties.name):
                return
            found = dict(connection.execute(sa.select(properties.c.name, properties.c.value)).all())
        if found and found.get("instance") != instance:
            raise WorkspaceInvalid("the database already holds a ledger: give an empty one; nothing was changed")

    def discard(self) -> None:
        """Drops the tables that ``take`` made."""
        with self._locked() as connection:
            self._drop(connection)

    def _drop(self, connection: sa.Connection) -> None:
        if sa.inspect(connection).has_table(properties.name):
            metadata.drop_all(connection)
            connection.exec_driver_sql("DROP TABLE alembic_version")

    def wipe_free_space(self) -> None:
        """Makes sure that deleted data is gone from the files too."""
        with self._explained(), self.engine.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("COMMIT")  # the listener has started a transaction
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                connection.exec_driver_sql("BEGIN")
            else:
                vacuuming = connection.execution_options(isolation_level="AUTOCOMMIT")
                for table in ("requests", "releases", "case_files", "notes"):
                    vacuuming.exec_driver_sql(f"VACUUM {table}")

    @contextmanager
    def leading(self, patience: float = 0.0, lock: int = LEAD_LOCK) -> Iterator[bool]:
        """Whether this process, of all on the same database, may work now; held until the block ends or the process dies.

        Args:
            patience: seconds to wait for another process.
            lock: what only one may do at a time. Default: working the queue.
        """
        if self.is_sqlite:  # the workspace's file lock is enough: SQLite is on one machine
            yield True
            return
        with self._explained(), self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            until = time.monotonic() + patience
            taking = f"SELECT pg_try_advisory_lock({lock})"
            while not (is_leading := bool(connection.exec_driver_sql(taking).scalar())) and time.monotonic() < until:
                time.sleep(0.05)
            yield is_leading  # the lock ends with the connection

    def verify(self) -> None:
        """Raises ``LedgerCorrupt`` if the database itself finds damage."""
        if self.is_sqlite:
            with self.reading() as connection:
                found = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
            if found != "ok":
                raise LedgerCorrupt(f"the database is damaged ({found}): restore {self.url.database} from a backup")

    def close(self) -> None:
        """Closes all connections."""
        self.engine.dispose()

    def _revision(self, connection: sa.Connection) -> str | None:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()

    @contextmanager
    def _locked(self) -> Iterator[sa.Connection]:
        with (
            self._explained(),
            self.engine.connect() as connection,
            connection.execution_options(is_writing=True).begin(),
        ):
            if not self.is_sqlite:
                connection.execute(sa.text(f"SET LOCAL lock_timeout = '{int(WAIT)}s'"))
                connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({APPEND_LOCK})"))
            yield connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            said = str(error.orig or type(error).__name__).strip().splitlines()
            cause = without_password(said[0], self.url) if said else type(error).__name__
            if "statement timeout" in cause:
                raise WorkspaceBusy("the ledger's database takes too long to answer: try again") from error
            if "locked" in cause or "lock timeout" in cause:
                raise WorkspaceBusy("another process has been writing to the ledger for a long time: try again") from error
            if self.is_sqlite and ("malformed" in cause or "not a database" in cause or "disk image" in cause):
                raise LedgerCorrupt(
                    f"the ledger's database is damaged ({cause}): restore {self.url.database} from a backup"
                ) from error
            if "no such table" in cause or "no such column" in cause or type(error.orig).__name__ in UNDEFINED:
                raise WorkspaceInvalid(
                    f"the ledger's tables do not belong to any released version ({cause}): use the ledger with the version "
                    "that made it, or restore it from a backup; nothing was changed"
                ) from error
            if isinstance(error, OperationalError) or type(error) is DatabaseError:
                where = self.url.database if self.is_sqlite else shown(self.url)
                raise WorkspaceInvalid(
                    f"the ledger's database {where} cannot be used ({cause}); nothing was changed"
                ) from error
            raise


def is_unsealed(url: str | sa.URL) -> bool:
    """Whether there is a ledger at ``url`` from before ledgers were sealed, so nobody can tell whether it was altered."""
    engine = sa.create_engine(url, poolclass=NullPool)
    try:
        inspected = sa.inspect(engine)
        return inspected.has_table(events.name) and not inspected.has_table(seals.name)
    except SQLAlchemyError:
        return False  # opening it says what is wrong
    finally:
        engine.dispose()


def _upgrade(connection: sa.Connection, revision: str) -> None:
    """Brings the tables to ``revision``, in the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _keep_copy(ledger: sa.Connection, revision: str, path: Path) -> None:
    """Copies a ledger of ``revision`` to an SQLite ledger in ``path``, replacing what an interrupted attempt left there.

    Raises:
        WorkspaceInvalid: the copy cannot be written.
    """
    try:
        delete_file(path)
        path.touch(mode=0o600, exist_ok=False)
        engine = sa.create_engine(sqlite_url(path), poolclass=NullPool, hide_parameters=True)
        with engine.begin() as copy:
            copy.exec_driver_sql("PRAGMA journal_mode = MEMORY")  # no second file that an interruption would leave
            _upgrade(copy, revision)
            tables = sa.MetaData()
            tables.reflect(copy, only=lambda name, _tables: name != "alembic_version")
            _copy_rows(ledger, copy, tables.sorted_tables)
        sync_folder(path.parent)
    except (OSError, DBAPIError) as error:
        cause = error.strerror if isinstance(error, OSError) else error.orig
        raise WorkspaceInvalid(
            "the ledger was made by an older version, and a copy, needed before it is upgraded, cannot be kept "
            f"({cause}): make room for {path}, or make its folder writable; nothing was changed"
        ) from error


def _copy_rows(source: sa.Connection, target: sa.Connection, tables: Iterable[sa.Table]) -> None:
    for table in tables:
        chosen = sa.select(table).execution_options(yield_per=COPIED)
        for rows in source.execute(chosen).partitions():
            target.execute(sa.insert(table), [dict(row._mapping) for row in rows])

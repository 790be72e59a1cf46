"""Storage: the folder of a workspace, what it contains, and who may write to it now."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from expunge.data.pseudonyms import SubjectKey
from expunge.data.urls import sqlite_url
from expunge.errors import ExpungeError, LedgerCorrupt, SignatureInvalid, WorkspaceBusy, WorkspaceInvalid
from expunge.ledger import data_files, sealing
from expunge.ledger.database import JOBS_LOCK, Database, is_unsealed
from expunge.ledger.properties import read_property, set_property
from expunge.ledger.public_keys import keys, signing_keyid
from expunge.ledger.sealing import SealKey
from expunge.ledger.witness import Witness
from expunge.workspace.configuration import LOCAL, Configuration

if TYPE_CHECKING:  # loaded where they are used, so that code that only reads the ledger starts quickly
    from expunge.data.files import DataFile
    from expunge.data.sources import TableSource
    from expunge.data.table import SubjectTable
    from expunge.engine import Engine
    from expunge.evidence.signing import PublicKeys, SigningKey
    from expunge.problem.rows import RowSource

UNFINISHED = "init.unfinished"
"""A file that is in a folder while the workspace in it is being made."""
MANIFEST = "backup.json"
"""The file that lists what is in a backup; no workspace has it."""
PATIENCE = 10.0
"""Seconds to wait for another process before saying that it is busy."""


@dataclass(frozen=True)
class Storage:
    """Where a workspace is stored.

    Args:
        path: path of its folder.
    """

    path: Path

    @property
    def configuration_path(self) -> Path:
        """The settings that a person may change."""
        return self.path / "workspace.toml"

    @property
    def schema_path(self) -> Path:
        """How rows become features."""
        return self.path / "schema.toml"

    @property
    def public_key_path(self) -> Path:
        """The public keys, which verifiers need."""
        return self.path / "expunge.pub"

    @property
    def checkpoint_path(self) -> Path:
        """The newest signed head of the log, kept outside the database."""
        return self.path / "checkpoint.json"

    @property
    def keys(self) -> Path:
        """Private keys."""
        return self.path / "keys"

    @property
    def models(self) -> Path:
        """Secret states, one file a model."""
        return self.path / "models"

    @property
    def written(self) -> tuple[Path, ...]:
        """The folders in which files are written whole or not at all; what a killed command left there goes with the next."""
        return self.path, self.keys, *self.models.iterdir()

    @property
    def subject_key_path(self) -> Path:
        """The key under which subject ids are hashed, and the rules by which they are compared."""
        return self.keys / "subject.key"

    @property
    def seal_key_path(self) -> Path:
        """The key under which the ledger's rows are sealed."""
        return self.keys / "seal.key"

    @property
    def witness_path(self) -> Path:
        """The file that records, outside the database, where the ledger stands."""
        return self.path / "ledger.witness"

    @property
    def lock_path(self) -> Path:
        """The file that is locked while models and table change; it also distinguishes the folder from its copies."""
        return self.path / "lock"

    def state_path(self, model: str, number: int) -> Path:
        """The secret state after release ``number`` of ``model``."""
        return self.models / model / f"{number}.safetensors"

    @cached_property
    def configuration(self) -> Configuration:
        """The settings, read once."""
        if (self.path / UNFINISHED).exists():
            raise WorkspaceInvalid(
                f"making the workspace {self.path} was interrupted: run expunge init, or restore, again, which starts afresh"
            )
        if (self.path / MANIFEST).exists():
            raise WorkspaceInvalid(f"{self.path} is a backup: make a workspace of it with expunge restore {self.path} -w NEW")
        return Configuration.read(self.configuration_path)

    @cached_property
    def table(self) -> "SubjectTable":
        """People's rows."""
        from expunge.data.table import SubjectTable

        return SubjectTable(self.path / "table", self._data_files)

    @cached_property
    def engine(self) -> "Engine":
        """The engine that sums over the rows; a cluster is connected to when it is first needed."""
        if self.configuration.engine == LOCAL:
            from expunge.engine.local import LocalEngine

            return LocalEngine()
        from expunge.engine.dask import DaskEngine

        return DaskEngine(self.configuration.engine)

    def cached(self, source: "TableSource") -> "RowSource":
        """``source`` for several passes: kept in memory if the passes are made in this process and it fits."""
        from expunge.data.sources import CachedTable

        return CachedTable(source) if self.configuration.engine == LOCAL else source

    @cached_property
    def subject_key(self) -> SubjectKey:
        """The key under which subject ids are hashed.

        Raises:
            WorkspaceInvalid: it is missing, damaged, or another key than the table was made with.
        """
        key = SubjectKey.load(self.subject_key_path)
        with self.database.reading() as connection:
            expected = read_property(connection, "subject_key")
        for found in (key, key.renewed()):  # the other, if changing to a new rule of ids was interrupted
            if found.fingerprint() == expected:
                return found
        raise WorkspaceInvalid(
            f"{self.subject_key_path} is not the key that the table was made with, or names another rule of ids, so that "
            "nobody could be found: restore it from a backup. Nothing was changed"
        )

    def renew_subject_key(self) -> None:
        """Starts to use the newest rule of ids beside the earlier ones; safe to repeat. The caller holds ``exclusive()``."""
        new = self.subject_key.renewed()
        if new != self.subject_key:
            with self.database.writing() as connection:
                set_property(connection, "subject_key", new.fingerprint())
        if new != SubjectKey.load(self.subject_key_path):
            new.save(self.subject_key_path)
        self.__dict__["subject_key"] = new

    @cached_property
    def database(self) -> Database:
        """The ledger's database, migrated, and proven to be the newest that this folder knows.

        Raises:
            WorkspaceInvalid: it cannot be used.
            LedgerCorrupt: it is older than folder or anchor, has another history, or was altered; or the folder is a copy.
        """
        from expunge.workspace import anchoring

        database = self.unproven_database
        database.require_newest()
        self.require_own()
        with suppress(anchoring.Unreachable):  # batches wait for it, the desk does not
            anchoring.require_continued(self)
        return database

    def examined(self) -> "Storage":
        """The same workspace for the doctor, which reads the ledger whatever state it is in."""
        storage = Storage(self.path)
        with suppress(ExpungeError):
            storage.__dict__["database"] = storage.unproven_database
        return storage

    def require_own(self) -> None:
        """Raises ``WorkspaceInvalid`` unless this folder is the one to which the ledger belongs, and not a copy of it."""
        with self.unproven_database.reading() as connection:
            owner = read_property(connection, "folder")
        if owner != self.mark():
            raise WorkspaceInvalid(
                f"{self.path} is a copy of the workspace's folder, or was moved to another disk: two folders with one ledger "
                "would undo each other's work. If this is the only folder left, run expunge recover; nothing was changed"
            )

    def require_anchors(self) -> None:
        """Raises ``LedgerCorrupt`` unless the ledger continues the public keys and the checkpoint that lie beside it."""
        from expunge.evidence.heads import signed_head
        from expunge.evidence.signing import PublicKeys
        from expunge.ledger import log

        advice = "restore it from a copy, or run expunge recover --anchors if it is gone for good. Nothing was changed"
        for path in (self.public_key_path, self.checkpoint_path):
            if not path.is_file() or not path.stat().st_size:
                raise LedgerCorrupt(f"{path}, against which the ledger is checked, is missing or empty: {advice}")
        known = PublicKeys.read(self.public_key_path)
        with self.unproven_database.reading() as connection:
            if list(known.pems.values()) != [pem for pem, _endorsement in keys(connection)][: len(known.pems)]:
                raise LedgerCorrupt(f"the ledger's signing keys are not those in {self.public_key_path}: {advice}")
            try:
                head = signed_head(self.checkpoint_path.read_text(encoding="utf-8").strip(), known)
            except (SignatureInvalid, UnicodeDecodeError) as error:
                raise LedgerCorrupt(
                    f"{self.checkpoint_path} is not signed with a key of {self.public_key_path}: {advice}"
                ) from error
            log.require_head(connection, head)

    def mark(self) -> str:
        """A mark that distinguishes this folder from its copies."""
        try:
            return str(self.lock_path.stat().st_ino)
        except OSError:
            return "none"

    def reach(self, url: str | sa.URL) -> Database:
        """The database at ``url``, with this folder's keys and witness."""
        return self._database(url, Witness(self.witness_path))

    @cached_property
    def unproven_database(self) -> Database:
        """The database whatever state it is in, for doctor and recovery, which examine or correct it."""
        database = self.reach(self._url())
        try:
            database.migrate(is_new=False)
        except BaseException:
            database.close()
            raise
        return database

    def database_without_witness(self) -> Database:
        """The database without its witness, for a ledger that somebody has confirmed against the witness."""
        return self._database(self._url(), None)

    def _database(self, url: str | sa.URL, witness: Witness | None) -> Database:
        from expunge.ledger import log

        if not self.seal_key_path.exists():
            self._require_sealed(url)
        key = SealKey.load(self.seal_key_path)
        return Database(url, key, witness, lambda connection: log.seal(connection, self.signing_key(connection)))

    def _require_sealed(self, url: str | sa.URL) -> None:
        """Raises ``WorkspaceInvalid`` if the ledger is older than 0.2, and so has no seals to check."""
        if is_unsealed(url):
            raise WorkspaceInvalid(
                f"{self.path} was made by a version of expunge before 0.2, whose ledger has no seals: it is unknown whether "
                "it was altered, so it cannot be upgraded. Work on it with the version that made it, or make a new workspace "
                "with expunge init, from a table without the people who were forgotten in this one. Nothing was changed"
            )

    def _url(self) -> str | sa.URL:
        url = self.configuration.database
        if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
            file = self.path / url.removeprefix("sqlite:///")
            if not file.exists():
                raise WorkspaceInvalid(f"the ledger {file} is missing: restore it from a backup")
            if file.is_file() and not file.stat().st_size:
                raise LedgerCorrupt(f"the ledger {file} is empty: restore it from a backup")
            return sqlite_url(file.absolute())
        return url

    def _data_files(self) -> "list[DataFile]":
        """The files of the table, read anew whenever the ledger is another."""
        with self.unproven_database.reading() as connection:
            now = sealing.standing(connection)
            standing, files = self.__dict__.get("files", (None, []))
            if standing != now:
                files = data_files.present(connection)
                self.__dict__["files"] = now, files
            return list(files)

    def signing_key(self, connection: sa.Connection) -> "SigningKey":
        """The key that signs now."""
        from expunge.evidence.signing import SigningKey

        keyid = signing_keyid(connection)
        if keyid is None:
            raise WorkspaceInvalid("the ledger names no signing key: this workspace was not finished; make it again")
        return SigningKey.load(self.keys, keyid)

    def public_keys(self, connection: sa.Connection) -> "PublicKeys":
        """All keys that have signed here."""
        from expunge.evidence.signing import PublicKeys

        return PublicKeys.of(keys(connection))

    @contextmanager
    def exclusive(self, patience: float = PATIENCE, is_idle: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Keeps every other process from changing models and table, on this machine and, where the ledger is on a server, on
        every other machine; the system lets go even if this process is killed.

        Args:
            patience: seconds to wait for another process.
            is_idle: tells, once nobody else can change anything, whether there is nothing to change; the anchor, which may be
                on the other side of a network, is then not read. Default: there is something.

        Raises:
            WorkspaceBusy: another process went on for too long.
            WorkspaceInvalid: the folder cannot be written to, or the anchor cannot be reached.
            LedgerCorrupt: the ledger does not continue what lies beside it, or its anchor.
        """
        from expunge.workspace import anchoring

        with self.locked(patience, lambda: self.database):
            self.require_anchors()
            if self.configuration.anchor and not is_idle():
                anchoring.require_continued(self)
            yield

    @contextmanager
    def locked(self, patience: float, database: Callable[[], Database]) -> Iterator[None]:
        """Like ``exclusive``, whatever the ledger says; ``database`` is where other machines are kept out."""
        try:
            handle = os.open(self.lock_path, os.O_RDWR)
        except FileNotFoundError as error:
            self.require_own()
            raise AssertionError from error
        except OSError as error:
            raise WorkspaceInvalid(f"{self.path} cannot be written to ({error.strerror}); nothing was changed") from error
        try:
            until = time.monotonic() + patience
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise self._busy() from None
                    time.sleep(0.05)
            with database().leading(max(0.0, until - time.monotonic())) as is_leading:
                if not is_leading:
                    raise self._busy()
                yield
        finally:
            os.close(handle)

    @contextmanager
    def doing_jobs(self) -> Iterator[bool]:
        """Whether this process, of all on the same ledger, may do jobs now; held until the block ends or the process dies."""
        handle = os.open(self.path / "jobs.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            with self.database.leading(lock=JOBS_LOCK) as is_leading:
                yield is_leading
        finally:
            os.close(handle)

    def _busy(self) -> WorkspaceBusy:
        return WorkspaceBusy(f"another process is working in {self.path}: wait for it, and try again; nothing was changed")

"""Place: the folder of a workspace, what lies where in it, and who may write to it now."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from expunge.data.pseudonyms import SubjectKey
from expunge.errors import WorkspaceBusy, WorkspaceInvalid
from expunge.ledger.database import Database
from expunge.ledger.facts import keys, signing_keyid
from expunge.workspace.configuration import LOCAL, Configuration

if TYPE_CHECKING:  # loaded where they are used: what only reads the ledger is to start quickly
    from expunge.data.sources import TableSource
    from expunge.data.table import SubjectTable
    from expunge.engine import Engine
    from expunge.ledger.signing import PublicKeys, SigningKey
    from expunge.rows import RowSource

PATIENCE = 10.0
"""Seconds to wait for another process before saying that it is busy."""


@dataclass(frozen=True)
class Place:
    """The folder at ``path``."""

    path: Path

    @property
    def configuration_path(self) -> Path:
        """What a person may set."""
        return self.path / "workspace.toml"

    @property
    def schema_path(self) -> Path:
        """How rows become features."""
        return self.path / "schema.toml"

    @property
    def public_key_path(self) -> Path:
        """What verifiers need."""
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
    def pending(self) -> Path:
        """Rows on their way into the table."""
        return self.path / "pending"

    def state_path(self, model: str, number: int) -> Path:
        """The secret state after release ``number`` of ``model``."""
        return self.models / model / f"{number}.safetensors"

    def pending_path(self, batch: int) -> Path:
        """The rows that ``batch`` adds."""
        return self.pending / f"{batch}.parquet"

    @cached_property
    def configuration(self) -> Configuration:
        """The settings, read once."""
        return Configuration.read(self.configuration_path)

    @cached_property
    def table(self) -> "SubjectTable":
        """People's rows."""
        from expunge.data.table import SubjectTable

        return SubjectTable(self.path / "table")

    @cached_property
    def engine(self) -> "Engine":
        """What sums over the rows; a cluster is called when it is first needed."""
        if self.configuration.engine == LOCAL:
            from expunge.engine.local import LocalEngine

            return LocalEngine()
        from expunge.engine.dask import DaskEngine

        return DaskEngine(self.configuration.engine)

    def near(self, source: "TableSource") -> "RowSource":
        """``source`` for several passes: in memory from the first on, if they are made in this process and it fits."""
        from expunge.data.sources import Gathered

        return Gathered(source) if self.configuration.engine == LOCAL else source

    @cached_property
    def subject_key(self) -> SubjectKey:
        """The key under which subject ids are hashed."""
        return SubjectKey.load(self.keys / "subject.key")

    @cached_property
    def database(self) -> Database:
        """The ledger's database, migrated."""
        url = self.configuration.database
        if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
            file = self.path / url.removeprefix("sqlite:///")
            if not file.exists():
                raise WorkspaceInvalid(f"the ledger {file} is missing: restore it from a backup")
            url = f"sqlite:///{file.absolute()}"
        database = Database(url)
        database.migrate()
        return database

    def signing_key(self, connection: sa.Connection) -> "SigningKey":
        """The key that signs now."""
        from expunge.ledger.signing import SigningKey

        keyid = signing_keyid(connection)
        if keyid is None:
            raise WorkspaceInvalid("the ledger names no signing key: this workspace was not finished; make it again")
        return SigningKey.load(self.keys, keyid)

    def public_keys(self, connection: sa.Connection) -> "PublicKeys":
        """All keys that have signed here."""
        from expunge.ledger.signing import PublicKeys

        return PublicKeys.of(keys(connection))

    @contextmanager
    def exclusive(self, patience: float = PATIENCE) -> Iterator[None]:
        """Keeps every other process from changing models and table; the system lets go even if this one is killed.

        Raises:
            WorkspaceBusy: another process went on for too long.
            WorkspaceInvalid: the folder cannot be written to.
        """
        try:
            handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
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
                        raise WorkspaceBusy(
                            f"another process is working in {self.path}: wait for it, and try again; nothing was changed"
                        ) from None
                    time.sleep(0.05)
            yield
        finally:
            os.close(handle)

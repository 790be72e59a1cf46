"""Backup: a copy of a workspace at one moment, made while the service runs, and the list of what is in it.

While it is made, requests are accepted and batches wait. It has another name until it is complete, and the list of its
contents, sealed with the workspace's key, is written last. Like the workspace, it holds private keys and people's rows.
"""

import fcntl
import hmac
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from expunge.data.urls import sqlite_url
from expunge.errors import ExpungeError, StateCorrupt, WorkspaceBusy, WorkspaceInvalid
from expunge.evidence.signing import key_path
from expunge.evidence.statements import canonical, digest
from expunge.files import PARTIAL, copy_file, sync_folder, write_file
from expunge.ledger import data_files, log, releases, sealing, times
from expunge.ledger.anchor import INSTANCE
from expunge.ledger.database import Database
from expunge.ledger.properties import read_property
from expunge.ledger.public_keys import signing_keyid
from expunge.ledger.sealing import SealKey
from expunge.workspace import batch, making
from expunge.workspace.storage import MANIFEST, Storage

UNFINISHED = ".unfinished"
"""Ending of the name of a backup that is being made."""
LEDGER = "ledger.sqlite"
"""Where the ledger is in a backup, wherever the workspace keeps its own."""


@dataclass(frozen=True)
class Manifest:
    """What is in a backup.

    Args:
        workspace: identity of the workspace.
        instance: identity of the copy that was backed up.
        folder: where that copy was.
        at: the time of the backup.
        serial: number of the ledger's last transaction.
        checkpoint: the newest signed head of the ledger's log.
        files: SHA-256 by path.
    """

    workspace: str
    instance: str
    folder: str
    at: str
    serial: int
    checkpoint: str
    files: dict[str, str]

    def write(self, folder: Path, key: SealKey) -> None:
        """Writes it to the backup in ``folder``, which is then complete."""
        content = {"expunge": "backup", **vars(self)}
        text = canonical({**content, "mac": key.mac("backup", canonical(content))})
        write_file(folder / MANIFEST, text.encode())

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """What is in the backup in ``folder``.

        Raises:
            WorkspaceInvalid: there is no backup, or only a part of one, or it was altered.
        """
        try:
            content = dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise WorkspaceInvalid(
                f"{folder} holds no backup (it has no {MANIFEST}): give one that expunge backup made"
            ) from None
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise WorkspaceInvalid(f"{folder / MANIFEST} is damaged: use another backup") from error
        if not content:
            raise WorkspaceInvalid(f"the backup {folder} was never finished: use another one")
        mac, key = content.pop("mac", ""), SealKey.load(folder / "keys" / "seal.key")
        if not isinstance(mac, str) or not hmac.compare_digest(key.mac("backup", canonical(content)), mac):
            raise WorkspaceInvalid(f"{folder / MANIFEST} was altered, or keys/seal.key is another key: use another backup")
        del content["expunge"]
        found = cls(**content)
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in found.files):
            raise WorkspaceInvalid(f"{folder / MANIFEST} names files outside the backup: use another backup")
        return found


def back_up(storage: Storage, target: Path) -> Manifest:
    """Copies the workspace to the new folder ``target`` and returns the list of what is in the backup.

    Raises:
        WorkspaceInvalid: ``target`` is in use, or cannot be written to; or a file of the workspace is damaged.
        WorkspaceBusy: another process is working in the workspace, or making a backup there.
    """
    target = target.resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise WorkspaceInvalid(f"{target} already exists and is not empty: choose another folder; nothing was changed")
    if target.is_relative_to(storage.path.resolve()):
        raise WorkspaceInvalid(f"{target} lies in the workspace, and would be lost with it: choose another folder")
    try:
        with batch.in_charge(storage), _beside(target) as folder:
            with storage.database.reading() as connection:
                manifest = _filled(storage, connection, folder)
            manifest.write(folder, SealKey.load(storage.seal_key_path))
            folder.rename(target)
            sync_folder(target.parent)
    except OSError as error:
        raise WorkspaceInvalid(
            f"the backup cannot be written to {target} ({error.strerror or error}); nothing was changed"
        ) from error
    return manifest


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """An empty folder beside ``target``; anything that an interrupted backup to ``target`` left in it is deleted."""
    folder = target.with_name(target.name + UNFINISHED)
    marker = folder / MANIFEST
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorkspaceBusy(f"another process is making a backup in {folder}: wait for it; nothing was changed") from None
        begun = [path for path in folder.iterdir() if not path.name.startswith(PARTIAL)]  # the marker itself may be unfinished
        if begun and not marker.exists():
            raise WorkspaceInvalid(f"{folder} is in the way and is not an unfinished backup: move it elsewhere")
        making.clear(folder)
        write_file(marker, b"{}\n")
        try:
            yield folder
        except BaseException:
            with suppress(ExpungeError, OSError):  # otherwise the next backup does it
                making.clear(folder)
                marker.unlink()
                folder.rmdir()
            raise
    finally:
        os.close(handle)


def _filled(storage: Storage, connection: sa.Connection, folder: Path) -> Manifest:
    """Copies everything; each file is checked against the ledger as it is copied."""
    found: dict[str, str] = {}

    def copy(path: Path, expected: str | None = None) -> None:
        name = path.resolve().relative_to(storage.path.resolve())
        for above in reversed(name.parents[:-1]):
            (folder / above).mkdir(mode=0o700, exist_ok=True)
        found[str(name)] = copy_file(path, folder / name)
        if expected is not None and found[str(name)] != expected:
            raise StateCorrupt(f"{path} is not the file that the ledger names: run expunge doctor; no backup was made")

    for file in data_files.present(connection):
        copy(storage.table.path / file.path, file.digest)
    for path in sorted((storage.table.path / "_delta_log").iterdir()):
        if path.is_file():
            copy(path)
    for model in releases.all_models(connection):
        last = releases.current(connection, model.name)
        copy(storage.state_path(model.name, last.number), last.state_digest)
    for path in (storage.configuration_path, storage.schema_path):
        copy(path)
    for path in (*sorted(storage.keys.glob("*.key")), key_path(storage.keys, str(signing_keyid(connection)))):
        copy(path)
    signed = str(log.checkpoint(connection))
    for path, text in ((storage.public_key_path, str(storage.public_keys(connection))), (storage.checkpoint_path, signed)):
        write_file(folder / path.name, text.encode())
        found[path.name] = digest(text)
    found[LEDGER] = _ledger(connection, folder / LEDGER, SealKey.load(storage.seal_key_path))
    for made in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sync_folder(made)
    return Manifest(
        workspace=str(read_property(connection, "workspace")),
        instance=str(read_property(connection, INSTANCE)),
        folder=str(storage.path.resolve()),
        at=times.published(),
        serial=sealing.serial(connection),
        checkpoint=signed,
        files=found,
    )


def _ledger(source: sa.Connection, path: Path, key: SealKey) -> str:
    path.touch(mode=0o600)
    database = Database(sqlite_url(path), key)
    try:
        database.take(source, "")
    finally:
        database.close()
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return digest(path.read_bytes())


@dataclass(frozen=True)
class Counted:
    """What is in a backup, counted.

    Args:
        workspace: identity of the workspace.
        at: the time of the backup, ISO 8601.
        table_files: number of files of the table.
        models: number of state files.
        keys: number of files in ``keys/``.
        files: number of all files.
    """

    workspace: str
    at: str
    table_files: int
    models: int
    keys: int
    files: int

    @classmethod
    def of(cls, manifest: Manifest) -> "Counted":
        """What ``manifest`` lists."""
        table, models, keys = (
            sum(name.startswith(begin) for name in manifest.files) for begin in ("table/_bucket=", "models/", "keys/")
        )
        return cls(manifest.workspace, manifest.at, table, models, keys, len(manifest.files))

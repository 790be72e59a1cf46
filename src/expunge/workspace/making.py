"""Making a workspace: its folder becomes one only when complete; the next attempt clears what an interrupted one left."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from expunge.errors import WorkspaceBusy, WorkspaceInvalid
from expunge.files import PARTIAL, sync_folder
from expunge.workspace.storage import UNFINISHED, Storage

PATTERNS = (
    "keys/*.key",
    "keys/*.pem",
    "table/_delta_log/*.json",
    "table/_delta_log/*.parquet",
    "table/_delta_log/_last_checkpoint",
    "table/_delta_log/*.json#*",  # an entry that Delta Lake started to write
    "table/_bucket=*/batch-*.parquet",
    "models/*/*.safetensors",
    "ledger.sqlite*",
    "ledger.witness",
    "ledger.lock",
    "lock",
    "jobs.lock",
    "workspace.toml",
    "schema.toml",
    "expunge.pub",
    "checkpoint.json",
    f"{PARTIAL}*",
    f"keys/{PARTIAL}*",
)
"""What making a workspace or a backup writes; nothing else is ever deleted here."""
FOLDERS = (
    "table/_delta_log/_commits",
    "table/_delta_log/_tmp",
    "table/_delta_log",
    "table/_bucket=*",
    "table",
    "keys",
    "models/*",
    "models",
)


@contextmanager
def folder(path: Path) -> Iterator[tuple[Storage, str]]:
    """A folder in which a workspace may be made, and the workspace's identity; everything is undone if making it fails.

    Raises:
        WorkspaceInvalid: the folder is in use, or cannot be written to.
        WorkspaceBusy: another process is making a workspace there.
    """
    was_there, marker = path.is_dir(), path / UNFINISHED
    if path.exists() and not marker.is_file() and (not was_there or any(path.iterdir())):
        raise WorkspaceInvalid(f"{path} already exists and is not empty: choose another folder")
    storage = Storage(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
        handle = os.open(marker, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise WorkspaceInvalid(f"{path} cannot be written to ({error.strerror}); nothing was changed") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise WorkspaceBusy(f"another process is making a workspace in {path}: wait for it; nothing was changed") from None
    try:
        identity = os.read(handle, 64).decode("ascii", "replace")  # of the attempt that was interrupted
        if len(identity) != 16:
            identity = secrets.token_hex(8)
            os.ftruncate(handle, 0)
            os.pwrite(handle, identity.encode(), 0)
            os.fsync(handle)
        clear(path)
        for made in (storage.keys, storage.models):
            made.mkdir(mode=0o700)
        storage.lock_path.touch(mode=0o600)
        try:
            yield storage, identity
        except BaseException:
            clear(path)
            raise
        finally:
            marker.unlink()
            sync_folder(path)
    except OSError as error:
        raise WorkspaceInvalid(f"{path} cannot be written to ({error.strerror}); nothing was changed") from error
    finally:
        os.close(handle)
        if not was_there and not any(path.iterdir()):
            path.rmdir()


def clear(path: Path) -> None:
    """Deletes what an attempt may have written, and nothing else."""
    for pattern in PATTERNS:
        for found in path.glob(pattern):
            found.unlink()
    for pattern in FOLDERS:
        for found in path.glob(pattern):
            if any(found.iterdir()):
                raise WorkspaceInvalid(
                    f"{next(found.iterdir())} does not belong to what was being made there: move it elsewhere"
                )
            found.rmdir()

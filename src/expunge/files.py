"""Files that are whole or not there, even if the machine stops in between, and readable by their owner alone."""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

PARTIAL = ".expunge-partial-"
"""How the name of an unfinished file begins; whatever is called so after a crash is to be deleted."""


def write_file(path: Path, payload: bytes) -> None:
    """Writes ``payload`` beside ``path``, syncs it and renames it.

    Raises:
        OSError: it cannot be written; an older file at ``path`` is then untouched.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=PARTIAL)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def copy_file(source: Path, target: Path) -> str:
    """Copies ``source`` to the new file ``target``, and syncs it; SHA-256 of what was copied, in hexadecimal.

    Raises:
        OSError: it cannot be read or written; ``target`` may then be there in part.
    """
    hashed = hashlib.sha256()
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as written, source.open("rb") as read:
        while part := read.read(1 << 20):
            hashed.update(part)
            written.write(part)
        written.flush()
        os.fsync(written.fileno())
    return hashed.hexdigest()


def delete_file(path: Path) -> None:
    """Deletes ``path``, if it is there, for good."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Makes what was written to ``path`` last."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes renames and deletions in ``folder`` last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

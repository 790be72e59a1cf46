"""Files that are whole or not there, even if the machine stops in between, and readable by their owner alone."""

import contextlib
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

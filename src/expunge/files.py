"""Files that are whole or not there, even if the machine stops in between, and readable by their owner alone."""

import contextlib
import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

PARTIAL = ".expunge-partial-"
"""How the name of an unfinished file begins; ``delete_unfinished`` deletes what a crash left of them."""
_PARTIAL_NAME = re.compile(re.escape(PARTIAL) + "[a-z0-9_]{8}")


def write_file(path: Path, payload: bytes, *, is_new: bool = False) -> None:
    """Writes ``payload`` beside ``path``, syncs it and renames it.

    Args:
        is_new: never over another file.

    Raises:
        OSError: it cannot be written; an older file at ``path`` is then untouched.
    """
    handle, temporary = _begun(path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
            if is_new:
                os.link(temporary, path)
                os.unlink(temporary)
            else:
                os.replace(temporary, path)  # before its lock ends, so that nobody takes it for an old one
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


def write_output(path: Path, payload: bytes) -> None:
    """Writes ``payload`` where a person wants it: to a file, whole or not at all, through a link, or to a device or a pipe.

    Raises:
        OSError: it cannot be written; an older file at ``path`` is then untouched.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as device:
            device.write(payload)
    else:
        write_file(path.resolve(), payload)


def _begun(folder: Path) -> tuple[int, str]:
    """A new file of mode 0600, locked until it is closed, so that others see that somebody is at it."""
    while True:
        try:
            handle, temporary = tempfile.mkstemp(dir=folder, prefix=PARTIAL)
        except OSError as error:
            raise type(error)(error.errno, error.strerror, str(folder)) from None  # not a name that nobody has heard of
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.exists(temporary):  # else it was taken for an old one, before it was locked
            return handle, temporary
        os.close(handle)


def unfinished(folder: Path) -> list[Path]:
    """The unfinished files in ``folder``, whether somebody is at them or not."""
    found = (path for path in folder.glob(f"{PARTIAL}*") if _PARTIAL_NAME.fullmatch(path.name))
    return [path for path in found if not path.is_symlink() and path.is_file()]  # the others are none of ours


def is_left(path: Path, action: Callable[[Path], object] = lambda _path: None) -> bool:
    """Whether nobody is at the unfinished file ``path`` any more.

    Args:
        path: an unfinished file.
        action: what to do with it before anybody else can. Default: nothing.
    """
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            action(path)
    except (FileNotFoundError, BlockingIOError):
        return False
    return True


def delete_unfinished(folder: Path) -> None:
    """Deletes the unfinished files in ``folder`` that nobody is at any more."""
    for path in unfinished(folder):
        is_left(path, Path.unlink)


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

"""Where the anchor of a workspace lies, and when it is read and written.

The anchor is compared at the first use of the ledger in a process and at the start of every batch. It is written before a
batch erases anybody, so what was forgotten is recorded elsewhere before it is gone here.
"""

from typing import Any

from expunge.errors import LedgerCorrupt, WorkspaceInvalid
from expunge.evidence.statements import digest
from expunge.files import write_file
from expunge.ledger.anchor import Anchor
from expunge.ledger.properties import read_property, set_property
from expunge.ledger.sealing import SealKey
from expunge.workspace.storage import Storage

ANCHORED = "anchored"
"""The property that records where the anchor was written, as a digest of the setting, which may hold a password."""


class Unreachable(WorkspaceInvalid):
    """An anchor that cannot be read or written now."""


class Missing(Unreachable):
    """An anchor that is not where it was written."""


def read(url: str, key: SealKey) -> Anchor | None:
    """The anchor at ``url``; ``None`` if there is none.

    Raises:
        Unreachable: it cannot be read.
        LedgerCorrupt: it was altered, or made with another key.
    """
    try:
        store, path = _store(url)
        text = store.cat_file(path).decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        text = ""
    except Exception as error:  # a store may raise any error of its library
        raise _unreachable(error) from error
    return Anchor.from_json(text, key)


def write(url: str, anchor: Anchor, key: SealKey) -> None:
    """Writes ``anchor`` to ``url``.

    Raises:
        Unreachable: it cannot be written.
    """
    payload = anchor.to_json(key).encode()
    try:
        store, path = _store(url)
        if "file" in store.protocol:
            from pathlib import Path

            write_file(Path(path), payload)
        else:
            store.pipe_file(path, payload)
    except Exception as error:  # a store may raise any error of its library
        raise _unreachable(error) from error


def require_continued(storage: Storage) -> None:
    """Raises ``LedgerCorrupt`` unless the ledger continues what its anchor records; does nothing where no anchor is set.

    Raises:
        Unreachable: the anchor cannot be read; ``Missing``: it is not where it was written.
    """
    url = storage.configuration.anchor
    if not url:
        return
    found = read(url, SealKey.load(storage.seal_key_path))
    with storage.unproven_database.reading() as connection:
        if found is not None:
            found.require_continued(connection)
        elif read_property(connection, ANCHORED) == mark(url):
            raise Missing(
                "the anchor is not where it was written, so it is unknown whether this is the newest copy: batches wait. "
                "Put it back; if it is gone for good, run expunge recover --anchors"
            )


def keep(storage: Storage, batch: int | None = None) -> None:
    """Writes the present state to the anchor, if one is set.

    Args:
        batch: a certified batch that is about to erase people.

    Raises:
        Unreachable: it cannot be written.
    """
    url = storage.configuration.anchor
    if not url:
        return
    with storage.unproven_database.reading() as connection:
        anchor = Anchor.of(connection, batch)
        is_known = read_property(connection, ANCHORED) == mark(url)
    write(url, anchor, SealKey.load(storage.seal_key_path))
    if not is_known:
        with storage.unproven_database.writing() as connection:
            set_property(connection, ANCHORED, mark(url))


def keep_first(storage: Storage) -> None:
    """Writes the anchor if it was never written to the place in the settings."""
    url = storage.configuration.anchor
    if not url:
        return
    with storage.unproven_database.reading() as connection:
        is_known = read_property(connection, ANCHORED) == mark(url)
    if not is_known:
        keep(storage)


def keep_again(storage: Storage) -> None:
    """Writes the anchor again where it is gone or damaged, after a person has confirmed it.

    Raises:
        LedgerCorrupt: the anchor is there, and the ledger does not continue it.
    """
    url = storage.configuration.anchor
    if not url:
        return
    try:
        found = read(url, SealKey.load(storage.seal_key_path))
    except Unreachable:
        raise
    except LedgerCorrupt:
        found = None
    if found is not None:
        with storage.unproven_database.reading() as connection:
            found.require_continued(connection)
    keep(storage)


def mark(url: str) -> str:
    """A mark that tells one setting from another without revealing it."""
    return digest(url)


def _store(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs
    from fsspec.implementations.local import LocalFileSystem

    if url.startswith("/"):  # a path, in which every character is literal
        return LocalFileSystem(), url
    store, path = url_to_fs(url)
    return store, path


def _unreachable(error: Exception) -> Unreachable:
    cause = (str(error).splitlines() or [type(error).__name__])[0]
    return Unreachable(
        f"the anchor cannot be reached ({cause}), so it is unknown whether this is the newest copy: batches wait for it. "
        "Correct the connection, or the setting anchor in workspace.toml"
    )

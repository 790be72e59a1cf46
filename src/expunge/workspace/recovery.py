"""Recovery: why a workspace refuses to continue, and what a person may confirm, each time as an event in the log."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from expunge.errors import ExpungeError, LedgerCorrupt, WorkspaceInvalid
from expunge.evidence.events import EventKind
from expunge.evidence.heads import Head, signed_head
from expunge.evidence.signing import PublicKeys
from expunge.files import write_file
from expunge.ledger import log, sealing, times
from expunge.ledger.anchor import FORMER, INSTANCE
from expunge.ledger.properties import read_property, set_property
from expunge.ledger.sealing import SealKey
from expunge.ledger.witness import Witness
from expunge.workspace import anchoring, restoring
from expunge.workspace.restoring import Resumption
from expunge.workspace.storage import PATIENCE, Storage


@dataclass(frozen=True)
class Diagnosis:
    """Why the workspace does not continue, and the flag of ``expunge recover`` that confirms it; ``None`` where none does."""

    what: str
    flag: str | None


def diagnose(storage: Storage) -> list[Diagnosis]:
    """Everything that stands in the way, in the order in which it has to be confirmed. Changes nothing.

    Raises:
        WorkspaceInvalid: there is no workspace, or its ledger cannot be used.
        LedgerCorrupt: its ledger was altered.
    """
    with storage.unproven_database.reading() as connection:
        sealing.verify(connection)
    return sorted(_found(storage), key=lambda found: (found.flag is not None, found.flag != "--older"))


def _found(storage: Storage) -> Iterator[Diagnosis]:
    try:
        storage.unproven_database.require_newest()
    except LedgerCorrupt as error:
        yield Diagnosis(str(error), "--older")
    try:
        storage.require_own()
    except WorkspaceInvalid as error:
        yield Diagnosis(str(error), "--moved")
    try:
        storage.require_anchors()
    except (LedgerCorrupt, WorkspaceInvalid) as error:
        yield Diagnosis(str(error), "--older" if _head(storage) is not None else "--anchors")
    yield from _elsewhere(storage)
    try:
        with storage.unproven_database.reading() as connection:
            log.require_clock(connection)
    except WorkspaceInvalid as error:
        yield Diagnosis(str(error), "--clock")


def _elsewhere(storage: Storage) -> Iterator[Diagnosis]:
    """What the anchor reveals."""
    try:
        anchoring.require_continued(storage)
    except anchoring.Missing as error:
        yield Diagnosis(str(error), "--anchors")
    except WorkspaceInvalid as error:
        yield Diagnosis(str(error), None)
    except LedgerCorrupt as error:
        try:
            found = anchoring.read(storage.configuration.anchor, SealKey.load(storage.seal_key_path))
            with storage.unproven_database.reading() as connection:
                is_ours = found is not None and found.workspace == read_property(connection, "workspace")
                lives = found is not None and found.instance in (
                    read_property(connection, INSTANCE),
                    read_property(connection, FORMER),
                )
            yield Diagnosis(str(error), "--older" if is_ours and lives else None)
        except LedgerCorrupt:
            yield Diagnosis(str(error), "--anchors")


def moved(storage: Storage) -> None:
    """Makes this folder the one to which the ledger belongs: it was moved, and no other folder works with the ledger any more.

    Raises:
        LedgerCorrupt: the ledger has continued without this folder, or is older than its anchor.
    """
    storage.lock_path.touch(mode=0o600)
    storage.unproven_database.require_newest()
    anchoring.require_continued(storage)
    with storage.unproven_database.writing() as connection:
        set_property(connection, "folder", storage.mark())
        log.note(connection, EventKind.WORKSPACE_MOVED, [{}])


def clock(storage: Storage) -> None:
    """Confirms that the clock is right, though it is far ahead of the last thing that happened here."""
    with storage.unproven_database.writing() as connection:
        set_property(connection, log.SEEN, times.published())
        log.note(connection, EventKind.CLOCK_CONFIRMED, [{}])


def anchors(storage: Storage) -> None:
    """Writes public keys, checkpoint and anchor again from the ledger, after checking its whole log, if they are lost for good.

    Raises:
        LedgerCorrupt: the log is not what was signed, or does not continue one of those that are there.
    """
    storage.unproven_database.require_newest()
    storage.require_own()
    if _head(storage) is not None:
        storage.require_anchors()
    with storage.unproven_database.writing() as connection:
        public = storage.public_keys(connection)
        log.verify_log(connection, public, None)
        log.note(connection, EventKind.ANCHORS_RESTORED, [{}])
    _publish(storage)
    anchoring.keep_again(storage)


def older(storage: Storage) -> Resumption:
    """Continues from a ledger or a folder of an earlier day, as a restored backup does: budgets count as spent, and those whom
    the anchor knows to be forgotten are to be forgotten again. The newer one is lost for good.

    Raises:
        ExpungeError: folder and ledger do not match, the anchor cannot be read, or another copy is alive.
    """
    storage.lock_path.touch(mode=0o600)
    database, url, key = storage.database_without_witness(), storage.configuration.anchor, SealKey.load(storage.seal_key_path)
    with storage.locked(PATIENCE, lambda: database):
        try:
            restoring.verify(storage, database, None)
        except ExpungeError as error:
            raise type(error)(
                f"the folder and the ledger are from different days, so work cannot continue ({error}). Put two of the same "
                "day together, or restore a backup with expunge restore; nothing was changed"
            ) from error
        anchor = anchoring.read(url, key) if url else None
        head = _head(storage)
        with database.writing() as connection:
            if anchor is not None and anchor.instance not in (
                read_property(connection, INSTANCE),
                read_property(connection, FORMER),
            ):
                anchor.require_same_workspace(connection)
            if anchor is None and url and read_property(connection, anchoring.ANCHORED) == anchoring.mark(url):
                raise WorkspaceInvalid(
                    "the anchor is not where it was written, so nobody knows who was forgotten: put it back, or take "
                    "the setting anchor out of workspace.toml if it is gone for good; nothing was changed"
                )
            result = restoring.go_on(storage, connection, storage.configuration, anchor, secrets.token_hex(8), head)
        with database.reading() as connection:
            standing = sealing.read(connection, key)
        _publish(storage)
        Witness(storage.witness_path).reset(standing)
        anchoring.keep(storage)
    database.close()
    return result


def _head(storage: Storage) -> Head | None:
    """The head of the log that lies beside the ledger, if both the head and the key that signed it are there."""
    try:
        known = PublicKeys.read(storage.public_key_path)
        return signed_head(storage.checkpoint_path.read_text(encoding="utf-8").strip(), known)
    except (ExpungeError, OSError, ValueError):
        return None


def _publish(storage: Storage) -> None:
    """Writes public keys and checkpoint as they are in the ledger."""
    with storage.unproven_database.reading() as connection:
        public, signed = str(storage.public_keys(connection)), str(log.checkpoint(connection))
    write_file(storage.public_key_path, public.encode())
    write_file(storage.checkpoint_path, signed.encode())

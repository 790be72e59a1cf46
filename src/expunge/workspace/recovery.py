"""Recovery: why a workspace refuses to go on by itself, and what a person may confirm, each time as an event in the log."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from expunge.errors import ExpungeError, LedgerCorrupt, SignatureInvalid, WorkspaceInvalid
from expunge.evidence.signing import PublicKeys
from expunge.evidence.statements import CHECKPOINT
from expunge.files import write_file
from expunge.ledger import log, sealing, times
from expunge.ledger.anchor import FORMER, INSTANCE
from expunge.ledger.facts import fact, set_fact
from expunge.ledger.sealing import SealKey
from expunge.ledger.witness import Witness
from expunge.workspace import anchoring, restoring
from expunge.workspace.place import PATIENCE, Place
from expunge.workspace.restoring import Resumption


@dataclass(frozen=True)
class Diagnosis:
    """Why the workspace does not go on, and the flag of ``expunge recover`` that confirms it; ``None`` where none does."""

    what: str
    flag: str | None


def diagnose(place: Place) -> list[Diagnosis]:
    """Everything that stands in the way, what has to be confirmed first at the beginning. Changes nothing.

    Raises:
        WorkspaceInvalid: there is no workspace, or its ledger cannot be used.
        LedgerCorrupt: its ledger was altered.
    """
    with place.unproven_database.reading() as connection:
        sealing.verify(connection)
    return sorted(_found(place), key=lambda found: (found.flag is not None, found.flag != "--older"))


def _found(place: Place) -> Iterator[Diagnosis]:
    try:
        place.unproven_database.require_newest()
    except LedgerCorrupt as error:
        yield Diagnosis(str(error), "--older")
    try:
        place.require_own()
    except WorkspaceInvalid as error:
        yield Diagnosis(str(error), "--moved")
    try:
        place.require_anchors()
    except (LedgerCorrupt, WorkspaceInvalid) as error:
        yield Diagnosis(str(error), "--older" if _head(place) is not None else "--anchors")
    yield from _elsewhere(place)
    try:
        with place.unproven_database.reading() as connection:
            log.require_clock(connection)
    except WorkspaceInvalid as error:
        yield Diagnosis(str(error), "--clock")


def _elsewhere(place: Place) -> Iterator[Diagnosis]:
    """What the anchor says."""
    try:
        anchoring.require_continued(place)
    except anchoring.Missing as error:
        yield Diagnosis(str(error), "--anchors")
    except WorkspaceInvalid as error:
        yield Diagnosis(str(error), None)
    except LedgerCorrupt as error:
        try:
            found = anchoring.read(place.configuration.anchor, SealKey.load(place.seal_key_path))
            with place.unproven_database.reading() as connection:
                is_ours = found is not None and found.workspace == fact(connection, "workspace")
                lives = found is not None and found.instance in (fact(connection, INSTANCE), fact(connection, FORMER))
            yield Diagnosis(str(error), "--older" if is_ours and lives else None)
        except LedgerCorrupt:
            yield Diagnosis(str(error), "--anchors")


def moved(place: Place) -> None:
    """Makes this folder the one that the ledger belongs to: it was moved, and no other one works with this ledger any more.

    Raises:
        LedgerCorrupt: the ledger has gone on without this folder, or is older than its anchor.
    """
    place.lock_path.touch(mode=0o600)
    place.unproven_database.require_newest()
    anchoring.require_continued(place)
    with place.unproven_database.writing() as connection:
        set_fact(connection, "folder", place.mark())
        log.note(connection, "workspace.moved", [{}])


def clock(place: Place) -> None:
    """Confirms that the clock is right, though it is far ahead of the last thing that happened here."""
    with place.unproven_database.writing() as connection:
        set_fact(connection, log.SEEN, times.published())
        log.note(connection, "clock.confirmed", [{}])


def anchors(place: Place) -> None:
    """Writes public keys, checkpoint and anchor anew from the ledger, after checking all of its log: they are gone for good.

    Raises:
        LedgerCorrupt: the log is not what was signed, or does not go on from one of them that is there.
    """
    place.unproven_database.require_newest()
    place.require_own()
    if _head(place) is not None:
        place.require_anchors()
    with place.unproven_database.writing() as connection:
        public = place.public_keys(connection)
        log.verify_log(connection, public, None)
        log.note(connection, "anchors.restored", [{}])
    _publish(place)
    anchoring.keep_again(place)


def older(place: Place) -> Resumption:
    """Goes on from a ledger or a folder of an earlier day, as a restored backup does: budgets are spent, and those whom the
    anchor knows to be forgotten are to be forgotten again. The newer one is gone for good.

    Raises:
        ExpungeError: folder and ledger are not of one piece, the anchor cannot be read, or another copy lives.
    """
    place.lock_path.touch(mode=0o600)
    database, url, key = place.database_without_witness(), place.configuration.anchor, SealKey.load(place.seal_key_path)
    with place.locked(PATIENCE, lambda: database):
        try:
            restoring.verify(place, database, None)
        except ExpungeError as error:
            raise type(error)(
                f"folder and ledger are not of one day, so that nothing can go on from them ({error}). Put those of one day "
                "together, or restore a backup with expunge restore; nothing was changed"
            ) from error
        anchor = anchoring.read(url, key) if url else None
        head = _head(place)
        with database.writing() as connection:
            if anchor is not None and anchor.instance not in (fact(connection, INSTANCE), fact(connection, FORMER)):
                anchor.require_same_workspace(connection)
            if anchor is None and url and fact(connection, anchoring.ANCHORED) == anchoring.mark(url):
                raise WorkspaceInvalid(
                    "the anchor is not where it was written, so that nobody knows who was forgotten: put it back, or take "
                    "the setting anchor out of workspace.toml if it is gone for good; nothing was changed"
                )
            result = restoring.go_on(place, connection, place.configuration, anchor, secrets.token_hex(8), head)
        with database.reading() as connection:
            standing = sealing.read(connection, key)
        _publish(place)
        Witness(place.witness_path).reset(standing)
        anchoring.keep(place)
    database.close()
    return result


def _head(place: Place) -> tuple[int, str] | None:
    """The head of the log that lies beside the ledger, if it and the key that signed it are there."""
    try:
        known = PublicKeys.read(place.public_key_path)
        found = known.verified(place.checkpoint_path.read_text(encoding="utf-8").strip(), CHECKPOINT)["predicate"]
        return int(found["size"]), str(found["root"])
    except (ExpungeError, SignatureInvalid, OSError, ValueError, KeyError, TypeError):
        return None


def _publish(place: Place) -> None:
    """Writes public keys and checkpoint as the ledger has them."""
    with place.unproven_database.reading() as connection:
        public, signed = str(place.public_keys(connection)), str(log.checkpoint(connection))
    write_file(place.public_key_path, public.encode())
    write_file(place.checkpoint_path, signed.encode())

"""Restoring: a new workspace from a backup that learns who has been forgotten since the backup was made.

Whatever the lost copy did after the backup, its releases are out. So the new copy counts as another system: every model's
budget counts as spent until its next scheduled refit (theory §5.7), and those who were forgotten in between, according to the
anchor, are forgotten again before anything else. This is done in a folder that is not a workspace until every step is done.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from expunge.data.pseudonyms import SubjectKey
from expunge.data.table import SubjectTable
from expunge.data.transaction_log import require_plain
from expunge.data.urls import sqlite_url
from expunge.errors import ExpungeError, LedgerCorrupt, StateCorrupt, WorkspaceInvalid
from expunge.evidence.events import EventKind
from expunge.evidence.heads import Head
from expunge.evidence.statements import digest
from expunge.files import copy_file, delete_file, sync_folder, write_file
from expunge.ledger import data_files, jobs, log, releases, requests, sealing, times, tombstones
from expunge.ledger.anchor import FORMER, INSTANCE, Anchor
from expunge.ledger.database import Database
from expunge.ledger.properties import read_property, set_property
from expunge.ledger.public_keys import keys
from expunge.ledger.requests import Request, RequestKind, RequestState
from expunge.ledger.restores import Restored, newest_release, owe_refits
from expunge.ledger.sealing import SealKey
from expunge.ledger.witness import Witness
from expunge.workspace import anchoring, making
from expunge.workspace.backup import LEDGER, Manifest
from expunge.workspace.configuration import Configuration
from expunge.workspace.deadlines import MONTHS, due_on, end_of
from expunge.workspace.storage import Storage


@dataclass(frozen=True)
class Resumption:
    """What was found when continuing from an earlier copy.

    Args:
        size: number of events in the log that it continues.
        given_up: size and root of the newest known head of the log that is lost; ``None`` if no head is known to be lost.
        again: number of people in the table who were forgotten since.
        noted: number of people who are noted as forgotten and have no rows in the table.
        rotated: whether the lost copy signed with a newer key.
        lost: ids of requests known to have been open in the lost copy and unknown to this one.
        is_anchored: whether there was an anchor; without one it is unknown who was forgotten since.
    """

    size: int
    given_up: Head | None
    again: int
    noted: int
    rotated: bool
    lost: tuple[str, ...]
    is_anchored: bool


def restore(
    source: Path,
    target: Path,
    *,
    database: str | None = None,
    use_anchor: bool = True,
    replaces: str | None = None,
    is_clock_right: bool = False,
) -> Resumption:
    """Makes a workspace in the new folder ``target`` from the backup in ``source``; ``process`` then forgets people again.

    Args:
        database: URL of an empty database for the ledger; without it, the ledger is a file in the folder.
        use_anchor: whether to ask the anchor that the backup's settings name.
        replaces: the copy that is alive according to the anchor, if it is given up.
        is_clock_right: confirms that a clock far ahead of the backup is right.

    Raises:
        WorkspaceInvalid: the backup is damaged, a folder or database is in use, or the original is still there.
        LedgerCorrupt: the parts of the backup do not match, or another copy is alive.
    """
    manifest = Manifest.read(source)
    _require_gone(manifest)
    with making.folder(target) as (storage, instance):
        require_plain(target.resolve())
        _copy(source, manifest, storage)
        key, settings = SealKey.load(storage.seal_key_path), Configuration.read(storage.configuration_path)
        url = settings.anchor if use_anchor else ""
        anchor = anchoring.read(url, key) if url else None
        if url and anchor is None:
            raise WorkspaceInvalid(
                "there is no anchor where the backup's settings say, so nobody knows who was forgotten since: put it back, "
                "or give --no-anchor; nothing was changed"
            )
        elsewhere = None if database is None else Database(database, key)
        if elsewhere is not None:
            elsewhere.require_free(instance)
        ledger = Database(
            sqlite_url(storage.path.absolute() / LEDGER), key, None, lambda c: log.seal(c, storage.signing_key(c))
        )
        verify(storage, ledger, manifest.checkpoint)
        if anchor is not None:
            with ledger.reading() as connection:
                _require_ours(anchor, connection, instance, replaces)
        with ledger.writing() as connection:
            _require_clock(connection, is_clock_right)
            result = go_on(storage, connection, settings, anchor, instance, None)
        with ledger.reading() as connection:
            standing, signed = sealing.read(connection, key), str(log.checkpoint(connection))
            known = Anchor.of(connection)
            if elsewhere is not None:
                elsewhere.take(connection, instance)
        ledger.close()
        if elsewhere is not None:
            delete_file(storage.path / LEDGER)
            elsewhere.close()
        url_now = Configuration.database if database is None else database
        Configuration.change(storage.configuration_path, "database", url_now)
        if settings.anchor and not use_anchor:
            Configuration.change(storage.configuration_path, "anchor", "")
        write_file(storage.checkpoint_path, signed.encode())
        Witness(storage.witness_path).reset(standing)
        if url:
            anchoring.write(url, known, key)
    return result


def go_on(
    storage: Storage,
    connection: sa.Connection,
    settings: Configuration,
    anchor: Anchor | None,
    instance: str,
    head: Head | None,
) -> Resumption:
    """Makes an earlier copy of a workspace the living one, in a writing transaction.

    Args:
        anchor: what is recorded elsewhere about the copy that is given up.
        instance: id of the copy that continues.
        head: a signed head of the log that this copy may not know.
    """
    size, before = sealing.log_size(connection), Restored.last(connection)
    known = [found for found in (head, anchor.head if anchor is not None else None) if found is not None]
    given_up = max(
        (found for found in known if not _is_continued(connection, found)), key=lambda found: found.size, default=None
    )
    count = max(0 if before is None else before.count, 0 if anchor is None else anchor.restores)
    is_next = anchor is None or anchor.instance != instance
    now = times.now()
    Restored(count + 1 if is_next else count, now.date(), newest_release(connection)).note(connection)
    owe_refits(connection, times.published())
    jobs.give_up(connection, "the workspace continues from an earlier day: ask for it again if it is still wanted")
    if read_property(connection, INSTANCE) != instance:
        set_property(connection, FORMER, str(read_property(connection, INSTANCE)))
        set_property(connection, INSTANCE, instance)
    set_property(connection, "folder", storage.mark())
    lost = None if given_up is None else vars(given_up)
    log.note(connection, EventKind.WORKSPACE_RESTORED, [{"instance": instance, "size": size, "gives_up": lost}])
    again, noted = (0, 0) if anchor is None else _forget_again(storage, connection, settings, anchor)
    unknown = [] if anchor is None else [name for name in anchor.open if requests.by_id(connection, name) is None]
    rotated = anchor is not None and len(anchor.keys) > len(keys(connection))
    return Resumption(size, given_up, again, noted, rotated, tuple(unknown), anchor is not None)


def _forget_again(storage: Storage, connection: sa.Connection, settings: Configuration, anchor: Anchor) -> tuple[int, int]:
    """Makes the requests of those whose tombstones are in the ``anchor`` again: open where the table has rows of theirs, closed
    where it has none, with the tombstones for their other ids. Returns how many of each."""
    files = data_files.present(connection)
    table, key = SubjectTable(storage.path / "table", lambda: files), SubjectKey.load(storage.subject_key_path)
    wanted, rows = set(anchor.forgotten), {}
    if wanted:
        rows = {key.tombstone(tag): tag for tag in table.subjects().to_pylist()}
    asked = requests.found_by(connection, "tombstone", wanted, [RequestKind.FORGET])
    open_now = {tomb for tomb, row in asked.items() if row.is_open}
    again = sorted(tomb for tomb in wanted if tomb in rows and tomb not in open_now)
    closed = sorted(
        tomb for tomb in wanted if tomb not in rows and (tomb not in asked or asked[tomb].state != RequestState.CLOSED)
    )
    now, today = times.exact(), times.now().date()
    made = []
    for tomb in (*again, *closed):
        identity, is_open = f"r-{secrets.token_hex(10)}", tomb in rows
        made.append(
            Request(
                id=identity,
                kind=RequestKind.FORGET,
                actor=requests.RESTORE,
                state=RequestState.ACCEPTED if is_open else RequestState.CLOSED,
                received=now,
                deadline=end_of(due_on(today, MONTHS, settings.off)),
                received_on=today.isoformat(),
                key=identity,
                subject=rows.get(tomb),
                tombstone=tomb,
                commitment=secrets.token_hex(32),
                closed=None if is_open else now,
            )
        )
    requests.insert(connection, made)
    closed_now = {request.tombstone: request.id for request in made[len(again) :]}
    others = {name: [stone for stone, of in anchor.aliases if of == tomb] for tomb, name in closed_now.items()}
    tombstones.keep_aliases(connection, others)
    bodies = [{"request": new.id, "request_kind": new.kind, "commitment": new.commitment} for new in made]
    log.note(connection, EventKind.REQUEST_ACCEPTED, bodies[: len(again)])
    log.note(connection, EventKind.REQUEST_RESTORED, bodies[len(again) :])
    return len({tomb for tomb in wanted if tomb in rows}), len(closed)


def _is_continued(connection: sa.Connection, head: Head) -> bool:
    """Whether this copy knows a head of the log."""
    try:
        log.require_head(connection, head)
    except LedgerCorrupt:
        return False
    return True


def _require_clock(connection: sa.Connection, is_right: bool) -> None:
    """Raises ``WorkspaceInvalid`` where the clock is far ahead of the backup, unless somebody confirms it."""
    if is_right:
        set_property(connection, log.SEEN, times.published())
        return
    try:
        log.require_clock(connection)
    except WorkspaceInvalid:
        raise WorkspaceInvalid(
            f"the clock says {times.now():%Y-%m-%d}, over {log.LEAP.days} days after the backup: if it is wrong, deadlines "
            "and refits would be moved for good. Set it, or give --clock; nothing was changed"
        ) from None


def verify(storage: Storage, ledger: Database, checkpoint: str | None) -> None:
    """Checks that ledger, table and states in a folder belong together.

    Args:
        checkpoint: a signed head that the log must contain.

    Raises:
        LedgerCorrupt, WorkspaceInvalid, StateCorrupt: they do not.
    """
    with ledger.reading() as connection:
        sealing.verify(connection)
        log.verify_log(connection, storage.public_keys(connection), checkpoint)
        files = data_files.present(connection)
        table = SubjectTable(storage.path / "table", lambda: files)
        table.verified(files)
        if table.logged() != {file.path for file in files}:
            raise WorkspaceInvalid("the table's transaction log does not name the same files as the ledger: use another copy")
        for model in releases.all_models(connection):
            last = releases.current(connection, model.name)
            path = storage.state_path(model.name, last.number)
            if not path.is_file() or digest(path.read_bytes()) != last.state_digest:
                raise StateCorrupt(f"{path} is missing, or is not the file that the ledger names: use another copy")
        storage.signing_key(connection)
        if SubjectKey.load(storage.subject_key_path).fingerprint() != read_property(connection, "subject_key"):
            raise WorkspaceInvalid("keys/subject.key is not the key that the table was made with: use another copy")


def _copy(source: Path, manifest: Manifest, storage: Storage) -> None:
    """Copies the files of a backup, each as the manifest says."""
    for name, expected in manifest.files.items():
        target = storage.path / name
        for above in reversed(Path(name).parents[:-1]):
            (storage.path / above).mkdir(mode=0o700, exist_ok=True)
        try:
            found = copy_file(source / name, target)
        except FileNotFoundError:
            raise WorkspaceInvalid(f"the backup lacks {name}: use another one; nothing was changed") from None
        if found != expected:
            raise WorkspaceInvalid(f"{source / name} is not what was backed up: use another backup; nothing was changed")
    for made in (storage.path, *(path for path in storage.path.rglob("*") if path.is_dir())):
        sync_folder(made)


def _require_gone(manifest: Manifest) -> None:
    """Raises ``WorkspaceInvalid`` if the workspace that was backed up is still in use on this machine."""
    original = Storage(Path(manifest.folder))
    if not os.path.isfile(original.configuration_path):
        return
    try:
        with original.unproven_database.reading() as connection:
            is_same = (
                read_property(connection, "workspace") == manifest.workspace
                and read_property(connection, "folder") == original.mark()
            )
            lives = is_same and sealing.serial(connection) >= manifest.serial
        original.unproven_database.require_newest()
    except ExpungeError:
        return  # it does not answer
    finally:
        if "unproven_database" in vars(original):
            original.unproven_database.close()
    if lives:
        raise WorkspaceInvalid(
            f"the workspace that was backed up is still in use, in {manifest.folder}: two copies would spend one budget twice, "
            "and each would forget without the other. Use that one, or move its folder away if it is given up; nothing was "
            "changed"
        )


def _require_ours(anchor: Anchor, connection: sa.Connection, instance: str, replaces: str | None) -> None:
    """Raises ``LedgerCorrupt`` unless the anchor belongs to this workspace and says that no other copy is alive."""
    if anchor.workspace != read_property(connection, "workspace"):
        raise LedgerCorrupt(
            "the anchor belongs to another workspace: correct the setting, or give --no-anchor; nothing was changed"
        )
    pairs = zip(anchor.keys, keys(connection), strict=False)
    if any(known != own for known, own in pairs):
        raise LedgerCorrupt("the anchor and the backup have different signing keys: use another backup; nothing was changed")
    if anchor.instance not in (instance, read_property(connection, INSTANCE), replaces):
        raise LedgerCorrupt(
            f"another copy of this workspace, {anchor.instance}, was restored since this backup was made. If that one is given "
            f"up too, give --replaces {anchor.instance}; nothing was changed"
        )

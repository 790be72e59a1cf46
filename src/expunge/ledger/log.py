"""The log: every event a leaf of an append-only Merkle tree, whose head is signed. Nobody can alter, drop or reorder one.

Events are added inside the transaction that they record, and the head (checkpoint) is signed at its end. Times never go
backwards, even if the clock does, nor do they leap ahead unless somebody confirms it.

Everybody may read the log, so it must not be a clock: times are cut to the hour, and whatever happens while a batch is worked
is held back until the batch is over. The number of requests between its first event and its last would reveal, as
a time would, how long it took.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from pymerkle import InmemoryTree
from pymerkle.hasher import MerkleHasher

from expunge.errors import LedgerCorrupt, SignatureInvalid, WorkspaceInvalid
from expunge.evidence.coverage import Covered
from expunge.evidence.events import EventKind
from expunge.evidence.heads import Head, signed_head
from expunge.evidence.signing import PublicKeys, SigningKey
from expunge.evidence.statements import CHECKPOINT, canonical, predicate_of
from expunge.ledger import batches, sealing, times
from expunge.ledger.events import Event, Inclusion
from expunge.ledger.properties import read_property
from expunge.ledger.tables import checkpoints, events, held
from expunge.ledger.tree import Tree, forget_blocks

LEAP = timedelta(days=35)
"""How far the clock may be ahead of the last thing that happened: longer than the month in which requests are to be closed, so
that nothing is left undone in between without anybody noticing."""
SEEN = "seen"
"""The property that says when somebody last looked at the queue."""


def append(
    connection: sa.Connection, kind: EventKind, bodies: Iterable[Mapping[str, Any]], at: str | None = None
) -> tuple[int, str]:
    """Adds one event per body in a writing transaction; returns the number of the last one and its time.

    Args:
        connection: a connection in a writing transaction.
        kind: kind of all these events.
        bodies: what each event says besides its number, time and kind.
        at: for a batch's later events, the time of its first; by default the present hour. Never before the last event's.
    """
    size, last = sealing.log_size(connection), _last_time(connection)
    at = max(_now(connection, last) if at is None else at, last)
    rows, hasher = [], MerkleHasher("sha256")
    for seq, body in enumerate(bodies, size + 1):
        entry = canonical({"seq": seq, "at": at, "kind": kind, **body})
        rows.append({"seq": seq, "kind": kind, "entry": entry, "leaf": hasher.hash_buff(entry.encode())})
    if rows:
        connection.execute(sa.insert(events), rows)
        sealing.grow(connection, [row["leaf"] for row in rows])
    return size + len(rows), at


def _last_time(connection: sa.Connection) -> str:
    """When the last event was; before the first event, the beginning of time."""
    last = connection.execute(sa.select(events.c.entry).where(events.c.seq == sealing.log_size(connection))).scalar()
    return str(json.loads(last)["at"]) if last else ""


def _now(connection: sa.Connection, last: str) -> str:
    """The present hour, if the clock can be trusted."""
    require_clock(connection, last)
    return times.published()


def require_clock(connection: sa.Connection, last: str | None = None) -> None:
    """Raises ``WorkspaceInvalid`` if the clock is far ahead of anything that the workspace has seen.

    Args:
        connection: a connection to the ledger's database.
        last: when the last event was, if that is known.
    """
    seen = max(_last_time(connection) if last is None else last, read_property(connection, SEEN) or "")
    if seen and times.now() - datetime.fromisoformat(seen) > LEAP:
        raise WorkspaceInvalid(
            f"the clock says {times.now():%Y-%m-%d}, but nothing has happened here since {seen[:10]}: if it is wrong, "
            "deadlines and refits would be moved for good. Set it, or confirm it with expunge recover --clock"
        )


def note(connection: sa.Connection, kind: EventKind, bodies: Iterable[Mapping[str, Any]]) -> None:
    """Adds events that belong to no batch, in a writing transaction; events that come while a batch is worked follow it.

    Args:
        connection: a connection in a writing transaction.
        kind: kind of all these events.
        bodies: what each event says besides its number, time and kind.
    """
    if not batches.unfinished(connection):
        append(connection, kind, bodies)
        return
    last = int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(held.c.id), 0))).scalar_one())
    at = _now(connection, _last_time(connection))
    rows = [{"id": i, "kind": kind, "at": at, "body": canonical(body)} for i, body in enumerate(bodies, last + 1)]
    sealing.insert(connection, held, rows)


def release_held(connection: sa.Connection) -> None:
    """Adds the events that came while a batch was worked, in the transaction that ends it.

    Args:
        connection: a connection in a writing transaction.
    """
    waiting = sealing.rows(connection, sa.select(held).order_by(held.c.id), held)
    for (kind, at), rows in groupby(waiting, key=lambda row: (row.kind, row.at)):
        append(connection, EventKind(kind), [json.loads(row.body) for row in rows], at)
    sealing.delete(connection, held, sa.true())


def count_held(connection: sa.Connection) -> int:
    """Number of events that wait for the end of a batch.

    Args:
        connection: a connection to the ledger's database.
    """
    return int(connection.execute(sa.select(sa.func.count()).select_from(held)).scalar_one())


def seal(connection: sa.Connection, key: SigningKey) -> str:
    """Signs the present head of the log, in a writing transaction, and returns the signed checkpoint.

    Args:
        connection: a connection in a writing transaction.
        key: the key that signs.
    """
    size = sealing.log_size(connection)
    known = _signed(connection, size)
    if known is not None:
        return str(known.envelope)
    root = sealing.log_root(connection)
    envelope = key.sign(CHECKPOINT, {"log": root.hex()}, {"size": size, "root": root.hex()})
    sealing.insert(connection, checkpoints, [{"size": size, "root": root, "envelope": envelope}])
    return envelope


def checkpoint(connection: sa.Connection) -> str | None:
    """The newest signed checkpoint.

    Args:
        connection: a connection to the ledger's database.
    """
    newest = sealing.rows(connection, sa.select(checkpoints).order_by(checkpoints.c.size.desc()).limit(1), checkpoints)
    return str(newest[0].envelope) if newest else None


def _signed(connection: sa.Connection, size: int) -> sa.Row[Any] | None:
    """The checkpoint over ``size`` events, if one was signed."""
    found = sealing.rows(connection, sa.select(checkpoints).where(checkpoints.c.size == size), checkpoints)
    return found[0] if found else None


def size(connection: sa.Connection) -> int:
    """Number of events.

    Args:
        connection: a connection to the ledger's database.
    """
    return int(Tree(connection).get_size())


def entries(connection: sa.Connection, after: int, limit: int) -> list[Event]:
    """Up to ``limit`` events from the one after ``after``.

    Args:
        connection: a connection to the ledger's database.
        after: number of the last event that is not wanted; 0 for all events.
        limit: the largest number of events.
    """
    chosen = sa.select(events.c.entry).where(events.c.seq > after).order_by(events.c.seq).limit(limit)
    return [Event.of(entry) for entry in connection.execute(chosen).scalars()]


def of_kind(connection: sa.Connection, kind: EventKind) -> list[Event]:
    """All events of one kind.

    Args:
        connection: a connection to the ledger's database.
        kind: kind of the events.
    """
    chosen = sa.select(events.c.entry).where(events.c.kind == kind).order_by(events.c.seq)
    return [Event.of(entry) for entry in connection.execute(chosen).scalars()]


def held_of_kind(connection: sa.Connection, kind: EventKind) -> list[Event]:
    """All events of one kind that wait for the end of a batch.

    Args:
        connection: a connection to the ledger's database.
        kind: kind of the events.
    """
    chosen = sa.select(held).where(held.c.kind == kind).order_by(held.c.id)
    return [Event.of(row.body) for row in sealing.rows(connection, chosen, held)]


def prove_inclusion(connection: sa.Connection, seq: int) -> Inclusion | None:
    """The event, the proof that it is in the log, and the checkpoint that covers it; ``None`` if none does.

    Args:
        connection: a connection to the ledger's database.
        seq: number of the event, from 1 on.

    Raises:
        LedgerCorrupt: events are missing.
    """
    signed = checkpoint(connection)
    if signed is None:
        return None
    head = predicate_of(signed)
    covered = int(head["size"])
    if not 1 <= seq <= covered:
        return None
    tree = Tree(connection)
    if tree.get_size() < covered:
        raise LedgerCorrupt(f"the log holds fewer than the {covered} events that were signed: restore the ledger from a backup")
    if tree.get_root(covered).hex() != head["root"]:
        forget_blocks(connection)  # the proof is made from every event again
    entry = connection.execute(sa.select(events.c.entry).where(events.c.seq == seq)).scalar_one()
    return Inclusion(entry, tree.prove_inclusion(seq, covered).serialize(), signed)


def require_included(connection: sa.Connection, seq: int) -> Inclusion:
    """Like ``prove_inclusion``, for the event of a release.

    Args:
        connection: a connection to the ledger's database.
        seq: number of the event, from 1 on.

    Raises:
        LedgerCorrupt: no signed checkpoint covers it.
    """
    proven = prove_inclusion(connection, seq)
    if proven is None:
        raise LedgerCorrupt(f"event {seq} is not covered by a signed checkpoint: run expunge doctor")
    return proven


def bundle(connection: sa.Connection, envelope: str, seq: int, covers: Covered | None = None) -> str:
    """A certificate that can be checked offline: the envelope, its event, the proof that it is in the log, the head.

    Args:
        connection: a connection to the ledger's database.
        envelope: the signed certificate.
        seq: number of the event that records it.
        covers: the proof that it answers a request.

    Raises:
        LedgerCorrupt: no signed head covers the event.
    """
    proven = require_included(connection, seq)
    covered = {} if covers is None else {"covers": vars(covers)}
    return canonical({"expunge": "certificate", "certificate": envelope, **vars(proven), **covered})


def export(connection: sa.Connection) -> str:
    """The whole log under its newest checkpoint, to be checked offline.

    Args:
        connection: a connection to the ledger's database.
    """
    signed = checkpoint(connection)
    covered = 0 if signed is None else int(predicate_of(signed)["size"])
    listed = connection.execute(sa.select(events.c.entry).where(events.c.seq <= covered).order_by(events.c.seq)).scalars()
    return canonical({"expunge": "log", "events": list(listed), "checkpoint": signed})


def checkpoint_file(connection: sa.Connection, earlier: Head | None = None) -> str:
    """The newest checkpoint as a file; with the proof, if ``earlier`` is given, that it continues that head.

    Args:
        connection: a connection to the ledger's database.
        earlier: a head that the file is to prove the log to continue. Default: none.

    Raises:
        LedgerCorrupt: the log has not been signed yet, or it does not begin with ``earlier``.
    """
    signed = checkpoint(connection)
    if signed is None:
        raise LedgerCorrupt("the log has no signed checkpoint: run expunge doctor")
    content: dict[str, Any] = {"expunge": "checkpoint", "checkpoint": signed}
    if earlier is not None:
        size = int(predicate_of(signed)["size"])
        if earlier.size > size:
            raise LedgerCorrupt(
                f"rolled back: the log has {size} signed events, but the earlier checkpoint has {earlier.size}: this ledger "
                "is older. Run expunge doctor, and restore the newest backup"
            )
        forget_blocks(connection)  # what was read before may be another log than the one that is there now
        if Tree(connection).get_root(earlier.size).hex() != earlier.root:
            raise LedgerCorrupt(
                f"split view: the first {earlier.size} events are not those of the earlier checkpoint: the log was rewritten, "
                "or that checkpoint belongs to another copy of this workspace. Run expunge doctor"
            )
        content["since"] = {"size": earlier.size, "proof": prove_consistency(connection, earlier.size, size)}
    return canonical(content)


def verify_log(connection: sa.Connection, keys: PublicKeys, earlier: str | None) -> int:
    """Number of events in the ledger, after checking every leaf, every checkpoint, and that it continues ``earlier``.

    Args:
        connection: a connection to the ledger's database.
        keys: the public keys of the workspace.
        earlier: a signed checkpoint kept outside the database, which the log must still contain.

    Raises:
        LedgerCorrupt: an event or a checkpoint was altered, dropped, added or moved.
    """
    tree, seq, at = InmemoryTree(), 0, ""
    for seq, row in enumerate(connection.execute(sa.select(events).order_by(events.c.seq)), 1):
        index = tree.append_entry(row.entry.encode())
        entry = json.loads(row.entry)
        is_right = (row.seq, entry["seq"], entry["kind"]) == (seq, seq, row.kind) and tree.get_leaf(index) == row.leaf
        if not is_right or entry["at"] < at:
            raise LedgerCorrupt(f"event {seq} of the log was altered, dropped or moved: restore the ledger from a backup")
        at = entry["at"]
    if seq != sealing.log_size(connection) or (seq and tree.get_root() != sealing.log_root(connection)):
        raise LedgerCorrupt(
            f"the log holds {seq} events, which are not those that were sealed: restore the ledger from a backup"
        )
    heads = list(connection.execute(sa.select(checkpoints.c.size, checkpoints.c.envelope).order_by(checkpoints.c.size)))
    for size, signed in [*heads, *([(None, earlier)] if earlier else [])]:
        try:
            head = signed_head(signed, keys)
        except SignatureInvalid as error:
            raise LedgerCorrupt(f"the checkpoint over {size} events is not what this workspace signed: {error}") from error
        if head.size > seq or tree.get_root(head.size).hex() != head.root:
            raise LedgerCorrupt(
                f"the first {head.size} events are not those that were signed: restore the ledger from a backup"
            )
    return seq


def prove_consistency(connection: sa.Connection, earlier: int, later: int) -> Mapping[str, object]:
    """pymerkle's proof that the log of ``later`` events begins with the log of ``earlier`` events, as JSON values.

    Args:
        connection: a connection to the ledger's database.
        earlier: number of events of the earlier log.
        later: number of events of the later log.
    """
    return dict(Tree(connection).prove_consistency(earlier, later).serialize())


def require_head(connection: sa.Connection, head: Head) -> None:
    """Raises ``LedgerCorrupt`` unless this head was signed here.

    Args:
        connection: a connection to the ledger's database.
        head: a head that the log must know.
    """
    found = _signed(connection, head.size)
    if found is None or bytes(found.root).hex() != head.root:
        raise LedgerCorrupt(
            f"the log does not continue the checkpoint over {head.size} events that is kept beside it: it was rewritten, or "
            "belongs to another workspace. Nothing was changed; run expunge doctor"
        )

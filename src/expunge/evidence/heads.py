"""Heads: signed checkpoints of the log, and whether one of them continues another.

Anybody who keeps a checkpoint elsewhere can tell a log that only grew from one that was set back, and from one that shows
different people different events. Two checkpoints of the same size show it themselves; for two sizes it takes a proof of
consistency or the whole log.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from expunge.errors import SignatureInvalid
from expunge.evidence.proofs import earlier_root, root_of
from expunge.evidence.signing import PublicKeys
from expunge.evidence.statements import CHECKPOINT, require_members

Relation = Literal["continues", "the same", "split view", "rolled back", "not decidable"]
MEANING: dict[Relation, str] = {
    "continues": "the later log begins with all the events of the earlier one",
    "the same": "both cover the same events",
    "split view": "the two were signed over different events: the log was rewritten, or shown differently to different people",
    "rolled back": "the later one covers fewer events: the log was set back, or the two files are in the wrong order",
    "not decidable": "neither file shows whether the later log begins with the earlier one: get a proof from the workspace "
    "with expunge checkpoint OUT --since EARLIER, or its whole log with expunge log OUT, and compare that",
}


@dataclass(frozen=True)
class Head:
    """The content of a checkpoint: the number of events, and the Merkle root over them, in hexadecimal."""

    size: int
    root: str


@dataclass(frozen=True)
class Witness:
    """What a verified file shows about the log.

    Args:
        head: its signed head.
        since: an earlier head with which the log begins, by a proof in the file.
        events: all events, if the file is an exported log.
    """

    head: Head
    since: Head | None = None
    events: Sequence[str] | None = None

    def root_at(self, size: int) -> str | None:
        """The root of the first ``size`` events, if the file shows it."""
        if self.events is not None and size <= len(self.events):
            return root_of(self.events, size)
        shown = {head.size: head.root for head in (self.since, self.head) if head is not None}
        return shown.get(size)


def signed_head(envelope: str, keys: PublicKeys) -> Head:
    """The head in a signed checkpoint.

    Raises:
        SignatureInvalid: it was altered, or is not signed by ``keys``.
    """
    predicate = require_members(keys.verified(envelope, CHECKPOINT).predicate, {"size": int, "root": str})
    if predicate["size"] < 1 or len(predicate["root"]) != 64:
        raise SignatureInvalid("the checkpoint does not belong to a log")
    keys.require_in_time(envelope, predicate["size"])
    return Head(predicate["size"], predicate["root"])


def shown_since(since: Any, head: Head) -> Head:
    """The earlier head in ``since``, a member of a checkpoint's file, with which it proves the log under ``head`` to begin.

    Raises:
        SignatureInvalid: it proves nothing of the kind.
    """
    given = require_members(since, {"size": int, "proof": dict})
    return Head(given["size"], earlier_root(given["proof"], given["size"], head.root, head.size))


def relation(earlier: Witness, later: Witness) -> Relation:
    """The relation of the log under ``later`` to the one under ``earlier``."""
    small, large = sorted((earlier, later), key=lambda witness: witness.head.size)
    shown = large.root_at(small.head.size)
    if shown is not None and shown != small.head.root:
        return "split view"
    if earlier.head.size == later.head.size:
        return "the same"
    if earlier.head.size > later.head.size:
        return "rolled back"
    return "continues" if shown is not None else "not decidable"

"""Anchor: a small file far from the workspace that records its progress, so that yesterday's copy of it is noticed.

It holds the identity of the workspace, which of its copies is alive, the newest signed head of the log, the public keys, and
the tombstones of everybody forgotten, which a restored backup does not know yet. It is sealed with the workspace's key: nobody
else can make one, or learn from it who was forgotten.
"""

import hmac
import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from expunge.errors import LedgerCorrupt, SignatureInvalid
from expunge.evidence.heads import Head, signed_head
from expunge.evidence.signing import PublicKeys
from expunge.evidence.statements import canonical
from expunge.ledger import log, requests, sealing, tombstones
from expunge.ledger.properties import read_property
from expunge.ledger.public_keys import keys
from expunge.ledger.restores import Restored
from expunge.ledger.sealing import SealKey

INSTANCE, FORMER = "instance", "former_instance"
"""Properties: the id of this copy of the workspace, drawn for it, and of the copy that it replaces."""
OLDER = "Nothing was changed. Put the newest folder and ledger back; if they are lost for good, run expunge recover"


class Unreadable(LedgerCorrupt):
    """An anchor that was damaged or made with another key."""


@dataclass(frozen=True)
class Anchor:
    """What is recorded elsewhere about a workspace.

    Args:
        workspace: identity of the workspace.
        instance: identity of the copy that is alive.
        restores: number of copies that were alive before that one.
        serial: number of the last transaction.
        checkpoint: the newest signed head of the log.
        keys: public keys that have signed, oldest first, each with the statement that endorses it.
        forgotten: tombstones of everybody who was forgotten and has not come back, sorted.
        aliases: tombstones for their other ids, each with that of its person, sorted.
        open: ids of the requests that were open.
    """

    workspace: str
    instance: str
    restores: int
    serial: int
    checkpoint: str
    keys: tuple[tuple[str, str | None], ...]
    forgotten: tuple[str, ...]
    aliases: tuple[tuple[str, str], ...]
    open: tuple[str, ...]

    @classmethod
    def of(cls, connection: sa.Connection, batch: int | None = None) -> "Anchor":
        """What is to be recorded about the ledger now.

        Args:
            batch: a certified batch whose requests are about to be closed.
        """
        restored = Restored.last(connection)
        listed, waiting = requests.tombstones_to_keep(connection, batch), requests.open_ids(connection, batch)
        return cls(
            workspace=str(read_property(connection, "workspace")),
            instance=str(read_property(connection, INSTANCE)),
            restores=0 if restored is None else restored.count,
            serial=sealing.serial(connection),
            checkpoint=str(log.checkpoint(connection)),
            keys=tuple(keys(connection)),
            forgotten=tuple(sorted(listed)),
            aliases=tuple(pair for pair in tombstones.aliases(connection) if pair[1] in listed),
            open=tuple(waiting),
        )

    def to_json(self, key: SealKey) -> str:
        """The content of the file."""
        content = {"expunge": "anchor", **vars(self)}
        return canonical({**content, "mac": key.mac("anchor", canonical(content))})

    @classmethod
    def from_json(cls, text: str, key: SealKey) -> "Anchor":
        """The anchor that ``to_json`` wrote.

        Raises:
            Unreadable: it was altered, or made with another key.
        """
        try:
            content = dict(json.loads(text))
            mac = content.pop("mac")
            if content.pop("expunge") != "anchor" or not hmac.compare_digest(
                key.mac("anchor", canonical({"expunge": "anchor", **content})), mac
            ):
                raise ValueError
            return cls(**{name: _tuple(value) for name, value in content.items()})
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise Unreadable("the anchor was altered, or does not belong to a workspace with this seal.key") from error

    @property
    def head(self) -> Head:
        """The newest head of the log."""
        try:
            return signed_head(self.checkpoint, PublicKeys.of(self.keys))
        except (SignatureInvalid, ValueError) as error:
            raise Unreadable("the anchor's checkpoint is not signed with one of its keys") from error

    def require_same_workspace(self, connection: sa.Connection) -> None:
        """Raises ``LedgerCorrupt`` unless it is about this copy of this workspace."""
        if self.workspace != read_property(connection, "workspace"):
            raise LedgerCorrupt("the anchor belongs to another workspace: give each its own anchor. Nothing was changed")
        if self.instance != read_property(connection, INSTANCE):
            if self.instance == read_property(connection, FORMER):
                raise LedgerCorrupt(
                    "taking over from the copy that the anchor names was interrupted: run expunge recover --older"
                )
            raise LedgerCorrupt(
                f"according to the anchor, another copy of this workspace, {self.instance}, was restored from a backup: "
                "the two would undo each other's work. Use that one, and delete this one; nothing was changed"
            )

    def require_continued(self, connection: sa.Connection) -> None:
        """Raises ``LedgerCorrupt`` unless the ledger belongs to this workspace and continues what is recorded here."""
        self.require_same_workspace(connection)
        behind = self.serial - sealing.serial(connection)
        if behind > 0:
            raise LedgerCorrupt(
                f"the ledger is older than its anchor, by {behind} transactions: a copy from an earlier day is in its place. "
                f"{OLDER}"
            )
        if list(self.keys) != keys(connection)[: len(self.keys)]:
            raise LedgerCorrupt(f"the ledger and its anchor have different signing keys. {OLDER}")
        head = self.head
        try:
            log.require_head(connection, head)
        except LedgerCorrupt as error:
            raise LedgerCorrupt(
                f"the log does not continue the checkpoint over {head.size} events in its anchor: a copy from an earlier "
                f"day was continued, or the log was rewritten. {OLDER}"
            ) from error


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value

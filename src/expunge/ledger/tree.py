"""The Merkle tree over the log's events, whose leaves are in the database.

A proof needs the roots of large parts of the log. They never change, since events are only added: so the roots of whole blocks
of events are kept in memory, and a proof reads the leaves of its own block and of what comes after the last one. What is kept
proves nothing by itself: a proof is compared with the signed head, by whoever makes it and by whoever checks it.
"""

from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from pymerkle import BaseMerkleTree

from expunge.errors import LedgerCorrupt
from expunge.ledger.tables import events

BLOCK = 256
"""Number of events in a block, a power of two."""
READ = 64
"""Number of blocks read together."""

_kept: WeakKeyDictionary[sa.Engine, list[bytes]] = WeakKeyDictionary()
"""For each database, the roots of the blocks from the first on: 32 bytes for 256 events."""


class Tree(BaseMerkleTree):  # type: ignore[misc]  # pymerkle has no types
    """The tree, as pymerkle sees it."""

    def __init__(self, connection: sa.Connection) -> None:
        super().__init__()
        self._connection = connection

    def _encode_entry(self, data: str) -> bytes:
        return data.encode()

    def _store_leaf(self, data: Any, digest: bytes) -> int:
        raise NotImplementedError  # leaves come in bulk, by ``log.append``

    def _get_leaf(self, index: int) -> bytes:
        return self._get_leaves(index - 1, 1)[0]

    def _get_leaves(self, offset: int, width: int) -> list[bytes]:
        between = events.c.seq.between(offset + 1, offset + width)
        found = list(self._connection.execute(sa.select(events.c.leaf).where(between).order_by(events.c.seq)).scalars())
        if len(found) != width:
            raise LedgerCorrupt("an event of the log is missing: run expunge doctor, and restore the ledger from a backup")
        return found

    def _get_size(self) -> int:
        return int(self._connection.execute(sa.select(sa.func.coalesce(sa.func.max(events.c.seq), 0))).scalar_one())

    def _get_subroot(self, offset: int, width: int) -> bytes:
        """The root of the ``width`` leaves after ``offset``; both come from halving the log, so blocks are whole or halved."""
        if width < BLOCK or offset % BLOCK:
            return self._joined(self._get_leaves(offset, width))
        first, end = offset // BLOCK, (offset + width) // BLOCK
        return self._joined(self._blocks(end)[first:end])

    def _blocks(self, count: int) -> list[bytes]:
        """The roots of the first blocks, at least ``count`` of them."""
        known = _kept.get(self._connection.engine, [])
        while len(known) < count:
            part = min(READ, count - len(known))
            leaves = self._get_leaves(len(known) * BLOCK, part * BLOCK)
            known = [*known, *(self._joined(leaves[i * BLOCK : (i + 1) * BLOCK]) for i in range(part))]
            _kept[self._connection.engine] = known
        return known

    def _joined(self, level: list[bytes]) -> bytes:
        """The root over a power of two of nodes."""
        while len(level) > 1:
            level = [self.hash_pair(level[i], level[i + 1]) for i in range(0, len(level), 2)]
        return bytes(level[0])


def forget_blocks(connection: sa.Connection) -> None:
    """Forgets what is kept of the log: it is not the log that was signed, as after a transaction that was taken back.

    Args:
        connection: a connection to the ledger's database.
    """
    _kept.pop(connection.engine, None)

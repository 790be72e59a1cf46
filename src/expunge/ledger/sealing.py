"""Sealing: every row of the ledger carries a seal made with the workspace's key, and the sum of all seals is sealed too.

Anybody who can write to the database but does not have the key cannot change, add, drop or swap a row unnoticed: a changed or
new row has no seal that fits it, and a missing, doubled or older one makes the sum wrong. A row is checked whenever ``rows``
reads it or it is changed; ``verify`` adds up all rows. The sum is additive (MSet-Add-Hash under a pseudorandom function:
Clarke, Devadas, van Dijk, Gassend, Suh, *Incremental multiset hash functions*, 2003), so the cost of a transaction depends on
what it changes, whatever the ledger holds.

The log's size and the roots of its perfect subtrees are under the same seal, so computing its head needs no look at old events.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from expunge.data import keyfiles
from expunge.errors import LedgerCorrupt
from expunge.ledger.tables import metadata, seals

_MODULUS = 1 << 256
_encoded = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode
ADVICE = "run expunge doctor, and restore the ledger from a backup"


@dataclass(frozen=True)
class SealKey:
    """The key with which rows of the ledger are sealed."""

    secret: bytes = field(repr=False)

    @classmethod
    def create(cls, path: Path) -> "SealKey":
        """A new key, kept in ``path``, readable only by its owner."""
        return cls(keyfiles.create(path))

    @classmethod
    def load(cls, path: Path) -> "SealKey":
        """The key in ``path``.

        Raises:
            WorkspaceInvalid: it is missing or damaged.
        """
        return cls(keyfiles.load(path, "key", "nobody can tell whether the ledger was altered"))

    def mac(self, label: str, value: Any) -> str:
        """HMAC-SHA-256 of JSON values under ``label``, in hexadecimal."""
        return hmac.digest(self.secret, f"{label}\0{_encoded(value)}".encode(), "sha256").hex()


@dataclass(frozen=True)
class Sealed:
    """What one transaction leaves behind, from which the next one starts.

    Args:
        serial: number of the transaction.
        total: sum of all seals modulo 2²⁵⁶.
        rows: number of rows.
        size: number of events in the log.
        peaks: roots of its perfect subtrees, largest first.
        mac: MAC of all of this with the key.
    """

    serial: int
    total: int
    rows: int
    size: int
    peaks: tuple[str, ...]
    mac: str

    @classmethod
    def of(cls, key: SealKey, serial: int, total: int, rows: int, size: int, peaks: tuple[str, ...]) -> "Sealed":
        """The same values with the MAC of ``key``."""
        return cls(serial, total, rows, size, peaks, key.mac("sealed", [serial, f"{total:064x}", rows, size, list(peaks)]))


EMPTY = Sealed(0, 0, 0, 0, (), "")
"""The state before the first transaction."""


class Sealing:
    """The account of a transaction: what was sealed before it, and what it has changed so far."""

    def __init__(self, key: SealKey, before: Sealed) -> None:
        self.key, self.before, self.now = key, before, before

    def seal(self, table: sa.Table, values: Mapping[str, Any]) -> str:
        """The seal of a row."""
        content = [_plain(values[column.name]) for column in table.columns if column.name != "seal"]
        return self.key.mac(table.name, content)

    def check(self, table: sa.Table, row: sa.Row[Any]) -> None:
        """Raises ``LedgerCorrupt`` unless ``row`` is as it was sealed."""
        if not hmac.compare_digest(self.seal(table, dict(row._mapping)), row.seal):
            name = next(str(row._mapping[column.name]) for column in table.primary_key.columns)
            raise LedgerCorrupt(f"the entry {name!r} in {table.name} of the ledger was altered: {ADVICE}")

    def add(self, seal: str) -> None:
        """Counts a new row."""
        self.now = replace(self.now, total=(self.now.total + int(seal, 16)) % _MODULUS, rows=self.now.rows + 1)

    def drop(self, seal: str) -> None:
        """Counts a row that is dropped."""
        self.now = replace(self.now, total=(self.now.total - int(seal, 16)) % _MODULUS, rows=self.now.rows - 1)

    def grow(self, leaves: Sequence[bytes]) -> None:
        """Counts new leaves of the log."""
        size, peaks = self.now.size, [bytes.fromhex(peak) for peak in self.now.peaks]
        for leaf in leaves:
            peaks.append(leaf)
            complete = size
            while complete & 1:  # RFC 9162: two perfect subtrees of one size become one
                right, left = peaks.pop(), peaks.pop()
                peaks.append(hashlib.sha256(b"\x01" + left + right).digest())
                complete >>= 1
            size += 1
        self.now = replace(self.now, size=size, peaks=tuple(peak.hex() for peak in peaks))

    def root(self) -> bytes:
        """The root of the log, which must have an event."""
        peaks = [bytes.fromhex(peak) for peak in self.now.peaks]
        root = peaks.pop()
        while peaks:
            root = hashlib.sha256(b"\x01" + peaks.pop() + root).digest()
        return root

    def write(self, connection: sa.Connection) -> Sealed:
        """Seals what the transaction leaves behind; returns the earlier seal if it changed nothing."""
        if self.now == self.before:
            return self.before
        now = self.now
        self.now = Sealed.of(self.key, self.before.serial + 1, now.total, now.rows, now.size, now.peaks)
        connection.execute(sa.delete(seals))
        connection.execute(
            sa.insert(seals).values(
                id=1,
                serial=self.now.serial,
                total=f"{self.now.total:064x}",
                rows=self.now.rows,
                size=self.now.size,
                peaks=json.dumps(self.now.peaks),
                mac=self.now.mac,
            )
        )
        return self.now


def read(connection: sa.Connection, key: SealKey) -> Sealed:
    """What the last transaction left behind.

    Raises:
        LedgerCorrupt: it was altered, or ``key`` is another key.
    """
    kept = connection.execute(sa.select(seals)).all()
    if not kept:
        return EMPTY
    row = kept[0]
    if len(kept) > 1 or row.id != 1:
        raise LedgerCorrupt(f"the ledger has more than one seal: {ADVICE}")
    try:
        found = Sealed.of(key, row.serial, int(row.total, 16), row.rows, row.size, tuple(json.loads(row.peaks)))
    except (ValueError, TypeError) as error:
        raise LedgerCorrupt(f"the seal of the ledger was altered: {ADVICE}") from error
    if not hmac.compare_digest(found.mac, row.mac):
        raise LedgerCorrupt(
            f"the seal of the ledger was altered, or keys/seal.key is not the key that it was made with: {ADVICE}"
        )
    return found


def verify(connection: sa.Connection, tables: sa.MetaData = metadata) -> None:
    """Checks every row of every table, and that none is missing or extra.

    Args:
        tables: the tables as they were when the rows were sealed. Default: as they are now.

    Raises:
        LedgerCorrupt: one was altered, added, dropped or replaced by an older one.
    """
    sealing = _sealing(connection)
    total = count = 0
    for table in tables.sorted_tables:
        if "seal" not in table.columns:
            continue
        for row in connection.execute(sa.select(table)):
            sealing.check(table, row)
            total, count = (total + int(row.seal, 16)) % _MODULUS, count + 1
    if (total, count) != (sealing.before.total, sealing.before.rows):
        raise LedgerCorrupt(f"an entry of the ledger was dropped, added, or replaced by an older one: {ADVICE}")


def insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds sealed rows; columns that are left out are empty."""
    sealing, sealed = _sealing(connection), []
    for row in rows:
        values = {column.name: row.get(column.name) for column in table.columns}
        seal = sealing.seal(table, values)
        sealing.add(seal)
        sealed.append(values | {"seal": seal})
    if sealed:
        connection.execute(sa.insert(table), sealed)


def update(connection: sa.Connection, table: sa.Table, where: sa.ColumnElement[bool], **values: Any) -> int:
    """Changes sealed rows; returns how many.

    Raises:
        LedgerCorrupt: one of them was altered.
    """
    sealing, names = _sealing(connection), [column.name for column in table.primary_key.columns]
    changed = []
    for row in rows(connection, sa.select(table).where(where), table):
        after = sealing.seal(table, {**row._mapping, **values})
        sealing.drop(row.seal)
        sealing.add(after)
        changed.append({**{f"key_{name}": row._mapping[name] for name in names}, **values, "seal": after})
    if changed:
        mine = sa.and_(*(table.columns[name] == sa.bindparam(f"key_{name}") for name in names))
        statement = sa.update(table).where(mine).values({name: sa.bindparam(name) for name in (*values, "seal")})
        connection.execute(statement, changed)
    return len(changed)


def delete(connection: sa.Connection, table: sa.Table, where: sa.ColumnElement[bool]) -> int:
    """Drops sealed rows; returns how many.

    Raises:
        LedgerCorrupt: one of them was altered.
    """
    sealing = _sealing(connection)
    gone = rows(connection, sa.select(table).where(where), table)
    for row in gone:
        sealing.drop(row.seal)
    if gone:
        connection.execute(sa.delete(table).where(where))
    return len(gone)


def rows(connection: sa.Connection, chosen: sa.Select[Any], table: sa.Table) -> list[sa.Row[Any]]:
    """The whole rows of ``table`` that ``chosen`` finds, each checked against its seal.

    Raises:
        LedgerCorrupt: one of them was altered.
    """
    sealing, found = _sealing(connection), list(connection.execute(chosen))
    for row in found:
        sealing.check(table, row)
    return found


def grow(connection: sa.Connection, leaves: Sequence[bytes]) -> None:
    """Counts new leaves of the log."""
    _sealing(connection).grow(leaves)


def standing(connection: sa.Connection) -> Sealed:
    """What the transaction before this one left behind: the same means that no row is another."""
    return _sealing(connection).before


def serial(connection: sa.Connection) -> int:
    """The number of the transaction before this one."""
    return _sealing(connection).before.serial


def log_size(connection: sa.Connection) -> int:
    """Number of events in the log."""
    return _sealing(connection).now.size


def log_root(connection: sa.Connection) -> bytes:
    """The root of the log."""
    return _sealing(connection).root()


def _sealing(connection: sa.Connection) -> Sealing:
    found: Sealing = connection.get_execution_options()["sealing"]
    return found


def _plain(value: Any) -> Any:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes | memoryview) else value

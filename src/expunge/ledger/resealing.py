"""Resealing: what a migration does besides changing tables, so that a sealed table can get another column.

A row's seal covers all of its columns, so no old seal fits once there is a new column. Every row is therefore first checked as
it was sealed, in the columns that the database has then; after the migration, each row is sealed in its present columns. All
of it is one transaction: it happens, or nothing has.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import sqlalchemy as sa

from expunge.ledger import sealing
from expunge.ledger.sealing import Sealed, Sealing, SealKey
from expunge.ledger.tables import metadata


@contextmanager
def sealed_anew(connection: sa.Connection, key: SealKey) -> Iterator[list[Sealed]]:
    """Wraps a migration of an existing ledger, in the transaction that migrates it.

    Yields a list that holds, once the migration is done, what the ledger left behind before and what it leaves now.

    Raises:
        LedgerCorrupt: a row was altered, added or dropped before; nothing is migrated then.
    """
    account = Sealing(key, sealing.read(connection, key))
    connection.execution_options(sealing=account)
    old = sa.MetaData()
    old.reflect(connection)
    sealing.verify(connection, old)
    standing = [account.before]
    yield standing
    account.now = replace(account.before, total=0, rows=0)  # a migration may add and drop rows
    for table in metadata.sorted_tables:
        if "seal" in table.columns:
            _seal(connection, account, table)
    standing.append(account.write(connection))


def _seal(connection: sa.Connection, account: Sealing, table: sa.Table) -> None:
    """Counts every row of ``table``, under the seal of the columns that it has now."""
    names = [column.name for column in table.primary_key.columns]
    changed = []
    for row in connection.execute(sa.select(table)).all():
        seal = account.seal(table, dict(row._mapping))
        account.add(seal)
        if seal != row.seal:
            changed.append({**{f"key_{name}": row._mapping[name] for name in names}, "seal": seal})
    if changed:
        mine = sa.and_(*(table.columns[name] == sa.bindparam(f"key_{name}") for name in names))
        connection.execute(sa.update(table).where(mine).values(seal=sa.bindparam("seal")), changed)

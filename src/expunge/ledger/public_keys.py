"""Public keys: those that have signed, each vouched for by the one before, and the one that signs now."""

import sqlalchemy as sa

from expunge.ledger import sealing
from expunge.ledger.tables import public_keys


def add_key(connection: sa.Connection, keyid: str, pem: str, at: str, endorsement: str | None = None) -> None:
    """Makes ``keyid`` the key that signs from now on, with the endorsement of the one before."""
    sealing.update(connection, public_keys, public_keys.c.until.is_(None), until=at)
    sealing.insert(connection, public_keys, [{"keyid": keyid, "pem": pem, "since": at, "endorsement": endorsement}])


def keys(connection: sa.Connection) -> list[tuple[str, str | None]]:
    """All public keys as PEM, each with the statement that endorses it, oldest first."""
    chosen = sa.select(public_keys).order_by(public_keys.c.since)
    return [(row.pem, row.endorsement) for row in sealing.rows(connection, chosen, public_keys)]


def retired_keyids(connection: sa.Connection) -> list[str]:
    """Ids of the keys that have signed and no longer do."""
    found = sealing.rows(connection, sa.select(public_keys).where(public_keys.c.until.is_not(None)), public_keys)
    return [row.keyid for row in found]


def signing_keyid(connection: sa.Connection) -> str | None:
    """Id of the key that signs now."""
    found = sealing.rows(connection, sa.select(public_keys).where(public_keys.c.until.is_(None)), public_keys)
    return found[0].keyid if found else None

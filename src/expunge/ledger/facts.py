"""Facts: what is true of the workspace now, by name."""

import sqlalchemy as sa

from expunge.ledger import sealing
from expunge.ledger.tables import facts, public_keys


def fact(connection: sa.Connection, name: str) -> str | None:
    """The fact called ``name``."""
    found = sealing.rows(connection, sa.select(facts).where(facts.c.name == name), facts)
    return found[0].value if found else None


def set_fact(connection: sa.Connection, name: str, value: str | int) -> None:
    """Makes ``name`` true as ``value``."""
    if not sealing.update(connection, facts, facts.c.name == name, value=str(value)):
        sealing.insert(connection, facts, [{"name": name, "value": str(value)}])


def add_key(connection: sa.Connection, keyid: str, pem: str, at: str, endorsement: str | None = None) -> None:
    """Makes ``keyid`` the key that signs from now on, as the one before endorses it."""
    sealing.update(connection, public_keys, public_keys.c.until.is_(None), until=at)
    sealing.insert(connection, public_keys, [{"keyid": keyid, "pem": pem, "since": at, "endorsement": endorsement}])


def keys(connection: sa.Connection) -> list[tuple[str, str | None]]:
    """All public keys as PEM, each with the statement that endorses it, the oldest first."""
    chosen = sa.select(public_keys).order_by(public_keys.c.since)
    return [(row.pem, row.endorsement) for row in sealing.rows(connection, chosen, public_keys)]


def retired_keyids(connection: sa.Connection) -> list[str]:
    """Names the keys that have signed and sign no more."""
    found = sealing.rows(connection, sa.select(public_keys).where(public_keys.c.until.is_not(None)), public_keys)
    return [row.keyid for row in found]


def signing_keyid(connection: sa.Connection) -> str | None:
    """Names the key that signs now."""
    found = sealing.rows(connection, sa.select(public_keys).where(public_keys.c.until.is_(None)), public_keys)
    return found[0].keyid if found else None

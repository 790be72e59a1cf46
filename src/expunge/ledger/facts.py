"""Facts: what is true of the workspace now, by name."""

import sqlalchemy as sa

from expunge.ledger.tables import facts, public_keys


def fact(connection: sa.Connection, name: str) -> str | None:
    """The fact called ``name``."""
    return connection.execute(sa.select(facts.c.value).where(facts.c.name == name)).scalar()


def set_fact(connection: sa.Connection, name: str, value: str | int) -> None:
    """Makes ``name`` true as ``value``."""
    connection.execute(sa.delete(facts).where(facts.c.name == name))
    connection.execute(sa.insert(facts).values(name=name, value=str(value)))


def add_key(connection: sa.Connection, keyid: str, pem: str, at: str) -> None:
    """Makes ``keyid`` the key that signs from now on."""
    connection.execute(sa.update(public_keys).where(public_keys.c.until.is_(None)).values(until=at))
    connection.execute(sa.insert(public_keys).values(keyid=keyid, pem=pem, since=at))


def keys(connection: sa.Connection) -> list[str]:
    """All public keys as PEM, the oldest first."""
    return list(connection.execute(sa.select(public_keys.c.pem).order_by(public_keys.c.since)).scalars())


def signing_keyid(connection: sa.Connection) -> str | None:
    """Names the key that signs now."""
    return connection.execute(sa.select(public_keys.c.keyid).where(public_keys.c.until.is_(None))).scalar()

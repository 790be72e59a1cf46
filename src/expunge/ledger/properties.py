"""Properties: facts about the workspace now, each a text under a name."""

import sqlalchemy as sa

from expunge.ledger import sealing
from expunge.ledger.tables import properties


def read_property(connection: sa.Connection, name: str) -> str | None:
    """The property called ``name``."""
    found = sealing.rows(connection, sa.select(properties).where(properties.c.name == name), properties)
    return found[0].value if found else None


def set_property(connection: sa.Connection, name: str, value: str | int) -> None:
    """Changes the property ``name``."""
    if not sealing.update(connection, properties, properties.c.name == name, value=str(value)):
        sealing.insert(connection, properties, [{"name": name, "value": str(value)}])

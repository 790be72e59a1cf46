"""Models and their releases, as the ledger keeps them."""

import secrets
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from expunge.errors import WorkspaceInvalid
from expunge.ledger import sealing
from expunge.ledger.receipts import committed
from expunge.ledger.tables import batches, models, releases


def add_model(connection: sa.Connection, name: str, specification: str, at: str) -> str:
    """Adds a model; what the log may say of its specification, which only those can check who may see it."""
    salt = secrets.token_hex(32)
    values = {"name": name, "specification": specification, "salt": salt, "created": at}
    sealing.insert(connection, models, [values])
    return committed(salt, name, specification)


def all_models(connection: sa.Connection) -> list[sa.Row[Any]]:
    """The models, by name."""
    return sealing.rows(connection, sa.select(models).order_by(models.c.name), models)


def model(connection: sa.Connection, name: str) -> sa.Row[Any] | None:
    """The model called ``name``."""
    found = sealing.rows(connection, sa.select(models).where(models.c.name == name), models)
    return found[0] if found else None


def named(connection: sa.Connection, name: str) -> sa.Row[Any]:
    """The model called ``name``.

    Raises:
        WorkspaceInvalid: there is none.
    """
    found = model(connection, name)
    if found is None:
        names = ", ".join(row.name for row in all_models(connection)) or "none yet"
        raise WorkspaceInvalid(f"there is no model {name!r}: there are {names}")
    return found


def owe(connection: sa.Connection, name: str, since: str | None) -> None:
    """Notes since when the model's anchor depends on somebody forgotten; ``None`` for not at all."""
    mine = models.c.name == name
    if since is not None:
        mine &= models.c.owed_since.is_(None)
    sealing.update(connection, models, mine, owed_since=since)


def next_release(connection: sa.Connection) -> int:
    """The id that the next release gets."""
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(releases.c.id), 0))).scalar_one()) + 1


def add_release(connection: sa.Connection, values: Mapping[str, Any]) -> None:
    """Adds a release."""
    sealing.insert(connection, releases, [values])


def current(connection: sa.Connection, name: str) -> sa.Row[Any]:
    """The last release of a model."""
    chosen = sa.select(releases).where(releases.c.model == name).order_by(releases.c.number.desc()).limit(1)
    return sealing.rows(connection, chosen, releases)[0]


def release(connection: sa.Connection, number: int) -> sa.Row[Any] | None:
    """The release with this id."""
    found = sealing.rows(connection, sa.select(releases).where(releases.c.id == number), releases)
    return found[0] if found else None


def listed(connection: sa.Connection, name: str | None = None) -> list[sa.Row[Any]]:
    """All releases, of one model or of all, the oldest first, with what their batch was."""
    wanted = (releases.c[key] for key in ("id", "model", "number", "at", "evidence", "purged", "batch"))
    chosen = sa.select(*wanted, batches.c.kind).join(batches, releases.c.batch == batches.c.id).order_by(releases.c.id)
    return list(connection.execute(chosen if name is None else chosen.where(releases.c.model == name)))


def recent(connection: sa.Connection, name: str, limit: int) -> list[sa.Row[Any]]:
    """The last releases of a model, the oldest of them first."""
    chosen = sa.select(releases).where(releases.c.model == name).order_by(releases.c.number.desc()).limit(limit)
    return list(reversed(sealing.rows(connection, chosen, releases)))


def of_batch(connection: sa.Connection, batch: int) -> list[sa.Row[Any]]:
    """The releases that a batch made."""
    return sealing.rows(connection, sa.select(releases).where(releases.c.batch == batch).order_by(releases.c.id), releases)


def all_releases(connection: sa.Connection) -> list[sa.Row[Any]]:
    """Everything about every release, the oldest first."""
    return sealing.rows(connection, sa.select(releases).order_by(releases.c.id), releases)


def purge_superseded(connection: sa.Connection, batch: int, at: str, *, weights: bool) -> list[tuple[str, int]]:
    """Drops what older releases of the batch's models kept; the (model, number) whose state files are to be deleted.

    Args:
        weights: whether their weights go as well, because somebody in them was forgotten.
    """
    newest = sa.select(releases.c.model, releases.c.number).where(releases.c.batch == batch)
    purged = []
    for name, number in connection.execute(newest).all():
        older = (releases.c.model == name) & (releases.c.number < number)
        kept = older & (releases.c.state_digest.is_not(None) | releases.c.weights.is_not(None))
        purged += [(name, int(n)) for n in connection.execute(sa.select(releases.c.number).where(kept)).scalars()]
        changes: dict[str, Any] = {
            "state_digest": None,
            "table_digest": None,
            **({"weights": None, "purged": at} if weights else {}),
        }
        sealing.update(connection, releases, kept, **changes)
    return purged

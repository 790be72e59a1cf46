"""Models and their releases, as the ledger keeps them."""

import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from expunge.errors import WorkspaceInvalid
from expunge.evidence.receipts import committed
from expunge.ledger import sealing
from expunge.ledger.tables import batches, models, releases


def add_model(connection: sa.Connection, name: str, specification: str, at: str) -> str:
    """Adds a model; what the log may say of its specification, which only those can check who may see it."""
    salt = secrets.token_hex(32)
    values = {"name": name, "specification": specification, "salt": salt, "created": at}
    sealing.insert(connection, models, [values])
    return committed(salt, name, specification)


def all_models(connection: sa.Connection) -> list[sa.Row[Any]]:
    """The living models, by name, also those that are set aside."""
    return sealing.rows(connection, sa.select(models).where(models.c.retired.is_(None)).order_by(models.c.name), models)


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
    if found is not None and found.retired is not None:
        raise WorkspaceInvalid(f"model {name!r} was retired on {found.retired[:10]}: its releases are withdrawn")
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


def set_aside(connection: sa.Connection, name: str, reason: str | None, again: str | None = None) -> None:
    """Notes why a model cannot forget now, and when to try again; ``None`` once it can."""
    sealing.update(connection, models, models.c.name == name, aside=reason, again=again)


def replace(connection: sa.Connection, name: str, specification: str) -> str:
    """Gives a model another specification; what the log may say of it."""
    salt = secrets.token_hex(32)
    changes = {"specification": specification, "salt": salt, "aside": None, "again": None, "owed_since": None}
    sealing.update(connection, models, models.c.name == name, **changes)
    return committed(salt, name, specification)


def retire(connection: sa.Connection, name: str, at: str) -> None:
    """Withdraws a model for good, with the weights of all its releases."""
    sealing.update(connection, models, models.c.name == name, retired=at, aside=None, again=None, owed_since=None)
    sealing.update(connection, releases, releases.c.model == name, weights=None, purged=at, table_digest=None)


def left_by_the_retired(connection: sa.Connection) -> list[tuple[str, int]]:
    """State files (model and number) of retired models that are still to be deleted."""
    chosen = sa.select(releases).join(models, releases.c.model == models.c.name)
    found = chosen.where(models.c.retired.is_not(None), releases.c.state_digest.is_not(None))
    return [(row.model, row.number) for row in sealing.rows(connection, found, releases)]


def forget_states(connection: sa.Connection, files: Iterable[tuple[str, int]]) -> None:
    """Notes that these state files are deleted."""
    for name, number in files:
        sealing.update(connection, releases, (releases.c.model == name) & (releases.c.number == number), state_digest=None)


def follow_table(connection: sa.Connection, name: str, table_digest: str) -> None:
    """Notes that the table has become another one, without rows that the model's state has held no more."""
    last = current(connection, name)
    sealing.update(connection, releases, releases.c.id == last.id, table_digest=table_digest)


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

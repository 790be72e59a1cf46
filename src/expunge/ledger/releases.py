"""Models and their releases, as the ledger keeps them."""

import secrets
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from expunge.errors import LedgerCorrupt, WorkspaceInvalid
from expunge.evidence.receipts import committed
from expunge.ledger import sealing
from expunge.ledger.batches import BatchKind
from expunge.ledger.figures import Figures
from expunge.ledger.tables import batches, models, releases
from expunge.unlearning.rung import Rung


@dataclass(frozen=True)
class Model:
    """A model.

    Args:
        specification: JSON, written by the code that fits models.
        salt: salt of the commitment to the specification in the log.
        created: ISO 8601, as are all times here.
        owed_since: the earliest deletion on which the anchor still depends.
        aside: why it cannot forget now, while the others go on.
        again: it is not tried again before.
        retired: when it was withdrawn for good.
        unreadable: what its state file was like when it could not be read; it is tried again once that changes.
    """

    name: str
    specification: str = field(repr=False)
    salt: str = field(repr=False)
    created: str
    owed_since: str | None
    aside: str | None
    again: str | None
    retired: str | None
    unreadable: str | None = None


@dataclass(frozen=True)
class Release:
    """A release of a model.

    Args:
        id: number of the release among all.
        number: number of the release among those of its model: 1, 2, 3…
        event: number of the event that records it.
        envelope: the signed public certificate.
        evidence: JSON, for those who may see the data.
        weights: little-endian float64; gone once somebody in it was forgotten.
        state_digest: SHA-256 of the state file; ``None`` once that is gone.
        table_digest: digest of the files whose rows the state holds; ``None`` once the state is gone.
        at: when it was made, ISO 8601.
        purged: when the weights were deleted.
    """

    id: int
    model: str
    number: int
    batch: int
    event: int
    envelope: str = field(repr=False)
    evidence: str = field(repr=False)
    weights: bytes | None = field(repr=False)
    state_digest: str | None
    table_digest: str | None
    at: str
    purged: str | None = None

    @cached_property
    def figures(self) -> Figures:
        """The figures in the evidence."""
        return Figures.of(self.evidence)

    @property
    def parameters(self) -> list[float]:
        """The weights as numbers.

        Raises:
            LedgerCorrupt: they are gone.
        """
        if self.weights is None:
            raise LedgerCorrupt(f"the weights of release {self.number} of {self.model} are gone: run expunge doctor")
        return [value for (value,) in struct.iter_unpack("<d", self.weights)]


@dataclass(frozen=True)
class Listed:
    """A release as lists show it, with the purpose of its batch."""

    id: int
    model: str
    number: int
    at: str
    evidence: str = field(repr=False)
    purged: str | None
    batch: int
    kind: BatchKind

    @cached_property
    def figures(self) -> Figures:
        """The figures in the evidence."""
        return Figures.of(self.evidence)


def add_model(connection: sa.Connection, name: str, specification: str, at: str) -> str:
    """Adds a model; returns a commitment for the log to its specification, which only those who may see that can check."""
    salt = secrets.token_hex(32)
    values = {"name": name, "specification": specification, "salt": salt, "created": at}
    sealing.insert(connection, models, [values])
    return committed(salt, name, specification)


def all_models(connection: sa.Connection) -> list[Model]:
    """The living models, by name, including those that are set aside."""
    return _models(connection, sa.select(models).where(models.c.retired.is_(None)).order_by(models.c.name))


def model(connection: sa.Connection, name: str) -> Model | None:
    """The model called ``name``."""
    found = _models(connection, sa.select(models).where(models.c.name == name))
    return found[0] if found else None


def named(connection: sa.Connection, name: str) -> Model:
    """The model called ``name``.

    Raises:
        WorkspaceInvalid: there is none.
    """
    found = model(connection, name)
    if found is not None and found.retired is not None:
        raise WorkspaceInvalid(f"model {name!r} was retired on {found.retired[:10]}: its releases are withdrawn")
    if found is None:
        names = ", ".join(row.name for row in all_models(connection))
        raise WorkspaceInvalid(f"there is no model {name!r}: {f'the models are {names}' if names else 'there are none yet'}")
    return found


def owe(connection: sa.Connection, name: str, since: str | None) -> None:
    """Notes since when the model's anchor depends on somebody forgotten; ``None`` if it does not."""
    mine = models.c.name == name
    if since is not None:
        mine &= models.c.owed_since.is_(None)
    sealing.update(connection, models, mine, owed_since=since)


def set_aside(
    connection: sa.Connection, name: str, reason: str | None, again: str | None = None, unreadable: str | None = None
) -> None:
    """Notes why a model cannot forget now, and when to try again; ``None`` once it can.

    Args:
        connection: a connection in a writing transaction.
        name: of the model.
        reason: for those who may see the data.
        again: when to try again.
        unreadable: what its state file was like, if that could not be read. Default: it could.
    """
    sealing.update(connection, models, models.c.name == name, aside=reason, again=again, unreadable=unreadable)


def replace(connection: sa.Connection, name: str, specification: str) -> str:
    """Gives a model another specification; returns a commitment to it for the log."""
    salt = secrets.token_hex(32)
    changes = {
        "specification": specification,
        "salt": salt,
        "aside": None,
        "again": None,
        "owed_since": None,
        "unreadable": None,
    }
    sealing.update(connection, models, models.c.name == name, **changes)
    return committed(salt, name, specification)


def retire(connection: sa.Connection, name: str, at: str) -> None:
    """Withdraws a model for good, with the weights of all its releases."""
    gone = {"aside": None, "again": None, "owed_since": None, "unreadable": None}
    sealing.update(connection, models, models.c.name == name, retired=at, **gone)
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
    """Notes that the table has changed, losing only rows that the model's state no longer held."""
    last = current(connection, name)
    sealing.update(connection, releases, releases.c.id == last.id, table_digest=table_digest)


def next_release(connection: sa.Connection) -> int:
    """The id that the next release gets."""
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(releases.c.id), 0))).scalar_one()) + 1


def add_release(connection: sa.Connection, made: Release) -> None:
    """Adds a release."""
    sealing.insert(connection, releases, [vars(made)])


def current(connection: sa.Connection, name: str) -> Release:
    """The last release of a model."""
    return recent(connection, name, 1)[0]


def newest(connection: sa.Connection, name: str) -> int:
    """The number among all of the last release of a model."""
    return int(connection.execute(sa.select(sa.func.max(releases.c.id)).where(releases.c.model == name)).scalar_one())


def release(connection: sa.Connection, number: int) -> Release | None:
    """The release with this id."""
    found = _releases(connection, sa.select(releases).where(releases.c.id == number))
    return found[0] if found else None


def listed(connection: sa.Connection, name: str | None = None, limit: int | None = None) -> list[Listed]:
    """The releases, of one model or of all, oldest first, with the kinds of their batches.

    Args:
        connection: a connection.
        name: of the model. Default: all.
        limit: only the newest ones, so many at most. Default: all.
    """
    chosen = _with_kinds().order_by(releases.c.id.desc()).limit(limit)
    found = connection.execute(chosen if name is None else chosen.where(releases.c.model == name)).all()
    return [_listed(row) for row in reversed(found)]


def page(connection: sa.Connection, before: int | None, limit: int) -> list[Listed]:
    """Up to ``limit`` releases, the newest first, of those with a number below ``before``."""
    chosen = _with_kinds().order_by(releases.c.id.desc()).limit(limit)
    return [_listed(row) for row in connection.execute(chosen if before is None else chosen.where(releases.c.id < before))]


def last_refit(connection: sa.Connection, name: str) -> tuple[Listed, Figures] | None:
    """The last refit of a model since it was fitted, and the figures of the release before it."""
    newest_first = _with_kinds().where(releases.c.model == name).order_by(releases.c.id.desc())
    refit = None
    for row in connection.execute(newest_first).yield_per(64):
        found = _listed(row)
        if refit is not None:
            return refit, found.figures
        if found.kind in (BatchKind.FIT, BatchKind.REPLACE):
            break
        refit = found if found.figures.rung is Rung.REFIT else None
    return None


def recent(connection: sa.Connection, name: str, limit: int) -> list[Release]:
    """The last releases of a model, oldest first."""
    chosen = sa.select(releases).where(releases.c.model == name).order_by(releases.c.number.desc()).limit(limit)
    return _releases(connection, chosen)[::-1]


def of_batch(connection: sa.Connection, batch: int) -> list[Release]:
    """The releases that a batch made."""
    return _releases(connection, sa.select(releases).where(releases.c.batch == batch).order_by(releases.c.id))


def all_releases(connection: sa.Connection) -> list[Release]:
    """Everything about every release, oldest first."""
    return _releases(connection, sa.select(releases).order_by(releases.c.id))


def purge_superseded(connection: sa.Connection, batch: int, at: str, *, weights: bool) -> None:
    """Drops what older releases of the batch's models kept.

    Args:
        weights: whether their weights are dropped too, because somebody in them was forgotten.
    """
    newest = sa.select(releases.c.model, releases.c.number).where(releases.c.batch == batch)
    for name, number in connection.execute(newest).all():
        older = (releases.c.model == name) & (releases.c.number < number)
        kept = older & (releases.c.state_digest.is_not(None) | releases.c.weights.is_not(None))
        gone = {"weights": None, "purged": at} if weights else {}
        sealing.update(connection, releases, kept, state_digest=None, table_digest=None, **gone)


def _with_kinds() -> sa.Select[Any]:
    """The query for ``Listed``."""
    wanted = (releases.c[key] for key in ("id", "model", "number", "at", "evidence", "purged", "batch"))
    return sa.select(*wanted, batches.c.kind).join(batches, releases.c.batch == batches.c.id)


def _listed(row: sa.Row[Any]) -> Listed:
    return Listed(**{**row._mapping, "kind": BatchKind.read(row.kind)})


def _models(connection: sa.Connection, chosen: sa.Select[Any]) -> list[Model]:
    return [Model(**_values(row)) for row in sealing.rows(connection, chosen, models)]


def _releases(connection: sa.Connection, chosen: sa.Select[Any]) -> list[Release]:
    return [Release(**_values(row)) for row in sealing.rows(connection, chosen, releases)]


def _values(row: sa.Row[Any]) -> dict[str, Any]:
    return {name: value for name, value in row._mapping.items() if name != "seal"}

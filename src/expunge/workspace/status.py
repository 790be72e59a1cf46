"""Status: where everything stands, read from the ledger alone, so that it is quick whatever the table's size."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from expunge.ledger import batches, register, releases, tombstones
from expunge.ledger.figures import json_number
from expunge.ledger.properties import read_property
from expunge.ledger.register import Matter
from expunge.ledger.releases import Model
from expunge.ledger.requests import Request, RequestKind, RequestState
from expunge.ledger.restores import Restored
from expunge.privacy.budget import today
from expunge.unlearning.rung import Rung
from expunge.workspace import drafts
from expunge.workspace.deadlines import days_left
from expunge.workspace.forgetting import PURPOSE
from expunge.workspace.model_kinds import ModelKind
from expunge.workspace.outline import Outline
from expunge.workspace.schedules import LastRefit, NextRefit
from expunge.workspace.storage import Storage

SHOWN = 20
"""Number of open requests that are listed; all are counted."""


@dataclass(frozen=True)
class OpenRequest:
    """A request that is open; times are ISO 8601, in UTC.

    Args:
        problem: why it could not be worked yet.
    """

    request: str
    kind: RequestKind
    state: RequestState
    received: str
    deadline: str
    days_left: int
    problem: str | None

    @classmethod
    def of(cls, found: Request, now: datetime) -> "OpenRequest":
        """The open request ``found`` as it stands."""
        left = days_left(found.deadline, now)
        return cls(found.id, found.kind, found.state, found.received, found.deadline, left, found.problem)


@dataclass(frozen=True)
class ModelStatus:
    """A living model and its last release.

    Args:
        name: name of the model.
        kind: the estimator.
        target: the column that it predicts.
        release: the release's number among those of the model.
        certificate: the release's number among all.
        at: when the release was made, ISO 8601.
        rung: how its distance was proven.
        epsilon: epsilon of the promise to everybody forgotten, in nats.
        delta: delta of the same promise.
        epsilon_total: how much of ``epsilon`` is spent.
        distance_bound: the certified bound on the distance.
        remaining: weight of the rows learned and not forgotten.
        next_refit: the refit that it is owed, when and why; ``None`` if it is owed none.
        last_refit: when and why its anchor was last moved; ``None`` if it never was.
        aside: why it cannot forget now.
    """

    name: str
    kind: ModelKind
    target: str
    release: int
    certificate: int
    at: str
    rung: Rung
    epsilon: float
    delta: float
    epsilon_total: float
    distance_bound: float
    remaining: float
    next_refit: NextRefit | None
    last_refit: LastRefit | None
    aside: str | None

    @classmethod
    def of(cls, connection: sa.Connection, model: Model, restored: Restored | None) -> "ModelStatus":
        """The status of ``model`` in a ledger that was ``restored``."""
        last = releases.current(connection, model.name)
        figures = last.figures
        outline = Outline.of(model)
        return cls(
            name=model.name,
            kind=outline.kind,
            target=outline.target,
            release=last.number,
            certificate=last.id,
            at=last.at,
            rung=figures.rung,
            epsilon=figures.epsilon,
            delta=figures.delta,
            epsilon_total=figures.epsilon_total,
            distance_bound=figures.distance_bound,
            remaining=figures.remaining,
            next_refit=NextRefit.of(model, last, restored, today()),
            last_refit=LastRefit.of(connection, model),
            aside=model.aside,
        )

    @property
    def refits(self) -> str:
        """When and why the model is refitted next and was refitted last, for a person; empty if there is nothing to say."""
        coming = [] if self.next_refit is None else [f"Its next refit is due {self.next_refit}."]
        return " ".join([*coming, *([] if self.last_refit is None else [f"It was last refitted {self.last_refit}."])])


@dataclass(frozen=True)
class Derived:
    """Something derived from rows of people forgotten.

    Args:
        what: what it is.
        goes: the day on which it is deleted, ISO 8601; ``None`` if somebody has to correct it.
    """

    what: str
    goes: str | None


@dataclass(frozen=True)
class TombstonesKept:
    """The tombstones that are kept: ``why``, for how many ``people``, and when the first and the last are deleted, ISO 8601."""

    why: str
    people: int
    other_ids: int
    first_goes: str | None
    last_goes: str | None


@dataclass(frozen=True)
class Status:
    """Where everything stands.

    Args:
        workspace: folder of the workspace.
        rows: number of rows in the table.
        requests: number of requests in each state.
        open: the open requests that are due first.
        matters: number of open requests, and of those that are overdue, due this week, stuck, held or not approved.
        models: the living models, by name.
        still_derived: what is derived from rows of people forgotten: anchors of models, and what fewer than ten people now
            share in a draft schema.
        tombstones: the tombstones that are kept.
        unfinished_batches: the batches that were interrupted.
        is_anchored: whether an older copy of the workspace would be noticed.
    """

    workspace: str
    rows: int
    requests: Mapping[RequestState, int]
    open: tuple[OpenRequest, ...]
    matters: Mapping[Matter, int]
    models: tuple[ModelStatus, ...]
    still_derived: tuple[Derived, ...]
    tombstones: TombstonesKept
    unfinished_batches: tuple[int, ...]
    is_anchored: bool

    @property
    def overdue(self) -> int:
        """Number of open requests that are past their deadline."""
        return self.matters[Matter.OVERDUE]

    def as_json(self) -> dict[str, Any]:
        """All fields, as JSON values."""
        return as_json(self)


def as_json(shown: "Status | ModelStatus") -> dict[str, Any]:
    """A part of the status as JSON values; an infinite number becomes the text ``"inf"``."""
    return asdict(shown, dict_factory=_plain)


def living_models(storage: Storage) -> tuple[ModelStatus, ...]:
    """The living models with their last release, by name: what the status says of them, without counting requests."""
    with storage.database.reading() as connection:
        return _models(connection)


def status(storage: Storage) -> Status:
    """Requests by state with their deadlines, models with their last release, and what still depends on those forgotten."""
    now, settings = datetime.now(UTC), storage.configuration
    with storage.database.reading() as connection:
        counts = register.counts(connection)
        waiting = register.open_requests(connection, SHOWN)
        matters = register.matters(connection)
        few, kept = drafts.noted(storage, connection), tombstones.kept(connection)
        unfinished = tuple(batch.id for batch in batches.unfinished(connection))
        rows, models = int(read_property(connection, "rows") or 0), _models(connection)
    anchors = (Derived(f"the anchor of {model.name}", model.next_refit.day) for model in models if model.next_refit)
    shared = (Derived(f"{'schema.toml' if name is None else f'the schema of {name}'} (values: {n})", None) for name, n in few)
    days = settings.tombstone_days
    return Status(
        workspace=str(storage.path),
        rows=rows,
        requests={state: counts.get(state, 0) for state in RequestState},
        open=tuple(OpenRequest.of(found, now) for found in waiting),
        matters=matters,
        models=models,
        still_derived=(*anchors, *shared),
        tombstones=TombstonesKept(PURPOSE, kept.people, kept.aliases, _after(kept.first, days), _after(kept.last, days)),
        unfinished_batches=unfinished,
        is_anchored=bool(settings.anchor),
    )


def _models(connection: sa.Connection) -> tuple[ModelStatus, ...]:
    restored = Restored.last(connection)
    return tuple(ModelStatus.of(connection, model, restored) for model in releases.all_models(connection))


def _after(closed: str | None, days: int) -> str | None:
    return None if closed is None else (datetime.fromisoformat(closed) + timedelta(days=days)).isoformat()


def _plain(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {name: json_number(value) if isinstance(value, float) else value for name, value in pairs}

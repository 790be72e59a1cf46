"""What API and pages show of requests, releases and forecasts, in one form."""

from typing import Any

import sqlalchemy as sa

from expunge.ledger import cases, log, releases
from expunge.ledger.events import Event
from expunge.ledger.releases import Release
from expunge.ledger.requests import Request
from expunge.service.jobs import Jobs
from expunge.service.worker import Health
from expunge.unlearning.rung import Rung
from expunge.workspace.model_kinds import ModelKind
from expunge.workspace.predicting import PREDICTION, Predictions
from expunge.workspace.published import Published
from expunge.workspace.register import Summary
from expunge.workspace.states import rung_expected
from expunge.workspace.status import ModelStatus, living_models


def request_view(found: Request) -> dict[str, Any]:
    """A request, without anything that points to its subject."""
    return dict(vars(Summary.of(found)))


def case_view(connection: sa.Connection, request: str) -> dict[str, Any]:
    """What the office notes of a request."""
    return {**vars(cases.file_of(connection, request)), "notes": [vars(note) for note in cases.notes_of(connection, request)]}


def certificate_view(connection: sa.Connection, row: Release) -> dict[str, Any]:
    """A release with its evidence and its place in the log."""
    proven = log.require_included(connection, row.event)
    return {
        "certificate": row.id,
        "model": row.model,
        "release": row.number,
        "at": row.at,
        "purged": row.purged,
        "evidence": row.figures.content,
        "event": Event.of(proven.event).content,
        "proof": proven.proof,
    }


def release_view(found: Published) -> dict[str, Any]:
    """A release as it is published, with names, classes and schema: all that a prediction takes."""
    specification = found.specification
    return {
        "model": found.model,
        "release": found.release,
        "certificate": found.certificate,
        "at": found.at,
        "kind": specification.kind,
        "target": specification.target,
        "classes": list(found.classes),
        "features": specification.features.feature_names,
        "schema": specification.schema,
        "coef": found.coefficients,
        "intercept": found.intercepts,
        "offset": specification.offset,
        "weights": list(found.weights),
    }


def predictions_view(found: Predictions) -> dict[str, Any]:
    """Predictions, in the order of their rows."""
    predicted = found.table[PREDICTION].to_pylist()
    items: list[dict[str, Any]] = [{"prediction": value} for value in predicted]
    for item, probabilities in zip(items, found.probabilities, strict=False):  # a regression has none
        item["probabilities"] = probabilities
    odd = {name: {"undeclared": odd.undeclared, "missing": odd.missing} for name, odd in found.odd.items()}
    return {"model": found.model, "release": found.release, "certificate": found.certificate, "items": items, "odd": odd}


def health_view(health: Health, jobs: Jobs) -> dict[str, Any]:
    """The state of the worker and of what is done beside it, for those who may see the data."""
    faults = [{**vars(fault), "since": fault.since.isoformat(timespec="seconds")} for fault in health.faults]
    since = health.working_since
    return {
        "worker": health.state,
        "last_round": health.last_round.isoformat(timespec="seconds"),
        "working_since": None if since is None else since.isoformat(timespec="seconds"),
        "deliveries": health.deliveries,
        "jobs": "ok" if jobs.is_alive else "dead",
        "job": jobs.running,
        "problem": health.problem or (None if jobs.is_alive else "jobs are not being done: restart the service"),
        "faults": faults,
    }


def expected(state: Any, rows: int) -> list[dict[str, Any]]:
    """By model, the rung that should do for ``rows`` random rows, and the seconds that its last such release took."""
    found = []
    for model in living_models(state.workspace.storage):
        rung = Rung.EXACT if model.kind == ModelKind.RIDGE else _rung(state, model, rows)
        found.append({"model": model.name, "rung": rung, "seconds": _seconds(state, model.name, rung)})
    return found


def _rung(state: Any, model: ModelStatus, rows: int) -> Rung:
    """It is kept until the model's next release."""
    release, rungs = state.expected.get(model.name, (0, {}))
    if release != model.release:
        rungs = {}
        state.expected[model.name] = model.release, rungs
    if rows not in rungs:
        rungs[rows] = rung_expected(state.workspace.storage, model.name, rows) if rows else Rung.STATISTICS
    return Rung(rungs[rows])


def _seconds(state: Any, name: str, rung: Rung) -> float | None:
    with state.workspace.storage.database.reading() as connection:
        for row in reversed(releases.listed(connection, name)):
            if row.figures.rung == rung:
                return row.figures.seconds
    return None

"""Words: what pages say of models, jobs and causes, to people who run an office and no machine."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from numpy import format_float_positional

from expunge.ledger.batches import BatchKind
from expunge.ledger.jobs import Job, JobKind, JobState
from expunge.service.faults import Cause
from expunge.service.work import ASKED
from expunge.unlearning.report import CapacityReport, Regime
from expunge.workspace.days import day

AMBER, RED = 0.7, 0.9
"""Shares of a model's budget from which it is shown amber and red."""
LOOKS = {0: "without reading the data", 1: "with one reading of the remaining rows", 2: "with two readings of them"}
REGIMES = {
    Regime.HIDDEN: "The noise in this model hides that many people anyway: forgetting adds little to it.",
    Regime.WORTH: "Forgetting is worth it here: it reaches far more people than the noise alone would hide.",
    Regime.RETRAIN: "It can forget nobody without being fitted anew: every request ends in a refit.",
}
WHY = {
    BatchKind.FIT: "first fit",
    BatchKind.FORGET: "people were forgotten",
    BatchKind.APPEND: "rows were added",
    BatchKind.RECTIFY: "rows were corrected",
    BatchKind.REFIT: "refit",
    BatchKind.REPLACE: "fitted anew from another schema",
    BatchKind.RETIRE: "retired",
    BatchKind.UPSERT: "rows were replaced",
    BatchKind.WIDEN: "a column was widened",
    BatchKind.LIFT: "a restriction was lifted",
}
DOING = {
    JobKind.FIT: "Fit a new model",
    JobKind.REFIT: "Refit",
    JobKind.RETIRE: "Retire",
    JobKind.APPEND: "Add rows",
    JobKind.RECTIFY: "Correct a person's rows",
    JobKind.AUDIT: "Audit",
    JobKind.EXAMINE: "Examine the workspace",
}
STATES = {
    JobState.QUEUED: "waiting for its turn",
    JobState.RUNNING: "being done",
    JobState.DONE: "done",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}
CAUSES = {
    Cause.BUSY: "another process is working: nothing to do",
    Cause.ROW: "a request that a model cannot answer: read why, on its page",
    Cause.MODEL: "a model that cannot go on: refit or replace it",
    Cause.ENVIRONMENT: "disk, files, keys or database: repair them",
    Cause.DELIVERY: "a webhook: correct its address, or its server",
    Cause.BUG: "a fault of the program: report what its log says",
    ASKED: "what was asked for: correct it, and ask again",
}


def written(value: object) -> object:
    """A number as people write it, without an exponent; anything else as it is.

    Examples:
        >>> written(1e-05), written(1300.0), written("inf")
        ('0.00001', '1300', 'inf')
    """
    return format_float_positional(value, trim="-") if isinstance(value, float) else value


@dataclass(frozen=True)
class Spent:
    """How much of a model's budget is used.

    Args:
        percent: of the budget.
        level: ``good``, ``amber`` or ``red``.
        text: in words.
    """

    percent: float
    level: str
    text: str

    @classmethod
    def of(cls, share: float) -> "Spent":
        """The words for a share of the budget."""
        percent = round(100.0 * min(1.0, share), 1)
        if share >= RED:
            return cls(percent, "red", f"{percent:g} % of the budget is used: hardly anything is left until the next refit")
        if share >= AMBER:
            return cls(percent, "amber", f"{percent:g} % of the budget is used: plan a refit")
        return cls(percent, "good", f"{percent:g} % of the budget is used")


def can_forget(report: CapacityReport) -> str:
    """How many more people a model can forget, drawn at random."""
    listed = _listed((forecast.passes, forecast.random) for forecast in report.forecasts)
    if listed is None:
        return "It can forget nobody more without a refit."
    return f"It can forget about {listed}: so many rows of people at random, in one go. More than that takes a refit."


def hardest(report: CapacityReport) -> str | None:
    """The same for the people who move it most; ``None`` where that is not known."""
    listed = _listed((forecast.passes, forecast.worst_case) for forecast in report.forecasts)
    return None if listed is None else f"Of the people who matter most to it, about {listed}."


def _listed(numbers: Iterable[tuple[int, int | None]]) -> str | None:
    """How many with how many readings of the rows, where a further reading reaches more; ``None`` where there are none."""
    known, most = list[tuple[int, int]](), -1
    for passes, number in numbers:
        if number is not None and number > most:
            known.append((passes, number))
            most = number
    if most <= 0:
        return None
    return ", ".join(f"{_round(number)} {LOOKS.get(passes, f'with {passes} readings of them')}" for passes, number in known)


def _round(number: int) -> str:
    """About that many, with two digits."""
    if number < 100:
        return f"{number}"
    unit = 10 ** (len(str(number)) - 2)
    return f"{number // unit * unit:,}"


def of_job(job: Job) -> str:
    """What a job does."""
    return DOING[job.kind] if job.model is None else f"{DOING[job.kind]}: {job.model}"


def result_of(job: Job) -> dict[str, Any]:
    """What a job has made or found; empty if nothing."""
    return {} if job.result is None else dict(json.loads(job.result))


def told_of(job: Job) -> str | None:
    """The result of a job in a sentence."""
    found = result_of(job)
    if "verdict" in found:
        return (
            "Nothing was found that contradicts the certificates."
            if found["verdict"]["is_honest"]
            else "A certificate is wrong."
        )
    if "findings" in found:
        wrong = sum(finding["problem"] is not None for finding in found["findings"])
        return f"{len(found['findings'])} checks: {'all is well' if not wrong else f'{wrong} found something wrong'}."
    if found.get("closed") is not None:
        return f"It is retired; {found['closed']:,} requests that waited for it alone are closed."
    if found.get("added_before"):
        return f"These rows were added before, on {day(found['added_before'])}: there was nothing to do."
    if "rows" in found:
        return f"{found['rows']:,} rows."
    if "release" in found:
        return f"Release {found['release']}, certificate {found['certificate']}."
    return None

"""Work: what each kind of job does, on the workspace, and what is kept of it. No row and no id of a person is kept."""

import json
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from expunge.data.records import Records
from expunge.ledger.jobs import Job, JobKind
from expunge.service.faults import Cause, cause_of, described
from expunge.workspace import Workspace
from expunge.workspace.auditing import audited
from expunge.workspace.batch import Outcome
from expunge.workspace.doctor import examine
from expunge.workspace.options import How
from expunge.workspace.states import Notify

PACKAGE = Path(__file__).parents[1]
ASKED = "asked"
"""The cause of a failure that lies in what was asked for."""


class Missing(Exception):
    """What a job needs was in the memory of an instance that has ended."""


def do(workspace: Workspace, job: Job, rows: Mapping[str, Any] | None, notify: Notify) -> dict[str, Any]:
    """Does a job; returns its result as JSON values.

    Args:
        rows: what the job needs besides and no ledger holds: rows, and whose they are.
        notify: told what is being done.

    Raises:
        ExpungeError, ValueError: as the command raises it that does the same.
        Missing: ``rows`` are gone.
    """
    return DOING[job.kind](workspace, job, rows, notify)


def blamed(error: BaseException) -> tuple[str, str]:
    """The cause of a failure, and what to say of it to those who may see the data."""
    frames = traceback.extract_tb(error.__traceback__)
    is_ours = bool(frames) and Path(frames[-1].filename).is_relative_to(PACKAGE) and (frames[-1].line or "").startswith("raise")
    if isinstance(error, ValueError) and is_ours:
        return ASKED, str(error)
    if isinstance(error, Missing):
        return Cause.ENVIRONMENT, str(error)
    return cause_of(error), described(error)


def _fit(workspace: Workspace, job: Job, _rows: Mapping[str, Any] | None, notify: Notify) -> dict[str, Any]:
    wanted = json.loads(job.wanted)
    target, how = wanted.pop("target"), wanted
    accepts, accepts_size = how.pop("accept_undeclared"), how.pop("accept_size")
    chosen: How = {**how}  # type: ignore[typeddict-item]  # checked where it is used
    notify("looking at the rows")
    size = workspace.quality.size(target, **chosen)
    if size.excesses and not accepts_size:
        raise ValueError(f"{', '.join(size.excesses)}: ask again with accept_size if that is meant. Nothing was changed")
    notify(f"fitting {job.model} on {size.rows:,} rows, about {size.duration}")
    return _released(workspace.fit(str(job.model), target, accept_undeclared=accepts, notify=notify, **chosen))


def _refit(workspace: Workspace, job: Job, _rows: Mapping[str, Any] | None, notify: Notify) -> dict[str, Any]:
    notify("fitting it anew on the remaining rows")
    return _released(workspace.refit(str(job.model), notify=notify))


def _retire(workspace: Workspace, job: Job, _rows: Mapping[str, Any] | None, notify: Notify) -> dict[str, Any]:
    notify("deleting its weights, and what they were fitted from")
    return {"closed": workspace.retire(str(job.model))}


def _append(workspace: Workspace, job: Job, rows: Mapping[str, Any] | None, notify: Notify) -> dict[str, Any]:
    if rows is None:
        raise Missing("its rows were in memory only, and are gone with the service: send them again")
    notify("adding the rows, which every model learns")
    done = workspace.append(Records(rows["rows"]), notify=notify, **json.loads(job.wanted))
    names = ("rows", "known", "replaced", "added_before", "undeclared", "missing", "left_out", "suppressed", "restricted")
    told = {name: value for name, value in done.arrived.as_json().items() if name in names}
    return {**told, "releases": [_released(outcome) for outcome in done.outcomes]}


def _rectify(workspace: Workspace, job: Job, rows: Mapping[str, Any] | None, notify: Notify) -> dict[str, Any]:
    if rows is None:
        raise Missing("the corrected rows were in memory only, and are gone with the service: send them again")
    notify("replacing the person's rows, in the table and in every model")
    given = json.loads(job.wanted)
    answer, made = workspace.rectify(rows["subject"], Records(rows["rows"]), actor=job.actor, notify=notify, **given)
    return {"request": answer.request, "rows": answer.rows, "releases": [_released(outcome) for outcome in made]}


def _audit(workspace: Workspace, job: Job, _rows: Mapping[str, Any] | None, notify: Notify) -> dict[str, Any]:
    found = audited(workspace.storage, str(job.model), json.loads(job.wanted)["draws"], notify)
    verdict = {"text": str(found.verdict), **json.loads(found.verdict.to_json())}
    return {"model": job.model, "release": found.release, "certificate": found.certificate, "verdict": verdict}


def _examine(workspace: Workspace, job: Job, _rows: Mapping[str, Any] | None, notify: Notify) -> dict[str, Any]:
    findings = []
    for finding in examine(workspace.storage, json.loads(job.wanted)["depth"]):
        findings.append(asdict(finding))
        notify(f"{len(findings)} {'check is' if len(findings) == 1 else 'checks are'} done")
    return {"findings": findings}


def _released(outcome: Outcome) -> dict[str, Any]:
    return {"model": outcome.model, "release": outcome.number, "certificate": outcome.id}


DOING: dict[JobKind, Callable[[Workspace, Job, Mapping[str, Any] | None, Notify], dict[str, Any]]] = {
    JobKind.FIT: _fit,
    JobKind.REFIT: _refit,
    JobKind.RETIRE: _retire,
    JobKind.APPEND: _append,
    JobKind.RECTIFY: _rectify,
    JobKind.AUDIT: _audit,
    JobKind.EXAMINE: _examine,
}

"""Jobs: long work that somebody asked the service for, from queued to done, failed or cancelled.

What a job does is in the ledger; rows and ids of people that it needs are not: they are in the memory of the instance that
took it, and such a job ends with that instance.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta

import sqlalchemy as sa

from expunge.ledger import sealing, times
from expunge.ledger.tables import instances, jobs
from expunge.ledger.words import Word

SILENT = timedelta(minutes=3)
"""An instance that was not seen for so long has ended."""
KEPT = timedelta(days=1)
"""How long an instance that has ended is listed."""


class JobKind(Word):
    """What a job does."""

    FIT = "fit"
    REFIT = "refit"
    RETIRE = "retire"
    APPEND = "append"
    RECTIFY = "rectify"
    AUDIT = "audit"
    EXAMINE = "examine"


class JobState(Word):
    """How far a job has come."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        """Whether it is still to be done."""
        return self in (JobState.QUEUED, JobState.RUNNING)


IN_MEMORY = (JobKind.APPEND, JobKind.RECTIFY)
"""Jobs that need rows of people."""


@dataclass(frozen=True)
class Job:
    """A job; times are ISO 8601.

    Args:
        model: the model that it is about, if it is about one.
        wanted: JSON: how it is to be done.
        actor: id of the token of whoever asked.
        instance: the instance that took it.
        progress: what it is doing, for a person.
        result: JSON: what it has found or made.
        cause: who is at fault for its failure.
        problem: why it failed, or what is left to do.
    """

    id: int
    kind: JobKind
    model: str | None
    wanted: str = field(repr=False)
    state: JobState
    actor: str
    instance: str
    asked: str
    started: str | None
    ended: str | None
    progress: str | None
    result: str | None = field(repr=False)
    cause: str | None
    problem: str | None = field(repr=False)


@dataclass(frozen=True)
class Instance:
    """A process of the service; times are ISO 8601."""

    id: str
    host: str
    version: str
    started: str
    seen: str

    @property
    def is_silent(self) -> bool:
        """Whether it was not seen for a while, and so has ended or hangs."""
        return self.seen < (times.now() - SILENT).isoformat(timespec="microseconds")


def add(connection: sa.Connection, kind: JobKind, model: str | None, wanted: str, actor: str, instance: str) -> int:
    """Queues a job, in a writing transaction; returns its number.

    Args:
        connection: a connection in a writing transaction.
        kind: what it does.
        model: the model that it is about.
        wanted: JSON: how it is to be done; nothing that identifies a person.
        actor: id of the token of whoever asks.
        instance: the instance that takes it.
    """
    last = int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(jobs.c.id), 0))).scalar_one())
    values = {"kind": kind, "model": model, "wanted": wanted, "actor": actor, "instance": instance}
    row = {"id": last + 1, "state": JobState.QUEUED, "asked": times.exact(), **values}
    sealing.insert(connection, jobs, [row])
    return last + 1


def by_id(connection: sa.Connection, identity: int) -> Job | None:
    """The job with this number."""
    found = _jobs(connection, sa.select(jobs).where(jobs.c.id == identity))
    return found[0] if found else None


def listed(
    connection: sa.Connection,
    limit: int,
    *,
    before: int | None = None,
    state: JobState | None = None,
    kind: JobKind | None = None,
    model: str | None = None,
) -> list[Job]:
    """The newest jobs.

    Args:
        connection: a connection.
        limit: how many at most.
        before: only those with a smaller number. Default: all.
        state: only those in this state. Default: all.
        kind: only those of this kind. Default: all.
        model: only those about this model. Default: all.
    """
    chosen = sa.select(jobs).order_by(jobs.c.id.desc()).limit(limit)
    given = ((jobs.c.state, state), (jobs.c.kind, kind), (jobs.c.model, model))
    for column, value in given:
        chosen = chosen if value is None else chosen.where(column == value)
    return _jobs(connection, chosen if before is None else chosen.where(jobs.c.id < before))


def waiting(connection: sa.Connection) -> list[Job]:
    """The jobs that are queued or running, oldest first."""
    chosen = sa.select(jobs).where(jobs.c.state.in_([state for state in JobState if state.is_open]))
    return _jobs(connection, chosen.order_by(jobs.c.id))


def start(connection: sa.Connection, identity: int, instance: str) -> bool:
    """Notes, in a writing transaction, that ``instance`` does a job; returns whether it was still queued."""
    mine = (jobs.c.id == identity) & (jobs.c.state == JobState.QUEUED)
    values = {"state": JobState.RUNNING, "started": times.exact(), "instance": instance}
    return bool(sealing.update(connection, jobs, mine, **values))


def note_progress(connection: sa.Connection, identity: int, progress: str) -> None:
    """Notes, in a writing transaction, what a job is doing."""
    sealing.update(connection, jobs, (jobs.c.id == identity) & (jobs.c.state == JobState.RUNNING), progress=progress)


def finish(
    connection: sa.Connection,
    identity: int,
    state: JobState,
    *,
    result: str | None = None,
    cause: str | None = None,
    problem: str | None = None,
) -> bool:
    """Ends a job that is queued or running, in a writing transaction; returns whether it was.

    Args:
        connection: a connection in a writing transaction.
        identity: its number.
        state: done, failed or cancelled.
        result: JSON: what it has found or made. Default: nothing.
        cause: who is at fault. Default: nobody.
        problem: why it failed, or what is left to do. Default: nothing.
    """
    mine = (jobs.c.id == identity) & jobs.c.state.in_([each for each in JobState if each.is_open])
    values = {"state": state, "ended": times.exact(), "progress": None, "result": result}
    return bool(sealing.update(connection, jobs, mine, **values, cause=cause, problem=problem))


def cancel(connection: sa.Connection, identity: int) -> bool:
    """Withdraws a job that is still queued, in a writing transaction; returns whether it was."""
    mine = (jobs.c.id == identity) & (jobs.c.state == JobState.QUEUED)
    return bool(sealing.update(connection, jobs, mine, state=JobState.CANCELLED, ended=times.exact()))


def give_up(connection: sa.Connection, problem: str) -> int:
    """Ends all jobs that are queued or running, in a writing transaction, and says why; returns how many."""
    mine = jobs.c.state.in_([state for state in JobState if state.is_open])
    return sealing.update(connection, jobs, mine, state=JobState.FAILED, ended=times.exact(), progress=None, problem=problem)


def saw(connection: sa.Connection, found: Instance) -> None:
    """Notes, in a writing transaction, that an instance is alive, and drops those that ended long ago."""
    if not sealing.update(connection, instances, instances.c.id == found.id, seen=found.seen):
        sealing.insert(connection, instances, [vars(found)])
    old = (times.now() - KEPT).isoformat(timespec="microseconds")
    sealing.delete(connection, instances, instances.c.seen < old)


def all_instances(connection: sa.Connection) -> list[Instance]:
    """The instances that were seen in the last day, the newest first."""
    found = sealing.rows(connection, sa.select(instances).order_by(instances.c.started.desc()), instances)
    return [Instance(row.id, row.host, row.version, row.started, row.seen) for row in found]


def orphans(connection: sa.Connection, mine: str) -> Collection[str]:
    """The instances that took a job that is queued, and have ended since."""
    alive = {found.id for found in all_instances(connection) if not found.is_silent} | {mine}
    return {job.instance for job in waiting(connection)} - alive


def _jobs(connection: sa.Connection, chosen: sa.Select[tuple[object, ...]]) -> list[Job]:
    found = []
    for row in sealing.rows(connection, chosen, jobs):
        values = {name: value for name, value in row._mapping.items() if name != "seal"}
        found.append(Job(**{**values, "kind": JobKind.read(row.kind), "state": JobState.read(row.state)}))
    return found

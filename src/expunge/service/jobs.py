"""Jobs: long work, done one at a time in a thread of its own, so that neither requests nor webhooks wait for it.

A job is in the ledger, so it survives a restart while it is queued. One that was running when its process ended is marked as
failed by the next instance that looks, and is not done again by itself: its batch, if it had begun one, is finished or taken
back as after any kill, so nobody can tell beforehand which of the two it needs.
"""

import json
import logging
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from expunge.errors import ExpungeError, WorkspaceBusy, WorkUnfinished
from expunge.ledger import jobs, times
from expunge.ledger.jobs import IN_MEMORY, Instance, Job, JobKind, JobState
from expunge.service import work
from expunge.service.faults import Cause, Faults, traced
from expunge.service.forecasts import Forecasts
from expunge.service.records import WORKER, changed
from expunge.unlearning.release import VERSION
from expunge.workspace import Workspace

log = logging.getLogger("expunge.service")

PART = "jobs"
EVERY = 0.5
"""Seconds between two looks for a job."""
SEEN = 60.0
"""Seconds between two notes that this instance is alive."""
PAUSE = 5.0
"""Seconds to wait when the ledger cannot be used."""
STOPPING = 0.5
"""Seconds that ``stop`` waits."""
QUEUED = 100
"""Number of jobs that may wait."""
HELD = 8
"""Number of jobs with rows in memory, each at most as long as a body may be."""
INTERRUPTED = (
    "the service ended while it was being done. What it had begun is finished or taken back whole: look at the model's "
    "releases, and ask again if it is still wanted"
)
GONE = "its rows were in the memory of a service that has ended: send them again"


class TooManyJobs(Exception):
    """As many jobs wait as are kept."""


class Jobs:
    """A thread that does the jobs of the ledger; of several instances, one does them at a time."""

    def __init__(self, workspace: Workspace, faults: Faults, every: float = EVERY) -> None:
        self._workspace, self._every = workspace, every
        self._database = workspace.storage.database
        self.faults = faults
        self.forecasts = Forecasts(workspace)
        now = times.exact()
        self.instance = Instance(f"i-{secrets.token_hex(6)}", socket.gethostname(), VERSION, now, now)
        self._held: dict[int, Mapping[str, Any]] = {}
        self._lock = threading.Lock()
        self._next_note = 0.0
        self._running: int | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="expunge-jobs", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether jobs are done at all."""
        return self._thread.is_alive() and not self._ended.is_set()

    @property
    def running(self) -> int | None:
        """The number of the job that this instance is doing."""
        return self._running

    def start(self) -> None:
        """Starts doing jobs."""
        self._thread.start()

    def stop(self) -> None:
        """Stops. A job that is being done ends with the process; the next start marks it as failed."""
        self._ended.set()
        self._thread.join(STOPPING)
        if self._running is not None and self._thread.is_alive():
            log.warning("job %d is still being done: the next start marks it as failed", self._running)

    def ask(
        self, kind: JobKind, actor: str, model: str | None, wanted: Mapping[str, Any], rows: Mapping[str, Any] | None = None
    ) -> Job:
        """Queues a job.

        Args:
            kind: what it does.
            actor: id of the token of whoever asks.
            model: the model that it is about.
            wanted: how it is to be done, as JSON values; nothing that identifies a person.
            rows: rows of people, and whose they are, kept in memory alone. Default: none.

        Raises:
            TooManyJobs: as many wait as are kept.
        """
        started = time.perf_counter()
        with self._lock:
            if rows is not None and len(self._held) >= HELD:
                raise TooManyJobs(f"{HELD} jobs with rows wait already: ask again when one of them is done")
            with self._database.writing() as connection:
                if len(jobs.waiting(connection)) >= QUEUED:
                    raise TooManyJobs(f"{QUEUED} jobs wait already: ask again when one of them is done")
                number = jobs.add(connection, kind, model, json.dumps(wanted), actor, self.instance.id)
                made = jobs.by_id(connection, number)
            if rows is not None:
                self._held[number] = rows
        assert made is not None
        changed("job.queued", actor, time.perf_counter() - started, job=number, kind=kind, **_about(made))
        return made

    def cancel(self, number: int, actor: str) -> bool:
        """Withdraws a job that is still queued; returns whether it was."""
        started = time.perf_counter()
        with self._database.writing() as connection:
            is_cancelled = jobs.cancel(connection, number)
        if is_cancelled:
            with self._lock:
                self._held.pop(number, None)
            changed("job.cancelled", actor, time.perf_counter() - started, job=number)
        return is_cancelled

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            try:
                self._note_that_it_lives()
                is_idle = self._look()
                if is_idle:
                    self.forecasts.refresh(self._ended)
            except BaseException as error:  # a panic of a Rust library is not an Exception
                self.faults.met(PART, error)
                self._ended.wait(PAUSE)
            else:
                self.faults.over(PART)

    def _note_that_it_lives(self) -> None:
        if time.monotonic() < self._next_note:
            return
        now = Instance(**{**vars(self.instance), "seen": times.exact()})
        with self._database.writing() as connection:
            jobs.saw(connection, now)
        self._next_note = time.monotonic() + SEEN

    def _look(self) -> bool:
        """Does the next job, if it is this instance's turn; returns whether there was none to do."""
        with self._database.reading() as connection:
            waiting = jobs.waiting(connection)
            gone = jobs.orphans(connection, self.instance.id) if waiting else ()
        if not any(self._concerns(job, gone) for job in waiting):
            return True
        with self._workspace.storage.doing_jobs() as is_mine:
            if not is_mine:
                return True
            with self._database.reading() as connection:
                waiting = jobs.waiting(connection)
            for job in waiting:  # nobody else does a job now
                if job.state == JobState.RUNNING:
                    self._end(job, JobState.FAILED, cause=Cause.ENVIRONMENT, problem=INTERRUPTED)
                elif job.kind in IN_MEMORY and job.instance in gone:
                    self._end(job, JobState.FAILED, cause=Cause.ENVIRONMENT, problem=GONE)
            mine = (job for job in waiting if job.state == JobState.QUEUED and self._can_do(job))
            chosen = next(mine, None)
            if chosen is not None:
                self._do(chosen)
            return chosen is None

    def _can_do(self, job: Job) -> bool:
        return job.kind not in IN_MEMORY or job.instance == self.instance.id

    def _concerns(self, job: Job, gone: Any) -> bool:
        return job.state == JobState.RUNNING or self._can_do(job) or job.instance in gone

    def _do(self, job: Job) -> None:
        with self._database.writing() as connection:
            if not jobs.start(connection, job.id, self.instance.id):  # cancelled meanwhile
                return
        started, self._running = time.perf_counter(), job.id
        changed("job.started", WORKER, 0.0, job=job.id, kind=job.kind, **_about(job))
        try:
            state, told = self._done(job)
            self._end(job, state, started, **told)
        finally:
            self._running = None
            with self._lock:
                self._held.pop(job.id, None)

    def _done(self, job: Job) -> tuple[JobState, dict[str, str]]:
        """How a job ends; while another process works in the workspace, it waits."""
        part = f"a job of the kind {job.kind}"
        while True:
            try:
                result = work.do(self._workspace, job, self._held.get(job.id), lambda text: self._progress(job, text))
            except WorkspaceBusy as error:
                self._progress(job, f"waiting: {error}")
                if self._ended.wait(self._every):
                    return JobState.FAILED, {"cause": Cause.ENVIRONMENT, "problem": INTERRUPTED}
            except WorkUnfinished as error:
                return JobState.DONE, {"result": "{}", "cause": Cause.ENVIRONMENT, "problem": str(error)}
            except BaseException as error:  # a panic of a Rust library is not an Exception
                cause, problem = work.blamed(error)
                if cause in (Cause.ENVIRONMENT, Cause.BUG):
                    self.faults.add(part, Cause(cause), problem)
                if cause == Cause.BUG:
                    log.error("job %d: %s", job.id, traced(error))
                return JobState.FAILED, {"cause": cause, "problem": problem}
            else:
                self.faults.over(part)
                return JobState.DONE, {"result": json.dumps(result)}

    def _progress(self, job: Job, text: str) -> None:
        with suppress(ExpungeError), self._database.writing() as connection:
            jobs.note_progress(connection, job.id, text)

    def _end(self, job: Job, state: JobState, started: float | None = None, **told: str) -> None:
        """Notes how a job ended; again and again while the ledger cannot be written."""
        while True:
            try:
                with self._database.writing() as connection:
                    is_noted = jobs.finish(connection, job.id, state, **told)
                break
            except (ExpungeError, OSError) as error:
                self.faults.met(PART, error)
                if self._ended.wait(PAUSE):
                    return
        if is_noted:
            seconds = 0.0 if started is None else time.perf_counter() - started
            changed(f"job.{state}", WORKER, seconds, job=job.id, kind=job.kind, **_about(job))


def _about(job: Job) -> dict[str, str]:
    return {} if job.model is None else {"model": job.model}

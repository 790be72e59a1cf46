"""The worker: works the queue every few seconds, in one process at a time, whatever happens in a round.

If the queue cannot be worked, the next rounds wait longer and longer. A request that a round cannot answer, or a model that is
set aside, holds up nobody: the ledger says when it is tried again.
"""

import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from expunge.errors import StateCorrupt
from expunge.service.deliveries import Deliveries
from expunge.service.faults import Cause, Fault, Faults
from expunge.service.records import WORKER, changed
from expunge.workspace import Workspace
from expunge.workspace.queue import Processed

log = logging.getLogger("expunge.service")

EVERY = 3.0
"""Seconds between two looks at the queue."""
PATIENCE = 1.0
"""Seconds that a round waits for another process to end its own."""
LATE = 60.0
"""Seconds after the end of a round within which another must end."""
LONG = 600.0
"""Seconds that a round may take if it started on time, and that somebody may work by hand."""
LONGEST_WAIT = 45.0
"""Longest time in seconds between two attempts to work the queue, so it moves within a minute of the end of a fault."""
FIRST_WAIT_OF_A_BUG, LONGEST_WAIT_OF_A_BUG = 60.0, 3600.0
"""The same after an unforeseen error, doubled after each further one: nothing but another version or another batch repairs it,
every attempt is in the log, and a restart tries at once."""
STOPPING = 4.0
"""Seconds that ``stop`` gives the present round. A longer one ends with the process, and the next start finishes it or takes
it back, as after a kill."""
QUEUE, STUCK, ASIDE = "the queue", "stuck requests", "models set aside"

State = Literal["ok", "late", "dead"]


@dataclass(frozen=True)
class Health:
    """The state of the worker.

    Args:
        state: ``late`` if no round has ended for ``LATE`` seconds, unless one that began on time is still working, for at most
            ``LONG`` seconds; ``dead`` if there will be no further round.
        last_round: set time of the last round that ended; before the first, the start of the worker.
        working_since: set time of the round that is working now, or in which another process was found working.
        deliveries: whether webhooks are being told.
        faults: the faults that persist.
    """

    state: State
    last_round: datetime
    working_since: datetime | None
    deliveries: Literal["ok", "dead"]
    faults: list[Fault]

    @property
    def late(self) -> str | None:
        """For everybody: that the queue is not being worked. It reveals only a set time."""
        if self.state == "ok":
            return None
        since = f"no request has been worked since {self.last_round:%H:%M} UTC"
        return since if self.state == "late" else f"the worker has ended; {since}"

    @property
    def problem(self) -> str | None:
        """For those who may see the data: what to look at first."""
        stopping = [
            fault for fault in self.faults if fault.cause != Cause.DELIVERY and (fault.cause != Cause.BUSY or self.late)
        ]
        said = [self.late, "webhooks are not being told: restart the service" if self.deliveries == "dead" else None]
        return ": ".join([*filter(None, said), *(fault.message for fault in stopping[-1:])]) or None


class Worker:
    """A thread beside the service. If this process dies, another instance on the same ledger takes over."""

    def __init__(self, workspace: Workspace, every: float = EVERY) -> None:
        self._workspace = workspace
        self._every = every
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="expunge-worker", daemon=True)
        self.faults = Faults()
        self.deliveries = Deliveries(workspace.storage, self.faults, self._silent_since)
        self._rounds = _Rounds()
        self._queue = _Wait()
        self._waiting: set[str] = set()
        self.closed = 0

    @property
    def health(self) -> Health:
        """The present state."""
        is_alive = self._thread.is_alive() and not self._ended.is_set()
        state: State = "dead" if not is_alive else "late" if self._rounds.is_late(max(LATE, 2.0 * self._every)) else "ok"
        last, since = self._rounds.times
        return Health(state, last, since, "ok" if self.deliveries.is_alive else "dead", self.faults.now)

    def _silent_since(self) -> datetime | None:
        """Since when no request is worked although the service runs; ``None`` while they are."""
        if self._ended.is_set():
            return None
        health = self.health
        return None if health.state == "ok" else health.last_round

    def start(self) -> None:
        """Starts working."""
        self._rounds = _Rounds()  # nothing is late before this: what the service loads first may take long
        self._thread.start()
        self.deliveries.start()

    def stop(self) -> None:
        """Stops after the present round, if that ends soon."""
        self._ended.set()
        self.deliveries.stop()
        self._thread.join(STOPPING)
        if self._thread.is_alive():
            log.warning("a round is still working: the next start finishes it or takes it back")

    def _run(self) -> None:
        # looks are at set times, so that their times do not reveal how long the last work took
        while not self._ended.wait(self._every - time.time() % self._every):
            if not self._queue.is_over:
                continue
            self._rounds.begin()
            try:
                self._round()
            except BaseException as error:  # a panic of a Rust library is not an Exception
                self._fail(error)
            else:
                self._rounds.end()
                self._queue.forget()
                self.faults.over(QUEUE)

    def _fail(self, error: BaseException) -> None:
        """Notes why a round failed, and when to try again."""
        cause = self.faults.met(QUEUE, error)
        if cause == Cause.BUSY:
            return
        self._rounds.fail()
        if cause == Cause.BUG:
            self._queue.lengthen(FIRST_WAIT_OF_A_BUG, LONGEST_WAIT_OF_A_BUG)
        else:
            self._queue.lengthen(self._every, LONGEST_WAIT)

    def _round(self) -> None:
        started = time.perf_counter()
        done = self._workspace.process(patience=PATIENCE, is_due=True, heeds_hold=True)
        self.closed += done.closed
        self._record(done, time.perf_counter() - started)
        stuck = [f"a request cannot be worked: {problem}" for problem in done.problems.values()]
        others = {name: reason for name, reason in done.aside.items() if name not in done.unreadable}
        aside = [f"model {name} is set aside: {reason}" for name, reason in others.items()]
        for part, cause, problems in ((STUCK, Cause.ROW, stuck), (ASIDE, Cause.MODEL, aside)):
            for problem in problems:
                self.faults.add(part, cause, problem)
            self.faults.over(part, besides=problems)
        if done.unreadable:  # whoever is still in such a model is not forgotten, so no request is closed
            raise StateCorrupt(f"model {done.unreadable[0]} can forget nobody: {done.aside[done.unreadable[0]]}")

    def _record(self, done: Processed, seconds: float) -> None:
        """Records what a round has changed; of requests and models that still wait, only when they begin to."""
        for made in done.outcomes:
            about = {"model": made.model, "release": made.number, "certificate": made.id}
            changed("release.certified", WORKER, made.release.certificate.seconds, **about)
        for request in done.requests:
            changed("request.closed", WORKER, seconds, request=request)
        for request in done.problems.keys() - self._waiting:
            changed("request.stuck", WORKER, seconds, request=request)
        for model in done.aside.keys() - self._waiting:
            changed("model.set_aside", WORKER, seconds, model=model)
        if done.purged:
            changed("tombstones.purged", WORKER, seconds, requests=done.purged)
        self._waiting = {*done.problems, *done.aside}


class _Rounds:
    """When rounds started and ended, on a clock that nobody sets and, for people, on the wall clock."""

    def __init__(self) -> None:
        self._ended, self._last = time.monotonic(), datetime.now(UTC)
        self._began: tuple[float, datetime] | None = None

    @property
    def times(self) -> tuple[datetime, datetime | None]:
        """Times of the last round that ended, and of the one that is working."""
        began = self._began
        return self._last, None if began is None else began[1]

    def begin(self) -> None:
        """A round starts; if the last one found another process working, it continues that."""
        if self._began is None:
            self._began = time.monotonic(), datetime.now(UTC)

    def end(self) -> None:
        """The round worked everything there was."""
        if self._began is not None:
            self._ended, self._last, self._began = time.monotonic(), self._began[1], None

    def fail(self) -> None:
        """The round failed."""
        self._began = None

    def is_late(self, after: float) -> bool:
        """Whether no round has ended for ``after`` seconds, and none is working that should be waited for."""
        now, began = time.monotonic(), self._began
        if now - self._ended <= after:
            return False
        return began is None or began[0] - self._ended > after or now - began[0] > LONG


class _Wait:
    """A wait that doubles with every failure."""

    def __init__(self) -> None:
        self._failures, self._until = 0, 0.0

    @property
    def is_over(self) -> bool:
        """Whether it is time to try again."""
        return time.monotonic() >= self._until

    def lengthen(self, first: float, longest: float) -> None:
        """Call after a failure, with the first and the longest wait in seconds."""
        self._until = time.monotonic() + min(first * 2.0 ** min(self._failures, 30), longest)
        self._failures += 1

    def forget(self) -> None:
        """Call after a success."""
        self._failures, self._until = 0, 0.0

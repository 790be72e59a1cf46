"""The worker: works the queue every few seconds, in one process at a time, and tells the webhooks."""

import hashlib
import hmac
import json
import logging
import threading
import time
from datetime import UTC, datetime, timedelta

import httpx

from expunge.errors import ExpungeError, WorkspaceBusy
from expunge.ledger import hooks
from expunge.workspace import Workspace

log = logging.getLogger("expunge.worker")

EVERY = 3.0
"""Seconds between two looks at the queue."""
ATTEMPTS = 10
FIRST_RETRY = 5.0
"""Seconds after the first failed delivery; each further wait is twice as long."""
TIMEOUT = 10.0


class Worker:
    """A thread beside the service. If this process dies, another instance on the same ledger takes over."""

    def __init__(self, workspace: Workspace, every: float = EVERY) -> None:
        self._workspace = workspace
        self._every = every
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="expunge-worker", daemon=True)
        self.closed = 0
        self.rounds = 0
        self.problem: str | None = None
        self.seconds = 0.0

    def start(self) -> None:
        """Begins to work."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the present round."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        # looks are at set times, so that when one is taken does not tell how long the work of the last one took
        while not self._ended.wait(self._every - time.time() % self._every):
            try:
                with self._workspace.place.database.leading() as is_leading:
                    if is_leading:
                        self._round()
                self.problem = None
            except WorkspaceBusy:
                continue  # somebody works by hand
            except (ExpungeError, OSError) as error:
                self.problem = str(error)
                log.error("the queue could not be worked: %s", error)

    def _round(self) -> None:
        started = time.perf_counter()
        done = self._workspace.process(patience=0.0)
        if done.closed or done.outcomes:
            self.closed += done.closed
            self.seconds += time.perf_counter() - started
            log.info("%d requests closed, %d releases", done.closed, len(done.outcomes))
        self.rounds += 1
        self._deliver()

    def _deliver(self) -> None:
        database = self._workspace.place.database
        with database.reading() as connection:
            waiting = hooks.due(connection, datetime.now(UTC).isoformat(), 50)
        for row in waiting:
            outcome, again = self._told(row), None
            if outcome != "delivered" and row.attempts + 1 < ATTEMPTS:
                again = (datetime.now(UTC) + timedelta(seconds=FIRST_RETRY * 2**row.attempts)).isoformat()
            with database.writing() as connection:
                hooks.settle(connection, row.id, row.attempts + 1, outcome, again)

    def _told(self, row: object) -> str:
        facts = {name: getattr(row, name) for name in ("release", "model", "number", "at")}
        body = json.dumps({"event": "release.certified", **facts}, sort_keys=True).encode()
        signature = signed(body, row.secret, int(time.time()))  # type: ignore[attr-defined]
        headers = {"Content-Type": "application/json", "Expunge-Signature": signature}
        try:
            answer = httpx.post(row.url, content=body, headers=headers, timeout=TIMEOUT)  # type: ignore[attr-defined]
        except httpx.HTTPError as error:
            return f"failed: {type(error).__name__}"
        return "delivered" if answer.is_success else f"failed: status {answer.status_code}"


def signed(body: bytes, secret: str, at: int) -> str:
    """The signature header of a delivery: its time in seconds, and HMAC-SHA-256 over time and body."""
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"

"""Deliveries: webhooks are told what happens, in a separate thread; no webhook waits for another, and no request for one.

The same thread looks at what nobody else notices: deadlines that come near, and a worker that has fallen silent.
"""

import asyncio
import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from expunge.ledger import notices
from expunge.ledger.notices import Due, Notice
from expunge.service import targets
from expunge.service.faults import Cause, Faults
from expunge.service.mail import Server, Unsendable
from expunge.service.records import WORKER, changed
from expunge.service.reminders import remind
from expunge.service.targets import Network, UnusableURL, require_callable
from expunge.workspace.storage import Storage

PART = "deliveries"
LIMIT = 10.0
"""Seconds for one whole delivery, from looking up the name to the status of the answer, however slowly it arrives."""
ATTEMPTS = 16
"""Number of attempts before a delivery is given up, about a day after the first."""
FIRST_RETRY, LONGEST_RETRY = 5.0, 6 * 3600.0
"""Seconds after the first failed delivery, doubled after each further one, and the longest wait."""
LOOKS = 60.0
"""Seconds between two looks at the deadlines."""
EVERY = 0.5
"""Seconds between two looks at what is due."""
PAUSE = 5.0
"""Seconds to wait when the ledger cannot be used."""
UNDER_WAY = 60.0
"""Seconds for which a delivery is reserved; after a kill it is tried again then."""
STOPPING = 2.0
"""Seconds that ``stop`` waits."""


def signed(body: bytes, secret: str, at: int) -> str:
    """The signature header of a delivery: its time in seconds, and HMAC-SHA-256 over time and body."""
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"


class Deliveries:
    """A thread that tells webhooks: one delivery for each at a time, all webhooks at once."""

    def __init__(self, storage: Storage, faults: Faults, silent_since: Callable[[], datetime | None]) -> None:
        self._storage = storage
        self._faults = faults
        self._silent_since = silent_since
        self._is_silence_told = False
        self._next_look = 0.0
        self._mail = ThreadPoolExecutor(1, "expunge-mail")  # of its own: a slow mail server holds up e-mails alone
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="expunge-deliveries", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether anything is delivered at all."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Starts delivering."""
        self._thread.start()

    def stop(self) -> None:
        """Stops; a delivery under way is broken off."""
        self._ended.set()
        self._thread.join(STOPPING)
        self._mail.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                asyncio.run(self._deliver())
            except BaseException as error:  # a panic of a Rust library is not an Exception
                self._faults.met(PART, error)
                self._ended.wait(PAUSE)

    async def _deliver(self) -> None:
        """Until the end: takes what is due for every webhook that is not being told, and looks again when a delivery ends."""
        telling: dict[str, asyncio.Task[None]] = {}
        try:
            while not self._ended.is_set():
                telling = {webhook: task for webhook, task in telling.items() if not task.done()}
                await asyncio.to_thread(self._look)
                for row in await asyncio.to_thread(self._taken, list(telling)):
                    telling[row.webhook] = asyncio.create_task(self._tell(row))
                self._faults.over(PART)
                pause = asyncio.create_task(asyncio.sleep(EVERY))
                await asyncio.wait({pause, *telling.values()}, return_when=asyncio.FIRST_COMPLETED)
                pause.cancel()
        finally:
            for task in telling.values():
                task.cancel()

    def _look(self) -> None:
        """Queues what is to be said of deadlines, and of a worker that has just fallen silent."""
        since = self._silent_since()
        if since is not None and not self._is_silence_told:
            with self._storage.database.writing() as connection:
                notices.announce(connection, Notice.WORKER_SILENT, {"since": since.isoformat(timespec="seconds")})
        self._is_silence_told = since is not None
        if time.monotonic() >= self._next_look:
            remind(self._storage, datetime.now(UTC))
            self._next_look = time.monotonic() + LOOKS

    def _taken(self, besides: list[str]) -> list[Due]:
        """One due delivery for every webhook but ``besides``; no other instance takes them while they are under way."""
        database, now = self._storage.database, datetime.now(UTC)
        with database.reading() as connection:
            if not notices.due(connection, now.isoformat(), besides):
                return []
        with database.writing() as connection:
            taken = notices.due(connection, now.isoformat(), besides)
            notices.postpone(connection, [row.id for row in taken], (now + timedelta(seconds=UNDER_WAY)).isoformat())
        return taken

    async def _tell(self, row: Due) -> None:
        started = time.perf_counter()
        outcome, again = await self._told(row), None
        about = {"webhook": row.webhook, "delivery": row.id, "attempt": row.attempts + 1, "outcome": outcome}
        changed("delivery.tried", WORKER, time.perf_counter() - started, **about)
        if outcome == "delivered":
            self._faults.over(f"webhook {row.webhook}")
        else:
            self._faults.add(f"webhook {row.webhook}", Cause.DELIVERY, outcome)
            if row.attempts + 1 < ATTEMPTS:
                wait = min(FIRST_RETRY * 2.0**row.attempts, LONGEST_RETRY)
                again = (datetime.now(UTC) + timedelta(seconds=wait)).isoformat()
        while True:  # until it is noted, so that a locked ledger does not cause a second delivery
            try:
                return await asyncio.to_thread(self._settle, row, outcome, again)
            except Exception as error:
                self._faults.met(PART, error)
                await asyncio.sleep(PAUSE)

    def _settle(self, row: Due, outcome: str, again: str | None) -> None:
        with self._storage.database.writing() as connection:
            notices.settle(connection, row.id, row.attempts + 1, outcome, again)

    async def _told(self, row: Due) -> str:
        """The outcome of one attempt."""
        settings = self._storage.configuration
        if not row.url.startswith("mailto:"):
            return await _called(row, settings.networks)
        server, recipient = Server(settings.smtp, settings.mail_from), row.url.removeprefix("mailto:")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LIMIT):
                await loop.run_in_executor(self._mail, server.send, recipient, row.body, LIMIT)
        except Unsendable as error:
            return f"failed: {error}"
        except TimeoutError:
            return f"failed: no answer within {LIMIT:g} seconds"
        except Exception as error:  # any error of the server; its text may repeat what it was sent
            return f"failed: {type(error).__name__}"
        return "delivered"


async def _called(row: Due, networks: Sequence[Network]) -> str:
    """The outcome of one call of a webhook."""
    try:
        target = require_callable(row.url, networks)  # it may have reached the ledger in another way
        body = row.body.encode()
        headers = {"Content-Type": "application/json", "Expunge-Signature": signed(body, row.secret, int(time.time()))}
        async with asyncio.timeout(LIMIT):
            status = await targets.call(target, body, headers, networks)
    except UnusableURL as error:
        return f"failed: {error}"
    except TimeoutError:
        return f"failed: no answer within {LIMIT:g} seconds"
    except Exception as error:  # any error of the library or the other side
        return f"failed: {type(error).__name__}"
    return "delivered" if 200 <= status < 300 else f"failed: status {status}"

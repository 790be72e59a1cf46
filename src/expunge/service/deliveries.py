"""Deliveries: webhooks are told of certified releases, in a separate thread; no webhook waits for another."""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import re
import threading
import time
from datetime import UTC, datetime, timedelta

import httpx

from expunge.evidence.events import EventKind
from expunge.ledger import hooks
from expunge.ledger.hooks import Delivery
from expunge.service.faults import Cause, Faults
from expunge.workspace.storage import Storage

PART = "deliveries"
LIMIT = 10.0
"""Seconds for one whole delivery, from looking up the name to the status of the answer, however slowly it arrives."""
ATTEMPTS = 10
FIRST_RETRY = 5.0
"""Seconds after the first failed delivery; each further wait is twice as long."""
EVERY = 0.5
"""Seconds between two looks at what is due."""
PAUSE = 5.0
"""Seconds to wait when the ledger cannot be used."""
UNDER_WAY = 60.0
"""Seconds for which a delivery is reserved; after a kill it is tried again then."""
STOPPING = 2.0
"""Seconds that ``stop`` waits."""
HOST = re.compile(r"([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?")


class UnusableURL(ValueError):
    """A URL to which no webhook may go."""


def require_callable(url: str) -> None:
    """Checks that webhooks may go to ``url``, which must use HTTPS or lead to this machine.

    Raises:
        UnusableURL: it is mistyped, or leads elsewhere. The message does not repeat it, because it may hold a password.
    """
    if any(character.isspace() or not character.isprintable() for character in url):
        raise UnusableURL("the URL contains spaces or control characters: remove them")
    try:
        parsed = httpx.URL(url)  # the client that calls it must understand it as we do
        host, userinfo, port = parsed.raw_host.decode("ascii"), parsed.userinfo, parsed.port
    except (httpx.InvalidURL, ValueError):
        raise UnusableURL("the URL cannot be read: write it as https://host/path") from None
    if userinfo:
        raise UnusableURL("the URL contains a name or a password before the host: leave them out, deliveries are signed")
    if not _is_address(host) and not (len(host) <= 253 and HOST.fullmatch(host)):
        raise UnusableURL("the URL names no valid host: write it as https://host/path")
    if not url.isascii():
        raise UnusableURL("the URL has characters beyond ASCII: write the host in its xn-- form, and the path percent-encoded")
    if port is not None and not 1 <= port <= 65535:
        raise UnusableURL("the URL's port is not between 1 and 65535")
    if parsed.scheme != "https" and not (parsed.scheme == "http" and host in ("127.0.0.1", "localhost")):
        raise UnusableURL("the URL must begin with https://, or lead to this machine: http://127.0.0.1 or http://localhost")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def signed(body: bytes, secret: str, at: int) -> str:
    """The signature header of a delivery: its time in seconds, and HMAC-SHA-256 over time and body."""
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"


class Deliveries:
    """A thread that tells webhooks: one delivery for each at a time, all webhooks at once."""

    def __init__(self, storage: Storage, faults: Faults) -> None:
        self._storage = storage
        self._faults = faults
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
                for row in await asyncio.to_thread(self._taken, list(telling)):
                    telling[row.webhook] = asyncio.create_task(self._tell(row))
                self._faults.over(PART)
                pause = asyncio.create_task(asyncio.sleep(EVERY))
                await asyncio.wait({pause, *telling.values()}, return_when=asyncio.FIRST_COMPLETED)
                pause.cancel()
        finally:
            for task in telling.values():
                task.cancel()

    def _taken(self, besides: list[str]) -> list[Delivery]:
        """One due delivery for every webhook but ``besides``; no other instance takes them while they are under way."""
        database, now = self._storage.database, datetime.now(UTC)
        with database.reading() as connection:
            if not hooks.due(connection, now.isoformat(), besides):
                return []
        with database.writing() as connection:
            taken = hooks.due(connection, now.isoformat(), besides)
            hooks.postpone(connection, [row.id for row in taken], (now + timedelta(seconds=UNDER_WAY)).isoformat())
        return taken

    async def _tell(self, row: Delivery) -> None:
        outcome, again = await _told(row), None
        if outcome == "delivered":
            self._faults.over(f"webhook {row.webhook}")
        else:
            self._faults.add(f"webhook {row.webhook}", Cause.DELIVERY, outcome)
            if row.attempts + 1 < ATTEMPTS:
                again = (datetime.now(UTC) + timedelta(seconds=FIRST_RETRY * 2**row.attempts)).isoformat()
        while True:  # until it is noted, so that a locked ledger does not cause a second delivery
            try:
                return await asyncio.to_thread(self._settle, row, outcome, again)
            except Exception as error:
                self._faults.met(PART, error)
                await asyncio.sleep(PAUSE)

    def _settle(self, row: Delivery, outcome: str, again: str | None) -> None:
        with self._storage.database.writing() as connection:
            hooks.settle(connection, row.id, row.attempts + 1, outcome, again)


async def _told(row: Delivery) -> str:
    """The outcome of one attempt; only the status of the answer is read."""
    outcome = None
    try:
        require_callable(row.url)  # it may have reached the ledger in another way
        about = {name: getattr(row, name) for name in ("release", "model", "number", "at")}
        body = json.dumps({"event": EventKind.RELEASE_CERTIFIED, **about}, sort_keys=True).encode()
        headers = {"Content-Type": "application/json", "Expunge-Signature": signed(body, row.secret, int(time.time()))}
        async with (
            asyncio.timeout(LIMIT),
            httpx.AsyncClient(timeout=None, follow_redirects=False) as client,
            client.stream("POST", row.url, content=body, headers=headers) as answer,
        ):
            outcome = "delivered" if answer.is_success else f"failed: status {answer.status_code}"
    except UnusableURL as error:
        return f"failed: {error}"
    except TimeoutError:
        return outcome or f"failed: no answer within {LIMIT:g} seconds"
    except Exception as error:  # any error of the library, a proxy setting or the other side
        return outcome or f"failed: {type(error).__name__}"
    return outcome

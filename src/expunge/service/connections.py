"""Connections: how many there may be and how long each may take, before anybody knows who calls.

Uvicorn closes a connection that is idle between two calls, and with its slower parser bounds the size of a header. It has no
limit for the first byte, for a header or a body that arrives slowly, for an answer that is read slowly, or for one address; and
where there are too many connections it turns away everybody. Here an address that has too many loses its oldest idle one, and
nobody else is affected. With TLS, a connection counts before that begins (``handshakes``).
"""

import asyncio
import ipaddress
import resource
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
RESERVED = 256
"""Files that the process may need besides connections."""


@dataclass(frozen=True)
class Limits:
    """What connections may do; times in seconds.

    Args:
        header_bytes: size of a header, with the first line.
        header: time from the connection, or from the first byte of a further call, to the end of the header; and with TLS as
            much before it, for the handshake.
        stall: time without any byte of a body that has begun.
        body: time for a whole body.
        reading: time in which the caller must take some of an answer that waits.
        closing: time to take the rest of an answer when the connection is closed.
        per_address: connections of one address.
        total: connections of all.
    """

    header_bytes: int = 32 << 10
    header: float = 10.0
    stall: float = 10.0
    body: float = 60.0
    reading: float = 30.0
    closing: float = 5.0
    per_address: int = 512
    total: int = 4096


class Counted(Protocol):
    """What counts as a connection."""

    @property
    def is_idle(self) -> bool:
        """Whether nobody is waiting for an answer on it, so that it may go."""

    def abort(self) -> None:
        """Ends it at once."""


class Connections:
    """The connections of a server.

    Args:
        limits: what they may do. ``total`` is lower where the process may not open so many files.
        trusted: networks of proxies in front, from which everybody's connections come.
    """

    def __init__(self, limits: Limits | None = None, trusted: Sequence[Network] = ()) -> None:
        self.limits = limits or Limits()
        self.total = min(self.limits.total, max(RESERVED, _files(self.limits.total + RESERVED) - RESERVED))
        self.turned_away: Counter[str] = Counter()
        self._trusted = trusted
        self._open: dict[str, dict[Counted, None]] = {}  # by address, the oldest first

    def protocol(self, **about: Any) -> "Bounded":
        """Handles one more connection; for Uvicorn."""
        return Bounded(self, **about)

    def __len__(self) -> int:
        """Number of open connections."""
        return sum(map(len, self._open.values()))

    def add(self, new: Counted, address: str) -> bool:
        """Counts a connection, for which an idle one may have to go; returns whether it can be served."""
        name = self._name(address)
        mine = self._open.setdefault(name, {})
        if len(mine) >= self.limits.per_address and not self._is_trusted(address):
            is_room = self._make_room(mine)
        elif len(self) >= self.total:
            is_room = any(self._make_room(each) for each in sorted(self._open.values(), key=len, reverse=True))
        else:
            is_room = True
        if is_room:
            self._open.setdefault(name, mine)[new] = None
        elif not mine:
            self._open.pop(name, None)
        return is_room

    def drop(self, gone: Counted, address: str) -> None:
        """Counts a connection no more."""
        name = self._name(address)
        mine = self._open.get(name, {})
        mine.pop(gone, None)
        if not mine:
            self._open.pop(name, None)

    def _make_room(self, some: dict[Counted, None]) -> bool:
        oldest = next((each for each in some if each.is_idle), None)
        if oldest is None:
            return False
        some.pop(oldest)
        self.turned_away["made room"] += 1
        oldest.abort()
        return True

    def _name(self, address: str) -> str:
        """What counts as one address: with IPv6 a network of 64 bits, which one house has to itself."""
        found = _address(address)
        return str(ipaddress.ip_network((found, 64), strict=False)) if isinstance(found, ipaddress.IPv6Address) else address

    def _is_trusted(self, address: str) -> bool:
        found = _address(address)
        return found is not None and any(found in network for network in self._trusted if network.version == found.version)


class Bounded(HttpToolsProtocol):
    """A connection that does not take longer than it may.

    Args:
        connections: where it counts.
        agreed: called before it counts, once TLS is agreed on. Default: there is none.
        about: what Uvicorn gives it.
    """

    def __init__(self, connections: Connections, agreed: Callable[[], None] = lambda: None, **about: Any) -> None:
        super().__init__(**about)
        self._all, self._limits, self._agreed = connections, connections.limits, agreed
        self._deadline: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None
        self._header_bytes: int | None = 0  # ``None`` once the header is complete
        self._body_until: float | None = None  # ``None`` while no body is awaited
        self._is_header_too_long = False

    @property
    def is_idle(self) -> bool:
        """Whether no call is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def abort(self) -> None:
        """Ends it at once."""
        self.transport.abort()

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._agreed()
        if not self._all.add(self, self._address):
            self._turn_away(503, "too many connections")
            return
        self._allow(self._limits.header, "slow header")

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.drop(self, self._address)
        self._stop_waiting()
        if self._reading is not None:
            self._reading.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._header_bytes is not None:
            self._header_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._header_bytes is not None and self._header_bytes > self._limits.header_bytes:
            self._turn_away(431, "header too long")
        elif self._body_until is not None:
            self._await_body()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = self._header_bytes or 0
        self._allow(self._limits.header, "slow header")

    def on_headers_complete(self) -> None:
        held = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if held > self._limits.header_bytes:
            self._is_header_too_long = True
            raise ValueError("the header is too long")
        self._header_bytes, self._body_until = None, self.loop.time() + self._limits.body
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._header_bytes, self._body_until = 0, None
        self._stop_waiting()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if self._is_header_too_long:
            self._turn_away(431, "header too long")
        else:
            super().send_400_response(msg)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading = self.loop.call_later(self._limits.reading, self._give_up, "slow reader")

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self.loop.call_later(self._limits.closing, self.transport.abort)

    def _await_body(self) -> None:
        left = (self._body_until or 0.0) - self.loop.time()
        self._allow(min(self._limits.stall, max(0.0, left)), "slow body")

    def _allow(self, seconds: float, reason: str) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(seconds, self._too_slow, reason)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self, reason: str) -> None:
        if not self.is_idle and self._body_until is None:
            self._allow(self._limits.header, reason)  # of a further call, which waits for the present one
        elif self.flow.read_paused and self._body_until is not None and self._body_until > self.loop.time():
            self._await_body()  # it is the service that does not read
        elif self.is_idle and not self._header_bytes:
            self._all.turned_away[reason] += 1
            self.transport.abort()
        else:
            self._turn_away(408, reason)

    def _give_up(self, reason: str) -> None:
        self._all.turned_away[reason] += 1
        self.transport.abort()

    def _turn_away(self, status: int, reason: str) -> None:
        """Closes the connection; says why, unless an answer has begun."""
        self._all.turned_away[reason] += 1
        self._stop_waiting()
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            phrase = {408: "Request Timeout", 431: "Request Header Fields Too Large", 503: "Service Unavailable"}[status]
            again = "retry-after: 5\r\n" if status == 503 else ""
            head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n{again}"
            body = f"{reason}\n"
            self.transport.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode())
        self.transport.close()
        self.loop.call_later(self._limits.closing, self.transport.abort)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _files(wanted: int) -> int:
    """How many files this process may open; more of them, where the system allows that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted and (hard == resource.RLIM_INFINITY or soft < hard):
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft

"""Handshakes: a connection with TLS counts for its address, and has its time, from its first packet on.

Uvicorn would begin TLS by itself, and tell of a connection only once both sides have agreed on it: whoever connects and says
nothing would be counted nowhere, for a minute. So here it listens without TLS, and TLS begins on a connection that is counted.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Sequence
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from expunge.service.connections import Bounded, Connections


class Server(uvicorn.Server):
    """Uvicorn's server, whose connections are counted before TLS begins.

    Args:
        config: how it listens; ``connections`` bounds what it serves.
        connections: the connections of the server.
    """

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._all = connections
        self._context: ssl.SSLContext | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to listen."""
        config = self.config
        self._context, config.ssl = config.ssl, None
        config.http_protocol_class = self._protocol  # type: ignore[assignment]
        await super().startup(sockets)

    def _log_started_message(self, listeners: Sequence[socket.SocketType]) -> None:
        self.config.ssl = self._context  # it is what the message tells
        super()._log_started_message(listeners)

    def _protocol(self, **about: Any) -> asyncio.Protocol:
        if self._context is None:
            return self._all.protocol(**about)
        return Handshake(self._all, self._context, about)


class Handshake(asyncio.Protocol):
    """A connection on which TLS is being agreed; afterwards what ``Connections.protocol`` makes takes its place.

    Args:
        connections: where it counts.
        context: certificate and key.
        about: what Uvicorn gives the protocol that serves calls.
    """

    is_idle = True
    """It may go where its address has too many."""

    def __init__(self, connections: Connections, context: ssl.SSLContext, about: dict[str, Any]) -> None:
        self._all, self._context, self._about = connections, context, about
        self._state: ServerState = about["server_state"]
        self._address = ""
        self._agreeing: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as Uvicorn's protocols
        """Counts it, and begins TLS on its socket, from which nothing was read yet."""
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if isinstance(peer, tuple) else ""
        if not self._all.add(self, self._address):
            self._all.turned_away["too many connections"] += 1
        else:
            same = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
            self._agreeing = asyncio.get_running_loop().create_task(self._agree(same))
            self._state.connections.add(self)  # type: ignore[arg-type]  # so that it ends with the server
        transport.abort()

    def abort(self) -> None:
        """Ends it."""
        if self._agreeing is not None:
            self._agreeing.cancel()

    shutdown = abort

    async def _agree(self, same: socket.socket) -> None:
        loop, limits = asyncio.get_running_loop(), self._all.limits
        same.setblocking(False)
        deadline = loop.call_later(limits.header, self._give_up)
        try:
            await loop.connect_accepted_socket(self._served, same, ssl=self._context, ssl_shutdown_timeout=limits.closing)
        except OSError:
            pass  # it was closed, or speaks no TLS
        finally:
            deadline.cancel()
            self._end()

    def _served(self) -> Bounded:
        return self._all.protocol(**self._about, agreed=self._end)

    def _end(self) -> None:
        """Counts it no more."""
        self._all.drop(self, self._address)
        self._state.connections.discard(self)

    def _give_up(self) -> None:
        self._all.turned_away["slow handshake"] += 1
        self.abort()

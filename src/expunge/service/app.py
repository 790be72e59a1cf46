"""The application: API, page, worker, and what protects them."""

import logging
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.formparsers import MultiPartParser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from expunge.errors import ExpungeError, WorkspaceInvalid
from expunge.files import write_file
from expunge.ledger import jobs, sessions, tokens
from expunge.service import api, pages, problems, webhooks
from expunge.service.access import REQUESTS, AccessControl, Anybody, LoggedOut, Rate
from expunge.service.connections import Connections
from expunge.service.contract import describe, operation_id
from expunge.service.drafts import Drafts
from expunge.service.faults import described
from expunge.service.handouts import Handouts
from expunge.service.intake import Intake
from expunge.service.jobs import EVERY as EVERY_JOB
from expunge.service.jobs import Jobs
from expunge.service.middleware import Heads, Rooted
from expunge.service.pages.failures import failure_page
from expunge.service.pages.rendering import logged_out
from expunge.service.routing import BODY_BYTES, GuardedRoute
from expunge.service.views import expected
from expunge.service.worker import EVERY, Worker
from expunge.unlearning.release import VERSION
from expunge.workspace import Workspace
from expunge.workspace.asking import ForgetRequest
from expunge.workspace.status import status

log = logging.getLogger("expunge.service")

SESSION_BYTES = 32
ROOT = re.compile(r"(/[A-Za-z0-9._~-]+)+")
REMEDY = "delete it and start again, and a new one is made; everybody then has to log in again"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), camera=(), microphone=()",
}


def create_app(
    workspace: Workspace,
    *,
    is_secure: bool = False,
    every: float = EVERY,
    root: str = "",
    connections: Connections | None = None,
) -> FastAPI:
    """The application for ``workspace``.

    Args:
        is_secure: whether it is reached by HTTPS, so that the cookie can require it.
        every: seconds between two looks at the queue.
        root: the path under which it is reached, as ``/desk``; empty where that is ``/``.
        connections: those of the server that it runs in, to be counted in its metrics.

    Raises:
        ValueError: ``root`` is no such path.
    """
    if root and not ROOT.fullmatch(root):
        raise ValueError(f"the path under which the service is reached must be like /desk, got {root!r}")
    MultiPartParser.spool_max_size = BODY_BYTES + 1  # uploads stay in memory: a temporary file would not be encrypted

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.intake = Intake(workspace.storage)
        app.state.worker = Worker(workspace, every)
        app.state.jobs = Jobs(workspace, app.state.worker.faults, min(every, EVERY_JOB))
        _warm(app)
        app.state.worker.start()
        app.state.jobs.start()
        yield
        app.state.jobs.stop()
        app.state.worker.stop()
        app.state.intake.close()

    app = FastAPI(
        title="Expunge",
        version=VERSION,
        lifespan=lifespan,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=operation_id,
    )
    app.state.workspace = workspace
    _require_readable(workspace)
    secret = _session_secret(workspace.storage.keys / "session.key")
    app.state.access = AccessControl(workspace.storage, secret, is_secure=is_secure, root=root)
    app.state.connections = connections
    app.state.expected = {}
    app.state.drafts = Drafts()
    app.state.handouts = Handouts()
    app.router.route_class = GuardedRoute
    problems.install(app, failure_page)
    programs = (*api.routers, webhooks.router)
    for router in (*programs, *pages.routers, webhooks.page_router):
        app.include_router(router)
    app.add_exception_handler(LoggedOut, logged_out)
    describe(app, programs, root)
    app.add_middleware(Heads)
    app.add_middleware(problems.Caught)
    app.add_middleware(Rooted, root=root)
    _watch(app)  # outermost: every answer gets its headers, and is counted
    return app


def _require_readable(workspace: Workspace) -> None:
    """Raises ``LedgerCorrupt`` if what the start reads of the ledger is damaged, before anything is made."""
    status(workspace.storage)
    with workspace.storage.database.reading() as connection:
        jobs.waiting(connection)
        jobs.all_instances(connection)
        tokens.listed(connection)
        sessions.require_sealed(connection)


def _warm(app: FastAPI) -> None:
    """Loads what the first page and the first preview need, for which nobody is to wait: libraries that take a second."""
    try:
        app.state.jobs.forecasts.refresh()
        app.state.workspace.preview([ForgetRequest("", "nobody")])
        expected(app.state, 1)
    except (ExpungeError, OSError, ValueError) as error:  # whoever asks is told
        log.warning("the service is not warm: %s", described(error))


def _session_secret(path: Path) -> bytes:
    """The secret that signs cookies; made once, shared by all instances on one folder.

    Raises:
        WorkspaceInvalid: it is not such a secret; with an empty one, anybody could sign.
    """
    try:
        if not path.exists():
            write_file(path, secrets.token_hex(SESSION_BYTES).encode())
        secret = path.read_bytes()
    except OSError as error:
        raise WorkspaceInvalid(f"{path} cannot be used ({error.strerror}): {REMEDY}") from error
    if not re.fullmatch(rb"[0-9a-f]{%d}" % (2 * SESSION_BYTES), secret):
        raise WorkspaceInvalid(f"{path} is empty or damaged: {REMEDY}")
    return secret


def _watch(app: FastAPI) -> None:
    registry = CollectorRegistry()
    seconds = Histogram("expunge_http_seconds", "Time to answer", ["method", "route", "status"], registry=registry)
    closed = Counter("expunge_requests_closed", "Requests closed by this process", registry=registry)
    counted = Gauge("expunge_requests", "Requests by state", ["state"], registry=registry)
    spent = Gauge("expunge_epsilon_spent", "Cumulative epsilon since the last scheduled refit", ["model"], registry=registry)
    overdue = Gauge("expunge_requests_overdue", "Open requests past their deadline", registry=registry)
    round_at = Gauge("expunge_worker_last_round_timestamp_seconds", "Set time of the last round that ended", registry=registry)
    working = Gauge("expunge_worker_ok", "1 while the queue is being worked, 0 while it is not", registry=registry)
    failures = Counter("expunge_worker_failures", "Failures of rounds, models and webhooks", ["cause"], registry=registry)
    connected = Gauge("expunge_connections", "Open connections", registry=registry)
    turned_away = Counter("expunge_connections_turned_away", "Connections closed by the service", ["reason"], registry=registry)
    seen: dict[str, int] = {}

    def count(counter: Counter, name: str, total: int) -> None:
        counter.inc(total - seen.get(name, 0))
        seen[name] = total

    headers = dict(HEADERS)
    if app.state.access.is_secure:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    app.add_middleware(_Watched, seconds=seconds, headers=headers)

    @app.get("/healthz", include_in_schema=False)
    def healthz() -> PlainTextResponse:
        """Whether the ledger can be read and the queue is being worked; anybody may ask, so it says no more."""
        try:
            with app.state.workspace.storage.database.reading():
                problem = app.state.worker.health.late
        except ExpungeError:
            problem = "the ledger cannot be read"
        return PlainTextResponse(f"{problem or 'ok'}\n", 503 if problem else 200)

    @app.get("/metrics", include_in_schema=False)
    def metrics(_caller: Anybody) -> Response:
        """Prometheus metrics."""
        found = status(app.state.workspace.storage)
        worker: Worker = app.state.worker
        count(closed, "closed", worker.closed)
        for cause, total in worker.faults.totals.items():
            count(failures.labels(cause), cause, total)
        connections: Connections | None = app.state.connections
        if connections is not None:
            connected.set(len(connections))
            for reason, total in connections.turned_away.items():
                count(turned_away.labels(reason), f"connections: {reason}", total)
        health = worker.health
        round_at.set(health.last_round.timestamp())
        working.set(health.state == "ok")
        for state, number in found.requests.items():
            counted.labels(state).set(number)
        for model in found.models:
            spent.labels(model.name).set(model.epsilon_total)
        overdue.set(found.overdue)
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")


class _Watched:
    """Adds the security headers to every answer, and counts and times it."""

    def __init__(self, app: ASGIApp, seconds: Histogram, headers: dict[str, str]) -> None:
        self._app, self._seconds = app, seconds
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status_code = time.perf_counter(), 500

        async def dressed(message: Message) -> None:
            nonlocal status_code
            if message["type"] == "http.response.start":
                status_code = message["status"]
                message = {**message, "headers": [*message["headers"], *self._headers, *_rated(scope)]}
            await send(message)

        try:
            await self._app(scope, receive, dressed)
        except BaseException:
            status_code = 500  # the answer broke off
            raise
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            self._seconds.labels(scope["method"], route, status_code).observe(time.perf_counter() - started)


def _rated(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The headers that say how much of its limit a token has used (draft-ietf-httpapi-ratelimit-headers)."""
    rate: Rate | None = scope.get("state", {}).get("rate")
    if rate is None:
        return []
    used = f'"token";r={max(0, rate.left)};t={rate.seconds}'
    return [(b"ratelimit-policy", f'"token";q={REQUESTS};w=60'.encode()), (b"ratelimit", used.encode())]

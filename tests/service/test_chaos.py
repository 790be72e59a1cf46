"""Chaos: while receivers are dead, the disk is full, the ledger is locked or a file is missing, health is red; once that ends,
every request that was accepted is closed. In ``make soak`` with the real service's minutes, and again and again."""

import json
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

from expunge.files import PARTIAL
from expunge.ledger import hooks, jobs, requests, tokens
from tests.conftest import SOAK
from tests.service.test_api import wait_for
from tests.service.test_worker import Receiver
from tests.workspace.people import workspace
from tests.workspace.test_workspace import problems

PROXIES = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:1")
BAD = ("https://", "https://user@", "http://[::1", "http://127.0.0.1:1/nobody", "https://10.0.0.1/", f"https://{'a' * 300}/")
PATIENCE = 120.0
"""Seconds after which the test gives up; what is waited for takes a few."""


class Service:
    """A real process that serves ``found``, and may be stopped, killed and started again."""

    def __init__(self, found, folder):
        self.found, self.folder, self.process = found, folder, None
        with found.storage.database.writing() as connection:
            self.token = {role: tokens.issue(connection, role, role) for role in ("operator", "auditor", "engineer")}
        self.start()

    def start(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        path = str(self.found.storage.path)
        hasty = ["-m", "tests.service.hasty", path, str(port)]
        real = ["-m", "expunge", "serve", "--json-log", "--port", str(port), "-w", path]
        self.url, self.log = f"http://127.0.0.1:{port}", self.folder / f"{port}.log"
        with open(self.log, "w") as out:
            command = [sys.executable, *(real if SOAK > 1 else hasty)]
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **PROXIES})
        assert wait_for(lambda: self.health() == 200, PATIENCE), self.log.read_text()

    def health(self):
        try:
            return httpx.get(f"{self.url}/healthz", timeout=PATIENCE, trust_env=False).status_code
        except httpx.HTTPError:
            return None

    def ask(self, subject):
        """The id of a request, if it was accepted."""
        headers = {"Authorization": f"Bearer {self.token['operator']}"}
        answer = httpx.post(
            f"{self.url}/v1/requests", json={"subject": subject}, headers=headers, timeout=PATIENCE, trust_env=False
        )
        assert answer.status_code in (201, 409, 503), answer.text
        return answer.json().get("request")

    def is_closed(self, request):
        with self.found.storage.database.reading() as connection:
            return requests.by_id(connection, request).state == "closed"

    def stop(self, sign=signal.SIGTERM):
        self.process.send_signal(sign)
        self.process.wait(timeout=30.0)


@contextmanager
def missing_state(service):
    path = max(service.found.storage.state_path("churn", 1).parent.glob("*.safetensors"), key=lambda found: int(found.stem))
    kept = service.folder / "kept"
    path.rename(kept)
    yield
    kept.rename(path)


@contextmanager
def locked_database(service):
    lock = sqlite3.connect(service.found.storage.path / "ledger.sqlite", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    yield
    lock.execute("ROLLBACK")
    lock.close()


@contextmanager
def full_disk(service):
    limits = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (1, limits[1]))  # every write fails
    yield
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, limits)


@contextmanager
def missing_table(service):
    path, kept = service.found.storage.table.path / "_delta_log", service.folder / "log"
    path.rename(kept)
    yield
    kept.rename(path)


FAULTS = (missing_state, locked_database, full_disk, missing_table)


@pytest.fixture
def service(tmp_path):
    made = Service(workspace(tmp_path), tmp_path)
    yield made
    made.process.kill()
    made.process.wait()


@pytest.mark.soak  # it waits for two minutes, and longer where others use the machine
def test_every_accepted_request_is_closed_once_the_fault_ends_and_health_was_red_meanwhile(service):
    found, receiver = service.found, Receiver(failures=0)
    with found.storage.database.writing() as connection:
        for url in BAD:
            hooks.add(connection, url, "2026")
        hooks.add(connection, receiver.url, "2026")
    person, accepted = 0, []
    try:
        first = service.ask("person-0")  # dead receivers, bad URLs and proxies hold up nobody
        assert wait_for(lambda: service.is_closed(first), PATIENCE) and service.health() == 200
        for fault in FAULTS * (1 + SOAK // 10):
            with found.storage.exclusive():  # accepted, and not worked before the fault
                person += 1
                asked = service.ask(f"person-{person}")
                begun = fault(service)
                begun.__enter__()
            assert wait_for(lambda: service.health() == 503, PATIENCE), fault.__name__
            assert not service.is_closed(asked), fault.__name__
            accepted.append(asked)
            person += 1
            accepted.append(service.ask(f"person-{person}"))  # accepted or refused, but never lost
            begun.__exit__(None, None, None)
            assert wait_for(lambda: service.health() == 200, PATIENCE), fault.__name__
            open_now = [name for name in accepted if name]
            assert wait_for(lambda names=open_now: all(map(service.is_closed, names)), PATIENCE), fault.__name__
        assert wait_for(lambda: len(receiver.releases()) >= 3 * len(FAULTS), PATIENCE)
        with found.storage.exclusive():
            asked = service.ask("person-100")
            service.stop()
        assert service.process.returncode == -signal.SIGTERM
        service.start()
        assert wait_for(lambda: service.is_closed(asked), PATIENCE)
        service.stop(signal.SIGKILL)
    finally:
        receiver.close()
    said = "".join(path.read_text() for path in service.folder.glob("*.log"))
    assert "person-" not in said and "Traceback" not in said
    assert problems(found) == {}  # what the kill left in the middle of a write goes by itself
    found.process()
    assert not [*found.storage.path.rglob(f"{PARTIAL}*")] and problems(found) == {}
    with found.storage.database.reading() as connection:
        assert jobs.waiting(connection) == []
    events = [json.loads(line)["event"] for line in said.splitlines() if line.startswith("{") and '"event"' in line]
    assert events.count("request.closed") >= len([name for name in accepted if name])

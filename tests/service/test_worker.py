"""The worker: webhooks arrive signed, are tried again, and another process takes over when one is killed."""

import contextlib
import http.server
import json
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from expunge.client import Client
from expunge.ledger import hooks, requests, tokens
from expunge.ledger.tables import deliveries
from expunge.service import deliveries as module
from expunge.service import targets
from expunge.service.app import create_app
from expunge.service.deliveries import signed
from expunge.service.worker import Worker
from expunge.workspace import Workspace
from tests.service.test_api import wait_for
from tests.workspace.people import workspace
from tests.workspace.test_workspace import problems


class Receiver:
    """A web server that keeps what it gets, and fails the first ``failures`` times."""

    def __init__(self, failures: int) -> None:
        self.got: list[tuple[dict, bytes]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), body))
                self.send_response(500 if len(receiver.got) <= failures else 204)
                self.end_headers()

            def log_message(self, *_arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def told(self) -> list[dict]:
        """What it was told."""
        return [json.loads(body) for _headers, body in self.got]

    def releases(self) -> list[dict]:
        """The releases that it was told of."""
        return [content for content in self.told if content["event"] == "release.certified"]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Dripping:
    """A server that never ends: sends ``start``, and then a byte every tenth of a second."""

    def __init__(self, start: bytes) -> None:
        self.calls = 0
        self._start, self._socket = start, socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/drip"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self._socket.accept()
                self.calls += 1
                threading.Thread(target=self._drip, args=(connection,), daemon=True).start()

    def _drip(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.sendall(self._start)
            while True:
                connection.sendall(b"x")
                time.sleep(0.1)

    def close(self) -> None:
        self._socket.close()


def test_webhooks_are_signed_and_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FIRST_RETRY", 0.05)
    found, receiver = workspace(tmp_path), Receiver(failures=2)
    with found.storage.database.writing() as connection:
        _identity, secret = hooks.add(connection, receiver.url, "2026")
    worker = Worker(found, every=0.05)
    worker.start()
    try:
        found.forget(["person-1"])
        assert wait_for(lambda: len(receiver.got) >= 6)
        assert wait_for(lambda: not _due(found))
    finally:
        worker.stop()
        receiver.close()
    told = set()
    for headers, body in receiver.got:
        at = int(headers["Expunge-Signature"].split(",")[0].removeprefix("t="))
        assert headers["Expunge-Signature"] == signed(body, secret, at)
        assert "person" not in body.decode()
        told.add(body)
    assert {(content["model"], content["release"]) for content in receiver.releases()} == {
        *(("churn", 2), ("spend", 2), ("visits", 2))
    }
    assert len(told) == 4 and len(receiver.got) == 6  # one request, three releases; two failed, each was tried once more


def test_a_webhook_that_never_answers_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FIRST_RETRY", 0.0001)
    monkeypatch.setattr(module, "LONGEST_RETRY", 0.001)
    found = workspace(tmp_path)
    with found.storage.database.writing() as connection:
        hooks.add(connection, "http://127.0.0.1:1/nobody", "2026")
    found.forget(["person-1"])
    worker = Worker(found, every=0.01)
    worker.start()
    try:
        assert wait_for(lambda: worker.closed == 1 and not _due(found), 120)
    finally:
        worker.stop()
    with found.storage.database.reading() as connection:
        rows = connection.execute(sa.select(deliveries.c.attempts, deliveries.c.outcome)).all()
    assert {row.attempts for row in rows} == {module.ATTEMPTS}
    assert all(row.outcome.startswith("failed") for row in rows)


def test_no_webhook_waits_for_another_and_requests_wait_for_none(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LIMIT", 2.0)
    monkeypatch.setattr(module, "FIRST_RETRY", 3600.0)
    found, good = workspace(tmp_path, models=("churn",)), Receiver(failures=0)
    headers_drip = Dripping(b"HTTP/1.1 200 OK\r\nX-Long: ")
    body_drips = Dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    elsewhere = Dripping(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: " + good.url.encode() + b"\r\n\r\n")
    silent = socket.create_server(("127.0.0.1", 0))
    expected = {
        headers_drip.url: "failed: no answer within 2 seconds",
        f"http://127.0.0.1:{silent.getsockname()[1]}/": "failed: no answer within 2 seconds",
        body_drips.url: "delivered",  # the status came; nobody reads on
        elsewhere.url: "failed: status 307",
        "http://127.0.0.1:1/nobody": "failed: ConnectError",
        "https://": "failed: the URL names no valid host: write it as https://host/path",
        "https://user@": "failed: the URL contains a name or a password before the host: leave them out, deliveries are signed",
        "http://[::1": "failed: the URL cannot be read: write it as https://host/path",
        f"https://{'a' * 300}/": "failed: the URL names no valid host: write it as https://host/path",
        "https://a b\r\n/": "failed: the URL contains spaces or control characters: remove them",
        good.url: "delivered",
    }
    with found.storage.database.writing() as connection:  # by another way than the API, which refuses most of them
        of = {hooks.add(connection, url, "2026")[0]: url for url in expected}
    worker = Worker(found, every=0.05)
    worker.start()
    try:
        for person in range(1, 3):
            made = found.forget([f"person-{person}"])
            assert wait_for(lambda made=made: _state(found, made[0].request) == "closed")
        assert wait_for(lambda: len(good.got) == 4)  # of each person the request and the release
        assert wait_for(lambda: len(_outcomes(found)) == 4 * len(expected), 60)
        assert {(of[row.webhook], row.outcome) for row in _outcomes(found)} == set(expected.items())
        assert {row.attempts for row in _outcomes(found)} == {1}
        health = worker.health
        assert (health.state, health.deliveries, health.problem) == ("ok", "ok", None)
        told = {fault.part: (fault.cause, fault.message) for fault in health.faults}
        failing = {name: outcome for name, outcome in expected.items() if outcome != "delivered"}
        assert told == {f"webhook {name}": ("delivery", failing[url]) for name, url in of.items() if url in failing}
    finally:
        worker.stop()
        for server in (good, headers_drip, body_drips, elsewhere, silent):
            server.close()


def test_what_two_instances_have_to_tell_is_told_once(tmp_path):
    found, receiver = workspace(tmp_path), Receiver(failures=0)
    with found.storage.database.writing() as connection:
        hooks.add(connection, receiver.url, "2026")
    workers = [Worker(Workspace.open(found.storage.path), every=0.05) for _ in range(3)]
    for worker in workers:
        worker.start()
    try:
        found.forget(["person-1"])
        assert wait_for(lambda: len(_outcomes(found)) == 4)
        assert [row.attempts for row in _outcomes(found)] == [1] * 4 and len(receiver.got) == 4
    finally:
        for worker in workers:
            worker.stop()
        receiver.close()


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org",
        "https://example.org:8443/hook?a=b#c",
        "https://xn--bcher-kva.example/",
        "https://93.184.215.14/",
        "https://[2606:2800:21f:cb07::1]/",
        "http://localhost:9000/x",
        "http://127.0.0.1",
        "https://under_score.example.",
    ],
)
def test_where_webhooks_may_go(url):
    targets.require_callable(url)


MISTYPED = [
    *("", "https", "https:", "https://", "https:///x", "https:example.org", "https://user@", "https://user@example.org"),
    *("https://a:b@example.org", "http://localhost:80@example.org/", "http://[::1", "https://[::1", "https://exa mple.org"),
    *(
        "https://example.org/a b",
        "https://example.org\n",
        "https://example.org/\x00",
        "https://example.org/\t",
        "https://\u200b",
    ),
    *(f"https://{'a' * 300}", f"https://{'a' * 64}.org", f"https://{'a.' * 150}org", "https://a..b", "https://.", "https://-a"),
    *("https://bücher.example", "https://example.org/ü", "https://%31/", "https://a\\b", "https://*", "https://xn--zzzzzzz--/"),
    *("https://example.org:x", "https://example.org:99999", "https://example.org:0", "https://example.org:-1"),
    *("https://192.0.2.1/", "https://[2001:db8::1]/", "https://127.0.0.2/", "https://[::1]/", "https://[::ffff:10.0.0.1]/"),
    *("https://10.0.0.1", "https://169.254.169.254/", "https://[fe80::1]/", "https://[fd00::1]/", "https://[64:ff9b::a00:1]/"),
    *("https://0.0.0.0/", "https://100.64.0.1/", "https://224.0.0.1/", "https://[2002:a00:1::]/", "https://172.16.0.1/"),
    *("http://example.org", "http://10.0.0.1/", "http://localhost.example.org", "ftp://example.org", "file:///etc/passwd"),
]


@pytest.mark.parametrize("url", MISTYPED)
def test_where_webhooks_may_not_go(url):
    with pytest.raises(targets.UnusableURL, match="the URL") as refused:
        targets.require_callable(url)
    assert "user" not in str(refused.value)


def _state(found, request):
    with found.storage.database.reading() as connection:
        return requests.by_id(connection, request).state


def _outcomes(found):
    with found.storage.database.reading() as connection:
        return connection.execute(sa.select(deliveries).where(deliveries.c.outcome.is_not(None))).all()


def _due(found):
    with found.storage.database.reading() as connection:
        return connection.execute(sa.select(deliveries.c.id).where(deliveries.c.due.is_not(None))).all()


def serve(found, folder):
    """A real ``expunge serve`` on ``found``, and its URL; its log goes into ``folder``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "expunge", "serve", "--port", str(port), "-w", str(found.storage.path)]
    with open(folder / f"{port}.log", "w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    url = f"http://127.0.0.1:{port}"

    def is_up():
        try:
            return asking.get("/healthz").status_code == 200
        except httpx.HTTPError:
            return False

    with httpx.Client(base_url=url) as asking:
        assert wait_for(is_up, 60), (folder / f"{port}.log").read_text()
    return process, url


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_another_instance_takes_over_after_a_kill(database, tmp_path, request):
    url = None if database == "sqlite" else request.getfixturevalue("postgresql").new_database()
    found = workspace(tmp_path, database=url)
    with found.storage.database.writing() as connection:
        token = tokens.issue(connection, "Ann", "operator")
    first, second = serve(found, tmp_path), serve(found, tmp_path)
    try:
        with Client(first[1], token) as desk:
            made = [desk.calls.call("POST", "/v1/requests", body={"subject": f"person-{i}"}) for i in range(10)]
        assert {answer.status_code for answer in made} == {201}
        time.sleep(1.0)
        first[0].send_signal(signal.SIGKILL)
        first[0].wait()
        with Client(second[1], token) as desk:
            asked = {desk.ask("person-11")["request"], *(answer.json()["request"] for answer in made)}
            assert wait_for(lambda: asked <= {row["id"] for row in desk.requests(state="closed")}, 60)
        assert "person" not in "".join(path.read_text() for path in tmp_path.glob("*.log"))
    finally:
        for process, _url in (first, second):
            process.kill()
            process.wait()
    found.process()
    assert problems(found) == {}


def test_only_one_leads(postgresql, tmp_path):
    found = workspace(tmp_path, models=False, database=postgresql.new_database())
    with found.storage.database.leading() as first, found.storage.database.leading() as second:
        assert (first, second) == (True, False)
    with found.storage.database.leading() as again:
        assert again


def test_a_service_starts_and_shows_its_pages_although_a_state_is_missing(tmp_path, caplog):
    made = workspace(tmp_path)
    made.storage.state_path("churn", 1).unlink()
    with made.storage.database.writing() as connection:
        token = tokens.issue(connection, "Ann", "operator")
    with TestClient(create_app(made, every=3600.0)) as client:
        assert "the service is not warm" in caplog.text and "is missing" in caplog.text
        client.post("/login", data={"token": token}).raise_for_status()
        assert "churn" in client.get("/models").raise_for_status().text

"""The worker: webhooks arrive signed, are tried again, and another process takes over when one is killed."""

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

from expunge.ledger import tokens
from expunge.ledger.tables import deliveries
from expunge.service import deliveries as module
from expunge.service.deliveries import signed
from expunge.service.worker import Worker
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

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_webhooks_are_signed_and_tried_again(tmp_path, monkeypatch):
    from expunge.ledger import hooks

    monkeypatch.setattr(module, "FIRST_RETRY", 0.05)
    found, receiver = workspace(tmp_path), Receiver(failures=2)
    with found.place.database.writing() as connection:
        _identity, secret = hooks.add(connection, receiver.url, "2026")
    worker = Worker(found, every=0.05)
    worker.start()
    try:
        found.forget(["person-1"])
        assert wait_for(lambda: len(receiver.got) >= 5)
        assert wait_for(lambda: not _due(found))
    finally:
        worker.stop()
        receiver.close()
    told = set()
    for headers, body in receiver.got:
        at = int(headers["Expunge-Signature"].split(",")[0].removeprefix("t="))
        assert headers["Expunge-Signature"] == signed(body, secret, at)
        content = json.loads(body)
        assert content["event"] == "release.certified" and "person" not in body.decode()
        told.add((content["model"], content["number"]))
    assert told == {("churn", 2), ("spend", 2), ("visits", 2)}
    assert len(receiver.got) == 5  # two failed, each was tried once more


def test_a_webhook_that_never_answers_is_given_up(tmp_path, monkeypatch):
    from expunge.ledger import hooks

    monkeypatch.setattr(module, "FIRST_RETRY", 0.0001)
    found = workspace(tmp_path)
    with found.place.database.writing() as connection:
        hooks.add(connection, "http://127.0.0.1:1/nobody", "2026")
    found.forget(["person-1"])
    worker = Worker(found, every=0.01)
    worker.start()
    try:
        assert wait_for(lambda: worker.closed == 1 and not _due(found))
    finally:
        worker.stop()
    with found.place.database.reading() as connection:
        rows = connection.execute(sa.select(deliveries.c.attempts, deliveries.c.outcome)).all()
    assert {row.attempts for row in rows} == {module.ATTEMPTS}
    assert all(row.outcome.startswith("failed") for row in rows)


def _due(found):
    with found.place.database.reading() as connection:
        return connection.execute(sa.select(deliveries.c.id).where(deliveries.c.due.is_not(None))).all()


def _serve(found, folder):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "expunge.cli", "serve", "--port", str(port), "-w", str(found.place.path)]
    with open(folder / f"{port}.log", "w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    url = f"http://127.0.0.1:{port}"

    def is_up():
        try:
            return httpx.get(f"{url}/healthz").status_code == 200
        except httpx.HTTPError:
            return False

    assert wait_for(is_up, 60), (folder / f"{port}.log").read_text()
    return process, url


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_another_instance_takes_over_after_a_kill(database, tmp_path, request):
    url = None if database == "sqlite" else request.getfixturevalue("postgresql").new_database()
    found = workspace(tmp_path, database=url)
    with found.place.database.writing() as connection:
        token = tokens.issue(connection, "Ann", "operator")
    headers = {"Authorization": f"Bearer {token}"}
    first, second = _serve(found, tmp_path), _serve(found, tmp_path)
    try:
        made = [httpx.post(f"{first[1]}/v1/requests", json={"subject": f"person-{i}"}, headers=headers) for i in range(10)]
        assert {answer.status_code for answer in made} == {201}
        time.sleep(1.0)
        first[0].send_signal(signal.SIGKILL)
        first[0].wait()
        later = httpx.post(f"{second[1]}/v1/requests", json={"subject": "person-11"}, headers=headers)
        asked = [answer.json()["request"] for answer in [*made, later]]

        def is_done():
            states = [httpx.get(f"{second[1]}/v1/requests/{name}", headers=headers).json()["state"] for name in asked]
            return set(states) == {"closed"}

        assert wait_for(is_done, 60)
        assert "person" not in "".join(path.read_text() for path in tmp_path.glob("*.log"))
    finally:
        for process, _url in (first, second):
            process.kill()
            process.wait()
    found.process()
    assert problems(found) == {}


def test_only_one_leads(postgresql, tmp_path):
    found = workspace(tmp_path, models=False, database=postgresql.new_database())
    with found.place.database.leading() as first, found.place.database.leading() as second:
        assert (first, second) == (True, False)
    with found.place.database.leading() as again:
        assert again

"""First aid for the service: whatever a file, a database, a caller or a signal does, requests are worked or health is red."""

import logging
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from typing import Any

import httpx
import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from expunge.client import Client
from expunge.errors import WorkspaceInvalid
from expunge.evidence.events import EventKind
from expunge.ledger import hooks, log, requests, sealing, tokens
from expunge.ledger.tables import requests as table
from expunge.service import deliveries
from expunge.service import worker as module
from expunge.service.app import create_app
from expunge.unlearning.unlearner import Unlearner
from expunge.workspace import Workspace, queue
from tests.service.test_api import wait_for
from tests.service.test_worker import MISTYPED, Dripping, Receiver, serve
from tests.workspace.people import CLASSES, SCHEMA, people, workspace
from tests.workspace.test_workspace import problems


class Desk:
    """A service in this process on ``found``, and callers of it."""

    def __init__(self, client, found):
        self.client, self.found = client, found
        with found.storage.database.writing() as connection:
            self.tokens = {role: tokens.issue(connection, role, role) for role in tokens.Role}

    def call(self, role, method, path, **kwargs):
        headers = {"Authorization": f"Bearer {self.tokens[role]}", **kwargs.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **kwargs)

    def ask(self, subject):
        return self.call("operator", "POST", "/v1/requests", json={"subject": subject}).json()["request"]

    def is_closed(self, request):
        return self.call("auditor", "GET", f"/v1/requests/{request}").json()["state"] == "closed"

    def health(self):
        return self.call("auditor", "GET", "/v1/health").json()

    def page(self, path="/"):
        client = TestClient(self.client.app, raise_server_exceptions=False)
        client.post("/login", data={"token": self.tokens[tokens.Role.AUDITOR]})
        return client.get(path)


@pytest.fixture
def desk(request, tmp_path, monkeypatch):
    """A service whose minute is a second, on a table and with models that a test may choose."""
    monkeypatch.setattr(module, "LATE", 1.0)
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.5)
    monkeypatch.setattr(module, "FIRST_WAIT_OF_A_BUG", 0.1)
    monkeypatch.setattr(module, "LONGEST_WAIT_OF_A_BUG", 0.5)
    found = workspace(tmp_path, **getattr(request, "param", {}))
    with TestClient(create_app(found, every=0.1), follow_redirects=False, raise_server_exceptions=False) as client:
        yield Desk(client, found)


def test_a_table_that_cannot_be_read_turns_health_red_and_the_queue_moves_when_it_is_back(desk, caplog):
    caplog.set_level(logging.INFO, "expunge.service")
    assert desk.client.get("/healthz").text == "ok\n"
    path, kept = desk.found.storage.table.path / "_delta_log", desk.found.storage.path / "kept"
    with desk.found.storage.exclusive():
        path.rename(kept)
        asked = desk.ask("person-1")
    assert wait_for(lambda: desk.client.get("/healthz").status_code == 503)
    said = desk.client.get("/healthz").text
    assert re.fullmatch(r"no request has been worked since \d\d:\d\d UTC\n", said)  # to everybody, and no more
    assert wait_for(lambda: any(fault["count"] >= 3 for fault in desk.health()["faults"]))
    health = desk.health()
    (fault,) = health["faults"]
    assert (health["worker"], fault["part"], fault["cause"]) == ("late", "the queue", "environment")
    assert "cannot be opened" in fault["message"] and fault["message"] in health["problem"]
    assert fault["message"] in desk.page().text.replace("&#39;", "'") and "Requests are not being worked" in desk.page().text
    assert desk.call("auditor", "GET", "/v1/health").status_code == 503
    metrics = desk.call("auditor", "GET", "/metrics").text
    assert "\nexpunge_worker_ok 0.0\n" in metrics
    assert float(re.search(r'expunge_worker_failures_total{cause="environment"} (\S+)', metrics)[1]) >= 3
    assert float(re.search(r"(?m)^expunge_worker_last_round_timestamp_seconds (\S+)", metrics)[1]) > 1.7e9
    assert sum("cannot be opened" in record.getMessage() for record in caplog.records) == 1  # counted after that
    with desk.found.storage.exclusive():
        kept.rename(path)
    assert wait_for(lambda: desk.is_closed(asked))
    assert wait_for(lambda: desk.client.get("/healthz").text == "ok\n")
    assert (desk.health()["worker"], desk.health()["problem"], desk.health()["faults"]) == ("ok", None, [])
    assert desk.call("auditor", "GET", "/v1/health").status_code == 200
    assert "\nexpunge_worker_ok 1.0\n" in desk.call("auditor", "GET", "/metrics").text
    assert any("over after" in record.getMessage() for record in caplog.records)


def test_a_bug_is_tried_again_after_minutes_then_hours_and_a_fault_of_the_environment_within_a_minute(tmp_path, monkeypatch):
    """By a clock of the test's own."""
    found, now, waits = workspace(tmp_path, models=False), [0.0], dict[str, list[float]]()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for error in (RuntimeError(), OSError(28, "No space left on device")):
        worker = module.Worker(found, every=3.0)
        last, waited = now[0], waits.setdefault(type(error).__name__, [])
        for _ in range(10):
            worker._fail(error)
            while not worker._queue.is_over:
                now[0] += 0.5
            waited.append(now[0] - last)
            last = now[0]
    assert waits["RuntimeError"] == [60, 120, 240, 480, 960, 1920, *[3600] * 4]
    assert waits["OSError"] == [3, 6, 12, 24, *[45] * 6]


def test_what_the_service_loads_before_it_works_makes_no_round_late(tmp_path, monkeypatch):
    """By a clock of the test's own."""
    found, now = workspace(tmp_path, models=False), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    worker = module.Worker(found, every=20.0)
    now[0] = 2.0 * module.LATE
    worker.start()
    try:
        assert worker.health.state == "ok"
    finally:
        worker.stop()


def test_somebody_who_works_by_hand_is_waited_for(desk, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    with desk.found.storage.exclusive():
        asked = desk.ask("person-1")
        assert wait_for(lambda: {fault["cause"] for fault in desk.health()["faults"]} == {"busy"})
        began = desk.health()["working_since"]
        assert began is not None and desk.health()["problem"] is None
        assert wait_for(lambda: desk.health()["faults"][0]["count"] >= 12)  # for longer than a round may fail to end
        assert desk.client.get("/healthz").text == "ok\n" and desk.health()["working_since"] == began
        monkeypatch.setattr(module, "LONG", 0.5)
        assert wait_for(lambda: desk.client.get("/healthz").status_code == 503)
        assert "another process is working" in desk.health()["problem"]
    assert wait_for(lambda: desk.is_closed(asked) and desk.client.get("/healthz").text == "ok\n")


def test_a_worker_that_has_ended_is_dead(desk):
    desk.client.app.state.worker.stop()
    answer = desk.client.get("/healthz")
    assert answer.status_code == 503 and answer.text.startswith("the worker has ended; no request has been worked since")
    assert (desk.health()["worker"], desk.health()["deliveries"]) == ("dead", "dead")
    assert "webhooks are not being told" in desk.health()["problem"] and "the worker has ended" in desk.page().text


def test_instances_take_turns(postgresql, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LATE", 0.5)
    found = workspace(tmp_path, models=False, database=postgresql.new_database())
    workers = [module.Worker(Workspace.open(found.storage.path), every=0.1) for _ in range(2)]
    with found.storage.database.leading() as is_leading:  # as somebody on another machine does
        assert is_leading
        for worker in workers:
            worker.start()
        try:
            assert wait_for(lambda: all(worker.health.working_since is not None for worker in workers))
            assert [worker.health.state for worker in workers] == ["ok", "ok"]
        except BaseException:
            for worker in workers:
                worker.stop()
            raise
    try:
        first = [worker.health.last_round for worker in workers]
        found.forget(["person-1"])
        assert wait_for(lambda: all(worker.health.last_round > then for worker, then in zip(workers, first, strict=True)))
        assert wait_for(lambda: sum(worker.closed for worker in workers) == 1)
        assert [worker.health.state for worker in workers] == ["ok", "ok"]
    finally:
        for worker in workers:
            worker.stop()
    assert problems(found) == {}


def only_one_of_a_class():
    """The people of all tests; ``person-1`` alone has churned."""
    rows = people()
    churn = np.where(np.array(rows["who"].to_pylist()) == "person-1", "yes", "no")
    return rows.set_column(rows.schema.get_field_index("churn"), "churn", [churn.tolist()])


@pytest.mark.parametrize("desk", [{"table": only_one_of_a_class(), "schema": SCHEMA + CLASSES}], indirect=True)
@pytest.mark.filterwarnings("ignore::expunge.errors.NoiseDrownsModel")
def test_a_request_that_cannot_be_worked_holds_up_nobody_and_is_tried_less_and_less(desk):
    stuck = desk.ask("person-1")
    assert wait_for(lambda: any(fault["part"] == "stuck requests" for fault in desk.health()["faults"]))
    for person in range(2, 8):
        asked = desk.ask(f"person-{person}")
        assert wait_for(lambda asked=asked: desk.is_closed(asked))
    health = desk.health()
    (fault,) = health["faults"]
    assert (fault["cause"], health["worker"]) == ("row", "ok") and "a request cannot be worked" in health["problem"]
    assert desk.client.get("/healthz").text == "ok\n"
    assert desk.call("auditor", "GET", f"/v1/requests/{stuck}").json()["problem"] in fault["message"]
    with desk.found.storage.database.reading() as connection:
        assert len(log.of_kind(connection, EventKind.REQUEST_STUCK)) == 1
        row = requests.by_id(connection, stuck)
    assert row.attempts == 1 and row.again > row.received  # in an hour, whatever else is worked meanwhile


def test_an_error_that_nobody_foresaw_shows_nothing(desk, caplog):
    asked = desk.ask("person-1")
    assert wait_for(lambda: desk.is_closed(asked))
    with desk.found.storage.database.writing() as connection:
        sealing.update(connection, table, table.c.id == asked, deadline="of person-77", received_on="of person-77")
    answer = desk.call("auditor", "GET", f"/v1/requests/{asked}")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    number = answer.json()["error"]
    (logged,) = [record.getMessage() for record in caplog.records if number in record.getMessage()]
    assert "ValueError" in logged and "request_view" in logged and "/v1/requests/{request_id}" in logged
    page = desk.page(f"/requests/{asked}")
    assert page.status_code == 500 and page.headers["content-type"].startswith("text/html")
    assert re.search(r"number <strong>([0-9a-f]{8})</strong>", page.text)[1] in caplog.text
    for text in (answer.text, page.text, caplog.text):
        assert "person" not in text.replace("personal", "") and "Traceback" not in text
    metrics = desk.call("auditor", "GET", "/metrics").text
    assert re.search(r'expunge_http_seconds_count{method="GET",route="/v1/requests/{request_id}",status="500"} 1.0', metrics)


class Panic(BaseException):
    """As a Rust library raises it: no ``Exception``."""


@pytest.mark.parametrize("where", ["the queue", "a model", "deliveries"])
def test_no_exception_ends_the_worker(where, desk, monkeypatch, caplog):
    owner, name = {
        "the queue": (queue, "_look"),
        "a model": (Unlearner, "forget"),
        "deliveries": (deliveries.Deliveries, "_taken"),
    }[where]
    monkeypatch.setattr(deliveries, "PAUSE", 0.1)
    receiver = Receiver(failures=0)
    with desk.found.storage.database.writing() as connection:
        hooks.add(connection, receiver.url, "2026")
    errors = (KeyError("person-77"), RuntimeError("person-77"), MemoryError(), SystemExit(3), Panic("person-77"))
    for number, error in enumerate(errors, 1):

        def failing(*_arguments, error=error, **_more):
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(owner, name, failing)
            asked = desk.ask(f"person-{number}")
            assert wait_for(lambda: any(fault["count"] >= 2 for fault in desk.health()["faults"]))
            if where == "deliveries":  # which hold nobody up
                assert wait_for(lambda asked=asked: desk.is_closed(asked)) and len(receiver.releases()) == 3 * (number - 1)
            else:
                assert wait_for(lambda: desk.client.get("/healthz").status_code == 503) and not desk.is_closed(asked)
        assert wait_for(lambda asked=asked: desk.is_closed(asked))
        assert wait_for(lambda number=number: len(receiver.releases()) == 3 * number)
        assert wait_for(lambda: desk.client.get("/healthz").text == "ok\n" and not desk.health()["faults"])
    receiver.close()
    assert "person-77" not in caplog.text and "Traceback" not in caplog.text
    assert problems(desk.found) == {}


HOSTILE = [
    *(b"[" * 100_000, b'{"subject":' * 50_000, b'{"subjects":' + b"[" * 900 + b"]" * 900 + b"}"),
    *(b'{"subject":NaN}', b'{"draws":NaN}', b'{"draws":Infinity}', b'{"draws":1e999}', b'{"draws":' + b"9" * 5000 + b"}"),
    *(b'{"subject":' + b"9" * 5000 + b"}", b'{"draws":' + b"9" * 400 + b"}", b'{"subject":"\\ud800"}', b'{"\\ud800":1}'),
    *(
        b'{"subject":"\\u0000"}',
        b'{"subjects":["a\\u0000b","\\udfff"]}',
        b'{"url":"https://\\u0000"}',
        b'{"url":"https://\\ud800"}',
    ),
    *(b"", b"null", b'"\\ud800"', b"\xff\xfe", b"\xef\xbb\xbf{}", b'{"subject":"x","subject":"y"}', b'{"subject":{"a":[]}}'),
]
HOSTILE_PATHS = [
    *(
        "/v1/requests/%00",
        "/v1/requests/a%00b",
        "/v1/requests/%ED%A0%80",
        "/v1/requests?cursor=%00",
        "/v1/requests?cursor=AAAA",
    ),
    *(
        "/v1/requests?state=%00",
        f"/v1/requests?limit={'9' * 5000}",
        f"/v1/certificates/{'9' * 5000}",
        "/v1/models/%00/releases",
    ),
    *(
        "/v1/models/x%00/capacity",
        "/v1/log/events?after=%00",
        "/requests/%00",
        "/static/%00",
        "/certificates/9223372036854775808",
    ),
    *(f"/certificates/{'9' * 5000}", "/certificates/%00"),
]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_no_character_ends_in_a_500(database, request, tmp_path):
    url = None if database == "sqlite" else request.getfixturevalue("postgresql").new_database()
    found = workspace(tmp_path, models=False, database=url)
    with TestClient(create_app(found, every=0.5), follow_redirects=False, raise_server_exceptions=False) as client:
        desk, answers = Desk(client, found), list[tuple[str, Any, Any]]()
        for path in ("/v1/requests", "/v1/requests/bulk", "/v1/requests/preview", "/v1/models/none/audit", "/v1/webhooks"):
            role = "operator" if "requests" in path else "engineer"
            answers += [(path, body[:30], desk.call(role, "POST", path, content=body)) for body in HOSTILE]
        for url in MISTYPED:
            answers.append(("/v1/webhooks", url, desk.call("engineer", "POST", "/v1/webhooks", json={"url": url})))
            assert "user@" not in answers[-1][2].text
        for header in (b"a\0b", b"\x01", b"\xe9", b"x" * 300):
            named = {"Idempotency-Key": header.decode("latin-1").encode("latin-1")}
            answers.append(("key", header, desk.call("operator", "POST", "/v1/requests", json={"subject": "x"}, headers=named)))
            bearer = {b"Authorization": b"Bearer exp_" + header + b"_x"}
            answers.append(("bearer", header, client.get("/v1/models", headers=bearer)))
        answers += [(path[:40], b"", desk.call("auditor", "GET", path)) for path in HOSTILE_PATHS]
        answers.append(("webhook", b"", desk.call("engineer", "DELETE", "/v1/webhooks/%00")))
        answers.append(("login", b"", client.post("/login", content=b"token=exp_%00_x", headers={"Content-Type": FORM})))
        client.post("/login", data={"token": desk.tokens[tokens.Role.ENGINEER]})
        csrf = re.search(r'name="csrf" value="([^"]+)"', client.get("/").text)[1]
        for charset in ("utf-8", "undefined", "unicode_escape"):
            part = f'--B\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n{csrf}\r\n'
            body = (part + part.replace(csrf, "a\0b").replace("csrf", "model") + "--B--\r\n").encode()
            headers = {"Content-Type": f"multipart/form-data; boundary=B; charset={charset}"}
            answers.append(("/audits", charset, client.post("/audits", content=body, headers=headers)))
        assert [(where, what, answer.text) for where, what, answer in answers if not 400 <= answer.status_code < 500] == []


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("content", [b"", b"\n", b"0" * 63, b"g" * 64, b"0" * 65, b"0" * 64 + b"\n", bytes(64)])
def test_a_session_key_that_is_none_is_refused(content, tmp_path):
    found = workspace(tmp_path, models=False)
    path = found.storage.keys / "session.key"
    path.write_bytes(content)
    with pytest.raises(WorkspaceInvalid, match="delete it and start again"):
        create_app(found)
    path.unlink()
    path.mkdir()
    with pytest.raises(WorkspaceInvalid, match=r"Is a directory.*delete it and start again"):
        create_app(found)
    path.rmdir()
    create_app(found)
    assert re.fullmatch(b"[0-9a-f]{64}", path.read_bytes()) and stat.S_IMODE(path.stat().st_mode) == 0o600


def test_serve_says_that_the_session_key_is_empty(tmp_path):
    found = workspace(tmp_path, models=False)
    (found.storage.keys / "session.key").touch()
    command = [sys.executable, "-m", "expunge", "serve", "--port", "0", "-w", str(found.storage.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = " ".join(done.stderr.split())
    assert done.returncode == 1 and "session.key is empty or damaged: delete it and start again" in said
    assert "Traceback" not in said


UPLOAD = b"POST /v1/requests HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"


def test_sigterm_ends_a_round_a_stalled_upload_and_a_dripping_webhook(tmp_path):
    """The ledger is locked for longer than the service waits for anything; what was begun is taken back by the next start."""
    assert 3.0 + module.STOPPING + deliveries.STOPPING < 10.0
    found, drip = workspace(tmp_path), Dripping(b"HTTP/1.1 200 OK\r\nX-Long: ")
    found.forget(["person-1"])
    with found.storage.database.writing() as connection:
        token = tokens.issue(connection, "Ann", "operator")
        hooks.add(connection, drip.url, "2026")
    process, url = serve(found, tmp_path)
    stalled: socket.socket | None = None
    locked: sqlite3.Connection | None = None
    try:
        assert wait_for(lambda: drip.calls > 0)
        stalled = socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])))
        stalled.sendall(UPLOAD)
        with found.storage.exclusive():
            with Client(url, token) as officer:
                asked = officer.ask("person-2")["request"]
            locked = sqlite3.connect(found.storage.path / "ledger.sqlite", isolation_level=None)
            locked.execute("BEGIN IMMEDIATE")
        assert wait_for(lambda: _is_worked(found))
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20.0)  # the lock is held, and a writer would wait for it for 30 seconds
        assert process.returncode == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()
        drip.close()
        if stalled:
            stalled.close()
        if locked:
            locked.close()
    assert "Traceback" not in (tmp_path / f"{url.rsplit(':', 1)[1]}.log").read_text()
    found.process()
    with found.storage.database.reading() as connection:
        assert requests.by_id(connection, asked).state == "closed"
    assert problems(found) == {}


def _is_worked(found):
    """Whether another process works in the workspace, by the lock that it holds."""
    inode = os.stat(found.storage.path / "lock").st_ino
    with open("/proc/locks") as locks:
        return any(line.split()[5].endswith(f":{inode}") for line in locks)


def test_a_database_that_is_away_turns_health_red_until_it_is_back(postgresql, tmp_path):
    url = postgresql.new_database()
    found = workspace(tmp_path, models=False, database=url)
    with found.storage.database.writing() as connection:
        token = tokens.issue(connection, "Ann", "operator")
    process, service = serve(found, tmp_path)
    server = sa.create_engine(sa.make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    name = sa.make_url(url).database
    asking = httpx.Client(base_url=service)
    officer = Client("", token, http=asking)
    try:
        with server.connect() as connection:
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        assert wait_for(lambda: asking.get("/healthz").status_code == 503)
        assert asking.get("/healthz").text == "the ledger cannot be read\n"  # to anybody: no URL, no cause
        refused = officer.calls.call("POST", "/v1/requests", body={"subject": "person-1"}, expected=(503,))
        assert refused.status_code == 503
        with server.connect() as connection:
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        assert wait_for(lambda: asking.get("/healthz").text == "ok\n")
        assert officer.wait_closed(officer.ask("person-1")["request"], every=0.05, seconds=60.0)["state"] == "closed"
    finally:
        asking.close()
        process.kill()
        process.wait()
        server.dispose()

"""Connections that nobody knows: idle, slow and many ones hold up nobody, over real sockets."""

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import uvicorn

from expunge.client import Client, Refused
from expunge.service import routing
from expunge.service.app import create_app
from expunge.service.connections import Connections, Limits, _files
from expunge.service.handshakes import Server
from expunge.workspace.register import about
from tests.service.test_mail import certificate

LIMITS = Limits(header_bytes=4096, header=0.4, stall=0.4, body=1.2, reading=0.4, closing=0.2, per_address=20)

PROXY = "127.0.0.5"
SERVE = [sys.executable, "-m", "expunge", "serve", "--port", "0"]
POST = b"POST /v1/requests HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def connections():
    return Connections(LIMITS)


def serving(found, connections, **how):
    app = create_app(found, every=60, connections=connections)
    how |= {"port": 0, "log_level": "critical", "ws": "none", "timeout_keep_alive": 1, "timeout_graceful_shutdown": 3}
    server = Server(uvicorn.Config(app, **how), connections)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def port(found, connections):
    yield from serving(found, connections)


@pytest.fixture(scope="module")
def secure(found, tmp_path_factory):
    """A service with TLS: its port, what a client trusts, and its connections."""
    pem, secret = certificate(tmp_path_factory.mktemp("tls"), "localhost")
    connections = Connections(LIMITS)
    for number in serving(found, connections, ssl_certfile=pem, ssl_keyfile=secret):
        yield number, ssl.create_default_context(cafile=str(pem)), connections


@contextmanager
def opened(port, sent=b"", source="127.0.0.1"):
    with socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0)) as made:
        made.sendall(sent)
        yield made


def received(made):
    """All that comes until the other side closes."""
    parts = []
    try:
        while part := made.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts).decode()


def drip(made, step, pause):
    """Sends for as long as the other side takes it."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        made.sendall(step)
        time.sleep(pause)


def bearer(token, role="operator"):
    return f"Authorization: Bearer {token[role]}\r\n".encode()


class TestALimit:
    def test_to_the_first_byte(self, port, connections):
        before = connections.turned_away["slow header"]
        with opened(port) as made:
            assert received(made) == ""
        assert connections.turned_away["slow header"] > before

    @pytest.mark.parametrize("step", [b"G", b"a"])
    def test_to_the_header_however_it_drips(self, port, step):
        with opened(port, b"GET / HTTP/1.1\r\nX: ") as made, pytest.raises(OSError):
            drip(made, step, 0.02)

    def test_to_its_size(self, port):
        for header in (b"X: " + b"a" * 5000, b"X: " + b"a" * 5000 + b"\r\nHost: h\r\n\r\n", b"X: y\r\n" * 900 + b"\r\n"):
            with opened(port, b"GET /healthz HTTP/1.1\r\n" + header) as made:
                assert received(made).startswith("HTTP/1.1 431"), header[:20]

    def test_to_a_body_that_stalls_or_drips(self, port, token):
        head = b"POST /v1/requests HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 500\r\n" + bearer(
            token
        )
        with opened(port, head + b'\r\n{"subject": "') as made:
            assert received(made).startswith("HTTP/1.1 408")
        with opened(port, head + b"\r\n") as made, pytest.raises(OSError):
            drip(made, b" ", 0.05)

    def test_to_the_reading_of_an_answer(self, port, connections, token):
        before = connections.turned_away["slow reader"]
        with opened(port) as made:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            call = b"GET /v1/openapi.json HTTP/1.1\r\nHost: h\r\n\r\n"
            with pytest.raises(OSError):
                drip(made, call, 0.005)
        assert connections.turned_away["slow reader"] > before


def test_an_address_with_too_many_loses_its_oldest_idle_ones(port, connections):
    with ExitStack() as stack:
        many = [stack.enter_context(opened(port, source="127.0.0.2")) for _ in range(40)]
        assert len(connections) <= LIMITS.per_address + 5
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200  # another address
        assert received(many[0]) == ""
        with opened(port, b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", source="127.0.0.2") as made:
            assert received(made).startswith("HTTP/1.1 200")  # the same address


class TestWithTLS:
    def test_a_handshake_has_its_time_however_it_drips(self, secure):
        port, _trusted, connections = secure
        before = connections.turned_away["slow handshake"]
        with opened(port) as silent:
            assert received(silent) == ""
        with opened(port, bytes.fromhex("1603010200")) as made, pytest.raises(OSError):  # the head of a first message
            drip(made, b"\0", 0.02)
        assert connections.turned_away["slow handshake"] == before + 2 and len(connections) == 0

    def test_who_speaks_no_tls_is_turned_away_at_once(self, secure):
        port, _trusted, connections = secure
        with opened(port, b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n") as made:
            assert "HTTP/1.1 2" not in received(made)
        assert len(connections) == 0

    def test_silent_ones_of_an_address_make_room_for_its_next(self, secure):
        port, trusted, connections = secure
        with ExitStack() as stack:
            many = [stack.enter_context(opened(port, source="127.0.0.2")) for _ in range(40)]
            for source in ("127.0.0.1", "127.0.0.2"):
                with opened(port, source=source) as made, trusted.wrap_socket(made, server_hostname="localhost") as spoken:
                    spoken.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                    assert received(spoken).startswith("HTTP/1.1 200")
                    assert len(connections) <= LIMITS.per_address + 1
            assert received(many[0]) == ""
        assert connections.turned_away["made room"] >= 40 - LIMITS.per_address

    def test_calls_are_served_and_bounded_as_without(self, secure):
        port, trusted, connections = secure
        with httpx.Client(verify=trusted, base_url=f"https://localhost:{port}") as client:
            assert client.get("/healthz").text == "ok\n" and client.get("/v1/openapi.json").json()["openapi"]
        before = connections.turned_away["slow header"]
        with opened(port) as made, trusted.wrap_socket(made, server_hostname="localhost") as spoken:
            assert received(spoken) == ""
        assert connections.turned_away["slow header"] == before + 1


def test_those_of_one_house_count_as_one_address():
    limited = Connections(LIMITS)
    assert limited._name("2001:db8::1") == limited._name("2001:db8::2") != limited._name("2001:db8:0:1::1")
    assert limited._name("192.0.2.1") != limited._name("192.0.2.2")


@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
def test_no_body_is_read_of_somebody_who_is_not_let_in(port, token, expect):
    head = POST + b"Content-Length: 100000\r\n" + expect
    for who, status in ((b"", "401"), (b"Authorization: Bearer wrong\r\n", "401"), (bearer(token, "auditor"), "403")):
        with opened(port, head + who + b"Connection: close\r\n\r\n") as made:
            answer = received(made)  # though none of the body was sent
        assert answer.startswith(f"HTTP/1.1 {status}") and "100 Continue" not in answer
    page = b"POST /requests/preview HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    with opened(port, page + b"Content-Length: 99999\r\n" + expect + b"Connection: close\r\n\r\n") as made:
        assert received(made).startswith("HTTP/1.1 401")


def test_strangers_cannot_fill_the_memory(port, monkeypatch):
    monkeypatch.setattr(routing, "OPEN_UPLOADS", 3)
    head = b"POST /v1/verify HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 3000000\r\n\r\n{"
    with ExitStack() as stack, httpx.Client(base_url=f"http://127.0.0.1:{port}") as asking:
        for _ in range(3):
            stack.enter_context(opened(port, head))
        until, status = time.monotonic() + 20, 0
        while status != 503 and time.monotonic() < until:
            status = asking.post("/v1/verify", json={}).status_code
        assert status == 503


@pytest.fixture(scope="module")
def command(found):
    """The service as its users start it."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "expunge",
            "serve",
            "--port",
            "0",
            "--root-path",
            "/desk",
            "--trusted-proxy",
            PROXY,
            "-w",
            str(found.storage.path),
        ],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    lines, found_port = list[str](), None
    while found_port is None:
        line = process.stderr.readline()
        assert line, lines
        lines.append(line)
        running = re.search(r"running on http://127\.0\.0\.1:(\d+)", line)
        found_port = running and int(running[1])
    drain = threading.Thread(target=process.stderr.read)
    drain.start()
    yield process, found_port
    process.kill()
    process.wait()
    drain.join()
    process.stderr.close()


def test_who_calls_is_believed_of_named_proxies_alone(command, early_in_a_minute):
    _process, port = command
    statuses = list[int]()
    for source, forwarded in (
        [(PROXY, "203.0.113.7")] * 12 + [(PROXY, "203.0.113.8")] + [("127.0.0.9", f"198.51.100.{i}") for i in range(12)]
    ):
        head = f"GET /v1/models HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {forwarded}\r\nConnection: close\r\n"
        wrong = f"Authorization: Bearer exp_0_{len(statuses)}\r\n\r\n"
        with opened(port, (head + wrong).encode(), source=source) as made:
            statuses.append(int(received(made).split()[1]))
    assert statuses == [401] * 10 + [429] * 2 + [401] + [401] * 10 + [429] * 2


def test_a_thousand_idle_connections_hold_up_nobody_and_a_stalled_upload_does_not_hold_up_its_end(command, token):
    process, port = command
    _files(3000)
    bearing = {"Authorization": f"Bearer {token['operator']}"}
    stalled = POST + b"Content-Length: 500\r\n"
    with ExitStack() as stack, httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=bearing) as client:
        for _ in range(1000):
            stack.enter_context(opened(port))
        for _ in range(20):
            assert client.get("/desk/v1/requests").status_code == 200
        with Client(f"http://127.0.0.1:{port}/desk", token["operator"]) as desk:
            assert list(desk.requests()) == []
        for _ in range(5):
            stack.enter_context(opened(port, stalled + bearer(token) + b"\r\n{"))
        dripping = stack.enter_context(opened(port, b"GET /v1/openapi.json HTTP/1.1\r\nHost: h\r\n\r\n" * 50))
        assert dripping.recv(1)
        shown = client.get("/metrics").text
        assert 'expunge_connections_turned_away_total{reason="made room"}' in shown
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) in (0, -signal.SIGTERM)


@contextmanager
def losing_the_first_answer(port):
    """The address of a proxy in front of ``port`` that waits for each answer, and hangs up instead of passing on the first; and
    the answers that it saw."""
    answers = []

    def served(listening):
        while True:
            try:
                client, _address = listening.accept()
            except OSError:
                return
            with client, socket.create_connection(("127.0.0.1", port), timeout=20) as server:
                asked = b""
                while b"\r\n\r\n" not in asked:
                    asked += client.recv(65536)
                head, _, body = asked.partition(b"\r\n\r\n")
                length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
                while len(body) < length:
                    body += client.recv(65536)
                closing = re.sub(rb"(?i)connection: keep-alive", b"Connection: close", head)
                server.sendall(closing + b"\r\n\r\n" + body)
                answers.append(received(server))
                if len(answers) > 1:
                    client.sendall(answers[-1].encode())

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=served, args=(listening,))
        thread.start()
        yield listening.getsockname()[1], answers
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_who_asks_for_many_and_loses_the_answer_asks_once(port, token, found):
    subjects = [f"person-{i}" for i in range(60, 64)]
    with (
        losing_the_first_answer(port) as (address, answers),
        Client(f"http://127.0.0.1:{address}", token["operator"]) as client,
    ):
        given = client.ask_many(subjects, reference="A-1")
        assert len(answers) == 2 and answers[0].startswith("HTTP/1.1 200")  # it was answered, and asked again
        assert answers[0].partition("\r\n\r\n")[2] == answers[1].partition("\r\n\r\n")[2]
        assert all(answer["receipt"] and answer["reason"] is None for answer in given)
        for subject, answer in zip(subjects, given, strict=True):
            assert [row.id for row in about(found.storage, subject)] == [answer["request"]]
        kept = client.ask_many(["person-64"], key="k-1")
        assert client.ask_many(["person-64"], key="k-1") == kept
        with pytest.raises(Refused, match="asked for something else") as refused:
            client.ask_many(["person-65"], key="k-1")
        assert refused.value.reason == "key-reused"

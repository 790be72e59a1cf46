"""Webhooks: what they are told, where they may lead, their deliveries, tests and secrets, and e-mails beside them."""

import asyncio
import json
import logging
import re
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fastapi.testclient import TestClient

from expunge.errors import WorkspaceInvalid
from expunge.ledger import hooks, log, notices, requests, sealing, tokens
from expunge.ledger.notices import Notice
from expunge.ledger.tables import requests as table
from expunge.service import deliveries, mail, records, targets
from expunge.service.app import create_app
from expunge.service.deliveries import signed
from expunge.service.faults import Faults
from expunge.service.reminders import KEPT, remind
from expunge.workspace.configuration import Configuration
from tests.service.test_api import wait_for
from tests.service.test_worker import Receiver
from tests.workspace.people import workspace


@pytest.fixture(scope="module")
def receiver():
    made = Receiver(failures=0)
    yield made
    made.close()


@pytest.fixture(scope="module")
def hook(as_role, receiver):
    """A webhook of the running service: its id and its secret."""
    made = as_role("engineer", "POST", "/v1/webhooks", json={"url": receiver.url}).json()
    return made["webhook"], made["secret"]


def test_names_and_numbers_mean_the_same_as_in_the_api(as_role, desk, receiver, hook):
    asked = desk("operator").ask("person-1")
    assert wait_for(lambda: len(receiver.releases()) == 3)
    (accepted,) = [content for content in receiver.told if content["event"] == "request.accepted"]
    assert accepted["requests"] == [{"request": asked["request"], "deadline": asked["deadline"]}]
    models = {model["name"]: model for model in desk("auditor").models()}
    for told in receiver.releases():
        model = models[told["model"]]
        assert (told["release"], told["certificate"], told["at"]) == (model["release"], model["certificate"], model["at"])
        assert as_role("auditor", "GET", f"/v1/certificates/{told['certificate']}").status_code == 200


def test_deliveries_are_listed_with_attempts_and_a_test_is_one(as_role, receiver, hook):
    assert as_role("engineer", "POST", f"/v1/webhooks/{hook[0]}/test", json={}).status_code == 202
    assert wait_for(lambda: any(content["event"] == "webhook.test" for content in receiver.told))

    def newest():
        return as_role("engineer", "GET", f"/v1/webhooks/{hook[0]}/deliveries?limit=1").json()["items"][0]

    assert wait_for(lambda: newest()["outcome"] == "delivered")
    assert (newest()["event"], newest()["attempts"], newest()["due"]) == ("webhook.test", 1, None)
    (listed,) = as_role("engineer", "GET", "/v1/webhooks").json()["items"]
    assert (listed["webhook"], listed["waiting"], listed["outcome"]) == (hook[0], 0, "delivered")


def test_another_secret_signs_from_then_on(as_role, receiver, hook):
    secret = as_role("engineer", "POST", f"/v1/webhooks/{hook[0]}/rotate", json={}).json()["secret"]
    assert secret != hook[1]
    before = len(receiver.got)
    as_role("engineer", "POST", f"/v1/webhooks/{hook[0]}/test", json={})
    assert wait_for(lambda: len(receiver.got) > before)
    headers, body = receiver.got[-1]
    at = int(headers["Expunge-Signature"].split(",")[0].removeprefix("t="))
    assert headers["Expunge-Signature"] == signed(body, secret, at) != signed(body, hook[1], at)


@pytest.mark.parametrize("way", ["test", "rotate"])
def test_there_is_none_to_test_or_rotate(way, as_role):
    assert as_role("engineer", "POST", f"/v1/webhooks/w-0/{way}", json={}).status_code == 404


def test_the_page_adds_tests_rotates_and_deletes(anybody, token, found, receiver):
    client = TestClient(anybody.app)
    client.post("/login", data={"token": token["engineer"]})
    csrf = {"csrf": re.search(r'name="csrf" value="([^"]+)"', client.get("/").text)[1]}
    wrong = client.post("/webhooks", data={**csrf, "url": "https://10.1.2.3/x"})
    assert wrong.status_code == 422 and "is private" in wrong.text and 'value="https://10.1.2.3/x"' in wrong.text
    made = client.post("/webhooks", data={**csrf, "url": receiver.url + "?page"})
    name, secret = re.search(r"The secret of (w-\w+), .*?<code>([^<]+)</code>", made.text).groups()
    before = len(receiver.got)
    assert client.post(f"/webhooks/{name}/test", data=csrf).status_code == 200
    assert wait_for(lambda: len(receiver.got) > before)
    rotated = client.post(f"/webhooks/{name}/rotate", data=csrf).text
    assert secret not in rotated and f"The secret of {name}" in rotated
    assert name not in client.post(f"/webhooks/{name}/delete", data=csrf).text
    assert client.post(f"/webhooks/{name}/delete", data=csrf).status_code == 404
    client.post("/logout", data=csrf)
    with found.storage.database.reading() as connection:
        said = [event.content for event in log.entries(connection, 0, 1000)]
    holder = token["engineer"].split("_")[1]
    kinds = [content["kind"] for content in said if content.get("token") == holder and content["kind"] != "token.issued"]
    for kind in ("session.started", "webhook.added", "webhook.rotated", "webhook.removed", "session.ended"):
        assert kind in kinds
    assert {"webhook": name, "token": holder}.items() <= next(c for c in said if c["kind"] == "webhook.removed").items()


def test_an_address_inside_is_called_only_where_that_is_allowed():
    inside = [ip_network("10.0.0.0/8")]
    assert targets.require_callable("https://10.1.2.3/", inside).host == "10.1.2.3"
    for allowed in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "93.184.215.14"):
        assert targets.is_allowed(ip_address(allowed), "x.example", inside)
    for refused in (
        "10.1.2.3",
        "127.0.0.1",
        "169.254.169.254",
        "::1",
        "fe80::1",
        "::ffff:127.0.0.1",
        "64:ff9b::a01:203",
        "0.0.0.0",
    ):
        assert not targets.is_allowed(ip_address(refused), "x.example", [])
    assert not targets.is_allowed(ip_address("127.0.0.1"), "x.example", inside)


@pytest.mark.parametrize("led", ["127.0.0.1", "10.0.0.7", "169.254.169.254"])
def test_a_name_that_leads_inside_when_it_is_called_is_not_called(led, monkeypatch):
    """DNS rebinding: it led elsewhere when it was registered."""
    asked = []

    async def resolved(_loop, host, port, **_more):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (led, port))]

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", resolved)
    target = targets.require_callable("https://rebound.example/")
    with pytest.raises(targets.UnusableURL, match="leads is private"):
        asyncio.run(targets.call(target, b"", {}, []))
    assert asked == ["rebound.example"]


def test_the_address_that_was_looked_at_is_called_with_the_name_in_the_header(receiver, monkeypatch):
    looked = asyncio.base_events.BaseEventLoop.getaddrinfo

    async def resolved(loop, host, port, **more):
        return await looked(loop, "127.0.0.1" if host == "localhost" else "192.0.2.1", port, **more)

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", resolved)
    url = receiver.url.replace("127.0.0.1", "localhost")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")  # would look the name up itself
    assert asyncio.run(targets.call(targets.require_callable(url), b"{}", {"Content-Length": "2"}, [])) == 204
    assert receiver.got[-1][0]["Host"] == url.split("/")[2]


@pytest.mark.parametrize("name", ["hook.example", "other.example"])
def test_the_certificate_must_be_that_of_the_name(name, tmp_path, monkeypatch):
    """Although it is an address that is called."""
    key = ec.generate_private_key(ec.SECP256R1())
    own, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hook")]), datetime.now(UTC)
    built = x509.CertificateBuilder(own, own, key.public_key(), 7, now - timedelta(days=1), now + timedelta(days=1))
    built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName("hook.example")]), critical=False)
    pem, secret = tmp_path / "certificate.pem", tmp_path / "key.pem"
    pem.write_bytes(built.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(pem, secret)
    receiver = Receiver(failures=0)
    receiver.server.socket = served.wrap_socket(receiver.server.socket, server_side=True)
    monkeypatch.setattr(targets, "_trusted", lambda: ssl.create_default_context(cafile=pem))
    looked = asyncio.base_events.BaseEventLoop.getaddrinfo

    async def resolved(loop, host, port, **more):
        return await looked(loop, "127.0.0.1", port, **more)

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", resolved)
    target = targets.require_callable(f"https://{name}:{receiver.server.server_port}/")
    called = targets.call(target, b"", {"Content-Length": "0"}, [ip_network("127.0.0.0/8")])
    if name == "hook.example":
        assert asyncio.run(called) == 204
    else:
        with pytest.raises(httpx.ConnectError, match="certificate"):
            asyncio.run(called)
    receiver.close()


class TestReminders:
    @pytest.fixture
    def made(self, tmp_path):
        found = workspace(tmp_path, models=False)
        with found.storage.database.writing() as connection:
            hooks.add(connection, "http://127.0.0.1:1/", "2026")
        return found

    def told(self, found):
        with found.storage.database.reading() as connection:
            (hook,) = hooks.listed(connection)
            return [(row.event, json.loads(row.body)) for row in notices.listed(connection, hook.id, 100)][::-1]

    def test_each_is_told_once_whenever_it_is_looked_at(self, made):
        asked = made.forget(["person-1", "person-2"])
        deadline = datetime.fromisoformat(asked[0].deadline)
        about = [{"request": answer.request, "deadline": answer.deadline} for answer in asked]
        said = []
        for before in (8, 7, 6.9, 3, 2, 1, 0.5, 0, -1, -2):
            for _ in range(2):
                remind(made.storage, deadline - timedelta(days=before))
            said.append(len(self.told(made)) - 1)
        assert said == [0, 1, 1, 2, 2, 3, 3, 3, 4, 4]  # the day of the deadline itself counts
        for (event, content), days in zip(self.told(made)[1:], (7, 3, 1, None), strict=True):
            assert event == (Notice.REQUEST_OVERDUE if days is None else Notice.REQUEST_DUE)
            assert content.get("days_left") == days
            assert sorted(content["requests"], key=str) == sorted(about, key=str)
        with made.storage.database.reading() as connection:
            sealing.verify(connection)

    def test_late_is_told_at_once_as_overdue_alone_and_what_is_closed_is_not(self, made):
        late, cancelled = made.forget(["person-1", "person-2"])
        made.cancel(cancelled.request)
        assert remind(made.storage, datetime.fromisoformat(late.deadline) + timedelta(days=1)) == 1
        (_accepted, (event, content)) = self.told(made)
        assert event == "request.overdue" and [row["request"] for row in content["requests"]] == [late.request]

    def test_nobody_is_reminded_before_somebody_listens(self, tmp_path):
        found = workspace(tmp_path, models=False)
        (asked,) = found.forget(["person-1"])
        assert remind(found.storage, datetime.fromisoformat(asked.deadline)) == 0
        with found.storage.database.reading() as connection:
            assert requests.by_id(connection, asked.request).reminded is None

    def test_old_deliveries_are_dropped_once_they_have_arrived(self, made):
        made.forget(["person-1"])
        later = datetime.now(UTC) + KEPT + timedelta(minutes=1)
        with made.storage.database.writing() as connection:
            sealing.update(connection, table, table.c.id.is_not(None), reminded=0)
        remind(made.storage, later)
        assert len(self.told(made)) == 1  # it still waits
        with made.storage.database.writing() as connection:
            notices.settle(connection, 1, 1, "delivered", None)
        remind(made.storage, later)
        assert self.told(made) == []


def test_a_worker_that_falls_silent_is_told_of_once_and_again_the_next_time(tmp_path):
    found, now = workspace(tmp_path, models=False), list[datetime | None]([None])
    with found.storage.database.writing() as connection:
        hooks.add(connection, "http://127.0.0.1:1/", "2026")
    teller = deliveries.Deliveries(found.storage, Faults(), lambda: now[0])
    since = datetime(2026, 5, 1, 10, 40, tzinfo=UTC)
    for now[0] in (None, since, since, None, since):
        teller._look()
    with found.storage.database.reading() as connection:
        told = [json.loads(row.body) for row in notices.listed(connection, hooks.listed(connection)[0].id, 9)]
    assert [(content["event"], content["since"]) for content in told] == [("worker.silent", since.isoformat())] * 2


class Mailbox:
    """An SMTP server of a few lines, which keeps what it gets."""

    def __init__(self):
        self.got, self._socket = [], socket.create_server(("127.0.0.1", 0))
        self.url = f"smtp://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _address = self._socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                connection.sendall(b"220 here\r\n")
                for line in lines:
                    if line.strip().upper() == b"DATA":
                        connection.sendall(b"354 go on\r\n")
                        self.got.append(b"".join(iter(lines.readline, b".\r\n")).decode())
                    connection.sendall(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 yes\r\n")

    def close(self):
        self._socket.close()


def test_e_mails_are_deliveries_too(tmp_path):
    mailbox = Mailbox()
    found = workspace(tmp_path, models=False)
    settings = found.storage.path / "workspace.toml"
    with TestClient(create_app(found, every=3600.0)) as client:
        with found.storage.database.writing() as connection:
            headers = {"Authorization": f"Bearer {tokens.issue(connection, 'Eve', 'engineer')}"}
        refused = client.post("/v1/webhooks", json={"url": "mailto:dpo@example.org"}, headers=headers)
        assert refused.status_code == 422 and "set smtp and mail_from" in refused.text
    for name, value in (("smtp", mailbox.url), ("mail_from", "desk@example.org")):
        Configuration.change(settings, name, value)
    found = type(found).open(found.storage.path)
    with TestClient(create_app(found, every=3600.0)) as client:
        for wrong in (
            "mailto:",
            "mailto:a@b@c",
            "mailto:a@example.org?bcc=x@example.org",
            "mailto:a@example.org,b@example.org",
        ):
            assert client.post("/v1/webhooks", json={"url": wrong}, headers=headers).status_code == 422
        made = client.post("/v1/webhooks", json={"url": "mailto:dpo@example.org"}, headers=headers).json()
        assert made["secret"] is None
        assert client.post(f"/v1/webhooks/{made['webhook']}/rotate", headers=headers).status_code == 422
        (asked,) = found.forget(["person-1"])
        assert wait_for(lambda: mailbox.got)
    mailbox.close()
    assert "To: dpo@example.org" in mailbox.got[0] and "From: desk@example.org" in mailbox.got[0]
    assert "1 request is accepted." in mailbox.got[0] and asked.request in mailbox.got[0] and "person" not in mailbox.got[0]


@pytest.mark.parametrize("event", Notice)
def test_every_notice_has_a_sentence(event):
    values = {"requests": [{"request": "r-1", "deadline": "2026-06-01"}] * 25, "days_left": 3, "since": "10:40"}
    content = {"event": event, "at": "2026", "model": "churn", "release": 2, "certificate": 5, **values}
    written = mail.letter(content, "a@example.org", "b@example.org").get_content()
    assert mail.sentence(content) in written and "and 5 more" in written


def test_without_a_server_or_its_password_an_e_mail_fails_with_a_reason(monkeypatch, tmp_path):
    with pytest.raises(mail.Unsendable, match="set smtp"):
        mail.Server("", "").send("a@example.org", "{}", 1.0)
    mailbox = Mailbox()
    asking = mail.Server(mailbox.url.replace("//", "//user@"), "a@example.org")
    for path in (None, tmp_path / "none"):
        monkeypatch.delenv(mail.PASSWORD, raising=False) if path is None else monkeypatch.setenv(mail.PASSWORD, str(path))
        with pytest.raises(mail.Unsendable, match=mail.PASSWORD):
            asking.send("b@example.org", "{}", 5.0)
    mailbox.close()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('webhook_networks = "10.0.0.1/8"', "host bits"),
        ('webhook_networks = "inside"', "must be networks"),
        ('smtp = "smtp://me:secret@mail.example.org"', "without a password"),
        ('smtp = "mail.example.org"', "smtp must be"),
        ('mail_from = "me"', "must be an e-mail address"),
    ],
)
def test_settings_that_are_none(line, said, tmp_path):
    (tmp_path / "workspace.toml").write_text(line)
    with pytest.raises(WorkspaceInvalid, match=said) as refused:
        Configuration.read(tmp_path / "workspace.toml")
    assert "secret" not in str(refused.value)


def test_every_change_is_a_record_with_actor_and_duration_and_nobodys_id(found, as_role, token, caplog):
    caplog.set_level(logging.INFO, "expunge.service")
    kept, cancelled = (as_role("operator", "POST", "/v1/requests", json={"subject": f"person-{i}"}).json() for i in (21, 22))
    as_role("operator", "POST", "/v1/requests", json={"subject": "nobody-23"})
    as_role("operator", "POST", f"/v1/requests/{cancelled['request']}/cancel")

    def made():
        lines = [json.loads(records.JsonLines().format(record)) for record in caplog.records]
        return {(line["event"], line["actor"]): line for line in lines if "event" in line}

    holder = token["operator"].split("_")[1]
    assert wait_for(lambda: ("request.closed", "worker") in made() and ("release.certified", "worker") in made())
    expected = {("request.accepted", holder), ("request.refused", holder)}
    assert expected <= made().keys()
    assert all(isinstance(line["seconds"], float) and line["at"] and line["level"] == "info" for line in made().values())
    assert made()["release.certified", "worker"]["model"] in ("churn", "spend", "visits")
    assert kept["request"] in caplog.text and not re.search(r"person-\d|nobody-\d", caplog.text)

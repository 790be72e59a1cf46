"""E-mails go over TLS to a server whose certificate is checked; and what is told of stuck requests and models set aside."""

import socket
import ssl
import threading
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from expunge.ledger import hooks
from expunge.service import mail
from expunge.service.worker import Worker
from expunge.workspace import Workspace
from expunge.workspace.configuration import Configuration
from tests.integrity.test_service import only_one_of_a_class
from tests.service.test_api import wait_for
from tests.service.test_worker import Receiver
from tests.workspace.people import CLASSES, SCHEMA, workspace

NOTICE = '{"event": "webhook.test", "at": "2026-11-28T10:00:00+00:00"}'


def certificate(folder, *names):
    """A self-made certificate for these names and addresses, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    own, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail")]), datetime.now(UTC)
    built = x509.CertificateBuilder(own, own, key.public_key(), 7, now - timedelta(days=1), now + timedelta(days=1))
    shown = [x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names]
    built = built.add_extension(x509.SubjectAlternativeName(shown), critical=False)
    pem, secret = folder / f"{names[0]}.pem", folder / f"{names[0]}.key"
    pem.write_bytes(built.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return pem, secret


class SecureMailbox:
    """An SMTP server that speaks TLS from the first byte, or after STARTTLS, takes no mail in the clear, and asks who sends."""

    def __init__(self, address, pem, secret, *, starts_plain):
        self.got, self.who, self.clear = [], [], []
        self._starts_plain, self._socket = starts_plain, socket.create_server((address, 0))
        self.port = self._socket.getsockname()[1]
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pem, secret)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _address = self._socket.accept()
            except OSError:
                return
            self._connections: list[Any] = [connection]
            try:
                self._talk()
            except (OSError, ValueError):  # the client hangs up where it does not trust the certificate
                pass
            finally:
                for each in self._connections:
                    each.close()

    def _secured(self):
        self._connections.append(self._context.wrap_socket(self._connections[-1], server_side=True))
        return self._lines()

    def _lines(self):
        self._connections.append(self._connections[-1].makefile("rb"))
        return self._connections[-1], self._connections[-2]

    def _talk(self):
        is_secure = not self._starts_plain
        lines, connection = self._secured() if is_secure else self._lines()
        connection.sendall(b"220 here\r\n")
        while line := lines.readline():
            word = line.strip().upper()
            if word == b"STARTTLS":
                connection.sendall(b"220 go on\r\n")
                lines.close()
                self._connections.pop()
                lines, connection = self._secured()
                is_secure = True
            elif word.startswith(b"EHLO"):
                connection.sendall(b"250-here\r\n250-AUTH PLAIN\r\n250 " + (b"SIZE" if is_secure else b"STARTTLS") + b"\r\n")
            elif not is_secure:
                self.clear.append(line)
                connection.sendall(b"530 speak TLS first\r\n")
            elif word.startswith(b"AUTH PLAIN"):
                self.who.append(b64decode(line.split()[2]).split(b"\0")[1:])
                connection.sendall(b"235 yes\r\n")
            elif word == b"DATA":
                connection.sendall(b"354 go on\r\n")
                self.got.append(b"".join(iter(lines.readline, b".\r\n")).decode())
                connection.sendall(b"250 yes\r\n")
            else:
                connection.sendall(b"221 bye\r\n" if word == b"QUIT" else b"250 yes\r\n")

    def close(self):
        self._socket.close()


@pytest.mark.parametrize(
    ("scheme", "host"), [("smtps", "localhost"), ("smtp", "127.0.0.2")], ids=["TLS from the start", "STARTTLS"]
)
def test_an_e_mail_goes_over_tls_to_whom_the_certificate_names(scheme, host, tmp_path, monkeypatch):
    pem, secret = certificate(tmp_path, host)
    other = certificate(tmp_path, "mail.elsewhere.example")
    (tmp_path / "password").write_text("of the house\n")
    monkeypatch.setenv(mail.PASSWORD, str(tmp_path / "password"))
    bind = "127.0.0.1" if host == "localhost" else host
    good = SecureMailbox(bind, pem, secret, starts_plain=scheme == "smtp")
    wrong = SecureMailbox(bind, *other, starts_plain=scheme == "smtp")
    try:
        monkeypatch.setenv("SSL_CERT_FILE", str(other[0]))  # the house trusts another certificate
        with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
            mail.Server(f"{scheme}://desk@{host}:{good.port}", "desk@example.org").send("dpo@example.org", NOTICE, 5.0)
        with pytest.raises(ssl.SSLCertVerificationError, match="match"):  # trusted, but of another name
            mail.Server(f"{scheme}://desk@{host}:{wrong.port}", "desk@example.org").send("dpo@example.org", NOTICE, 5.0)
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        mail.Server(f"{scheme}://desk@{host}:{good.port}", "desk@example.org").send("dpo@example.org", NOTICE, 5.0)
    finally:
        good.close()
        wrong.close()
    assert len(good.got) == 1 and "To: dpo@example.org" in good.got[0] and "This is a test." in good.got[0]
    assert good.who == [[b"desk", b"of the house"]] and good.clear + wrong.clear + wrong.got + wrong.who == []


@pytest.mark.filterwarnings("ignore::expunge.errors.NoiseDrownsModel")
def test_a_stuck_request_and_a_model_set_aside_are_told_by_webhook_and_e_mail(tmp_path, monkeypatch):
    pem, secret = certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    mailbox, receiver = SecureMailbox("127.0.0.1", pem, secret, starts_plain=False), Receiver(failures=0)
    made = workspace(tmp_path, table=only_one_of_a_class(), schema=SCHEMA + CLASSES)
    for name, value in (("smtp", f"smtps://localhost:{mailbox.port}"), ("mail_from", "desk@example.org")):
        Configuration.change(made.storage.configuration_path, name, value)
    found = Workspace.open(made.storage.path)
    with found.storage.database.writing() as connection:
        hooks.add(connection, receiver.url, "2026")
        hooks.add(connection, "mailto:dpo@example.org", "2026")
    found.storage.state_path("spend", 1).unlink()
    (stuck,) = found.forget(["person-1"])  # the only one of a class
    worker = Worker(found, every=0.1)
    worker.start()

    def told(event):
        return [content for content in receiver.told if content["event"] == event]

    try:
        assert wait_for(lambda: told("request.stuck") and told("model.set_aside"), 60)
        assert wait_for(lambda: len(mailbox.got) == len(receiver.told) >= 3, 60)
        assert wait_for(lambda: "spend" in (worker.health.problem or ""))
    finally:
        worker.stop()
        receiver.close()
        mailbox.close()
    assert told("request.stuck")[0]["requests"] == [{"request": stuck.request, "deadline": stuck.deadline}]
    assert told("model.set_aside") == [{"event": "model.set_aside", "at": told("model.set_aside")[0]["at"], "model": "spend"}]
    said = "".join(mailbox.got).replace("=\n", "")
    assert "1 request is stuck: a model cannot answer" in said and stuck.request in said
    assert "The model spend can forget nobody now" in said and "person" not in said + str(receiver.told)

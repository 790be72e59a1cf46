"""E-mail: a notice as a letter that a person reads, sent by the house's SMTP server."""

import json
import os
import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from expunge.ledger.notices import Notice

PASSWORD = "EXPUNGE_SMTP_PASSWORD_FILE"
"""The environment variable that names the file with the password of the SMTP server."""
SHOWN = 20
"""Number of requests that an e-mail lists."""
SENTENCES = {
    Notice.REQUEST_ACCEPTED: "{n} accepted.",
    Notice.REQUEST_DUE: "{n} due within {days_left} days.",
    Notice.REQUEST_OVERDUE: "{n} overdue.",
    Notice.REQUEST_STUCK: "{n} stuck: a model cannot answer. The request's page says why.",
    Notice.WORKER_SILENT: "No request has been worked since {since}. Look at the service's page or its log.",
    Notice.RELEASE_CERTIFIED: "Release {release} of the model {model} is certified: certificate {certificate}.",
    Notice.MODEL_SET_ASIDE: "The model {model} can forget nobody now. Refit or replace it; its page says why.",
    Notice.TEST: "This is a test.",
}


class Unsendable(Exception):
    """An e-mail that cannot be sent with the present settings; the message says why."""


@dataclass(frozen=True)
class Server:
    """An SMTP server.

    Args:
        url: ``smtps://user@host:465`` for TLS, or ``smtp://user@host:587`` for STARTTLS; plain to this machine alone.
        sender: the address that e-mails come from.
    """

    url: str = field(repr=False)
    sender: str

    def send(self, recipient: str, notice: str, seconds: float) -> None:
        """Sends a notice, given as JSON; each step of it may take so many seconds.

        Raises:
            Unsendable: there is no server in workspace.toml, or its password cannot be read.
            OSError: the server cannot be reached, or refuses it.
        """
        if not self.url or not self.sender:
            raise Unsendable("no SMTP server: set smtp and mail_from in workspace.toml")
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        context = ssl.create_default_context()
        if parts.scheme == "smtps":
            client: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=seconds, context=context)
        else:
            client = smtplib.SMTP(host, parts.port or 587, timeout=seconds)
        with client:
            if parts.scheme == "smtp" and host not in ("127.0.0.1", "localhost"):
                client.starttls(context=context)
            if parts.username:
                client.login(unquote(parts.username), _password())
            client.send_message(letter(json.loads(notice), self.sender, recipient))


def letter(content: Mapping[str, Any], sender: str, recipient: str) -> EmailMessage:
    """The e-mail that says what a notice says."""
    said = sentence(content)
    message = EmailMessage()
    message["Subject"] = f"Expunge: {said.partition('.')[0] if len(said) < 70 else content['event']}"
    message["From"], message["To"] = sender, recipient
    message["Date"], message["Message-ID"] = formatdate(), make_msgid("expunge", sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    about = content.get("requests", [])
    lines = [f"- {row['request']}, to be closed by {row['deadline'][:10]}" for row in about[:SHOWN]]
    lines += [f"- and {len(about) - SHOWN:,} more"] if len(about) > SHOWN else []
    message.set_content("\n".join([said, "", *lines, f"Event {content['event']}, {content['at']}."]))
    return message


def sentence(content: Mapping[str, Any]) -> str:
    """What a notice says, for a person."""
    count = len(content.get("requests", []))
    return SENTENCES[Notice(content["event"])].format(n="1 request is" if count == 1 else f"{count:,} requests are", **content)


def _password() -> str:
    path = os.environ.get(PASSWORD)
    if not path:
        raise Unsendable(f"the SMTP server asks for a password: name its file in {PASSWORD}")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unsendable(f"the file that {PASSWORD} names cannot be read") from error

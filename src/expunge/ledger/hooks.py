"""Webhooks: whom the service tells what happens, a URL or an e-mail address each; the log says who added or removed one."""

import secrets
from dataclasses import dataclass, field

import sqlalchemy as sa

from expunge.evidence.events import EventKind
from expunge.ledger import log, sealing
from expunge.ledger.tables import deliveries, webhooks


@dataclass(frozen=True)
class Webhook:
    """A webhook; deliveries are signed with ``secret``."""

    id: str
    url: str = field(repr=False)  # it may contain a password
    secret: str = field(repr=False)
    created: str


def add(connection: sa.Connection, url: str, at: str, token: str | None = None) -> tuple[str, str]:
    """Adds a webhook, in a writing transaction; returns its id and the secret with which its deliveries are signed.

    Args:
        connection: a connection in a writing transaction.
        url: where deliveries go; ``mailto:`` and an address for e-mail.
        at: when it was added.
        token: id of the token of whoever adds it. Default: nobody's, as at the command line.
    """
    identity, secret = f"w-{secrets.token_hex(6)}", secrets.token_urlsafe(32)
    sealing.insert(connection, webhooks, [{"id": identity, "url": url, "secret": secret, "created": at}])
    _note(connection, EventKind.WEBHOOK_ADDED, identity, token)
    return identity, secret


def listed(connection: sa.Connection) -> list[Webhook]:
    """All webhooks."""
    found = sealing.rows(connection, sa.select(webhooks).order_by(webhooks.c.created, webhooks.c.id), webhooks)
    return [Webhook(row.id, row.url, row.secret, row.created) for row in found]


def rotate(connection: sa.Connection, identity: str, token: str | None = None) -> str | None:
    """Gives a webhook another secret, in a writing transaction, which signs every delivery from now on, those that wait too.

    Returns:
        The secret; ``None`` if there is no such webhook.
    """
    secret = secrets.token_urlsafe(32)
    if not sealing.update(connection, webhooks, webhooks.c.id == identity, secret=secret):
        return None
    _note(connection, EventKind.WEBHOOK_ROTATED, identity, token)
    return secret


def remove(connection: sa.Connection, identity: str, token: str | None = None) -> bool:
    """Removes a webhook and its deliveries, in a writing transaction; returns whether there was one."""
    sealing.delete(connection, deliveries, deliveries.c.webhook == identity)
    if not sealing.delete(connection, webhooks, webhooks.c.id == identity):
        return False
    _note(connection, EventKind.WEBHOOK_REMOVED, identity, token)
    return True


def _note(connection: sa.Connection, kind: EventKind, identity: str, token: str | None) -> None:
    log.note(connection, kind, [{"webhook": identity, **({} if token is None else {"token": token})}])

"""Webhooks: who is told of certified releases, and what is still to be delivered; queued in the release's own transaction."""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from expunge.ledger import sealing
from expunge.ledger.tables import deliveries, releases, webhooks


@dataclass(frozen=True)
class Webhook:
    """A webhook; deliveries are signed with ``secret``."""

    id: str
    url: str = field(repr=False)  # it may contain a password
    secret: str = field(repr=False)
    created: str


@dataclass(frozen=True)
class Delivery:
    """A release of which a webhook is still to be told.

    Args:
        webhook: id of the webhook.
        url: URL of the webhook.
        secret: secret with which the delivery is signed.
        attempts: number of failed attempts.
        release: id of the release.
        number: number of the release among those of ``model``.
        at: when the release was made.
    """

    id: int
    webhook: str
    attempts: int
    url: str = field(repr=False)
    secret: str = field(repr=False)
    release: int
    model: str
    number: int
    at: str


def add(connection: sa.Connection, url: str, at: str) -> tuple[str, str]:
    """Adds a webhook; returns its id and the secret with which its deliveries are signed."""
    identity, secret = f"w-{secrets.token_hex(6)}", secrets.token_urlsafe(32)
    sealing.insert(connection, webhooks, [{"id": identity, "url": url, "secret": secret, "created": at}])
    return identity, secret


def listed(connection: sa.Connection) -> list[Webhook]:
    """All webhooks."""
    found = sealing.rows(connection, sa.select(webhooks).order_by(webhooks.c.created), webhooks)
    return [Webhook(row.id, row.url, row.secret, row.created) for row in found]


def remove(connection: sa.Connection, identity: str) -> bool:
    """Removes a webhook and its open deliveries; returns whether there was one."""
    sealing.delete(connection, deliveries, deliveries.c.webhook == identity)
    return sealing.delete(connection, webhooks, webhooks.c.id == identity) == 1


def announce(connection: sa.Connection, release: int, at: str) -> None:
    """Queues a release for every webhook, in the transaction that makes it."""
    last = int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(deliveries.c.id), 0))).scalar_one())
    for number, hook in enumerate(listed(connection), last + 1):
        values = {"id": number, "webhook": hook.id, "release": release, "attempts": 0, "due": at}
        sealing.insert(connection, deliveries, [values])


def due(connection: sa.Connection, now: str, besides: Collection[str]) -> list[Delivery]:
    """The oldest delivery that is now due for each webhook but ``besides``, with its URL and its release."""
    waiting = sa.select(sa.func.min(deliveries.c.id)).where(deliveries.c.due <= now, deliveries.c.webhook.not_in(besides))
    wanted = (deliveries.c.id, deliveries.c.webhook, deliveries.c.attempts, webhooks.c.url, webhooks.c.secret)
    about = (releases.c.id.label("release"), releases.c.model, releases.c.number, releases.c.at)
    chosen = sa.select(*wanted, *about).join(webhooks, deliveries.c.webhook == webhooks.c.id)
    chosen = chosen.join(releases, deliveries.c.release == releases.c.id)
    found = connection.execute(chosen.where(deliveries.c.id.in_(waiting.group_by(deliveries.c.webhook))))
    return [Delivery(**row._mapping) for row in found]


def postpone(connection: sa.Connection, ids: Sequence[int], until: str) -> None:
    """Reserves deliveries while they are tried: if they are never settled, they are due again at ``until``."""
    sealing.update(connection, deliveries, deliveries.c.id.in_(ids), due=until)


def settle(connection: sa.Connection, delivery: int, attempts: int, outcome: str, due: str | None) -> None:
    """Notes how an attempt went, and when the next one is due."""
    sealing.update(connection, deliveries, deliveries.c.id == delivery, attempts=attempts, outcome=outcome, due=due)

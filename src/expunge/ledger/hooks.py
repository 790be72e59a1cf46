"""Webhooks: who is told of certified releases, and what is still to be delivered. Queued in the release's own transaction."""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from expunge.ledger import sealing
from expunge.ledger.tables import deliveries, releases, webhooks


@dataclass(frozen=True)
class Webhook:
    """Who is told; ``secret``: with which deliveries are signed."""

    id: str
    url: str = field(repr=False)  # there may be a password in it
    secret: str = field(repr=False)
    created: str


@dataclass(frozen=True)
class Delivery:
    """A release that a webhook is still to be told of.

    Args:
        webhook: its id; ``url`` and ``secret``: where it goes, and with what it is signed.
        attempts: in vain.
        release: id of the release.
        number: among those of its ``model``.
        at: when it was made.
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
    """A new webhook; its id and the secret with which its deliveries are signed."""
    identity, secret = f"w-{secrets.token_hex(6)}", secrets.token_urlsafe(32)
    sealing.insert(connection, webhooks, [{"id": identity, "url": url, "secret": secret, "created": at}])
    return identity, secret


def listed(connection: sa.Connection) -> list[Webhook]:
    """All webhooks."""
    found = sealing.rows(connection, sa.select(webhooks).order_by(webhooks.c.created), webhooks)
    return [Webhook(row.id, row.url, row.secret, row.created) for row in found]


def remove(connection: sa.Connection, identity: str) -> bool:
    """Removes a webhook and what it was still to be told; whether there was one."""
    sealing.delete(connection, deliveries, deliveries.c.webhook == identity)
    return sealing.delete(connection, webhooks, webhooks.c.id == identity) == 1


def announce(connection: sa.Connection, release: int, at: str) -> None:
    """Queues a release for every webhook, in the transaction that makes it."""
    last = int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(deliveries.c.id), 0))).scalar_one())
    for number, hook in enumerate(listed(connection), last + 1):
        values = {"id": number, "webhook": hook.id, "release": release, "attempts": 0, "due": at}
        sealing.insert(connection, deliveries, [values])


def due(connection: sa.Connection, now: str, besides: Collection[str]) -> list[Delivery]:
    """The oldest delivery to be tried now of each webhook but ``besides``, with where it goes and what of."""
    waiting = sa.select(sa.func.min(deliveries.c.id)).where(deliveries.c.due <= now, deliveries.c.webhook.not_in(besides))
    wanted = (deliveries.c.id, deliveries.c.webhook, deliveries.c.attempts, webhooks.c.url, webhooks.c.secret)
    about = (releases.c.id.label("release"), releases.c.model, releases.c.number, releases.c.at)
    chosen = sa.select(*wanted, *about).join(webhooks, deliveries.c.webhook == webhooks.c.id)
    chosen = chosen.join(releases, deliveries.c.release == releases.c.id)
    found = connection.execute(chosen.where(deliveries.c.id.in_(waiting.group_by(deliveries.c.webhook))))
    return [Delivery(**row._mapping) for row in found]


def postpone(connection: sa.Connection, ids: Sequence[int], until: str) -> None:
    """Takes deliveries for the time in which they are tried: if that is never settled, they are due again."""
    sealing.update(connection, deliveries, deliveries.c.id.in_(ids), due=until)


def settle(connection: sa.Connection, delivery: int, attempts: int, outcome: str, due: str | None) -> None:
    """Notes how an attempt went, and when the next one is due."""
    sealing.update(connection, deliveries, deliveries.c.id == delivery, attempts=attempts, outcome=outcome, due=due)

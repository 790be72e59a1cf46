"""Notices: what webhooks are told, queued in the transaction in which it happens, and how each delivery went."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from expunge.evidence.statements import canonical
from expunge.ledger import hooks, sealing, times
from expunge.ledger.tables import deliveries, webhooks
from expunge.ledger.words import Word

TOGETHER = 1_000
"""Number of requests in one notice."""


class Notice(Word):
    """What happened. A word that is also a word of the log means the same there."""

    REQUEST_ACCEPTED = "request.accepted"
    REQUEST_DUE = "request.due"
    REQUEST_OVERDUE = "request.overdue"
    REQUEST_STUCK = "request.stuck"
    WORKER_SILENT = "worker.silent"
    RELEASE_CERTIFIED = "release.certified"
    MODEL_SET_ASIDE = "model.set_aside"
    """It can forget nobody until it is refitted or replaced."""
    TEST = "webhook.test"


@dataclass(frozen=True)
class Delivery:
    """A notice for one webhook.

    Args:
        webhook: id of the webhook.
        event: what happened.
        body: the notice as it is sent, JSON.
        queued: when it was queued, ISO 8601.
        attempts: number of attempts so far.
        due: when the next attempt is due; ``None`` once it has arrived, or was given up.
        outcome: how the last attempt went.
    """

    id: int
    webhook: str
    event: Notice
    body: str = field(repr=False)
    queued: str
    attempts: int
    due: str | None
    outcome: str | None


@dataclass(frozen=True)
class Due:
    """A delivery that is due, with where it goes and what signs it."""

    id: int
    webhook: str
    body: str = field(repr=False)
    attempts: int
    url: str = field(repr=False)
    secret: str = field(repr=False)


def announce(
    connection: sa.Connection, event: Notice, content: Mapping[str, Any], only: str | None = None, at: str | None = None
) -> None:
    """Queues a notice for every webhook, in the transaction in which it happens.

    Args:
        connection: a connection in a writing transaction.
        event: what happened.
        content: what the notice says besides; no id of a person, and nothing that depends on rows and is not in the log.
        only: id of the one webhook to tell. Default: all.
        at: when it happened. Default: now; the notice says the hour.
    """
    told = [hook.id for hook in hooks.listed(connection) if only in (None, hook.id)]
    if not told:
        return
    last = int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(deliveries.c.id), 0))).scalar_one())
    now, body = times.exact(), canonical({"event": event, "at": at or times.published(), **content})
    values = {"event": event, "body": body, "queued": now, "attempts": 0, "due": now}
    sealing.insert(connection, deliveries, [{**values, "id": last + n, "webhook": hook} for n, hook in enumerate(told, 1)])


def announce_requests(connection: sa.Connection, event: Notice, about: Sequence[Mapping[str, Any]], **more: int) -> None:
    """Queues notices about requests, ``TOGETHER`` at a time, each of which says ``more`` too."""
    for start in range(0, len(about), TOGETHER):
        announce(connection, event, {"requests": list(about[start : start + TOGETHER]), **more})


def listed(connection: sa.Connection, webhook: str, limit: int) -> list[Delivery]:
    """The newest deliveries to a webhook."""
    chosen = sa.select(deliveries).where(deliveries.c.webhook == webhook).order_by(deliveries.c.id.desc()).limit(limit)
    found = sealing.rows(connection, chosen, deliveries)
    names = ("id", "webhook", "body", "queued", "attempts", "due", "outcome")
    return [Delivery(event=Notice.read(row.event), **{name: row._mapping[name] for name in names}) for row in found]


def due(connection: sa.Connection, now: str, besides: Collection[str]) -> list[Due]:
    """The oldest delivery that is now due for each webhook but ``besides``.

    Raises:
        LedgerCorrupt: one of them, or its webhook, was altered.
    """
    waiting = sa.select(sa.func.min(deliveries.c.id)).where(deliveries.c.due <= now, deliveries.c.webhook.not_in(besides))
    chosen = sa.select(deliveries).where(deliveries.c.id.in_(waiting.group_by(deliveries.c.webhook)))
    rows = sealing.rows(connection, chosen, deliveries)
    if not rows:
        return []
    chosen = sa.select(webhooks).where(webhooks.c.id.in_([row.webhook for row in rows]))
    hooked = {row.id: row for row in sealing.rows(connection, chosen, webhooks)}
    found = [(row, hooked[row.webhook]) for row in rows]
    return [Due(row.id, row.webhook, row.body, row.attempts, hook.url, hook.secret) for row, hook in found]


def postpone(connection: sa.Connection, ids: Sequence[int], until: str) -> None:
    """Reserves deliveries while they are tried: if they are never settled, they are due again at ``until``."""
    sealing.update(connection, deliveries, deliveries.c.id.in_(ids), due=until)


def settle(connection: sa.Connection, delivery: int, attempts: int, outcome: str, due: str | None) -> None:
    """Notes how an attempt went, and when the next one is due."""
    sealing.update(connection, deliveries, deliveries.c.id == delivery, attempts=attempts, outcome=outcome, due=due)


def has_settled(connection: sa.Connection, before: str) -> bool:
    """Whether there are deliveries queued before then that have arrived or were given up."""
    chosen = sa.select(deliveries.c.id).where(deliveries.c.due.is_(None), deliveries.c.queued < before).limit(1)
    return connection.execute(chosen).first() is not None


def drop_settled(connection: sa.Connection, before: str) -> int:
    """Deletes deliveries queued before then that have arrived or were given up; returns how many."""
    return sealing.delete(connection, deliveries, deliveries.c.due.is_(None) & (deliveries.c.queued < before))

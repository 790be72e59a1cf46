"""Answers about webhooks, made by ``python -m tools.contract``."""

from __future__ import annotations

from typing import Literal, TypedDict

Notice = Literal[
    "request.accepted",
    "request.due",
    "request.overdue",
    "request.stuck",
    "worker.silent",
    "release.certified",
    "model.set_aside",
    "webhook.test",
]


class Deliveries(TypedDict):
    """Deliveries, newest first."""

    items: list[Delivery]


class Delivery(TypedDict):
    """What a webhook was told, or is still to be told."""

    delivery: int
    event: Notice
    queued: str
    attempts: int
    due: str | None
    outcome: str | None


class Queued(TypedDict):
    """The webhook for which a test was queued."""

    webhook: str


class Secret(TypedDict):
    """A webhook and the secret that signs its deliveries, shown once; an e-mail has none."""

    webhook: str
    secret: str | None


class Webhook(TypedDict):
    """Somebody who is told what happens."""

    webhook: str
    url: str
    created: str
    waiting: int
    outcome: str | None
    signed: bool


class Webhooks(TypedDict):
    """All webhooks."""

    items: list[Webhook]

"""What routes about webhooks return."""

from typing import Annotated

from pydantic import BaseModel, Field

from expunge.ledger.notices import Notice


class WebhookModel(BaseModel):
    """Somebody who is told what happens."""

    webhook: str
    url: str
    created: str
    waiting: Annotated[int, Field(description="Deliveries that wait.")]
    outcome: Annotated[str | None, Field(description="How the last delivery went.")]
    signed: bool


class WebhooksModel(BaseModel):
    """All webhooks."""

    items: list[WebhookModel]


class SecretModel(BaseModel):
    """A webhook and the secret that signs its deliveries, shown once; an e-mail has none."""

    webhook: str
    secret: str | None


class QueuedModel(BaseModel):
    """The webhook for which a test was queued."""

    webhook: str


class DeliveryModel(BaseModel):
    """What a webhook was told, or is still to be told."""

    delivery: int
    event: Notice
    queued: str
    attempts: int
    due: Annotated[str | None, Field(description="When it is tried next; null once it has arrived, or was given up.")]
    outcome: str | None


class DeliveriesModel(BaseModel):
    """Deliveries, newest first."""

    items: list[DeliveryModel]

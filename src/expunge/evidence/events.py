"""Events: what the log records, one word each. Readers of a log know the events by these words."""

from enum import StrEnum


class EventKind(StrEnum):
    """What happened."""

    WORKSPACE_CREATED = "workspace.created"
    WORKSPACE_MOVED = "workspace.moved"
    WORKSPACE_RESTORED = "workspace.restored"
    SETTINGS_CHANGED = "settings.changed"
    CLOCK_CONFIRMED = "clock.confirmed"
    ANCHORS_RESTORED = "anchors.restored"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    TOKEN_ISSUED = "token.issued"
    TOKEN_REVOKED = "token.revoked"
    SESSION_STARTED = "session.started"
    SESSION_ENDED = "session.ended"
    WEBHOOK_ADDED = "webhook.added"
    WEBHOOK_ROTATED = "webhook.rotated"
    WEBHOOK_REMOVED = "webhook.removed"
    TABLE_WIDENED = "table.widened"
    MODEL_FITTED = "model.fitted"
    MODEL_SET_ASIDE = "model.set_aside"
    MODEL_RETIRED = "model.retired"
    RELEASE_CERTIFIED = "release.certified"
    REQUEST_ACCEPTED = "request.accepted"
    REQUEST_REFUSED = "request.refused"
    REQUEST_CANCELLED = "request.cancelled"
    REQUEST_RESTORED = "request.restored"
    REQUEST_STUCK = "request.stuck"
    BATCH_BEGUN = "batch.begun"
    BATCH_CERTIFIED = "batch.certified"
    BATCH_CLOSED = "batch.closed"
    BATCH_ABANDONED = "batch.abandoned"
    PERSON_SHOWN = "person.shown"
    TOMBSTONES_PURGED = "tombstones.purged"


REFIT_BATCH = "refit"
"""The ``batch_kind`` in ``batch.begun`` of a batch that may contain a scheduled refit."""

"""Events of the log in plain words, for people who read it."""

from expunge.evidence.events import EventKind

WORDS: dict[EventKind, str] = {
    EventKind.WORKSPACE_CREATED: "Workspace made",
    EventKind.WORKSPACE_MOVED: "Workspace moved to another disk",
    EventKind.WORKSPACE_RESTORED: "Workspace restored from a backup",
    EventKind.SETTINGS_CHANGED: "Settings changed",
    EventKind.CLOCK_CONFIRMED: "Clock confirmed",
    EventKind.ANCHORS_RESTORED: "Keys and checkpoint beside the ledger replaced",
    EventKind.KEY_ROTATED: "New signing key",
    EventKind.KEY_REVOKED: "Signing key revoked",
    EventKind.TOKEN_ISSUED: "Token issued",
    EventKind.TOKEN_REVOKED: "Token revoked",
    EventKind.SESSION_STARTED: "Somebody logged in",
    EventKind.SESSION_ENDED: "Somebody logged out",
    EventKind.WEBHOOK_ADDED: "Webhook added",
    EventKind.WEBHOOK_ROTATED: "New secret for a webhook",
    EventKind.WEBHOOK_REMOVED: "Webhook removed",
    EventKind.TABLE_WIDENED: "Type of a column widened",
    EventKind.MODEL_FITTED: "Model fitted",
    EventKind.MODEL_SET_ASIDE: "Model set aside",
    EventKind.MODEL_RETIRED: "Model withdrawn for good",
    EventKind.RELEASE_CERTIFIED: "Release certified",
    EventKind.REQUEST_ACCEPTED: "Request accepted",
    EventKind.REQUEST_REFUSED: "Request refused",
    EventKind.REQUEST_EXTENDED: "Deadline of a request extended",
    EventKind.REQUEST_APPROVED: "Requests approved by a second person",
    EventKind.REQUEST_CANCELLED: "Request withdrawn",
    EventKind.REQUEST_RESTORED: "Request made again after a restore",
    EventKind.REQUEST_STUCK: "Request could not be worked",
    EventKind.REQUEST_LIFTED: "Restriction of processing lifted",
    EventKind.BATCH_BEGUN: "Work begun",
    EventKind.BATCH_CERTIFIED: "Work certified",
    EventKind.BATCH_CLOSED: "Work finished",
    EventKind.BATCH_ABANDONED: "Work given up",
    EventKind.PERSON_SHOWN: "Somebody was looked up",
    EventKind.SUPPRESSION_ADDED: "Suppression list imported",
    EventKind.SUPPRESSION_LIFTED: "Suppression list lifted",
    EventKind.TOMBSTONES_PURGED: "Traces of people forgotten deleted at the end of their term",
}


def in_words(kind: object) -> str:
    """What an event of this kind says, in plain words; the kind itself if this version does not know it."""
    return WORDS.get(EventKind(str(kind)), str(kind)) if kind in set(EventKind) else str(kind)

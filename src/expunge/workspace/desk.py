"""The desk: who asks to be forgotten, what they are told, and the receipt they get. Every answer is definite."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from expunge.data.pseudonyms import subject_text
from expunge.errors import RequestRefused
from expunge.evidence.receipts import Receipt
from expunge.evidence.signing import SigningKey
from expunge.ledger import log, requests, times
from expunge.workspace.place import Place

Reason = Literal["unknown-subject", "already-forgotten", "key-reused", "limit", "empty"]


@dataclass(frozen=True)
class Wish:
    """That ``subject`` be forgotten; ``key``, the caller's idempotency key, gives the same request again."""

    subject: str = field(repr=False)
    actor: str
    key: str | None = None


@dataclass(frozen=True)
class Answer:
    """What became of one wish to be forgotten.

    Args:
        request: id of the request, also of a refused one.
        state: ``accepted``, ``refused``, or for a repeated request the state of the one there is.
        message: for people.
        deadline: until when it is to be closed, ISO 8601.
        rows: how many rows it is about, where that was looked up.
        reason: code of a refusal.
        receipt: the file for the requester, for a newly accepted request; ``receipt_again`` makes it once more.
    """

    request: str
    state: str
    message: str
    deadline: str
    rows: int = 0
    reason: Reason | None = None
    receipt: str | None = field(default=None, repr=False)

    @property
    def is_refused(self) -> bool:
        """Whether it was refused now."""
        return self.state == "refused"


def refusal(answer: Answer) -> RequestRefused:
    """A refused answer, as an error."""
    return RequestRefused(answer.message, reason=answer.reason or "refused")


def ask(place: Place, wishes: Sequence[Wish]) -> list[Answer]:
    """Answers wishes to be forgotten, in order; all in one transaction."""
    asked = [subject_text(wish.subject) for wish in wishes]
    tags = {subject: place.subject_key.pseudonym(subject) for subject in asked if subject}
    rows = place.table.counts(list(tags.values())) if tags else {}
    tombs = {subject: place.subject_key.tombstone(tag) for subject, tag in tags.items()}
    with place.database.writing() as connection:
        desk = _Desk(place, connection, tags, tombs, rows)
        answers = [desk.answer(subject, wish.actor, wish.key) for subject, wish in zip(asked, wishes, strict=True)]
        desk.record()
    return answers


def accepted(place: Place, connection: sa.Connection, subject: str, actor: str, kind: str) -> tuple[dict[str, Any], Receipt]:
    """The row and receipt of a request that is worked at once."""
    tag = place.subject_key.pseudonym(subject)
    values = _request(place, times.now(), actor, kind, None)
    values |= {"subject": tag, "tombstone": place.subject_key.tombstone(tag), "state": "accepted"}
    receipt = _receipt(place, place.signing_key(connection), values, subject)
    return {**values, "commitment": receipt.commitment}, receipt


def receipt_again(place: Place, request: str, subject: str) -> Receipt:
    """The receipt of ``request``, once more, for somebody who knows whose it is; the same but for a signing key changed since.

    Raises:
        RequestRefused: there is no such request, it was refused, or it is not of ``subject``.
    """
    with place.database.reading() as connection:
        row = requests.by_id(connection, request)
        if row is None:
            raise RequestRefused(f"there is no request {request!r}", reason="unknown-request")
        if not row.commitment:
            raise RequestRefused(f"request {request} was refused: there is no receipt of it", reason="no-receipt")
        receipt = _receipt(place, place.signing_key(connection), row._asdict(), subject_text(subject))
    if receipt.commitment != row.commitment:
        raise RequestRefused(
            f"request {request} was not made for this subject: check the id and its spelling", reason="another-subject"
        )
    return receipt


def cancel(place: Place, request: str) -> None:
    """Withdraws a request that nobody works on yet.

    Raises:
        RequestRefused: there is no such request, or it is past cancelling.
    """
    with place.database.writing() as connection:
        row = requests.by_id(connection, request)
        if row is None:
            raise RequestRefused(f"there is no request {request!r}", reason="unknown-request")
        if not requests.cancel(connection, request, times.exact()):
            state = "worked already by some of the models" if row.state == "accepted" else row.state
            raise RequestRefused(f"request {request} is {state}: only an untouched one can be cancelled", reason="too-late")
        log.note(connection, "request.cancelled", [{"request": request}])


class _Desk:
    """Answers wishes one by one, and records them all at the end."""

    def __init__(
        self,
        place: Place,
        connection: sa.Connection,
        tags: Mapping[str, str],
        tombs: Mapping[str, str],
        rows: Mapping[str, int],
    ) -> None:
        self._place, self._connection = place, connection
        self._tags, self._tombs, self._rows = tags, tombs, rows
        self._now = times.now()
        self._left: dict[str, int] = {}
        self._known: dict[str, Any] = dict(requests.found_by(connection, "tombstone", tombs.values()))
        self._signing_key = place.signing_key(connection)
        self._keys: dict[str, Any] = {}
        self._made: list[dict[str, Any]] = []
        self._received: list[dict[str, Any]] = []
        self._refused: list[dict[str, Any]] = []

    def answer(self, subject: str, actor: str, key: str | None) -> Answer:
        """What becomes of one wish."""
        if actor not in self._left:
            since = (self._now - timedelta(days=1)).isoformat()
            made = requests.made_since(self._connection, actor, since)
            self._left[actor] = self._place.configuration.requests_per_day - made
        tomb = self._tombs.get(subject, "")
        before = self._keyed(key)
        earlier = self._known.get(tomb)
        if before is not None:
            if before.state != "refused" and before.tombstone != tomb:
                return self._refuse(actor, None, "key-reused", "this key was used for another subject: choose a new one")
            return self._repeated(before)
        if earlier is not None and earlier.state in requests.OPEN:
            return self._repeated(earlier)
        rows = self._rows.get(self._tags.get(subject, ""), 0)
        if self._left[actor] <= 0:
            limit = self._place.configuration.requests_per_day
            return self._refuse(actor, None, "limit", f"more than {limit:,} requests in 24 hours: try again tomorrow")
        if not subject:
            return self._refuse(actor, key, "empty", "the subject is empty: give an id")
        if not rows and earlier is not None and earlier.state == "closed":
            message = f"already forgotten: request {earlier.id} was closed on {earlier.closed[:10]}"
            return self._refuse(actor, key, "already-forgotten", message)
        if not rows:
            return self._refuse(actor, key, "unknown-subject", "nobody of this id has rows here: check the id and its spelling")
        return self._accept(subject, actor, key, rows)

    def record(self) -> None:
        """Writes what was answered."""
        requests.insert(self._connection, self._made)
        log.note(self._connection, "request.accepted", self._received)
        log.note(self._connection, "request.refused", self._refused)

    def _keyed(self, key: str | None) -> Any:
        """The request made with ``key``, now or before."""
        if not key:
            return None
        return self._keys.get(key) or requests.found_by(self._connection, "key", [key]).get(key)

    def _accept(self, subject: str, actor: str, key: str | None, rows: int) -> Answer:
        values = _request(self._place, self._now, actor, "forget", key)
        values |= {"subject": self._tags[subject], "tombstone": self._tombs[subject], "state": "accepted"}
        receipt = _receipt(self._place, self._signing_key, values, subject)
        self._take(values | {"commitment": receipt.commitment})
        self._known[self._tombs[subject]] = _Values(self._made[-1])
        self._received.append({"request": values["id"], "request_kind": "forget", "commitment": receipt.commitment})
        message = f"accepted; to be closed by {values['deadline'][:10]}"
        return Answer(values["id"], "accepted", message, values["deadline"], rows, None, receipt.document)

    def _refuse(self, actor: str, key: str | None, reason: Reason, message: str) -> Answer:
        values = _request(self._place, self._now, actor, "forget", key)
        self._take(values | {"state": "refused", "problem": reason, "closed": values["received"]})
        self._refused.append({"request": values["id"]})  # not why: that tells who has rows here
        return Answer(values["id"], "refused", message, values["deadline"], reason=reason)

    def _take(self, values: dict[str, Any]) -> None:
        self._made.append(values)
        self._keys[values["key"]] = _Values(values)
        self._left[values["actor"]] -= 1

    def _repeated(self, row: Any) -> Answer:
        message = f"requested before, on {row.received[:10]}; that request is {row.state}"
        return Answer(row.id, row.state, message, row.deadline, reason=row.problem if row.state == "refused" else None)


class _Values:
    """A row that is not yet in the database."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)


def _request(place: Place, now: datetime, actor: str, kind: str, key: str | None) -> dict[str, Any]:
    identity = f"r-{secrets.token_hex(10)}"
    deadline = times.coarse(now) + timedelta(days=place.configuration.deadline_days)
    return {
        "id": identity,
        "key": key or identity,
        "kind": kind,
        "subject": None,
        "tombstone": "",
        "commitment": "",
        "actor": actor,
        "problem": None,
        "attempts": 0,
        "again": None,
        "received": now.isoformat(timespec="microseconds"),
        "deadline": deadline.isoformat(),
        "closed": None,
    }


def _receipt(place: Place, key: SigningKey, values: Mapping[str, Any], subject: str) -> Receipt:
    salt = place.subject_key.receipt_salt(values["id"])
    return Receipt.issue(key, salt, values["id"], subject, _details(values))


def _details(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the receipt says: the hour of the request, from which its deadline counts."""
    received = times.coarse(datetime.fromisoformat(values["received"])).isoformat()
    return {"kind": values["kind"], "received": received, "deadline": values["deadline"]}

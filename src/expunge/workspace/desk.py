"""The desk: who asks to be forgotten, what they are told, and the receipt they get. Every answer is definite."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from expunge.data.near import MEANING, Likeness
from expunge.errors import RequestRefused
from expunge.evidence.receipts import Receipt, committed
from expunge.evidence.signing import SigningKey
from expunge.identities import Rule, canonical, spellings
from expunge.ledger import log, requests, times, tombstones
from expunge.workspace.people import UNKNOWN, Found, Id, Near, People, Reason
from expunge.workspace.place import Place

Made = tuple[dict[str, Any], Receipt]


@dataclass(frozen=True)
class ForgetRequest:
    """That the person be forgotten whose id is ``subject``.

    Args:
        subject: in the subject column or an alias column.
        by: the column, where that must be said.
        key: the caller's idempotency key, which gives the same request again.
    """

    subject: str = field(repr=False)
    actor: str
    key: str | None = None
    by: str | None = None


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
        near: of an unknown subject, how an id is like it that somebody has.
        receipt: the file for the requester, for a newly accepted request; ``receipt_again`` makes it once more.
    """

    request: str
    state: str
    message: str
    deadline: str
    rows: int = 0
    reason: Reason | None = None
    near: Likeness | None = None
    receipt: str | None = field(default=None, repr=False)

    @property
    def is_refused(self) -> bool:
        """Whether it was refused now."""
        return self.state == "refused"


def refusal(answer: Answer) -> RequestRefused:
    """A refused answer, as an error."""
    return RequestRefused(answer.message, reason=answer.reason or "refused", near=answer.near)


def ask(place: Place, wishes: Sequence[ForgetRequest], *, dry_run: bool = False) -> list[Answer]:
    """Answers wishes to be forgotten, in order; all in one transaction. After a dry run nobody has asked."""
    people = People(place)
    ids = [Id(wish.subject, wish.by) for wish in wishes]
    found = people.find(ids)
    near = people.near(ids, found)
    likes = [like.who for listed in near.values() for like in listed]
    stones = {stone for each in (*found, *likes) for stone in each.tombstones}
    stones |= {place.subject_key.tombstone(tag) for each in found for tag in each.person}
    with place.database.reading() if dry_run else place.database.writing() as connection:
        desk = _Desk(place, connection, people, tombstones.requests_by(connection, stones))
        answers = [
            desk.answer(wish, who, near.get(number, ())) for number, (wish, who) in enumerate(zip(wishes, found, strict=True))
        ]
        if not dry_run:
            desk.record()
    return answers


def accepted(place: Place, connection: sa.Connection, subject: str, person: str, actor: str, kind: str) -> Made:
    """The row and receipt of a request that is worked at once, and leaves no tombstone.

    Args:
        subject: the id that was given.
        person: the pseudonym of who has it.
    """
    values = _request(place, times.now(), actor, kind, None)
    values |= {"subject": person, "state": "accepted"}
    key = place.subject_key
    receipt = _receipt(place, place.signing_key(connection), values, key.canonical(subject), key.rule)
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
        for rule, form in _forms(place, subject):
            if committed(place.subject_key.receipt_salt(request), request, form) == row.commitment:
                return _receipt(place, place.signing_key(connection), row._asdict(), form, rule)
    raise RequestRefused(
        f"request {request} was not made by this id: check it and its spelling, and whether it was made by another id of the "
        "same person",
        reason="another-subject",
    )


def _forms(place: Place, subject: str) -> list[tuple[Rule, str]]:
    """The forms of an id by the present rule and by earlier ones; none where it is not an id."""
    *earlier, rule = place.subject_key.rules
    try:
        return [(rule, canonical(subject, rule)), *((old, form) for old in earlier for form in spellings(subject, old))]
    except ValueError:
        return []


def cancel(place: Place, request: str, *, dry_run: bool = False) -> None:
    """Withdraws a request that nobody works on yet; a dry run finds out whether it could be.

    Raises:
        RequestRefused: there is no such request, or it is past cancelling.
    """
    with place.database.reading() if dry_run else place.database.writing() as connection:
        row = requests.by_id(connection, request)
        if row is None:
            raise RequestRefused(f"there is no request {request!r}", reason="unknown-request")
        if not requests.is_untouched(connection, request):
            state = "worked already by some of the models" if row.state == "accepted" else row.state
            raise RequestRefused(f"request {request} is {state}: only an untouched one can be cancelled", reason="too-late")
        if not dry_run:
            requests.cancel(connection, request, times.exact())
            log.note(connection, "request.cancelled", [{"request": request}])


class _Desk:
    """Answers wishes one by one, and records them all at the end.

    Args:
        known: by tombstone, the newest request under it.
    """

    def __init__(self, place: Place, connection: sa.Connection, people: People, known: Mapping[str, Any]) -> None:
        self._place, self._connection, self._people = place, connection, people
        self._known = dict(known)
        self._now = times.now()
        self._left: dict[str, int] = {}
        self._signing_key = place.signing_key(connection)
        self._keys: dict[str, Any] = {}
        self._made: list[dict[str, Any]] = []
        self._received: list[dict[str, Any]] = []
        self._refused: list[dict[str, Any]] = []

    def answer(self, wish: ForgetRequest, who: Found, near: Sequence[Near]) -> Answer:
        """What becomes of one wish."""
        actor, key = wish.actor, wish.key
        if actor not in self._left:
            since = (self._now - timedelta(days=1)).isoformat()
            made = requests.made_since(self._connection, actor, since)
            self._left[actor] = self._place.configuration.requests_per_day - made
        before, earlier = self._keyed(key), self._earlier(who)
        if before is not None:
            if before.state != "refused" and before.tombstone not in {*who.tombstones, *(row.tombstone for row in earlier)}:
                return self._refuse(actor, None, "key-reused", "this key was used for another subject: choose a new one")
            return self._repeated(before)
        is_open = [row for row in earlier if row.state in requests.OPEN]
        if is_open and len(who.people) < 2 and len(is_open) >= len(who.person):
            return self._repeated(is_open[0])
        if self._left[actor] <= 0:
            limit = self._place.configuration.requests_per_day
            return self._refuse(actor, None, "limit", f"more than {limit:,} requests in 24 hours: try again tomorrow")
        if who.problem is not None:
            return self._refuse(actor, key, who.problem.reason, who.problem.message)
        if len(who.people) > 1:
            return self._refuse(actor, key, "several-people", self._people.several(len(who.people)))
        closed = [row for row in earlier if row.state == "closed"]
        if not who.people and closed:
            message = f"already forgotten: request {closed[0].id} was closed on {closed[0].closed[:10]}"
            return self._refuse(actor, key, "already-forgotten", message)
        if not who.people:
            return self._unknown(actor, key, near)
        return self._accept(wish, who)

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

    def _earlier(self, who: Found) -> list[Any]:
        """The requests about somebody, the newest first; about who was called so, if nobody is now."""
        stones = map(self._place.subject_key.tombstone, who.person) if who.people else who.tombstones
        rows = {row.id: row for stone in stones if (row := self._known.get(stone)) is not None}
        return sorted(rows.values(), key=lambda row: row.received, reverse=True)

    def _unknown(self, actor: str, key: str | None, near: Sequence[Near]) -> Answer:
        """The refusal of an id that nobody has; it says if somebody has one that is like it."""
        for kind, who in near:
            if who.people or any(stone in self._known for stone in who.tombstones):
                message = f"{UNKNOWN}; somebody has, or had, {MEANING[kind]}"
                return self._refuse(actor, key, "unknown-subject", message, near=kind)
        return self._refuse(actor, key, "unknown-subject", UNKNOWN)

    def _accept(self, wish: ForgetRequest, who: Found) -> Answer:
        """A request for each of the person's pseudonyms: they have more than one only by an earlier rule of ids."""
        asked = [tag for tag in who.person if not self._is_asked(tag)]
        answers = [self._request(wish, tag, wish.key if tag == asked[0] else None) for tag in asked]
        values, receipt = answers[0]
        message = f"accepted; to be closed by {values['deadline'][:10]}"
        if others := [made["id"] for made, _receipt in answers[1:]]:
            message += f". By an earlier rule of ids this was more than one person: request {', '.join(others)} is made too"
        return Answer(values["id"], "accepted", message, values["deadline"], who.rows, receipt=receipt.document)

    def _is_asked(self, person: str) -> bool:
        known = self._known.get(self._place.subject_key.tombstone(person))
        return known is not None and known.state in requests.OPEN

    def _request(self, wish: ForgetRequest, person: str, key: str | None) -> Made:
        key_of_ids = self._place.subject_key
        tomb = key_of_ids.tombstone(person)
        values = _request(self._place, self._now, wish.actor, "forget", key)
        values |= {"subject": person, "tombstone": tomb, "state": "accepted"}
        form = key_of_ids.canonical(wish.subject)
        receipt = _receipt(self._place, self._signing_key, values, form, key_of_ids.rule)
        self._take(values | {"commitment": receipt.commitment})
        self._known[tomb] = _Values(self._made[-1])
        self._received.append({"request": values["id"], "request_kind": "forget", "commitment": receipt.commitment})
        return values, receipt

    def _refuse(self, actor: str, key: str | None, reason: Reason, message: str, near: Likeness | None = None) -> Answer:
        values = _request(self._place, self._now, actor, "forget", key)
        self._take(values | {"state": "refused", "problem": reason, "closed": values["received"]})
        self._refused.append({"request": values["id"]})  # not why: that tells who has rows here
        return Answer(values["id"], "refused", message, values["deadline"], reason=reason, near=near)

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


def _receipt(place: Place, key: SigningKey, values: Mapping[str, Any], form: str, rule: Rule) -> Receipt:
    """The receipt for the id whose form by ``rule`` is ``form``. It says the hour of the request, from which its deadline
    counts, and the rule, so that whoever checks it knows which spellings are the same id."""
    received = times.coarse(datetime.fromisoformat(values["received"])).isoformat()
    details = {"kind": values["kind"], "received": received, "deadline": values["deadline"], "ids": str(rule)}
    return Receipt.issue(key, place.subject_key.receipt_salt(values["id"]), values["id"], form, details)

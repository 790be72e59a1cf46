"""The desk: who asks to be forgotten, or restricted, what they are told, and the receipt they get. Every answer is definite."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby

import sqlalchemy as sa

from expunge.data.near import MEANING, Likeness
from expunge.errors import Refusal, RequestRefused
from expunge.evidence.events import EventKind
from expunge.evidence.receipts import Receipt, committed
from expunge.evidence.signing import SigningKey
from expunge.identities import Rule, canonical, spellings
from expunge.ledger import cases, log, notices, requests, times, tombstones
from expunge.ledger.notices import Notice
from expunge.ledger.requests import WORKED, Request, RequestKind, RequestState
from expunge.workspace.asking import Answer, Call, ForgetRequest
from expunge.workspace.cases import Case
from expunge.workspace.deadlines import MONTHS, days_left, due_on, end_of
from expunge.workspace.people import UNKNOWN, Found, Id, Near, People
from expunge.workspace.replays import OtherBody, Replays
from expunge.workspace.storage import Storage

Made = tuple[Request, Receipt]
Besides = Callable[[sa.Connection, Sequence[Answer]], None]


def refusal(answer: Answer) -> RequestRefused:
    """A refused answer, as an error."""
    assert answer.reason is not None
    return RequestRefused(answer.message, reason=answer.reason, near=answer.near)


def together(storage: Storage, wishes: Sequence[ForgetRequest]) -> Sequence[ForgetRequest]:
    """The wishes of one call, marked as such if they concern so many people that a second person has to approve them."""
    limit = storage.configuration.approval_people
    if not limit or len({wish.subject for wish in wishes}) <= limit:
        return wishes
    lot = f"l-{secrets.token_hex(10)}"
    return [replace(wish, lot=lot) for wish in wishes]


def ask(
    storage: Storage, wishes: Sequence[ForgetRequest], *, dry_run: bool = False, besides: Besides | None = None
) -> list[Answer]:
    """Answers requests, in order, in one transaction. A dry run records nothing.

    Args:
        besides: what is to be recorded with the answers, or not at all.
    """
    people = People(storage)
    ids = [Id(wish.subject, wish.by) for wish in wishes]
    found = people.find(ids)
    near = people.near(ids, found)
    likes = [like.who for listed in near.values() for like in listed]
    stones = {stone for each in (*found, *likes) for stone in each.tombstones}
    stones |= {storage.subject_key.tombstone(tag) for each in found for tag in each.person}
    parts = [_Part(wish, who, near.get(number, ())) for number, (wish, who) in enumerate(zip(wishes, found, strict=True))]
    with storage.database.reading() if dry_run else storage.database.writing() as connection:
        known = {kind: tombstones.requests_by(connection, stones, kind) for kind in WORKED}
        desk = _Desk(storage, connection, people, known)
        answers = [answer for key, together in _calls(parts) for answer in desk.call(key, together)]
        if not dry_run:
            desk.record()
            if besides is not None:
                besides(connection, answers)
    return answers


def accepted(
    storage: Storage, connection: sa.Connection, subject: str, person: str, actor: str, kind: RequestKind, case: Case
) -> Made:
    """A request that is worked at once and leaves no tombstone, and its receipt.

    Args:
        subject: the id that was given.
        person: the pseudonym of the person who has it.
    """
    made = replace(_request(storage, times.now(), ForgetRequest(subject, actor, case=case), kind, None), subject=person)
    key = storage.subject_key
    receipt = _receipt(storage, storage.signing_key(connection), made, key.canonical(subject), key.rule)
    return replace(made, commitment=receipt.commitment), receipt


def receipt_again(storage: Storage, request: str, subject: str) -> Receipt:
    """The receipt of ``request`` again, for somebody who knows whose it is; only the signing key may have changed since.

    Raises:
        RequestRefused: there is no such request, it was refused, or it was not made for ``subject``.
    """
    with storage.database.reading() as connection:
        return _again(storage, connection, requests.by_id(connection, request), request, subject)


def _again(storage: Storage, connection: sa.Connection, row: Request | None, request: str, subject: str) -> Receipt:
    if row is None:
        raise RequestRefused(f"there is no request {request!r}", reason=Refusal.UNKNOWN_REQUEST)
    if not row.commitment:
        raise RequestRefused(f"request {request} was refused, so it has no receipt", reason=Refusal.NO_RECEIPT)
    for rule, form in forms(storage, subject):
        if committed(storage.subject_key.receipt_salt(request), request, form) == row.commitment:
            return _receipt(storage, storage.signing_key(connection), row, form, rule)
    raise RequestRefused(
        f"request {request} was not made for this id: check the id and its spelling, and whether it was made for another id of "
        "the same person",
        reason=Refusal.ANOTHER_SUBJECT,
    )


def forms(storage: Storage, subject: str) -> list[tuple[Rule, str]]:
    """The forms of an id under the present rule and earlier ones; none where it is not an id."""
    *earlier, rule = storage.subject_key.rules
    try:
        return [(rule, canonical(subject, rule)), *((old, form) for old in earlier for form in spellings(subject, old))]
    except ValueError:
        return []


@dataclass(frozen=True, eq=False)
class _Part:
    """A wish, whom its id stands for, and who has a similar id if nobody has it."""

    wish: ForgetRequest
    who: Found
    near: Sequence[Near]


def _calls(parts: Sequence[_Part]) -> Iterator[tuple[str | None, Sequence[_Part]]]:
    """The parts of each call that has an idempotency key, with the key; every other wish alone."""
    calls = groupby(parts, key=lambda part: part.wish.call or part)  # neither is equal to another
    for call, listed in calls:
        together = list(listed)
        yield call.key if isinstance(call, Call) else together[0].wish.key, together


class _Desk:
    """Answers requests one by one, and records them all at the end.

    Args:
        known: by kind and tombstone, the newest request under it.
    """

    def __init__(
        self, storage: Storage, connection: sa.Connection, people: People, known: Mapping[RequestKind, Mapping[str, Request]]
    ) -> None:
        self._storage, self._connection, self._people = storage, connection, people
        self._known = {kind: dict(by_stone) for kind, by_stone in known.items()}
        self._now = times.now()
        self._left: dict[str, int] = {}
        self._signing_key = storage.signing_key(connection)
        self._keys: dict[str, Request] = {}
        self._made: list[Request] = []
        self._cases: dict[str, tuple[str, Case]] = {}
        self._received: list[dict[str, str]] = []
        self._refused: list[dict[str, str]] = []
        self._replays = Replays(storage.subject_key, connection, self._receipt_again)

    def call(self, key: str | None, parts: Sequence[_Part]) -> list[Answer]:
        """The answers to the wishes of one call; if one with this idempotency key was answered before, the same answers."""
        if key is None:
            return [self.answer(part.wish, part.who, part.near) for part in parts]
        wishes = [part.wish for part in parts]
        try:
            before = self._replays.before(key, wishes)
        except OtherBody:
            message = "this Idempotency-Key was used for a call that asked for something else: choose a new one"
            return [self._refuse(wishes[0], None, Refusal.KEY_REUSED, message)] * len(parts)
        if before is not None:
            return before
        made = [self.answer(part.wish, part.who, part.near) for part in parts]
        self._replays.note(key, wishes, made)
        return made

    def _receipt_again(self, request: str, subject: str) -> str:
        row = next((made for made in self._made if made.id == request), None) or requests.by_id(self._connection, request)
        return _again(self._storage, self._connection, row, request, subject).document

    def answer(self, wish: ForgetRequest, who: Found, near: Sequence[Near]) -> Answer:
        """The answer to one request."""
        actor, key = wish.actor, wish.key
        before, earlier = self._keyed(key), self._earlier(who, wish.kind)
        if before is not None:
            theirs = {*who.tombstones, *(row.tombstone for row in earlier)}
            if before.kind != wish.kind or (before.state != RequestState.REFUSED and before.tombstone not in theirs):
                return self._refuse(wish, None, Refusal.KEY_REUSED, "this key was used for another request: choose a new one")
            return self._repeated(before)
        is_open = [row for row in earlier if row.is_open or row.is_standing]
        if is_open and len(who.people) < 2 and len(is_open) >= len(who.person):
            return self._repeated(is_open[0])
        if self._may_make(actor) <= 0:
            limit = self._storage.configuration.requests_per_day
            return self._refuse(wish, None, Refusal.LIMIT, f"more than {limit:,} requests in 24 hours: try again tomorrow")
        if who.problem is not None:
            return self._refuse(wish, key, who.problem.reason, who.problem.message)
        if len(who.people) > 1:
            return self._refuse(wish, key, Refusal.SEVERAL_PEOPLE, self._people.several(len(who.people)))
        forgotten = self._earlier(who, RequestKind.FORGET)
        leaving = [row for row in forgotten if row.is_open]
        if leaving and wish.kind == RequestKind.RESTRICT:
            message = (
                f"the person asked to be forgotten, in request {leaving[0].id}, which erases the rows: withdraw that first"
            )
            return self._refuse(wish, key, Refusal.BEING_FORGOTTEN, message)
        closed = [row for row in forgotten if row.state == RequestState.CLOSED]
        if not who.people and closed:
            message = f"already forgotten: request {closed[0].id} was closed on {str(closed[0].closed)[:10]}"
            return self._refuse(wish, key, Refusal.ALREADY_FORGOTTEN, message)
        if not who.people:
            return self._unknown(wish, near)
        return self._accept(wish, who)

    def _may_make(self, actor: str) -> int:
        """How many requests ``actor`` may still make today."""
        if actor not in self._left:
            since = (self._now - timedelta(days=1)).isoformat()
            made = requests.made_since(self._connection, actor, since)
            self._left[actor] = self._storage.configuration.requests_per_day - made
        return self._left[actor]

    def record(self) -> None:
        """Writes the answers to the ledger."""
        requests.insert(self._connection, self._made)
        self._replays.record(self._now.isoformat(timespec="microseconds"))
        cases.keep_files(self._connection, {name: case.file for name, (_actor, case) in self._cases.items()})
        for name, (actor, case) in self._cases.items():
            if case.note is not None:
                cases.add_note(self._connection, name, actor, case.note)
        log.note(self._connection, EventKind.REQUEST_ACCEPTED, self._received)
        about = [{"request": row.id, "deadline": row.deadline} for row in self._made if row.state == RequestState.ACCEPTED]
        notices.announce_requests(self._connection, Notice.REQUEST_ACCEPTED, about)
        log.note(self._connection, EventKind.REQUEST_REFUSED, self._refused)

    def _keyed(self, key: str | None) -> Request | None:
        """The request made with ``key``, now or before."""
        if not key:
            return None
        return self._keys.get(key) or requests.found_by(self._connection, "key", [key]).get(key)

    def _earlier(self, who: Found, kind: RequestKind) -> list[Request]:
        """The requests of a kind about a person, newest first; if nobody has the id now, those about whoever had it."""
        stones = map(self._storage.subject_key.tombstone, who.person) if who.people else who.tombstones
        rows = {row.id: row for stone in stones if (row := self._known[kind].get(stone)) is not None}
        return sorted(rows.values(), key=lambda row: row.received, reverse=True)

    def _unknown(self, wish: ForgetRequest, near: Sequence[Near]) -> Answer:
        """The refusal of an id that nobody has; it says whether somebody has a similar one."""
        for kind, who in near:
            if who.people or any(stone in known for known in self._known.values() for stone in who.tombstones):
                message = f"{UNKNOWN}; somebody has, or had, {MEANING[kind]}"
                return self._refuse(wish, wish.key, Refusal.UNKNOWN_SUBJECT, message, near=kind)
        return self._refuse(wish, wish.key, Refusal.UNKNOWN_SUBJECT, UNKNOWN)

    def _accept(self, wish: ForgetRequest, who: Found) -> Answer:
        """A request for each of the person's pseudonyms; there is more than one only under an earlier rule of ids."""
        asked = [tag for tag in who.person if not self._is_asked(tag, wish.kind)]
        answers = [self._request(wish, tag, wish.key if tag == asked[0] else None) for tag in asked]
        made, receipt = answers[0]
        message = f"accepted; to be closed by {made.deadline[:10]}"
        if days_left(made.deadline, self._now) < 0:
            message += ", which is over"
        if made.is_unapproved:
            message += "; a second person has to approve it before it is worked"
        if standing := [row.id for row in self._earlier(who, RequestKind.RESTRICT) if row.is_standing]:
            message += f"; the restriction of processing in request {standing[0]} ends with the rows"
        if others := [other.id for other, _receipt in answers[1:]]:
            message += f". Under an earlier rule of ids this was more than one person: request {', '.join(others)} was made too"
        return Answer(made.id, made.state, message, made.deadline, who.rows, receipt=receipt.document)

    def _is_asked(self, person: str, kind: RequestKind) -> bool:
        known = self._known[kind].get(self._storage.subject_key.tombstone(person))
        return known is not None and (known.is_open or known.is_standing)

    def _request(self, wish: ForgetRequest, person: str, key: str | None) -> Made:
        key_of_ids = self._storage.subject_key
        tomb = key_of_ids.tombstone(person)
        made = _request(self._storage, self._now, wish, wish.kind, key)
        hold = self._now + timedelta(hours=self._storage.configuration.hold_hours)
        made = replace(made, subject=person, tombstone=tomb, lot=wish.lot, ground=wish.ground)
        made = replace(made, hold=hold.isoformat(timespec="microseconds") if hold > self._now else None)
        form = key_of_ids.canonical(wish.subject)
        receipt = _receipt(self._storage, self._signing_key, made, form, key_of_ids.rule)
        made = replace(made, commitment=receipt.commitment)
        self._take(made, wish)
        self._known[wish.kind][tomb] = made
        self._received.append({"request": made.id, "request_kind": made.kind, "commitment": made.commitment})
        return made, receipt

    def _refuse(
        self, wish: ForgetRequest, key: str | None, reason: Refusal, message: str, near: Likeness | None = None
    ) -> Answer:
        made = _request(self._storage, self._now, wish, wish.kind, key)
        self._take(replace(made, state=RequestState.REFUSED, problem=reason, closed=made.received), wish)
        self._refused.append({"request": made.id})  # not why: that would tell who has rows here
        return Answer(made.id, RequestState.REFUSED, message, made.deadline, reason=reason, near=near)

    def _take(self, made: Request, wish: ForgetRequest) -> None:
        self._made.append(made)
        self._cases[made.id] = made.actor, wish.case
        self._keys[made.key] = made
        self._left[made.actor] = self._may_make(made.actor) - 1

    def _repeated(self, before: Request) -> Answer:
        message = f"requested before, on {before.received_on}; that request is {before.state}"
        reason = Refusal(str(before.problem)) if before.state == RequestState.REFUSED else None
        return Answer(before.id, before.state, message, before.deadline, reason=reason)


def _request(storage: Storage, now: datetime, wish: ForgetRequest, kind: RequestKind, key: str | None) -> Request:
    identity, day = f"r-{secrets.token_hex(10)}", wish.case.received_on or now.date()
    return Request(
        id=identity,
        kind=kind,
        actor=wish.actor,
        state=RequestState.ACCEPTED,
        received=now.isoformat(timespec="microseconds"),
        deadline=end_of(due_on(day, MONTHS, storage.configuration.off)),
        key=key or identity,
        received_on=day.isoformat(),
        channel=wish.case.channel,
    )


def _receipt(storage: Storage, key: SigningKey, request: Request, form: str, rule: Rule) -> Receipt:
    """The receipt for the id whose form under ``rule`` is ``form``. It states the day on which the request came, the deadline
    that counts from it, before any extension, and the rule, so that a verifier knows which spellings are the same id."""
    deadline = request.first_deadline or request.deadline
    details = {"kind": request.kind, "received": request.received_on, "deadline": deadline, "ids": str(rule)}
    return Receipt.issue(key, storage.subject_key.receipt_salt(request.id), request.id, form, details)

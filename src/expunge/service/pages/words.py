"""Words: what pages say of requests, in sentences that an officer would use."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from markupsafe import Markup

from expunge.ledger import times
from expunge.ledger.cases import ERASED, OF_ERASURE, OF_RESTRICTION, Deed, Extension, Ground, Lifting, Withdrawal
from expunge.ledger.register import Matter, Sort
from expunge.ledger.requests import Basis, Channel, Request, RequestKind, RequestState
from expunge.service.pages.rendering import moment
from expunge.workspace.days import day
from expunge.workspace.deadlines import days_left
from expunge.workspace.register import LEARNED_AGAIN, days_taken

CHANNELS = {
    Channel.LETTER: "by letter",
    Channel.EMAIL: "by e-mail",
    Channel.FORM: "by form",
    Channel.TELEPHONE: "by telephone",
    Channel.IN_PERSON: "in person",
    Channel.OTHER: "in another way",
}
KINDS = {RequestKind.FORGET: "erase", RequestKind.RECTIFY: "correct", RequestKind.RESTRICT: "restrict"}
ASKS = {
    RequestKind.FORGET: "It asks to erase a person's data.",
    RequestKind.RECTIFY: "It asks to correct a person's data.",
    RequestKind.RESTRICT: "It asks to restrict the processing of a person's data: the rows stay, and no model has them.",
}
ENTERED = {RequestKind.FORGET: "erasure (Art. 17)", RequestKind.RESTRICT: "restriction of processing (Art. 18)"}
"""What can be asked for on the page of new requests."""
BASES = {
    Basis.ACCURACY: "the person contests that the data are accurate (Art. 18(1)(a))",
    Basis.UNLAWFUL: "the processing is unlawful, and the person does not want erasure (Art. 18(1)(b))",
    Basis.CLAIMS: "the person needs the data for legal claims (Art. 18(1)(c))",
    Basis.OBJECTION: "the person has objected, which is not decided yet (Art. 18(1)(d))",
}
LIFTINGS = {
    Lifting.SETTLED: "what was contested, or objected to, is decided",
    Lifting.CLAIMS_OVER: "the person needs the data for no claim any more",
    Lifting.PERSON: "the person wants it lifted",
    Lifting.OTHER: "another reason",
}
STATES = {
    RequestState.ACCEPTED: "waiting",
    RequestState.WORKING: "being worked",
    RequestState.CERTIFIED: "being erased",
    RequestState.CLOSED: "done",
    RequestState.RETURNED: "done; the person is back",
    RequestState.RESTRICTED: "restricted",
    RequestState.LIFTING: "restriction being lifted",
    RequestState.LIFTED: "restriction lifted",
    RequestState.CANCELLED: "withdrawn",
    RequestState.REFUSED: "refused",
}
EXTENSIONS = {Extension.COMPLEXITY: "the request is complex", Extension.MANY: "there are many requests"}
GROUNDS = {
    Ground.EXPRESSION: "freedom of expression and information (Art. 17(3)(a))",
    Ground.LEGAL_OBLIGATION: "a legal obligation or a public task (Art. 17(3)(b))",
    Ground.PUBLIC_HEALTH: "public health (Art. 17(3)(c))",
    Ground.ARCHIVING: "archiving, research or statistics (Art. 17(3)(d))",
    Ground.LEGAL_CLAIMS: "legal claims (Art. 17(3)(e))",
    Ground.NO_GROUND: "none of the grounds of Art. 18(1) applies",
    Ground.UNFOUNDED: "manifestly unfounded (Art. 12(5))",
    Ground.EXCESSIVE: "excessive (Art. 12(5))",
}
WITHDRAWALS = {
    Withdrawal.PERSON: "the person has withdrawn it",
    Withdrawal.MISTAKE: "it was entered by mistake",
    Withdrawal.DUPLICATE: "it was entered twice",
    Withdrawal.OTHER: "another reason",
}
CODES = {
    "unknown-subject": "nobody here has the id",
    "already-forgotten": "the person was already forgotten",
    "several-people": "the id stands for several people",
    "invalid-id": "it is not an id",
    "unknown-column": "there is no such column of ids",
    "empty": "no id was given",
    "limit": "there were too many requests that day",
    "key-reused": "its key was used for somebody else",
    "being-forgotten": "the person asked to be forgotten",
    ERASED: "the person was forgotten",
}
MATTERS = {
    Matter.OPEN: "open",
    Matter.OVERDUE: "overdue",
    Matter.DUE: "due this week",
    Matter.STUCK: "stuck",
    Matter.APPROVAL: "to be approved",
    Matter.HELD: "can still be withdrawn",
}
SORTS = {
    Sort.NEWEST: "newest first",
    Sort.OLDEST: "oldest first",
    Sort.DUE: "most urgent first",
    Sort.CLOSED: "last ended first",
}
HAPPENED = {
    "accepted": "Received and entered",
    "refused": "Refused",
    "certified": "Forgotten by a model",
    "closed": "Done: the rows are erased",
    "restricted": "Processing restricted: every model has forgotten the rows, which are stored",
    Deed.LIFTED: "Restriction lifted",
    LEARNED_AGAIN: "Every model has learned the rows again",
    ERASED: "The rows were erased, and the restriction ended",
    Deed.EXTENDED: "Deadline extended",
    Deed.CANCELLED: "Withdrawn",
    Deed.APPROVED: "Approved",
    Deed.NOTED: "Note added",
}


def grounds(row: Request) -> Mapping[Ground, str]:
    """Why a request of this kind may be refused."""
    return {ground: GROUNDS[ground] for ground in (OF_RESTRICTION if row.kind == RequestKind.RESTRICT else OF_ERASURE)}


def why(reason: str | None) -> str:
    """Why a request was extended, refused or withdrawn."""
    known: list[Mapping[Any, str]] = [EXTENSIONS, GROUNDS, WITHDRAWALS, LIFTINGS, CODES]
    return next((said[reason] for said in known if reason in said), reason or "")


def left(row: Request, now: datetime) -> str:
    """How many days are left, or since when it is overdue."""
    days = days_left(row.deadline, now)
    if days < 0:
        return f"overdue by {_days(-days)}"
    return "due today" if days == 0 else f"{_days(days)} left"


def sentence(row: Request) -> Markup:
    """Where a request stands, in a few sentences."""
    now = times.now()
    came = f"Received {day(row.received_on)}" + ("" if row.channel is None else f" {CHANNELS[row.channel]}")
    extended = "" if row.first_deadline is None else f" (extended from {day(row.first_deadline)})"
    if row.is_open:
        due = f"{came}, due {day(row.deadline)}{extended}: {left(row, now)}."
        return Markup("{} {}").format(due, _stands(row, now))
    ended = day(row.closed or row.received)
    if row.is_standing or row.state == RequestState.LIFTED:
        return _restricted(row, came, ended)
    if row.state in (RequestState.CLOSED, RequestState.RETURNED):
        taken = days_taken(row) or 0
        done = f"{came}, done {ended}, " + ("on the same day." if taken == 0 else f"after {_days(taken)}.")
        late = " That was late." if str(row.closed)[:10] > row.deadline[:10] else ""
        back = " The person has come back with new rows since." if row.state == RequestState.RETURNED else ""
        return Markup("{}{}{}").format(done, late, back)
    reason = why(row.reason or row.problem)
    return Markup("{}, {} {}{}.").format(came, STATES[row.state], ended, f": {reason}" if reason else "")


def _restricted(row: Request, came: str, since: str) -> Markup:
    """Where a restriction stands that has taken effect."""
    late = " That was late." if str(row.closed)[:10] > row.deadline[:10] else ""
    if row.state == RequestState.LIFTED:
        return Markup("{}, restricted from {} to {}: {}.{}").format(came, since, day(str(row.lifted)), why(row.reason), late)
    said = f"{came}, restricted since {since}.{late} The rows are stored, and no model has them."
    if row.state == RequestState.RESTRICTED:
        return Markup("{}").format(said)
    return Markup("{} It is being lifted, because {}; it stands until the models have learned the rows again.").format(
        said, why(row.reason)
    )


def _stands(row: Request, now: datetime) -> Markup:
    if row.state != RequestState.ACCEPTED:
        return Markup(
            "Being worked." if row.state == RequestState.WORKING else "Every model has forgotten the person; being erased."
        )
    if row.is_unapproved:
        return Markup("It waits for a second person's approval.")
    if row.is_held(now.isoformat(timespec="microseconds")):
        return Markup("It can be withdrawn until {}, and is worked then.").format(moment(str(row.hold)))
    return Markup("It could not be worked yet." if row.problem else "Waiting to be worked.")


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count:,} days"

"""Asking: what somebody asks of the desk, and what they are answered."""

from dataclasses import dataclass, field

from expunge.data.near import Likeness
from expunge.errors import Refusal
from expunge.ledger.requests import Basis, RequestKind, RequestState
from expunge.workspace.cases import NO_CASE, Case


@dataclass(frozen=True, eq=False)
class Call:
    """A call that asks for many people under one idempotency key, ``key``."""

    key: str = field(repr=False)


@dataclass(frozen=True)
class ForgetRequest:
    """A request to forget the person whose id is ``subject``, or to restrict the processing of their data: the models forget
    them, and their rows stay.

    Args:
        subject: an id in the subject column or an alias column.
        by: the column of the id, where it must be given.
        key: the caller's idempotency key; with the same key, the same request is returned.
        case: how the request came, and what is noted of it.
        lot: the call with which it came, if a second person has to approve that; see ``desk.together``.
        call: the call with which it came, if that has an idempotency key for all its wishes.
        kind: to forget, or to restrict.
        ground: of a restriction, why it is asked for, if that is known.
    """

    subject: str = field(repr=False)
    actor: str
    key: str | None = None
    by: str | None = None
    case: Case = NO_CASE
    lot: str | None = None
    call: Call | None = None
    kind: RequestKind = RequestKind.FORGET
    ground: Basis | None = None


@dataclass(frozen=True)
class Answer:
    """The answer to one request to be forgotten, or to restrict processing.

    Args:
        request: id of the request, even of a refused one.
        state: ``accepted``, ``refused``, or for a repeated request the state of the earlier one.
        message: for people.
        deadline: by when it is to be closed, ISO 8601.
        rows: number of rows that it concerns, where that was looked up.
        reason: code of the refusal.
        near: for an unknown subject, how it resembles an id that somebody has.
        receipt: the file for the requester, for a newly accepted request; ``desk.receipt_again`` makes it again.
        is_replayed: whether this is the answer to an earlier call with the same idempotency key.
    """

    request: str
    state: RequestState
    message: str
    deadline: str
    rows: int = 0
    reason: Refusal | None = None
    near: Likeness | None = None
    receipt: str | None = field(default=None, repr=False)
    is_replayed: bool = False

    @property
    def is_refused(self) -> bool:
        """Whether it was refused now."""
        return self.state == RequestState.REFUSED

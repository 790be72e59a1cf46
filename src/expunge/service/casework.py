"""What the API accepts and returns of the handling of requests: what officers do, and the register."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from expunge.ledger.cases import Extension, Ground, Lifting, Withdrawal
from expunge.service.bodies import By, Subject
from expunge.workspace.cases import LONG, SHORT


class Extended(BaseModel):
    """By how much a deadline is extended, and why (GDPR Art. 12(3))."""

    model_config = ConfigDict(extra="forbid")
    months: Annotated[int, Field(ge=1, le=2)]
    reason: Extension


class RefusedFor(BaseModel):
    """Why a request is refused (GDPR Art. 17(3) and 12(5))."""

    model_config = ConfigDict(extra="forbid")
    reason: Ground


class Withdrawn(BaseModel):
    """Why a request is withdrawn."""

    model_config = ConfigDict(extra="forbid")
    reason: Withdrawal = Withdrawal.PERSON


class Lifted(BaseModel):
    """Why a restriction of processing is lifted, and that the person was told before (GDPR Art. 18(3))."""

    model_config = ConfigDict(extra="forbid")
    reason: Lifting
    informed: Annotated[StrictBool, Field(description="Whether the person was told before; if not, it is not lifted.")]


class Written(BaseModel):
    """A note."""

    model_config = ConfigDict(extra="forbid")
    text: Annotated[str, Field(min_length=1, max_length=LONG, repr=False)]


class Sought(BaseModel):
    """Whose requests are sought, by an id; or a reference, or the beginning of a request's number."""

    model_config = ConfigDict(extra="forbid")
    subject: Annotated[Subject | None, Field(repr=False)] = None
    by: By = None
    text: Annotated[str | None, Field(min_length=1, max_length=SHORT, repr=False)] = None


class RequestModel(BaseModel):
    """A request, without anything that points to its subject."""

    id: str
    kind: str
    state: str
    received: Annotated[str, Field(description="When it was entered.")]
    received_on: Annotated[str, Field(description="The day on which it came.")]
    channel: str | None
    deadline: str
    first_deadline: Annotated[str | None, Field(description="The deadline before it was extended.")]
    extension: str | None
    days_left: int
    hold: Annotated[str | None, Field(description="It is not worked before.")]
    needs_approval: bool
    closed: str | None
    reason: Annotated[str | None, Field(description="Why an officer refused it, or it was withdrawn, or a restriction lifted.")]
    problem: str | None
    batch: int | None
    ground: Annotated[str | None, Field(description="Of a restriction, why it was asked for.")]
    lifted: Annotated[str | None, Field(description="When a restriction ended; `closed` is when it took effect.")]


class NoteModel(BaseModel):
    """A note on a request."""

    at: str
    actor: str
    text: str


class OneRequestModel(RequestModel):
    """A request with its certificates; for operators and auditors, with what the office notes of it."""

    certificates: list[int]
    reference: str | None = None
    checked_by: str | None = None
    notes: list[NoteModel] | None = None


class RegisterModel(BaseModel):
    """A part of the register."""

    items: list[RequestModel]
    total: int
    next: str | None


class FoundModel(BaseModel):
    """The requests that were sought, newest first."""

    items: list[RequestModel]
    total: int


class EntryModel(BaseModel):
    """Something that happened to a request."""

    at: str
    what: str
    actor: str | None
    who: str | None
    reason: str | None
    model: str | None
    certificate: int | None
    event: Annotated[int | None, Field(description="Number of the event in the signed log.")]


class HistoryModel(BaseModel):
    """What happened to a request, in order."""

    items: list[EntryModel]


class DeadlineModel(BaseModel):
    """A request and its deadline."""

    request: str
    deadline: str


class ApprovedModel(BaseModel):
    """The requests that were approved."""

    requests: list[str]

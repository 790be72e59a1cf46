"""Answers about requests, made by ``python -m tools.contract``."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

Rung = Literal["exact", "statistics", "pass", "refit"]


class Answer(TypedDict):
    """The answer to a request; the receipt is for the requester, and can be made again."""

    request: str
    state: str
    message: str
    deadline: str
    rows: int
    reason: str | None
    near: str | None
    receipt: str | None


class Approved(TypedDict):
    """The requests that were approved."""

    requests: list[str]


class Deadline(TypedDict):
    """A request and its deadline."""

    request: str
    deadline: str


class Entry(TypedDict):
    """Something that happened to a request."""

    at: str
    what: str
    actor: str | None
    who: str | None
    reason: str | None
    model: str | None
    certificate: int | None
    event: int | None


class Expected(TypedDict):
    """How a model will probably forget them, and the seconds that it took the last time."""

    model: str
    rung: Rung
    seconds: float | None


class Found(TypedDict):
    """The requests that were sought, newest first."""

    items: list[Request]
    total: int


class History(TypedDict):
    """What happened to a request, in order."""

    items: list[Entry]


class Note(TypedDict):
    """A note on a request."""

    at: str
    actor: str
    text: str


class OneRequest(TypedDict):
    """A request with its certificates; for operators and auditors, with what the office notes of it."""

    id: str
    kind: str
    state: str
    received: str
    received_on: str
    channel: str | None
    deadline: str
    first_deadline: str | None
    extension: str | None
    days_left: int
    hold: str | None
    needs_approval: bool
    closed: str | None
    reason: str | None
    problem: str | None
    batch: int | None
    ground: str | None
    lifted: str | None
    certificates: list[int]
    reference: NotRequired[str | None]
    checked_by: NotRequired[str | None]
    notes: NotRequired[list[Note] | None]


class Preview(TypedDict):
    """What requests would affect."""

    rows: list[int]
    influence: dict[str, list[float]]
    expected: list[Expected]


class Receipt(TypedDict):
    """A receipt, the file for the person."""

    request: str
    receipt: str


class Register(TypedDict):
    """A part of the register."""

    items: list[Request]
    total: int
    next: str | None


class Request(TypedDict):
    """A request, without anything that points to its subject."""

    id: str
    kind: str
    state: str
    received: str
    received_on: str
    channel: str | None
    deadline: str
    first_deadline: str | None
    extension: str | None
    days_left: int
    hold: str | None
    needs_approval: bool
    closed: str | None
    reason: str | None
    problem: str | None
    batch: int | None
    ground: str | None
    lifted: str | None

"""Answers about operation, made by ``python -m tools.contract``."""

from __future__ import annotations

from typing import Literal, TypedDict

from expunge.client.answers.models import Finding

Cause = Literal["busy", "row", "model", "environment", "delivery", "bug"]


RequestState = Literal[
    "accepted", "working", "certified", "closed", "returned", "restricted", "lifting", "lifted", "cancelled", "refused"
]


Role = Literal["operator", "engineer", "auditor", "consumer"]


class Fault(TypedDict):
    """Something that stands in the way, and how often it was met."""

    part: str
    cause: Cause
    message: str
    since: str
    count: int


class Findings(TypedDict):
    """What the checks found."""

    is_well: bool
    findings: list[Finding]


class Health(TypedDict):
    """Whether the queue is being worked, and what stands in its way."""

    requests: dict[str, int]
    overdue: int
    worker: Literal["ok", "late", "dead"]
    last_round: str
    working_since: str | None
    deliveries: Literal["ok", "dead"]
    jobs: Literal["ok", "dead"]
    job: int | None
    problem: str | None
    faults: list[Fault]


class Token(TypedDict):
    """A token without its secret. Times are ISO 8601."""

    token: str
    name: str
    role: Role
    created: str
    revoked: str | None


class Tokens(TypedDict):
    """All tokens, oldest first."""

    items: list[Token]

"""Answers about certificates, made by ``python -m tools.contract``."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

EventKind = Literal[
    "workspace.created",
    "workspace.moved",
    "workspace.restored",
    "settings.changed",
    "clock.confirmed",
    "anchors.restored",
    "key.rotated",
    "key.revoked",
    "token.issued",
    "token.revoked",
    "session.started",
    "session.ended",
    "webhook.added",
    "webhook.rotated",
    "webhook.removed",
    "table.widened",
    "model.fitted",
    "model.set_aside",
    "model.retired",
    "release.certified",
    "request.accepted",
    "request.refused",
    "request.cancelled",
    "request.restored",
    "request.extended",
    "request.approved",
    "request.stuck",
    "request.lifted",
    "batch.begun",
    "batch.certified",
    "batch.closed",
    "batch.abandoned",
    "person.shown",
    "suppressions.added",
    "suppressions.lifted",
    "tombstones.purged",
]


class Bundle(TypedDict):
    """A certificate that can be verified offline."""

    expunge: Literal["certificate"]
    certificate: str
    event: str
    proof: Proof
    checkpoint: str
    covers: NotRequired[Covers | None]


class Certificate(TypedDict):
    """A certificate, of which release of which model."""

    certificate: int
    model: str
    release: int
    at: str
    purged: str | None


class Certificates(TypedDict):
    """Certificates, newest first."""

    items: list[Certificate]
    next: int | None


class Covers(TypedDict):
    """The proof that a certificate answers a request."""

    commitment: str
    proof: Proof


class Envelope(TypedDict):
    """A signed statement: a DSSE envelope around an in-toto statement."""

    payload: str
    payloadType: str
    signatures: list[Signature]


class Event(TypedDict):
    """An event of the log; what else it says depends on its kind."""

    seq: int
    at: str
    kind: EventKind


class Evidence(TypedDict):
    """A certificate with its evidence and its place in the log."""

    certificate: int
    model: str
    release: int
    at: str
    purged: str | None
    evidence: Figures
    event: Event
    proof: Proof


class Figures(TypedDict):
    """What a certificate rests on. It depends on people's rows."""

    epsilon: float | Literal["inf"]
    delta: float | Literal["inf"]
    epsilon_total: float | Literal["inf"]
    distance_bound: float | Literal["inf"]
    rung: str
    n_forgotten: int
    remaining: float
    seconds: float


class Proof(TypedDict):
    """A proof in the Merkle tree of the log (RFC 9162), as pymerkle writes it."""

    type: NotRequired[Literal["inclusion", "consistency"] | None]
    metadata: Tree
    rule: list[int]
    path: list[str]
    subset: NotRequired[list[int] | None]


class Signature(TypedDict):
    """A signature of an envelope."""

    keyid: str
    sig: str


class Transcript(TypedDict):
    """The signed statement of what all releases reveal about those whom a release forgot, with the log."""

    expunge: str


class Tree(TypedDict):
    """Of which tree a proof is, and of which of its leaves."""

    algorithm: str
    security: bool
    size: int
    index: NotRequired[int | None]
    prior_size: NotRequired[int | None]

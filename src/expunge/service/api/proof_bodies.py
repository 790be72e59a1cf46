"""What routes about certificates and the log return: signed statements, and proofs that they are in the log."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from expunge.evidence.events import EventKind
from expunge.service.api.model_bodies import Real
from expunge.service.json_values import Json


class SignatureModel(BaseModel):
    """A signature of an envelope."""

    keyid: Annotated[str, Field(description="SHA-256 of the public key.")]
    sig: Annotated[str, Field(description="The signature, base64.")]


class EnvelopeModel(BaseModel):
    """A signed statement: a DSSE envelope around an in-toto statement."""

    payload: Annotated[str, Field(description="The statement, base64.")]
    payloadType: str
    signatures: list[SignatureModel]


class TreeModel(BaseModel):
    """Of which tree a proof is, and of which of its leaves."""

    algorithm: str
    security: bool
    size: int
    index: int | None = None
    prior_size: int | None = None


class ProofModel(BaseModel):
    """A proof in the Merkle tree of the log (RFC 9162), as pymerkle writes it."""

    type: Literal["inclusion", "consistency"] | None = None
    metadata: TreeModel
    rule: list[int]
    path: list[str]
    subset: list[int] | None = None


class InclusionModel(BaseModel):
    """An event, the proof that it is in the log, and the signed head to which the proof leads."""

    event: Annotated[str, Field(description="The event, as it was hashed.")]
    proof: ProofModel
    checkpoint: Annotated[str, Field(description="The envelope of the head, as it was signed.")]


class EventModel(BaseModel):
    """An event of the log; what else it says depends on its kind."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Json]
    seq: Annotated[int, Field(description="Its number in the log, from 1.")]
    at: Annotated[str, Field(description="The hour, ISO 8601.")]
    kind: EventKind


class EventsModel(BaseModel):
    """Events of the log, oldest first."""

    items: list[EventModel]


class LogFileModel(BaseModel):
    """The whole log, to be verified offline."""

    expunge: Literal["log"]
    events: Annotated[list[str], Field(description="As they were hashed, oldest first.")]
    checkpoint: Annotated[str | None, Field(description="The envelope of the newest head.")]


class CoversModel(BaseModel):
    """The proof that a certificate answers a request."""

    commitment: str
    proof: ProofModel


class BundleModel(BaseModel):
    """A certificate that can be verified offline."""

    expunge: Literal["certificate"]
    certificate: Annotated[str, Field(description="The envelope of the certificate, as it was signed.")]
    event: str
    proof: ProofModel
    checkpoint: str
    covers: CoversModel | None = None


class FiguresModel(BaseModel):
    """What a certificate rests on. It depends on people's rows."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Json]
    epsilon: Real
    delta: Real
    epsilon_total: Real
    distance_bound: Real
    rung: str
    n_forgotten: int
    remaining: float
    seconds: float


class EvidenceModel(BaseModel):
    """A certificate with its evidence and its place in the log."""

    certificate: int
    model: str
    release: int
    at: str
    purged: str | None
    evidence: FiguresModel
    event: EventModel
    proof: ProofModel


class TranscriptModel(BaseModel):
    """The signed statement of what all releases reveal about those whom a release forgot, with the log."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Json]
    expunge: str


Certificate = BundleModel | EnvelopeModel | EvidenceModel | TranscriptModel
"""A certificate in one of its forms."""

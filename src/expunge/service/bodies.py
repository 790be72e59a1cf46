"""What the API accepts and returns: parameters, bodies and answers, each with its limits."""

from typing import Annotated

from fastapi import Header, Path, Query
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from expunge.errors import Refusal
from expunge.identities import LENGTH
from expunge.service.json_values import Json
from expunge.service.noted import Noted
from expunge.unlearning.rung import Rung

BULK = 10_000
PREVIEWED = 1_000
Subject = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LENGTH,
        description="Id of a person, in the subject column or an alias column; a string even if the table has numbers, since "
        "a JSON number may lose digits on its way.",
    ),
]
By = Annotated[
    str | None, Field(max_length=200, description="The column of the id, needed if the id stands for several people.")
]
FiniteNumber = Annotated[StrictFloat, Field(allow_inf_nan=False)]
Cell = str | bool | int | float | None
"""A value of a row."""
Limit = Annotated[int, Query(ge=1, le=500)]
Name = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Identity = Annotated[str, Path(pattern=r"^[!-~]{1,64}$")]
Number = Annotated[int, Path(ge=1, le=2**53)]
Answered = Annotated[str | None, Query(alias="request", pattern=r"^[!-~]{1,64}$", description="Id of a request.")]
Key = Annotated[str | None, Header(alias="Idempotency-Key", pattern="^[ -~]{1,200}$")]


class ErrorModel(BaseModel):
    """What is wrong with a value."""

    at: Annotated[str, Field(description="Where it is, as `body/subject`.")]
    problem: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: Annotated[str, Field(description="What kind of problem it is; the page there says what to do.")]
    title: str
    status: int
    detail: Annotated[str, Field(description="What happened this time, and what to do.")]
    errors: Annotated[list[ErrorModel], Field(description="Of `invalid-request`: what is wrong with which value.")] = []
    reason: Annotated[Refusal | None, Field(description="Why a request is refused.")] = None
    near: Annotated[str | None, Field(description="How an unknown id is like one that somebody has.")] = None
    error: Annotated[str | None, Field(description="Of `unforeseen`: the number to report.")] = None


class AskedOne(Noted):
    """A request to be forgotten, or to restrict processing."""

    subject: Annotated[Subject, Field(repr=False)]
    by: By = None


class Owned(BaseModel):
    """Whose request it is."""

    model_config = ConfigDict(extra="forbid")
    subject: Annotated[Subject, Field(repr=False)]


class ReceiptModel(BaseModel):
    """A receipt, the file for the person."""

    request: str
    receipt: str


class Shown(BaseModel):
    """A person who wants to know what is held about them."""

    model_config = ConfigDict(extra="forbid")
    subject: Annotated[Subject, Field(repr=False)]
    by: By = None


class LearnedModel(BaseModel):
    """A model that learned some of a person's rows, and the certificates of its releases, each of which may hold them."""

    model: str
    target: str
    n_rows: int
    releases: list[int]
    at: str


class RestrictionModel(BaseModel):
    """A restriction of the processing of a person's data that stands or was asked for."""

    request: str
    state: Annotated[str, Field(description="`restricted` while it stands, `lifting` until the models have followed its end.")]
    ground: str | None
    since: Annotated[str | None, Field(description="When it took effect; null before.")]


class DisclosureModel(BaseModel):
    """What is held about a person."""

    rows: Annotated[list[dict[str, Cell]], Field(description="As they came, without ids: these are not kept.")]
    models: list[LearnedModel]
    restrictions: list[RestrictionModel]


class AskedMany(Noted):
    """Requests of several people, which came together."""

    subjects: Annotated[list[Subject], Field(min_length=1, max_length=BULK, repr=False)]
    by: By = None


class Previewed(BaseModel):
    """People whose requests are considered."""

    model_config = ConfigDict(extra="forbid")
    subjects: Annotated[list[Subject], Field(min_length=1, max_length=PREVIEWED, repr=False)]
    by: By = None


class ExpectedModel(BaseModel):
    """How a model will probably forget them, and the seconds that it took the last time."""

    model: str
    rung: Rung
    seconds: float | None


class PreviewModel(BaseModel):
    """What requests would affect."""

    rows: Annotated[list[int], Field(description="Number of rows of each person.")]
    influence: Annotated[dict[str, list[float]], Field(description="By model, how far each person moves it.")]
    expected: list[ExpectedModel]


class Hooked(BaseModel):
    """Whom to tell what happens: ``https://`` for a program, ``mailto:`` for a person."""

    model_config = ConfigDict(extra="forbid")
    url: Annotated[str, Field(max_length=2000, pattern=r"^(https?://|mailto:)")]


class Audited(BaseModel):
    """How thorough the audit is."""

    model_config = ConfigDict(extra="forbid")
    draws: Annotated[int, Field(ge=100, le=5000)] = 1000


class Predicted(BaseModel):
    """Rows to predict."""

    model_config = ConfigDict(extra="forbid")
    rows: Annotated[
        list[dict[str, StrictStr | StrictBool | StrictInt | FiniteNumber | None]],
        Field(
            min_length=1,
            max_length=BULK,
            repr=False,
            description="Each with every column of the model's schema, null where missing; dates and codes with leading zeros "
            "as texts. Other columns are not looked at.",
        ),
    ]


class PredictionModel(BaseModel):
    """What a model predicts for a row: the likeliest class, with the probability of each; or the mean."""

    prediction: str | float
    probabilities: dict[str, float] | None = None


class OddModel(BaseModel):
    """How many values of a column the schema does not foresee, and how many are missing."""

    undeclared: int
    missing: int


class PredictionsModel(BaseModel):
    """Predictions, in the order of the rows, and the release that they are of."""

    model: str
    release: int
    certificate: int
    items: list[PredictionModel]
    odd: dict[str, OddModel]


class KeptCheckpoint(BaseModel):
    """A checkpoint, a certificate or a log that somebody kept."""

    model_config = ConfigDict(extra="forbid")
    checkpoint: Annotated[str, Field(min_length=1, max_length=4_000_000, description="Exactly as it was written.")]


class ComparedModel(BaseModel):
    """Whether the log continues it, and the newest checkpoint with the proof."""

    right: bool
    message: str
    events: int | None
    file: str | None


class CertificateModel(BaseModel):
    """A certificate, of which release of which model."""

    certificate: int
    model: str
    release: int
    at: str
    purged: str | None


class CertificatesModel(BaseModel):
    """Certificates, newest first."""

    items: list[CertificateModel]
    next: int | None


class FileToVerify(BaseModel):
    """A file, as text."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=1, max_length=200)] = "file"
    content: Annotated[str, Field(max_length=4_000_000, repr=False, description="Exactly as it was written.")]


class FilesToVerify(BaseModel):
    """Files to check."""

    model_config = ConfigDict(extra="forbid")
    files: Annotated[list[FileToVerify], Field(min_length=1, max_length=20, repr=False)]
    keys: Annotated[
        str | None, Field(max_length=100_000, description="Content of an expunge.pub to trust instead of this workspace's.")
    ] = None
    subject: Annotated[str | None, Field(max_length=LENGTH, repr=False, description="Id for which receipts should be.")] = None


class FileFindingModel(BaseModel):
    """What was found out about a file, or about two states of the log that were compared."""

    files: list[str]
    kind: str | None
    genuine: bool
    passed: list[str]
    problem: str | None
    claims: dict[str, Json]


class VerifiedModel(BaseModel):
    """What was found out, by the workspace's published keys or by those given."""

    keys: str
    right: bool
    findings: list[FileFindingModel]


class AnswerModel(BaseModel):
    """The answer to a request; the receipt is for the requester, and can be made again."""

    request: str
    state: str
    message: str
    deadline: str
    rows: int
    reason: str | None
    near: str | None
    receipt: str | None

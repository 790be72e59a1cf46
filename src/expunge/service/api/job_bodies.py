"""What jobs accept and return."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from expunge.ledger.jobs import JobKind, JobState
from expunge.service.bodies import BULK, FiniteNumber, Subject
from expunge.service.json_values import Json
from expunge.workspace.doctor import Depth
from expunge.workspace.model_kinds import ModelKind

Real = Annotated[float, Field(allow_inf_nan=False)]
ColumnName = Annotated[str, Field(min_length=1, max_length=200)]
Row = dict[str, StrictStr | StrictBool | StrictInt | FiniteNumber | None]
GivenRows = Annotated[
    list[Row],
    Field(
        min_length=1,
        max_length=BULK,
        repr=False,
        description="An object each, with every column of the table and of the ids, null where missing; dates and codes with "
        "leading zeros as texts, ids always. They are kept in memory until the job is done, and in no file but the table.",
    ),
]
Undeclared = Annotated[bool, Field(description="Whether any share of a column may be outside what the schema declares.")]


class WantedModel(BaseModel):
    """A model to be fitted; what is left out is as in `expunge fit`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "churn", "target": "churn"}]})
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Name of the new model.")]
    target: Annotated[ColumnName, Field(description="The column to predict.")]
    model: ModelKind = ModelKind.LOGISTIC
    penalty: Annotated[Real | None, Field(description="C of classifiers, alpha of the others.")] = None
    epsilon: Annotated[Real | None, Field(description="ε promised to everybody forgotten, in nats.")] = None
    delta: Annotated[Real | None, Field(description="δ of the promise.")] = None
    noise: Literal["auto", "shaped", "isotropic"] | None = None
    sigma: Annotated[Real | None, Field(description="Isotropic noise in each weight, in place of excess_risk.")] = None
    excess_risk: Annotated[Real | None, Field(description="What the noise may cost in mean loss.")] = None
    noise_floor: Real | None = None
    order: Literal["auto", 2, 3] | None = None
    quantile: Annotated[Real | None, Field(description="Of quantile: the share of targets below.")] = None
    scale: Annotated[Real | None, Field(description="Of hinge, pseudo-huber and quantile.")] = None
    dispersion: Annotated[Real | None, Field(description="Of negative-binomial.")] = None
    class_weight: Annotated[dict[str, Real] | None, Field(description="What the rows of a class count.")] = None
    exposure: Annotated[ColumnName | None, Field(description="Column of exposures of regressions with a log link.")] = None
    offset: Annotated[ColumnName | None, Field(description="Column that is added to the linear predictor as it is.")] = None
    event: Annotated[ColumnName | None, Field(description="Of survival: the column that is 1 if the event came.")] = None
    intervals: Annotated[list[Real] | None, Field(description="Of survival: times at which the hazard may change.")] = None
    accept_undeclared: Undeclared = False
    accept_size: Annotated[bool, Field(description="Whether the model may be larger than `expunge fit` makes unasked.")] = False

    @property
    def how(self) -> dict[str, object]:
        """How it is to be fitted, as ``How`` has it, with the target."""
        own = {"quantile", "scale", "dispersion"}
        given = self.model_dump(mode="json", exclude={"name", *own}, exclude_none=True)
        parameters = self.model_dump(mode="json", include=own, exclude_none=True)
        return {**given, **({"parameters": parameters} if parameters else {})}


class NewRows(BaseModel):
    """Rows to be added to the table and learned in every model; the same rows again do nothing."""

    model_config = ConfigDict(extra="forbid")
    rows: GivenRows
    returning: Annotated[bool, Field(description="Whether rows of people who were forgotten and have come back are taken.")] = (
        False
    )
    upsert: Annotated[bool, Field(description="Whether a row takes the place of the one with the same row key.")] = False
    accept_undeclared: Undeclared = False


class CorrectedRows(BaseModel):
    """All rows of one person, as they should be."""

    model_config = ConfigDict(extra="forbid")
    subject: Annotated[Subject, Field(repr=False)]
    rows: GivenRows
    accept_undeclared: Undeclared = False


class Examined(BaseModel):
    """How deep the checks go; see `expunge doctor`."""

    model_config = ConfigDict(extra="forbid")
    depth: Depth = "minutes"


class FindingModel(BaseModel):
    """What one check found: a problem with what to do about it, a warning, or neither."""

    check: str
    problem: str | None
    remedy: str | None
    warning: str | None


class FindingsModel(BaseModel):
    """What the checks found."""

    is_well: bool
    findings: list[FindingModel]


class ReleasedModel(BaseModel):
    """A release that a job made."""

    model: str
    release: int
    certificate: int


class AuditedReleaseModel(BaseModel):
    """One release, as certified and as retraining finds it."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Json]
    rung: str
    forgotten: float
    certified_distance: float | Literal["inf"]
    true_distance: float | Literal["inf"]
    is_honest: bool


class FromOutsideModel(BaseModel):
    """How well the model that forgot and the one that never learned could be told apart."""

    n_draws: int
    confidence: float
    false_positives: float
    false_negatives: float
    false_positives_bound: float
    false_negatives_bound: float
    mu_lower_bound: float | Literal["inf"]
    epsilon_lower_bound: float | Literal["inf"]
    certified_mu: float | Literal["inf"]
    certified_epsilon: float | Literal["inf"]
    delta: float
    band: Annotated[float, Field(description="By how much each error of the curve may be off, at this confidence.")]
    curve: list[tuple[float, float]]


class VerdictModel(BaseModel):
    """The verdict of an audit."""

    text: str
    is_honest: bool
    releases: list[AuditedReleaseModel]
    black_box: FromOutsideModel


class JobResult(BaseModel):
    """What a job has made or found; which of these depends on its kind."""

    model: str | None = None
    release: int | None = None
    certificate: int | None = None
    closed: Annotated[int | None, Field(description="Requests that were closed because no model is left that waits.")] = None
    request: Annotated[str | None, Field(description="The request that a correction is; its receipt can be had.")] = None
    rows: int | None = None
    known: int | None = None
    replaced: int | None = None
    suppressed: int | None = None
    restricted: int | None = None
    added_before: str | None = None
    left_out: list[str] | None = None
    undeclared: dict[str, int] | None = None
    missing: dict[str, int] | None = None
    releases: list[ReleasedModel] | None = None
    verdict: VerdictModel | None = None
    findings: list[FindingModel] | None = None


class JobModel(BaseModel):
    """A job: long work that somebody asked for. Times are ISO 8601."""

    job: int
    kind: JobKind
    model: str | None
    state: JobState
    actor: Annotated[str, Field(description="Id of the token of whoever asked.")]
    asked: str
    started: str | None
    ended: str | None
    progress: Annotated[str | None, Field(description="What it is doing now.")]
    result: JobResult | None
    cause: Annotated[str | None, Field(description="Of a failure: asked, row, model, environment or bug.")]
    problem: Annotated[str | None, Field(description="Why it failed, or what is left to do.")]


class JobsPage(BaseModel):
    """Jobs, newest first; ``next`` is the ``before`` of the next page."""

    items: list[JobModel]
    next: int | None

"""What routes about models return."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from expunge.ledger.batches import BatchKind
from expunge.unlearning.report import Regime
from expunge.unlearning.rung import Rung
from expunge.workspace.model_kinds import ModelKind
from expunge.workspace.schedules import RefitCause

Real = float | Literal["inf"]
Outside = Literal["json", "sklearn", "onnx", "sql"]


class NextRefitModel(BaseModel):
    """The scheduled refit that a model is owed: from which day, or after how many more releases, and why it is due now."""

    day: str
    releases: int | None
    cause: RefitCause | None


class LastRefitModel(BaseModel):
    """When and why a model was last refitted."""

    at: str
    cause: RefitCause
    resets_budget: bool


class ModelModel(BaseModel):
    """A living model and its last release."""

    name: str
    kind: ModelKind
    target: str
    release: Annotated[int, Field(description="Number of the release among those of the model.")]
    certificate: Annotated[int, Field(description="Number of the release among all.")]
    at: str
    rung: Rung
    epsilon: Real
    delta: float
    epsilon_total: Annotated[Real, Field(description="How much of epsilon is spent.")]
    distance_bound: Real
    remaining: Annotated[float, Field(description="Weight of the rows learned and not forgotten.")]
    next_refit: NextRefitModel | None
    last_refit: LastRefitModel | None
    aside: Annotated[str | None, Field(description="Why it can forget nobody now.")]


class ModelsModel(BaseModel):
    """The living models, by name."""

    items: list[ModelModel]


class ForecastModel(BaseModel):
    """How many more people can be forgotten in one request, with so many readings of the remaining rows."""

    passes: int
    random: int | None
    worst_case: int | None


class CapacityModel(BaseModel):
    """How much of a model's capacity to forget is used, and what is left."""

    text: str
    forecasts: list[ForecastModel]
    budget_used: float
    changed: float
    regime: Regime
    hidden: Annotated[Real, Field(description="People at random whom the noise alone hides.")]


class ModelDetail(ModelModel):
    """A model, and what it can still forget."""

    waiting: Annotated[int, Field(description="Open requests that it cannot answer now.")]
    capacity: Annotated[CapacityModel | None, Field(description="null where there is no forecast, or not yet.")]


class PullModel(BaseModel):
    """That somebody has fetched a release. ``last`` is right to the hour."""

    token: str
    name: str
    first: str
    last: str


class ReleaseModel(BaseModel):
    """A release of a model."""

    certificate: int
    release: int
    at: str
    purged: Annotated[str | None, Field(description="When its weights were deleted.")]
    why: Annotated[BatchKind, Field(description="What it was made for.")]
    pulled: Annotated[list[PullModel], Field(description="Who has fetched it, with which token.")]


class ReleasesModel(BaseModel):
    """Releases of a model, oldest first."""

    items: list[ReleaseModel]


class PublishedModel(BaseModel):
    """A release as it is published, with names, classes and schema: all that a prediction takes."""

    model: str
    release: int
    certificate: int
    at: str
    kind: ModelKind
    target: str
    classes: list[str]
    features: list[str]
    table_schema: Annotated[str, Field(alias="schema", description="How rows become features, TOML.")]
    coef: Annotated[list[list[float]], Field(description="A row for each class, or one.")]
    intercept: list[float]
    offset: Annotated[str | None, Field(description="The column that is added to the linear predictor as it is.")]
    weights: Annotated[list[float], Field(description="All weights, in the order whose digest the certificate names.")]

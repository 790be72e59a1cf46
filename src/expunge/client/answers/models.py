"""Answers about models, made by ``python -m tools.contract``."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from expunge.client.answers.requests import Rung

BatchKind = Literal["fit", "forget", "append", "rectify", "refit", "replace", "retire", "upsert", "widen", "lift"]


JobKind = Literal["fit", "refit", "retire", "append", "rectify", "audit", "examine"]


JobState = Literal["queued", "running", "done", "failed", "cancelled"]


ModelKind = Literal[
    "logistic",
    "hinge",
    "ordinal",
    "ridge",
    "pseudo-huber",
    "quantile",
    "poisson",
    "negative-binomial",
    "gamma",
    "tweedie",
    "survival",
]


RefitCause = Literal["calendar", "releases", "forced", "asked"]


Regime = Literal["hidden", "worth", "retrain"]


class AuditedRelease(TypedDict):
    """One release, as certified and as retraining finds it."""

    rung: str
    forgotten: float
    certified_distance: float | Literal["inf"]
    true_distance: float | Literal["inf"]
    is_honest: bool


class Capacity(TypedDict):
    """How much of a model's capacity to forget is used, and what is left."""

    text: str
    forecasts: list[Forecast]
    budget_used: float
    changed: float
    regime: Regime
    hidden: float | Literal["inf"]


class Finding(TypedDict):
    """What one check found: a problem with what to do about it, a warning, or neither."""

    check: str
    problem: str | None
    remedy: str | None
    warning: str | None


class Forecast(TypedDict):
    """How many more people can be forgotten in one request, with so many readings of the remaining rows."""

    passes: int
    random: int | None
    worst_case: int | None


class FromOutside(TypedDict):
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
    band: float
    curve: list[list[float]]


class Job(TypedDict):
    """A job: long work that somebody asked for. Times are ISO 8601."""

    job: int
    kind: JobKind
    model: str | None
    state: JobState
    actor: str
    asked: str
    started: str | None
    ended: str | None
    progress: str | None
    result: JobResult | None
    cause: str | None
    problem: str | None


class JobResult(TypedDict):
    """What a job has made or found; which of these depends on its kind."""

    model: NotRequired[str | None]
    release: NotRequired[int | None]
    certificate: NotRequired[int | None]
    closed: NotRequired[int | None]
    request: NotRequired[str | None]
    rows: NotRequired[int | None]
    known: NotRequired[int | None]
    replaced: NotRequired[int | None]
    suppressed: NotRequired[int | None]
    restricted: NotRequired[int | None]
    added_before: NotRequired[str | None]
    left_out: NotRequired[list[str] | None]
    undeclared: NotRequired[dict[str, int] | None]
    missing: NotRequired[dict[str, int] | None]
    releases: NotRequired[list[Released] | None]
    verdict: NotRequired[Verdict | None]
    findings: NotRequired[list[Finding] | None]


class LastRefit(TypedDict):
    """When and why a model was last refitted."""

    at: str
    cause: RefitCause
    resets_budget: bool


class ModelDetail(TypedDict):
    """A model, and what it can still forget."""

    name: str
    kind: ModelKind
    target: str
    release: int
    certificate: int
    at: str
    rung: Rung
    epsilon: float | Literal["inf"]
    delta: float
    epsilon_total: float | Literal["inf"]
    distance_bound: float | Literal["inf"]
    remaining: float
    next_refit: NextRefit | None
    last_refit: LastRefit | None
    aside: str | None
    waiting: int
    capacity: Capacity | None


class Model(TypedDict):
    """A living model and its last release."""

    name: str
    kind: ModelKind
    target: str
    release: int
    certificate: int
    at: str
    rung: Rung
    epsilon: float | Literal["inf"]
    delta: float
    epsilon_total: float | Literal["inf"]
    distance_bound: float | Literal["inf"]
    remaining: float
    next_refit: NextRefit | None
    last_refit: LastRefit | None
    aside: str | None


class Models(TypedDict):
    """The living models, by name."""

    items: list[Model]


class NextRefit(TypedDict):
    """The scheduled refit that a model is owed: from which day, or after how many more releases, and why it is due now."""

    day: str
    releases: int | None
    cause: RefitCause | None


class Odd(TypedDict):
    """How many values of a column the schema does not foresee, and how many are missing."""

    undeclared: int
    missing: int


class Prediction(TypedDict):
    """What a model predicts for a row: the likeliest class, with the probability of each; or the mean."""

    prediction: str | float
    probabilities: NotRequired[dict[str, float] | None]


class Predictions(TypedDict):
    """Predictions, in the order of the rows, and the release that they are of."""

    model: str
    release: int
    certificate: int
    items: list[Prediction]
    odd: dict[str, Odd]


class Published(TypedDict):
    """A release as it is published, with names, classes and schema: all that a prediction takes."""

    model: str
    release: int
    certificate: int
    at: str
    kind: ModelKind
    target: str
    classes: list[str]
    features: list[str]
    schema: str
    coef: list[list[float]]
    intercept: list[float]
    offset: str | None
    weights: list[float]


class Pull(TypedDict):
    """That somebody has fetched a release. ``last`` is right to the hour."""

    token: str
    name: str
    first: str
    last: str


class Release(TypedDict):
    """A release of a model."""

    certificate: int
    release: int
    at: str
    purged: str | None
    why: BatchKind
    pulled: list[Pull]


class Released(TypedDict):
    """A release that a job made."""

    model: str
    release: int
    certificate: int


class Releases(TypedDict):
    """Releases of a model, oldest first."""

    items: list[Release]


class Verdict(TypedDict):
    """The verdict of an audit."""

    text: str
    is_honest: bool
    releases: list[AuditedRelease]
    black_box: FromOutside

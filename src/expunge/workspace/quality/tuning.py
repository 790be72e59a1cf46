"""Tuning: which penalty, excess risk and features serve best, on people held out, and how many people can then be forgotten.

A choice by these scores depends on everybody in the table, and certificates assume settings that were chosen without looking.
So that is said; and with ``private`` only differentially private votes are looked at (see ``voting``), and nothing else comes
out.
"""

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from typing import Any, TypedDict

from expunge.data.encoding import Encoding, MissingIndicator, Number
from expunge.data.schema import FeatureSchema
from expunge.errors import ExpungeError, InvalidRows
from expunge.unlearning.scores import NOT_COVERED, Scores
from expunge.unlearning.settings import Order
from expunge.workspace.arrivals import read_schema
from expunge.workspace.plans import Plans
from expunge.workspace.quality.evaluating import held_out_sentence
from expunge.workspace.quality.held_out import Split
from expunge.workspace.quality.voting import noisy_votes
from expunge.workspace.specification import Specification
from expunge.workspace.storage import Storage

PENALTIES, EXCESS_RISKS = (0.1, 1.0, 10.0), (0.0003, 0.001, 0.003)
DECLARED, NO_KNOTS, NO_COMBINATIONS = "as declared", "without knots", "without combinations"
EVERYBODY = (
    "This choice depends on everybody in the table, and certificates assume settings that were chosen without looking at it. "
    "To keep to that, choose on other data, or with --private EPSILON."
)


class Trying(TypedDict, total=False):
    """What is tried, and what all settings have in common, each with a default.

    Args:
        penalty: values of ``C`` of a classifier, ``alpha`` of a regression; 0.1, 1 and 10 by default.
        excess_risk: values of what the noise may cost; 0.0003, 0.001 and 0.003 by default.
        model: the estimator, ``logistic`` by default.
        epsilon: epsilon of the promise, in nats; 1 by default.
        delta: delta of the promise, a probability; 1e-6 by default.
        noise_floor: floor of shaped noise; 0.02 by default.
        order: order of the statistics; ``auto`` by default.
        parameters: those that the estimator alone has; see ``How``.
        class_weight: what the rows of a class count, by label; 1 by default.
        exposure: the column of exposures.
        offset: the column that is added to the linear predictor as it is.
        event: the column that says whether the event came, for ``survival``.
        intervals: for it the ends of the intervals of constant hazard, but for the last.
    """

    penalty: Sequence[float]
    excess_risk: Sequence[float]
    model: str
    epsilon: float
    delta: float
    noise_floor: float
    order: Order
    parameters: Mapping[str, float]
    class_weight: Mapping[str, float]
    exposure: str | None
    offset: str | None
    event: str | None
    intervals: Sequence[float]


@dataclass(frozen=True)
class Setting:
    """What is tried.

    Args:
        penalty: ``C`` of a classifier, ``alpha`` of a regression.
        excess_risk: what the noise may cost.
        features: how the schema is taken: as declared, or without knots or combinations.
    """

    penalty: float
    excess_risk: float
    features: str

    def __str__(self) -> str:
        return f"penalty {self.penalty:g}, excess risk {self.excess_risk:g}, features {self.features}"


@dataclass(frozen=True)
class Tried:
    """What came of a setting. Evidence: not for publication.

    Args:
        setting: what was tried.
        parameters: number of weights.
        scores: on people held out; ``None`` where it could not be fitted.
        capacity: people at random whose deletion the statistics alone should certify; ``None`` where that cannot be told.
        problem: why it could not be fitted.
    """

    setting: Setting
    parameters: int
    scores: Scores | None = None
    capacity: int | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Tuned:
    """Settings, what came of each, and which was chosen.

    Args:
        name: of the model that is to be fitted.
        specification: of the first setting: what all have in common.
        tried: what came of each setting; without scores where the choice is private.
        chosen: the setting with the least loss, or with the most noisy votes.
        epsilon: ε of a private choice; ``None`` for one that depends on everybody.
        votes: noisy votes for each setting of a private choice.
    """

    name: str
    specification: Specification = field(repr=False)
    tried: tuple[Tried, ...]
    chosen: Setting
    epsilon: float | None = None
    votes: tuple[int, ...] = field(default=())

    @property
    def frontier(self) -> list[Tried]:
        """Those than which none is better both in loss and in capacity."""
        known = [(each, each.scores.released.loss, each.capacity or 0) for each in self.tried if each.scores is not None]
        return [
            each
            for each, loss, capacity in known
            if not any(b <= loss and c >= capacity and (b, c) != (loss, capacity) for _other, b, c in known)
        ]

    @property
    def sentences(self) -> list[str]:
        """What the choice depends on, and what to do next."""
        chosen = self.chosen
        schema = "" if chosen.features == DECLARED else f", with a schema.toml {chosen.features}"
        command = f"expunge fit {self.name} {self._options} --penalty {chosen.penalty:g} --excess-risk {chosen.excess_risk:g}"
        command += schema
        if self.epsilon is None:
            return [f"least loss: {chosen}", f"next: {command}", EVERYBODY]
        return [
            f"most votes, with noise: {chosen}",
            f"next: {command}",
            f"The choice is {self.epsilon:g}-differentially private for each person with all of their rows. Certificates do "
            f"not count it: it adds ε = {self.epsilon:g} to what they promise, and each further choice adds its own.",
        ]

    @property
    def _options(self) -> str:
        """What all settings have in common, as options of ``expunge fit``."""
        made = self.specification
        given: list[tuple[str, object]] = [("target", made.target), ("model", made.kind)]
        given += [("epsilon", f"{made.epsilon:g}"), ("delta", f"{made.delta:g}"), *made.parameters.items()]
        given += [("class-weight", f"{label}={weight:g}") for label, weight in made.class_weight.items()]
        given += [] if made.exposure is None else [("exposure", made.exposure)]
        given += [] if made.offset is None else [("offset", made.offset)]
        given += [] if made.event is None else [("event", made.event)]
        given += [("interval", f"{end:g}") for end in made.intervals]
        return " ".join(f"--{name} {shlex.quote(str(value))}" for name, value in given)

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        votes = {"votes": list(self.votes)} if self.epsilon is not None else {}
        tried = [{**asdict(each), "on_frontier": each in self.frontier} for each in self.tried]
        return {"chosen": asdict(self.chosen), "epsilon": self.epsilon, **votes, "tried": tried, "notes": self.sentences}

    def __str__(self) -> str:
        if self.epsilon is not None:
            lines = [f"{votes:>6} votes  {each.setting}" for votes, each in zip(self.votes, self.tried, strict=True)]
            return "\n".join([*lines, *self.sentences])
        lines = [held_out_sentence(), f"{'':<4}{'loss':>10}{'accuracy':>10}{'capacity':>12}{'parameters':>12}  setting"]
        lines += [_line(number, each) for number, each in enumerate(self.tried, 1)]
        best = ", ".join(str(number) for number, each in enumerate(self.tried, 1) if each in self.frontier)
        return "\n".join([*lines, f"none is better in both loss and capacity than: {best}", *self.sentences, NOT_COVERED])


@dataclass(frozen=True)
class Grid:
    """The settings that are tried, each as a specification.

    Args:
        settings: with their specifications.
        asked: people who are left out, because they asked to be forgotten.
    """

    settings: Mapping[Setting, Specification]
    asked: Collection[str]

    @classmethod
    def of(cls, storage: Storage, target: str, trying: Trying) -> "Grid":
        """All penalties with all excess risks and all ways to take the schema.

        Args:
            target: the column to predict.
            trying: what is tried, and what all have in common.

        Raises:
            InvalidRows, ValueError: as of a fit; or an excess risk that is not positive.
        """
        penalties, excess_risks = trying.get("penalty", PENALTIES), trying.get("excess_risk", EXCESS_RISKS)
        if wrong := [risk for risk in excess_risks if not risk > 0]:
            raise ValueError(
                f"an excess risk to be tried must be positive, got {wrong[0]:g}: without noise nothing is promised"
            )
        plans, made, asked = Plans(storage), dict[Setting, Specification](), list[str]()
        for variant, schema in variants(read_schema(storage.schema_path)).items():
            for penalty, risk in product(dict.fromkeys(penalties), dict.fromkeys(excess_risks)):
                given = {**trying, "target": target, "penalty": penalty, "excess_risk": risk}
                made[Setting(penalty, risk, variant)], asked = plans.specified(given, schema)
        return cls(made, asked)


def variants(schema: FeatureSchema) -> dict[str, FeatureSchema]:
    """Ways to take a schema, by name: as declared, and without what makes it wider.

    Args:
        schema: as declared.
    """
    straight = replace(schema, columns={name: _straight(each) for name, each in schema.columns.items()})
    alone = replace(schema, features={})
    found = {DECLARED: schema}
    found |= {NO_KNOTS: straight} if straight.columns != schema.columns else {}
    return found | ({NO_COMBINATIONS: alone} if schema.features else {})


def tuned(storage: Storage, name: str, grid: Grid, private: float | None) -> Tuned:
    """Which of the settings of ``grid`` serves best.

    Args:
        name: of the model that is to be fitted.
        private: ε of a private choice; ``None`` for one that depends on everybody.

    Raises:
        InvalidRows: too few people, or no setting can be fitted.
        ValueError: a private choice among several excess risks, or an ε that is not positive.
    """
    if private is not None:
        return _voted(storage, name, grid, private)
    tried = storage.table.settled(lambda: tuple(_tried(storage, grid)))
    scored = [(each.scores.released.loss, each.setting) for each in tried if each.scores is not None]
    if not scored:
        raise InvalidRows(f"no setting could be fitted; the first: {tried[0].problem}")
    return Tuned(name, next(iter(grid.settings.values())), tried, min(scored, key=lambda each: each[0])[1])


def _voted(storage: Storage, name: str, grid: Grid, private: float) -> Tuned:
    if len({setting.excess_risk for setting in grid.settings}) > 1:
        raise ValueError("the least noise would win every vote: give one --excess-risk with --private")
    specifications = list(grid.settings.values())
    votes = storage.table.settled(lambda: noisy_votes(storage, specifications, private, grid.asked))
    tried = tuple(Tried(setting, made.objective.n_parameters) for setting, made in grid.settings.items())
    most = max(range(len(votes)), key=votes.__getitem__)
    return Tuned(name, specifications[0], tried, tried[most].setting, private, tuple(votes))


def _tried(storage: Storage, grid: Grid) -> Iterator[Tried]:
    splits: dict[str, Split] = {}
    for setting, specification in grid.settings.items():
        p = specification.objective.n_parameters
        if setting.features not in splits:
            splits[setting.features] = Split.of(storage, specification, grid.asked)
        try:
            trial = splits[setting.features].trial(specification, order=specification.order)
        except ExpungeError as error:
            yield Tried(setting, p, problem=str(error))
            continue
        try:
            capacity = trial.unlearner.capacity().forecasts[0].random
        except ValueError:  # a wide model, which is changed by passes alone
            capacity = None
        yield Tried(setting, p, trial.scores, capacity)


def _straight(encoding: Encoding) -> Encoding:
    """The encoding without knots."""
    if isinstance(encoding, MissingIndicator):
        return replace(encoding, encoding=_straight(encoding.encoding))
    return replace(encoding, knots=(), degree=1) if isinstance(encoding, Number) and encoding.knots else encoding


def _line(number: int, each: Tried) -> str:
    if each.scores is None:
        return f"{number:>3} {'–':>10}{'–':>10}{'–':>12}{each.parameters:>12,}  {each.setting}: {each.problem}"
    score = each.scores.released
    accuracy = "–" if score.accuracy is None else f"{score.accuracy:.2%}"
    capacity = "–" if each.capacity is None else f"{each.capacity:,}"
    return f"{number:>3} {score.loss:>10.5g}{accuracy:>10}{capacity:>12}{each.parameters:>12,}  {each.setting}"

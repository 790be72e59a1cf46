"""Scores: how good a model is on rows, as it is released, without its noise, and beside the best constant model. Theory §5.3.

They are functions of the rows they are measured on, and the noiseless one of the un-noised weights: no certificate covers them,
and none contains them. They are for those who may see the data.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from expunge.engine.local import LocalEngine
from expunge.problem.expansion import Expansion
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.fitting import fitted
from expunge.unlearning.judging import Judge
from expunge.unlearning.settings import Settings

Array = NDArray[np.float64]

NOT_COVERED = (
    "For those who may see the data: computed from people's rows and from the un-noised weights, so no certificate covers it. "
    "Do not publish it."
)


@dataclass(frozen=True)
class Score:
    """How good one model is on some rows.

    Args:
        loss: mean loss of a row over that of a perfect prediction: nats for a classifier, half the deviance for a log link; for
            survival the negative log-likelihood over that of the best constant hazard for each row.
        error: standard error of ``loss``, as people differ; ``None`` for a single person.
        accuracy: share of the rows whose class is the likeliest one; ``None`` for a regression.
        measures: what else the judge measures, by name.
    """

    loss: float
    error: float | None
    accuracy: float | None
    measures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scores:
    """How good a model is, beside what its noise takes and what no model at all would do. Evidence: not for publication.

    Args:
        rows: number of rows.
        people: number of people they belong to; that of the rows where nobody said whose they are.
        released: with the noise of a release.
        noiseless: without noise.
        null: of the best constant prediction.
    """

    rows: int
    people: int
    released: Score
    noiseless: Score
    null: Score

    @property
    def explained(self) -> float:
        """The share of the null model's loss that the released model saves."""
        return 1.0 - self.released.loss / self.null.loss if self.null.loss > 0 else 0.0

    def __str__(self) -> str:
        names = list(self.released.measures)
        heads = "".join(f"{name:>{len(name) + 3}}" for name in names)
        lines = [f"{self.people:,} people, {self.rows:,} rows"]
        lines += [f"{'':<14}{'mean loss':>12}{'± by people':>14}{'accuracy':>11}{heads}"]
        for name, score in (("with noise", self.released), ("without noise", self.noiseless), ("null model", self.null)):
            accuracy = "" if score.accuracy is None else f"{score.accuracy:.2%}"
            error = "" if score.error is None else f"{score.error:.2g}"
            more = "".join(f"{score.measures[each]:>{len(each) + 3}.4g}" for each in names)
            lines.append(f"{name:<14}{score.loss:>12.5g}{error:>14}{accuracy:>11}{more}".rstrip())
        return "\n".join(lines)


def scores(
    judge: Judge,
    released: Sequence[Array],
    noiseless: Array,
    null: Array,
    owners: NDArray[np.intp] | None = None,
) -> Scores:
    """The scores of a model.

    Args:
        judge: of rows, best ones that the model has not learned.
        released: weights with noise, each ``(p,)``; the mean over them is taken.
        noiseless: the un-noised weights, ``(p,)``.
        null: weights of the null model, ``(p,)``.
        owners: a number for each row's person, ``(n_rows,)``; without them every row is a person's own.
    """
    n_rows = len(judge.rows)
    groups = np.arange(n_rows) if owners is None else np.unique(owners, return_inverse=True)[1]
    made = [_score(judge, weights, groups) for weights in (released, [noiseless], [null])]
    return Scores(n_rows, int(groups.max()) + 1 if n_rows else 0, *made)


def null_weights(objective: Objective, rows: Rows, settings: Settings, expansion: Expansion | None = None) -> Array:
    """Weights of the best constant prediction for the targets of ``rows``, beside their offsets, ``(p,)``: zeros where there is
    no intercept.

    Args:
        objective: gives the loss and the number of weights.
        rows: as they are before they are expanded; of their columns only the offset is looked at.
        settings: of the model.
        expansion: how rows are expanded, whose levels keep their own constants and their penalty. Default: not at all.

    Raises:
        InvalidRows, NoOptimum: the targets determine none.
    """
    found = np.zeros((objective.loss.outputs, objective.width))
    if objective.fit_intercept:
        offsets = objective.offsets(rows)
        X = np.zeros((len(rows), 0)) if offsets is None else offsets[:, None]
        rows = Rows(X, rows.y, rows.sample_weight)
        constant = (
            replace(objective, n_features=0) if expansion is None else replace(objective, n_features=expansion.n_levels - 1)
        )
        rows = rows if expansion is None else expansion.rows(rows)
        point = fitted(constant, rows, LocalEngine(), replace(settings, order=2)).point
        found[:, -constant.width :] = constant.coefficients(point)
    return found.ravel()


def _score(judge: Judge, weights: Sequence[Array], groups: NDArray[np.intp]) -> Score:
    losses, right, weight = np.zeros(len(judge.rows)), list[float](), judge.rows.weight
    for each in weights:
        losses = losses + judge.losses(each) / len(weights)
        if (is_right := judge.right(each)) is not None:
            right.append(float(np.average(is_right, weights=weight)))
    measured = [judge.measures(each) for each in weights]
    measures = {name: math.fsum(each[name] for each in measured) / len(measured) for name in measured[0]}
    mean = float(np.average(losses, weights=weight))
    people = int(groups.max()) + 1
    apart = np.bincount(groups, weight * (losses - mean), people) / weight.sum()
    error = math.sqrt(people / (people - 1) * float(apart @ apart)) if people > 1 else None
    return Score(mean, error, math.fsum(right) / len(right) if right else None, measures)

"""Scores: how good a model is on rows, as it is released, without its noise, and beside the best constant model. Theory §5.3.

They are functions of the rows they are measured on, and the noiseless one of the un-noised weights: no certificate covers them,
and none contains them. They are for those who may see the data.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from expunge.engine.local import LocalEngine
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.cost import perfect_losses
from expunge.unlearning.fitting import fitted
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
        loss: mean loss of a row over that of a perfect prediction: nats for a classifier, half the deviance for a log link.
        error: standard error of ``loss``, as people differ; ``None`` for a single person.
        accuracy: share of the rows whose class is the likeliest one; ``None`` for a regression.
    """

    loss: float
    error: float | None
    accuracy: float | None


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
        lines = [f"{self.people:,} people, {self.rows:,} rows", f"{'':<14}{'mean loss':>12}{'± by people':>14}{'accuracy':>11}"]
        for name, score in (("with noise", self.released), ("without noise", self.noiseless), ("null model", self.null)):
            accuracy = "" if score.accuracy is None else f"{score.accuracy:.2%}"
            error = "" if score.error is None else f"{score.error:.2g}"
            lines.append(f"{name:<14}{score.loss:>12.5g}{error:>14}{accuracy:>11}".rstrip())
        return "\n".join(lines)


def scores(
    objective: Objective,
    rows: Rows,
    released: Sequence[Array],
    noiseless: Array,
    null: Array,
    owners: NDArray[np.intp] | None = None,
) -> Scores:
    """The scores of a model on ``rows``.

    Args:
        objective: what was minimised.
        rows: best ones that the model has not learned.
        released: weights with noise, each ``(p,)``; the mean over them is taken.
        noiseless: the un-noised weights, ``(p,)``.
        null: weights of the null model, ``(p,)``.
        owners: a number for each row's person, ``(n_rows,)``; without them every row is a person's own.
    """
    groups = np.arange(len(rows)) if owners is None else np.unique(owners, return_inverse=True)[1]
    made = [_score(objective, rows, weights, groups) for weights in (released, [noiseless], [null])]
    return Scores(len(rows), int(groups.max()) + 1 if len(groups) else 0, *made)


def null_weights(objective: Objective, y: Array, settings: Settings, weight: Array | None = None) -> Array:
    """Weights of the best constant prediction for ``y``, ``(p,)``: zeros where there is no intercept.

    Args:
        objective: gives the loss and the number of weights.
        y: targets, as the loss takes them, ``(n_rows,)``.
        settings: of the model.
        weight: of the rows, ``(n_rows,)``. Default: 1 each.

    Raises:
        InvalidRows, NoOptimum: the targets determine none.
    """
    found = np.zeros((objective.loss.outputs, objective.width))
    if objective.fit_intercept:
        constant = Objective(objective.loss, 1)
        rows = Rows(np.zeros((len(y), 1)), y, weight)
        point = fitted(constant, rows, LocalEngine(), replace(settings, order=2)).point
        found[:, -1] = constant.coefficients(point)[:, -1]
    return found.ravel()


def predicted_codes(objective: Objective, predictor: Array) -> NDArray[np.intp]:
    """The code of the likeliest class of each row, ``(n_rows,)``.

    Args:
        objective: of a classifier.
        predictor: of the rows, ``(n_rows,)`` or ``(n_rows, K)``.
    """
    loss = objective.loss
    if loss.outputs > 1:
        return np.asarray(predictor.argmax(axis=1))
    codes = [loss.value(predictor, np.full(len(predictor), float(code))) for code in range(loss.classes)]
    return np.asarray(np.argmin(codes, axis=0))


def _score(objective: Objective, rows: Rows, weights: Sequence[Array], groups: NDArray[np.intp]) -> Score:
    X, loss = objective.features(rows), objective.loss
    losses, right = -perfect_losses(loss, rows.y), 0.0
    with np.errstate(over="ignore"):
        for each in weights:
            predictor = objective.predictor(each, X)
            losses = losses + loss.value(predictor, rows.y) / len(weights)
            if loss.classes:
                right += float(np.average(predicted_codes(objective, predictor) == rows.y, weights=rows.weight))
    mean = float(np.average(losses, weights=rows.weight))
    people = int(groups.max()) + 1
    apart = np.bincount(groups, rows.weight * (losses - mean), people) / rows.weight.sum()
    error = math.sqrt(people / (people - 1) * float(apart @ apart)) if people > 1 else None
    return Score(mean, error, right / len(weights) if loss.classes else None)

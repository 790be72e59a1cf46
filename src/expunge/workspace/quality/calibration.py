"""Calibration: whether what is predicted comes true, in groups of people held out whose predictions are alike."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.problem.objective import Objective
from expunge.workspace.model_kinds import InverseLink, ModelKind
from expunge.workspace.quality.held_out import HeldOut

Array = NDArray[np.float64]

GROUPS, LEAST = 10, 20
"""Groups of rows, and the fewest rows of one."""
MEANS: dict[ModelKind, Callable[[Array], Array]] = {
    kind: np.asarray if kind.inverse_link is InverseLink.IDENTITY else np.exp
    for kind in ModelKind
    if not kind.is_classifier and kind is not ModelKind.QUANTILE
}
"""The predicted mean of a linear predictor, of the kinds that predict means."""


@dataclass(frozen=True)
class Group:
    """Rows whose predictions are alike.

    Args:
        predicted: mean prediction.
        observed: mean of what came true.
        error: standard error of ``observed``.
        rows: number of rows.
    """

    predicted: float
    observed: float
    error: float
    rows: int


def calibration(objective: Objective, kind: ModelKind, held: HeldOut, weights: Array) -> tuple[Group, ...]:
    """Groups of held-out rows, by what is predicted for them; none where there are too few rows, or where the model predicts
    neither probabilities nor means.

    Of two classes the probability of the second is predicted; of more that of the likeliest, which comes true where the row is
    of this class; of a regression the mean.

    Args:
        objective: what was minimised.
        kind: of the model.
        held: people whom the trial has not seen.
        weights: of a release of the trial, ``(p,)``.
    """
    y, loss = held.rows.y, objective.loss
    t = objective.predictor(weights, objective.features(held.rows))
    if kind.inverse_link is InverseLink.SOFTMAX:
        chances = np.exp([-loss.value(t, np.full(len(y), float(code))) for code in range(loss.classes)])
        likeliest = chances.argmax(axis=0) if loss.classes > 2 else np.ones(len(y), dtype=np.intp)
        predicted, observed = chances[likeliest, np.arange(len(y))], (y == likeliest).astype(np.float64)
    elif kind in MEANS:
        predicted, observed = MEANS[kind](t), y
    else:
        return ()
    n_groups = min(GROUPS, len(y) // LEAST)
    if n_groups < 2:
        return ()
    found = []
    for rows in np.array_split(np.argsort(predicted, kind="stable"), n_groups):
        share = held.rows.weight[rows] / held.rows.weight[rows].sum()
        mean = float(share @ observed[rows])
        error = float(np.sqrt(np.square(share) @ np.square(observed[rows] - mean)))
        found.append(Group(float(share @ predicted[rows]), mean, error, len(rows)))
    return tuple(found)

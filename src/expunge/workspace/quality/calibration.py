"""Calibration: whether what is predicted comes true, in groups of people held out whose predictions are alike."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.problem.objective import Objective
from expunge.workspace.model_kinds import InverseLink
from expunge.workspace.quality.held_out import HeldOut

Array = NDArray[np.float64]

GROUPS, LEAST = 10, 20
"""Groups of rows, and the fewest rows of one."""
MEANS: dict[InverseLink, Callable[[Array], Array]] = {InverseLink.IDENTITY: np.asarray, InverseLink.EXPONENTIAL: np.exp}
"""The predicted mean of a linear predictor."""


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


def calibration(objective: Objective, link: InverseLink, held: HeldOut, weights: Array) -> tuple[Group, ...]:
    """Groups of held-out rows, by what is predicted for them; none where there are too few rows.

    Of two classes the probability of the second is predicted; of more that of the likeliest, which comes true where the row is
    of this class; of a regression the mean. There are none of a classifier without probabilities.

    Args:
        objective: what was minimised.
        link: of its predictions.
        held: people whom the trial has not seen.
        weights: of a release of the trial, ``(p,)``.
    """
    if link is InverseLink.THRESHOLD:
        return ()
    y, loss = held.rows.y, objective.loss
    t = objective.predictor(weights, objective.features(held.rows))
    if loss.classes:
        chances = np.exp([-loss.value(t, np.full(len(y), float(code))) for code in range(loss.classes)])
        likeliest = chances.argmax(axis=0) if loss.classes > 2 else np.ones(len(y), dtype=np.intp)
        predicted, observed = chances[likeliest, np.arange(len(y))], (y == likeliest).astype(np.float64)
    else:
        predicted, observed = MEANS[link](t), y
    n_groups = min(GROUPS, len(y) // LEAST)
    if n_groups < 2:
        return ()
    found = []
    for rows in np.array_split(np.argsort(predicted, kind="stable"), n_groups):
        error = float(observed[rows].std(ddof=1) / np.sqrt(len(rows)))
        found.append(Group(float(predicted[rows].mean()), float(observed[rows].mean()), error, len(rows)))
    return tuple(found)

"""Calibration: whether what is predicted comes true, in groups of people held out whose predictions are alike."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.judging import Forecast, shares
from expunge.workspace.model_kinds import InverseLink, ModelKind
from expunge.workspace.quality.held_out import Trial
from expunge.workspace.specification import Specification

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


@dataclass(frozen=True)
class Calibration:
    """What is predicted of people held out, against what came true.

    Args:
        what: is predicted.
        groups: of rows, by what is predicted for them.
    """

    what: str
    groups: tuple[Group, ...]


def calibrations(made: Trial, weights: Array) -> tuple[Calibration, ...]:
    """Groups of held-out rows, by what is predicted for them; none where there are too few rows.

    Of two classes the probability of the second is predicted; of more that of the likeliest, which comes true where the row is
    of this class; of classes in an order that of being above each of them; of a regression the mean; of survival that of having
    come through each of some times. There are none of a classifier without probabilities, and of a quantile.

    Args:
        made: a trial.
        weights: of a release of it, ``(p,)``.
    """
    specification, rows = made.specification, made.held_out.rows
    n_groups = min(GROUPS, len(rows) // LEAST)
    if n_groups < 2 or specification.kind.inverse_link is InverseLink.THRESHOLD or specification.kind is ModelKind.QUANTILE:
        return ()
    forecasts = specification.estimator.judge(rows).forecasts(weights)
    if specification.expansion is None:
        forecasts = [_forecast(specification, made.unlearner.objective, rows, weights)]
    return tuple(Calibration(each.what, _groups(each, n_groups)) for each in forecasts)


def _groups(forecast: Forecast, n_groups: int) -> tuple[Group, ...]:
    found = []
    for rows in np.array_split(np.argsort(forecast.predicted, kind="stable"), n_groups):
        observed, error = forecast.observed(rows)
        found.append(Group(float(forecast.predicted[rows].mean()), observed, error, len(rows)))
    return tuple(found)


def _forecast(specification: Specification, objective: Objective, rows: Rows, weights: Array) -> Forecast:
    """Of a model that learns rows as they are."""
    y, loss, classes = rows.y, objective.loss, specification.classes
    t = objective.predicted(weights, rows)
    if not loss.classes:
        return Forecast(f"predicted {specification.target}", MEANS[specification.kind.inverse_link](t), shares(y))
    chances = np.exp([-loss.value(t, np.full(len(y), float(code))) for code in range(loss.classes)])
    likeliest = chances.argmax(axis=0) if loss.classes > 2 else np.ones(len(y), dtype=np.intp)
    what = f"probability of {classes[1]}" if loss.classes == 2 else "probability of the likeliest class"
    return Forecast(what, chances[likeliest, np.arange(len(y))], shares((y == likeliest).astype(np.float64)))

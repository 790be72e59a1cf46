"""Judges: by what a model is judged on rows. Most are judged by the loss that they minimise; a model that learns several rows
of each row of a person, by how well it predicts that one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.cost import perfect_losses

Array = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Forecast:
    """What a model says of each row, and how to see whether it came true.

    Args:
        what: of what it is, for a sentence.
        predicted: for each row, ``(n_rows,)``.
        observed: what came true of some rows, given their numbers, and its standard error.
    """

    what: str
    predicted: Array
    observed: Callable[[Index], tuple[float, float]]


class Judge(ABC):
    """Judges weights by how they predict some rows.

    Args:
        rows: as people have them, on the host: not yet expanded.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    @abstractmethod
    def losses(self, weights: Array) -> Array:
        """The loss of each row, which the true chances would make least on average, ``(n_rows,)``.

        Args:
            weights: ``(p,)``.
        """

    def right(self, weights: Array) -> NDArray[np.bool_] | None:
        """Whether the likeliest class of each row is its class, ``(n_rows,)``; ``None`` for a model without classes.

        Args:
            weights: ``(p,)``.
        """
        return None

    def measures(self, weights: Array) -> dict[str, float]:
        """What else is measured, by name.

        Args:
            weights: ``(p,)``.
        """
        return {}

    def forecasts(self, weights: Array) -> list[Forecast]:
        """What is said of each row that can be compared with what came true.

        Args:
            weights: ``(p,)``.
        """
        return []


class LossJudge(Judge):
    """Judges by the loss that is minimised, over that of a perfect prediction.

    Args:
        objective: what is minimised.
        rows: its rows, on the host.
    """

    def __init__(self, objective: Objective, rows: Rows) -> None:
        super().__init__(rows)
        self._objective = objective

    def losses(self, weights: Array) -> Array:
        """The loss of each row."""
        loss, y = self._objective.loss, self.rows.y
        with np.errstate(over="ignore"):
            return np.asarray(loss.value(self._objective.predicted(weights, self.rows), y) - perfect_losses(loss, y))

    def right(self, weights: Array) -> NDArray[np.bool_] | None:
        """Whether the likeliest class is that of the row."""
        if not self._objective.loss.classes:
            return None
        with np.errstate(over="ignore"):
            predictor = self._objective.predicted(weights, self.rows)
            return np.asarray(predicted_codes(self._objective, predictor) == self.rows.y)


def shares(came: Array) -> Callable[[Index], tuple[float, float]]:
    """Means of what came true among some rows, and their standard errors.

    Args:
        came: of each row, ``(n_rows,)``.
    """
    return lambda some: (float(came[some].mean()), float(came[some].std(ddof=1) / np.sqrt(len(some))))


def predicted_codes(objective: Objective, predictor: Array) -> Index:
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

"""A line search: a step is shortened until the objective falls enough (Armijo's rule). Theory §4.4, §4.5."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SUFFICIENT_DECREASE = 1e-4
"""Share of what the gradient promises that the objective must fall by."""


@dataclass
class LineSearch:
    """The way from ``anchor`` along ``step``.

    Args:
        anchor: where it begins, ``(p,)``.
        step: where the full step leads from there, ``(p,)``.
        value: of the objective at the anchor.
        decrease: −∇J·step, what the gradient promises.
        shortest: length that is taken without another look.
        slack: rounding of ``value``, by which the objective may fail to fall.
        length: present share of the step.
    """

    anchor: Array
    step: Array
    value: float
    decrease: float
    shortest: float = 1.0
    slack: float = 0.0
    length: float = 1.0

    @classmethod
    def at(cls, anchor: Array) -> "LineSearch":
        """No step: the first look is at ``anchor`` itself."""
        return cls(anchor, np.zeros_like(anchor), np.inf, 0.0)

    @property
    def point(self) -> Array:
        """The point to look at next, ``(p,)``."""
        return self.anchor + self.length * self.step

    def fails(self, value: float) -> bool:
        """Whether the objective, ``value`` at the point, has not fallen enough there, and the step can be shorter."""
        enough = self.value - SUFFICIENT_DECREASE * self.length * self.decrease + self.slack
        return self.length > self.shortest and not value <= enough

    def shorten(self, length: float) -> None:
        """Goes back to ``length``, or to the shortest."""
        self.length = max(length, self.shortest)

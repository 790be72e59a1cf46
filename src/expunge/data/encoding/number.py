"""Numbers with a declared range: on a linear or logarithmic scale, straight, with bends at knots, or as smooth curves."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from expunge.data.columns import numbers_of
from expunge.data.encoding import portable, spline
from expunge.data.encoding.block import Block, Index, by_turns

Array = NDArray[np.float64]
Scale = Literal["linear", "log", "signed_log"]
SCALES: tuple[Scale, ...] = ("linear", "log", "signed_log")


@dataclass(frozen=True)
class Number:
    """A number with a declared range, linear, piecewise linear between ``knots``, or a cubic spline on them.

    Args:
        low: lower end of the range, in the column's own unit.
        high: upper end, above ``low``.
        knots: increasing points from ``low`` to ``high``, in the column's own unit; without them the number is one feature.
            Default: none.
        degree: 1 for one feature per knot, piecewise linear between them; 3 for cubic B-splines, two more features than knots.
            Default: 1.
        scale: ``linear``; ``log``, the logarithm, for which ``low`` must be positive; or ``signed_log``,
            sign(x)·log(1 + \\|x\\|), for amounts that may be 0 or negative. Default: ``linear``.

    Raises:
        ValueError: ``low`` is not below ``high``, the knots do not increase from ``low`` to ``high``, or there is no such
            degree or scale.

    Examples:
        >>> block = Number(0, 100).encode([25.0, 150.0, None])
        >>> block.features.ravel().tolist(), block.undeclared.tolist(), block.missing.tolist()
        ([0.25, 1.0, 0.0], [False, True, False], [False, False, True])
        >>> Number(0, 2, knots=(0, 1, 2)).encode([0.5]).features.tolist()
        [[0.5, 0.5, 0.0]]
        >>> Number(1, 10_000, scale="log").encode([1, 100, 10_000]).features.ravel().tolist()
        [0.0, 0.5, 1.0]
    """

    low: float
    high: float
    knots: tuple[float, ...] = ()
    degree: int = 1
    scale: str = "linear"

    kind: ClassVar[str] = "number"
    is_sparse: ClassVar[bool] = False
    norm_bound: ClassVar[float] = 1.0
    alike: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and 0.0 < self.high - self.low < math.inf):
            raise ValueError(
                f"low must be below high, and both and their distance finite, got low = {self.low}, high = {self.high}"
            )
        if self.scale not in SCALES:
            raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {self.scale!r}")
        if self.scale == "log" and self.low <= 0.0:
            raise ValueError(f"low must be positive on a log scale, got {self.low}: raise it, or use signed_log")
        if self.degree not in (1, 3):
            raise ValueError(f"degree must be 1 (piecewise linear) or 3 (cubic), got {self.degree}")
        if self.degree == 3 and not self.knots:
            raise ValueError("a cubic spline needs knots: give two or more, from low to high")
        if self.knots and (len(self.knots) < 2 or any(b <= a for a, b in zip(self.knots, self.knots[1:], strict=False))):
            raise ValueError(f"knots must be two or more increasing numbers, got {list(self.knots)}")
        if self.knots and (self.knots[0], self.knots[-1]) != (self.low, self.high):
            raise ValueError(f"the first knot must be low and the last high, got {self.knots[0]} and {self.knots[-1]}")
        places = spline.extended(self._places, 3) if self.degree == 3 else np.array(self._places)
        if not (places[:-1] < places[1:]).all():
            raise ValueError(f"knots are too close together, or too far apart, on a {self.scale} scale: {list(self._points)}")

    @property
    def suffixes(self) -> list[str]:
        """One name per feature."""
        if self.degree == 3:
            return [f"~{i}" for i in range(len(self.knots) + 2)]
        return [f"@{knot:g}" for knot in self.knots] if self.knots else [""]

    @property
    def groups(self) -> list[Index]:
        """A row has at most two neighbouring features, or four of a cubic spline."""
        return by_turns(len(self.suffixes), self.degree + 1)

    def encode(self, values: Any) -> Block:
        """The features, ``(n_rows, k)``; a value outside the range is moved to the nearer end, a missing one is all zeros.

        Args:
            values: a column, ``(n_rows,)``: numbers, or ``None`` and NaN where missing.

        Raises:
            Unfit: a value that is not a number.
        """
        x = numbers_of(values)
        missing = np.isnan(x)
        x = np.where(missing, self.low, x)
        undeclared = (x < self.low) | (x > self.high)
        places = self._places
        x = np.clip(self._scaled(np.clip(x, self.low, self.high)), places[0], places[-1])
        position = (x - places[0]) / (places[-1] - places[0])
        if not self.knots:
            features = position[:, None].copy()
        elif self.degree == 1:
            features = np.stack([np.interp(x, places, hat) for hat in np.eye(len(places))], axis=1)
        else:
            features = spline.basis(x, places, self.degree)
        features[missing] = 0.0
        return Block(features, undeclared, missing, position)

    def along(self, count: int) -> list[float]:
        """Values from ``low`` to ``high``, evenly spaced on the scale.

        Args:
            count: how many; at least 2.

        Examples:
            >>> [round(value, 6) for value in Number(1, 10_000, scale="log").along(3)]
            [1.0, 100.0, 10000.0]
        """
        places = np.linspace(self._places[0], self._places[-1], count)
        if self.scale == "log":
            places = np.exp(places)
        elif self.scale == "signed_log":
            places = np.copysign(np.expm1(np.abs(places)), places)
        return [float(value) for value in np.clip(places, self.low, self.high)]

    @property
    def _points(self) -> tuple[float, ...]:
        return self.knots or (self.low, self.high)

    @property
    def _places(self) -> list[float]:
        """The knots, or ends, on the scale."""
        if self.scale == "linear":
            return list(self._points)
        return [float(place) for place in self._scaled(np.array(self._points, dtype=np.float64))]

    def _scaled(self, x: Array) -> Array:
        if self.scale == "log":
            return portable.log(x)
        return np.copysign(portable.log(1.0 + np.abs(x)), x) if self.scale == "signed_log" else x

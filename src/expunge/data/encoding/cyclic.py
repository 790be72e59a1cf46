"""Cyclic values: hours, weekdays, months and seasons, where the last is next to the first."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from expunge.data.columns import Unfit, numbers_of
from expunge.data.encoding import portable
from expunge.data.encoding.block import Array, Block, Index, Mask, one_by_one
from expunge.data.encoding.moments import Moments, moments_of

DAY = 86_400_000_000
"""Microseconds."""
PERIODS = ("hour", "day", "week", "month", "year")
OF_A_CLOCK = ("hour", "day")
"""The periods in which a time of day has a place."""
LARGEST = 1e15
"""Beyond this, the last digit of a number is larger than a place in a period."""


@dataclass(frozen=True)
class Cyclic:
    """Sine and cosine of the position of a value in each period, and of multiples of it.

    Args:
        periods: for dates and times: ``hour``, ``day``, ``week`` (from Monday), ``month``, ``year``. For numbers: the length
            of the period, in the column's own unit. One or more.
        harmonics: number of waves per period: 1 for one high and one low, more for finer shapes. Default: 1.

    Raises:
        ValueError: unknown or repeated periods, words and numbers together, or no harmonic.

    Examples:
        >>> Cyclic((24,)).encode([0, 6, None]).features.tolist()
        [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
        >>> Cyclic(("week",)).encode(["2024-01-01"]).features.tolist()  # a Monday
        [[0.0, 1.0]]
    """

    periods: tuple[str | float, ...]
    harmonics: int = 1

    kind: ClassVar[str] = "cyclic"
    is_sparse: ClassVar[bool] = False
    norm_bound: ClassVar[float] = 1.0
    alike: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        words = [period for period in self.periods if isinstance(period, str)]
        numbers = [period for period in self.periods if not isinstance(period, str)]
        if not self.periods or len(set(self.periods)) != len(self.periods) or (words and numbers):
            raise ValueError("periods must be one or more different words, or different numbers")
        if unknown := [word for word in words if word not in PERIODS]:
            raise ValueError(f"periods of dates and times are {', '.join(PERIODS)}, got {unknown[0]!r}")
        if wrong := [number for number in numbers if not 0.0 < number < LARGEST]:
            raise ValueError(f"a period must be positive and below {LARGEST:g}, got {wrong[0]}")
        if self.harmonics < 1:
            raise ValueError(f"harmonics must be at least 1, got {self.harmonics}")

    @property
    def suffixes(self) -> list[str]:
        """One name per feature."""
        waves = range(1, self.harmonics + 1)
        return [f" {wave}({k}/{period})" for period in self.periods for k in waves for wave in ("sin", "cos")]

    @property
    def groups(self) -> list[Index]:
        """A row may have all of them."""
        return one_by_one(len(self.suffixes))

    def encode(self, values: Any) -> Block:
        """The features, ``(n_rows, k)``, of norm 1; a missing value is all zeros, as is a number beyond 1e15.

        Args:
            values: a column, ``(n_rows,)``: numbers; or dates, time stamps, times of day, or ISO texts of these. Time stamps
                with a zone are taken at their time in UTC.

        Raises:
            Unfit: a value that is neither, or a time of day where a date is needed.
        """
        phases, undeclared, missing = self._numeric(values) if self._is_numeric else self._timed(values)
        size = 1.0 / math.sqrt(len(self.periods) * self.harmonics)
        waves = [size * wave for t in phases for k in range(1, self.harmonics + 1) for wave in portable.sine_cosine(k * t)]
        features = np.stack(waves, axis=1)
        features[missing | undeclared] = 0.0
        return Block(features, undeclared, missing)

    @property
    def _is_numeric(self) -> bool:
        return not isinstance(self.periods[0], str)

    def _numeric(self, values: Any) -> tuple[list[Array], Mask, Mask]:
        x = numbers_of(values)
        missing = np.isnan(x)
        undeclared = ~missing & ~(np.abs(x) <= LARGEST)
        x = np.where(missing | undeclared, 0.0, x)
        return [np.mod(x, float(period)) / float(period) for period in self.periods], undeclared, missing

    def _timed(self, values: Any) -> tuple[list[Array], Mask, Mask]:
        moments = moments_of(values)
        if moments.is_clock.any() and (dated := [period for period in self.periods if period not in OF_A_CLOCK]):
            raise Unfit(int(np.argmax(moments.is_clock)), f"is a time of day, which has no place in the {dated[0]}")
        return [_phase(moments, str(period)) for period in self.periods], np.zeros_like(moments.missing), moments.missing


def _phase(moments: Moments, period: str) -> NDArray[np.float64]:
    """The position of each moment in its period, from 0 to below 1; exact up to the quotient."""
    at = moments.at
    if period in ("month", "year"):
        first = at.astype("datetime64[M]" if period == "month" else "datetime64[Y]")
        start, end = (each.astype("datetime64[us]") for each in (first, first + 1))
        return np.asarray((at - start).astype(np.int64) / (end - start).astype(np.int64))
    length = {"hour": DAY // 24, "day": DAY, "week": 7 * DAY}[period]
    since = at.astype(np.int64) + (3 * DAY if period == "week" else 0)  # 1970 began on a Thursday
    return np.asarray(np.mod(since, length) / length)

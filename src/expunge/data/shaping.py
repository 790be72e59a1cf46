"""Shaping: how many people have which numbers decides knots and scale, and widths decide crosses; by stated rules.

The rules are the same whether the counts are exact or private; what they are made of is all that they know of the rows.

- **Knots** stand on every value that at least ``COMMON`` of the people have, and on ``QUANTILES`` quantiles of the rest, so
  that a curve can bend where people are. Values are taken in two digits (``rounded``).
- **Scale**: logarithmic where all numbers are positive and the highest is ``MAGNITUDES`` times the lowest; signed-log where
  some are not and one is as far as ``FAR`` from 0; else linear.
- **Crosses** are made of pairs of columns, whole numbers with few values first (they are codes: months, grades), then the
  pairs with the fewest products, while a cross has at most ``PRODUCTS`` and the schema at most as many features as asked.
"""

import itertools
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.data.encoding import Category, Cross, Encoding, Number
from expunge.data.encoding.indicator import plain
from expunge.problem.arrays import SMALLEST

Array = NDArray[np.float64]

COMMON = 1.0 / 40.0
"""The share of the people who have a value from which on it has a knot of its own."""
QUANTILES = 9
"""Quantiles of the other values that have knots."""
MISSING = 0.01
"""The share of the people from which on it is a feature that a value is missing."""
MAGNITUDES, FAR = 100.0, 1000.0
"""How many times the lowest the highest must be for a logarithm, and how far from 0 for a signed one."""
PRODUCTS = 512
"""The most features of one cross."""
FEATURES = 1000
"""The most features of a proposal with crosses."""
ROWS_PER_FEATURE = 125
"""Crosses are proposed only as long as there are so many rows a feature."""


def rounded(x: Array, digits: int = 2) -> Array:
    """The numbers in so many significant digits; not a number where that is not finite.

    Args:
        x: numbers, ``(k,)``.
        digits: how many.

    Examples:
        >>> rounded(np.array([7688.0, -0.01234, 42.0, 0.0])).tolist()
        [7700.0, -0.012, 42.0, 0.0]
    """
    size = np.where(np.isfinite(x), np.abs(x), math.nan)
    is_zero = size < SMALLEST
    exponent = np.floor(np.log10(np.where(is_zero, 1.0, size))) - (digits - 1)
    up, down = 10.0 ** np.maximum(exponent, 0.0), 10.0 ** np.maximum(-exponent, 0.0)
    with np.errstate(over="ignore"):
        found = np.where(is_zero, 0.0, np.copysign(np.rint(size / up * down) / down * up, x))
    return np.asarray(np.where(np.isfinite(found), found, math.nan))


@dataclass(frozen=True)
class Counted:
    """How many people have which numbers of a column.

    Args:
        values: different numbers, increasing, ``(k,)``.
        people: how many people have each, ``(k,)``; a person with several may be divided among them.
        others: people who have other numbers, which are not known.
    """

    values: Array
    people: Array
    others: float = 0.0

    @property
    def is_common(self) -> NDArray[np.bool_]:
        """Which values have a knot of their own, ``(k,)``."""
        return np.asarray(self.people >= COMMON * (float(self.people.sum()) + self.others))

    @property
    def knots(self) -> list[float]:
        """The common values, and quantiles of the others."""
        common = self.is_common
        rest, reached = self.values[~common], np.cumsum(self.people[~common])
        levels = np.arange(1, QUANTILES + 1) / (QUANTILES + 1)
        places = np.searchsorted(reached, levels * reached[-1]) if len(rest) else []
        return sorted({*self.values[common].tolist(), *rest[places].tolist()})


def shaped(low: float, high: float, knots: Collection[float]) -> Number:
    """A number from ``low`` to ``high``, with those of the knots that are inside, on the scale that suits its range.

    Args:
        low: lower end of the range.
        high: upper end, above ``low``.
        knots: in any order.
    """
    inner = sorted({knot for knot in knots if low < knot < high})
    scale = "linear"
    if low > 0.0:
        scale = "log" if high >= MAGNITUDES * low else scale
    elif max(-low, high) >= FAR:
        scale = "signed_log"
    points = (low, *inner, high) if inner else ()
    try:
        return Number(low, high, points, scale=scale)
    except ValueError:  # knots closer than numbers can tell apart on the scale
        return Number(low, high)


def crosses(columns: Mapping[str, Encoding], most: int) -> dict[str, Cross]:
    """Crosses of pairs of these columns, by the rule above.

    Args:
        columns: how each is declared, by name.
        most: features that columns and crosses may have together.

    Examples:
        >>> month, day = Number(1, 3, (1, 2, 3)), Number(1, 4, (1, 2, 3, 4))
        >>> list(crosses({"month": month, "sex": Category(("F", "M")), "day": day}, most=28))
        ['month by day', 'month by sex']
    """
    wide = {name: column for name, column in columns.items() if len(plain(column).suffixes) > 1}
    pairs = []
    for a, b in itertools.combinations(wide, 2):
        width = len(wide[a].suffixes) * len(wide[b].suffixes)
        pairs.append((not (_is_code(wide[a]) and _is_code(wide[b])), width, f"{a} by {b}", (a, b)))
    used, found = sum(len(column.suffixes) for column in columns.values()), dict[str, Cross]()
    for _order, width, name, pair in sorted(pairs, key=lambda pair: pair[:2]):
        if width <= PRODUCTS and used + width <= most:
            found[name], used = Cross(pair), used + width
    return found


def _is_code(column: Encoding) -> bool:
    """Whether it is a number whose knots are neighbouring whole numbers, but for a few at the ends."""
    declared = plain(column)
    if isinstance(declared, Category) or not isinstance(declared, Number) or not declared.knots:
        return False
    steps = np.diff(declared.knots)
    return bool((np.array(declared.knots) % 1.0 == 0.0).all() and np.mean(steps == 1.0) >= 0.8)

"""Parameters as plain Python numbers.

Digests are made of ``repr`` and states are written as JSON, so a parameter must mean the same and look the same whether it
came as ``1.0``, as ``np.float64(1.0)`` out of a grid, or out of a file.
"""

import math
from numbers import Integral, Real
from typing import Any

import numpy as np


def real(name: str, value: Any) -> float:
    """``value`` as a float; infinite ones pass, for the owner to judge.

    Raises:
        ValueError: no number, NaN, or a truth value.
    """
    if not isinstance(value, Real) or isinstance(value, bool) or math.isnan(value):
        raise ValueError(f"{name} must be a number, got {value!r}")
    return float(value)


def between(name: str, value: Any, low: float, high: float) -> float:
    """``value`` as a float of this range.

    Raises:
        ValueError: no number, or outside.
    """
    number = real(name, value)
    if not low <= number <= high:
        raise ValueError(f"{name} must be between {low:g} and {high:g}, got {number}")
    return number


def whole(name: str, value: Any) -> int:
    """``value`` as an int.

    Raises:
        ValueError: no whole number, or a truth value.
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    number = real(name, value)
    if not number.is_integer():
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    return int(number)


def truth(name: str, value: Any) -> bool:
    """``value`` as a bool.

    Raises:
        ValueError: neither true nor false: a text such as ``"False"`` would count as true.
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return bool(value)

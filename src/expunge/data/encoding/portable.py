"""Logarithm, sine, cosine and normal numbers that are the same to the last bit on every machine.

Mathematical libraries differ in the last bit from machine to machine, and even with the width of the registers. Rows are
recognised by the bits of their features, so encodings only use operations that IEEE 754 rounds in one way: sums,
products, quotients, square roots. The polynomials are fdlibm's (Sun Microsystems 1993, ``e_log.c``, ``k_sin.c``,
``k_cos.c``), good to about one unit in the last place.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CHUNK = 1 << 14
"""Angles at a time: what is made of them on the way stays in the cache."""
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
LOG = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
SINE = (
    -1.66666666666666324348e-01,
    8.33333333332248946124e-03,
    -1.98412698298579493134e-04,
    2.75573137070700676789e-06,
    -2.50507602534068634195e-08,
    1.58969099521155010221e-10,
)
COSINE = (
    4.16666666666666019037e-02,
    -1.38888888888741095749e-03,
    2.48015872894767294178e-05,
    -2.75573143513906633035e-07,
    2.08757232129817482790e-09,
    -1.13596475577881948265e-11,
)


def log(x: Array) -> Array:
    """The natural logarithm of positive, finite numbers.

    Args:
        x: numbers, of any shape.

    Examples:
        >>> log(np.array([1.0, np.e])).tolist()
        [0.0, 1.0]
    """
    mantissa, exponent = np.frexp(x)
    small = mantissa < math.sqrt(0.5)
    f = np.where(small, 2.0 * mantissa, mantissa) - 1.0
    k = (exponent - small).astype(np.float64)
    s = f / (2.0 + f)
    z = s * s
    half = 0.5 * f * f
    return np.asarray(k * LN2_HIGH - ((half - (s * (half + z * _polynomial(z, LOG)) + k * LN2_LOW)) - f))


def sine_cosine(turns: Array) -> tuple[Array, Array]:
    """Sine and cosine of finite angles, given in whole turns.

    Args:
        turns: numbers, of any shape; 1 is 360 degrees.

    Examples:
        >>> [part.tolist() for part in sine_cosine(np.array([0.0, 0.25, 0.5]))]
        [[0.0, 1.0, 0.0], [1.0, 0.0, -1.0]]
    """
    sine, cosine = np.empty(turns.shape), np.empty(turns.shape)
    of, flat, beside = turns.ravel(), sine.ravel(), cosine.ravel()
    for start in range(0, len(of), CHUNK):
        own = slice(start, start + CHUNK)
        flat[own], beside[own] = _sine_cosine(of[own])
    return sine, cosine


def _sine_cosine(turns: Array) -> tuple[Array, Array]:
    turns = turns - np.floor(turns)
    quarter = np.rint(4.0 * turns)
    x = (turns - 0.25 * quarter) * (2.0 * math.pi)
    z = x * x
    sine = x + x * z * _polynomial(z, SINE)
    cosine = 1.0 - (0.5 * z - z * z * _polynomial(z, COSINE))
    place = quarter.astype(np.int8) & 3
    is_odd = (place & 1).astype(bool)
    of_sine, of_cosine = np.where(place >= 2, -1.0, 1.0), np.where((place == 1) | (place == 2), -1.0, 1.0)
    return of_sine * np.where(is_odd, cosine, sine) + 0.0, of_cosine * np.where(is_odd, sine, cosine) + 0.0


@lru_cache(maxsize=16)
def normals(random_state: int, n: int) -> Array:
    """Standard normal numbers, ``(n,)``: from the raw bits of NumPy's ``PCG64``, whose stream never changes, by Box and Muller.

    Args:
        random_state: the generator's seed.
        n: number of numbers.
    """
    raw = np.random.PCG64(random_state).random_raw(n + n % 2)
    uniform = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    radius, (sine, cosine) = np.sqrt(-2.0 * log(uniform[::2])), sine_cosine(uniform[1::2])
    found = np.stack([radius * cosine, radius * sine], axis=1).ravel()[:n]
    found.flags.writeable = False
    return found


def _polynomial(z: Array, coefficients: tuple[float, ...]) -> Array:
    total = np.full_like(z, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total *= z
        total += coefficient
    return total

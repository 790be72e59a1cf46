"""Solving with a lower triangular matrix, in blocks, so that nearly all of it are products of NumPy's BLAS."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BLOCK = 32
"""Small, for the inverses of the blocks on the diagonal are taken."""


def solve_lower(lower: Array, target: Array, *, transposed: bool = False) -> Array:
    """x with Lx = ``target``, or with Lᵀx = ``target``.

    Args:
        lower: L, ``(p, p)``, with no 0 on its diagonal.
        target: ``(p,)`` or ``(p, m)``.
        transposed: whether Lᵀ takes the place of L.

    Examples:
        >>> solve_lower(np.array([[2.0, 0.0], [1.0, 1.0]]), np.array([2.0, 3.0]))
        array([1., 2.])
    """
    x = np.array(target, dtype=np.float64)
    starts = range(0, len(lower), BLOCK)
    for start in reversed(starts) if transposed else starts:
        own = slice(start, start + BLOCK)
        done = slice(start + BLOCK, None) if transposed else slice(0, start)
        block = lower[own, own].T if transposed else lower[own, own]
        known = lower[done, own].T if transposed else lower[own, done]
        x[own] = np.linalg.inv(block) @ (x[own] - known @ x[done])
    return x

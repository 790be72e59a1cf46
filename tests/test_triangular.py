"""Triangular systems are solved, wherever a block ends."""

import math

import numpy as np
import pytest

from expunge.numerics.triangular import BLOCK, solve_lower


@pytest.mark.parametrize("p", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 7 * BLOCK - 3])
def test_triangular_solves(p, rng):
    L = np.tril(rng.normal(size=(p, p)) / math.sqrt(p)) + np.eye(p)
    for target in (rng.normal(size=p), rng.normal(size=(p, 3))):
        kept = target.copy()
        for x, matrix in (
            (solve_lower(L, target), L),
            (solve_lower(L, target, transposed=False), L),
            (solve_lower(L, target, transposed=True), L.T),
        ):
            np.testing.assert_allclose(matrix @ x, target, atol=1e-9 * np.abs(x).max())
            np.testing.assert_array_equal(target, kept)


def test_what_lies_above_the_diagonal_is_not_looked_at():
    """In blocks beside the diagonal; within one it is 0."""
    L = np.eye(2 * BLOCK)
    L[:BLOCK, BLOCK:] = np.nan
    target = np.arange(2.0 * BLOCK)
    np.testing.assert_array_equal(solve_lower(L, target), target)
    np.testing.assert_array_equal(solve_lower(L, target, transposed=True), target)

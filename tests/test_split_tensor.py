"""The third derivative of rows in blocks is that of the same rows, whatever the blocks are made of."""

from unittest import mock

import numpy as np
import pytest

from expunge.numerics import split_tensor
from expunge.numerics.split_tensor import tensor_of_split
from expunge.numerics.tensor import SymmetricTensor
from expunge.problem.split import SplitMatrix


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize(
    ("alike", "n_blocks"), [([], 4), ([0, 1], 3), ([1, 0, 3], 2), ([0, 1, 3, 4], 2)], ids=["apart", "two", "three", "all"]
)
def test_blocks_are_added_up_as_their_rows(fit_intercept, alike, n_blocks):
    """Categories of three, two, two and four columns, some of them with none, and two numbers; together in blocks, or apart."""
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, size, 60) for size in (4, 2, 3, 5)]
    first, second, third, fourth = (np.eye(5)[code, :size] for code, size in zip(codes, (3, 2, 2, 4), strict=True))
    X = np.hstack([first, second, rng.normal(size=(60, 1)), third, fourth, rng.normal(size=(60, 1))])
    groups = [np.array([0, 1, 2]), np.array([3, 4]), np.array([5]), np.array([6, 7]), np.array([8, 9, 10, 11]), np.array([12])]
    split, weights = SplitMatrix.of(X, groups, alike), rng.normal(size=60)
    assert len(split.blocks) == n_blocks
    rows = np.hstack([X, np.ones((60, 1))]) if fit_intercept else X
    wanted = SymmetricTensor.zeros(rows.shape[1])
    wanted.absorb(rows, weights)
    with mock.patch.object(split_tensor, "COPIED", 100):
        found = tensor_of_split(split, weights, fit_intercept=fit_intercept)
    np.testing.assert_allclose(found.packed, wanted.packed, atol=1e-11)

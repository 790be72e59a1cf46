"""Which columns are ever non-zero, how large, and which never together; and how far rows can then move. Theory §4.7."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from expunge.numerics.support import Support
from expunge.problem.losses import Logistic, Softmax
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from tests.test_evaluation import by_hand_gamma


@given(seed=st.integers(0, 2**32 - 1))
def test_no_row_moves_farther_than_the_support_reaches(seed):
    rng = np.random.default_rng(seed)
    n, loss = int(rng.integers(1, 30)), (Logistic(), Softmax(3))[seed % 2]
    categories = [np.eye(k)[rng.integers(0, k, n)] for k in rng.integers(1, 5, size=3)]
    X = np.hstack([*categories, rng.normal(size=(n, 2)) * (rng.random((n, 2)) < 0.5)])
    objective = Objective(loss, X.shape[1], fit_intercept=bool(rng.integers(2)))
    rows = Rows.of(X if seed % 3 else sparse.csr_array(X), rng.integers(0, 2, n).astype(float))
    support = Support.of(objective, rows.take(slice(0, n // 2))) | Support.of(objective, rows.take(slice(n // 2, n)))
    columns, starts = support.groups
    assert sorted(columns.tolist()) == list(range(objective.width))
    design = np.asarray(objective.design(rows).todense()) if sparse.issparse(objective.design(rows)) else objective.design(rows)
    for group in np.split(columns, starts[1:]):
        assert ((design[:, group] != 0).sum(axis=1) <= 1).all()
    step = rng.normal(size=objective.n_parameters)
    moved = np.linalg.norm(np.asarray(objective.predictor(step, objective.features(rows))).reshape(n, -1), axis=1).max()
    assert moved <= support.reach(step)
    few = Support.of(objective, rows.take([0]))
    assert few.reach(step) <= support.reach(step) * (1 + 1e-12)


def test_categories_are_groups_again():
    """Columns of one category are found to be one group, and so many groups as categories reach far less than all columns."""
    rng = np.random.default_rng(0)
    X = np.hstack([np.eye(20)[rng.integers(0, 20, 3000)] for _ in range(3)])
    support = Support.of(Objective(Logistic(), 60), Rows.of(X, np.zeros(3000)))
    assert len(support.groups[1]) == 4  # the intercept is the fourth


X = np.array([[1.0, 0.0, 0.0, 1.0], [0.0, -3.0, 0.0, 2.0], [0.0, 0.0, 0.5, -0.5], [0.0, 2.0, 0.0, 1.0]])
"""The first three columns are never there together; the last one is always there."""


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_a_support_is_found_column_by_column(container):
    found = Support.of(Objective(Logistic(), 4, fit_intercept=False), Rows.of(container(X), np.zeros(4)))
    np.testing.assert_array_equal(found.largest, [1.0, 3.0, 0.5, 2.0])
    always, alone = np.ones(4, dtype=bool), np.eye(4, dtype=bool)
    np.testing.assert_array_equal(found.together, alone | (np.arange(4) == 3) | (np.arange(4) == 3)[:, None])
    columns, starts = found.groups
    assert (columns.tolist(), starts.tolist()) == ([0, 1, 2, 3], [0, 3])
    with_intercept = Support.of(Objective(Logistic(), 4), Rows.of(container(X), np.zeros(4)))
    np.testing.assert_array_equal(with_intercept.largest, [1.0, 3.0, 0.5, 2.0, 1.0])
    np.testing.assert_array_equal(with_intercept.together[4], np.r_[always, True])
    np.testing.assert_array_equal(with_intercept.together[:, 4], np.r_[always, True])


def test_zeros_that_are_stored_are_none():
    stored = sparse.csr_array((np.array([1.0, 0.0, 2.0]), np.array([0, 1, 1]), np.array([0, 2, 3])), shape=(2, 2))
    rows = replace(Rows.of(np.eye(2), np.zeros(2)), X=stored)
    found = Support.of(Objective(Logistic(), 2, fit_intercept=False), rows)
    assert not found.together[0, 1]


def test_a_column_joins_the_first_group_that_it_may():
    together = np.eye(4, dtype=bool)
    together[0, 1] = together[1, 0] = together[0, 3] = together[3, 0] = True
    columns, starts = Support(np.ones(4), together).groups
    assert (columns.tolist(), starts.tolist()) == ([0, 2, 1, 3], [0, 2])


def test_no_rows_reach_nowhere():
    none = Support.of(Objective(Logistic(), 2), Rows.of(np.zeros((0, 2)), np.zeros(0)))
    assert none.reach(np.ones(3)) == 0.0
    assert not none.together.any()
    assert len(none.groups[1]) == 1


def test_a_reach_is_rounded_up():
    """2·3 of the first group and 0.5·4 of the second; of two outputs as the two sides of a right angle."""
    support = Support(
        np.array([1.0, 2.0, 1.0, 0.5]), np.eye(4, dtype=bool) | (np.arange(4) == 3) | (np.arange(4) == 3)[:, None]
    )
    step = np.array([1.0, -3.0, 5.0, 4.0])
    assert support.reach(step) == (6.0 + 2.0) * (1.0 + by_hand_gamma(4 + 8))
    assert support.reach(np.r_[3.0 * step, 4.0 * step]) == 5.0 * 8.0 * (1.0 + by_hand_gamma(4 + 8))
    assert support.reach(np.full(4, 1e308)) == support.reach(np.full(4, math.inf)) == math.inf

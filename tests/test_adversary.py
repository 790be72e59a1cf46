"""Adversaries put first whom they should, by brute force: fit without a row, and look."""

import numpy as np
import pytest
from scipy import sparse

from expunge.engine.local import LocalEngine
from expunge.problem.losses import Logistic, Softmax, Squared
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.dense import DenseState
from expunge.unlearning.influence import ADVERSARIES, deletion_order, displacements


def problem(loss, n=80, d=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(2 * n, d)) * rng.uniform(0.2, 2.0, size=(2 * n, 1))
    y = rng.integers(0, loss.classes, size=2 * n).astype(float) if loss.classes else X[:, 0] + rng.normal(size=2 * n)
    objective = Objective(loss, d, 1.0)
    rows = Rows.of(X[:n], y[:n])
    return DenseState.fitted(objective, rows, LocalEngine()), rows, Rows.of(X[n:], y[n:])


def held_out_loss(state, rows):
    optimum = DenseState.fitted(state.objective, rows, LocalEngine())
    return optimum.point


@pytest.mark.parametrize("loss", [Logistic(), Softmax(3), Squared()], ids=repr)
def test_influence_and_displacement_agree_with_fitting_without_each_row(loss):
    state, rows, holdout = problem(loss)
    whole = held_out_loss(state, rows)

    def risk(w):
        t = state.objective.predictor(w, state.objective.features(holdout))
        return float(loss.value(t, holdout.y).sum())

    without = [held_out_loss(state, rows.take(np.arange(len(rows)) != i)) for i in range(len(rows))]
    moved = [np.linalg.norm(w - whole) for w in without]
    harm = np.array([risk(w) - risk(whole) for w in without])
    assert np.corrcoef(displacements(state, rows), moved)[0, 1] > 0.95
    order = deletion_order("influence", state, rows, holdout, np.random.default_rng(0))
    ranks = np.argsort(order)
    assert np.corrcoef(-ranks, np.argsort(np.argsort(harm)))[0, 1] > 0.9


@pytest.mark.parametrize("adversary", ADVERSARIES)
@pytest.mark.parametrize("loss", [Logistic(), Softmax(3), Squared()], ids=repr)
def test_every_order_is_a_permutation_and_the_same_for_csr(loss, adversary):
    state, rows, holdout = problem(loss)
    order = deletion_order(adversary, state, rows, holdout, np.random.default_rng(0))
    assert sorted(order) == list(range(len(rows)))
    as_csr = Rows.of(sparse.csr_array(rows.X), rows.y)
    np.testing.assert_array_equal(order, deletion_order(adversary, state, as_csr, holdout, np.random.default_rng(0)))


def test_the_rules_of_the_others():
    state, rows, holdout = problem(Softmax(3))
    rng = np.random.default_rng(0)
    counts = np.bincount(rows.y.astype(int))
    by_class = rows.y[deletion_order("class", state, rows, holdout, rng)]
    assert (by_class[: counts.min()] == counts.argmin()).all()
    around = deletion_order("clusters", state, rows, holdout, rng)
    away = np.linalg.norm(rows.X[around] - rows.X[around[0]], axis=1)
    assert (np.diff(away) >= -1e-12).all()
    regression, pairs, _ = problem(Squared())
    largest = pairs.y[deletion_order("class", regression, pairs, pairs, rng)]
    assert (np.diff(largest) <= 0).all()
    norms = np.linalg.norm(np.hstack([pairs.X, np.ones((len(pairs), 1))]), axis=1)
    residual = regression.objective.predictor(regression.anchor, regression.objective.features(pairs)) - pairs.y
    steep = (norms * np.abs(residual))[deletion_order("gradient", regression, pairs, pairs, rng)]
    assert (np.diff(steep) <= 1e-12).all()


def test_an_unknown_adversary_is_refused():
    state, rows, holdout = problem(Logistic())
    with pytest.raises(ValueError, match="adversary must be one of"):
        deletion_order("nobody", state, rows, holdout, np.random.default_rng(0))  # type: ignore[arg-type]

"""Objective: its penalty's gradient and Hessian are those of its value, in both forms, with and without the gauge."""

import numpy as np
import pytest

from expunge.errors import InvalidRows
from expunge.numerics.evaluation import Evaluation
from expunge.problem.losses import Gamma, Logistic, Poisson, Softmax, Squared
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from tests.problems import CATALOGUE, problem


@pytest.mark.parametrize("form", ["sum", "mean"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("loss", [Logistic(), Softmax(3)], ids=repr)
def test_the_penalty_is_what_theory_1_says(loss, form, fit_intercept, rng):
    objective = Objective(loss, 4, 0.3, form, fit_intercept)
    count, w = 7.0, rng.normal(size=objective.n_parameters)
    coefficients = objective.coefficients(w)
    scale = 0.3 * (count if form == "mean" else 1.0)
    wanted = 0.5 * scale * float((coefficients[:, :4] ** 2).sum())
    if loss.outputs > 1 and fit_intercept:
        wanted += 0.5 * coefficients[:, 4].sum() ** 2
    assert objective.penalty_value(w, count) == pytest.approx(wanted)
    step = 1e-6
    for i, direction in enumerate(np.eye(len(w))):
        up, down = (objective.penalty_value(w + sign * step * direction, count) for sign in (1, -1))
        slope = (up - down) / (2 * step)
        assert objective.penalty_gradient(w, count)[i] == pytest.approx(slope, abs=1e-8)
    hessian = objective.penalised_hessian(np.zeros((len(w), len(w))), count)
    np.testing.assert_allclose(hessian @ w, objective.penalty_gradient(w, count))
    assert np.trace(hessian) == pytest.approx(objective.penalty_trace(count))


@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
def test_gradient_and_hessian_are_those_of_the_value(loss):
    for seed in range(5):
        p = problem(loss, seed)
        rng = np.random.default_rng(seed)
        w = 0.1 * rng.normal(size=p.objective.n_parameters)
        at = Evaluation(p.objective, p.rows, w)
        gradient = at.gradient
        hessian = at.hessian()
        root = at.curvature_root()
        np.testing.assert_allclose(root.T @ root, hessian, atol=1e-9 * np.abs(hessian).max())
        step = 1e-5 / max(1.0, float(np.linalg.norm(p.rows.X, axis=1).max()))
        for i, direction in enumerate(np.eye(len(w))):
            up, down = (Evaluation(p.objective, p.rows, w + sign * step * direction) for sign in (1, -1))
            scale = np.abs(gradient).max() + np.abs(hessian).max() + abs(at.value)
            assert (up.value - down.value) / (2 * step) == pytest.approx(gradient[i], abs=1e-4 * scale)
            column = (up.gradient - down.gradient) / (2 * step)
            np.testing.assert_allclose(column, hessian[:, i], atol=1e-4 * scale)


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        (Logistic(), 2.0, "row 1"),
        (Softmax(3), 1.5, "row 1"),
        (Poisson(), -1.0, "row 1"),
        (Gamma(), 0.0, "row 1"),
    ],
    ids=repr,
)
def test_targets_outside_the_loss_are_named(loss, y, message):
    with pytest.raises(InvalidRows, match=message):
        Objective(loss, 1, 1.0).check(Rows.of([[1.0], [2.0]], [1.0, y]))


def test_another_width_is_named():
    with pytest.raises(InvalidRows, match="3"):
        Objective(Squared(), 2, 1.0).check(Rows.of(np.ones((1, 3)), [1.0]))


@pytest.mark.parametrize("penalty", [-1.0, float("nan"), float("inf")])
def test_impossible_penalties_are_refused(penalty):
    with pytest.raises(ValueError, match="penalty"):
        Objective(Squared(), 2, penalty)

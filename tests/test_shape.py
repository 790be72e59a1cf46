"""A and what is made of it, to the last digits and to the edge of every condition. Theory §5.6."""

import math
from unittest import mock

import numpy as np
import pytest
from scipy import sparse

from expunge.numerics.factor import Factor, Hessian
from expunge.numerics.moments import Moments
from expunge.privacy.noise import grid_rounding
from expunge.problem.arrays import norm
from expunge.problem.losses import Logistic, Softmax, Squared
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning import shape as module
from expunge.unlearning.bounds import ROUND_UP
from expunge.unlearning.shape import Shape
from tests.test_evaluation import by_hand_gamma

U = 2.0**-53
SKEW = np.array([[4.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.5, 0.25, 0.125]])


def plain(p: int) -> Objective:
    return Objective(Squared(), p, 0.0, fit_intercept=False)


def shape(factor: np.ndarray = SKEW, scale: float = 0.75) -> Shape:
    return Shape(factor @ factor.T, factor, scale, False)


def hessian(matrix: np.ndarray) -> Hessian:
    return Hessian(plain(len(matrix)), matrix, 1.0)


def to_the_last(value):
    return pytest.approx(value, rel=1e-13, abs=0.0)


@pytest.mark.parametrize("loss", [Squared(), Logistic(), Softmax(3)], ids=repr)
def test_the_matrix_is_made_of_the_moments(loss):
    """With the ridge of 1e-9 mean eigenvalues, which tests against the rows themselves cannot tell."""
    rng = np.random.default_rng(0)
    rows = Rows.of(rng.normal(size=(40, 3)) * [1.0, 4.0, 0.1], rng.integers(0, max(2, loss.classes), 40).astype(float))
    objective = Objective(loss, 3, 0.5)
    moments = Moments.of(objective, rows)
    found = Shape.of(objective, moments, 1e-3)
    G = [moments.matrix(k) for k in range(max(1, loss.classes))]
    if loss.classes:
        whole = sum(G[1:], start=G[0])
        inverse = np.linalg.inv(whole + 1e-9 * np.trace(whole) / 4 * np.eye(4))
        lighter = min(G, key=lambda each: float(np.trace(each)))
        parts = [lighter] if loss.outputs == 1 else G
        wanted = np.block([[(k == j) * a - a @ inverse @ b for j, b in enumerate(parts)] for k, a in enumerate(parts)])
    else:
        wanted = G[0]
    wanted = wanted + objective.penalised_hessian(np.zeros_like(wanted), moments.count)
    wanted = wanted + 0.02 * np.trace(wanted) / len(wanted) * np.eye(len(wanted))
    np.testing.assert_allclose(found.metric, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


def test_a_matrix_without_a_factor_gives_way_to_isotropic_noise():
    rows = Rows.of([[1.0, 0.0], [3.0, 0.0]], np.zeros(2))
    found = Shape.of(plain(2), Moments.of(plain(2), rows), 1e-3, floor=0.0)
    assert found.is_isotropic
    np.testing.assert_array_equal(found.metric, found.metric[0, 0] * np.eye(2))
    np.testing.assert_allclose(found.factor, math.sqrt(found.metric[0, 0]) * np.eye(2), rtol=1e-15)


@pytest.mark.parametrize("rounding", [None, 0.0, 2.0**-50])
def test_the_distance_is_charged_the_product_and_the_grid(rounding):
    point, of = np.array([3.0, -1.0, 2.0]), shape(scale=2.0**-20)
    charged = (by_hand_gamma(3 + 2) * norm(point) + (rounding or 0.0)) * norm(SKEW) + grid_rounding(3, 1.0) * 2.0**-20
    found = of.distance(point, 1e-16) if rounding is None else of.distance(point, 1e-16, rounding)
    assert found == to_the_last((1e-16 + charged) * ROUND_UP)
    assert of.distance(point, math.nan) == math.inf


def test_the_stretch_is_charged_every_factorisation():
    """The floor of the curvature is so low that rounding is all that counts."""
    of, H, floor = shape(), hessian(np.array([[8.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]])), 2.0**-52
    bound = 1.003 * module._largest(of.metric, H.sum, np.asarray(np.linalg.inv(H.sum), dtype=np.float64))
    slack = (2.0 * by_hand_gamma(3 + 1) + 4.0 * U) * bound * 11.0
    slack += 4.0 * U * norm(of.metric) + by_hand_gamma(3 + 1) * norm(SKEW) ** 2
    found = of.stretch(H, Factor.of(H), floor)
    assert found == to_the_last((bound + slack / floor * ROUND_UP) * ROUND_UP)
    exact = float(np.linalg.eigvals(np.linalg.solve(H.sum, of.metric)).real.max())
    assert bound == pytest.approx(1.003 * exact, rel=1e-12)


@pytest.mark.parametrize(
    ("short", "share"),
    [(1.001, 1.003), (1.01, 1.02), (1.05, 1.1), (1.2, 1.35), (1.5, 2.0), (3.5, 4.0), (15.5, 16.0), (16.5, math.inf)],
)
def test_an_estimate_that_falls_short_is_raised_until_it_is_a_bound(short, share):
    of = shape()
    H = hessian(of.metric)
    with mock.patch.object(module, "_largest", return_value=1.0 / short):
        assert of.stretch(H, Factor.of(H), 1e-3) == pytest.approx(share / short, rel=1e-8)


@pytest.mark.parametrize("size", [1.0, 2.0**60, 2.0**-60])
def test_the_stretch_is_near_where_there_are_more_dimensions_than_are_looked_at(size):
    rng = np.random.default_rng(0)
    half = rng.normal(size=(14, 14))
    A, H = half @ half.T + 14.0 * np.eye(14), np.diag(np.arange(1.0, 15.0))
    exact = float(np.linalg.eigvals(np.linalg.solve(H, A)).real.max()) * size * size
    of, by = shape(np.linalg.cholesky(size * A)), hessian(H / size)
    found = of.stretch(by, Factor.of(by), 1.0 / size)
    assert exact <= found <= 1.03 * exact


def test_no_stretch_is_known_of_what_overflows_or_has_no_curvature():
    of = shape()
    H = hessian(of.metric)
    assert of.stretch(H, Factor.of(H), 0.0) == of.stretch(H, Factor.of(H), -0.5) == math.inf
    for value in (math.inf, math.nan):
        assert of.stretch(H, Factor(np.full((3, 3), value)), 1e-3) == math.inf
    with np.errstate(over="ignore"):
        large = shape(1e200 * SKEW)
    assert large.stretch(H, Factor.of(H), 1e-3) == math.inf
    assert of.stretch(hessian(np.full((3, 3), math.nan)), Factor.of(H), 1e-3) == math.inf
    assert of.stretch(hessian(-H.sum), Factor.of(H), 1e-3) == math.inf


def test_covariance_and_cost():
    of = shape()
    np.testing.assert_allclose(of.covariance, 0.75**2 * np.linalg.inv(of.metric), rtol=1e-12)
    assert of.covariance is of.covariance
    H = np.array([[8.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]])
    assert of.cost(hessian(H)) == pytest.approx(0.5 * np.trace(of.covariance @ H), rel=1e-12)


@pytest.mark.parametrize("loss", [Squared(), Softmax(3)], ids=repr)
def test_the_spread_of_sparse_rows_is_that_of_dense_ones(loss):
    objective = Objective(loss, 1, fit_intercept=loss.outputs == 3)
    of = shape(np.kron(np.eye(loss.outputs), [[2.0, 0.0], [1.0, 0.5]])) if loss.outputs == 3 else shape(np.array([[2.0]]))
    X, y = np.array([[1.0], [0.0], [-3.0]]), np.zeros(3)
    dense, csr = (of.spread(objective, Rows.of(kind(X), y)) for kind in (np.asarray, sparse.csr_array))
    np.testing.assert_allclose(csr, dense, rtol=1e-14)
    if loss.outputs == 1:
        np.testing.assert_allclose(dense, [0.375, 0.0, 1.125], rtol=1e-14)


def test_a_variance_that_rounding_has_left_below_zero_is_no_spread():
    of = shape()
    vars(of)["covariance"] = -1e-20 * np.eye(3)
    assert of.spread(plain(3), Rows.of(np.ones((2, 3)), np.zeros(2))).tolist() == [0.0, 0.0]
    objective = Objective(Softmax(3), 1, fit_intercept=False)
    np.testing.assert_array_equal(of.spread(objective, Rows.of(np.ones((2, 1)), np.zeros(2))), np.zeros((2, 3, 3)))


def test_a_matrix_without_a_finite_factor_has_none():
    assert module._root(np.diag([1.0, -1.0])) is None
    assert module._root(np.full((2, 2), math.nan)) is None
    np.testing.assert_array_equal(module._root(np.diag([4.0, 9.0])), np.diag([2.0, 3.0]))

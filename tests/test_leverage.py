"""The largest leverage of a batch: an upper bound, hardly above it, in float32 where that is enough. Theory §4.6."""

import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest

from expunge.numerics import leverage
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.leverage import SHARE, _roots, leverages, top_leverage
from expunge.problem.losses import Softmax, Squared
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.problem.split import SplitMatrix
from tests.test_evaluation import LOSSES, ByHand, by_hand_gamma, exactly


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """However few rows there are, float32 is tried."""
    monkeypatch.setattr(leverage, "FEW", 0)


def test_a_few_rows_are_multiplied_in_float64(monkeypatch):
    monkeypatch.setattr(leverage, "FEW", 3)
    objective, X = Objective(Squared(), 1, fit_intercept=False), np.ones((4, 1))
    above = [top_leverage(Evaluation(objective, Rows.of(X[:n], X[:n, 0]), np.zeros(1)), np.eye(1)) - 1.0 for n in (3, 4)]
    assert above[0] < 1e-13 < 1e-7 < above[1]


@pytest.mark.parametrize("loss", [*LOSSES, Softmax(2)], ids=repr)
@pytest.mark.parametrize("container", ["dense", "CSR", "strict"])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("size", [1e-70, 1e-12, 1.0, 1e12, 1e70])
def test_top_leverage_is_hardly_above_the_largest_eigenvalue(loss, container, intercept, size):
    hand = ByHand(loss, container, intercept)
    factor = np.linalg.cholesky(np.cov(np.random.default_rng(1).normal(size=(len(hand.w), 99)))) * size
    blocks = [np.kron(np.eye(hand.K), x[None, :]) @ factor for x in hand.X]
    exact = max(np.linalg.eigvalsh(B @ B.T)[-1] for B in blocks)
    found = top_leverage(hand.at, factor)
    assert exact <= found <= exact * (1 + 2.2 * SHARE)


@pytest.mark.parametrize("loss", [Squared(), Softmax(2), Softmax(3)], ids=repr)
def test_a_leverage_is_charged_the_roundings_of_float32_for_every_output(loss):
    """Here nothing is rounded: the row is 1 and the factor the identity, so that |x||L| is √K."""
    K = loss.outputs
    at = Evaluation(Objective(loss, 1, fit_intercept=False), Rows.of([[1.0]], [0.0]), np.zeros(K))
    charged = math.sqrt(K) * by_hand_gamma(K + 1 + 32, 2.0**-24) * math.sqrt(K)
    assert top_leverage(at, np.eye(K)) == exactly((1.0 + charged) ** 2)


def test_a_leverage_of_nearly_nothing_is_charged_the_rounding_of_its_square():
    """Of a row across the one direction in which the factor is long: |x||L| = 32, and what float64 leaves of it."""
    at = Evaluation(Objective(Squared(), 2, fit_intercept=False), Rows.of([[0.0, 4.0]], [0.0]), np.zeros(2))
    assert top_leverage(at, np.diag([8.0, 1e-30])) == exactly(by_hand_gamma(2 + 2) * 32.0**2)


def test_a_leverage_says_by_how_much_it_may_be_too_large():
    at = Evaluation(Objective(Squared(), 1, fit_intercept=False), Rows.of([[1.0], [0.0]], [0.0, 0.0]), np.zeros(1))
    rounding, slack = by_hand_gamma(1 + 1 + 32, 2.0**-24), by_hand_gamma(1 + 2)
    bound, excess = leverages(at, np.eye(1))
    np.testing.assert_allclose(bound, [(1.0 + rounding) ** 2 + slack, rounding**2 + slack], rtol=1e-14)
    assert excess[0] == pytest.approx((1.0 + rounding) ** 2 - (1.0 - rounding) ** 2 + 2.0 * slack, rel=0.0, abs=1e-15)
    assert excess[1] == pytest.approx(rounding**2 + 2.0 * slack, rel=1e-12, abs=0.0)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_an_eigenvalue_that_rounding_has_left_below_zero_has_the_root_zero(n_outputs):
    tops, zeros = np.array([-1e-20, 4.0, np.nan, np.inf]), np.zeros(4)
    parts = [[tops]] if n_outputs == 1 else [[tops], [zeros, np.where(tops == 4.0, 1.0, tops)]]
    np.testing.assert_array_equal(_roots(parts), [0.0, 2.0, np.inf, np.inf])


def test_no_rows_have_no_leverage():
    at = Evaluation(Objective(Squared(), 1, fit_intercept=False), Rows.of(np.zeros((0, 1)), []), np.zeros(1))
    assert [each.shape for each in leverages(at, np.eye(1))] == [(0,), (0,)]
    assert top_leverage(at, np.eye(1)) == 0.0


@pytest.mark.parametrize("loss", [Squared(), Softmax(2), Softmax(3)], ids=repr)
def test_a_leverage_of_rows_in_blocks_is_charged_the_sums_over_pairs(loss):
    """Nothing is rounded here either; of the row two values are stored, one of them in a category."""
    K, X = loss.outputs, SplitMatrix.of(np.array([[2.0, 0.0, 1.0]]), [np.arange(2), np.array([2])])
    objective = Objective(loss, 3, fit_intercept=False)
    at = Evaluation(objective, replace(Rows.of(np.ones((1, 3)), [0.0]), X=X), np.zeros(3 * K))
    size = math.sqrt(5.0) * math.sqrt(3.0 * K)
    charged = math.sqrt(by_hand_gamma(3 * K + 4 * (2 + K + 1) ** 2 + 32)) * size
    bound, _excess = leverages(at, np.eye(3 * K))
    assert bound[0] == pytest.approx((math.sqrt(5.0) + charged) ** 2, rel=1e-13, abs=0.0)


def test_leverage_that_float32_cannot_tell_is_computed_in_float64():
    X = np.array([[1.0, 1.0], [2.0, 2.0]])
    factor = np.array([[1.0, 0.0], [-1.0, 1e-4]])
    at = Evaluation(Objective(Squared(), 2, fit_intercept=False), Rows.of(X, np.zeros(2)), np.zeros(2))
    assert 4e-8 <= top_leverage(at, factor) <= 4e-8 * (1 + 1e-6)


@pytest.mark.parametrize("power", [-300, -101, -76, -74, -68, -51, -49, -40, 0, 40, 49, 51, 101, 300])
def test_leverage_whatever_float32_can_hold(power):
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, factor = rng.normal(size=3), np.tril(rng.normal(size=(3, 3)))
        at = Evaluation(Objective(Squared(), 3, fit_intercept=False), Rows.of([x], [0.0]), np.zeros(3))
        exact = mpmath.norm(mpmath.matrix(x).T * mpmath.matrix(factor)) ** 2 * mpmath.mpf(2) ** (2 * power)
        assert exact <= top_leverage(at, factor * 2.0**power) <= exact * (1 + 1e-4)


@pytest.mark.parametrize(
    ("row", "factor", "is_tried"),
    [
        (0, 0, True),
        (1, -50.5, False),
        (1, -50, False),
        (1, -49.5, True),
        (-1, 49.5, True),
        (-1, 50, False),
        (-1, 50.5, False),
        (51, -10, False),
        (-51, 10, False),
        (-30, -30, False),
        (30, 30, False),
    ],
)
def test_float32_is_tried_where_row_factor_and_product_are_of_its_sizes(row, factor, is_tried):
    """By the rounding that it allows for; the sizes are powers of two."""
    at = Evaluation(Objective(Squared(), 1, fit_intercept=False), Rows.of([[2.0**row]], [0.0]), np.zeros(1))
    above = top_leverage(at, np.array([[2.0**factor]])) / 4.0 ** (row + factor) - 1.0
    assert 0.0 < above < (1e-5 if is_tried else 1e-13)
    assert above > 1e-6 or not is_tried


@pytest.mark.parametrize("loss", [Squared(), Softmax(3)], ids=repr)
@pytest.mark.parametrize("value", [np.inf, np.nan, 1e200])
def test_no_leverage_is_known_of_a_factor_that_overflows(loss, value):
    objective = Objective(loss, 2, fit_intercept=False)
    at = Evaluation(objective, Rows.of(np.ones((3, 2)), np.zeros(3)), np.zeros(objective.n_parameters))
    with np.errstate(all="ignore"):
        assert top_leverage(at, np.full((objective.n_parameters,) * 2, value)) == np.inf

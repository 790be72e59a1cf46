"""Sums of a batch, and the bounds on their rounding, row by row as theory §4.6 has them."""

import math
from itertools import product

import array_api_strict
import mpmath
import numpy as np
import pytest
from scipy import sparse

from expunge.numerics.evaluation import LARGEST, Evaluation
from expunge.numerics.leverage import SHARE, top_leverage
from expunge.numerics.rounding import ULPS, UNDERFLOW, gamma, penalty_error, penalty_scale_error
from expunge.numerics.row_norms import row_norms
from expunge.problem.losses import Gamma, LogCosh, Logistic, Poisson, PseudoHuber, Softmax, Squared
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows

U = 2.0**-53
LOSSES = (Logistic(), Softmax(3), Poisson(), LogCosh(), Squared())
CONTAINERS = {"dense": np.asarray, "CSR": sparse.csr_array, "strict": array_api_strict.asarray}
every_batch = pytest.mark.parametrize(
    ("loss", "container", "intercept", "weighted", "offset"),
    [case for case in product(LOSSES, CONTAINERS, *[[True, False]] * 3) if case[0].outputs == 1 or not case[-1]],
    ids=lambda value: getattr(value, "name", str(value)),
)


class ByHand:
    """A batch of six rows and its sums, one row at a time."""

    def __init__(self, loss, container="dense", intercept=True, weighted=True, scale=1.0, offset=False):
        rng = np.random.default_rng(3)
        self.loss, n, d = loss, 6, 3
        X = np.where(rng.random((n, d)) < 0.3, 0.0, rng.normal(size=(n, d))) * scale
        self.y = np.array([0.0, 1, 2, 0, 1, 2]) if loss.outputs == 3 else np.array([0.0, 1, 1, 0, 1, 0])
        self.weight = rng.uniform(0.5, 2.0, n) * (np.arange(n) != 4) if weighted else np.ones(n)
        self.objective = Objective(loss, d, 0.5, fit_intercept=intercept, offset=offset)
        self.w = rng.normal(size=self.objective.n_parameters)
        self.offsets = rng.normal(size=n) if offset else np.zeros(n)
        stored = np.hstack([X, self.offsets[:, None]]) if offset else X
        self.rows = Rows.of(CONTAINERS[container](stored), self.y, self.weight if weighted else None)
        self.at = Evaluation(self.objective, self.rows, self.w)
        self.X = np.hstack([X, np.ones((n, 1))]) if intercept else X
        self.norms = np.array([math.hypot(*x) for x in self.X])
        self.K, self.width = loss.outputs, self.X.shape[1]
        self.t = self.X @ self.w.reshape(self.K, -1).T + self.offsets[:, None]
        self.gamma = by_hand_gamma(self.K * (n + self.width) + 32)

    def per_row(self, function):
        """``function`` of each row's t and y."""
        t = self.t if self.K > 1 else self.t[:, 0]
        return np.array([np.reshape(function(t[i : i + 1], self.y[i : i + 1]), (-1,)) for i in range(len(self.y))])

    @property
    def slopes(self):
        return self.per_row(self.loss.derivative)

    @property
    def curvatures(self):
        return self.per_row(self.loss.curvature).reshape(-1, self.K, self.K)

    @property
    def gradient(self):
        return sum(w * np.kron(s, x) for w, s, x in zip(self.weight, self.slopes, self.X, strict=True))

    @property
    def hessian(self):
        return sum(w * np.kron(A, np.outer(x, x)) for w, A, x in zip(self.weight, self.curvatures, self.X, strict=True))

    @property
    def bends(self):
        """No less than the curvature of each row within rounding of its predictor."""
        own = self.per_row(self.loss.curvature_norm)[:, 0]
        return np.minimum(own * np.exp(self.gamma * self.loss.self_concordance * self.reach), self.loss.curvature_bound)

    @property
    def reach(self):
        return self.norms * np.linalg.norm(self.w) + abs(self.offsets)

    @property
    def slope_error(self):
        size = self.loss.term_size(self.at.t, abs(self.slopes).sum(axis=1), self.bends)
        return U * 32 * np.asarray(size) + self.bends * self.gamma * self.reach


def by_hand_gamma(k, unit=U):
    return k * unit / (1 - k * unit)


def exactly(value):
    """To the roundings of the bound itself."""
    return pytest.approx(value, rel=1e-9, abs=0.0)


def test_gamma_is_that_of_higham():
    for k, unit in ((1, U), (1000, U), (1000, 2.0**-24)):
        exact = mpmath.mpf(k) * unit / (1 - mpmath.mpf(k) * unit)
        assert abs(gamma(k, unit) / exact - 1) < 1e-15
    assert gamma(10) == gamma(10, 2.0**-53)


@every_batch
def test_sums_are_those_of_the_rows(loss, container, intercept, weighted, offset):
    hand = ByHand(loss, container, intercept, weighted, offset=offset)
    at = hand.at
    np.testing.assert_allclose(at.gradient, hand.gradient, atol=1e-13)
    np.testing.assert_allclose(at.hessian(), hand.hessian, atol=1e-13)
    np.testing.assert_allclose(at.hessian("float32"), hand.hessian, atol=1e-4)
    direction = np.arange(len(hand.w), dtype=np.float64) - 3.0
    np.testing.assert_allclose(np.asarray(at.product(direction)), hand.hessian @ direction, atol=1e-12)
    diagonal, D = at.curvature_sums()
    np.testing.assert_allclose(diagonal, np.diag(hand.hessian), atol=1e-13)
    np.testing.assert_allclose(D, np.tensordot(hand.weight, hand.curvatures, 1), atol=1e-13)
    assert at.value == pytest.approx(hand.weight @ hand.per_row(loss.value)[:, 0])
    zero = Evaluation(hand.objective, hand.rows, 0.0 * hand.w)
    assert at.value_at_zero == pytest.approx(zero.value)
    assert zero.value != pytest.approx(at.value)
    if container != "strict":
        root = at.curvature_root()
        assert root.shape == (6 * hand.K, len(hand.w))
        np.testing.assert_allclose(root.T @ root, hand.hessian, atol=1e-13)


@every_batch
def test_rows_are_counted(loss, container, intercept, weighted, offset):
    at = ByHand(loss, container, intercept, weighted, offset=offset).at
    weight = at.rows.sample_weight
    assert at.count == pytest.approx(float(np.sum(np.asarray(weight))) if weighted else 6.0)
    assert at.count_error == (exactly(by_hand_gamma(6) * at.count) if weighted else 0.0)
    assert at.n_rows == (5 if weighted else 6)
    if loss.outputs == 3:
        assert at.class_rows.tolist() == ([2, 1, 2] if weighted else [2, 2, 2])
    elif loss.classes:
        assert at.class_rows.tolist() == ([3, 2] if weighted else [3, 3])
    else:
        assert len(at.class_rows) == 0
    assert at.class_rows.dtype == np.int64


@every_batch
def test_errors_are_those_of_theory_4_6(loss, container, intercept, weighted, offset):
    hand = ByHand(loss, container, intercept, weighted, offset=offset)
    at, weight = hand.at, hand.weight
    slope = abs(hand.slopes).sum(axis=1)
    pull = weight @ (hand.norms * slope)
    gradient_error = hand.gamma * pull + weight @ (hand.norms * hand.slope_error)
    assert gradient_error * (1 + 10 * U) < at.gradient_error == exactly(gradient_error)
    np.testing.assert_allclose(at.slopes(), slope + hand.slope_error, rtol=1e-13)
    assert (at.slopes() >= slope + hand.slope_error).all()
    bend = weight * hand.bends * hand.norms**2
    spread = 4.0 if hand.K > 1 else 1.0
    own = U * (32 + np.asarray(loss.curvature_condition(at.t, at.rows.y))) + loss.self_concordance * hand.gamma * hand.reach
    hessian_error = spread * hand.gamma * bend.sum() + (bend * own).sum()
    assert hessian_error * (1 + 10 * U) < at.hessian_error == exactly(hessian_error)


@every_batch
def test_lengths_are_rounded_up(loss, container, intercept, weighted, offset):
    hand = ByHand(loss, container, intercept, weighted, offset=offset)
    norms = np.asarray(row_norms(hand.objective, hand.rows))
    assert (norms >= hand.norms).all()
    np.testing.assert_allclose(norms, hand.norms, rtol=1e-14)
    assert hand.at.longest == norms.max()
    step = np.arange(len(hand.w)) / 7.0 - 0.3
    moved = np.linalg.norm(hand.X @ step.reshape(hand.K, -1).T, axis=1).max()
    allowance = by_hand_gamma(8) * moved + by_hand_gamma(hand.width + 8) * norms.max() * np.linalg.norm(step)
    assert hand.at.shift(step) - moved == pytest.approx(allowance, rel=0.05, abs=0.0)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("scale", [1e-60, 1e-30, 1.0, 1e30, 1e59])
def test_the_lengths_of_rows_of_any_size(container, scale):
    X = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 5.0], [3.0, 0.0]]) * scale
    rows = Rows.of(CONTAINERS[container](X), np.zeros(4))
    bare = np.asarray(row_norms(Objective(Squared(), 2, fit_intercept=False), rows))
    np.testing.assert_allclose(bare, np.array([5.0, 0.0, 5.0, 3.0]) * scale, rtol=1e-14)
    with_one = np.asarray(row_norms(Objective(Squared(), 2), rows))
    np.testing.assert_allclose(with_one, np.hypot(np.array([5.0, 0.0, 5.0, 3.0]) * scale, 1.0), rtol=1e-14)


@pytest.mark.parametrize("container", CONTAINERS)
def test_squares_that_over_or_underflow_are_measured_again(container):
    """Beyond what the door lets in, where a product of ours could have brought it."""
    X = np.array([[3e-170, 4e-170], [3.0, 4.0], [3e170, 4e170], [0.0, 0.0], [3e-142, 4e-142], [-np.inf, 1.0]])
    rows = Rows(CONTAINERS[container](X), CONTAINERS["strict" if container == "strict" else "dense"](np.zeros(6)))
    bare = np.asarray(row_norms(Objective(Squared(), 2, fit_intercept=False), rows))
    np.testing.assert_allclose(bare, [5e-170, 5.0, 5e170, 0.0, 5e-142, np.inf], rtol=1e-13)
    assert (bare >= [5e-170, 5.0, 5e170, 0.0, 5e-142, np.inf]).all()
    with_one = np.asarray(row_norms(Objective(Squared(), 2), rows))
    np.testing.assert_allclose(with_one, [1.0, math.sqrt(26.0), 5e170, 1.0, 1.0, np.inf], rtol=1e-13)


@pytest.mark.parametrize("loss", [Squared(), Softmax(2), Softmax(3)], ids=repr)
def test_shifts_of_any_size(loss):
    X = np.array([[3.0, 4.0], [1.0, 0.0]])
    objective = Objective(loss, 2, fit_intercept=False)
    at = Evaluation(objective, Rows.of(X, np.zeros(2)), np.zeros(objective.n_parameters))
    for size in (1e-300, 1e-170, 1.0, 1e170):
        step = np.array([3.0, 4.0] * loss.outputs) * size
        assert at.shift(step) == pytest.approx(25.0 * size * math.sqrt(loss.outputs), rel=1e-12, abs=0.0)
        assert at.shift(step) >= 25.0 * size * math.sqrt(loss.outputs) * (1 + 1e-16)
    assert at.shift(np.zeros(objective.n_parameters)) == 0.0
    for wild in (np.inf, np.nan):
        assert at.shift(np.full(objective.n_parameters, wild)) == np.inf


@pytest.mark.parametrize("loss", [Logistic(), Softmax(3), Poisson()], ids=repr)
def test_of_no_rows_everything_is_nothing(loss):
    objective = Objective(loss, 2)
    p = objective.n_parameters
    at = Evaluation(objective, Rows.of(np.empty((0, 2)), np.empty(0)), np.ones(p))
    assert (at.longest, at.shift(np.ones(p)), top_leverage(at, np.eye(p)), at.count, at.n_rows) == (0.0, 0.0, 0.0, 0.0, 0)
    assert not at.gradient.any()
    assert not at.hessian().any()


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_moved_rows_are_as_if_evaluated_there(loss):
    hand = ByHand(loss)
    for name in ("gradient", "gradient_error", "hessian_error"):
        getattr(hand.at, name)
    hand.at.slopes()
    moved, fresh = hand.at.moved_to(2.0 * hand.w), Evaluation(hand.objective, hand.rows, 2.0 * hand.w)
    np.testing.assert_array_equal(moved.gradient, fresh.gradient)
    np.testing.assert_array_equal(moved.slopes(), fresh.slopes())
    assert (moved.gradient_error, moved.hessian_error, moved.value) == (fresh.gradient_error, fresh.hessian_error, fresh.value)
    np.testing.assert_allclose(hand.at.gradient, hand.gradient, atol=1e-13)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("loss", [Poisson(), Gamma()], ids=repr)
def test_near_overflow_nothing_is_bounded_and_nothing_warns(loss, container):
    far = 800.0 if isinstance(loss, Poisson) else -800.0
    rows = Rows.of(CONTAINERS[container](np.array([[1.0], [0.5]])), np.ones(2))
    at = Evaluation(Objective(loss, 1, fit_intercept=False), rows, np.array([far]))
    assert at.gradient_error == at.hessian_error == at.slopes()[0] == np.inf
    assert not np.isfinite(at.gradient).any()
    assert not np.isfinite(at.hessian()).any()
    assert not np.isfinite(at.product(np.ones(1))).any()
    assert not np.isfinite(at.curvature_sums()[0]).any()
    assert not math.isfinite(at.value)
    assert math.isfinite(at.value_at_zero)
    if container != "strict":
        assert not np.isfinite(at.curvature_root()).all()
    assert Evaluation(Objective(loss, 1, fit_intercept=False), rows, np.array([np.inf])).gradient_error == np.inf


OVERFLOWING = {
    "curvatures": (Gamma(), [1.0, 0.0], 1e60, [-650.0, 0.0]),
    "predictors": (Softmax(2), [1e60, 1e60], 0.0, [1e260, -1e260, 1.0, -1e260]),
    "lengths": (Squared(), [1e60, 1e60], 0.0, [1.5e248, -1.5e248]),
    "residuals": (PseudoHuber(1e-300), [1.0, 0.0], 1e60, [0.0, 0.0]),
}
"""The loss, a row, its target, and weights at which something overflows."""
READINGS = {
    "value": lambda at: at.value,
    "value at zero": lambda at: at.value_at_zero,
    "gradient": lambda at: at.gradient,
    "gradient error": lambda at: at.gradient_error,
    "Hessian": lambda at: at.hessian(),
    "Hessian error": lambda at: at.hessian_error,
    "sums": lambda at: at.curvature_sums(),
    "root": lambda at: at.curvature_root(),
    "slopes": lambda at: at.slopes(),
    "product": lambda at: at.product(at.objective.penalised.astype(float)),
    "shift": lambda at: at.shift(1e300 * at.objective.penalised),
}


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("what", OVERFLOWING)
def test_whatever_overflows_nothing_warns_and_no_slope_is_bounded(what, reading):
    """Each is read of a fresh batch: nothing that another has left there hides what it does itself."""
    loss, row, target, w = OVERFLOWING[what]
    at = Evaluation(Objective(loss, 2, fit_intercept=False), Rows.of([row], [target]), np.array(w))
    found = READINGS[reading](at)
    if reading in ("gradient error", "slopes"):
        assert found == np.inf


def test_an_infinite_slope_times_an_entry_of_0_does_not_warn():
    at = Evaluation(Objective(Poisson(), 2, fit_intercept=False), Rows.of([[1.0, 0.0]], [1.0]), np.array([800.0, 0.0]))
    assert np.isnan(at.gradient[1])


@pytest.mark.parametrize(("size", "is_bounded"), [(0.9, True), (1.1, False)])
def test_sums_are_bounded_up_to_a_size(size, is_bounded):
    """By the curvature eᵗ of one row of length 1, and by its slope."""
    objective = Objective(Poisson(), 1, fit_intercept=False)
    at = Evaluation(objective, Rows.of([[1.0]], [1.0]), np.array([math.log(size * LARGEST)]))
    assert (at.gradient_error < np.inf, at.hessian_error < np.inf) == (is_bounded, is_bounded)


def test_underflow_is_charged():
    """A curvature that has underflowed to 0, and slopes that are 0."""
    objective = Objective(Poisson(), 3, fit_intercept=False)
    at = Evaluation(objective, Rows.of([[1.0, 0.0, 0.0], [0.0, 3.0, 0.0]], [0.0, 0.0]), np.full(3, -800.0))
    assert not at.hessian().any()
    beside = UNDERFLOW * 2 * 3 * (1 + 9)
    assert at.hessian_error == pytest.approx(beside, rel=1e-6, abs=0.0)
    assert at.gradient_error == pytest.approx(beside, rel=1e-6, abs=0.0)
    assert at.hessian_error > beside


def test_a_steep_row_is_charged_the_curvature_within_its_rounding():
    objective = Objective(Poisson(), 1, fit_intercept=False)
    long = Evaluation(objective, Rows.of([[1e15]], [1.0]), np.array([1e-14]))
    blur = by_hand_gamma(1 + 1 + 32) * 1e15 * 1e-14
    assert long._curvature_norm[0] == pytest.approx(math.exp(10.0 + blur), rel=1e-15, abs=0.0)
    assert long._curvature_norm[0] > math.exp(10.0)
    flat = Evaluation(Objective(Logistic(), 2, fit_intercept=False), Rows.of([[1e9, 1e9]], [1.0]), np.array([1e9, -1e9]))
    assert flat._curvature_norm[0] == 0.25, "no more than the loss has anywhere"


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("form", ["sum", "mean"])
@pytest.mark.parametrize("loss", [Softmax(2), Softmax(3), Poisson()], ids=repr)
def test_the_penalty_is_charged_its_rounding_and_the_counts(loss, form, intercept):
    objective = Objective(loss, 2, 0.5, form, intercept)
    w = np.arange(1.0, objective.n_parameters + 1)
    scale = 0.5 * 40.0 if form == "mean" else 0.5
    assert penalty_scale_error(objective, 0.25) == (0.125 if form == "mean" else 0.0)
    K = loss.outputs
    gauge = K * by_hand_gamma(K + 4) if K > 1 and intercept else 0.0
    for count_error in (0.0, 0.25):
        of_count = 0.5 * count_error if form == "mean" else 0.0
        wanted = (of_count + by_hand_gamma(4) * scale + gauge) * np.linalg.norm(w)
        assert penalty_error(objective, w, 40.0, count_error) == exactly(wanted)
        assert penalty_error(objective, w, 40.0, count_error) > wanted * (1 + 10 * U)


def test_the_constants_are_those_of_theory_4_6():
    assert ULPS == 32
    assert UNDERFLOW == 2.0**-960
    assert (LARGEST, SHARE) == (1e100, 0.01)

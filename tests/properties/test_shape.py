"""Shaped noise: its matrix, the bound on how far this stretches the Hessian, its law and its charge. Theory §5.6."""

import math
from fractions import Fraction

import numpy as np
import pytest
from flint import arb, arb_mat, ctx
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from expunge.engine.local import LocalEngine
from expunge.errors import NoOptimum
from expunge.numerics.factor import Factor, Hessian, eigenvalue_floor
from expunge.numerics.moments import Moments
from expunge.privacy.noise import InsecureNoise, grid_rounding
from expunge.problem.losses import (
    Gamma,
    Logistic,
    NegativeBinomial,
    Poisson,
    PseudoHuber,
    SmoothedHinge,
    SmoothedQuantile,
    Softmax,
    Squared,
    Tweedie,
)
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.cost import NoisyLoss
from expunge.unlearning.dense import DenseState
from expunge.unlearning.shape import Shape
from tests.conftest import examples
from tests.problems import CATALOGUE, problem, targets

seeds = st.integers(0, 2**32 - 1)


def shape_of(objective, rows, floor=0.02, excess_risk=1e-3) -> Shape:
    return Shape.of(objective, Moments.of(objective, rows), excess_risk, floor)


def target_weight(loss, y: np.ndarray) -> np.ndarray:
    """What a row counts in the moments, by its target."""
    match loss:
        case Poisson():
            return y
        case Tweedie():
            return y ** (2 - loss.power)
        case NegativeBinomial():
            return y / (1 + loss.dispersion * y)
    return np.ones(len(y))


def near_hessian(objective: Objective, rows: Rows, floor: float) -> np.ndarray:
    """A as theory §5.6 has it, in plain float64, of the rows as they are."""
    loss, X, y = objective.loss, objective.design(rows), rows.y
    weight = rows.weight * target_weight(loss, y)
    if loss.classes:
        G = [(X * (rows.weight * (y == k))[:, None]).T @ X for k in range(loss.classes)]
        ridged = sum(G) + 1e-9 * np.trace(sum(G)) / objective.width * np.eye(objective.width)
        inverse = np.linalg.inv(ridged)
        A = G[1] @ inverse @ G[0] if loss.outputs == 1 else np.block(
            [[(k == j) * G[k] - G[k] @ inverse @ G[j] for j in range(loss.classes)] for k in range(loss.classes)]
        )  # fmt: skip
    else:
        A = (X * weight[:, None]).T @ X
    A = A * {SmoothedHinge: 1 / getattr(loss, "scale", 1), SmoothedQuantile: 0.25 / getattr(loss, "scale", 1)}.get(
        type(loss), 1.0
    )
    A = objective.penalised_hessian((A + A.T) / 2, float(rows.weight.sum()))
    return A + floor * np.trace(A) / len(A) * np.eye(len(A))


@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
@settings(max_examples=examples(30))
@given(seed=seeds)
def test_the_matrix_is_the_theorys_up_to_the_grid(loss, seed):
    """Each value may be off by 1.6 %, so each part of A by about 3 % of what is subtracted to get it."""
    p = problem(loss, seed)
    floor = float(np.random.default_rng(seed).choice([0.0, 0.02, 0.5]))
    found = shape_of(p.objective, p.rows, floor)
    np.testing.assert_array_equal(found.metric, found.metric.T)
    assert np.linalg.norm(found.factor @ found.factor.T - found.metric) <= 1e-13 * np.linalg.norm(found.metric)
    wanted = near_hessian(p.objective, p.rows, floor)
    if found.is_isotropic:
        mean = np.trace(wanted) / len(wanted)
        assert np.linalg.eigvalsh(wanted)[0] > 0.4 * mean or np.linalg.eigvalsh(wanted)[0] < 1e-6 * mean
        np.testing.assert_allclose(found.metric, mean * np.eye(len(wanted)), rtol=0.05, atol=0)
    else:
        assert np.linalg.eigvalsh(wanted)[0] < 0.6 * np.trace(wanted) / len(wanted)
        moments = Moments.of(p.objective, p.rows)
        size = sum(np.trace(moments.matrix(k)) for k in range(max(1, loss.classes)))
        assert np.linalg.norm(found.metric - wanted) <= 0.04 * size + 1e-9 * np.linalg.norm(wanted)
    size = float(p.rows.weight @ target_weight(loss, p.rows.y))
    assert found.scale == pytest.approx(math.sqrt(2e-3 * size / len(wanted)), rel=1e-8)


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("loss", [Logistic(), Softmax(3)], ids=repr)
def test_for_one_column_of_categories_it_is_the_hessian(loss, fit_intercept, rng):
    """Each category has its own probabilities, and n_c·(diag(p) − ppᵀ) is what both are. (The penalty is next to nothing.)"""
    c = np.minimum(rng.geometric(0.5, 4000), 5) - 1
    y = np.where(rng.random(4000) < 0.1 * (1 + c), 0, rng.integers(0, loss.classes, 4000)).astype(float)
    rows, objective = Rows.of(np.eye(5)[c], y), Objective(loss, 5, 1e-3, fit_intercept=fit_intercept)
    state = DenseState.fitted(objective, rows, LocalEngine())
    found, H = shape_of(objective, rows, floor=0.0), state.hessian.dense()
    assert not found.is_isotropic
    np.testing.assert_allclose(found.metric, H, atol=1e-3 * np.abs(H).max())


def test_the_lighter_class_keeps_its_digits(rng):
    """One row against a hundred thousand: the difference of two large matrices would be rounding."""
    X = rng.normal(size=(100_000, 3))
    y = np.zeros(len(X))
    y[0] = 1.0
    objective = Objective(Logistic(), 3, penalty=0.0, fit_intercept=False)
    for labels in (y, 1.0 - y):
        found = shape_of(objective, Rows.of(X, labels), floor=1e-8)
        assert np.linalg.eigvalsh(found.metric)[-1] == pytest.approx(X[0] @ X[0], rel=0.03)


def test_where_all_directions_weigh_alike_isotropic_noise_takes_over(rng):
    """The choice is A's: a mean eigenvalue below twice the least."""
    for sizes, is_even in (([1.0, 1.0, 1.0], True), ([1.0, 1.0, 1.4], True), ([1.0, 1.0, 2.5], False)):
        X = np.vstack([np.eye(3) * np.array(sizes)] * 8)
        found = shape_of(Objective(Squared(), 3, 0.0, fit_intercept=False), Rows.of(X, np.zeros(24)), floor=0.0)
        assert found.is_isotropic == is_even
        if is_even:
            mean = 8 * np.square(sizes).mean()
            np.testing.assert_allclose(found.metric, mean * np.eye(3), rtol=0.01)
            assert np.count_nonzero(found.factor) == 3


def test_targets_that_are_all_zero_leave_no_noise_to_choose():
    with pytest.raises(NoOptimum, match="all 0"):
        shape_of(Objective(Poisson(), 1, fit_intercept=False), Rows.of([[1.0], [2.0]], [0.0, 0.0]))


def test_rows_that_say_nothing_are_refused():
    objective = Objective(Squared(), 2, penalty=0.0, fit_intercept=False)
    with pytest.raises(NoOptimum, match="nothing but zeros"):
        shape_of(objective, Rows.of(np.zeros((3, 2)), np.ones(3)))
    assert shape_of(
        Objective(Squared(), 2, penalty=3.0, fit_intercept=False), Rows.of(np.zeros((3, 2)), np.ones(3))
    ).is_isotropic


@pytest.mark.parametrize("size", [1e-55, 1e-30, 1e30, 1e57])
def test_whatever_the_unit_of_the_rows_is(size, rng):
    X, y = rng.normal(size=(40, 4)) * np.array([1, 2, 4, 8]), rng.integers(0, 2, 40).astype(float)
    by = 2.0 ** (12 * round(math.log2(size) / 12))  # moves every value to another level and changes nothing else
    objective = Objective(Logistic(), 4, 0.0, fit_intercept=False)
    unit, scaled = (shape_of(objective, Rows.of(X * each, y), floor=0.0) for each in (1.0, by))
    np.testing.assert_array_equal(scaled.factor, unit.factor * by)
    np.testing.assert_array_equal(scaled.metric, unit.metric * by * by)


@pytest.mark.parametrize("loss", [Logistic(), Softmax(3), Poisson()], ids=repr)
def test_threads_and_memory_change_no_bit(loss, rng):
    d = 150 if loss.outputs == 1 else 60
    X, y = rng.normal(size=(600, d)) * 10.0 ** rng.uniform(-2, 0, d), rng.integers(0, max(2, loss.classes), 600).astype(float)
    objective = Objective(loss, d)
    moments = Moments.of(objective, Rows.of(X, y))
    kept, found = [], set()
    for limit in (1, 2, 4):
        for size in (3, 1001, 77_777):
            kept.append(np.empty(size))  # the next arrays lie elsewhere
            with threadpool_limits(limit):
                shape = Shape.of(objective, moments, 1e-3)
            found.add((shape.metric.tobytes(), shape.factor.tobytes(), shape.scale))
    assert len(found) == 1


def is_below(factor: np.ndarray, stretch: float, hessian: np.ndarray) -> bool | None:
    """Whether LLᵀ ⪯ κH in balls of 300 bits: whether every pivot of κH − LLᵀ is above 0; ``None`` where balls cannot tell."""
    with ctx.workprec(300):
        L = arb_mat(factor.tolist())
        M = arb(stretch) * arb_mat(hessian.tolist()) - L * L.transpose()
        n = len(factor)
        rows = [[M[i, j] for j in range(n)] for i in range(n)]
        for k in range(n):
            if not rows[k][k] > 0:
                return False if rows[k][k] < 0 else None
            for i in range(k + 1, n):
                share = rows[i][k] / rows[k][k]
                rows[i] = [a - share * b for a, b in zip(rows[i], rows[k], strict=True)]
    return True


@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
@settings(max_examples=examples(40))
@given(seed=seeds, is_ill=st.booleans())
def test_the_stretch_is_a_bound_and_a_near_one(loss, seed, is_ill):
    p = problem(loss, seed, max_log10_condition=12.0 if is_ill else 3.0)
    try:
        state = DenseState.fitted(p.objective, p.rows, LocalEngine())
        shape = shape_of(p.objective, p.rows)
    except NoOptimum:
        return
    found = shape.stretch(state.hessian, state.factor, state.curvature_floor)
    H = state.hessian.dense()
    if not math.isfinite(found):
        assert np.linalg.cond(H) > 1e10
        return
    assert is_below(shape.factor, found, H) is True
    if np.linalg.cond(H) < 1e9:  # beyond that, what rounding may hide is more
        assert is_below(shape.factor, found / 2.1, H) is not True
    if np.linalg.cond(H) < 1e6:
        assert is_below(shape.factor, found / 1.3, H) is not True


def test_a_hessian_of_which_nothing_is_known_has_no_stretch(rng):
    objective = Objective(Logistic(), 2, fit_intercept=False)
    shape = shape_of(objective, Rows.of(rng.normal(size=(9, 2)), rng.integers(0, 2, 9).astype(float)))
    fine = Hessian(objective, np.eye(2), 9.0)
    assert 0 < shape.stretch(fine, Factor.of(fine), 1.0) < math.inf
    assert shape.stretch(fine, Factor.of(fine), 0.0) == math.inf
    assert shape.stretch(Hessian(objective, np.full((2, 2), math.nan), 9.0), Factor.of(fine), 1.0) == math.inf
    indefinite = Hessian(objective, np.diag([4.0, -4.0]), 9.0)
    assert shape.stretch(indefinite, Factor.of(fine), 1.0) == math.inf


def test_the_rounding_is_inside_the_stretch(rng):
    """H so flat in one direction that κ·μ is about what rounding leaves of tr H."""
    objective = Objective(Squared(), 2, penalty=0.0, fit_intercept=False)
    shape = shape_of(objective, Rows.of(np.array([[1.0, 0.0], [0.0, 2.0**-4]]), np.zeros(2)), floor=0.0)
    H = Hessian(objective, np.diag([1.0, 2.0**-40]), 2.0)
    loose = shape.stretch(H, Factor.of(H), 2.0**-40 * 2.0**-20)
    assert loose > shape.stretch(H, Factor.of(H), eigenvalue_floor(H)) > 2.0**32


@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
def test_noise_pushed_through_it_has_its_covariance(loss, rng):
    """Exactly: the images of the unit vectors."""
    p = problem(loss, 3)
    shape = shape_of(p.objective, p.rows)
    size = len(shape.factor)
    point = rng.normal(size=size)
    asked = []

    def pushed(unit):
        def noise(weights, sigma):
            asked.append(sigma)
            return weights + sigma * unit

        return shape.published(noise, point)

    exact = pushed(np.zeros(size))
    np.testing.assert_allclose(exact, point, rtol=0, atol=1e-10 * np.abs(point).max())
    images = np.array([pushed(unit) - exact for unit in np.eye(size)])
    wanted = shape.scale**2 * np.linalg.inv(shape.metric)
    np.testing.assert_allclose(images.T @ images, wanted, atol=1e-8 * np.abs(wanted).max())
    np.testing.assert_allclose(shape.covariance, wanted, atol=1e-9 * np.abs(wanted).max())
    assert set(asked) == {1.0}, "the grid's scale is fixed, so that noise can be drawn ahead"


def test_releases_are_as_far_from_the_mean_as_they_should_be(rng):
    """|w̃ − w|²_A/s² has the chi-square law of p degrees of freedom, and each direction its share."""
    objective = Objective(Logistic(), 5)
    X = rng.normal(size=(400, 5)) * np.array([1, 0.3, 0.1, 0.03, 2])
    shape = shape_of(objective, Rows.of(X, rng.integers(0, 2, 400).astype(float)))
    point, noise = rng.normal(size=6), InsecureNoise(0)
    drawn = np.array([shape.published(noise, point) for _ in range(20_000)]) - point
    squares = np.einsum("ij,jk,ik->i", drawn, shape.metric, drawn) / shape.scale**2
    from scipy import stats

    assert stats.kstest(squares, "chi2", args=(6,)).pvalue > 1e-4
    whitened = drawn @ shape.factor / shape.scale
    np.testing.assert_allclose(whitened.T @ whitened / len(drawn), np.eye(6), atol=0.05)


@settings(max_examples=examples(50))
@given(seed=seeds)
def test_the_charge_covers_what_the_grid_and_the_product_do_to_the_mean(seed):
    """The mean that is released against Lᵀw/s in fractions: both sides' means move to the grid, so twice that is charged."""
    rng = np.random.default_rng(seed)
    p = problem(Logistic(), seed)
    shape = shape_of(p.objective, p.rows)
    point = rng.normal(size=len(shape.factor)) * 10.0 ** rng.uniform(-6, 6)
    grid, seen = grid_rounding(1, 1.0), []

    def noise(weights, sigma):
        seen.append(np.round(weights / grid) * grid)
        return weights

    shape.published(noise, point)
    L, w, s = (
        [[Fraction(a) for a in row] for row in shape.factor.tolist()],
        [Fraction(a) for a in point.tolist()],
        shape.scale,
    )
    exact = [sum(L[i][j] * w[i] for i in range(len(w))) / Fraction(s) for j in range(len(w))]
    off = math.sqrt(float(sum((Fraction(a) - b) ** 2 for a, b in zip(seen[0].tolist(), exact, strict=True))))
    others = grid * math.sqrt(len(w)) / 2
    charged = shape.distance(point, 0.0)
    assert off + others <= charged / s
    assert charged <= 1e-9 * (s + np.linalg.norm(shape.factor) * np.linalg.norm(point))
    assert shape.distance(point, 3.0) - charged == pytest.approx(3.0, rel=1e-6)
    assert shape.distance(point, math.inf) == math.inf
    size = np.linalg.norm(shape.factor)
    assert shape.distance(point, 0.0, 7.0) - charged == pytest.approx(7.0 * size, rel=1e-6)
    moved = rng.normal(size=len(point))
    assert shape.length(moved) == pytest.approx(math.sqrt(moved @ shape.metric @ moved))


@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
def test_the_spread_of_predictors_and_the_cost_are_what_releases_show(loss, rng):
    X = rng.normal(size=(300, 3)) * np.array([1.0, 0.5, 0.2])
    y = targets(loss, X @ rng.normal(size=(3, loss.outputs)), rng)
    rows, objective = Rows.of(X, y), Objective(loss, 3)
    state = DenseState.fitted(objective, rows, LocalEngine())
    shape, point = shape_of(objective, rows, excess_risk=2e-3), state.point
    noise = InsecureNoise(1)
    drawn = np.array([shape.published(noise, point) for _ in range(4000)])
    features = objective.features(rows)
    moved = np.array([objective.predictor(w, features) for w in drawn]) - objective.predictor(point, features)
    spread = shape.spread(objective, rows)
    if loss.outputs == 1:
        np.testing.assert_allclose(moved.std(axis=0), spread, rtol=0.1)
    else:
        wanted = spread @ spread.transpose(0, 2, 1)
        found = np.einsum("dnk,dnj->nkj", moved, moved) / len(drawn)
        assert np.abs(found - wanted).max() <= 0.1 * np.abs(wanted).max()
    noisy = NoisyLoss(objective, rows)
    expected = (noisy.over(point, spread) - noisy.at(point, 0.0)).mean()
    pairs = np.vstack([drawn, 2 * point - drawn])
    seen = np.mean([loss.value(objective.predictor(w, features), y).mean() for w in pairs]) - noisy.at(point, 0.0).mean()
    assert expected == pytest.approx(seen, rel=0.1)
    share = target_weight(loss, y).mean()
    assert 0.15 < seen / (2e-3 * share) < 1.5, "about what was asked for; a loss flat far out takes less"
    if loss.self_concordance <= 2.0:
        penalty = 0.5 * float(np.sum(shape.covariance * objective.penalised_hessian(np.zeros_like(shape.covariance), 300.0)))
        assert shape.cost(state.hessian) - penalty == pytest.approx(300 * seen, rel=0.15)


def test_isotropic_spreads_of_several_outputs_are_the_same_either_way(rng):
    objective = Objective(Softmax(3), 2)
    rows = Rows.of(rng.normal(size=(20, 2)), rng.integers(0, 3, 20).astype(float))
    noisy, point = NoisyLoss(objective, rows), rng.normal(size=9)
    lengths = np.sqrt(np.square(rows.X).sum(axis=1) + 1)
    roots = 0.3 * lengths[:, None, None] * np.eye(3)
    np.testing.assert_allclose(noisy.over(point, roots), noisy.at(point, 0.3), rtol=1e-12)


@pytest.mark.parametrize("loss", [Gamma(), PseudoHuber(1.0)], ids=repr)
def test_it_knows_nothing_of_the_targets_where_the_loss_says_so(loss, rng):
    X = rng.normal(size=(30, 2)) * np.array([1.0, 3.0])
    objective = Objective(loss, 2)
    one, other = (shape_of(objective, Rows.of(X, rng.gamma(2.0, 1.0, 30))) for _ in range(2))
    np.testing.assert_array_equal(one.metric, other.metric)

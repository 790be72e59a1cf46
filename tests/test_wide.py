"""Wide models: their μ is below the Hessian's, their Δ above the truth, and they keep nothing p × p."""

import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from expunge.engine.local import LocalEngine
from expunge.errors import CapacityExceeded, InvalidRows, NoOptimum, NotLearned
from expunge.linear_model import LogisticRegression
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.rounding import penalty_error
from expunge.privacy import Guarantee
from expunge.problem.losses import Gamma, Logistic, Poisson, Softmax, Tweedie
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.fitting import fitted, refit_cold
from expunge.unlearning.settings import MEMORY_BUDGET, Settings
from expunge.unlearning.storage import load_unlearner, save_unlearner
from expunge.unlearning.unlearner import Unlearner
from expunge.unlearning.wide import WideState, curvature_floor, descend, is_wide
from tests.oracle import retrain
from tests.problems import CATALOGUE, problem

ENGINE = LocalEngine()
WIDE = Settings(Guarantee(1.0, 1e-5), 0.0, memory_budget=0.0)


def states(objective, rows):
    return list(descend(objective, rows, ENGINE, np.zeros(objective.n_parameters)))


@given(st.sampled_from(CATALOGUE), st.integers(0, 2**32 - 1))
def test_the_floor_is_below_the_smallest_eigenvalue(loss, seed):
    made = problem(loss, seed)
    rng = np.random.default_rng(seed)
    w = rng.normal(size=made.objective.n_parameters) * 10.0 ** rng.uniform(-2, 0.5)
    at = Evaluation(made.objective, made.rows, w)
    hessian = made.objective.penalised_hessian(at.hessian(), at.count)
    _diagonal, D = at.curvature_sums()
    floor = curvature_floor(made.objective, at.count, D, at.longest, at.hessian_error)
    true = np.linalg.eigvalsh(hessian)[0]
    assert floor <= true + 1e-13 * np.linalg.norm(hessian)


def test_the_floor_is_tight_where_it_can_be():
    """One row direction against the intercept: half the floor's distance to the truth, no more."""
    X = np.ones((200, 1))
    objective, rows = Objective(Logistic(), 1, 3.0), Rows.of(X, np.arange(200) % 2)
    at = Evaluation(objective, rows, np.zeros(2))
    true = np.linalg.eigvalsh(objective.penalised_hessian(at.hessian(), at.count))[0]
    floor = curvature_floor(objective, at.count, at.curvature_sums()[1], at.longest, at.hessian_error)
    assert 0.5 * true < floor <= true


@given(st.sampled_from(CATALOGUE), st.integers(0, 2**32 - 1))
def test_sums_of_curvature(loss, seed):
    made = problem(loss, seed)
    w = np.random.default_rng(seed).normal(size=made.objective.n_parameters) * 0.3
    at = Evaluation(made.objective, made.rows, w)
    hessian = at.hessian()
    diagonal, D = at.curvature_sums()
    np.testing.assert_allclose(diagonal, np.diag(hessian), rtol=1e-9, atol=1e-12 * np.abs(hessian).max())
    if made.objective.fit_intercept:
        width = made.objective.width
        np.testing.assert_allclose(D, hessian[width - 1 :: width, width - 1 :: width], rtol=1e-9, atol=1e-12 * np.abs(D).max())
    x = np.random.default_rng(seed).normal(size=len(w))
    np.testing.assert_allclose(at.product(x), hessian @ x, rtol=1e-9, atol=1e-11 * np.abs(hessian).max() * np.abs(x).sum())


@given(st.sampled_from(CATALOGUE), st.integers(0, 2**32 - 1))
def test_every_point_is_within_its_bound(loss, seed):
    made = problem(loss, seed)
    if made.objective.penalty == 0:
        with pytest.raises(NoOptimum, match="add one"):
            states(made.objective, made.rows)
        return
    try:
        found = states(made.objective, made.rows)
    except NoOptimum:
        return
    oracle = retrain(made.objective, made.rows, found[-1][0].anchor)
    if oracle is None:
        return
    truth, slack = oracle
    for state, _passes, _is_optimum in found:
        away = np.linalg.norm(state.anchor - truth)
        assert away <= state.distance_bound + slack + 1e-15 * np.linalg.norm(truth)
    last, _passes, is_optimum = found[-1]
    assert is_optimum
    assert np.linalg.norm(last.anchor - truth) <= 1e-6 * max(1.0, float(np.linalg.norm(truth)))


def test_a_halved_bound_is_noticed():
    """Where the bound is tight (a ridge penalty alone curves a direction without rows), half of it is a violation."""
    rng = np.random.default_rng(0)
    X = np.hstack([rng.normal(size=(50, 3)), np.zeros((50, 1))])
    objective = Objective(Logistic(), 4, 2.0, fit_intercept=False)
    rows = Rows.of(X, rng.integers(0, 2, 50))
    truth, _slack = retrain(objective, rows, np.zeros(4))
    start = truth + np.array([0.0, 0.0, 0.0, 0.01])
    state, _passes, _is_optimum = next(descend(objective, rows, ENGINE, start))
    assert 0.5 * state.distance_bound < np.linalg.norm(start - truth) <= state.distance_bound


@pytest.fixture(scope="module")
def stalling():
    """Columns over eight orders of magnitude, mixed, and next to no penalty: 500 products do not solve such a system."""
    rng = np.random.default_rng(0)
    p = 520
    left, right = (np.linalg.qr(rng.normal(size=(p, p)))[0] for _ in range(2))
    X = left * 10.0 ** np.linspace(0, -8, p) @ right
    y = (X @ rng.normal(size=p) * 10 + rng.normal(size=p) > 0) * 1.0
    return Objective(Logistic(), p, 1e-9, fit_intercept=False), Rows.of(X, y, ids=range(p))


def test_a_descent_that_stalls_ends_in_no_refit(stalling):
    objective, rows = stalling
    last = fitted(objective, rows, ENGINE, WIDE)
    gradient, error = np.linalg.norm(last.state.gradient), last.state.statistics.gradient_error
    assert gradient > error and last.distance_bound > 0.1
    assert last.rung == "pass"
    with pytest.raises(NoOptimum, match="stalled before the optimum"):
        refit_cold(last.state, rows, ENGINE, WIDE)
    free = Unlearner.learn_from(objective, rows, Settings(Guarantee(1.0, 1e-5), 0.0, memory_budget=0.0))
    assert free.release.certificate.rung == "pass"
    with pytest.raises(CapacityExceeded, match="too ill-conditioned"):
        Unlearner.learn_from(objective, rows, Settings(Guarantee(1.0, 1e-5), 1e-3, memory_budget=0.0))


@given(
    st.floats(-60, 60),
    st.floats(-308, 308),
    st.floats(-308, 308),
    st.sampled_from([0.0, 1.0, np.inf, np.nan]),
    st.booleans(),
    st.integers(1, 4),
)
def test_the_floor_is_never_nan_nor_above_the_penalty(alpha, curvature, norm, error, intercept, K):
    loss = Softmax(K) if K > 1 else Logistic()
    objective = Objective(loss, 2, 10.0**alpha, fit_intercept=intercept)
    D = 10.0**curvature * (np.eye(K) - (1.0 / K if K > 1 else 0.0))
    with np.errstate(over="ignore"):
        floor = curvature_floor(objective, 1.0, D, 10.0**norm, error * 10.0**curvature)
    assert 0.0 <= floor <= 10.0**alpha
    assert floor == 0.0 or floor >= 1e-291
    if intercept and not np.isfinite(error):
        assert floor == 0.0


def test_the_rounding_of_the_gauge_is_charged():
    """Many classes and one feature: the intercepts' sum is longer than all else."""
    K = 400
    objective = Objective(Softmax(K), 1, 1.0)
    w = np.zeros(2 * K)
    w[1::2] = 1e6 * (1.0 + np.random.default_rng(0).random(K))
    exact = w[1::2].astype(np.longdouble).sum()
    found = objective.penalty_gradient(w, 10.0)
    off = float(np.linalg.norm((found[1::2] - exact).astype(float)))
    assert 0.0 < off <= penalty_error(objective, w, 10.0, 0.0)


@pytest.mark.parametrize("loss", [Poisson(), Gamma(), Tweedie(1.5)], ids=repr)
def test_rows_that_overflow_at_the_anchor(loss):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 2))
    y = np.exp(X @ [1.0, -1.0]) * rng.gamma(2.0, 0.5, size=60) + 0.1
    far = np.array([[2000.0, 0.0], [-2000.0, 0.0], [0.0, 2000.0], [0.0, -2000.0]])
    rows, new = Rows.of(X, y), Rows.of(far, [1.0, 2.0, 1.0, 3.0])
    both = Rows.of(np.vstack([X, far]), np.r_[y, new.y])
    settings = Settings(Guarantee(1.0, 1e-5), 10.0, memory_budget=0.0)
    model = Unlearner.learn_from(Objective(loss, 2, 1.0, fit_intercept=False), rows, settings)
    before = model._secret
    with pytest.raises(CapacityExceeded, match="give them"):
        model.learn(new)
    assert model._secret is before
    assert np.isinf(model.influence(new)).any() and not np.isnan(model.influence(new)).any()
    model.learn(new, both)
    assert model.true_distance(both) <= model.release.certificate.distance_bound
    model.forget(new, rows)
    assert model.true_distance(rows) <= model.release.certificate.distance_bound


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1500, 40)) / 7
    return X, (X @ rng.normal(size=40) * 3 + rng.logistic(size=1500) > 0).astype(int)


def model(data, sigma=0.05, **kwargs):
    return LogisticRegression(C=1.0, sigma=sigma, memory_budget=0, **kwargs).fit(*data)


def test_the_ladder(data):
    X, y = data
    wide = model(data)
    assert isinstance(wide._unlearner._secret.state, WideState)
    assert wide.certificate_.rung == "refit" and wide.certificate_.epsilon_spent < 1e-3
    with pytest.raises(CapacityExceeded, match="give them"):
        wide.forget(X[:5], y[:5])
    for start, stop in ((0, 5), (5, 300), (300, 301)):
        certificate = wide.forget(X[start:stop], y[start:stop], remaining=(X[stop:], y[stop:]))
        assert certificate.rung in ("pass", "refit") and certificate.passes >= 1
        assert certificate.remaining == 1500 - stop
        assert wide.true_distance(X[stop:], y[stop:]) <= certificate.distance_bound
    assert wide.certificate_.mu_total <= Guarantee(wide.epsilon, wide.delta).mu
    certificate = wide.learn(X[:5], y[:5], remaining=(np.vstack([X[:5], X[301:]]), np.hstack([y[:5], y[301:]])))
    assert certificate.n_learned == 5
    certificate = wide.refit(np.vstack([X[:5], X[301:]]), np.hstack([y[:5], y[301:]]))
    assert certificate.rung == "refit"


def test_the_same_model_as_with_a_hessian(data):
    wide, dense = model(data, sigma=0), LogisticRegression(C=1.0, sigma=0).fit(*data)
    np.testing.assert_allclose(wide.coef_, dense.coef_, atol=1e-8)
    np.testing.assert_allclose(wide.intercept_, dense.intercept_, atol=1e-8)


def test_softmax_and_csr(data):
    X, _y = data
    y = np.arange(1500) % 4
    wide = LogisticRegression(C=1.0, sigma=0, memory_budget=0).fit(sparse.csr_array(X), y)
    dense = LogisticRegression(C=1.0, sigma=0).fit(X, y)
    np.testing.assert_allclose(wide.coef_, dense.coef_, atol=1e-8)


def test_rows_that_were_not_learned_or_are_not_what_remains(data):
    X, y = data
    wide = model(data)
    before = wide._unlearner._secret
    with pytest.raises(NotLearned, match="longer"):
        wide.forget(9 * X[:1], y[:1], remaining=(X[1:], y[1:]))
    with pytest.raises(NotLearned, match="never learned"):
        wide.forget(0.5 * X[:1], y[:1], remaining=(X[1:], y[1:]))
    with pytest.raises(InvalidRows, match="total weight"):
        wide.forget(X[:1], y[:1], remaining=(X[2:], y[2:]))
    with pytest.raises(InvalidRows, match="must remain"):
        wide.forget(X, y, remaining=(X[:0], y[:0]))
    assert wide._unlearner._secret is before


def test_nothing_of_the_row_stays(data):
    X, y = data
    wide = model(data)
    row = np.ascontiguousarray(X[0]).tobytes()
    wide.forget(X[:1], y[:1], remaining=(X[1:], y[1:]))
    assert row not in pickle.dumps(wide._unlearner._secret)


def test_it_is_stored(data, tmp_path):
    X, y = data
    unlearner = model(data)._unlearner
    save_unlearner(unlearner, tmp_path / "m")
    loaded = load_unlearner(tmp_path / "m")
    assert loaded._secret.state.curvature_floor == unlearner._secret.state.curvature_floor
    np.testing.assert_array_equal(loaded.release.weights, unlearner.release.weights)
    loaded.forget(Rows.of(X[:3], y[:3].astype(float)), Rows.of(X[3:], y[3:].astype(float)))


def test_influence_is_a_bound_and_capacity_is_refused(data):
    X, y = data
    wide, dense = model(data), LogisticRegression(C=1.0, sigma=0.05).fit(*data)
    rows = Rows.of(X[:50], y[:50].astype(float))
    assert (wide._unlearner.influence(rows) >= dense._unlearner.influence(rows)).all()
    with pytest.raises(ValueError, match="a wide model keeps no statistics"):
        wide.capacity()


def test_no_penalty(data):
    with pytest.raises(NoOptimum, match="raise memory_budget"):
        LogisticRegression(C=np.inf, sigma=0, memory_budget=0).fit(*data)
    with pytest.raises(ValueError, match="memory_budget"):
        Settings(Guarantee(1.0, 1e-5), 0.1, memory_budget=-1)


def test_when_it_is_chosen():
    assert not is_wide(Objective(Softmax(10), 799), MEMORY_BUDGET)
    assert is_wide(Objective(Logistic(), 20_000), MEMORY_BUDGET)


def test_twenty_thousand_parameters_take_little_memory():
    """p = 20,000, sparse rows: a p × p array would take 3.2 GB."""
    rng = np.random.default_rng(2)
    n, p = 4000, 20_000
    X = sparse.random_array((n, p), density=0.001, random_state=rng, format="csr")
    y = (X @ rng.normal(size=p) > 0).astype(float)
    rows = Rows.of(X, y)
    settings = Settings(Guarantee(1.0, 1e-5), sigma=0.05)
    tracemalloc.start()
    unlearner = Unlearner.learn_from(Objective(Logistic(), p), rows, settings)
    gone, left = rows.take(slice(0, 20)), rows.take(slice(20, None))
    release = unlearner.forget(gone, left)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6
    assert unlearner.true_distance(left) <= release.certificate.distance_bound

"""The solver reaches scikit-learn's optimum, and says clearly where there is none."""

import numpy as np
import pytest
from scipy import sparse
from sklearn import linear_model as sk

from expunge import linear_model as ours
from expunge.engine.local import LocalEngine
from expunge.errors import InvalidRows, NoOptimum
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.solver import minimise
from expunge.problem.losses import LogCosh, Logistic, Poisson, PseudoHuber, Squared
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from tests.oracle import retrain
from tests.problems import CATALOGUE, problem


def data(seed=0, n=400, d=6):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * np.array([1, 2, 0.5, 1, 3, 0.1])[:d]
    t = X @ rng.normal(size=d) * 0.3 + 0.4
    return rng, X, t


PAIRS = {
    "binary": (ours.LogisticRegression(C=0.7, sigma=0), sk.LogisticRegression(C=0.7, solver="newton-cholesky", tol=1e-13)),
    "binary, no intercept": (
        ours.LogisticRegression(C=3.0, fit_intercept=False, sigma=0),
        sk.LogisticRegression(C=3.0, fit_intercept=False, solver="newton-cholesky", tol=1e-13),
    ),
    "multinomial": (ours.LogisticRegression(C=0.7, sigma=0), sk.LogisticRegression(C=0.7, solver="newton-cholesky", tol=1e-13)),
    "ridge": (ours.Ridge(alpha=2.0, sigma=0), sk.Ridge(alpha=2.0, solver="cholesky")),
    "poisson": (
        ours.PoissonRegressor(alpha=0.3, sigma=0),
        sk.PoissonRegressor(alpha=0.3, solver="newton-cholesky", tol=1e-13, max_iter=1000),
    ),
    "gamma": (
        ours.GammaRegressor(alpha=0.3, sigma=0),
        sk.GammaRegressor(alpha=0.3, solver="newton-cholesky", tol=1e-13, max_iter=1000),
    ),
    "tweedie": (
        ours.TweedieRegressor(power=1.4, alpha=0.3, sigma=0),
        sk.TweedieRegressor(power=1.4, alpha=0.3, solver="newton-cholesky", tol=1e-13, max_iter=1000),
    ),
    "normal": (
        ours.TweedieRegressor(power=0, alpha=0.3, sigma=0),
        sk.TweedieRegressor(power=0, alpha=0.3, solver="newton-cholesky", tol=1e-13),
    ),
}


def targets(name, rng, t):
    match name:
        case "binary" | "binary, no intercept":
            return (rng.random(len(t)) < 1 / (1 + np.exp(-t))).astype(int)
        case "multinomial":
            return np.digitize(t + rng.logistic(size=len(t)), [-0.5, 0.5, 1.0])
        case "poisson":
            return rng.poisson(np.exp(t))
        case "gamma":
            return np.exp(t) * rng.gamma(2.0, 0.5, size=len(t)) + 1e-3
        case "tweedie":
            return np.exp(t) * rng.gamma(1.0, 1.0, size=len(t)) * (rng.random(len(t)) < 0.7)
    return t + rng.normal(size=len(t))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("container", ["dense", "csr"])
@pytest.mark.parametrize("name", PAIRS)
def test_same_optimum_as_scikit_learn(name, container, weighted):
    rng, X, t = data()
    y = targets(name, rng, t)
    weight = rng.choice([0.0, 0.5, 1.0, 3.0], size=len(t)) if weighted else None
    mine, theirs = PAIRS[name]
    mine.fit(X if container == "dense" else sparse.csr_matrix(X), y, sample_weight=weight)
    theirs.fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(mine.coef_, theirs.coef_, atol=1e-8)
    intercepts = np.atleast_1d(mine.intercept_), np.atleast_1d(theirs.intercept_)
    ours, others = (b - b.mean() if len(b) > 1 else b for b in intercepts)
    np.testing.assert_allclose(ours, others, atol=1e-8)
    np.testing.assert_allclose(mine.predict(X), theirs.predict(X), atol=1e-8)


@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
def test_same_optimum_as_an_independent_solver(loss):
    for seed in range(25):
        p = problem(loss, seed)
        optimum = minimise(p.objective, p.rows, LocalEngine())
        truth, _slack = retrain(p.objective, p.rows, np.zeros(p.objective.n_parameters))
        np.testing.assert_allclose(optimum.point, truth, atol=1e-8 * (1 + np.abs(truth).max()))


def test_batches_change_nothing(monkeypatch):
    _rng, X, t = data(n=300)
    rows = Rows.of(X, (t > 0).astype(float))
    objective = Objective(Logistic(), 6)
    whole = minimise(objective, rows, LocalEngine())
    monkeypatch.setattr("expunge.problem.rows.BATCH_VALUES", 42)
    assert sum(1 for _ in rows.batches()) == 300 // 24 + 1  # four times as many rows as features
    parts = minimise(objective, rows, LocalEngine())
    np.testing.assert_allclose(parts.point, whole.point, rtol=1e-10)


def test_float32_rows_are_fitted_in_float64():
    _rng, X, t = data()
    X32, y = X.astype(np.float32), (t > 0).astype(float)
    a = minimise(Objective(Logistic(), 6), Rows.of(X32, y), LocalEngine())
    b = minimise(Objective(Logistic(), 6), Rows.of(X32.astype(np.float64), y), LocalEngine())
    np.testing.assert_allclose(a.point, b.point, rtol=1e-12)


@pytest.mark.parametrize("loss", [Logistic(), LogCosh(), PseudoHuber(0.01), Poisson()], ids=repr)
def test_far_starts_and_outliers_converge(loss):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3)) * 30
    y = (X[:, 0] > 0).astype(float) if loss.classes else np.abs(rng.standard_cauchy(size=200)).round()
    objective = Objective(loss, 3, penalty=1e-3)
    for start in (None, np.full(4, 5.0)):
        optimum = minimise(objective, Rows.of(X, y), LocalEngine(), start)
        there = Evaluation(objective, Rows.of(X, y), optimum.point)
        gradient = there.gradient + objective.penalty_gradient(optimum.point, 200.0)
        assert np.linalg.norm(gradient) <= 1e-5 * (1 + np.abs(y).sum())


@pytest.mark.parametrize("loss", [Squared(), Logistic(), PseudoHuber()], ids=repr)
def test_dependent_columns_without_a_penalty_are_refused_clearly(loss):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 2))
    X = np.hstack([X, X[:, :1] + X[:, 1:]])
    y = (rng.random(50) < 0.5).astype(float)
    model = Objective(loss, 3, penalty=0.0)
    from expunge.unlearning.dense import DenseState

    with pytest.raises(NoOptimum, match="linearly dependent"):
        DenseState.fitted(model, Rows.of(X, y), LocalEngine())


def test_separable_classes_without_a_penalty_are_refused_clearly():
    X = np.linspace(-1, 1, 40)[:, None]
    with pytest.raises(NoOptimum, match="fitted without limit"):
        minimise(Objective(Logistic(), 1, penalty=0.0), Rows.of(X, (X[:, 0] > 0).astype(float)), LocalEngine())


def test_no_rows_and_no_weight_are_refused():
    objective = Objective(Squared(), 2)
    with pytest.raises(InvalidRows, match="no rows"):
        minimise(objective, Rows.of(np.empty((0, 2)), []), LocalEngine())
    with pytest.raises(InvalidRows, match="weights are all zero"):
        minimise(objective, Rows.of(np.ones((2, 2)), [1.0, 2.0], [0.0, 0.0]), LocalEngine())


def test_the_gauge_changes_no_prediction():
    """Softmax intercepts are fixed to sum 0; probabilities are those of scikit-learn, which leaves the gauge open."""
    rng, X, t = data()
    y = targets("multinomial", rng, t)
    mine = ours.LogisticRegression(sigma=0).fit(X, y)
    theirs = sk.LogisticRegression(solver="newton-cholesky", tol=1e-12).fit(X, y)
    assert abs(mine.intercept_.sum()) < 1e-10
    np.testing.assert_allclose(mine.predict_proba(X), theirs.predict_proba(X), atol=1e-8)

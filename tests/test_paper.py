"""The paper's algorithms: its own constants, its guarantee checked against retraining, and its faults made impossible."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from expunge.errors import InvalidRows, NoOptimum
from expunge.paper.algorithms import PaperUnlearner, RowLoss
from expunge.paper.capacity import Setting


def logistic(ridge=0.0):
    """ln(1 + e^{x·w}) − y x·w for rows z = (x, y)."""

    def parts(w, Z):
        return Z[:, :-1], Z[:, -1], Z[:, :-1] @ w

    def value(w, Z):
        _X, y, t = parts(w, Z)
        return np.logaddexp(0, t) - y * t

    def gradient(w, Z):
        X, y, t = parts(w, Z)
        return (expit(t) - y)[:, None] * X

    def hessian(w, Z):
        X, _y, t = parts(w, Z)
        return (expit(t) * expit(-t))[:, None, None] * X[:, :, None] * X[:, None, :]

    return RowLoss(value, gradient, hessian).ridge(ridge)


def rows(n, p, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return np.column_stack([X, rng.random(n) < expit(2 * X[:, 0])])


def unlearner(p=3, ridge=0.1, **kwargs):
    constants = {"strong_convexity": ridge, "lipschitz": 2.0, "hessian_lipschitz": 0.1, "epsilon": 1.0, "delta": 1e-5}
    return PaperUnlearner(logistic(ridge), p, **{**constants, **kwargs})


def no_noise(point, _sigma):
    return point


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(20, 200), share=st.floats(0, 0.4))
def test_the_papers_distance_covers_the_true_one(seed, n, share):
    Z, model = rows(n, 3, seed), unlearner(noise=no_noise)
    m = int(share * n)
    order = np.argsort(-np.linalg.norm(model.loss.gradient(np.zeros(3), Z), axis=1))
    gone, stay = Z[order[:m]], Z[order[m:]]
    point = model.unlearn(gone, model.learn(Z))
    distance = np.linalg.norm(point - model.learn(stay).weights)
    sigma = model.sigma(m, n)
    assert distance <= sigma / math.sqrt(2 * math.log(1.25 / 1e-5)) + 1e-10


def test_sigma_is_the_published_one():
    model = unlearner(strong_convexity=0.2, lipschitz=3.0, hessian_lipschitz=0.7, epsilon=0.5, delta=1e-3)
    delta = 2 * 0.7 * 11**2 * 3.0**2 / (0.2**3 * 500**2)
    assert model.sigma(11, 500) == pytest.approx(delta / 0.5 * math.sqrt(2 * math.log(1.25 / 1e-3)))
    assert unlearner(hessian_lipschitz=0.0).sigma(11, 500) == 0.0


def test_noise_of_that_sigma_is_added():
    Z, model = rows(300, 3), unlearner()
    learned = model.learn(Z)
    released = np.array([model.unlearn(Z[:5], learned) for _ in range(400)])
    assert len(np.unique(released[:, 0])) == 400
    assert released.std(axis=0) == pytest.approx(np.full(3, model.sigma(5, 300)), rel=0.2)


def test_the_statistic_has_one_size_whatever_n_is():
    sizes = {unlearner().learn(rows(n, 3)).statistic_bytes for n in (10, 1000, 20_000)}
    assert sizes == {3 * 3 * 8 + 3 * 8 + 8}


def test_an_optimum_that_was_missed_is_charged_and_corrected():
    Z, model = rows(300, 3), unlearner(noise=no_noise)
    learned = model.learn(Z)
    off = learned.weights + 0.05
    gradient, hessian = model._means(off, Z)
    missed = replace(learned, weights=off, gradient_mean=gradient, hessian_mean=hessian)
    truth = model.learn(Z[5:]).weights
    assert np.linalg.norm(model.unlearn(Z[:5], missed) - truth) < 0.1 * np.linalg.norm(off - truth)
    assert model.sigma(5, 300, float(np.linalg.norm(gradient))) > model.sigma(5, 300)


def test_the_convex_form_is_strongly_convex_with_the_best_ridge():
    Z = rows(2000, 3)
    constants = {"lipschitz": 1.0, "hessian_lipschitz": 0.1, "epsilon": 1.0, "delta": 1e-5}
    model = PaperUnlearner.convex(logistic(), 3, radius=5.0, n=2000, m=10, noise=no_noise, **constants)
    setting = Setting(p=3, n=2000, radius=5.0, **constants)
    assert model.strong_convexity == setting.best_ridge(10, "newton")
    learned = model.learn(Z)
    assert np.linalg.norm(model.unlearn(Z[:10], learned) - model.learn(Z[10:]).weights) <= model.sigma(10, 2000)


def test_user_losses_are_checked_by_finite_differences():
    good, Z, w = logistic(0.1), rows(20, 3), np.array([0.3, -0.2, 0.1])
    good.verify_derivatives(w, Z)
    with pytest.raises(ValueError, match=r"gradient of row 0, coordinate \[\d\]"):
        RowLoss(good.value, lambda w, Z: 1.1 * good.gradient(w, Z), good.hessian).verify_derivatives(w, Z)
    with pytest.raises(ValueError, match=r"hessian of row 0, coordinate \[\d, \d\]"):
        RowLoss(good.value, good.gradient, lambda w, Z: good.hessian(w, Z) + 0.01).verify_derivatives(w, Z)
    with pytest.raises(ValueError, match=r"hessian returned shape \(20, 3\), expected \(20, 3, 3\)"):
        RowLoss(good.value, good.gradient, good.gradient).verify_derivatives(w, Z)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilon": 1.5}, "holds for ε ≤ 1"),
        ({"epsilon": 0.0}, "epsilon must be"),
        ({"delta": 1.0}, "delta must lie strictly between 0 and 1"),
        ({"strong_convexity": 0.0}, "strong_convexity must be finite and positive"),
        ({"lipschitz": math.nan}, "lipschitz must be finite and positive"),
        ({"hessian_lipschitz": -1.0}, "hessian_lipschitz must be finite and at least 0"),
    ],
)
def test_impossible_constants_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        unlearner(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strong_convexity": 2.0}, "smallest eigenvalue at the optimum"),
        ({"lipschitz": 0.1}, "gradient of row"),
        ({"radius": 1e-3}, "the optimum has norm"),
    ],
)
def test_constants_that_the_rows_contradict_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        unlearner(**change).learn(rows(200, 3))


def test_bad_requests():
    Z, model = rows(50, 3), unlearner()
    with pytest.raises(InvalidRows, match="at least one must remain"):
        model.unlearn(Z, model.learn(Z))
    with pytest.raises(InvalidRows, match="no rows"):
        model.learn(Z[:0])
    with pytest.raises(ValueError, match="m must be at least 0 and below n"):
        PaperUnlearner.convex(
            logistic(), 3, radius=1.0, lipschitz=1.0, hessian_lipschitz=0.1, epsilon=1.0, delta=1e-5, n=10, m=10
        )
    flat = RowLoss(lambda w, Z: Z[:, 0] * w[0], lambda w, Z: Z[:, :1], lambda w, Z: np.full((len(Z), 1, 1), 1e-9))
    with pytest.raises(NoOptimum):
        replace_loss(unlearner(p=1), flat).learn(np.ones((5, 1)))


def replace_loss(model, loss):
    model.loss = loss
    return model

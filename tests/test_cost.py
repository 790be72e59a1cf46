"""What noise costs: the σ from an excess risk keeps to it, for every loss; and the estimate behind warnings is right."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from expunge.engine.local import LocalEngine
from expunge.privacy import Guarantee
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
from expunge.unlearning.cost import NoiseCost, NoisyLoss, affordable_sigma
from expunge.unlearning.fitting import fitted
from expunge.unlearning.settings import Settings
from tests.problems import CATALOGUE, targets

CLASSIFIERS = [Logistic(), SmoothedHinge(0.5), Softmax(2), Softmax(3), Softmax(4), Softmax(10)]
LOG_LINKS = [Poisson(), NegativeBinomial(0.7), Tweedie(1.1), Tweedie(1.5), Tweedie(1.9), Gamma()]


def cost_of(loss, t, spread, y, seed=0):
    """E ℓ(t + spread·z) − ℓ(t) by plain Monte Carlo, and its standard error."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(200_000, loss.outputs))
    z = np.vstack([z, -z])
    moved = t + spread * z
    value = loss.value(moved[:, 0] if loss.outputs == 1 else moved, np.full(len(z), float(y)))
    half = len(z) // 2
    pairs = 0.5 * (value[:half] + value[half:]) - loss.value(t[0] if loss.outputs == 1 else t, np.full(1, float(y)))
    return pairs.mean(), pairs.std() / math.sqrt(half)


@pytest.mark.parametrize("loss", CLASSIFIERS, ids=repr)
def test_a_classifier_spends_what_was_asked_for_and_no_more(loss):
    """At the worst predictor and at others, on a row of the declared norm; nearly all of it is used at the worst."""
    asked, norm = 0.001, 3.0
    spread = norm * affordable_sigma(loss, fit_intercept=True, excess_risk=asked, row_norm=norm)
    rng = np.random.default_rng(loss.outputs)
    worst = -1.0 if isinstance(loss, SmoothedHinge) else 0.0
    for i, size in enumerate((0.0, 0.3, 1.0, 3.0)):
        cost, error = cost_of(loss, worst + size * rng.normal(size=(1, loss.outputs)), spread, y=0, seed=i)
        assert cost <= asked + 4 * error
        if size == 0:
            assert cost >= 0.99 * asked - 4 * error


@pytest.mark.parametrize("loss", [*CLASSIFIERS, Squared(), PseudoHuber(0.3)], ids=repr)
def test_the_trace_bound_is_the_searched_maximum(loss):
    def trace(t):
        shaped = t[None, :] if loss.outputs > 1 else t
        return float(np.sum(np.trace(np.atleast_3d(loss.curvature(shaped, np.zeros(1))).reshape(loss.outputs, loss.outputs))))

    rng = np.random.default_rng(0)
    found = max(-minimize(lambda t: -trace(t), rng.normal(size=loss.outputs) * size).fun for size in (0.1, 1.0, 2.0))
    assert found <= loss.curvature_trace_bound * (1 + 1e-12)
    assert found >= loss.curvature_trace_bound * (1 - 1e-6)


@pytest.mark.parametrize("loss", LOG_LINKS, ids=repr)
@settings(max_examples=15)
@given(seed=st.integers(0, 2**20), risk=st.sampled_from([1e-3, 0.05, 0.5]))
def test_a_log_link_spends_no_more_than_its_share_of_the_mean(loss, seed, risk):
    rng = np.random.default_rng(seed)
    n, d = 150, 3
    X = rng.normal(size=(n, d)) * 10.0 ** rng.uniform(-1, 0)
    y = targets(loss, (X @ rng.normal(size=d) + rng.normal())[:, None], rng) + (0.5 if loss.name != "gamma" else 0.0)
    rows = Rows.of(X, y, rng.choice([0.5, 1.0, 3.0], size=n))
    form: Any = str(rng.choice(["sum", "mean"]))
    objective = Objective(loss, d, penalty=float(10.0 ** rng.uniform(-4, -1)), form=form)
    point = fitted(objective, rows, LocalEngine(), Settings(Guarantee(1.0, 1e-5), sigma=0.05)).point
    norm = float(np.sqrt(np.square(X).sum(axis=1) + 1).max())
    sigma = affordable_sigma(loss, fit_intercept=True, excess_risk=risk, row_norm=norm)
    noisy = NoisyLoss(objective, rows)
    cost = np.average(noisy.at(point, sigma) - noisy.at(point, 0.0), weights=rows.weight)
    power = {"poisson": 1.0, "negative_binomial": 1.0, "gamma": 2.0}.get(loss.name) or loss.power
    assert cost <= risk * np.average(y, weights=rows.weight) ** (2 - power) * (1 + 1e-9)


@pytest.mark.parametrize("loss", [Squared(), PseudoHuber(1.0), PseudoHuber(20.0), SmoothedQuantile(0.5, 1.0)], ids=repr)
def test_a_regression_spends_no_more_than_its_share_of_the_largest_null_loss(loss, rng):
    low, high, risk, norm = 3.0, 11.0, 0.01, 2.0
    y = np.repeat([low, high], 50)  # the targets of the range that a constant predicts worst
    sigma = affordable_sigma(loss, fit_intercept=True, excess_risk=risk, row_norm=norm, target_range=(low, high))
    best = min(np.mean(loss.value(np.full(100, c), y)) for c in np.linspace(low, high, 401))
    assert 0.5 * loss.curvature_trace_bound * (sigma * norm) ** 2 == pytest.approx(risk * best)
    for _ in range(20):
        other = rng.uniform(low, high, 100)
        assert min(np.mean(loss.value(np.full(100, c), other)) for c in np.linspace(low, high, 401)) <= best * (1 + 1e-12)


@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
def test_the_estimate_is_what_releases_cost(loss, rng):
    """Against 2,000 releases; and the null model against a search over constants."""
    n, d = 400, 3
    X = rng.normal(size=(n, d)) * 0.4
    y = targets(loss, X @ rng.normal(size=(d, loss.outputs)) + rng.normal(size=loss.outputs), rng)
    rows = Rows.of(X, y, rng.choice([0.0, 1.0, 3.0], size=n))
    objective = Objective(loss, d, penalty=1.0)
    point = fitted(objective, rows, LocalEngine(), Settings(Guarantee(1.0, 1e-5), sigma=0.05)).point
    found = NoiseCost.of(objective, rows, point, 0.1)

    def mean_loss(w):
        return np.average(loss.value(objective.predictor(w, X), y), weights=rows.weight)

    drawn = point + 0.1 * rng.normal(size=(2000, len(point)))
    drawn = np.vstack([drawn, 2 * point - drawn])
    costs = np.array([mean_loss(w) for w in drawn]) - mean_loss(point)
    assert found.cost == pytest.approx(costs.mean(), rel=0.15)

    def constant(b):
        w = np.zeros((loss.outputs, d + 1))
        w[:, -1] = b
        return mean_loss(w.ravel())

    best = minimize(constant, np.zeros(loss.outputs)).fun
    assert found.gain == pytest.approx(best - mean_loss(point), abs=1e-4)


def test_only_a_sample_of_many_rows_is_looked_at(rng):
    X = rng.normal(size=(50_000, 2))
    y = (X[:, 0] > rng.logistic(size=50_000)).astype(float)
    objective, rows = Objective(Logistic(), 2), Rows.of(X, y)
    few = NoiseCost.of(objective, rows, np.array([1.0, 0.0, 0.0]), 0.2)
    part = NoiseCost.of(objective, rows.thinned(48), np.array([1.0, 0.0, 0.0]), 0.2)
    assert few == part


@pytest.mark.parametrize("bad", [-1.0, math.inf, math.nan])
def test_an_excess_risk_that_cannot_be(bad):
    with pytest.raises(ValueError, match="excess_risk must be"):
        affordable_sigma(Logistic(), fit_intercept=True, excess_risk=bad, row_norm=1.0)

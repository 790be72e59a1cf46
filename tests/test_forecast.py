"""Forecasts are validated by deleting: within a factor of two for random rows, on the census and on generated data."""

import numpy as np
import pytest

from expunge.data.census import load_census
from expunge.engine.local import LocalEngine
from expunge.errors import ExpungeError, InvalidRows
from expunge.linear_model import LogisticRegression, PoissonRegressor, Ridge
from expunge.unlearning import forecast as forecast_module
from expunge.unlearning.dense import require_hessian
from expunge.unlearning.influence import displacements
from expunge.unlearning.ladder import from_statistics
from expunge.unlearning.report import Regime
from expunge.unlearning.rung import Rung
from expunge.unlearning.unlearner import secret_of

MAX_PASSES = 2


def generated(kind):
    rng = np.random.default_rng(7)
    X = rng.normal(size=(8000, 6))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    t = X @ rng.normal(size=(6, 3))
    if kind == "softmax":
        return LogisticRegression(sigma=0.05, max_passes=MAX_PASSES), X, (t + rng.gumbel(size=t.shape)).argmax(axis=1)
    return PoissonRegressor(alpha=1e-4, sigma=0.05, max_passes=MAX_PASSES), X, rng.poisson(np.exp(t[:, 0])).astype(float)


def data(kind):
    if kind == "census":
        model = LogisticRegression(sigma=0.063, delta=1e-5, max_passes=MAX_PASSES, order=2)
        return model, *load_census("train")
    return generated(kind)


def certified(model, rows, order, passes):
    """The largest m of ``order`` that ``passes`` certify, found by deleting them."""
    unlearner = model._unlearner
    mechanism, allowed = unlearner._secret.mechanism, model.sigma * unlearner.settings.guarantee.mu

    def no_refit():
        raise ExpungeError("only a refit is left")

    def is_certified(m):
        try:
            state = unlearner._secret.state.removed(rows.take(order[:m]))
            remaining = rows.take(order[m:]) if passes else None
            for candidate in state.candidates(remaining, LocalEngine(), passes, before_refit=no_refit):
                if mechanism.distance(candidate) <= allowed:
                    return True
        except ExpungeError:
            pass
        return False

    low, high = 0, 1
    while high < len(rows) and is_certified(high):
        low, high = high, 2 * high
    while high - low > max(1, low // 20):
        middle = (low + high) // 2
        low, high = (middle, high) if middle < len(rows) and is_certified(middle) else (low, middle)
    return low


@pytest.fixture(scope="module", params=["census", "softmax", "poisson"])
def fitted(request):
    model, X, y = data(request.param)
    return model.fit(X, y), X, y


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_random_deletions_are_forecast_within_a_factor_of_two(fitted, share):
    model, X, y = fitted
    rng = np.random.default_rng(3)
    sample = rng.permutation(len(X))[: int(share * len(X))]
    report = model.capacity(X[sample], y[sample])
    rows = model.encoded(X, y)
    orders = [rng.permutation(len(X)) for _ in range(3)]
    for forecast in report.forecasts:
        actual = np.median([certified(model, rows, order, forecast.passes) for order in orders])
        assert 0.5 * actual - 1 <= forecast.random <= 2 * actual + 1, (forecast, actual)


def test_the_worst_case_forecast_from_all_rows_is_what_deleting_them_gives(fitted):
    model, X, y = fitted
    rows = model.encoded(X, y)
    order = np.argsort(-displacements(model._unlearner._secret.state, rows))
    for forecast in model.capacity(X, y).forecasts:
        actual = certified(model, rows, order, forecast.passes)
        assert 0.5 * actual - 1 <= forecast.worst_case <= 2 * actual + 1, (forecast, actual)


def test_the_rung_expected_of_a_request_is_that_of_the_forecasts(fitted):
    model, X, y = fitted
    rows, unlearner = model.encoded(X, y), model.unlearner_
    sample = rows.take(np.random.default_rng(3).permutation(len(X))[:2000])
    ladder = [Rung.STATISTICS, *[Rung.PASS] * MAX_PASSES, Rung.REFIT]
    low = 0
    for forecast, rung in zip(unlearner.capacity(sample).forecasts, ladder, strict=False):
        if forecast.random > 2 * low + 2:
            assert unlearner.rung_expected(max(1, int(0.8 * forecast.random)), sample) == rung, forecast
        low = forecast.random
    if low < 0.4 * len(X):
        assert unlearner.rung_expected(2 * low + 10, sample) is Rung.REFIT


def test_the_rung_expected_takes_a_few_simulations_and_not_a_search(fitted, monkeypatch):
    model, X, y = fitted
    simulated = []

    def noticed(*args, **how):
        simulated.append(args)
        return from_statistics(*args, **how)

    monkeypatch.setattr(forecast_module, "from_statistics", noticed)
    sample = model.encoded(X[:2000], y[:2000])
    assert model.unlearner_.rung_expected(1, sample) is Rung.STATISTICS
    assert 1 <= len(simulated) <= forecast_module.PASS_DRAWS
    few = len(simulated)
    model.unlearner_.capacity(sample)
    assert len(simulated) > 20 * few


def test_without_rows_the_statistics_alone_are_forecast(fitted):
    model, X, y = fitted
    rng = np.random.default_rng(3)
    rows = model.encoded(X, y)
    statistics, *passes = model.capacity().forecasts
    actual = np.median([certified(model, rows, rng.permutation(len(X)), 0) for _ in range(3)])
    assert 0.5 * actual - 1 <= statistics.random <= 2 * actual + 1
    assert all(forecast.random is None and forecast.worst_case is None for forecast in passes)
    order = np.argsort(-displacements(model._unlearner._secret.state, rows))
    assert statistics.worst_case <= certified(model, rows, order, 0)  # a guarantee, not an estimate


def test_the_report_says_what_is_used_and_what_to_do():
    model, X, y = generated("softmax")
    model.fit(X, y)
    fresh = model.capacity()
    assert (fresh.changed, fresh.remaining, fresh.budget_used) == (0.0, len(X), 0.0)
    model.forget(X[:20], y[:20])
    report = model.capacity()
    assert (report.changed, report.remaining) == (20.0, 7980.0)
    assert report.distance_bound == model.certificate_.distance_bound
    assert report.distance_allowed < fresh.distance_allowed
    assert 0 < report.budget_used < 1
    text = str(report)
    for words in (
        "20 rows changed",
        "7,980 are learned",
        "the statistics",
        "2 passes",
        "?",
        "plain retraining is the better choice",
    ):
        assert words in text


def test_exact_models_have_no_limit_but_their_rows(rng):
    X = rng.normal(size=(300, 3))
    forecast = Ridge(sigma=0.05, max_passes=1).fit(X, X[:, 0]).capacity(X, X[:, 0]).forecasts[0]
    assert forecast.random > 250


@pytest.mark.parametrize("bound", ["worst_case", "sekhari2021"])
def test_declared_bounds_have_their_own_forecast(bound, rng):
    X = rng.normal(size=(5000, 3))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = (X[:, 0] > 0.3 * rng.logistic(size=5000)).astype(int)
    model = LogisticRegression(C=1e-3, fit_intercept=False, sigma=0.5, bound=bound, row_norm=1.0).fit(X, y)
    forecast = model.capacity().forecasts[0]
    assert forecast.random == forecast.worst_case > 0
    model.forget(X[: int(0.9 * forecast.random)], y[: int(0.9 * forecast.random)])
    assert model.certificate_.rung == "statistics"


def test_bad_input():
    model, X, y = generated("softmax")
    model.fit(X, y)
    with pytest.raises(InvalidRows, match="5 features"):
        model.capacity(X[:, :5], y)
    with pytest.raises(ValueError, match="with sigma=0 nothing is promised"):
        LogisticRegression(sigma=0).fit(X, y).capacity()


def test_a_sample_without_the_weights_of_its_rows_is_refused_and_not_a_capacity_of_nothing():
    model, X, y = generated("poisson")
    weights = np.linspace(0.5, 1.5, len(X))
    model.fit(X, y, sample_weight=weights)
    with pytest.raises(InvalidRows, match="some rows come with weights and others without"):
        model.capacity(X, y)
    assert all(forecast.random > 0 for forecast in model.capacity(X, y, weights).forecasts)


def test_the_regime_of_a_model_is_named(rng):
    X = rng.normal(size=(4000, 4))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = (X[:, 0] > 0.3 * rng.normal(size=4000)).astype(int)

    def report(**settings):
        return LogisticRegression(delta=1e-5, **settings).fit(X, y).capacity(X, y)

    worth = report(sigma=0.01)
    assert worth.regime is Regime.WORTH
    assert worth.hidden < 1 <= worth.forecasts[0].random
    assert "forgetting is worth it" in str(worth)
    hidden = report(sigma=1.0)
    assert hidden.regime is Regime.HIDDEN
    assert hidden.hidden > hidden.forecasts[0].random
    assert "The noise alone hides about" in str(hidden)
    retrain = report(sigma=1e-9, max_passes=0)
    assert retrain.regime is Regime.RETRAIN
    assert "retrain instead" in str(retrain)


def test_a_typical_move_is_the_root_mean_square_of_the_moves(rng):
    """In a likelihood that the rows come from; by the metric of the noise, too."""
    X = rng.normal(size=(6000, 3))
    y = (rng.random(6000) < 1 / (1 + np.exp(-X[:, 0]))).astype(int)
    model = LogisticRegression().fit(X, y)
    rows, secret = model.encoded(X, y), secret_of(model.unlearner_)
    moves = displacements(require_hessian(secret.state), rows, secret.mechanism.metric)
    assert model.capacity().typical_move == pytest.approx(float(np.sqrt(np.mean(moves**2))), rel=0.1)

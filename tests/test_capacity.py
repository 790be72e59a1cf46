"""Deletion capacity: the paper's rates, maximality, clear answers to impossible problems, and the measured capacity."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.errors import InvalidRows, NotLearned
from expunge.linear_model import LogisticRegression, PoissonRegressor, Ridge
from expunge.paper.capacity import Method, Setting, deletion_capacity, empirical_capacity, sample_complexity
from expunge.unlearning.influence import ADVERSARIES, deletion_order

METHODS: tuple[Method, ...] = ("newton", "worst_case", "dp", "exact", "linear_model")
CONSTANTS: dict[str, Any] = {"epsilon": 1.0, "delta": 1e-5, "lipschitz": 1.0, "hessian_lipschitz": 1.0, "smoothness": 1.0}


def slope(xs, ys):
    return np.polyfit(np.log(xs), np.log(ys), 1)[0]


def test_the_rates_of_the_paper_where_the_noise_binds():
    ps = 10 ** np.arange(4, 9)
    common: dict[str, Any] = {**CONSTANTS, "n": 10**9, "strong_convexity": 0.05}
    found = {method: [int(deletion_capacity(p=int(p), method=method, **common)) for p in ps] for method in METHODS}
    assert slope(ps, found["newton"]) == pytest.approx(-1 / 4, abs=0.01)
    assert slope(ps, found["worst_case"]) == pytest.approx(-1 / 4, abs=0.01)
    assert slope(ps, found["dp"]) == pytest.approx(-1 / 2, abs=0.01)
    assert len(set(found["linear_model"])) == 1  # whatever p is
    assert len(set(found["exact"])) == 1


def test_capacity_is_proportional_to_n_and_grows_with_the_root_of_epsilon():
    common: dict[str, Any] = {**CONSTANTS, "p": 10**6, "strong_convexity": 0.05}
    ns = 10 ** np.arange(8, 12)
    assert slope(ns, [int(deletion_capacity(n=int(n), **common)) for n in ns]) == pytest.approx(1.0, abs=0.01)
    epsilons = 10.0 ** np.arange(-3, 1)
    found = [int(deletion_capacity(n=10**9, **{**common, "epsilon": epsilon})) for epsilon in epsilons]
    assert slope(epsilons, found) == pytest.approx(0.5, abs=0.02)


settings_of = st.fixed_dictionaries(
    {
        "p": st.integers(1, 10**6),
        "n": st.integers(1, 10**9),
        "epsilon": st.floats(1e-3, 1.0),
        "delta": st.floats(1e-12, 0.5),
        "lipschitz": st.floats(1e-3, 1e3),
        "hessian_lipschitz": st.floats(0, 1e3),
        "smoothness": st.floats(1e-3, 1e3),
        "gamma": st.floats(1e-4, 10.0),
        "method": st.sampled_from(METHODS),
    }
)


@given(given_=settings_of, share=st.floats(1e-6, 1.0), is_convex=st.booleans(), radius=st.floats(1e-2, 1e2))
def test_the_capacity_is_the_largest_m_within_gamma(given_, share, is_convex, radius):
    shape = {"radius": radius} if is_convex else {"strong_convexity": share * given_["smoothness"]}
    capacity = deletion_capacity(**given_, **shape)
    gamma, method, n = given_["gamma"], given_["method"], given_["n"]
    setting = Setting(**{name: value for name, value in given_.items() if name not in ("gamma", "method")}, **shape)
    assert 0 <= capacity < n
    assert "nan" not in str(capacity)
    if capacity or setting.excess_risk_bound(0, method) <= gamma:
        assert setting.excess_risk_bound(int(capacity), method) <= gamma
    if setting.excess_risk_bound(0, method) <= gamma and capacity + 1 < n:
        assert setting.excess_risk_bound(int(capacity) + 1, method) > gamma


@given(given_=settings_of, share=st.floats(1e-6, 1.0))
def test_methods_are_in_the_order_that_their_noise_is(given_, share):
    given_ = {name: value for name, value in given_.items() if name != "method"}
    found = {m: deletion_capacity(method=m, strong_convexity=share * given_["smoothness"], **given_) for m in METHODS}
    assert found["newton"] <= found["worst_case"] <= found["exact"]
    assert found["linear_model"] <= found["exact"]


@settings(max_examples=50)
@given(given_=settings_of, radius=st.floats(1e-2, 1e2), m=st.integers(0, 1000))
def test_the_best_ridge_is_no_worse_than_any_other(given_, radius, m):
    method = given_["method"]
    constants = {name: value for name, value in given_.items() if name not in ("gamma", "method", "n")}
    setting = Setting(**constants, n=given_["n"] + 1001, radius=radius)
    best = setting.excess_risk_bound(m, method)
    for ridge in [setting.balanced_ridge(m), *np.geomspace(1e-6, 1e6, 241) * given_["lipschitz"] / radius]:
        assert best <= setting.excess_risk_bound_at(m, method, float(ridge)) * (1 + 1e-9)


def test_the_gain_over_the_closed_form_is_real():
    setting = Setting(p=100, n=10**7, radius=1.0, **CONSTANTS)
    closed = setting.excess_risk_bound_at(500, "newton", setting.balanced_ridge(500))
    assert setting.excess_risk_bound(500, "newton") < 0.9 * closed


def test_sample_complexity_is_the_least_n():
    assert sample_complexity(lipschitz=2.0, strong_convexity=0.5, gamma=0.02) == 4 * 4 / (0.5 * 0.02)
    n = sample_complexity(lipschitz=1.0, radius=1.0)
    convex: dict[str, Any] = {"p": 1, "epsilon": 1.0, "delta": 1e-5, "lipschitz": 1.0, "radius": 1.0}
    assert Setting(n=n, **convex).excess_risk_bound(0, "exact") <= 0.01 * (1 + 1e-9)
    assert Setting(n=n - 1, **convex).excess_risk_bound(0, "exact") > 0.01
    rates = [sample_complexity(lipschitz=1.0, radius=1.0, gamma=gamma) for gamma in (1e-2, 1e-3, 1e-4)]
    assert slope([1e-2, 1e-3, 1e-4], rates) == pytest.approx(-2.0, abs=0.05)  # O(B²L²/γ²)


def test_infeasible_problems_get_a_clear_answer():
    too_few = deletion_capacity(p=5, n=100, strong_convexity=0.1, **CONSTANTS)
    assert too_few == 0
    assert str(too_few) == (
        "capacity 0, because learning alone from 100 rows may cost 0.4 > gamma = 0.01: at least 4000 rows are needed"
    )
    too_noisy = deletion_capacity(p=10**8, n=5000, strong_convexity=0.1, **CONSTANTS)
    assert too_noisy == 0
    assert "the bound on the excess risk of 1 deletions is" in str(too_noisy)
    assert "one of 10 rows must remain" in str(deletion_capacity(p=1, n=10, strong_convexity=1.0, gamma=1e6, **CONSTANTS))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strong_convexity": 2.0}, "contradicts smoothness"),
        ({"strong_convexity": 0.5, "radius": 3.0}, "contradict lipschitz"),
        ({"strong_convexity": None}, "give strong_convexity, or radius"),
        ({"delta": 0.0}, "delta must lie strictly between 0 and 1"),
        ({"delta": 1.0}, "delta must lie strictly between 0 and 1"),
        ({"epsilon": 0.0}, "epsilon must be a finite positive number"),
        ({"epsilon": 2.0}, "which holds for ε ≤ 1 alone"),
        ({"gamma": 0.0}, "gamma must be a finite positive number"),
        ({"gamma": math.nan}, "gamma must be a finite positive number"),
        ({"n": 0}, "n must be at least 1"),
        ({"p": 0}, "p must be at least 1"),
        ({"lipschitz": -1.0}, "lipschitz must be finite and positive"),
        ({"strong_convexity": math.inf}, "strong_convexity must be finite and positive"),
        ({"hessian_lipschitz": None}, "needs hessian_lipschitz"),
        ({"hessian_lipschitz": -1.0}, "hessian_lipschitz must be finite and at least 0"),
        ({"method": "linear_model", "smoothness": None}, "needs smoothness"),
        ({"method": "guess"}, "method must be"),
    ],
)
def test_contradictory_constants_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        deletion_capacity(**{"p": 10, "n": 1000, "strong_convexity": 0.5, **CONSTANTS, **change})


def test_as_many_deletions_as_rows_are_refused():
    setting = Setting(p=1, n=10, strong_convexity=1.0, **CONSTANTS)
    for m in (-1, 10, 11):
        with pytest.raises(ValueError, match="m must be at least 0 and below n = 10"):
            setting.excess_risk_bound(m, "exact")
    with pytest.raises(ValueError, match="give radius and no strong_convexity"):
        setting.best_ridge(1, "exact")
    with pytest.raises(ValueError, match="give radius"):
        setting.balanced_ridge(1)


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6000, 4))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = (rng.random(6000) < 1 / (1 + np.exp(-3 * X[:, 0] - 2))).astype(int)
    return LogisticRegression(sigma=0.05).fit(X[:4000], y[:4000]), (X[:4000], y[:4000]), (X[4000:], y[4000:])


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_the_measured_capacity_is_where_the_risk_passes_gamma(fitted, adversary):
    model, learned, holdout = fitted
    before = model._unlearner._secret
    found = empirical_capacity(model, holdout, learned=learned, adversary=adversary, gamma=0.005)
    assert model._unlearner._secret is before
    assert all(point.low <= point.excess_risk <= point.high for point in found.points)
    within = [point.m for point in found.points if point.excess_risk <= 0.005]
    assert found.capacity == max(within, default=0)
    assert str(found.capacity) not in found.reason or found.capacity == 0
    assert any(word in found.reason for word in ("deletions cost", "deletions are refused"))


def test_weights_are_not_dropped(fitted):
    """With so little noise passes are needed, and they refuse rows that are given with another weight than they had."""
    _model, (X, y), holdout = fitted
    X, y, weight = X[:500], y[:500], np.full(500, 3.0)
    model = LogisticRegression(sigma=1e-3).fit(X, y, weight)
    found = empirical_capacity(model, (*holdout, np.ones(len(holdout[1]))), learned=(X, y, weight), gamma=0.005)
    assert "pass" in {point.rung for point in found.points}
    assert found.capacity > 0
    without = empirical_capacity(model, holdout, learned=(X, y), gamma=0.005)
    assert (without.capacity, without.points) == (0, ())


def test_whoever_chooses_harms_more(fitted):
    model, learned, holdout = fitted
    found = {a: empirical_capacity(model, holdout, learned=learned, adversary=a, gamma=0.005).capacity for a in ADVERSARIES}
    assert 0 < found["influence"] < 0.5 * found["random"]
    assert found["influence"] <= 1.1 * min(found.values())


def test_the_measured_risk_is_that_of_retraining_and_noise(fitted):
    """Against scikit-learn's own way there: fit without the rows, and add noise many times."""
    model, (X, y), holdout = fitted
    found = empirical_capacity(model, holdout, learned=(X, y), adversary="class", gamma=0.005)
    point = found.points[-1]
    rng = np.random.default_rng(0)
    rows, held = model.encoded(X, y), model.encoded(*holdout)
    order = deletion_order("class", model._unlearner._secret.state, rows, held, rng)
    stay = order[point.m :]
    exact = LogisticRegression(sigma=0).fit(X[stay], y[stay])
    whole = LogisticRegression(sigma=0).fit(X, y)

    def loss(coef, intercept):
        t = holdout[0] @ coef + intercept
        return np.mean(np.logaddexp(0, t) - holdout[1] * t)

    draws = 0.05 * np.random.default_rng(1).standard_normal((4000, 5))
    noisy = np.mean([loss(exact.coef_[0] + d[:4], exact.intercept_[0] + d[4]) for d in draws])
    assert point.excess_risk == pytest.approx(noisy - loss(whole.coef_[0], whole.intercept_[0]), rel=0.1)


def test_regressions_have_a_measured_capacity_too(rng):
    X = rng.normal(size=(1500, 3)) / 2
    counts = rng.poisson(np.exp(0.5 + X[:, 0])).astype(float)
    for model, y in ((PoissonRegressor(alpha=0.1, sigma=0.01), counts), (Ridge(sigma=0.01), counts)):
        model.fit(X[:1000], y[:1000])
        for adversary in ADVERSARIES:
            found = empirical_capacity(
                model, (X[1000:], y[1000:]), learned=(X[:1000], y[:1000]), adversary=adversary, gamma=0.05
            )
            assert 0 < found.capacity < 1000


def test_bad_input_to_the_measured_capacity(fitted):
    model, learned, holdout = fitted
    with pytest.raises(ValueError, match="gamma"):
        empirical_capacity(model, holdout, learned=learned, gamma=0)
    with pytest.raises(ValueError, match="confidence"):
        empirical_capacity(model, holdout, learned=learned, confidence=1.0)
    with pytest.raises(ValueError, match="adversary must be one of random, influence"):
        empirical_capacity(model, holdout, learned=learned, adversary="nobody")  # type: ignore[arg-type]
    with pytest.raises(InvalidRows, match="3 features"):
        empirical_capacity(model, (holdout[0][:, :3], holdout[1]), learned=learned)
    with pytest.raises(NotLearned):
        empirical_capacity(model, holdout, learned=(learned[0] * 0.9, learned[1]), adversary="class", gamma=0.005)

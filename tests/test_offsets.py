"""Offsets: what is added to the linear predictor of each row, learns nothing, and is forgotten with its row."""

import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest
import torch
from scipy import optimize, sparse

from expunge.data.schema import Category, FeatureSchema, Number
from expunge.engine.local import LocalEngine
from expunge.errors import InvalidRows, NotLearned
from expunge.linear_model import (
    GammaRegressor,
    LogisticRegression,
    NegativeBinomialRegressor,
    OrdinalClassifier,
    PiecewiseExponentialRegressor,
    PoissonRegressor,
    PseudoHuberRegressor,
    Ridge,
    SmoothedHingeClassifier,
    SmoothedQuantileRegressor,
    TweedieRegressor,
)
from expunge.numerics import splitting
from expunge.numerics.evaluation import Evaluation
from expunge.pipeline import Pipeline, SchemaEncoder
from expunge.problem.losses import Logistic, Poisson, Softmax
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.problem.split import SplitMatrix
from expunge.unlearning.dense import DenseState
from expunge.unlearning.unlearner import secret_of
from tests.oracle import retrain

SINGLE = [
    LogisticRegression(sigma=0, offset=True),
    SmoothedHingeClassifier(sigma=0, offset=True),
    Ridge(sigma=0, offset=True),
    PseudoHuberRegressor(sigma=0, offset=True),
    SmoothedQuantileRegressor(sigma=0, offset=True),
    PoissonRegressor(sigma=0, alpha=0.01, offset=True),
    NegativeBinomialRegressor(sigma=0, alpha=0.01, offset=True),
    GammaRegressor(sigma=0, alpha=0.01, offset=True),
    TweedieRegressor(sigma=0, alpha=0.01, power=1.5, offset=True),
]
every_model = pytest.mark.parametrize("model", SINGLE, ids=lambda model: type(model).__name__)


def people(rng, n=300, is_count=False):
    """Features, offsets and targets that depend on both."""
    X, offsets = rng.normal(size=(n, 3)), rng.normal(size=n) * 0.7
    t = X @ [0.5, -0.3, 0.2] + offsets
    y = rng.poisson(np.exp(t)) + 0.5 if is_count else (t + rng.logistic(size=n) > 0).astype(int)
    return X, offsets, y


def given(model, rng):
    X, offsets, y = people(rng, is_count=model.__sklearn_tags__().target_tags.positive_only)
    return np.column_stack([X, offsets]), y


@every_model
def test_the_coefficient_of_an_offset_is_one_and_predictions_have_it(model, rng):
    X, y = given(model, rng)
    model.fit(X, y)
    assert np.atleast_2d(model.coef_)[0, -1] == 1.0 and np.atleast_2d(model.coef_).shape == (1, 4)
    t = X @ np.atleast_2d(model.coef_)[0] + np.atleast_1d(model.intercept_)[0]
    if hasattr(model, "classes_"):
        np.testing.assert_allclose(model.decision_function(X), t)
        np.testing.assert_allclose(model.to_sklearn().decision_function(X), t)
    else:
        np.testing.assert_allclose(model.predict(X), np.exp(t) if model._has_log_link else t)
    assert model.summary().facts["parameters"] == "4 (3 features)"


@every_model
def test_what_is_forgotten_is_forgotten_with_its_offset(model, rng):
    X, y = given(model, rng)
    model.set_params(track_rows=True).fit(X, y)
    wrong = X[:1].copy()
    wrong[0, -1] += 0.5
    with pytest.raises(NotLearned):
        model.forget(wrong, y[:1])
    certificate = model.forget(X[:5], y[:5], ids=range(5), remaining=(X[5:], y[5:]))
    rows = model.encoded(X[5:], y[5:])
    objective = model.unlearner_.objective
    point, error = retrain(objective, rows, np.zeros(objective.n_parameters))
    assert np.linalg.norm(secret_of(model.unlearner_).point - point) <= certificate.distance_bound + error
    assert certificate.distance_bound < 1e-3


def test_it_is_the_optimum_of_the_sum_with_offsets(rng):
    X, offsets, y = people(rng)
    model = LogisticRegression(C=2.0, sigma=0, offset=True).fit(np.column_stack([X, offsets]), y)

    def value(w):
        t = X @ w[:3] + w[3] + offsets
        return np.logaddexp(0.0, np.where(y == 1, -t, t)).sum() + w[:3] @ w[:3] / 4.0

    best = optimize.minimize(value, np.zeros(4), method="BFGS", options={"gtol": 1e-8}).x
    np.testing.assert_allclose([*model.coef_[0, :3], model.intercept_[0]], best, atol=1e-6)


def test_of_a_loss_of_the_residual_it_is_taken_off_the_target(rng):
    X, offsets, _y = people(rng)
    y = X @ [1.0, 2.0, 3.0] + offsets + rng.normal(size=len(X))
    for model in (Ridge(sigma=0), PseudoHuberRegressor(sigma=0)):
        plain = type(model)(sigma=0).fit(X, y - offsets)
        model.set_params(offset=True).fit(np.column_stack([X, offsets]), y)
        np.testing.assert_allclose(model.coef_[:-1], plain.coef_, atol=1e-9)
        np.testing.assert_allclose(model.intercept_, plain.intercept_, atol=1e-9)


@pytest.mark.parametrize("model", [PoissonRegressor, GammaRegressor, TweedieRegressor])
def test_where_there_are_other_targets_and_weights_for_an_exposure_they_mean_the_same(model, rng):
    X, offsets, y = people(rng, is_count=True)
    power = {"power": 1.4} if model is TweedieRegressor else {}
    with_offset = model(alpha=0.0, sigma=0, offset=True, **power).fit(np.column_stack([X, offsets]), y)
    rates, weight = model(**power).over_exposure(y, np.exp(offsets))
    weighed = model(alpha=0.0, sigma=0, **power).fit(X, rates, weight)
    np.testing.assert_allclose(with_offset.coef_[:-1], weighed.coef_, atol=1e-7)
    np.testing.assert_allclose(with_offset.intercept_, weighed.intercept_, atol=1e-7)


def test_rows_of_every_kind_have_it(rng, monkeypatch):
    codes, offsets = rng.integers(0, 40, 4000), rng.normal(size=4000).round(2)
    X = np.column_stack([np.eye(40)[codes], rng.normal(size=4000), offsets])
    y = (X[:, 40] + offsets + rng.logistic(size=4000) > 0).astype(float)
    objective, dense = Objective(Logistic(), 41, offset=True), Rows.of(X, y)
    plain = DenseState.fitted(objective, dense, LocalEngine(), order=3)
    monkeypatch.setattr(splitting, "SMALLEST", 0)
    kinds = {
        "CSR": Rows.of(sparse.csr_array(X), y),
        "blocks": Rows.of(SplitMatrix.of(X, [np.arange(40), np.array([40]), np.array([41])]), y),
        "PyTorch": Rows.of(torch.asarray(X), torch.asarray(y)),
    }
    for name, rows in kinds.items():
        np.testing.assert_array_equal(np.asarray(objective.offsets(rows)), offsets, err_msg=name)
        found = DenseState.fitted(objective, rows, LocalEngine(), order=3)
        bounds = [next(iter(state.candidates(None, LocalEngine(), 0))) for state in (found, plain)]
        assert np.linalg.norm(bounds[0].point - bounds[1].point) <= sum(each.distance_bound for each in bounds), name
        assert bounds[0].distance_bound < 1e-6, name
        np.testing.assert_allclose(found.statistics.hessian_sum, plain.statistics.hessian_sum, atol=1e-6, err_msg=name)


def test_rounding_of_large_offsets_is_charged():
    """A predictor is its offset and next to nothing else: it is rounded as its offset is."""
    objective, is_felt, rng = Objective(Poisson(), 1, fit_intercept=False, offset=True), False, np.random.default_rng(0)
    for x, offset in zip(rng.uniform(1e-3, 2e-3, size=200).tolist(), rng.uniform(150.0, 220.0, size=200).tolist(), strict=True):
        rows, w = Rows.of([[x, offset]], [0.0]), np.array([1.0])
        at = Evaluation(objective, rows, w)
        with mpmath.workdps(60):
            exact = mpmath.mpf(x) * mpmath.exp(mpmath.mpf(offset) + mpmath.mpf(x))
            error = float(abs(mpmath.mpf(float(at.gradient[0])) - exact))
        assert error <= at.gradient_error
        plain = Evaluation(replace(objective, offset=False), Rows.of([[x]], [0.0]), w)
        is_felt |= error / float(exact) > plain.gradient_error / float(plain.gradient[0])
    assert is_felt, "without the offset's own rounding some errors would be larger than the bound"


def test_models_of_several_predictors_have_none(rng):
    X = rng.normal(size=(60, 2))
    with pytest.raises(ValueError, match="softmax loss has 3 linear predictors, and an offset is added to one"):
        LogisticRegression(offset=True).fit(X, np.arange(60) % 3)
    with pytest.raises(ValueError, match="3 linear predictors"):
        Objective(Softmax(3), 2, offset=True)
    for model in (OrdinalClassifier(categories=("a", "b", "c"), offset=True), PiecewiseExponentialRegressor(offset=True)):
        with pytest.raises(ValueError, match=f"{type(model).__name__} makes several rows of each and takes no offset"):
            model.objective(3)
    with pytest.raises(ValueError, match="offset must be True or False"):
        Ridge().set_params(offset=1).fit(X, X[:, 0])
    with pytest.raises(
        InvalidRows, match="rows have 1 features, but the model has 2 features and an offset, which is the last"
    ):
        Objective(Logistic(), 2, offset=True).check(Rows.of(X, np.zeros(60)))


def test_the_null_model_has_it_too(rng):
    """A constant beside known log-odds: what the features add is measured against that."""
    X, offsets, y = people(rng, n=2000)
    found = LogisticRegression(sigma=0, offset=True).fit(np.column_stack([X, offsets]), y)
    scores = found.summary(np.column_stack([X, offsets]), y).scores
    constant = optimize.minimize_scalar(lambda b: np.logaddexp(0.0, np.where(y == 1, -1, 1) * (offsets + b)).mean())
    assert scores.null.loss == pytest.approx(constant.fun, rel=1e-6)
    noisy = LogisticRegression(excess_risk=0.001, offset=True).fit(np.column_stack([X, offsets]), y)
    cost = noisy.noise_cost(np.column_stack([X, offsets]), y)
    assert cost.null == pytest.approx(constant.fun, rel=0.05)
    assert 0.0 < cost.gain < cost.null


def test_a_pipeline_takes_it_from_a_column(rng):
    schema = FeatureSchema({"age": Number(0, 100), "plan": Category(("basic", "gold"))}, normalise=True)
    table = {"age": rng.uniform(0, 100, 400), "plan": rng.choice(["basic", "gold"], 400), "years": rng.uniform(0.5, 3.0, 400)}
    y = rng.poisson(table["years"] * 2.0)
    table["log years"] = np.log(table["years"])
    encoder = SchemaEncoder(schema, offset="log years")
    assert encoder.get_feature_names_out().tolist() == ["age", "plan=basic", "plan=gold", "log years"]
    encoded = encoder.fit_transform(table)
    np.testing.assert_array_equal(encoded[:, :-1], SchemaEncoder(schema).transform(table))
    np.testing.assert_array_equal(encoded[:, -1], table["log years"])
    np.testing.assert_array_equal(
        SchemaEncoder(schema, offset="log years", sparse_output=True).transform(table).toarray(), encoded
    )
    model = Pipeline([("encode", encoder), ("model", NegativeBinomialRegressor(dispersion=0.1, sigma=0, offset=True))])
    model.fit(table, y)
    first = {name: values[:1] for name, values in table.items()}
    assert model.forget(first, y[:1]).remaining == 399
    twice = {**first, "log years": first["log years"] + math.log(2.0)}
    assert model.predict(twice) == pytest.approx(2.0 * model.predict(first)), "twice as many in twice the time"
    for value, message in ((math.nan, "row 0 has no value in column 'log years', the offset"), (1e9, "row 0 has 1e\\+09")):
        with pytest.raises(InvalidRows, match=message):
            model.predict({**first, "log years": [value]})
    with pytest.raises(InvalidRows, match="column 'log years', the offset: row 0 is not a number"):
        model.predict({**first, "log years": ["long"]})
    with pytest.raises(InvalidRows, match="there is no column 'log years', the offset of the model"):
        model.predict({name: first[name] for name in ("age", "plan")})

"""Summaries of estimators: text and HTML with the released weights, the noise in each, and scores on rows that are given."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from expunge.data.schema import Category, FeatureSchema, Number
from expunge.errors import InvalidRows
from expunge.linear_model import LogisticRegression, PoissonRegressor, Ridge
from expunge.pipeline import Pipeline, SchemaEncoder
from tests.workspace.test_quality import tags_of


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (1500, 3))
    y = np.where(X[:, 0] + 0.5 * rng.logistic(size=1500) > 0, "yes", "no")
    return X, y


def test_it_shows_what_was_released(data):
    X, y = data
    model = LogisticRegression(epsilon=2.0, delta=1e-5).fit(pd.DataFrame(X, columns=["age", "<pay>", "days"]), y)
    model.forget(pd.DataFrame(X[:1], columns=["age", "<pay>", "days"]), y[:1])
    found = model.summary()
    assert found.scores is None and found.coefficients[0].name == "age"
    values = {each.name: each.value for each in found.coefficients}
    assert values == dict(zip(["age", "<pay>", "days", "intercept"], [*model.coef_[0], model.intercept_[0]], strict=True))
    text = str(found)
    assert "ε = 2, δ = 1e-05" in text and "shaped, excess risk 0.001" in text and "1,499" in text and "1 forgotten" in text
    assert "Do not publish it" in text and f"{model.coef_[0, 0]:.4g}" in text
    page = found._repr_html_()
    assert tags_of(page).tags == {"h4", "table", "thead", "tbody", "tr", "td", "th", "p"} and "&lt;pay&gt;" in page


@pytest.mark.parametrize("noise", [{"sigma": 0.07}, {"excess_risk": 0.01}])
def test_the_noise_of_each_coefficient_is_that_of_releases(data, noise):
    X, y = data
    model = LogisticRegression(**noise).fit(X, y)
    told = {each.name: each.noise for each in model.summary().coefficients}
    drawn = model.draw(2000).std(axis=0)
    np.testing.assert_allclose([told[name] for name in ("x0", "x1", "x2", "intercept")], drawn, rtol=0.1)


def test_scores_on_rows_that_are_given(data):
    X, y = data
    train, held = slice(0, 1000), slice(1000, None)
    model = LogisticRegression().fit(X[train], y[train])
    scores = model.summary(X[held], y[held]).scores
    assert scores.released.loss == pytest.approx(log_loss(y[held], model.predict_proba(X[held])))
    assert scores.released.accuracy == pytest.approx(model.score(X[held], y[held]))
    exact = LogisticRegression(sigma=0).fit(X[train], y[train])
    assert scores.noiseless.loss == pytest.approx(log_loss(y[held], exact.predict_proba(X[held])), abs=1e-8)
    share = np.mean(y[held] == "yes")
    assert scores.null.loss == pytest.approx(-share * np.log(share) - (1 - share) * np.log(1 - share))
    people = np.arange(500) // 2
    pairs = model.summary(X[held], y[held], subjects=people).scores
    assert pairs.people == 250 and pairs.rows == 500 and pairs.released.loss == scores.released.loss
    same = model.summary(np.repeat(X[held], 2, axis=0), np.repeat(y[held], 2), subjects=np.repeat(np.arange(500), 2)).scores
    assert same.released.error == pytest.approx(scores.released.error), "two rows of one person say no more than one"
    assert "mean loss" in str(model.summary(X[held], y[held])) and "<pre>" in model.summary(X[held], y[held])._repr_html_()
    with pytest.raises(InvalidRows):
        model.summary(X[held, :2], y[held])


def test_weights_count(data):
    X, y = data
    weight = np.random.default_rng(1).uniform(0.5, 2, 1500)
    model = LogisticRegression().fit(X, y, weight)
    scores = model.summary(X, y, weight).scores
    assert scores.released.loss == pytest.approx(log_loss(y, model.predict_proba(X), sample_weight=weight))
    assert scores.released.accuracy == pytest.approx(model.score(X, y, weight))
    assert scores.null.accuracy == pytest.approx(max(np.average(y == each, weights=weight) for each in ("yes", "no")))


def test_regressions_and_several_classes(data):
    X, _y = data
    rng = np.random.default_rng(2)
    counts = PoissonRegressor().fit(X, rng.poisson(np.exp(X[:, 0])))
    assert counts.summary().classes == () and "classes" not in counts.summary().facts
    assert Ridge(fit_intercept=False, sigma=0).fit(X, X[:, 0]).summary().coefficients[0].name == "x0"
    three = LogisticRegression(sigma=0).fit(X, rng.choice(["a", "b", "c"], 1500))
    names = [each.name for each in three.summary().coefficients]
    assert len(names) == 12 and {"a: x0", "b: x1", "c: intercept"} <= set(names)
    wide = Ridge(sigma=0).fit(rng.normal(size=(200, 40)), rng.normal(size=200))
    assert "… and 21 smaller ones" in str(wide.summary())


def test_a_pipeline_summarises_raw_rows(data):
    _X, _y = data
    schema = FeatureSchema({"age": Number(0, 100), "plan": Category(("basic", "gold"))}, normalise=False)
    rows = {"age": [float(i) for i in range(100)], "plan": ["basic", "gold"] * 50}
    model = Pipeline([("encode", SchemaEncoder(schema)), ("model", Ridge(sigma=0))]).fit(rows, np.arange(100.0))
    scores = model.summary(rows, np.arange(100.0)).scores
    assert scores.released.loss < 0.05 * scores.null.loss and scores.explained > 0.95

"""Families of models beyond scikit-learn's, weights of classes, and what is refused with its reason."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import QuantileRegressor
from sklearn.svm import SVC

from expunge.errors import InvalidRows
from expunge.linear_model import (
    LogisticRegression,
    NegativeBinomialRegressor,
    PoissonRegressor,
    Ridge,
    SmoothedHingeClassifier,
    SmoothedQuantileRegressor,
)


@pytest.fixture
def data(rng):
    X = rng.normal(size=(600, 4))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X, np.where(X[:, 0] + 0.3 * rng.logistic(size=600) > 0, "yes", "no")


WEIGHTED = {"no": 1.0, "yes": 3.0}


@pytest.mark.parametrize("model", [LogisticRegression(sigma=0), SmoothedHingeClassifier(sigma=0)], ids=repr)
def test_a_class_weight_is_a_weight_of_every_row_and_goes_with_it(model, data):
    X, y = data
    weights = np.array([WEIGHTED[label] for label in y])
    declared = clone(model).set_params(class_weight=WEIGHTED).fit(X, y)
    given = clone(model).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(declared.coef_, given.coef_, rtol=1e-9)
    certificate = declared.forget(X[:9], y[:9], remaining=(X[9:], y[9:]))
    assert certificate.remaining == weights[9:].sum()
    assert declared.true_distance(X[9:], y[9:]) <= certificate.distance_bound
    with pytest.raises(InvalidRows, match="fitted without weights"):
        declared.forget(X[9:10], y[9:10], sample_weight=[1.0])
    both = clone(declared).fit(X, y, sample_weight=np.full(600, 0.5))
    assert both.certificate_.remaining == 0.5 * weights.sum()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("balanced", "depends on everybody"),
        ("heavy", "must be a dict"),
        ({"maybe": 1.0}, "'maybe', which is none of the classes"),
        ({"yes": 0.0}, "class_weight of 'yes' must be between 1e-06 and 1e"),
    ],
)
def test_a_class_weight_that_cannot_be(weights, message, data):
    with pytest.raises(ValueError, match=message):
        LogisticRegression(class_weight=weights, sigma=0).fit(*data)


@pytest.mark.parametrize(
    ("make", "argument", "reason"),
    [
        (LogisticRegression, {"penalty": "l1"}, "has a corner at 0"),
        (LogisticRegression, {"l1_ratio": 0.5}, "has a corner at 0"),
        (LogisticRegression, {"solver": "saga"}, "what is left of the gradient is measured and charged"),
        (Ridge, {"positive": True}, "puts the optimum at an edge"),
        (PoissonRegressor, {"warm_start": True}, "keeps something of rows that were forgotten"),
    ],
)
def test_what_scikit_learn_has_and_no_certificate_can_cover_is_refused_with_its_reason(make, argument, reason):
    (name,) = argument
    for refused in (make, make().set_params):
        with pytest.raises(TypeError, match=f"{make.__name__} takes no {name}: .*{reason}"):
            refused(**argument)
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        make(colour="red")
    with pytest.raises(ValueError, match="Invalid parameter 'colour'"):
        make().set_params(colour="red")


def test_a_smoothed_hinge_knows_two_classes(data):
    X, y = data
    with pytest.raises(InvalidRows, match=r"Only binary classification .* OneVsRestClassifier"):
        SmoothedHingeClassifier().fit(X, np.arange(600) % 3)
    model = SmoothedHingeClassifier(scale=0.01, sigma=0).fit(X, y)
    twin = SVC(kernel="linear", tol=1e-6).fit(X, y)
    assert np.mean(model.predict(X) == twin.predict(X)) > 0.99, "near its corner it is the support vector machine"


def test_a_smoothed_quantile_has_its_share_of_targets_below(rng):
    X = rng.normal(size=(4000, 2)) / 2
    y = X @ [3.0, -1.0] + (1 + X[:, 0] ** 2) * rng.standard_t(4, size=4000)
    for quantile in (0.1, 0.5, 0.95):
        model = SmoothedQuantileRegressor(quantile=quantile, scale=0.05, alpha=0.01, sigma=0).fit(X, y)
        assert np.mean(y < model.predict(X)) == pytest.approx(quantile, abs=0.01)
        twin = QuantileRegressor(quantile=quantile, alpha=0).fit(X, y)
        np.testing.assert_allclose(model.coef_, twin.coef_, atol=0.15)
    far = SmoothedQuantileRegressor(quantile=0.9, scale=0.1, sigma=0, alpha=1e-3).fit(X, 1e4 * y + 1e6)  # flat at 0
    assert np.mean(1e4 * y + 1e6 < far.predict(X)) == pytest.approx(0.9, abs=0.01)


def test_a_negative_binomial_is_less_moved_by_large_counts_than_poisson(rng):
    X = rng.normal(size=(3000, 2)) / 2
    mean = np.exp(X @ [1.0, -0.5] + 1.0)
    y = rng.poisson(mean * rng.gamma(2.0, 0.5, size=3000)).astype(float)  # dispersion ½
    model = NegativeBinomialRegressor(dispersion=0.5, alpha=1e-6, sigma=0).fit(X, y)
    np.testing.assert_allclose(model.coef_, [1.0, -0.5], atol=0.1)
    near = NegativeBinomialRegressor(dispersion=1e-4, alpha=1e-6, sigma=0).fit(X, y)
    poisson = PoissonRegressor(alpha=1e-6, sigma=0).fit(X, y)
    np.testing.assert_allclose(near.coef_, poisson.coef_, atol=1e-3)
    slope = X.T @ ((model.predict(X) - y) / (1 + 0.5 * model.predict(X))) / 3000 + 1e-6 * model.coef_
    assert np.abs(slope).max() < 1e-9

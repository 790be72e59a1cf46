"""Expansions of rows: ordinal, survival and matched sets, each against its own likelihood, and forgetting through them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.base import clone

from expunge.errors import InvalidRows, NotLearned
from expunge.linear_model import LogisticRegression, OrdinalClassifier, PiecewiseExponentialRegressor
from expunge.linear_model.matched import matched_pairs
from expunge.problem.expansion import Made, Thresholds, TimesAtRisk
from expunge.problem.rows import Places, Rows
from tests.oracle import retrain

N = 500
GRADES = ["low", "middle", "high", "top"]
EXACT = OrdinalClassifier(categories=GRADES, sigma=0), PiecewiseExponentialRegressor(intervals=(0.5, 1.0, 2.0), sigma=0)


def graded(X, rng):
    latent = X @ [2.0, -1.0] + rng.logistic(size=len(X))
    return np.array(GRADES)[np.digitize(latent, [-1.0, 0.3, 1.5])]


def timed(X, rng):
    """Hazards of 0.4 up to time 1 and 1.2 after it, at x = 0; censored at random."""
    sum_of_hazards = rng.exponential(size=len(X)) / np.exp(X @ [1.0, -0.7])
    event = np.where(sum_of_hazards < 0.4, sum_of_hazards / 0.4, 1.0 + (sum_of_hazards - 0.4) / 1.2)
    censored = rng.exponential(3.0, size=len(X))
    return np.where(event <= censored, event, -censored)


@pytest.fixture
def X(rng):
    return rng.normal(size=(N, 2)) / 2


def targets(model, X, rng):
    return graded(X, rng) if isinstance(model, OrdinalClassifier) else timed(X, rng)


def negative_log_likelihood(model, X, y, w):
    """With the penalty, written down from the definitions."""
    coef, level = w[:2], np.concatenate([[0.0], w[2:-1]]) + w[-1]
    penalty = 0.5 * w[:-1] @ w[:-1]
    if isinstance(model, OrdinalClassifier):
        rank = np.array([GRADES.index(label) for label in y])
        above = (X @ coef)[:, None] + level
        return penalty + np.where(rank[:, None] > np.arange(3), np.logaddexp(0, -above), np.logaddexp(0, above)).sum()
    starts, ends = np.array([0.0, 0.5, 1.0, 2.0]), np.array([0.5, 1.0, 2.0, np.inf])
    at_risk = np.maximum(np.minimum(abs(y)[:, None], ends) - starts, 0.0)
    hazard = np.exp(X @ coef)[:, None] * np.exp(level)
    own = (abs(y)[:, None] > starts) & (abs(y)[:, None] <= ends) & (y > 0)[:, None]
    return penalty + (hazard * at_risk).sum() - np.log(hazard)[own].sum()


@pytest.mark.filterwarnings("error")
def test_a_row_is_made_into_one_for_each_level():
    rows = Rows.of([[1.0], [2.0], [3.0]], [0.0, 2.0, 1.0], sample_weight=[1.0, 4.0, 2.0], ids=["a", "b", "c"])
    made = Thresholds(3).rows(rows)
    assert made.X.tolist() == [[1.0, 0.0], [1.0, 1.0], [2.0, 0.0], [2.0, 1.0], [3.0, 0.0], [3.0, 1.0]]
    assert made.y.tolist() == [0.0, 0.0, 1.0, 1.0, 1.0, 0.0]
    assert made.weight.tolist() == [1.0, 1.0, 4.0, 4.0, 2.0, 2.0]
    assert made.ids is not None and list(made.ids) == [Made(name, k) for name in "abc" for k in (0, 1)]
    assert str(made.ids[1]) == "a at level 1"
    assert Thresholds(3).rows(rows, by_subject=True).ids == ["a", "a", "b", "b", "c", "c"]
    placed = replace(rows, ids=Places("file", np.array([4, 5, 6])))
    assert list(Thresholds(3).rows(placed).ids) == [f"{k} of file" for k in (4, 4, 5, 5, 6, 6)]
    seen = replace(rows, y=np.array([-2.0, 2.0, 5.0]))  # at the very end of an interval, and beyond all
    made = TimesAtRisk((2.0, 4.0)).rows(seen)
    assert made.X.tolist() == [[1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [3.0, 0.0, 0.0], [3.0, 1.0, 0.0], [3.0, 0.0, 1.0]]
    assert made.y.tolist() == [0.0, 0.5, 0.0, 0.0, 1.0]
    assert made.weight.tolist() == [2.0, 8.0, 4.0, 4.0, 2.0]
    assert TimesAtRisk(()).rows(replace(seen, sample_weight=None)).weight.tolist() == [2.0, 2.0, 5.0]


@pytest.mark.parametrize("model", EXACT, ids=repr)
def test_the_optimum_is_that_of_the_likelihood(model, X, rng):
    y = targets(model, X, rng)
    fitted = clone(model).fit(X, y)
    w = fitted.unlearner_._secret.point
    found = minimize(lambda w: negative_log_likelihood(model, X, y, w), np.zeros(len(w)), tol=1e-10)
    np.testing.assert_allclose(w, found.x, atol=2e-4)
    np.testing.assert_allclose(fitted.coef_[0], w[:2])
    np.testing.assert_allclose(fitted.intercept_, np.concatenate([[0.0], w[2:-1]]) + w[-1])
    loose = clone(model).fit(sparse.csr_array(X), y)
    np.testing.assert_allclose(loose.coef_, fitted.coef_, rtol=1e-9)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("model", EXACT, ids=repr)
def test_all_rows_of_a_person_go_together_and_every_rung_is_a_bound(model, order, X, rng):
    y, people = targets(model, X, rng), [f"p{i // 2}" for i in range(N)]
    everyone = np.arange(N)
    gone = np.isin(people, [f"p{i}" for i in rng.choice(N // 2, 12, replace=False)])
    for remaining in (None, (X[~gone], y[~gone], None, [people[i] for i in everyone[~gone]])):
        fitted = clone(model).set_params(order=order).fit(X, y, subjects=people)
        with pytest.raises(NotLearned):
            fitted.forget(X[gone], y[gone], ids=["p0x"] * int(gone.sum()), remaining=remaining)
        certificate = fitted.forget(X[gone], y[gone], ids=[people[i] for i in everyone[gone]], remaining=remaining)
        optimum, slack = retrain(
            fitted.unlearner_.objective,
            fitted.encoded(X[~gone], y[~gone], None, [people[i] for i in everyone[~gone]]),
            fitted.unlearner_._secret.point,
        )
        assert np.linalg.norm(fitted.unlearner_._secret.point - optimum) - slack <= certificate.distance_bound < 0.1
    expected = 3 * gone.sum() if isinstance(model, OrdinalClassifier) else np.searchsorted([0.5, 1.0, 2.0], abs(y[gone])).sum()
    assert certificate.n_forgotten == expected + (0 if isinstance(model, OrdinalClassifier) else gone.sum())


@pytest.mark.parametrize("model", EXACT, ids=repr)
def test_noise_names_and_weights(model, X, rng):
    y = targets(model, X, rng)
    noisy = clone(model).set_params(sigma=None).fit(X, y)
    assert (noisy.certificate_.noise, noisy.certificate_.excess_risk) == ("shaped", 0.001)
    assert noisy.forget(X[:3], y[:3], ids=["a", "b", "c"], remaining=(X[3:], y[3:])).epsilon_total <= 1.0
    declared = clone(model).set_params(sigma=None, noise="isotropic", row_norm=3.0, excess_risk=0.001)
    declared.classes_ = np.array(GRADES)
    isotropic, wide = declared.settings(2), clone(declared)
    wide.classes_ = declared.classes_
    wide = wide.set_params(row_norm=10.0**0.5).settings(2)
    assert isotropic.row_norm == pytest.approx(10**0.5), "the column of a level is 1"
    assert wide.row_norm == pytest.approx(11**0.5)
    weighted = clone(model).fit(X, y, sample_weight=np.full(N, 2.0))
    with pytest.raises(InvalidRows, match="fitted with weights"):
        weighted.forget(X[:1], y[:1])
    with pytest.raises(InvalidRows, match="fitted without weights"):
        clone(model).fit(X, y).forget(X[:1], y[:1], sample_weight=[2.0])
    with pytest.raises(ValueError, match="leave fit_intercept=True"):
        clone(model).set_params(fit_intercept=False).fit(X, y)
    published = noisy.to_sklearn()
    np.testing.assert_array_equal(published.predict(X), noisy.predict(X))
    assert type(published).__name__ in ("OrdinalScorer", "HazardScorer") and not hasattr(published, "_unlearner")


def test_classes_keep_their_order(X, rng):
    y = graded(X, rng)
    model = OrdinalClassifier(categories=GRADES, C=10.0, sigma=0).fit(X, y)
    assert model.classes_.tolist() == GRADES
    np.testing.assert_allclose(model.coef_[0], [2.0, -1.0], atol=0.5)
    np.testing.assert_allclose(model.intercept_, [1.0, -0.3, -1.5], atol=0.4)
    chances = model.predict_proba(X)
    above = expit((X @ model.coef_[0])[:, None] + model.intercept_)
    np.testing.assert_allclose(chances, np.column_stack([1 - above[:, 0], *(above[:, :-1] - above[:, 1:]).T, above[:, -1]]))
    assert model.score(X, y) == np.mean(model.predict(X) == y) > 0.4
    assert np.corrcoef(model.decision_function(X), X @ [2.0, -1.0])[0, 1] > 0.99
    numbers = OrdinalClassifier(C=10.0, sigma=0).fit(X, [GRADES.index(label) for label in y])
    np.testing.assert_allclose(numbers.coef_, model.coef_)
    heavy = OrdinalClassifier(categories=GRADES, class_weight={"top": 5.0}, sigma=0).fit(X, y)
    assert (heavy.predict(X) == "top").sum() > (model.predict(X) == "top").sum()
    noisy = OrdinalClassifier(categories=GRADES, sigma=3.0, C=1e-3)
    noisy.classes_ = model.classes_
    served = noisy._served(noisy.objective(2), np.array([0.0, 0.0, 5.0, -1.0, 0.0]))[1]
    assert np.asarray(served).tolist() == [5.0, 0.0, -1.0], "noise may change the order of cut-points: a release puts it right"


@pytest.mark.parametrize(
    ("categories", "error", "message"),
    [
        (None, InvalidRows, "no order of their own"),
        (["low", "middle", "high"], InvalidRows, "'top', which is none of the categories"),
        ([*GRADES, "best"], InvalidRows, "holds no 'best'"),
        ([*GRADES, "low"], ValueError, "categories must differ"),
    ],
)
def test_categories_that_cannot_be(categories, error, message, X, rng):
    with pytest.raises(error, match=message):
        OrdinalClassifier(categories=categories, sigma=0).fit(X, graded(X, rng))


def test_survival_of_a_model_that_is_known(rng):
    X = rng.normal(size=(20_000, 2)) / 2
    y = timed(X, rng)
    model = PiecewiseExponentialRegressor(intervals=(1.0,), alpha=1e-3, sigma=0).fit(X, y)
    np.testing.assert_allclose(model.coef_[0], [1.0, -0.7], atol=0.06)
    np.testing.assert_allclose(np.exp(model.intercept_), [0.4, 1.2], rtol=0.06)
    np.testing.assert_allclose(model.predict(X), np.exp(X @ model.coef_[0]))
    curve = model.predict_survival(X[:1], [0.0, 1.0, 2.0])[0]
    hazards, ratio = np.exp(model.intercept_), model.predict(X[:1])[0]
    np.testing.assert_allclose(curve, [1.0, np.exp(-ratio * hazards[0]), np.exp(-ratio * hazards.sum())])
    minutes = PiecewiseExponentialRegressor(intervals=(60.0,), alpha=1e-3, sigma=0).fit(X, 60.0 * y)
    np.testing.assert_allclose(minutes.coef_, model.coef_, atol=1e-5)


@pytest.mark.parametrize("intervals", [(0.0, 1.0), (2.0, 1.0), (1.0, np.inf)])
def test_intervals_that_cannot_be(intervals, X):
    with pytest.raises(ValueError, match="intervals must be finite times above 0 that rise"):
        PiecewiseExponentialRegressor(intervals=intervals).fit(X, np.ones(N))
    with pytest.raises(InvalidRows, match="y of row 0 is 0: a time must be above 0"):
        PiecewiseExponentialRegressor().fit(X, np.zeros(N))


def test_matched_sets_are_conditional_logit_and_a_stratum_goes_as_one(rng):
    truth, n = np.array([1.0, -0.5]), 1200
    X = rng.normal(size=(n, 4, 2)) + rng.normal(size=(n, 1, 2))
    chosen = (X @ truth + rng.gumbel(size=(n, 4))).argmax(axis=1)
    y, strata = (chosen[:, None] == np.arange(4)).astype(float), np.repeat(np.arange(n), 4).astype(str).reshape(n, 4)
    pairs, sides, owners = matched_pairs(X.reshape(-1, 2), y.ravel(), strata.ravel().tolist())
    assert len(pairs) == 3 * n and 0.2 < sides.mean() < 0.8
    model = LogisticRegression(fit_intercept=False, C=1e4, sigma=0).fit(pairs, sides, subjects=owners)
    exact = minimize(lambda w: -np.sum((X @ w)[y == 1] - np.logaddexp.reduce(X @ w, axis=1)), np.zeros(2)).x
    np.testing.assert_allclose(model.coef_[0], exact, atol=0.1)
    two, sides_of_two, _ = matched_pairs(X[:, :2].reshape(-1, 2), y[:, :2].ravel(), strata[:, :2].ravel().tolist())
    first = LogisticRegression(fit_intercept=False, C=1e4, sigma=0).fit(two, sides_of_two)
    is_case = y[:, :2].any(axis=1)
    own = X[is_case, :2]
    margin = np.where(y[is_case, 0] == 1, 1.0, -1.0)[:, None] * (own[:, 0] - own[:, 1])
    conditional = minimize(lambda w: np.logaddexp(0, -margin @ w).sum() + 0.5e-4 * w @ w, np.zeros(2)).x
    np.testing.assert_allclose(first.coef_[0], conditional, atol=1e-4)
    gone = np.array(owners) == "7"
    certificate = model.forget(pairs[gone], sides[gone], ids=["7"] * 3)
    assert model.true_distance(pairs[~gone], sides[~gone], None) <= certificate.distance_bound
    with pytest.raises(InvalidRows, match="no stratum holds both"):
        matched_pairs(X[:, 0], y[:, 0], strata[:, 0].tolist())
    with pytest.raises(InvalidRows, match="y of row 1 is 2: it must be 1 for a case"):
        matched_pairs([[1.0], [2.0]], [0, 2], ["a", "a"])


def test_pairs_are_differences_with_the_first_that_is_not_0_above_it():
    """Which side a pair is turned to hangs on the pair alone: on the sign of its first difference."""
    X = [[1.0, 5.0], [1.0, 3.0], [2.0, 0.0], [4.0, 0.0], [0.5, 0.0], [0.25, 9.0], [7.0, 7.0], [7.0, 7.0]]
    y, strata = [1, 0, 1, 0, 1, 0, 1, 0], ["a", "a", "b", "b", "c", "c", "d", "d"]
    pairs, sides, owners = matched_pairs(X, y, strata)
    assert pairs.tolist() == [[0.0, 2.0], [2.0, 0.0], [0.25, -9.0], [0.0, 0.0]]
    assert sides.tolist() == [1.0, 0.0, 1.0, 1.0] and owners == ["a", "b", "c", "d"]
    turned, others, _ = matched_pairs(X, [1 - each for each in y], strata)
    assert turned.tolist() == pairs.tolist() and others.tolist() == [0.0, 1.0, 0.0, 1.0]

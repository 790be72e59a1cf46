"""Judges of ordinal and survival models: each measure against its definition, written down again."""

import numpy as np
import pandas as pd
import pytest

from expunge.linear_model import OrdinalClassifier, PiecewiseExponentialRegressor
from expunge.linear_model.time_scores import brier, concordance, kaplan_meier, lasting
from tests.test_expansion import GRADES, graded, timed


def test_kaplan_meier_is_the_product_over_events(rng):
    times, came, weight = rng.integers(1, 9, 60).astype(float), rng.random(60) < 0.6, np.ones(60)
    for at in (0.5, 3.0, 7.5):
        moments = [t for t in np.unique(times[came]) if t <= at]
        product = np.prod([1 - (came & (times == t)).sum() / (times >= t).sum() for t in moments])
        share, error = lasting(times, came, weight, at)
        assert share == pytest.approx(product)
        greenwood = sum(
            (came & (times == t)).sum() / (times >= t).sum() / max(1, (times >= t).sum() - (came & (times == t)).sum())
            for t in moments
        )
        assert error == pytest.approx(product * np.sqrt(greenwood))
    assert (
        kaplan_meier(times, came, weight, np.array([3.0]), before=True)[0]
        > kaplan_meier(times, came, weight, np.array([3.0]))[0]
    )
    assert kaplan_meier(times, came, 2.0 * weight, times).tolist() == kaplan_meier(times, came, weight, times).tolist()
    assert lasting(np.array([1.0, 2.0]), np.array([True, True]), np.ones(2), 2.0) == (0.0, 0.0)


def test_rows_cut_off_are_made_up_for(rng):
    """The Brier score of rows some of which are cut off is about that of the same rows followed to the end."""
    ends, cut = rng.exponential(2.0, 40_000), rng.exponential(4.0, 40_000)
    lasts, weight = rng.uniform(0.2, 0.8, 40_000), np.ones(40_000)
    whole = brier(lasts, ends, np.ones(40_000, dtype=bool), weight, 1.5)
    assert whole == pytest.approx(np.mean((lasts - (ends > 1.5)) ** 2))
    assert brier(lasts, np.minimum(ends, cut), ends <= cut, weight, 1.5) == pytest.approx(whole, abs=0.005)


def test_pairs_count_by_weight_and_only_where_it_is_known_who_came_first():
    risk, times = np.array([1.0, 3.0, 2.0, 2.0]), np.array([5.0, 1.0, 2.0, 2.0])
    came = np.array([False, True, True, False])
    assert concordance(risk, times, came, np.ones(4)) == 1.0  # both of the second come first, and the third beats the first
    assert concordance(-risk, times, came, np.ones(4)) == 0.0
    assert concordance(risk, times, np.zeros(4, dtype=bool), np.ones(4)) == 0.5
    assert concordance(
        np.array([1.0, 2.0, 0.0]), np.array([1.0, 2.0, 3.0]), np.array([True, True, True]), np.array([1.0, 4.0, 2.0])
    ) == (pytest.approx(10 / 14))


def test_a_loss_does_not_depend_on_the_unit_of_time_and_is_least_for_the_truth(rng):
    X = rng.normal(size=(1500, 2)) / 2
    y = timed(X, rng)
    days = PiecewiseExponentialRegressor(intervals=(1.0,), alpha=1e-6, sigma=0).fit(X, y)
    hours = PiecewiseExponentialRegressor(intervals=(24.0,), alpha=1e-6, sigma=0).fit(X, 24.0 * y)
    ours, theirs = days.summary(X, y).scores, hours.summary(X, 24.0 * y).scores
    assert ours.noiseless.loss == pytest.approx(theirs.noiseless.loss, abs=1e-6)
    assert ours.noiseless.measures["concordance"] == pytest.approx(theirs.noiseless.measures["concordance"], abs=1e-4)
    assert ours.noiseless.measures["Brier at 1"] == pytest.approx(theirs.noiseless.measures["Brier at 24"], abs=1e-6)
    events, at_risk = np.array([(y > 0) & (abs(y) <= 1), (y > 0) & (abs(y) > 1)]).sum(axis=1), abs(y)
    hazards = events / [np.minimum(at_risk, 1).sum(), np.maximum(at_risk - 1, 0).sum()]
    null = np.minimum(at_risk, 1) * hazards[0] + np.maximum(at_risk - 1, 0) * hazards[1]
    null -= np.where(y > 0, np.log(np.where(at_risk <= 1, *hazards)), 0)
    assert -ours.null.measures["log-likelihood"] == pytest.approx(null.mean(), abs=1e-5), "events per time at risk"
    judge = days.judge(days._given(X, y))
    w = days.unlearner_._secret.point
    base = judge.losses(w).mean()
    for step in 0.05 * np.vstack([np.eye(4), -np.eye(4)]):
        assert judge.losses(w + step).mean() > base


def test_summaries_judge_people_rows_and_name_levels(rng):
    X = pd.DataFrame(rng.normal(size=(600, 2)) / 2, columns=["a", "b"])
    y = graded(X.to_numpy(), rng)
    model = OrdinalClassifier(categories=GRADES, sigma=0).fit(X, y)
    found = model.summary(X, y, subjects=np.arange(600) // 2)
    assert (found.scores.rows, found.scores.people) == (600, 300)
    assert {each.name for each in found.coefficients} == {"a", "b", "more than middle", "more than high", "intercept"}
    chances = model.predict_proba(X)
    codes = np.array([GRADES.index(label) for label in y])
    assert found.scores.noiseless.loss == pytest.approx(-np.log(chances[np.arange(600), codes]).mean(), rel=1e-9)
    assert found.scores.released.accuracy == pytest.approx(model.score(X, y)) and "ranked probability" in str(found)
    heavy = OrdinalClassifier(categories=GRADES, class_weight={"top": 5.0}, sigma=0).fit(X, y)
    weight = np.where(y == "top", 5.0, 1.0)
    scores = heavy.summary(X, y).scores
    assert scores.released.accuracy == pytest.approx(heavy.score(X, y, weight))
    jumbled = OrdinalClassifier(categories=GRADES, sigma=3.0, C=1e-3)
    jumbled.classes_ = model.classes_
    with np.errstate(over="raise"):
        assert np.isfinite(jumbled.judge(model._given(X, y)).losses(np.array([900.0, 0.0, 5.0, -1.0, 0.0]))).all()
    times = PiecewiseExponentialRegressor(intervals=(0.5,), sigma=0).fit(X, timed(X.to_numpy(), rng))
    assert "from 0.5 on" in {each.name for each in times.summary().coefficients}

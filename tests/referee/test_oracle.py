"""The referee's oracle, judged itself: closed forms, an independent implementation, and proofs that must fail."""

import math
from dataclasses import replace

import numpy as np
import pytest
from flint import arb, ctx

from tests.oracle import retrain
from tests.referee.accounts import delta_of
from tests.referee.cases import FORMS, case, represented
from tests.referee.oracle import Model, _proved, _Rows, norm, optimum


def within(ball: arb, target: arb) -> bool:
    return abs(ball - target).upper() < arb(2) ** -100


@pytest.mark.parametrize("loss", ["logistic", "squared", "poisson", "gamma", "tweedie", "softmax"])
def test_the_optimum_of_a_constant_is_the_closed_form(loss):
    """One intercept alone: the mean, its logarithm, or the log-odds."""
    model = Model(loss, 0, 0.0, "sum", True, {"tweedie": 1.5, "softmax": 3.0}.get(loss, 0.0))
    y = np.array([1.0, 0.0, 0.0, 2.0] if loss == "softmax" else [1.0, 1.0, 0.0, 1.0] if loss == "logistic" else [1.0, 2.0, 4.0])
    found = optimum(model, np.empty((len(y), 0)), y)
    with ctx.workprec(320):
        mean = arb(7) / 3
        wanted = {
            "logistic": [arb(3).log()],
            "squared": [mean],
            "poisson": [mean.log()],
            "gamma": [mean.log()],
            "tweedie": [mean.log()],
            "softmax": [2 * arb(2).log() / 3, -arb(2).log() / 3, -arb(2).log() / 3],
        }[loss]
        assert all(within(a, b) for a, b in zip(found.enclosure, wanted, strict=True))


def test_the_ridge_and_the_mean_form_are_the_closed_forms():
    X, y, weight = np.array([[1.0], [2.0]]), np.array([1.0, 3.0]), np.array([1.0, 3.0])
    with ctx.workprec(320):
        summed = optimum(Model("squared", 1, 2.0, "sum", False), X, y, weight).enclosure[0]
        assert within(summed, arb(1 + 3 * 6) / (1 + 3 * 4 + 2))
        meant = optimum(Model("squared", 1, 0.5, "mean", False), X, y, weight).enclosure[0]
        assert within(meant, arb(19) / (13 + 2))


@pytest.mark.parametrize("seed", [*range(11), 55, 56, 57])
def test_it_agrees_with_the_80_bit_oracle(seed):
    given = case(seed, tame=True)
    found = given.optimum(np.arange(len(given.y)))
    other = retrain(given.objective, given.rows(np.arange(len(given.y))), np.zeros(given.model.size))
    assert float(found.distance(other[0])) <= 1e-13 * (1 + np.linalg.norm(other[0])) + 2 * other[1]


def test_where_there_is_no_optimum_there_is_none():
    separable = np.array([[-1.0], [1.0]]), np.array([0.0, 1.0])
    assert optimum(Model("logistic", 1, 0.0, "sum", False), *separable) is None
    assert optimum(Model("poisson", 1, 0.0, "sum", False), np.ones((2, 1)), np.zeros(2)) is None


def test_a_point_that_is_no_optimum_is_not_proved_to_be_one():
    given = case(0, tame=True)
    rows = _Rows.of(given.model, given.X, given.y, given.weights)
    with ctx.workprec(320):
        far = [v + 1 for v in given.optimum(np.arange(len(given.y))).point]
        assert _proved(given.model, rows, far) is None


def test_a_hint_changes_nothing():
    given = case(7, tame=True)
    everyone = np.arange(len(given.y))
    a, b = given.optimum(everyone), given.optimum(everyone, np.full(given.model.size, 0.1))
    assert float(norm([x - y for x, y in zip(a.enclosure, b.enclosure, strict=True)])) < 1e-30


@pytest.mark.parametrize("form", FORMS)
def test_every_representation_has_the_same_values(form, rng):
    X = rng.normal(size=(9, 4)) * (rng.random((9, 4)) < 0.6)
    given = represented(X, form, rng)
    np.testing.assert_array_equal(given.toarray() if hasattr(given, "toarray") else np.array(given), X)


def test_the_duplicates_are_duplicates(rng):
    assert represented(rng.normal(size=(9, 4)), "csr_duplicates", rng).nnz == 2 * 36


def test_delta_is_the_formula_of_theory_5_1():
    def normal(x):
        return 0.5 * math.erfc(-x / math.sqrt(2))

    assert float(delta_of(0.5, 1.0)) == pytest.approx(normal(0.25 - 2) - math.e * normal(-0.25 - 2), rel=1e-12)
    assert float(delta_of(0.0, 1.0)) == 0.0


def test_rows_without_weight_are_no_rows():
    given = case(0, tame=True)
    weight = np.ones(len(given.y))
    weight[3] = 0.0
    without = np.delete(np.arange(len(given.y)), 3)
    a = replace(given, weight=weight).optimum(np.arange(len(given.y)))
    assert float(norm([x - y for x, y in zip(a.enclosure, given.optimum(without).enclosure, strict=True)])) < 1e-60

"""The gain of Lemma 6 against its formula, and against what it bounds. Theory §4.7."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.engine.local import LocalEngine
from expunge.numerics.factor import Factor, Hessian, inverse_error
from expunge.problem.arrays import norm
from expunge.problem.losses import Poisson, Squared
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.bounds import ROUND_UP
from expunge.unlearning.dense import DenseState
from expunge.unlearning.remainder import Remainder
from tests.test_evaluation import by_hand_gamma

U = 2.0**-53


def remainder(matrix, inverse, hessian_sum, error=0.0, *, by_rows=1.0, beyond=0.0, growth=1.0) -> Remainder:
    operator = Hessian(Objective(Squared(), len(matrix), 0.0, fit_intercept=False), np.asarray(matrix), 1.0)
    return Remainder(operator, Factor(np.asarray(inverse)), np.asarray(hessian_sum), error, growth, by_rows, beyond)


def by_hand(of: Remainder, metric: np.ndarray | None) -> float:
    """√(λ + slack) + what the inexact inverse leaves, term by term as in theory §4.7."""
    p, G, S = len(of.hessian_sum), of.factor.inverse, of.hessian_sum
    eta, extent = inverse_error(of.operator, of.factor), norm(S) + of.error
    through = G if metric is None else metric.T @ G
    product = through @ S @ through.T
    charged = [
        by_hand_gamma(4 * p + 16) * extent * norm(through) ** 2,  # the products
        of.error * norm(through) ** 2,
        8.0 * p * U * norm(product),  # the eigenvalues
    ]
    inexact = norm(through) * eta / (1.0 - eta)
    if metric is not None:
        inexact += by_hand_gamma(p) * norm(metric) * norm(G)
    top = max(0.0, float(np.linalg.eigvalsh(0.5 * (product + product.T))[-1]))
    return (math.sqrt(top + sum(charged)) + inexact * math.sqrt(extent)) * ROUND_UP


def problems(seed: int, off: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """M, an inverse that is ``off`` by that share, S and L, each in a basis of its own."""
    rng = np.random.default_rng(seed)
    p = int(rng.integers(2, 6))
    A, B, C = (rng.normal(size=(p, p)) for _ in range(3))
    M = A @ A.T + 0.3 * np.eye(p)
    away = rng.normal(size=(p, p))
    root = np.linalg.cholesky(np.linalg.inv(M))
    inverse = root @ (np.eye(p) + off * (away + away.T) / norm(away + away.T)) @ root.T
    return M, 0.5 * (inverse + inverse.T), B[:, : p - 1] @ B[:, : p - 1].T, np.linalg.cholesky(C @ C.T + 0.1 * np.eye(p))


@given(seed=st.integers(0, 2**32 - 1), off=st.sampled_from([0.0, 1e-3, 0.1]))
def test_no_vector_of_the_rows_goes_farther_than_the_gain(seed, off):
    M, inverse, S, L = problems(seed, off)
    rng = np.random.default_rng(seed)
    error = float(rng.choice([0.0, 1e-3, 0.5]))
    away = rng.normal(size=S.shape)
    away = (away + away.T) / np.linalg.norm(away + away.T, 2)
    values, vectors = np.linalg.eigh(S + error * away)  # what S may be, once all that is not positive is taken off
    half = vectors * np.sqrt(np.maximum(values, 0.0))
    of = remainder(M, inverse, S, error)
    for metric in (None, L):
        through = np.linalg.inv(M) if metric is None else metric.T @ np.linalg.inv(M)
        true = float(np.linalg.norm(through @ half, 2))
        assert true <= of.distance(metric, 1.0) * (1 + 1e-9)
        if off == error == 0.0:
            assert of.distance(metric, 1.0) <= true * (1 + 1e-5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("off", [0.0, 0.2])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_is_charged_beside_the_gain(seed, off, sign):
    """To twelve digits; with S below 0, as rounding can leave it, the charges are all that there is."""
    M, inverse, S, L = problems(seed, off)
    of = remainder(M, inverse, sign * S, 1e-15)
    for metric in (None, L):
        assert of.distance(metric, 1.0) == pytest.approx(by_hand(of, metric) * ROUND_UP, rel=1e-13, abs=0.0)


def test_the_distance_is_that_of_the_rows_and_of_what_rounding_left():
    M, inverse, S, L = problems(0)
    of = remainder(M, inverse, S, by_rows=0.3, beyond=0.7, growth=3.0)
    for metric in (None, L, None, 2.0 * L):  # and each metric has its own
        wanted = by_hand(of, metric) * 0.3 + math.sqrt(5.0) * 3.0 * 0.7
        assert of.distance(metric, 5.0) == pytest.approx(wanted * ROUND_UP, rel=1e-13, abs=0.0)
    assert of.distance(None, math.nan) == math.inf
    assert "_gains" not in repr(of)


def test_no_distance_is_known_where_the_inverse_is_none_or_a_sum_overflows():
    M, inverse, S, L = problems(1)
    assert remainder(M, 3.0 * inverse, S).distance(None, 1.0) == math.inf
    assert remainder(M, inverse, 1e300 * S).distance(1e10 * L, 1.0) == math.inf
    assert remainder(M, inverse, np.full_like(S, math.inf)).distance(None, 1.0) == math.inf
    known = remainder(M, inverse, S)
    assert known.distance(None, 1.0) < math.inf
    assert replace(known, error=math.inf, _gains=[]).distance(None, 1.0) == math.inf


@pytest.mark.parametrize("order", [2, 3])
def test_the_curvature_between_model_and_optimum_is_charged(order):
    """Of a hundred counts of mean 1 those of ten go, four each: the model moves to -1/3, the optimum to log 2/3, where the rows
    curve less. What a Taylor polynomial leaves of the gradient is 0.062 at the model, and the optimum 0.072 away."""
    y = np.r_[np.full(10, 4.0), np.full(60, 1.0), np.zeros(30)]
    rows = Rows.of(np.ones((100, 1)), y, ids=range(100))
    objective = Objective(Poisson(), 1, 1e-9, fit_intercept=False)
    state = DenseState.fitted(objective, rows, LocalEngine(), order=order).removed(rows.take(range(10)))
    found = [each for each in state.candidates(None, LocalEngine(), 0) if each.remainder is not None]
    assert found
    for each in found:
        assert each.remainder is not None
        bound = each.remainder.distance(None, 1.0 / state.geometry.mu)
        away = abs(float(each.point[0]) - math.log(2 / 3))
        assert away <= bound < 4.0 * away

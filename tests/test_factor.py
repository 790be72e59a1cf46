"""Solving with the Hessian: the residual that is returned bounds the one that is left; s is never too small."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.errors import NoOptimum
from expunge.numerics.factor import Exchange, Factor, Hessian, eigenvalue_floor, inverse_error
from expunge.problem.losses import Squared
from expunge.problem.objective import Objective
from tests.oracle import L

seeds = st.integers(0, 2**32 - 1)


def hessian(rng, p, log10_condition, penalty=0.0):
    orthogonal, _ = np.linalg.qr(rng.normal(size=(p, p)))
    values = 10.0 ** -np.linspace(0, log10_condition, p)
    return Hessian(Objective(Squared(), p, penalty, fit_intercept=False), (orthogonal * values) @ orthogonal.T, 1.0)


def drifted(factor, rng, size):
    noise = rng.normal(size=factor.inverse.shape)
    return Factor(factor.inverse + size * np.linalg.norm(factor.inverse) * (noise + noise.T))


@given(seed=seeds, p=st.integers(1, 12), condition=st.floats(0, 12), drift=st.sampled_from([0.0, 1e-12, 1e-6, 1e-3]))
def test_the_residual_returned_bounds_the_one_left(seed, p, condition, drift):
    rng = np.random.default_rng(seed)
    H = hessian(rng, p, condition, penalty=10.0 ** rng.uniform(-12, 0))
    factor = drifted(Factor.of(H), rng, drift)
    for target in (rng.normal(size=p), rng.normal(size=(p, 3))):
        x, product, residual = factor.solve(H, target)
        exact = H.dense().astype(L) @ x.astype(L)
        assert float(np.linalg.norm((exact - target).astype(float))) <= residual
        assert float(np.linalg.norm((exact - product).astype(float))) <= residual + 1e-15


@given(seed=seeds, p=st.integers(1, 10), m=st.integers(1, 25), condition=st.floats(0, 9), share=st.floats(1e-6, 1 - 1e-6))
def test_top_whitened_curvature_is_an_upper_bound(seed, p, m, condition, share):
    rng = np.random.default_rng(seed)
    H = hessian(rng, p, condition)
    root = rng.normal(size=(m, p)) @ np.linalg.cholesky(H.dense()).T
    root *= math.sqrt(share) / np.linalg.norm(np.linalg.solve(np.linalg.cholesky(H.dense()), root.T), 2)
    exchange = Exchange.of(H, Factor.of(H), root)
    s = exchange.top_whitened_curvature(eigenvalue_floor(H))
    assert share * (1 - 1e-6) <= s
    if condition < 3:
        assert s <= share * (1 + 1e-6) + 1e-9


@given(seed=seeds, p=st.integers(1, 8), n=st.integers(1, 12), K=st.integers(1, 3), condition=st.floats(0, 9))
def test_own_curvature_is_a_lower_bound_however_bad_the_inverse(seed, p, n, K, condition):
    """Above 1 it refuses a row as never learned: a row that was learned must not be refused because the inverse drifted."""
    rng = np.random.default_rng(seed)
    H = hessian(rng, p, condition)
    root = rng.normal(size=(n * K, p)) * 10.0 ** rng.uniform(-6, 0)
    factor = drifted(Factor.of(H), rng, 10.0 ** rng.uniform(-12, -1))
    claimed = Exchange.of(H, factor, root).own_curvature(K)
    blocks = root.reshape(n, K, p)
    true = [np.linalg.norm(np.linalg.solve(np.linalg.cholesky(H.dense()), block.T), 2) ** 2 for block in blocks]
    assert (claimed <= np.array(true) * (1 + 1e-5) + 1e-300).all()


@given(seed=seeds, p=st.integers(1, 10), m=st.integers(1, 25), sign=st.sampled_from([1.0, -1.0]))
def test_exchanged_is_the_inverse_after_the_exchange(seed, p, m, sign):
    rng = np.random.default_rng(seed)
    H = hessian(rng, p, 1.0)
    root = rng.normal(size=(m, p))
    root *= 0.2 / np.linalg.norm(root, 2)
    after = Hessian(H.objective, H.sum + sign * root.T @ root, 1.0)
    factor = Exchange.of(H, Factor.of(H), root).exchanged(after, sign)
    np.testing.assert_allclose(factor.inverse @ after.dense(), np.eye(p), atol=1e-9)
    assert inverse_error(after, factor) < 1e-9


@pytest.mark.parametrize("m", [1, 20])
def test_an_exchange_that_leaves_nothing_keeps_the_old_factor(m, rng):
    H = hessian(rng, 5, 1.0)
    root = 3.0 * rng.normal(size=(m, 5))
    after = Hessian(H.objective, H.sum - root.T @ root, 1.0)
    factor = Factor.of(H)
    exchange = Exchange.of(H, factor, root)
    assert exchange.exchanged(after, -1.0) is factor
    assert exchange.top_whitened_curvature(eigenvalue_floor(H)) > 1


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_own_curvature_is_the_same_for_few_and_for_many_rows(n_outputs, rng):
    H = hessian(rng, 12, 1.0)
    root = rng.normal(size=(18, 12))
    few = np.concatenate([Exchange.of(H, Factor.of(H), part).own_curvature(n_outputs) for part in np.split(root, 3)])
    many = Exchange.of(H, Factor.of(H), root).own_curvature(n_outputs)
    np.testing.assert_allclose(few, many)


@given(seed=seeds, p=st.integers(1, 12), condition=st.floats(0, 18))
def test_the_eigenvalue_floor_is_below_the_smallest_eigenvalue(seed, p, condition):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(3 * p, p)) * 10.0 ** -np.linspace(0, condition / 2, p)
    H = Hessian(Objective(Squared(), p, 0.0, fit_intercept=False), X.T @ X, 1.0)
    smallest = min(np.linalg.norm(X @ v) ** 2 for v in np.vstack([np.linalg.svd(X)[2], np.eye(p)]))
    assert 0 <= eigenvalue_floor(H) <= smallest


def test_what_cannot_be_factorised_fails_closed():
    singular = Hessian(Objective(Squared(), 2, 0.0, fit_intercept=False), np.ones((2, 2)), 1.0)
    assert eigenvalue_floor(singular) == 0.0
    with pytest.raises(NoOptimum, match="singular"):
        Factor.of(singular)
    infinite = Hessian(singular.objective, np.full((2, 2), np.inf), 1.0)
    assert eigenvalue_floor(infinite) == 0.0
    with pytest.raises(NoOptimum, match="not finite"):
        Factor.of(infinite)
    assert inverse_error(singular, Factor(np.eye(2))) == math.inf
    indefinite = Factor(-np.eye(2))
    regular = Hessian(singular.objective, np.eye(2), 1.0)
    assert Exchange(regular, indefinite, np.ones((3, 2)), np.ones((2, 3)), 0.0).top_whitened_curvature(1.0) == math.inf

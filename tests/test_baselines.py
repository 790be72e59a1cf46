"""Baselines: each against its own paper's mathematics, and each claim where it is made."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from benchmarks import baselines
from benchmarks.baselines import (
    CertifiedRemoval,
    DescentToDelete,
    InfluenceFunction,
    OutputPerturbation,
    ProjectiveResidualUpdate,
    RetrainCold,
    RetrainWarm,
    Sisa,
    StoredVectors,
)
from expunge.errors import CapacityExceeded, InvalidRows, NotLearned
from expunge.privacy import Guarantee
from expunge.problem.losses import Logistic, Poisson, PseudoHuber, Softmax, Squared
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows

GUARANTEE = Guarantee(1.0, 1e-5)
seeds = st.integers(0, 2**32 - 1)


def problem(loss, seed=0, n=120, d=4, penalty=1.0, container=np.asarray):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * rng.uniform(0.2, 1.5)
    t = X @ rng.normal(size=d)
    y = (t > rng.logistic(size=n)).astype(float) if loss.classes else t + rng.standard_t(3, size=n)
    return Objective(loss, d, penalty, fit_intercept=False), Rows.of(container(X), y)


def retrained(objective, rows, gone):
    return RetrainCold(objective).fit(rows.take(np.setdiff1d(np.arange(len(rows)), gone))).weights


def no_noise(weights, _sigma):
    return weights


def everyone(objective):
    noise = np.random.default_rng(0)

    def draw(weights, sigma):
        return weights + sigma * noise.standard_normal(len(weights))

    yield RetrainCold(objective)
    yield RetrainWarm(objective)
    yield InfluenceFunction(objective)
    yield ProjectiveResidualUpdate(objective)
    yield Sisa(objective, 3)
    yield StoredVectors(objective)
    yield OutputPerturbation(objective, GUARANTEE, 50, 20.0, draw)
    yield CertifiedRemoval(objective, GUARANTEE, 10.0, draw)
    yield DescentToDelete(objective, GUARANTEE, 1.0, draw)


def test_every_baseline_is_here():
    objective, _rows = problem(Logistic())
    assert {type(b).__name__ for b in everyone(objective)} | {"Baseline", "Claims"} == set(baselines.__all__)


@pytest.mark.parametrize("index", range(9))
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_the_protocol(index, container):
    objective, rows = problem(Logistic(), container=container)
    method = list(everyone(objective))[index].fit(rows)
    before = method.weights.copy()
    assert method.forget(np.array([3, 5])) is method
    assert method.weights.shape == before.shape == (4,)
    claims = method.claims()
    assert claims.bytes_kept > 0
    assert claims.source
    assert claims.kind in ("exact", "certified", "none")
    assert (claims.epsilon < np.inf) == (claims.kind == "certified")
    for bad in ([3], [120], [-1], [7, 7]):
        with pytest.raises(NotLearned):
            method.forget(np.array(bad))
    with pytest.raises(InvalidRows, match="at least one must remain"):
        method.forget(np.setdiff1d(np.arange(120), [3, 5]))


@pytest.mark.parametrize("loss", [Logistic(), Squared(), PseudoHuber(1.0)], ids=repr)
@settings(max_examples=20)
@given(seed=seeds, m=st.integers(1, 30))
def test_exact_methods_agree_with_retraining(loss, seed, m):
    objective, rows = problem(loss, seed)
    gone = np.random.default_rng(seed).permutation(len(rows))[:m]
    truth = retrained(objective, rows, gone)
    for method in (RetrainCold(objective), RetrainWarm(objective)):
        np.testing.assert_allclose(method.fit(rows).forget(gone).weights, truth, atol=1e-8)
    shards = Sisa(objective, 4).fit(rows).forget(gone).weights
    again = Sisa(objective, 4)
    again._rows, again._held = rows, ~np.isin(np.arange(len(rows)), gone)
    again._learn()
    np.testing.assert_allclose(shards, again.weights, atol=1e-8)


@settings(max_examples=30)
@given(seed=seeds, m=st.integers(1, 3))
def test_the_projective_update_predicts_the_deleted_rows_as_retraining_does(seed, m):
    """Izzo et al., theorem 1: least squares, in the span of the deleted rows exactly."""
    objective, rows = problem(Squared(), seed)
    gone = np.random.default_rng(seed).permutation(len(rows))[:m]
    method = ProjectiveResidualUpdate(objective).fit(rows)
    before = method.weights
    truth = retrained(objective, rows, gone)
    after = method.forget(gone).weights
    np.testing.assert_allclose(rows.X[gone] @ after, rows.X[gone] @ truth, atol=1e-8)
    outside = np.linalg.svd(rows.X[gone])[2][m:]
    np.testing.assert_allclose(outside @ (after - before), 0.0, atol=1e-10)
    assert np.linalg.norm(after - truth) <= np.linalg.norm(before - truth) * (1 + 1e-9)


def test_influence_misses_the_downdate_by_exactly_that():
    objective, rows = problem(Squared())
    gone = np.arange(20)
    after = InfluenceFunction(objective).fit(rows).forget(gone).weights
    whole = retrained(objective, rows, np.array([], dtype=int))
    X = rows.X
    H = X.T @ X + np.eye(4)
    downdated = np.linalg.solve(H - X[gone].T @ X[gone], H @ (after - whole))
    np.testing.assert_allclose(whole + downdated, retrained(objective, rows, gone), atol=1e-9)
    assert np.linalg.norm(after - retrained(objective, rows, gone)) > 1e-3


@pytest.mark.parametrize("loss", [Squared(), Logistic()], ids=repr)
def test_stored_vectors_converge_to_the_influence_function(loss):
    """At a converged descent a_i = H⁻¹∇ℓ_i."""
    objective, rows = problem(loss)
    stored = StoredVectors(objective, n_steps=4000).fit(rows)
    influence = InfluenceFunction(objective).fit(rows)
    gone = np.array([1, 8, 30])
    np.testing.assert_allclose(stored.forget(gone).weights, influence.forget(gone).weights, atol=1e-6)
    assert stored.claims().bytes_kept > 120 * 4 * 8  # p numbers for every row


@pytest.mark.parametrize("loss", [Logistic(), PseudoHuber(0.5)], ids=repr)
@settings(max_examples=30)
@given(seed=seeds, m=st.integers(1, 40), penalty=st.floats(0.01, 100))
def test_output_perturbation_hides_any_m_rows(loss, seed, m, penalty):
    objective, rows = problem(loss, seed, penalty=penalty)
    row_norm = float(np.linalg.norm(rows.X, axis=1).max())
    method = OutputPerturbation(objective, GUARANTEE, m, row_norm, no_noise).fit(rows)
    gone = np.argsort(-np.abs(rows.y) * np.linalg.norm(rows.X, axis=1))[:m]
    before = method.weights
    assert method.forget(gone).weights is before
    assert np.linalg.norm(before - retrained(objective, rows, gone)) <= method.claims().distance_bound
    assert method.sigma == pytest.approx(method.distance_bound / GUARANTEE.mu)


@pytest.mark.parametrize("loss", [Logistic(), PseudoHuber(0.5)], ids=repr)
@settings(max_examples=30)
@given(seed=seeds, m=st.integers(1, 12), penalty=st.floats(0.1, 100), n_requests=st.integers(1, 4))
def test_certified_removal_leaves_no_more_gradient_than_it_says(loss, seed, m, penalty, n_requests):
    """Guo et al., theorem 1 and corollary 1: the gradient of the perturbed objective stays within ε′, all errors charged."""
    objective, rows = problem(loss, seed, penalty=penalty)
    rng = np.random.default_rng(seed)
    method = CertifiedRemoval(objective, GUARANTEE, 3.0, lambda w, s: w + s * rng.standard_normal(len(w))).fit(rows)
    order = np.argsort(-np.linalg.norm(rows.X, axis=1))
    for k in range(n_requests):
        method.forget(order[k * m : (k + 1) * m])
        left = np.linalg.norm(method._gradient(method._remaining, method.weights) + method._b)
        assert left <= method.residual
        assert method.residual <= method.residual_allowed
        assert method.residual_allowed == pytest.approx(3.0 * GUARANTEE.mu)


def test_certified_removal_refits_when_its_budget_is_spent():
    objective, rows = problem(Logistic(), penalty=0.1)
    method = CertifiedRemoval(objective, GUARANTEE, 0.05, no_noise).fit(rows)
    assert method.n_refits == 0
    method.forget(np.arange(40))
    assert method.n_refits == 1
    np.testing.assert_allclose(method.weights, retrained(objective, rows, np.arange(40)), atol=1e-9)


@pytest.mark.parametrize("loss", [Logistic(), PseudoHuber(0.5)], ids=repr)
@settings(max_examples=20)
@given(seed=seeds, m=st.integers(1, 10), penalty=st.floats(0.5, 100))
def test_descent_to_delete_is_as_near_as_it_says(loss, seed, m, penalty):
    objective, rows = problem(loss, seed, penalty=penalty)
    method = DescentToDelete(objective, GUARANTEE, 0.1, no_noise).fit(rows)
    order = np.argsort(-np.linalg.norm(rows.X, axis=1))
    for k in range(3):
        gone = order[k * m : (k + 1) * m]
        method.forget(gone)
        truth = retrained(objective, rows, order[: (k + 1) * m])
        assert np.linalg.norm(method.weights - truth) <= method.claims().distance_bound
        assert method.claims().distance_bound <= 0.1 * GUARANTEE.mu


def test_noise_is_added_by_those_who_promise_it():
    objective, rows = problem(Logistic())
    for make in (
        lambda: OutputPerturbation(objective, GUARANTEE, 5, 5.0),
        lambda: CertifiedRemoval(objective, GUARANTEE, 1.0),
        lambda: DescentToDelete(objective, GUARANTEE, 1.0),
    ):
        assert len({make().fit(rows).weights.tobytes() for _ in range(3)}) == 3
    descent = DescentToDelete(objective, GUARANTEE, 1.0).fit(rows)
    first = descent.weights
    descent.forget(np.array([0]))
    assert np.linalg.norm(descent.weights - first) > 0.01  # fresh noise, not accumulated in the secret weights
    assert np.linalg.norm(descent._w - retrained(objective, rows, np.array([0]))) <= descent.distance_bound


def test_more_deletions_than_the_noise_was_made_for_are_refused():
    objective, rows = problem(Logistic())
    method = OutputPerturbation(objective, GUARANTEE, 2, 5.0).fit(rows)
    with pytest.raises(CapacityExceeded, match="3 deletions, but the noise was made for 2"):
        method.forget(np.arange(3))
    method.forget(np.arange(2))  # nothing was changed


@pytest.mark.parametrize("make", [CertifiedRemoval, DescentToDelete])
def test_constants_that_do_not_exist_are_refused(make):
    with pytest.raises(ValueError, match="needs bounded derivatives"):
        make(Objective(Poisson(), 3, 1.0, fit_intercept=False), GUARANTEE, 1.0)
    with pytest.raises(ValueError, match="needs a fixed penalty on every weight"):
        make(Objective(Logistic(), 3, 1.0), GUARANTEE, 1.0)


@pytest.mark.parametrize("make", [ProjectiveResidualUpdate, StoredVectors])
def test_methods_for_one_output_say_so(make):
    with pytest.raises(ValueError, match="one output"):
        make(Objective(Softmax(3), 3, 1.0))


def test_more_shards_than_rows_are_refused():
    objective, rows = problem(Logistic())
    with pytest.raises(InvalidRows, match="shard 120 has no rows"):
        Sisa(objective, 121).fit(rows)


def test_the_warm_start_trap():
    """Scikit-learn's warm start at its default tolerance, one row of 20,000 gone: no iteration, the old weights."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 10))
    y = (X[:, 0] > rng.logistic(size=20_000)).astype(int)
    trap = SklearnLogisticRegression(warm_start=True).fit(X, y)
    before = trap.coef_.copy()
    trap.fit(X[1:], y[1:])
    assert trap.n_iter_[0] == 0
    np.testing.assert_array_equal(trap.coef_, before)
    objective, rows = Objective(Logistic(), 10, 1.0), Rows.of(X, y)
    warm = RetrainWarm(objective).fit(rows)
    kept = warm.weights
    assert not np.array_equal(warm.forget(np.array([0])).weights, kept)

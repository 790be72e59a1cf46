"""Third order: the rounding of its sums against exact ones, and the reach of the rows' support."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from expunge.engine.local import LocalEngine
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.higher import HigherSums, HigherTerms
from expunge.numerics.leverage import leverages
from expunge.numerics.support import Support
from expunge.numerics.tensor import SymmetricTensor
from expunge.privacy import Guarantee
from expunge.problem.losses import Logistic, Poisson, Softmax, Squared
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.dense import DenseState
from expunge.unlearning.ladder import from_statistics
from expunge.unlearning.rung import Bound
from expunge.unlearning.settings import Settings
from tests.problems import CATALOGUE, problem


@pytest.mark.parametrize("loss", [Logistic(), Poisson(), Softmax(3)], ids=repr)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_rounding_of_the_sums_is_bounded(loss, seed):
    """Rows that came and went leave B and K within their bounds of sums in exact arithmetic."""
    rng = np.random.default_rng(seed)
    p = problem(loss, seed)
    try:
        state = DenseState.fitted(p.objective, p.rows, LocalEngine(), order=3)
    except Exception:
        return
    if state.reference is None or state.higher is None or state.higher.third is None:
        return
    few = p.rows.take(rng.permutation(len(p.rows))[:5])
    at = Evaluation(p.objective, few, state.anchor)
    terms = HigherTerms.at(at, state.reference, 3)
    again = state.higher.plus(terms, -1.0).plus(terms, 1.0)
    assert again.third is not None
    vector = rng.normal(size=len(state.anchor))
    apart = again.third.contracted(vector) - state.higher.third.contracted(vector)
    size = float(np.linalg.norm(vector))
    assert np.linalg.norm(apart, 2) <= again.contraction_error(size) + state.higher.contraction_error(size)
    assert np.linalg.norm(again.leverage_sum - state.higher.leverage_sum, 2) <= again.leverage_error
    z, w = at.third_terms(slice(None))
    exact = [
        [
            sum(
                Fraction(float(a))
                * Fraction(float(r[i]))
                * Fraction(float(r[j]))
                * sum(Fraction(float(x)) * Fraction(float(v)) for x, v in zip(r, vector, strict=True))
                for a, r in zip(w, z, strict=True)
            )
            for j in range(len(vector))
        ]
        for i in range(min(2, len(vector)))
    ]
    tensor = SymmetricTensor.zeros(len(vector))
    tensor.absorb(z, w)
    sums = HigherSums(terms.leverage_sum, 0.0, tensor, terms.third_error, terms.third_size)
    found = tensor.contracted(vector)[: len(exact)]
    assert np.abs(found - np.array(exact, dtype=float)).max() <= sums.contraction_error(size)


@given(seed=st.integers(0, 2**32 - 1))
def test_no_row_moves_farther_than_the_support_reaches(seed):
    rng = np.random.default_rng(seed)
    n, loss = int(rng.integers(1, 30)), (Logistic(), Softmax(3))[seed % 2]
    categories = [np.eye(k)[rng.integers(0, k, n)] for k in rng.integers(1, 5, size=3)]
    X = np.hstack([*categories, rng.normal(size=(n, 2)) * (rng.random((n, 2)) < 0.5)])
    objective = Objective(loss, X.shape[1], fit_intercept=bool(rng.integers(2)))
    rows = Rows.of(X if seed % 3 else sparse.csr_array(X), rng.integers(0, 2, n).astype(float))
    support = Support.of(objective, rows.take(slice(0, n // 2))) | Support.of(objective, rows.take(slice(n // 2, n)))
    columns, starts = support.groups
    assert sorted(columns.tolist()) == list(range(objective.width))
    design = np.asarray(objective.design(rows).todense()) if sparse.issparse(objective.design(rows)) else objective.design(rows)
    for group in np.split(columns, starts[1:]):
        assert ((design[:, group] != 0).sum(axis=1) <= 1).all()
    step = rng.normal(size=objective.n_parameters)
    moved = np.linalg.norm(np.asarray(objective.predictor(step, objective.features(rows))).reshape(n, -1), axis=1).max()
    assert moved <= support.reach(step)
    few = Support.of(objective, rows.take([0]))
    assert few.reach(step) <= support.reach(step) * (1 + 1e-12)


def test_categories_are_groups_again():
    """Columns of one category are found to be one group, and so many groups as categories reach far less than all columns."""
    rng = np.random.default_rng(0)
    X = np.hstack([np.eye(20)[rng.integers(0, 20, 3000)] for _ in range(3)])
    support = Support.of(Objective(Logistic(), 60), Rows.of(X, np.zeros(3000)))
    assert len(support.groups[1]) == 4  # the intercept is the fourth


@pytest.mark.parametrize("loss", [loss for loss in CATALOGUE if loss.self_concordance > 0], ids=repr)
def test_a_state_of_third_order_forgets_as_if_it_had_never_learned(loss):
    p = problem(loss, 5)
    state = DenseState.fitted(p.objective, p.rows, LocalEngine(), order=3)
    assert state.higher is not None and state.reference is not None
    forgotten, remaining = p.rows.take(p.gone), p.rows.take(~p.gone)
    left = state.removed(forgotten).higher
    at = Evaluation(p.objective, remaining, state.anchor)
    fresh = HigherSums.at(at, leverages(at, state.reference.root), 3)
    assert left is not None and left.third is not None and fresh.third is not None
    np.testing.assert_allclose(left.third.packed, fresh.third.packed, atol=1e-9 * (1 + fresh.third_size))
    np.testing.assert_allclose(left.leverage_sum, fresh.leverage_sum, atol=1e-5 * (1 + np.abs(fresh.leverage_sum).max()))


def test_which_order_a_model_has():
    auto, narrow, wide = Settings(Guarantee(1.0, 1e-5), 0.1), Objective(Logistic(), 100), Objective(Logistic(), 600)
    assert [auto.order_for(objective) for objective in (narrow, wide, Objective(Squared(), 10))] == [3, 2, 2]
    assert Settings(Guarantee(1.0, 1e-5), 0.1, order=3).order_for(wide) == 3
    assert Settings(Guarantee(1.0, 1e-5), 0.1, order=2).order_for(narrow) == 2
    with pytest.raises(ValueError, match=r"order=3 keeps 0.297 GiB .* set order=2 or 'auto', or raise memory_budget"):
        Settings(Guarantee(1.0, 1e-5), 0.1, memory_budget=1e6, order=3).order_for(wide)
    with pytest.raises(ValueError, match="order must be 2, 3 or 'auto', got 4"):
        Settings(Guarantee(1.0, 1e-5), 0.1, order=4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="order=3 needs bound='local'"):
        Settings(Guarantee(1.0, 1e-5), 0.1, Bound.WORST_CASE, 1.0, order=3).order_for(narrow)


def test_third_derivatives_that_overflow_leave_second_order():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = (X[:, 0] > rng.normal(size=400)).astype(float)
    rows = Rows.of(X, y, ids=range(400))
    third, second = (DenseState.fitted(Objective(Logistic(), 3), rows, LocalEngine(), order=order) for order in (3, 2))
    assert third.higher is not None
    blind = replace(third, higher=replace(third.higher, third_error=np.inf)).removed(rows.take([0]))
    plain = second.removed(rows.take([0]))
    assert from_statistics(blind).distance_bound == pytest.approx(from_statistics(plain).distance_bound, rel=1e-6)
    assert from_statistics(third.removed(rows.take([0]))).distance_bound < from_statistics(plain).distance_bound

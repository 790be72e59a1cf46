"""Third order: the rounding of its sums against exact ones, and what a state of third order forgets."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.engine.local import LocalEngine
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.higher import HigherSums, HigherTerms
from expunge.numerics.leverage import leverages
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
    sums = HigherSums(terms.leverage_root.T @ terms.leverage_root, 0.0, tensor, terms.third_error, terms.third_size)
    found = tensor.contracted(vector)[: len(exact)]
    assert np.abs(found - np.array(exact, dtype=float)).max() <= sums.contraction_error(size)


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

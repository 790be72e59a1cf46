"""B and K as sums over rows: what is added, what is taken away, and the rounding that is charged for either. Theory §4.7."""

import copy
import math
import operator
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from numpy.typing import NDArray

from expunge.numerics import higher
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.factor import Factor, Hessian, inverse_error
from expunge.numerics.higher import HigherSums, HigherTerms, Reference
from expunge.numerics.leverage import leverages
from expunge.numerics.tensor import SymmetricTensor
from expunge.problem.arrays import norm
from expunge.problem.losses import Logistic, Poisson, Softmax, Squared
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.problem.split import SplitMatrix
from tests.test_evaluation import by_hand_gamma

Array = NDArray[np.float64]
U = 2.0**-53
UNEVEN = np.diag([2.0**20, 2.0**-30])
"""Of a step along the second axis it says next to nothing, and rounding nearly all."""


def to_the_last(value: float):
    """To the last digits: what is charged for one rounding more or less would be seen."""
    return pytest.approx(value, rel=1e-13, abs=0.0)


def reference(eta: float = 0.25, matrix: Array = UNEVEN) -> Reference:
    return Reference(np.eye(2), matrix, eta)


def sums(third: bool = True, **changes: object) -> HigherSums:
    tensor = SymmetricTensor.zeros(2)
    tensor.absorb(np.array([[1.0, 2.0]]), np.ones(1))
    found = HigherSums(UNEVEN, 2.0**-45, tensor if third else None, 2.0**-50, 11.2)
    return replace(found, **changes)  # type: ignore[arg-type]


def added(first: HigherSums, second: HigherSums) -> HigherSums:
    """Both, and neither is changed."""
    total = copy.deepcopy(first)
    total += second
    return total


TERMS = HigherTerms(
    np.array([[2.0, 1.0], [1.0, 3.0]]), 2.0**-44, np.array([[1.0, 2.0], [3.0, -1.0]]), np.ones(2) * 0.5, 2.0**-49, 20.0
)


@pytest.mark.parametrize("size", [1.0, 3.0])
def test_the_square_of_a_step_is_rounded_up(size):
    step = np.array([0.0, size])
    for matrix, own in ((UNEVEN, 2.0**-30 * size**2), (-UNEVEN, 0.0)):
        wanted = (own + by_hand_gamma(2 * 2 + 8) * size**2 * norm(UNEVEN)) / 0.75 * (1.0 + 1e-12)
        assert reference(0.25, matrix).square(step) == to_the_last(wanted)
        charged = own + by_hand_gamma(2 * 2 + 8) * size**2 * norm(UNEVEN) + 2.0**-45 * size**2
        assert sums(leverage_sum=matrix).leverage_square(step) == to_the_last(charged * (1.0 + 1e-12))


@pytest.mark.parametrize("step", [[1e200, 1e200], [math.inf, 0.0], [math.nan, 0.0]])
def test_the_square_of_a_step_that_overflows_is_infinite(step):
    assert reference().square(np.array(step)) == sums().leverage_square(np.array(step)) == math.inf


def test_a_reference_is_the_inverse_at_the_fit_or_none():
    hessian = Hessian(Objective(Squared(), 2, 0.0, fit_intercept=False), np.diag([4.0, 2.0]), 1.0)
    factor = Factor(np.diag([0.25, 0.45]))
    found = Reference.of(hessian, factor)
    assert found is not None
    np.testing.assert_array_equal(found.root, np.linalg.cholesky(factor.inverse))
    np.testing.assert_array_equal(found.hessian, hessian.dense())
    assert found.eta == inverse_error(hessian, factor) >= 0.1
    assert Reference.of(hessian, Factor(3.0 * factor.inverse)) is None
    assert Reference.of(hessian, Factor(-factor.inverse)) is None


def test_a_tensor_contracts_within_what_rounding_leaves():
    wanted = (2.0**-50 + by_hand_gamma(2 * 2 + 8) * 11.2) * 3.0
    assert sums().contraction_error(3.0) == to_the_last(wanted)
    assert sums().contraction_error(math.nan) == math.inf
    assert sums(third=False).contraction_error(3.0) == math.inf


def test_both_batches_are_added():
    other = sums(leverage_sum=np.eye(2), leverage_error=2.0**-40, third_error=2.0**-47, third_size=3.0)
    both = added(sums(), other)
    np.testing.assert_array_equal(both.leverage_sum, UNEVEN + np.eye(2))
    assert both.leverage_error == to_the_last(2.0**-45 + 2.0**-40 + 2.0 * U * norm(UNEVEN + np.eye(2)))
    assert both.third is not None
    np.testing.assert_array_equal(both.third.packed, 2.0 * other.third.packed)
    assert both.third_error == to_the_last(2.0**-50 + 2.0**-47 + 2.0 * U * 14.2)
    assert both.third_size == to_the_last(14.2 * (1.0 + 1e-12))
    assert added(sums(), sums(third=False)).third is None
    own = sums()
    again = operator.iadd(own, other)
    assert again.third is own.third, "in the memory of the first"
    np.testing.assert_array_equal(again.third.packed, both.third.packed)
    for name in ("leverage_error", "third_error", "third_size"):
        assert getattr(again, name) == getattr(both, name)
    assert added(sums(third=False), sums()).third is None


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_terms_come_and_go(sign):
    before = sums()
    assert before.third is not None
    after = before.plus(TERMS, sign)
    np.testing.assert_array_equal(after.leverage_sum, UNEVEN + sign * TERMS.leverage_root.T @ TERMS.leverage_root)
    rounding = 4.0 * U * (norm(UNEVEN) + norm(TERMS.leverage_root) ** 2)
    assert after.leverage_error == to_the_last(2.0**-45 + 2.0**-44 + rounding)
    wanted = before.third.contracted(np.ones(2)) + sign * np.einsum("m,mi,mj,mk->ij", TERMS.weights, *[TERMS.rows] * 3)
    assert after.third is not None
    np.testing.assert_allclose(after.third.contracted(np.ones(2)), wanted, rtol=1e-13)
    size = 11.2 + (20.0 if sign > 0 else 0.0)  # of what goes nothing is taken off: it may not have been in it
    assert after.third_size == to_the_last(size * (1.0 + 1e-12))
    assert after.third_error == to_the_last(2.0**-50 + 2.0**-49 + by_hand_gamma(2 + 8) * (size + 20.0))
    at_order_2 = sums(third=False).plus(TERMS, sign)
    assert at_order_2.third is None
    assert at_order_2.leverage_error == after.leverage_error
    np.testing.assert_array_equal(at_order_2.leverage_sum, after.leverage_sum)


def batch(loss, X, *, fit_intercept: bool = True) -> Evaluation:
    rng = np.random.default_rng(0)
    objective = Objective(loss, X.shape[1], fit_intercept=fit_intercept)
    rows = Rows.of(X, rng.integers(0, max(2, loss.classes), X.shape[0]).astype(float), rng.uniform(0.5, 2.0, X.shape[0]))
    return Evaluation(objective, rows, weights(objective))


def weights(objective: Objective) -> Array:
    return 0.3 * np.random.default_rng(1).normal(size=objective.n_parameters)


def third_by_hand(at: Evaluation) -> Array:
    """∇³ of the loss of all rows along (1, …, 1), from differences of its second derivative."""
    ones, h = np.ones(at.objective.n_parameters), 1e-5
    up, down = (at.moved_to(weights(at.objective) + s * ones).hessian() for s in (h, -h))
    return np.asarray((up - down) / (2 * h))


@pytest.mark.parametrize("loss", [Logistic(), Poisson(), Softmax(2), Softmax(3)], ids=repr)
@pytest.mark.parametrize("kind", ["dense", "blocks", "thin"])
@pytest.mark.parametrize("chunk", [higher.CHUNK, 7])
def test_the_sums_of_a_batch_are_its_derivatives(loss, kind, chunk):
    rng = np.random.default_rng(1)
    X = np.hstack([np.eye(3)[rng.integers(0, 3, 20)], rng.normal(size=(20, 1))])
    at = batch(loss, X)
    if kind != "dense":
        thin = np.array([3] if kind == "thin" else [], dtype=np.intp)
        blocks = replace(at.rows, X=SplitMatrix.of(X, [np.arange(3), np.array([3])], thin=thin))
        at = Evaluation(at.objective, blocks, weights(at.objective))
    root = np.eye(at.objective.n_parameters)
    found = leverages(at, root)
    with mock.patch.object(higher, "CHUNK", chunk):
        third, second = (HigherSums.at(at, found, order) for order in (3, 2))
    assert third.third is not None
    np.testing.assert_allclose(third.third.contracted(np.ones(len(root))), third_by_hand(at), atol=1e-6)
    assert (third.third_error, third.third_size) == at.third_bounds()
    assert third.third_size > 0.0
    assert (second.third, second.third_error, second.third_size) == (None, 0.0, 0.0)
    for one in (third, second):
        total, error = at.weighted_hessian(found[0])
        np.testing.assert_array_equal(one.leverage_sum, total)
        assert one.leverage_error == error


@pytest.mark.parametrize("loss", [Logistic(), Softmax(3)], ids=repr)
def test_the_terms_of_a_batch_are_the_same_left_apart(loss):
    at = batch(loss, np.random.default_rng(2).normal(size=(5, 2)))
    p = at.objective.n_parameters
    base = Reference(np.eye(p), np.eye(p), 0.0)
    terms, few = HigherTerms.at(at, base, 3), HigherTerms.at(at, base, 2)
    whole = HigherSums.at(at, leverages(at, base.root), 3)
    tensor = SymmetricTensor.zeros(p)
    tensor.absorb(terms.rows, terms.weights)
    assert whole.third is not None
    np.testing.assert_allclose(tensor.packed, whole.third.packed, atol=1e-13)
    assert (terms.third_error, terms.third_size) == (whole.third_error, whole.third_size)
    for one in (terms, few):
        np.testing.assert_allclose(one.leverage_root.T @ one.leverage_root, whole.leverage_sum, atol=one.leverage_error)
        assert one.leverage_error > whole.leverage_error, "a leverage that is too large takes more away than there was"
    assert few.rows.shape == (0, p)
    assert few.weights.shape == (0,)
    assert few.third_error == few.third_size == 0.0


def test_what_overflows_is_infinite_and_no_warning():
    at = batch(Poisson(), np.full((3, 2), 1e4))
    at = Evaluation(at.objective, at.rows, np.ones(3))
    found = HigherSums.at(at, leverages(at, np.eye(3)), 3)
    assert found.third_size == math.inf
    for after in (added(found, found), found.plus(HigherTerms.at(at, Reference(np.eye(3), np.eye(3), 0.0), 3), -1.0)):
        assert after.contraction_error(1.0) == math.inf
        assert after.leverage_square(np.ones(3)) == math.inf
    large = sums(leverage_sum=np.full((2, 2), 1e308))
    assert added(large, large).leverage_error == math.inf

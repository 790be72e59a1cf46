"""The step to a zero of the gradient's Taylor polynomial: that it is one, and all that is charged beside it. Theory §4.7."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from expunge.engine.local import LocalEngine
from expunge.numerics.factor import Factor, Hessian, inverse_error
from expunge.numerics.higher import HigherSums, Reference
from expunge.numerics.tensor import SymmetricTensor
from expunge.problem.arrays import norm
from expunge.problem.losses import Poisson
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.bounds import ROUND_UP
from expunge.unlearning.dense import DenseState
from expunge.unlearning.taylor import NEAR, Expansion, spread
from tests.test_evaluation import by_hand_gamma

U = 2.0**-53
Array = NDArray[np.float64]


@cache
def state(order: int = 3) -> DenseState:
    """Of rows some of which went again, so that q is not 0."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    rows = Rows.of(X, rng.poisson(np.exp(0.5 * X[:, 0])).astype(float), ids=range(60))
    fitted = DenseState.fitted(Objective(Poisson(), 3, 0.5), rows, LocalEngine(), order=order)
    return fitted.removed(rows.take(range(4)))


def third(of: DenseState) -> SymmetricTensor:
    assert of.higher is not None and of.higher.third is not None
    return of.higher.third


def expansion(of: DenseState, at: Array) -> Expansion:
    found = Expansion.of(of, at)
    assert found is not None
    return found


def displacement(seed: int = 0, size: float = 0.1) -> Array:
    return np.asarray(size * np.random.default_rng(seed).normal(size=4), dtype=np.float64)


def less(of: DenseState, hessian_error: float) -> DenseState:
    """The state with a Hessian that may be off by so much."""
    return replace(of, statistics=replace(of.statistics, hessian_error=hessian_error))


def test_an_expansion_holds_the_third_derivative_and_its_rounding():
    of, at = state(), displacement()
    found, higher = expansion(of, at), of.higher
    assert higher is not None
    np.testing.assert_array_equal(found.shift, third(of).contracted(at))
    np.testing.assert_array_equal(found.operator.sum, of.statistics.hessian_sum + found.shift)
    assert found.operator.count == of.statistics.count
    assert found.error == higher.contraction_error(norm(at)) + 2.0 * U * norm(found.operator.sum)
    assert found.size == higher.third_size


def test_no_expansion_without_third_derivatives():
    of, at = state(), displacement()
    assert of.higher is not None
    assert Expansion.of(replace(of, higher=None), at) is None
    assert Expansion.of(state(2), at) is None
    assert Expansion.of(replace(of, higher=replace(of.higher, third_error=math.inf)), at) is None


def length_in_inverse(H: Array, v: Array) -> float:
    """|v| in the metric of H⁻¹."""
    return math.sqrt(float(v @ np.linalg.solve(H, v)))


@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([0.0, 1e-3, 0.1, 0.5]))
def test_a_step_ends_where_the_polynomial_is_as_small_as_it_says(seed, size):
    of = state()
    at = displacement(seed, size)
    end, beyond, rounding = expansion(of, at).stepped()
    H, tensor = of.hessian.dense(), third(of)
    left = of.gradient + H @ end + 0.5 * tensor.contracted(end) @ end
    step = end - at
    assert length_in_inverse(H, left) <= beyond + rounding
    assert length_in_inverse(H, left - 0.5 * tensor.contracted(step) @ step) <= rounding
    assert beyond == 0.5 * of.hessian_change(step).t * of.geometry.length(step, of.hessian @ step)
    assert rounding < 1e-10 * (1.0 + norm(step))


@pytest.mark.parametrize("size", [0.1, 3.0])
def test_what_is_charged_for_a_step(size):
    of, at = less(state(), 1e-14), displacement(1, size)
    found = expansion(of, at)
    end, _beyond, rounding = found.stepped()
    here = of.gradient + (of.hessian @ at) + 0.5 * (found.shift @ at)
    sizes = (of.trace + found.size * norm(at)) * (norm(at) + norm(end)) + norm(of.gradient)
    left = norm(here + (found.operator @ (end - at)))
    charged = left + by_hand_gamma(4 + 16) * sizes + found.error * (0.5 * norm(at) + norm(end - at))
    assert rounding == pytest.approx(of.geometry.rounding(end, charged, of.gradient_error), rel=1e-12, abs=0.0)


@pytest.mark.parametrize("small", [1.0, 1e-8])
def test_a_step_that_the_inverse_cannot_make_is_solved_for_anew(small):
    """Whatever the size of the gradient is."""
    of, at = state(), np.zeros(4)
    gradient_sum = small * of.gradient - of.objective.penalty_gradient(of.anchor, of.statistics.count)
    of = replace(of, statistics=replace(of.statistics, gradient_sum=gradient_sum))
    exact = expansion(of, at).stepped()[0]
    end, _beyond, rounding = expansion(replace(of, factor=Factor(0.4 * of.factor.inverse)), at).stepped()
    np.testing.assert_allclose(end, exact, rtol=1e-6)
    assert rounding < 1e-10
    assert NEAR < 1e-3


def test_where_no_step_can_be_made_there_is_none():
    of, at = state(), displacement()
    blind = replace(of, factor=Factor(np.full((4, 4), math.nan)))
    singular = replace(expansion(blind, at), operator=Hessian(Objective(Poisson(), 3, 0.0), np.zeros((4, 4)), 1.0))
    end, _beyond, rounding = singular.stepped()
    np.testing.assert_array_equal(end, at)
    assert rounding >= norm(of.gradient + (of.hessian @ at)) / math.sqrt(of.trace)


def of_shift(of: DenseState, shift: Array, error: float) -> Expansion:
    return replace(expansion(of, displacement()), state=of, shift=shift, error=error)


@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([1e-3, 1.0, 30.0]), off=st.sampled_from([0.0, 0.05]))
def test_no_eigenvalue_is_less_than_the_lowest(seed, size, off):
    rng = np.random.default_rng(seed)
    of = state()
    away = rng.normal(size=(4, 4))
    root = np.linalg.cholesky(of.factor.inverse)
    factor = Factor(root @ (np.eye(4) + off * (away + away.T) / np.linalg.norm(away + away.T)) @ root.T)
    of = less(replace(of, factor=factor), off * of.curvature_floor)
    shift = size * rng.normal(size=(4, 4))
    shift = shift + shift.T
    found = of_shift(of, shift, 0.0).lowest
    whitened = np.linalg.inv(np.linalg.cholesky(of.hessian.dense()))
    exact = float(np.linalg.eigvalsh(np.eye(4) + whitened @ shift @ whitened.T)[0])
    assert found <= min(1.0, exact) + 1e-12
    if off == 0.0:
        assert found >= min(1.0, exact) - 1e-9 * max(1.0, size, abs(exact))  # an eigenvalue near 0 is a difference of these
    assert of_shift(of, shift, 0.1).lowest == pytest.approx(found - 0.1 / of.geometry.mu, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("off", [0.0, 0.05])
@pytest.mark.parametrize("is_flat", [True, False])
def test_what_is_charged_for_the_lowest_eigenvalue(off, is_flat):
    """A shift that leaves three directions alone shows the rounding by itself."""
    of = state()
    of = less(replace(of, factor=Factor((1.0 - off) * of.factor.inverse)), 4.0 * off * of.curvature_floor)
    vector = displacement(3, 1.0)
    shift: Array = (1e6 if is_flat else -0.1) * vector[:, None] * vector
    root: Array = np.linalg.cholesky(of.factor.inverse).astype(np.float64)
    rounding = by_hand_gamma(16 * 4) * norm(root) ** 2 * norm(shift)
    least = min(0.0, float(np.linalg.eigvalsh(root.T @ shift @ root)[0]) - rounding)
    eta = inverse_error(of.hessian, of.factor)
    wanted = 1.0 + least / ((1.0 - eta) * (1.0 - of.geometry.eta)) * ROUND_UP - 0.1 / of.geometry.mu
    assert of_shift(of, shift, 0.1).lowest == pytest.approx(wanted, rel=0.0, abs=1e-15)
    assert least < (-1e-12 if is_flat else -1e-3)


def test_no_lowest_eigenvalue_is_known_of_an_inverse_or_a_hessian_that_is_none():
    of = state()
    shift = third(of).contracted(displacement())
    assert math.isfinite(of_shift(of, shift, 0.0).lowest)
    for other in (
        replace(of, factor=Factor(-of.factor.inverse)),
        replace(of, factor=Factor(3.0 * of.factor.inverse)),
        replace(of, curvature_floor=0.0),
        less(of, 2.0 * of.curvature_floor),
    ):
        assert of_shift(other, shift, 0.0).lowest == -math.inf
    assert of_shift(of, np.full((4, 4), math.inf), 0.0).lowest == -math.inf


def test_the_lowest_eigenvalue_is_found_once():
    found = expansion(state(), displacement())
    assert found.lowest is found.lowest


def test_a_spread_is_the_mean_of_both_lengths():
    of, step = state(), displacement()
    higher, reference = of.higher, of.reference
    assert isinstance(higher, HigherSums) and isinstance(reference, Reference)
    wanted = math.sqrt(reference.square(step) * higher.leverage_square(step)) * ROUND_UP
    assert spread(higher, reference, step) == pytest.approx(wanted, rel=1e-13, abs=0.0)
    assert spread(None, reference, step) == spread(higher, None, step) == spread(None, None, step) == math.inf
    assert spread(higher, reference, math.inf * step) == math.inf

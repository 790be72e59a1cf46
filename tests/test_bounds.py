"""Each formula of theory §4 at 50 digits: what comes out is no less, and hardly more."""

import math
from dataclasses import FrozenInstanceError

import mpmath
import numpy as np
import pytest

from expunge.numerics.statistics import RowExtremes
from expunge.unlearning import bounds
from expunge.unlearning.bounds import UNCHANGED, Geometry, HessianChange

mpmath.mp.dps = 50
U = mpmath.mpf(2) ** -53
GEOMETRY = Geometry(self_concordance=3.0, extremes=RowExtremes(2.0, 0.7), curvature_floor=4.0, hessian_error=1.0)
"""η = ¼, so that μ = 3 and v = 0.7/√¾."""
BARE = Geometry(3.0, RowExtremes(2.0, 0.7), 4.0, 0.0)


def assert_bounds(found: float, exact, slack: float = 2e-11, allowance: float = 0.9e-12) -> None:
    """Between ``exact`` with the allowance that every formula makes for rounding, and not much more."""
    assert exact * (1 + mpmath.mpf(allowance)) <= found <= exact * (1 + mpmath.mpf(slack))


def test_the_exact_hessian_is_between_those_of_eta():
    assert GEOMETRY.eta == 0.25
    assert GEOMETRY.mu == 3.0
    assert GEOMETRY.row_norm == 2.0
    assert GEOMETRY.whitened_norm == pytest.approx(0.7 / math.sqrt(0.75), rel=1e-15)


@pytest.mark.parametrize("error", [4.0, 5.0, math.inf, math.nan, -1e-3])
@pytest.mark.parametrize("floor", [4.0, 1e-300, 0.0, -1.0, math.nan])
def test_a_hessian_that_may_be_singular_proves_nothing(floor, error):
    doubtful = Geometry(3.0, RowExtremes(2.0, 0.7), floor, error)
    assert not doubtful.eta < 1.0
    assert doubtful.mu == 0.0
    assert doubtful.whitened_norm == math.inf
    assert doubtful.rounding(np.ones(2), 0.0, 0.0) == math.inf
    assert bounds.residual(doubtful, 0.1, 0.1) == math.inf


@pytest.mark.parametrize("floor", [0.0, -1.0, math.inf, math.nan])
def test_a_curvature_that_is_no_positive_number_proves_nothing(floor):
    assert not Geometry(3.0, RowExtremes(2.0, 0.7), floor, 0.0).eta < 1.0


@pytest.mark.parametrize("error", [0.0, 1.0])
def test_length_is_that_of_the_exact_hessian(error):
    step, hessian_step = np.array([3.0, 4.0]), np.array([10.0, 5.0])
    geometry = Geometry(1.0, RowExtremes(1.0, 1.0), 4.0, error)
    exact = mpmath.sqrt(50 + 6 * U * 5 * mpmath.sqrt(125) + mpmath.mpf(error) * 25)
    assert_bounds(geometry.length(step, hessian_step), exact)


@pytest.mark.parametrize("hessian_step", [[4.0, -3.0], [-4e-17, -3e-17]])
def test_length_is_never_less_than_the_rounding_of_its_square(hessian_step):
    step, hessian_step = np.array([3.0, 4.0]), np.array(hessian_step)
    exact = mpmath.sqrt(6 * U * 5 * mpmath.norm(mpmath.matrix(hessian_step.tolist())))
    assert_bounds(BARE.length(step, hessian_step), exact)


def test_reach_is_in_three_norms():
    change = GEOMETRY.hessian_change(np.array([0.03, 0.04]), 0.2, by_rows=0.06)
    assert_bounds(change.by_norm, 3 * 2 * mpmath.mpf("0.05"))
    assert_bounds(change.by_whitened_norm, 3 * mpmath.mpf(0.7) / mpmath.sqrt(0.75) * mpmath.mpf(0.2))
    assert_bounds(change.by_rows, 3 * mpmath.mpf(0.06))
    assert GEOMETRY.hessian_change(np.ones(2), 1.0).by_rows == math.inf
    for smallest in ((0.1, 0.2, 0.3), (0.2, 0.1, 0.3), (0.2, 0.3, 0.1)):
        assert HessianChange(*smallest).t == 0.1


def test_the_hessian_of_the_squared_loss_moves_nowhere():
    exact = Geometry(0.0, RowExtremes(2.0, 0.7), 4.0, 1.0)
    assert exact.hessian_change(np.ones(2), 1.0) == UNCHANGED
    assert exact.hessian_change(np.ones(2), 1.0, 5.0).t == UNCHANGED.t == 0.0


def test_rounding_is_that_of_theory_4_6():
    found = GEOMETRY.rounding(np.array([0.03, 0.04]), 0.5, 0.25)
    assert_bounds(found, (mpmath.mpf("0.75") + mpmath.mpf("0.05")) / mpmath.sqrt(3))


@pytest.mark.parametrize(
    ("c", "row_norm", "whitened_norm", "t", "decrement"),
    [
        (3.0, 2.0, 0.7, 0.3, 0.05),  # by the norm of the rows
        (3.0, 2.0, 0.1, 0.3, 0.05),  # by the whitened norm
        (3.0, 2.0, 0.7, 0.0, 0.05),
        (3.0, 0.02, 0.1, 5.0, 0.05),
        (0.0, 2.0, 0.7, 0.0, 0.05),
        (3.0, 2.0, 0.7, 0.3, 0.0),
    ],
)
def test_residual_is_the_last_line_of_theory_4_3(c, row_norm, whitened_norm, t, decrement):
    found = bounds.residual(Geometry(c, RowExtremes(row_norm, whitened_norm), 4.0, 1.0), t, decrement)
    mu, v = mpmath.mpf(3), mpmath.mpf(whitened_norm) / mpmath.sqrt(0.75)
    scaled = mpmath.exp(t) * decrement
    distance = scaled / mpmath.sqrt(mu)
    z = min(c * row_norm * distance, c * v * scaled)
    assert_bounds(found, distance * (-mpmath.log1p(-z) / z if z > 0 else 1))


def test_residual_ends_where_the_series_does():
    ball = Geometry(1.0, RowExtremes(1.0, 1.0), 1.0, 0.0)
    assert bounds.residual(ball, 0.0, 1.0 - 1e-9) > 20.0
    assert bounds.residual(ball, 0.0, 1.0) == math.inf
    assert bounds.residual(ball, 0.0, 2.0) == math.inf
    last = 1.0 - 2.1e-12
    while last < 1.0:  # among these z is 1 exactly
        assert bounds.residual(ball, 0.0, last) > 20.0
        last = math.nextafter(last, 2.0)
    assert bounds.residual(ball, 699.0, 1e-305) < 0.1
    assert bounds.residual(ball, 700.0, 0.0) == math.inf
    assert bounds.residual(ball, math.inf, 0.0) == math.inf
    assert bounds.residual(ball, 0.0, math.inf) == math.inf


def test_residual_rounds_up_near_the_end_of_the_series():
    ball = Geometry(1.0, RowExtremes(1.0, 1.0), 1.0, 0.0)
    z = 1 - mpmath.mpf(2) ** -20
    assert bounds.residual(ball, 0.0, float(z)) >= -mpmath.log1p(-z * (1 + mpmath.mpf("1.9e-12")))


def mean_growth(before, after):
    """The mean of eᵗ − 1 between the two."""
    before, after = mpmath.mpf(before), mpmath.mpf(after)
    return (mpmath.exp(after) - mpmath.exp(before)) / (after - before) - 1 if after != before else mpmath.expm1(before)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (0.0, 0.5),
        (0.0, 5.0),
        (0.3, 0.1),
        (0.2, 0.2),
        (2.0, 0.0),
        (0.0, 1.1e-5),
        (0.0, 0.9e-5),
        (0.0, 1e-9),
        (0.0, 1e-14),
        (0.4, 699.0),
    ],
)
def test_newton_decrement_grows_by_the_mean_along_the_step(before, after):
    exact = mpmath.mpf("0.25") * mean_growth(before, after)
    far = HessianChange(math.inf, math.inf, math.inf)
    for norm in ("by_norm", "by_whitened_norm", "by_rows"):
        found = bounds.newton_decrement(0.25, _in(far, norm, before), _in(far, norm, after))
        width = abs(after - before)
        assert_bounds(found, exact, 1e-5 if width < 1e-5 else 2e-9, 1e-9 + 0.5e-12 if width > 0.1 else 0.9e-9)


def test_newton_decrement_is_finite_up_to_700():
    assert bounds.newton_decrement(0.25, HessianChange(*[699.5] * 3), HessianChange(*[699.9] * 3)) < math.inf
    assert bounds.newton_decrement(0.25, HessianChange(*[699.9] * 3), HessianChange(*[699.5] * 3)) < math.inf


def _in(far: HessianChange, norm: str, value: float) -> HessianChange:
    return HessianChange(**{**vars(far), norm: value})


@pytest.mark.parametrize(("before", "after"), [(0.0, 700.0), (700.0, 0.0), (math.inf, 0.0), (math.nan, 0.0), (0.0, math.nan)])
def test_newton_decrement_proves_nothing_from_afar(before, after):
    assert bounds.newton_decrement(0.25, HessianChange(*[before] * 3), HessianChange(*[after] * 3)) == math.inf


def test_worst_case_is_the_formula_of_theory_4_1():
    given = {
        "count": 50.0,
        "changed": 7.0,
        "strong_convexity": 20.0,
        "lipschitz": 1.5,
        "hessian_lipschitz": 0.5,
        "gradient": 2.0,
    }
    exact = 50 * mpmath.mpf("0.5") * ((2 + 7 * mpmath.mpf("1.5")) / 20) ** 2 / (2 * 20)
    assert_bounds(bounds.worst_case(**given), exact)
    assert_bounds(bounds.sekhari2021(**given), 4 * exact)
    assert bounds.worst_case(**given | {"hessian_lipschitz": 0.0, "strong_convexity": 0.0}) == 0.0
    for value in (0.0, -1.0, math.nan, math.inf):
        assert bounds.worst_case(**given | {"strong_convexity": value}) == math.inf


def test_what_a_bound_is_made_of_cannot_be_changed():
    for value, name in ((GEOMETRY, "curvature_floor"), (UNCHANGED, "by_norm")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, 1.0)


def test_the_intercepts_reach_is_counted_apart():
    """Every row has a 1 for it: the features' norm is √(R² − 1), however near to 1 R is."""
    rng = np.random.default_rng(0)
    for n_outputs in (1, 3):
        for size in (1e-8, 1e-3, 1.0, 1e3):
            X = rng.normal(size=(50, 4)) * size
            rows = np.hstack([X, np.ones((50, 1))])
            R = float(np.linalg.norm(rows, axis=1).max()) * (1.0 + 1e-14)
            geometry = Geometry(1.0, RowExtremes(R, math.inf), 1.0, 0.0, intercepts=n_outputs)
            plain = Geometry(1.0, RowExtremes(R, math.inf), 1.0, 0.0)
            for _ in range(20):
                step = rng.normal(size=(n_outputs, 5)) * 10.0 ** rng.uniform(-2, 2, size=5)
                true = np.linalg.norm(rows @ step.T, axis=1).max()
                found = geometry.hessian_change(step.ravel(), math.inf).by_norm
                assert true <= found <= plain.hessian_change(step.ravel(), math.inf).by_norm * (1.0 + 1e-9)
    nothing = Geometry(1.0, RowExtremes(0.0, 0.0), 1.0, 0.0, intercepts=1)
    assert nothing.hessian_change(np.ones(3), 0.0).by_norm >= 1.0

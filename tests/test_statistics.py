"""What sums carry beside themselves: how many rows, of what weight, and what rounding may have cost."""

from dataclasses import FrozenInstanceError, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.errors import AnchorMismatch
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.rounding import UNIT_ROUNDOFF
from expunge.numerics.statistics import (
    BLOCK,
    RowExtremes,
    RowTerms,
    Statistics,
    Sums,
    anchor_digest,
    low_rank_update,
    sum_up,
    two_sum,
)
from expunge.problem.losses import Poisson, Softmax
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows

U = 2.0**-53
ONE = Statistics(
    anchor="here",
    n_rows=7,
    class_rows=np.array([4, 3]),
    count=2.0**53,
    count_error=0.25,
    gradient_sum=np.array([3.0, 0.0]),
    gradient_error=1e-16,
    hessian_error=1e-15,
    is_weighted=False,
    hessian_sum=np.diag([5.0, 2.0]),
)
OTHER = Statistics(
    anchor="here",
    n_rows=2,
    class_rows=np.array([1, 1]),
    count=1.0,
    count_error=0.125,
    gradient_sum=np.array([0.0, 4.0]),
    gradient_error=2e-16,
    hessian_error=3e-15,
    is_weighted=False,
    hessian_sum=np.diag([1.0, 1.0]),
)


def test_addition_adds_everything_and_every_error():
    both = ONE + OTHER
    assert (both.anchor, both.n_rows, both.class_rows.tolist()) == ("here", 9, [5, 4])
    assert both.count == 2.0**53
    assert both.count_error == 0.375 + 1.0, "the 1 that was rounded away"
    np.testing.assert_array_equal(both.gradient_sum, [3.0, 4.0])
    assert both.gradient_error == pytest.approx(3e-16 + 2 * U * 5, rel=1e-14, abs=0.0)
    np.testing.assert_array_equal(both.hessian_sum, np.diag([6.0, 3.0]))
    assert both.hessian_error == pytest.approx(4e-15 + 4 * U * (7 + 9 + 2 * 2 * 4e-15), rel=1e-14, abs=0.0)


def test_subtraction_takes_everything_off_and_adds_every_error():
    rest = ONE - OTHER
    assert (rest.n_rows, rest.class_rows.tolist(), rest.count) == (5, [3, 2], 2.0**53 - 1)
    assert rest.count_error == 0.375
    np.testing.assert_array_equal(rest.gradient_sum, [3.0, -4.0])
    assert rest.gradient_error == pytest.approx(3e-16 + 2 * U * 5, rel=1e-14, abs=0.0)
    np.testing.assert_array_equal(rest.hessian_sum, np.diag([4.0, 1.0]))
    assert rest.hessian_error == pytest.approx(4e-15 + 4 * U * (7 + 5 + 2 * 2 * 4e-15), rel=1e-14, abs=0.0)


def test_the_error_of_a_hessian_that_rounding_made_indefinite_is_no_less():
    rest = ONE - replace(ONE, hessian_sum=np.diag([7.0, 3.0]))
    assert rest.hessian_error >= 2e-15 + 4 * U * (7 + 3)


@pytest.mark.parametrize("error", ["gradient_error", "hessian_error"])
def test_what_is_infinite_is_not_bounded(error):
    assert ONE.is_bounded
    assert not replace(ONE, **{error: np.inf}).is_bounded  # type: ignore[arg-type]
    assert not replace(ONE, **{error: np.nan}).is_bounded  # type: ignore[arg-type]


def test_different_anchors_do_not_mix():
    with pytest.raises(AnchorMismatch, match="at anchor there cannot be combined with statistics at anchor here"):
        ONE + replace(OTHER, anchor="there")
    objective = Objective(Poisson(), 2)
    here = anchor_digest(objective, np.zeros(3))
    assert here == anchor_digest(objective, np.zeros(6)[::2])
    assert (
        len(
            {
                here,
                anchor_digest(objective, np.array([0.0, 0.0, 1e-300])),
                anchor_digest(Objective(Poisson(), 2, 0.25), np.zeros(3)),
            }
        )
        == 3
    )


@pytest.mark.parametrize("m", [0, 1, 3])
@pytest.mark.parametrize("p", [1, BLOCK - 1, BLOCK, 2 * BLOCK + 5])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_low_rank_update_is_a_new_matrix(m, p, sign, rng):
    matrix, root = rng.integers(-9, 9, (p, p)).astype(float), rng.integers(-9, 9, (m, p)).astype(float)
    before = matrix.copy()
    np.testing.assert_array_equal(low_rank_update(matrix, root, sign), before + sign * root.T @ root)
    np.testing.assert_array_equal(matrix, before)


@given(st.floats(-1e150, 1e150), st.floats(-1e150, 1e150))
def test_two_sum_is_exact(a, b):
    total, rounding = two_sum(a, b)
    exact = Fraction(a) + Fraction(b)
    assert total == a + b
    assert Fraction(rounding) == abs(exact - Fraction(total))
    assert Fraction(sum_up(a, b)) >= exact
    assert rounding > 0 or sum_up(a, b) == exact


@pytest.mark.parametrize("loss", [Poisson(), Softmax(3)], ids=repr)
def test_a_batch_is_carried_over_as_it_was_evaluated(loss, rng):
    rows = Rows.of(rng.normal(size=(9, 4)), np.tile([0.0, 1.0, 2.0], 3), rng.uniform(0, 2, size=9))
    objective = Objective(loss, 4)
    anchor = rng.normal(size=objective.n_parameters) / 3
    at, digest = Evaluation(objective, rows, anchor), anchor_digest(objective, anchor)
    sums, terms, statistics = (
        Sums.at(at, digest),
        RowTerms.at(at, digest),
        Statistics.of(objective, rows, anchor),
    )
    for found in (sums, terms, statistics):
        assert (found.anchor, found.n_rows, found.count, found.count_error) == (digest, 9, at.count, at.count_error)
        np.testing.assert_array_equal(found.class_rows, at.class_rows)
        np.testing.assert_array_equal(found.gradient_sum, at.gradient)
        assert (found.gradient_error, found.hessian_error) == (at.gradient_error, at.hessian_error)
    np.testing.assert_allclose(terms.root.T @ terms.root, statistics.hessian_sum, atol=1e-12)
    np.testing.assert_allclose(terms.add_hessian_to(statistics.hessian_sum, -1.0), 0.0, atol=1e-12)
    np.testing.assert_allclose(statistics.add_hessian_to(statistics.hessian_sum, 1.0), 2.0 * at.hessian(), atol=1e-12)


def test_no_certificate_comes_of_float32(rng):
    objective = Objective(Poisson(), 2)
    at = Evaluation(objective, Rows.of(rng.normal(size=(5, 2)), np.ones(5)), np.zeros(3))
    early = Statistics.evaluated(at, "here", "float32")
    assert early.gradient_error == early.hessian_error == np.inf
    np.testing.assert_array_equal(early.hessian_sum, at.hessian("float32"))
    assert Statistics.evaluated(at, "here").gradient_error == at.gradient_error


def test_the_extremes_of_two_sets_are_the_larger_ones():
    assert RowExtremes(1.0, 4.0) | RowExtremes(2.0, 3.0) == RowExtremes(2.0, 4.0)


def test_sums_are_values():
    for value, name in (
        (ONE, "count"),
        (RowExtremes(1.0, 1.0), "row_norm"),
        (Sums(**dict(list(vars(ONE).items())[:-1])), "count"),
    ):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, 0.0)
    assert UNIT_ROUNDOFF == U == np.finfo(float).eps / 2
    assert replace(ONE) != ONE


def test_two_sum_is_exact_whichever_is_larger():
    rng = np.random.default_rng(0)
    for a, b in (rng.normal(size=(500, 2)) * 2.0 ** rng.integers(-30, 30, size=(500, 2))).tolist():
        total, rounding = two_sum(a, b)
        assert Fraction(rounding) == abs(Fraction(a) + Fraction(b) - Fraction(total))


def test_an_uncertain_hessian_is_charged_for_what_it_may_lack():
    uncertain = replace(ONE, hessian_error=2.0**40)
    charged = (uncertain + OTHER).hessian_error - 2.0**40
    assert charged == pytest.approx(4 * U * 2 * 2 * 2.0**40, rel=0.3)


def test_what_overflowed_is_added_without_a_word():
    wild = replace(ONE, gradient_sum=np.array([np.inf, 0.0]), hessian_sum=np.diag([np.inf, 1.0]))
    assert np.isnan((wild - wild).gradient_sum[0])
    assert np.isnan(wild.plus(wild, -1.0).gradient_sum[0])
    terms = [RowTerms(**{**_sums(ONE), "root": np.ones((1, 2))}) for _ in range(2)]
    assert terms[0] != terms[1]


def _sums(value):
    return {name: held for name, held in vars(value).items() if name != "hessian_sum"}

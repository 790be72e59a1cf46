"""The group laws of statistics, to the rounding that the statistics themselves admit. Theory §4.2."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.engine.local import LocalEngine
from expunge.errors import AnchorMismatch
from expunge.state import State
from expunge.statistics import RowTerms, Statistics
from tests.oracle import gradient_and_hessian
from tests.problems import CATALOGUE, problem

seeds = st.integers(0, 2**32 - 1)


def assert_equal(a: Statistics, b: Statistics):
    assert a.anchor == b.anchor
    assert a.n_rows == b.n_rows
    np.testing.assert_array_equal(a.class_rows, b.class_rows)
    assert abs(a.count - b.count) <= a.count_error + b.count_error
    assert np.linalg.norm(a.gradient_sum - b.gradient_sum) <= a.gradient_error + b.gradient_error
    assert np.linalg.norm(a.hessian_sum - b.hessian_sum, 2) <= a.hessian_error + b.hessian_error


def parts(seed, loss):
    """A problem's rows in three parts of uneven size, perhaps empty or of one row, and the statistics of each."""
    p = problem(loss, seed)
    rng = np.random.default_rng(seed)
    anchor = rng.normal(size=p.objective.n_parameters)
    cuts = np.sort(rng.integers(0, len(p.rows) + 1, size=2))
    if rng.random() < 0.3:
        cuts = np.array([0, 1])
    pieces = [p.rows.take(slice(a, b)) for a, b in ((0, cuts[0]), (cuts[0], cuts[1]), (cuts[1], len(p.rows)))]
    return p, anchor, [Statistics.of(p.objective, piece, anchor) for piece in pieces], pieces


@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
@given(seed=seeds)
def test_group_laws(loss, seed):
    p, anchor, (a, b, c), pieces = parts(seed, loss)
    whole = Statistics.of(p.objective, p.rows, anchor)
    assert_equal(a + b, b + a)
    assert_equal((a + b) + c, a + (b + c))
    assert_equal(a + b + c, whole)
    assert_equal(whole - a, b + c)
    assert_equal(whole - a - c, whole - c - a)
    assert_equal((a + b) - b, a)
    assert_equal(whole - RowTerms.of(p.objective, pieces[1], anchor), whole - b)
    assert_equal(a + RowTerms.of(p.objective, pieces[2], anchor), a + c)


@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
@given(seed=seeds)
def test_the_admitted_rounding_error_covers_the_real_one(loss, seed):
    """Against 80-bit sums: after adding everything up and taking a part away again."""
    p, anchor, (a, b, c), pieces = parts(seed, loss)
    found = (a + b + c) - b
    rest = p.rows.take(np.r_[0 : len(pieces[0]), len(p.rows) - len(pieces[2]) : len(p.rows)])
    gradient, hessian = gradient_and_hessian(p.objective, rest, anchor.astype(np.longdouble))
    gradient = gradient - p.objective.penalty_gradient(anchor, found.count).astype(np.longdouble)
    hessian = hessian - p.objective.penalised_hessian(np.zeros_like(hessian), found.count)
    tiny = 1e-15 * (abs(p.objective.penalty_scale(found.count)) + 1) * (1 + np.linalg.norm(anchor))
    assert float(np.linalg.norm((found.gradient_sum - gradient).astype(float))) <= found.gradient_error + tiny
    assert np.linalg.norm(found.hessian_sum - hessian, 2) <= found.hessian_error + 1e-15 * np.linalg.norm(hessian) + tiny


@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
@given(seed=seeds)
def test_order_of_deletions_is_irrelevant_and_a_batch_equals_a_sequence(loss, seed):
    p = problem(loss, seed)
    if p.gone.sum() < 2:
        return
    state = State.fitted(p.objective, p.rows, LocalEngine())
    gone = np.flatnonzero(p.gone)
    order = np.random.default_rng(seed).permutation(gone)
    batch = state.removed(p.rows.take(gone)).settled()
    one_by_one = state
    for i in order:
        one_by_one = one_by_one.removed(p.rows.take([i]))
    one_by_one = one_by_one.settled()
    assert_equal(batch.statistics, one_by_one.statistics)
    assert batch.changed == pytest.approx(one_by_one.changed)
    # both steps solve nearly the same system: they agree to the rounding that both admit
    floor = max(np.linalg.eigvalsh(batch.hessian.dense())[0], 1e-300)
    slack = 0.0
    for s in (batch, one_by_one):
        step, _product, residual = s.step
        assert np.isfinite(step).all()
        slack += 4 * (s.statistics.gradient_error + residual + s.statistics.hessian_error * np.linalg.norm(step))
    assert np.linalg.norm(batch.step.x - one_by_one.step.x) <= slack / floor


@given(seed=seeds)
def test_learning_undoes_forgetting(seed):
    p = problem(CATALOGUE[0], seed)
    if not p.gone.any():
        return
    state = State.fitted(p.objective, p.rows, LocalEngine())
    back = state.removed(p.forgotten).added(p.forgotten)
    assert_equal(back.statistics, state.statistics)


def test_different_anchors_do_not_mix():
    p = problem(CATALOGUE[0], 1)
    zero = np.zeros(p.objective.n_parameters)
    with pytest.raises(AnchorMismatch, match="recompute them"):
        Statistics.of(p.objective, p.rows, zero) - Statistics.of(p.objective, p.rows, zero + 1e-9)

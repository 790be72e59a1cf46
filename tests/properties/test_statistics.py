"""The group laws of statistics, to the rounding that the statistics themselves admit. Theory §4.2."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.engine.local import LocalEngine
from expunge.errors import AnchorMismatch
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.rounding import UNIT_ROUNDOFF
from expunge.numerics.row_norms import row_norms
from expunge.numerics.statistics import RowTerms, Statistics
from expunge.problem.losses import Gamma, NegativeBinomial, Poisson, Tweedie
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.dense import DenseState
from tests.conftest import examples
from tests.oracle import gradient_and_hessian
from tests.problems import CATALOGUE, problem, targets

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
    second, third = (RowTerms.at(Evaluation(p.objective, piece, anchor), whole.anchor) for piece in pieces[1:])
    assert_equal(whole - second, whole - b)
    assert_equal(a + third, a + c)


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
    state = DenseState.fitted(p.objective, p.rows, LocalEngine())
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
        slack += 4 * (s.statistics.gradient_error + residual + s.statistics.hessian_error * float(np.linalg.norm(step)))
    assert np.linalg.norm(batch.step.x - one_by_one.step.x) <= slack / floor


@given(seed=seeds)
def test_learning_undoes_forgetting(seed):
    p = problem(CATALOGUE[0], seed)
    if not p.gone.any():
        return
    state = DenseState.fitted(p.objective, p.rows, LocalEngine())
    back = state.removed(p.forgotten).added(p.forgotten)
    assert_equal(back.statistics, state.statistics)


def test_different_anchors_do_not_mix():
    p = problem(CATALOGUE[0], 1)
    zero = np.zeros(p.objective.n_parameters)
    with pytest.raises(AnchorMismatch, match="recompute them"):
        Statistics.of(p.objective, p.rows, zero) - Statistics.of(p.objective, p.rows, zero + 1e-9)


def harsh(loss, seed: int) -> tuple[Objective, Rows, np.ndarray]:
    """Few rows and weights where rounding shows: long rows, large targets beside small slopes, uneven sample weights."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(max(1, loss.classes), 40)), int(rng.integers(1, 6))
    X = rng.normal(size=(n, d)) * 10.0 ** rng.uniform(-2, 2, size=d)
    intercept = loss.outputs == 1  # without, there is no gauge
    w = rng.normal(size=(d + intercept) * loss.outputs)
    reach = 10.0 ** rng.uniform(-1, 2.5)
    w *= reach / max(1.0, np.abs(X @ w.reshape(loss.outputs, -1)[:, :d].T).max())
    w[d:] += rng.uniform(-20, 20) * intercept
    t = X @ w.reshape(loss.outputs, -1)[:, :d].T + (w[d] if intercept else 0.0)
    y = targets(loss, np.clip(t, -300, 300), rng) if loss.classes else t[:, 0] + rng.normal(size=n) * 10.0 ** rng.uniform(-8, 3)
    if isinstance(loss, Poisson | NegativeBinomial | Gamma | Tweedie):  # near the mean, whatever its size
        y = np.exp(np.clip(t[:, 0], -130, 130)) * (1.0 + rng.normal(size=n) * 10.0 ** rng.uniform(-8, 0)) ** 2 + 1e-60
    weight = 10.0 ** rng.uniform(-12, 12, size=n) if rng.random() < 0.5 else None
    return Objective(loss, d, 0.0, fit_intercept=intercept), Rows.of(X, y, weight), w


@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
@settings(max_examples=examples(300))
@given(seed=seeds)
def test_the_rounding_of_one_batch_is_within_its_bound(loss, seed):
    objective, rows, w = harsh(loss, seed)
    at = Evaluation(objective, rows, w)
    if not at.gradient_error + at.hessian_error < np.inf:
        return
    gradient, hessian = gradient_and_hessian(objective, rows, w.astype(np.longdouble))
    own = 2.0**-60
    apart = float(np.linalg.norm((at.gradient - gradient).astype(float)))
    assert apart <= at.gradient_error * (1 + 1e-3) + own * np.linalg.norm(w)
    root = at.curvature_root()
    for found in (at.hessian(), root.T @ root):
        assert np.linalg.norm(found - hessian, 2) <= at.hessian_error + 4 * UNIT_ROUNDOFF * np.linalg.norm(hessian) + own


@pytest.mark.parametrize("loss", [Gamma(), Tweedie(1.2), Tweedie(1.7), Poisson()], ids=repr)
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_the_bound_on_rounding_is_in_proportion_to_the_terms(loss, size):
    """Gamma's slope 1 − y/μ is of order 1 whatever y is, and so is what rounding does to it."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 3)) / 10
    w = np.array([0.3, -0.2, 0.5, np.log(size)])
    y = size * rng.gamma(2.0, 0.5, size=50)
    rows = Rows.of(X, y)
    objective = Objective(loss, 3)
    at = Evaluation(objective, rows, w)
    terms = {"gamma": 1.0, "poisson": size, "tweedie": size ** (2 - getattr(loss, "power", 2))}[loss.name]
    wanted = UNIT_ROUNDOFF * terms * row_norms(objective, rows).sum()
    for error in (at.gradient_error, at.hessian_error):
        assert 10 * wanted < error < 200 * wanted * (1 + abs(np.log(size)))

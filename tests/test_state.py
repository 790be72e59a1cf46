"""A state after rows have come and gone: every number that the certificate reads, by hand."""

import math
from dataclasses import FrozenInstanceError, replace
from fractions import Fraction

import numpy as np
import pytest

from expunge.engine.local import LocalEngine
from expunge.errors import InvalidRows, NoOptimum, NotLearned
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.factor import Exchange, Factor, eigenvalue_floor, inverse_error
from expunge.numerics.rounding import UNIT_ROUNDOFF, gamma, penalty_error, penalty_scale_error
from expunge.numerics.statistics import RowExtremes, RowTerms, Sums
from expunge.problem.losses import Logistic, Poisson, Softmax, Squared
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning import state as module
from expunge.unlearning.dense import DenseState
from expunge.unlearning.state import DRIFT, SAME, changed_by, require_all_classes, require_remaining, require_short

ENGINE = LocalEngine()
N = 40


def rows_of(loss, seed=0, n=N, weighted=True):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    y = rng.integers(0, loss.classes or 4, size=n).astype(float)
    y[:3] = (0.0, 1.0, 2.0 if loss.classes != 2 else 0.0)
    return Rows.of(X, y, rng.uniform(0.5, 2.0, n) if weighted else None)


def fitted(loss, form="sum", penalty=0.3, **kwargs):
    rows = rows_of(loss, **kwargs)
    return DenseState.fitted(Objective(loss, 3, penalty, form), rows, ENGINE), rows


def leverages(state, rows):
    """Square roots of the largest eigenvalues of XᵢᵀH⁻¹Xᵢ, one each row."""
    K, inverse = state.objective.loss.outputs, np.linalg.inv(state.hessian.dense())
    X = np.hstack([rows.X, np.ones((len(rows), 1))])
    blocks = [np.kron(np.eye(K), x[None, :]) for x in X]
    return np.array([math.sqrt(np.linalg.eigvalsh(B @ inverse @ B.T)[-1]) for B in blocks])


def smallest(state):
    return np.linalg.eigvalsh(state.hessian.dense())[0]


def norms(rows):
    return np.sqrt((rows.X**2).sum(axis=1) + 1.0)


every_model = pytest.mark.parametrize(
    ("loss", "form"),
    [(loss, form) for loss in (Logistic(), Softmax(3), Poisson(), Squared()) for form in ("sum", "mean")],
    ids=str,
)


@every_model
def test_a_fresh_state_is_tight(loss, form):
    state, rows = fitted(loss, form)
    assert state.changed == 0.0
    assert smallest(state) * (1 - 1e-9) <= state.curvature_floor <= smallest(state)
    assert norms(rows).max() <= state.extremes.row_norm <= norms(rows).max() * (1 + 1e-13)
    if loss.self_concordance > 0:
        top = leverages(state, rows).max()
        assert top <= state.extremes.whitened_norm <= top * 1.02
    else:
        assert state.extremes.whitened_norm == state.extremes.row_norm / math.sqrt(state.curvature_floor)
    left = np.linalg.norm(state.gradient)
    assert state.anchor_gradient >= left * (1 + 0.9 * gamma(len(state.anchor) + 8)) + state.gradient_error
    assert state.anchor_gradient <= left * (1 + 1e-10) + state.gradient_error * (1 + 1e-10)


@every_model
def test_what_a_state_says_of_itself(loss, form):
    state, rows = fitted(loss, form)
    objective, statistics = state.objective, state.statistics
    weight = rows.sample_weight.sum()
    q = statistics.gradient_sum + objective.penalty_gradient(state.anchor, weight)
    np.testing.assert_allclose(state.gradient, q, atol=1e-12)
    assert state.trace == pytest.approx(np.trace(state.hessian.dense()))
    error = statistics.gradient_error + penalty_error(objective, state.anchor, statistics.count, statistics.count_error)
    assert state.gradient_error == pytest.approx(error + 2 * UNIT_ROUNDOFF * np.linalg.norm(state.gradient), rel=1e-12, abs=0.0)
    of_count = penalty_scale_error(objective, statistics.count_error)
    assert (of_count > 0) == (form == "mean")
    assert state.hessian_error == statistics.hessian_error + of_count
    geometry = state.geometry
    assert (geometry.self_concordance, geometry.extremes) == (loss.self_concordance, state.extremes)
    assert (geometry.curvature_floor, geometry.hessian_error) == (state.curvature_floor, state.hessian_error)
    np.testing.assert_allclose(state.hessian @ state.step.x, -state.gradient, atol=1e-9)
    np.testing.assert_array_equal(state.point, state.anchor + state.step.x)
    with pytest.raises(FrozenInstanceError):
        state.changed = 1.0
    assert replace(state) != state


def test_the_rounding_of_a_long_gradient_is_charged():
    state, _rows = fitted(Logistic())
    far = replace(state, statistics=replace(state.statistics, gradient_sum=np.array([3e20, 4e20, 0.0, 0.0])))
    assert far.gradient_error == pytest.approx(2 * UNIT_ROUNDOFF * 5e20, rel=1e-9)


@every_model
def test_forgotten_rows_leave_everything_valid(loss, form):
    state, rows = fitted(loss, form)
    gone, kept = rows.take(slice(5, 9)), rows.take(np.r_[0:5, 9:N])
    left = state.removed(gone)
    alone = DenseState.fitted(state.objective, kept, ENGINE, state.anchor)
    m = gone.sample_weight.sum()
    assert m <= left.changed <= m * (1 + 1e-12)
    assert left.statistics.n_rows == N - 4
    assert left.extremes.row_norm == state.extremes.row_norm
    exchange = Exchange.of(state.hessian, state.factor, np.asarray(_root(state, gone)))
    s = exchange.top_whitened_curvature(state.curvature_floor)
    if form == "mean":
        before, eta = state.statistics.count, state.geometry.eta
        share = (before - left.statistics.count) / before * (1 + eta) * (1 + gamma(8))
        assert state._penalty_share(left) == pytest.approx(share, rel=1e-14, abs=0.0)
        exact = (1 - Fraction(left.statistics.count) / Fraction(before)) * (1 + Fraction(eta))
        assert exact <= Fraction(state._penalty_share(left))
        assert share > m / before
        s += share
    assert left.curvature_floor == pytest.approx(state.curvature_floor * (1 - s), rel=1e-12)
    assert left.curvature_floor <= smallest(left)
    scaled = state.extremes.whitened_norm / math.sqrt(1 - s)
    assert left.extremes.whitened_norm == pytest.approx(min(scaled, state.extremes.row_norm / math.sqrt(left.curvature_floor)))
    assert leverages(left, kept).max() <= left.extremes.whitened_norm
    assert inverse_error(left.hessian, left.factor) < (1e-6 if form == "sum" else 0.5), "the penalty's share is refined away"
    assert left.tightened().curvature_floor == eigenvalue_floor(left.hessian) >= left.curvature_floor
    assert left.anchor_gradient == state.anchor_gradient
    np.testing.assert_allclose(left.point, alone.point, atol=1.0)
    assert state.removed(gone.take([0])).removed(gone.take([1, 2, 3])).changed == pytest.approx(m)


def _root(state, rows):
    return Evaluation(state.objective, rows, state.anchor).curvature_root()


@every_model
def test_learned_rows_leave_everything_valid(loss, form):
    state, rows = fitted(loss, form)
    more = rows_of(loss, seed=1, n=3)
    more = replace(more, X=more.X * 2.0)
    grown = state.added(more)
    m = more.sample_weight.sum()
    assert m <= grown.changed <= m * (1 + 1e-12)
    assert grown.statistics.n_rows == N + 3
    assert grown.curvature_floor == state.curvature_floor <= smallest(grown)
    longest = max(norms(more).max(), norms(rows).max())
    assert longest <= grown.extremes.row_norm <= longest * (1 + 1e-12)
    assert inverse_error(grown.hessian, grown.factor) < (1e-6 if form == "sum" else 0.5)
    assert_leverage_of_new_rows(state, grown, more)
    long = replace(more.take([0]), X=more.X[:1] * 20.0)
    assert_leverage_of_new_rows(state, state.added(long), long)
    nothing = state.added(rows.take(slice(0, 0)))
    assert (nothing.extremes, nothing.changed) == (state.extremes, 0.0)


def assert_leverage_of_new_rows(state, grown, new):
    own, eta = leverages(grown, new).max(), inverse_error(grown.hessian, grown.factor)
    by_inverse = own * math.sqrt((1 + eta) / (1 - eta)) * 1.02
    bound = min(by_inverse, norms(new).max() * (1 + 1e-12) / math.sqrt(state.curvature_floor))
    before = state.extremes.whitened_norm
    assert max(own, before) <= grown.extremes.whitened_norm <= max(bound, before)


@pytest.mark.parametrize("learn", [True, False])
def test_rows_of_which_nothing_is_known_leave_no_certificate(learn):
    state, _rows = fitted(Poisson())
    wild = Rows.of(np.full((1, 3), 1e4) * np.sign(state.anchor[:3]), [1.0], 1.0)
    if learn:
        after = state.added(wild)
        assert after.extremes.row_norm == pytest.approx(math.hypot(1.0, 1e4 * math.sqrt(3)), rel=1e-9)
        assert after.extremes.whitened_norm == math.inf
    else:
        state = replace(state, extremes=RowExtremes(1e9, 1.0))
        after = state.removed(wild)
        assert after.extremes is state.extremes
    assert after.hessian_error == math.inf
    assert after.statistics.n_rows == N + (1 if learn else -1)
    assert 1.0 <= after.changed < 1.0 + 1e-12
    assert after.factor is state.factor


def test_the_share_of_the_penalty():
    state, rows = fitted(Logistic(), "mean")
    left = state.removed(rows.take([7]))
    assert state._penalty_share(left) > 0
    light, lighter = (replace(state, statistics=replace(state.statistics, count=count)) for count in (0.5, 0.25))
    assert light._penalty_share(lighter) == pytest.approx(0.5, rel=1e-6)
    for other in (replace(state.objective, penalty=0.0), replace(state.objective, form="sum")):
        assert replace(state, objective=other)._penalty_share(left) == 0.0
    assert replace(state, curvature_floor=0.0)._penalty_share(left) == math.inf
    assert replace(state, curvature_floor=state.hessian_error)._penalty_share(left) == math.inf
    assert replace(state, statistics=replace(state.statistics, count=0.0))._penalty_share(left) == math.inf
    assert replace(state, statistics=replace(state.statistics, count=-1.0))._penalty_share(left) == math.inf


def test_rows_that_carry_nearly_all_curvature_make_the_floor_anew():
    X = np.vstack([np.tile([[1e-9, 0.0, 0.0]], (20, 1)), [[1.0, 0.0, 0.0]], np.eye(3)[1:], -np.eye(3)])
    rows = Rows.of(X, np.zeros(len(X)))
    state = DenseState.fitted(Objective(Squared(), 3, 0.0, fit_intercept=False), rows, ENGINE)
    doubtful = replace(state, curvature_floor=1e-280)
    left = doubtful.removed(rows.take([20]))
    assert left.curvature_floor == eigenvalue_floor(left.hessian) > 0.5
    assert left.extremes.whitened_norm == left.extremes.row_norm / math.sqrt(left.curvature_floor)


def test_the_inverse_is_made_anew_only_where_it_has_drifted():
    state, _rows = fitted(Logistic())
    assert state.settled() is state
    drifted = replace(state, factor=Factor(state.factor.inverse * 2.5), anchor=state.anchor + 1.0)
    drifted = replace(drifted, statistics=replace(drifted.statistics, gradient_error=0.0))
    settled = drifted.settled()
    assert settled is not drifted
    assert inverse_error(settled.hessian, settled.factor) < 1e-9
    assert settled.step.residual <= 1e-9 * np.linalg.norm(settled.gradient) + settled.gradient_error
    uncertain = replace(drifted, statistics=replace(drifted.statistics, gradient_error=1e9))
    assert uncertain.settled() is uncertain
    for floor in (0.0, -1.0):
        doubtful = replace(state, curvature_floor=floor)
        assert doubtful.settled() is not doubtful
    tiny = replace(state, curvature_floor=1e-3)
    assert tiny.settled() is tiny
    singular = replace(state, curvature_floor=0.0, objective=replace(state.objective, penalty=0.0))
    singular = replace(singular, statistics=replace(state.statistics, hessian_sum=np.zeros((4, 4))))
    with pytest.raises(NoOptimum, match="singular"):
        singular.settled()


def test_drift_is_told_by_the_residual():
    state, _rows = fitted(Logistic())
    exact = replace(
        state, statistics=replace(state.statistics, gradient_sum=np.array([1e3, 0.0, 0.0, 0.0]), gradient_error=0.0)
    )
    goal = DRIFT * np.linalg.norm(exact.gradient) + exact.gradient_error
    for share, is_kept in ((0.99, True), (1.01, False)):
        judged = replace(exact)
        judged.__dict__["step"] = exact.step._replace(residual=share * goal)
        assert (judged.settled() is judged) == is_kept


def test_columns_that_depend_on_each_other_have_no_optimum_without_a_penalty():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 2))
    rows = Rows.of(X[:, [0, 1, 1]], (X[:, 0] > 0).astype(float))
    with pytest.raises(NoOptimum, match="singular to working precision"):
        DenseState.fitted(Objective(Squared(), 3, 0.0), rows, ENGINE)
    assert DenseState.fitted(Objective(Squared(), 3, 1e-3), rows, ENGINE).curvature_floor > 0


def test_a_fit_needs_every_class():
    rows = rows_of(Softmax(3))
    with pytest.raises(InvalidRows, match="the rows contain no row of class code 2"):
        DenseState.fitted(Objective(Softmax(3), 3, fit_intercept=False), rows.take(np.flatnonzero(rows.y < 2)), ENGINE)
    state, rows = fitted(Softmax(3))
    with pytest.raises(InvalidRows, match="the rows that would remain contain no row of class code 1"):
        state.removed(rows.take(np.flatnonzero(rows.y == 1)))
    assert state.removed(rows.take(np.flatnonzero(rows.y == 1)[1:])).statistics.class_rows[1] == 1


def sums(n_rows, class_rows=(), count=1.0, count_error=0.0):
    return Sums(
        "here", n_rows, np.array(class_rows, dtype=np.int64), count, count_error, np.zeros(1), 0.0, 0.0, is_weighted=False
    )


def test_rows_are_counted_in_whole_numbers():
    require_remaining(sums(4, count=1e300), sums(5, count=1e-300))
    for n in (5, 6):
        with pytest.raises(InvalidRows, match=f"asked to forget {n} of 5"):
            require_remaining(sums(n), sums(5))
    require_all_classes(sums(2, [1, 1], count=1e300), "the rows")
    require_all_classes(sums(2), "the rows")
    for class_rows in ([1, 0], [1, -1]):
        with pytest.raises(InvalidRows, match=r"class code 1 \(classes_\[1\]\)"):
            require_all_classes(sums(2, class_rows), "the rows")


def test_what_changed_is_rounded_up():
    assert changed_by(1.0, sums(1, count=2.0, count_error=0.5)) == 3.5
    assert changed_by(2.0**53, sums(1, count=1.0)) == 2.0**53 + 2
    assert changed_by(0.0, sums(1, count=1.0, count_error=1e-20)) == math.nextafter(1.0, 2.0)


def test_a_row_may_be_as_long_as_the_longest():
    require_short(np.array([1.0, 2.0 * (1 + 0.9e-9)]), 2.0)
    require_short(np.array([2.0 * SAME]), 2.0)
    with pytest.raises(
        NotLearned, match=r"row 1 of the request cannot have been learned: it is longer \(2\) than any row learned \(1\)"
    ):
        require_short(np.array([0.5, 2.0, 3.0]), 1.0)
    assert SAME == 1.0 + 1e-9
    state, rows = fitted(Logistic())
    with pytest.raises(NotLearned, match="row 0 of the request"):
        state.removed(replace(rows.take([0]), X=rows.X[:1] * 100.0))


@pytest.mark.parametrize("loss", [Squared(), Softmax(3)], ids=repr)
def test_a_row_with_more_curvature_than_everything_learned_is_refused(loss):
    state, rows = fitted(loss, penalty=1e-9)
    heavy = replace(rows.take([0]), sample_weight=np.array([1e4]))
    with pytest.raises(NotLearned, match="row 0 of the request cannot have been learned: it has more curvature"):
        state.removed(heavy)
    terms = RowTerms.at(Evaluation(state.objective, heavy, state.anchor), state.statistics.anchor)
    exchange = Exchange.of(state.hessian, state.factor, terms.root)
    own = float(exchange.own_curvature(loss.outputs)[0])
    mu = state.geometry.mu
    room = (own - 1.0) * mu - state.hessian_error
    replace(state)._require_learned(replace(terms, hessian_error=room * (1 + 1e-12)), exchange)
    with pytest.raises(NotLearned):
        state._require_learned(replace(terms, hessian_error=room * (1 - 1e-9)), exchange)
    doubtful = replace(state, curvature_floor=state.hessian_error)
    doubtful._require_learned(terms, exchange)  # nothing is known of the Hessian, and so nothing against the row


def test_the_whitened_norm_is_never_worse_than_the_plain_one():
    assert module._no_worse(5.0, 2.0, 4.0) == 1.0
    assert module._no_worse(0.5, 2.0, 4.0) == 0.5
    assert module._no_worse(5.0, 2.0, 0.0) == 5.0
    assert module._no_worse(5.0, 2.0, 0.25) == 4.0


def test_an_indefinite_inverse_bounds_no_leverage():
    state, rows = fitted(Logistic())
    assert module._top_leverage(Evaluation(state.objective, rows, state.anchor), Factor(-np.eye(4))) == math.inf


@pytest.mark.parametrize("loss", [Logistic(), Softmax(3), Poisson()], ids=repr)
def test_a_fit_that_starts_at_its_optimum_still_looks_for_the_largest_leverage(loss):
    state, rows = fitted(loss)
    again = DenseState.fitted(state.objective, rows, ENGINE, state.point)
    top = leverages(again, rows).max()
    assert top <= again.extremes.whitened_norm <= top * 1.02


def test_columns_that_nearly_depend_on_each_other_have_an_optimum_that_is_not_certified():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 2))
    rows = Rows.of(np.column_stack([X, X[:, 1] + 3e-8 * rng.normal(size=30)]), X[:, 0])
    with pytest.raises(NoOptimum, match="columns of X are linearly dependent, or their scales differ"):
        DenseState.fitted(Objective(Squared(), 3, 0.0), rows, ENGINE)
    hardly = DenseState.fitted(Objective(Squared(), 3, 1e-16), rows, ENGINE)
    assert hardly.curvature_floor == 0.0
    assert hardly.extremes.whitened_norm == math.inf

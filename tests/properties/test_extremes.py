"""Extreme magnitudes: a certificate that holds, or a typed error that says what to do; never a NaN, a crash or a Δ of 0."""

import itertools
import math
from typing import Any, Literal

import numpy as np
import pytest
from scipy import sparse

from expunge.engine.local import LocalEngine
from expunge.errors import ExpungeError, InvalidRows
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.factor import Exchange, Factor, Hessian, eigenvalue_floor, inverse_error
from expunge.numerics.row_norms import row_norms
from expunge.numerics.statistics import RowExtremes, Statistics
from expunge.problem.losses import LogCosh, Logistic, PseudoHuber, Softmax, Squared
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning import bounds
from expunge.unlearning.bounds import UNCHANGED, Geometry, HessianChange
from expunge.unlearning.dense import DenseState
from expunge.unlearning.ladder import from_statistics
from tests.conftest import SOAK
from tests.oracle import L, gradient_and_hessian, retrain
from tests.problems import CATALOGUE, targets

NOT_NUMBERS = (math.nan, math.inf)


def extreme(loss, rng):
    """Rows, targets, weights and a penalty of any magnitude that the door lets in; half of them of ordinary ones."""
    n, d = int(rng.integers(15, 40)), int(rng.integers(1, 4))
    X = rng.normal(size=(n, d))
    y = targets(loss, X @ rng.normal(size=(d, loss.outputs)), rng)
    spread = 56.0 if rng.random() < 0.5 else 8.0
    X = X * 10.0 ** rng.uniform(-spread, spread, size=d if rng.random() < 0.3 else 1)
    if not loss.classes and rng.random() < 0.7:
        y = y * 10.0 ** rng.uniform(-spread, spread) + (10.0 ** rng.uniform(-3, 9) if rng.random() < 0.5 else 0.0)
    y = np.where(y == 0, 0.0, np.copysign(np.clip(np.abs(y), 1e-60, 1e60), y))
    weight = (
        10.0 ** rng.uniform(-spread, spread, size=n if rng.random() < 0.5 else 1) * np.ones(n) if rng.random() < 0.5 else None
    )
    penalty = 0.0 if rng.random() < 0.2 else 10.0 ** rng.uniform(-spread, spread)
    form: Literal["sum", "mean"] = "mean" if rng.random() < 0.3 else "sum"
    return Objective(loss, d, penalty, form, bool(rng.random() < 0.5)), Rows.of(X, y, weight)


def fitted(objective, rows):
    """The candidate of a fit and nothing, or nothing and the words of the refusal; another exception is a fault."""
    try:
        return from_statistics(DenseState.fitted(objective, rows, LocalEngine())), ""
    except ExpungeError as error:
        return None, str(error).lower()


@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
def test_a_fit_is_certified_truly_or_refused(loss):
    certified = 0
    for seed in range(12 * SOAK):
        objective, rows = extreme(loss, np.random.default_rng([seed, CATALOGUE.index(loss)]))
        candidate, refusal = fitted(objective, rows)
        assert "nan" not in refusal
        if candidate is None:
            continue
        assert not math.isnan(candidate.distance_bound)
        if math.isfinite(candidate.distance_bound):
            truth = retrain(objective, rows, candidate.point)
            if truth is not None:
                certified += 1
                assert float(np.linalg.norm(candidate.point - truth[0])) - 2 * truth[1] <= candidate.distance_bound, seed
    assert certified > 0


@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
def test_the_charged_error_covers_the_real_one_at_any_magnitude(loss):
    """Far from the optimum, too: saturated, underflowed and blurred curvatures, against 80 bits, which reach to 1e±4932."""
    for seed in range(25 * SOAK):
        rng = np.random.default_rng([seed, CATALOGUE.index(loss)])
        objective, rows = extreme(loss, rng)
        anchor = rng.normal(size=objective.n_parameters)
        anchor *= 10.0 ** rng.uniform(-2, 4) / float(row_norms(objective, rows).max())
        with np.errstate(all="ignore"):
            found = Statistics.of(objective, rows, anchor)
            gradient, hessian = gradient_and_hessian(objective, rows, anchor.astype(L))
            gradient = gradient - objective.penalty_gradient(anchor, found.count).astype(L)
            hessian = hessian - objective.penalised_hessian(np.zeros_like(hessian), found.count)
            size = (
                np.abs(hessian).max() + np.abs(np.diag(objective.penalised_hessian(np.zeros_like(hessian), found.count))).max()
            )
            if not np.isfinite(hessian).all():
                continue
            apart = np.abs(found.hessian_sum - hessian).max()
            assert not apart > found.hessian_error + 1e-15 * size, seed  # NaN charges are infinite ones
            allowance = found.gradient_error + 1e-15 * float(np.abs(objective.penalty_gradient(anchor, found.count)).max())
            assert not float(np.abs(found.gradient_sum - gradient).max()) > allowance, seed
        assert not math.isnan(found.gradient_error + found.hessian_error)


def test_a_predictor_that_rounding_blurs_is_charged_its_whole_curvature():
    """x·w is 0 in truth, and up to 2¹⁸ in float64, depending on the order: the curvature found there is 0, the true one ¼."""
    objective, w, far = Objective(Logistic(), 4, fit_intercept=False), np.ones(4), 0
    for x in itertools.permutations([2.0**70, 2.0**17 + 1.0, -(2.0**70), -(2.0**17) - 1.0]):
        rows = Rows.of([x], [1.0])
        found = Statistics.of(objective, rows, w)
        far += abs(float(Evaluation(objective, rows, w).t[0])) > 800.0
        assert np.linalg.norm(found.hessian_sum - 0.25 * np.outer(x, x), 2) <= found.hessian_error
        assert np.linalg.norm(found.gradient_sum + 0.5 * np.array(x)) <= found.gradient_error
    assert far > 0


@pytest.mark.parametrize("bad", [1e-170, 1e-61, 1e61, 1e150, -1e150])
@pytest.mark.parametrize("placed", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_magnitudes_beyond_the_door_are_named(bad, placed):
    X = np.ones((5, 3))
    X[3, 1] = bad
    with pytest.raises(InvalidRows, match=r"row d, column 1 of X is .*rescale the column"):
        Rows.of(placed(X), np.zeros(5), ids=list("abcde"))
    values = np.zeros(5)
    values[3] = bad
    with pytest.raises(InvalidRows, match=r"y of row 3 is .*between 1e-60 and 1e"):
        Rows.of(placed(np.ones((5, 3))), values)
    with pytest.raises(InvalidRows, match=r"sample_weight of row 3 is .*rescale"):
        Rows.of(placed(np.ones((5, 3))), np.zeros(5), np.abs(values))
    with pytest.raises(ValueError, match="penalty must be 0 or between"):
        Objective(Squared(), 3, abs(bad))


def test_what_is_at_the_door_comes_in():
    edge = np.array([[1e-60, 1e60, 0.0, -1e60]])
    assert len(Rows.of(edge, [1e60], [1e-60])) == len(Rows.of(sparse.csr_array(edge), [-1e-60], [0.0])) == 1
    tiny = np.full((1, 2), 1e-45, dtype=np.float32)
    assert Rows.of(tiny, [0.0]).X is tiny


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e-60, 1.0, 1e60, 1e150, 1e300])
@pytest.mark.parametrize("placed", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_norms_of_any_magnitude(size, placed):
    X = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -1.0]]) * size
    for intercept in (False, True):
        rows, objective = Rows(placed(X), np.zeros(3)), Objective(Squared(), 2, fit_intercept=intercept)
        wanted = np.hypot(size * np.array([5.0, 0.0, 1.0]), float(intercept))
        found = row_norms(objective, rows)
        assert (found >= wanted * (1 - 1e-15)).all()
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
        assert Evaluation(objective, rows, np.zeros(2 + intercept)).longest == found.max()
    at = Evaluation(Objective(Softmax(3), 2, fit_intercept=False), Rows(placed(X), np.zeros(3)), np.zeros(6))
    assert at.shift(np.ones(6)) == pytest.approx(size * 7 * math.sqrt(3), rel=1e-9)


@pytest.mark.parametrize("bad", NOT_NUMBERS)
def test_a_bound_of_what_is_no_number_is_no_bound(bad):
    good: dict[str, Any] = {"self_concordance": 1.0, "extremes": RowExtremes(1.0, 1.0)}
    good |= {"curvature_floor": 1.0, "hessian_error": 1e-12}
    assert bounds.residual(Geometry(**good), 0.1, 1e-3) < math.inf
    for name in ("curvature_floor", "hessian_error"):
        geometry = Geometry(**good | {name: bad})
        assert bounds.residual(geometry, 0.1, 1e-3) == math.inf
        assert geometry.rounding(np.ones(2), 1e-9, 1e-9) == math.inf
        assert geometry.whitened_norm == math.inf
    geometry = Geometry(**good)
    for t, decrement in ((bad, 1e-3), (0.1, bad)):
        assert bounds.residual(geometry, t, decrement) == math.inf
    nothing = Geometry(**good | {"extremes": RowExtremes(bad, bad)})
    assert bounds.residual(nothing, 0.1, 1e-3) == math.inf
    assert nothing.hessian_change(np.ones(2), 1.0, 1.0).t == 1.0 * bounds.ROUND_UP  # the row's own reach still holds
    assert nothing.hessian_change(np.zeros(2), 0.0).t == math.inf
    assert geometry.hessian_change(np.array([bad, 1.0]), bad, bad).t == math.inf
    assert geometry.length(np.array([bad, 1.0]), np.ones(2)) == math.inf
    assert geometry.length(np.ones(2), np.array([bad, 1.0])) == math.inf
    for arguments in ((bad, 1e-9), (1e-9, bad)):
        assert geometry.rounding(np.ones(2), *arguments) == math.inf
    assert geometry.rounding(np.array([bad]), 0.0, 0.0) == math.inf
    assert bounds.newton_decrement(bad, UNCHANGED, HessianChange(0.1, 0.1, 0.1)) == math.inf
    assert bounds.newton_decrement(1.0, UNCHANGED, HessianChange(bad, bad, bad)) == math.inf
    constants = {
        "count": 9.0,
        "changed": 1.0,
        "strong_convexity": 1.0,
        "lipschitz": 1.0,
        "hessian_lipschitz": 1.0,
        "gradient": 0.0,
    }
    for name in constants:
        for formula in (bounds.worst_case, bounds.sekhari2021):
            assert formula(**constants | {name: bad}) == math.inf


@pytest.mark.parametrize("size", [1e-250, 1e-180, 1e-60, 1.0, 1e60, 1e180, 1e300])
@pytest.mark.parametrize("p", [4, 501])
def test_floors_and_factors_of_any_magnitude(size, p):
    rng = np.random.default_rng(0)
    root = rng.normal(size=(p, p))
    scaled = Hessian(Objective(Squared(), p, 0.0, fit_intercept=False), (root @ root.T + np.eye(p)) * size, 1.0)
    smallest = np.linalg.eigvalsh(scaled.sum / size)[0] * size
    assert 0.5 * smallest <= eigenvalue_floor(scaled) <= smallest * (1 + 1e-9)
    factor = Factor.of(scaled)
    assert factor.norm >= 1.0 / smallest * (1 - 1e-9)
    target = np.ones(p) * size
    x, _product, residual = factor.solve(scaled, target)
    assert np.abs(scaled.dense() @ x - target).max() <= residual < 1e-6 * size
    if p < 10:
        rows = rng.normal(size=(2, p)) * math.sqrt(size)
        s = Exchange.of(scaled, factor, rows).top_whitened_curvature(eigenvalue_floor(scaled))
        assert s == pytest.approx(np.linalg.eigvalsh(rows @ factor.inverse @ rows.T)[-1], rel=1e-6)


@pytest.mark.parametrize("bad", NOT_NUMBERS)
def test_what_is_no_number_in_a_matrix_shows_nothing(bad):
    matrix = np.eye(3)
    matrix[1, 1] = bad
    good = Hessian(Objective(Squared(), 3, 0.0, fit_intercept=False), np.eye(3), 1.0)
    hessian = Hessian(good.objective, matrix, 1.0)
    assert eigenvalue_floor(hessian) == 0.0
    assert inverse_error(hessian, Factor(np.eye(3))) == inverse_error(good, Factor(matrix)) == math.inf
    assert Factor(matrix).root is None and Factor(matrix).norm == math.inf
    assert Factor(np.eye(3)).solve(hessian, np.ones(3)).residual == math.inf
    for rows in (matrix[:2], np.vstack([matrix, matrix])):
        assert Exchange.of(good, Factor(np.eye(3)), rows).top_whitened_curvature(1.0) == math.inf
    assert Exchange.of(good, Factor(np.eye(3)), np.eye(3)).top_whitened_curvature(bad) == math.inf
    assert not (Exchange.of(good, Factor(np.eye(3)), matrix).own_curvature(3) > 1).any()  # nobody is refused for an overflow
    exchange = Exchange.of(good, Factor(np.eye(3)), 0.1 * matrix[:2])
    assert np.isfinite(exchange.exchanged(good, 1.0).inverse).all()


@pytest.mark.parametrize(("x", "y"), list(itertools.product([1e-3, 1.0, 1e3], [1.0, 50.0])))
@pytest.mark.parametrize("loss", [PseudoHuber(1.0), PseudoHuber(0.05), LogCosh()], ids=repr)
def test_residuals_far_beyond_the_scale_of_the_loss_are_fitted(loss, x, y):
    """Newton's own step from there is longer than needed by the square of the distance."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    rows = Rows.of(X * x, y * (100.0 + X @ [1.0, -2.0, 0.5] + rng.standard_cauchy(size=200)))
    objective = Objective(loss, 3, 1e-3)
    candidate = from_statistics(DenseState.fitted(objective, rows, LocalEngine()))
    optimum, slack = retrain(objective, rows, candidate.point)
    assert np.linalg.norm(candidate.point - optimum) <= 1e-6 * np.linalg.norm(optimum) + slack
    assert np.linalg.norm(candidate.point - optimum) - 2 * slack <= candidate.distance_bound


@pytest.mark.parametrize("size", [1e3, 1e5, 1e8, 1e20, 1e50])
@pytest.mark.parametrize("loss", [Logistic(), Softmax(2), Softmax(4)], ids=repr)
def test_large_rows_of_a_classifier_are_fitted_or_refused(loss, size):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    rows = Rows.of(X * size, targets(loss, X @ rng.normal(size=(3, loss.outputs)), rng))
    for penalty, intercept in itertools.product((0.0, 1e-3, 1.0), (True, False)):
        objective = Objective(loss, 3, penalty, fit_intercept=intercept)
        candidate, refusal = fitted(objective, rows)
        assert candidate is not None or "rescale" in refusal
        truth = None if candidate is None else retrain(objective, rows, candidate.point)
        if candidate is not None and truth is not None:
            assert np.linalg.norm(candidate.point - truth[0]) - 2 * truth[1] <= candidate.distance_bound

"""Rows in any array-API namespace give NumPy's sums, on whatever device they lie; solve and certificate stay on the host."""

from typing import Any

import array_api_strict
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from expunge.engine.local import LocalEngine
from expunge.errors import InvalidRows
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.leverage import top_leverage
from expunge.numerics.statistics import Statistics
from expunge.privacy import Guarantee
from expunge.problem.losses import Logistic, Softmax
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.dense import DenseState
from expunge.unlearning.settings import Settings
from expunge.unlearning.state import State
from expunge.unlearning.unlearner import Unlearner
from tests.problems import CATALOGUE, problem


def on_cuda(X):
    return torch.asarray(X).to("cuda")


NAMESPACES = {
    "array-api-strict": array_api_strict.asarray,
    "torch": torch.asarray,
    "torch on CUDA": pytest.param(
        on_cuda, marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: PyTorch finds no CUDA device")
    ),
}
everywhere = pytest.mark.parametrize("placed", NAMESPACES.values(), ids=NAMESPACES.keys())


@everywhere
@given(st.sampled_from(CATALOGUE), st.integers(0, 2**32 - 1))
def test_sums(placed, loss, seed):
    made = problem(loss, seed)
    objective, rows = made.objective, made.rows
    w = np.random.default_rng(seed).normal(size=objective.n_parameters) * 0.3
    there = Rows.of(placed(rows.X), rows.y, rows.sample_weight)
    found, wanted = Statistics.of(objective, there, w), Statistics.of(objective, rows, w)
    apart = np.linalg.norm(found.gradient_sum - wanted.gradient_sum)
    assert apart <= found.gradient_error + wanted.gradient_error
    assert np.linalg.norm(found.hessian_sum - wanted.hessian_sum, 2) <= found.hessian_error + wanted.hessian_error
    assert found.gradient_error == pytest.approx(wanted.gradient_error, rel=1e-6)
    assert found.hessian_error == pytest.approx(wanted.hessian_error, rel=1e-6)
    assert found.count == pytest.approx(wanted.count, rel=1e-14)
    np.testing.assert_array_equal(found.class_rows, wanted.class_rows)
    at, here = Evaluation(objective, there, w), Evaluation(objective, rows, w)
    np.testing.assert_allclose(at.product(w), here.product(w), rtol=1e-9, atol=1e-9 * np.abs(wanted.hessian_sum).max())
    for one, other in zip(at.curvature_sums(), here.curvature_sums(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * np.abs(wanted.hessian_sum).max())
    assert at.longest == pytest.approx(here.longest, rel=1e-12)
    assert at.shift(w) == pytest.approx(here.shift(w), rel=1e-9)
    root: Any = np.linalg.cholesky(np.eye(len(w)) * 0.7)
    assert top_leverage(at, root) == pytest.approx(top_leverage(here, root), rel=1e-3)


@everywhere
@pytest.mark.parametrize("loss", [Logistic(), Softmax(3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_life(placed, loss, dtype):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(900, 6)).astype(dtype)
    y = np.arange(900) % (2 if loss.outputs == 1 else 3)
    objective, settings = Objective(loss, 6), Settings(Guarantee(1.0, 1e-5), sigma=0.0)
    here, there = Rows.of(X, y), Rows.of(placed(X), y)
    models = [Unlearner.learn_from(objective, rows, settings) for rows in (here, there)]
    np.testing.assert_allclose(models[0].release.weights, models[1].release.weights, atol=1e-9)
    gone, left = slice(0, 30), slice(30, None)
    for model, rows in zip(models, (here, there), strict=True):
        certificate = model.forget(rows.take(gone), rows.take(left)).certificate
        assert certificate.passes == 3
        assert model.true_distance(rows.take(left)) <= certificate.distance_bound
    np.testing.assert_allclose(models[0].release.weights, models[1].release.weights, atol=1e-9)
    assert isinstance(models[1]._secret.state, State)
    assert type(models[1]._secret.state.statistics.hessian_sum) is np.ndarray


@everywhere
def test_bad_rows_are_named(placed):
    X = np.ones((10, 2))
    X[7, 1] = np.nan
    with pytest.raises(InvalidRows, match="row 7, column 1 of X is NaN"):
        Rows.of(placed(X), np.zeros(10))
    rows = Rows.of(placed(np.ones((10, 2))), [0, 1, 0, 5, 0, 1, 0, 1, 0, 1])
    with pytest.raises(InvalidRows, match="y of row 3 is 5"):
        DenseState.fitted(Objective(Logistic(), 2), rows, LocalEngine())

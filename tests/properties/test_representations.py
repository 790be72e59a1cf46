"""One matrix is one matrix, however it is stored: equal norms, statistics, certificates, and rows that can be forgotten."""

from typing import Any

import array_api_strict
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from expunge.engine.local import LocalEngine
from expunge.errors import InvalidRows
from expunge.linear_model import LogisticRegression
from expunge.numerics.row_norms import row_norms
from expunge.numerics.statistics import Statistics
from expunge.problem.losses import Logistic, Poisson, PseudoHuber, Softmax
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.dense import DenseState
from expunge.unlearning.ladder import from_statistics
from tests.conftest import SOAK
from tests.oracle import retrain
from tests.problems import targets


def csr_with_duplicates(X):
    """Every entry in three pieces, columns out of order, and stored zeros."""
    n, d = X.shape
    pieces = np.stack([X - 1.0, np.full_like(X, 3.0), np.full_like(X, -2.0)], axis=1).reshape(n, 3 * d)
    indices = np.tile(np.arange(3 * d) % d, n)
    return sparse.csr_array((pieces.ravel(), indices, np.arange(0, 3 * d * n + 1, 3 * d)), shape=X.shape)


def coo_with_duplicates(X):
    csr = csr_with_duplicates(X).tocoo()
    order = np.random.default_rng(0).permutation(len(csr.data))
    return sparse.coo_array((csr.data[order], (csr.row[order], csr.col[order])), shape=X.shape)


def csr_with_zeros(X):
    csr = sparse.csr_array(np.ones_like(X))
    csr.data[:] = X.ravel()
    return csr


def csr_unsorted(X):
    csr = sparse.csr_array(X)
    for start, stop in zip(csr.indptr[:-1], csr.indptr[1:], strict=True):
        csr.data[start:stop], csr.indices[start:stop] = csr.data[start:stop][::-1].copy(), csr.indices[start:stop][::-1].copy()
    return csr


def csr_that_claims_to_be_canonical(X):
    csr = csr_with_duplicates(X)
    csr.has_canonical_format = csr.has_sorted_indices = True
    return csr


def read_only(X):
    X = X.copy()
    X.setflags(write=False)
    return X


REPRESENTATIONS = {
    "Fortran order": np.asfortranarray,
    "every other row of more": lambda X: np.repeat(X, 2, axis=0)[::2],
    "negative strides": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": read_only,
    "list": lambda X: X.tolist(),
    "matrix": np.asmatrix,
    "masked array with nothing masked": np.ma.asarray,
    "big-endian": lambda X: X.astype(">f8"),
    "int8": lambda X: X.astype(np.int8),
    "float16": lambda X: X.astype(np.float16),
    "float32": lambda X: X.astype(np.float32),
    "longdouble": lambda X: X.astype(np.longdouble),
    "object": lambda X: X.astype(object),
    "pandas": pd.DataFrame,
    "pandas, nullable": lambda X: pd.DataFrame(X).astype("Float64"),
    "polars": pl.DataFrame,
    "torch": torch.asarray,
    "torch with a gradient": lambda X: torch.asarray(X).clone().requires_grad_(),
    "torch bfloat16": lambda X: torch.asarray(X).to(torch.bfloat16),
    "torch int": lambda X: torch.asarray(X).to(torch.int32),
    "array-api-strict": array_api_strict.asarray,
    "array-api-strict int": lambda X: array_api_strict.asarray(X.astype(np.int16)),
    "csr": sparse.csr_array,
    "csr matrix": sparse.csr_matrix,
    "csr float32": lambda X: sparse.csr_array(X.astype(np.float32)),
    "csr int8": lambda X: sparse.csr_array(X.astype(np.int8)),
    "csr int8 with duplicates": lambda X: csr_with_duplicates(X).astype(np.int8),
    "csr with duplicates": csr_with_duplicates,
    "csr with duplicates that claims to be canonical": csr_that_claims_to_be_canonical,
    "csr with zeros": csr_with_zeros,
    "csr out of order": csr_unsorted,
    "csc": sparse.csc_array,
    "csc with duplicates": lambda X: csr_with_duplicates(X.T).T,
    "coo": sparse.coo_matrix,
    "coo with duplicates": coo_with_duplicates,
    "bsr": sparse.bsr_array,
    "lil": sparse.lil_array,
    "dok": sparse.dok_array,
    "dia": sparse.dia_array,
}
LOSSES = (Logistic(), Softmax(3), PseudoHuber(0.5), Poisson())
pytestmark = pytest.mark.filterwarnings("ignore:the matrix subclass")
everywhere = pytest.mark.parametrize("stored", REPRESENTATIONS.values(), ids=REPRESENTATIONS.keys())


def problem(loss, seed):
    """Small whole numbers, many of them 0, which every representation holds exactly."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(20, 60)), int(rng.integers(2, 6))
    X = rng.integers(-3, 4, size=(n, d)) * (rng.random((n, d)) < 0.6).astype(float)
    y = targets(loss, 0.2 * X @ rng.normal(size=(d, loss.outputs)), rng)
    weight = rng.choice([0.5, 1.0, 2.0], size=n) if rng.random() < 0.5 else None
    return Objective(loss, d, 1.0, fit_intercept=bool(rng.random() < 0.5)), X, y, weight


def arrays_in(stored):
    if sparse.issparse(stored):
        return [getattr(stored, name) for name in ("data", "indices", "indptr", "row", "col") if hasattr(stored, name)]
    return [np.asarray(stored)] if isinstance(stored, np.ndarray) else []


@everywhere
@settings(max_examples=15 * SOAK)
@given(loss=st.sampled_from(LOSSES), seed=st.integers(0, 2**32 - 1))
def test_one_matrix(stored, loss, seed):
    objective, X, y, weight = problem(loss, seed)
    given_X = stored(X)
    before = [array.copy() for array in arrays_in(given_X)]
    there, here = Rows.of(given_X, y, weight), Rows.of(X, y, weight)
    for array, was in zip(arrays_in(given_X), before, strict=True):
        np.testing.assert_array_equal(array, was)  # what the caller has is as it was
    norms = np.sqrt((X**2).sum(axis=1) + objective.fit_intercept)
    found = row_norms(objective, there)
    assert (found >= norms * (1 - 1e-15)).all()
    np.testing.assert_allclose(found, norms, rtol=1e-12)

    w = np.random.default_rng(seed).normal(size=objective.n_parameters) * 0.3
    a, b = Statistics.of(objective, there, w), Statistics.of(objective, here, w)
    assert np.linalg.norm(a.gradient_sum - b.gradient_sum) <= a.gradient_error + b.gradient_error
    assert np.linalg.norm(a.hessian_sum - b.hessian_sum, 2) <= a.hessian_error + b.hessian_error
    assert (a.gradient_error, a.hessian_error) == pytest.approx((b.gradient_error, b.hessian_error), rel=1e-6)
    assert a.count == b.count
    np.testing.assert_array_equal(there.take([1, 0]).on_host().y, y[[1, 0]])
    assert there.duplicate() == here.duplicate()


@everywhere
@settings(max_examples=8 * SOAK)
@given(loss=st.sampled_from(LOSSES), seed=st.integers(0, 2**32 - 1))
def test_learned_in_one_and_forgotten_in_another(stored, loss, seed):
    objective, X, y, weight = problem(loss, seed)
    kept = np.arange(len(y)) >= 3
    if any((y[kept] == code).sum() == 0 for code in range(loss.classes)):
        return

    def rows(how, mask):
        return Rows.of(how(X[mask]), y[mask], None if weight is None else weight[mask])

    truth, slack = retrain(objective, rows(np.asarray, kept), np.zeros(objective.n_parameters))
    found = []
    for learned, gone in ((np.asarray, np.asarray), (np.asarray, stored), (stored, np.asarray), (stored, stored)):
        state = DenseState.fitted(objective, rows(learned, slice(None)), LocalEngine()).removed(rows(gone, ~kept))
        candidate = from_statistics(state)
        assert np.linalg.norm(candidate.point - truth) - 2 * slack <= candidate.distance_bound
        found.append((state.extremes.row_norm, candidate.distance_bound, candidate.point))
    for row_norm, distance, point in found[1:]:
        assert row_norm == pytest.approx(found[0][0], rel=1e-12)
        assert distance == pytest.approx(found[0][1], rel=1e-3, abs=1e-11)
        np.testing.assert_allclose(point, found[0][2], atol=1e-9)


def test_duplicates_are_summed_as_scipy_does():
    rng = np.random.default_rng(0)
    indices = rng.integers(0, 4, size=(50, 40))
    X = sparse.csr_array(
        (rng.normal(size=2000) * 10.0 ** rng.uniform(-8, 8, 2000), indices.ravel(), np.arange(0, 2001, 40)), shape=(50, 4)
    )
    for given_X in (X, X.tocoo(), X.tocsc()):
        np.testing.assert_array_equal(Rows.of(given_X, np.zeros(50)).X.toarray(), X.toarray())


def test_small_integers_do_not_wrap_when_they_are_summed():
    X = sparse.coo_array((np.array([100, 100], dtype=np.int8), ([0, 0], [0, 0])), shape=(1, 1))
    assert Rows.of(X, [0.0]).X.toarray() == [[200.0]]


def test_the_rows_of_a_term_count_have_their_true_norms():
    """SciPy's own recipe for counting terms stores a word that comes twice twice."""
    rng = np.random.default_rng(0)
    documents = [rng.integers(0, 12, size=int(rng.integers(5, 40))) for _ in range(300)]
    indptr = np.cumsum([0, *map(len, documents)])
    X = sparse.csr_array((np.ones(indptr[-1]), np.concatenate(documents), indptr), shape=(300, 12))
    y = (X.toarray()[:, 0] + rng.logistic(size=300) > 2).astype(int)
    models = [LogisticRegression(sigma=0).fit(Z, y) for Z in (X, X.toarray())]
    for model in models:
        model.forget(X[:5], y[:5])
    assert models[0].certificate_.distance_bound == pytest.approx(models[1].certificate_.distance_bound, rel=1e-3)
    assert models[0].true_distance(X[5:], y[5:]) <= models[0].certificate_.distance_bound


@pytest.mark.parametrize(
    "Y",
    [
        lambda y: y[:, None],
        lambda y: y > 0,
        lambda y: y.astype(np.float16),
        pd.Series,
        lambda y: pd.DataFrame({"y": y}),
        pl.Series,
        lambda y: sparse.coo_array(y[:, None]),
        torch.asarray,
        array_api_strict.asarray,
        lambda y: np.ma.asarray(y),
        lambda y: read_only(y),
    ],
)
@pytest.mark.parametrize("placed", [np.asarray, torch.asarray, sparse.csr_array])
def test_targets_and_weights_too(Y, placed):
    X, y = np.eye(4), np.array([0.0, 1.0, 1.0, 0.0])
    rows = Rows.of(placed(X), Y(y), Y(y)).on_host()
    for values in (rows.y, rows.sample_weight):
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, y)


def test_booleans_are_ones():
    X = np.array([[True, False], [True, True]])
    for stored in (X, X.tolist(), torch.asarray(X), array_api_strict.asarray(X), sparse.csr_array(X), pd.DataFrame(X)):
        rows = Rows.of(stored, [True, False])
        np.testing.assert_array_equal(rows.X.toarray() if sparse.issparse(rows.X) else rows.on_host().X, X.astype(float))


MASKED = np.ma.array(np.eye(3), mask=np.eye(3) * [0, 0, 1] > 0)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (MASKED, "X of row 2 is masked"),
        (list(MASKED), "X of row 2 is masked"),
        (np.eye(3) * 1j, "holds complex128, not real numbers"),
        (torch.eye(3).to(torch.complex64), "complex"),
        (sparse.csr_array(np.eye(3) * 1j), "complex128"),
        (np.eye(3).astype("datetime64[s]"), r"datetime64\[s\]"),
        (np.eye(3).astype(str), "texts"),
        (np.eye(3).astype(str).astype(object), "texts"),
        (pd.DataFrame(np.eye(3)).astype("Float64").mask(np.eye(3) == 1), "cannot be read as numbers"),
        (np.full((3, 3), 10**400, dtype=object), "cannot be read as numbers"),
        (np.full((3, 3), np.longdouble("1e400")), "row 0, column 0 of X is NaN or infinite"),
        ([[1.0], [1.0, 2.0], [1.0]], "cannot be read as numbers"),
        (sparse.coo_array(np.ones(3)), "two dimensions"),
        (torch.eye(3).to_sparse(), "sparse tensor"),
        (sparse.csr_array((np.ones(2), [0, -1], [0, 1, 2, 2]), shape=(3, 3)), "not a valid sparse matrix"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_matrix_of_numbers_is_refused(X, message):
    with pytest.raises(InvalidRows, match=message):
        Rows.of(X, np.zeros(3))


@pytest.mark.parametrize("what", ["y", "sample_weight"])
def test_masked_targets_and_weights_are_refused(what):
    given_rows: dict[str, Any] = {"X": np.eye(3), "y": np.ones(3), "sample_weight": np.ones(3)} | {
        what: np.ma.array(np.ones(3), mask=[False, True, False])
    }
    with pytest.raises(InvalidRows, match=f"{what} of row 1 is masked"):
        Rows.of(**given_rows)
    with pytest.raises(InvalidRows, match=r"of row . is masked"):
        LogisticRegression(sigma=0).fit(MASKED, [0, 1, 0])


@pytest.mark.parametrize("stored", [csr_with_duplicates, csr_unsorted, sparse.csc_array, sparse.coo_array])
def test_no_other_sparse_form_gets_past_the_door(stored):
    X = np.arange(1.0, 7.0).reshape(2, 3)
    with pytest.raises(InvalidRows, match=r"Rows\.of"):
        Rows(stored(X), np.zeros(2))


def test_a_memory_map_stays_on_disk(tmp_path):
    for dtype in (np.float32, np.float64):
        mapped = np.memmap(tmp_path / f"{np.dtype(dtype)}", dtype=dtype, mode="w+", shape=(5, 2))
        mapped[:] = 1.0
        rows = Rows.of(mapped, np.zeros(5))
        assert np.shares_memory(rows.X, mapped) and rows.X.dtype == dtype

"""Rows in blocks: the same numbers as dense rows, and bounds that hold for the order in which blocks are summed."""

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from expunge.engine.local import LocalEngine
from expunge.numerics import splitting
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.factor import Factor, Hessian
from expunge.numerics.higher import HigherSums, Reference
from expunge.numerics.leverage import leverages
from expunge.numerics.splitting import can_be_split, split
from expunge.numerics.statistics import Statistics
from expunge.numerics.support import Support
from expunge.problem import joining
from expunge.problem import split as split_module
from expunge.problem.levels import Levels
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.problem.split import SplitMatrix, pays
from expunge.unlearning.dense import DenseState
from tests.conftest import examples
from tests.problems import CATALOGUE, Problem, targets
from tests.properties.test_bounds import rungs

SEEDS = st.integers(0, 2**32 - 1)
LOSSES = pytest.mark.parametrize("loss", CATALOGUE, ids=repr)


@pytest.fixture(autouse=True)
def always():
    """Rows are split whether or not it pays, and columns are kept sparse sooner."""
    with (
        mock.patch.object(splitting, "SMALLEST", 0),
        mock.patch.object(splitting, "pays", return_value=True),
        mock.patch.object(splitting, "THIN", 0.4),
    ):
        yield


def table(seed: int, n_rows: int | None = None) -> np.ndarray:
    """Categories, some with none of their columns, some with values of their own, numbers, and numbers that are mostly 0.

    Columns are in any order, and some rows are scaled."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(15, 60)) if n_rows is None else n_rows
    blocks = [np.eye(k + 1)[rng.integers(0, k + 1, n)][:, :k] for k in rng.integers(1, 6, size=int(rng.integers(0, 4)))]
    blocks = [block * rng.uniform(0.5, 1.5, size=(n, 1)) if rng.random() < 0.2 else block for block in blocks]
    mostly_0 = rng.normal(size=(n, int(rng.integers(0, 4)))) * (rng.random((n, 1)) < 0.3)
    X = np.hstack([*blocks, rng.normal(size=(n, int(rng.integers(0 if blocks else 1, 4)))) * 0.5, mostly_0])
    if rng.random() < 0.5:
        X *= rng.uniform(0.1, 2.0, size=(n, 1))
    return X[:, rng.permutation(X.shape[1])].astype((np.float32, np.float64)[int(rng.integers(2))])


def both(loss, seed: int) -> tuple[Objective, Rows, Rows]:
    """An objective, and its rows dense and in blocks."""
    rng, X = np.random.default_rng(seed), table(seed)
    y = targets(loss, X.astype(np.float64) @ rng.normal(size=(X.shape[1], loss.outputs)) * 0.5, rng)
    objective = Objective(loss, X.shape[1], 0.3, fit_intercept=bool(rng.integers(2)))
    weight = rng.choice([0.5, 1.0, 3.0], size=len(y)) if rng.random() < 0.3 else None
    if loss.outputs == 1 and rng.random() < 0.3:
        objective, X = replace(objective, offset=True), np.hstack([X, rng.normal(size=(len(X), 1)).astype(X.dtype)])
    rows = Rows.of(X, y, weight)
    given_rows = rows if rng.random() < 0.5 else Rows.of(sparse.csr_array(X), y, weight)
    blocks = split(objective, given_rows, Support.of(objective, rows))
    assert isinstance(blocks.X, SplitMatrix)
    return objective, rows, blocks


@given(seed=SEEDS)
def test_blocks_hold_the_same_values(seed):
    X = table(seed)
    rows = Rows.of(X, np.zeros(len(X)))
    support = Support.of(Objective(CATALOGUE[0], X.shape[1]), rows)
    for given_X in (X, sparse.csr_array(X)):
        found = split(Objective(CATALOGUE[0], X.shape[1]), Rows.of(given_X, rows.y), support).X
        np.testing.assert_array_equal(found.toarray(), X)
        np.testing.assert_array_equal(found.tocsr().toarray(), X)
        assert found.dtype == X.dtype
        in_blocks = [column for each in found.blocks for column in each.levels.columns]
        assert sorted([*found.dense_columns, *found.csr_columns, *in_blocks]) == list(range(X.shape[1]))
        again = Support.of(Objective(CATALOGUE[0], X.shape[1]), replace(rows, X=found))
        np.testing.assert_array_equal(again.largest, support.largest)
        np.testing.assert_array_equal(again.together[:-1, :-1], (X != 0).astype(float).T @ (X != 0) > 0)
        assert again.together[-1].all() and again.together[:, -1].all()
        for index in (slice(3, 9), slice(None, None, 2), np.arange(len(X)) % 3 == 0, [4, 1, 1]):
            np.testing.assert_array_equal(found[index].toarray(), X[index])


def test_every_kind_of_block_is_tried():
    found = [both(CATALOGUE[0], seed)[2].X for seed in range(40)]
    sizes = [len(block.levels.categories) for X in found for block in X.blocks]
    assert {1, 2, 3} == set(sizes)
    assert any(any(block.levels.has_none) for X in found for block in X.blocks)
    assert 5 < sum(len(X.csr_columns) > 1 for X in found) < 35
    assert sum(len(X.dense_columns) > 0 for X in found) > 5


@given(seed=SEEDS)
def test_products_of_blocks_are_those_of_the_rows(seed):
    rng, X = np.random.default_rng(seed), table(seed).astype(np.float64)
    rows = Rows.of(X, np.zeros(len(X)))
    objective = Objective(CATALOGUE[0], X.shape[1])
    found = split(objective, rows, Support.of(objective, rows)).X
    w, s, matrix = rng.normal(size=X.shape[1]), rng.normal(size=len(X)), rng.normal(size=(X.shape[1],) * 2)
    matrix = matrix + matrix.T
    for a, b in (
        (found @ w, X @ w),
        (found @ matrix, X @ matrix),
        (found.T @ s, X.T @ s),
        (found.T @ np.outer(s, [1.0, 2.0]), X.T @ np.outer(s, [1.0, 2.0])),
        (found.gram(s), (X * s[:, None]).T @ X),
        (found.quadratic(matrix), np.einsum("ij,jk,ik->i", X, matrix, X)),
        (found.squared_norms(), (X * X).sum(axis=1)),
        (found.squared().toarray(), X * X),
    ):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@LOSSES
@settings(max_examples=examples(25))
@given(seed=SEEDS)
def test_sums_differ_by_no_more_than_their_errors(loss, seed):
    objective, dense, blocks = both(loss, seed)
    w = np.random.default_rng(seed).normal(size=objective.n_parameters) * 0.3
    a, b = (Statistics.of(objective, rows, w) for rows in (dense, blocks))
    assert np.linalg.norm(a.gradient_sum - b.gradient_sum) <= a.gradient_error + b.gradient_error
    assert np.linalg.norm(a.hessian_sum - b.hessian_sum, 2) <= a.hessian_error + b.hessian_error
    assert (a.gradient_error, a.hessian_error) == pytest.approx((b.gradient_error, b.hessian_error), rel=1e-6)
    here, there = (Evaluation(objective, rows, w) for rows in (dense, blocks))
    np.testing.assert_allclose(there.norms, here.norms, rtol=1e-13)
    for one, other in zip(there.curvature_sums(), here.curvature_sums(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    assert there.shift(w) == pytest.approx(here.shift(w), rel=1e-9)
    if loss.self_concordance == 0:
        return
    hessian = Hessian(objective, a.hessian_sum, a.count)
    reference = Reference.of(hessian, Factor.of(hessian))
    if reference is None:
        return
    exact = np.linalg.inv(hessian.dense()).astype(np.longdouble)
    design = np.asarray(objective.design(dense), dtype=np.longdouble)
    K, width = loss.outputs, objective.width
    G = exact.reshape(K, width, K, width)
    grid = np.einsum("iw,kwjv,iv->ikj", design, G, design).astype(np.float64)
    true = np.linalg.eigvalsh(0.5 * (grid + grid.transpose(0, 2, 1)))[:, -1]
    bound, excess = leverages(there, reference.root)
    assert (bound >= true * (1 - 1e-9)).all()
    assert (bound - excess <= true * (1 + 1e-9) + 1e-12).all()
    first, second = (HigherSums.at(at, leverages(at, reference.root), 3) for at in (here, there))
    K_exact = here.weighted_hessian(true)[0]
    for sums in (first, second):  # leverages are rounded up, and K with them
        assert np.linalg.eigvalsh(sums.leverage_sum - K_exact)[0] >= -sums.leverage_error - 1e-9 * np.linalg.norm(K_exact)
        assert np.linalg.norm(sums.leverage_sum - K_exact) <= 1e-2 * np.linalg.norm(K_exact) + sums.leverage_error
    step = np.random.default_rng(seed + 1).normal(size=len(w))
    assert first.third is not None
    assert second.third is not None
    apart = np.linalg.norm(first.third.contracted(step) - second.third.contracted(step), 2)
    size = float(np.linalg.norm(step))
    assert apart <= first.contraction_error(size) + second.contraction_error(size)


@LOSSES
@settings(max_examples=examples(40))
@given(seed=SEEDS, order=st.sampled_from([2, 3]))
def test_every_rung_is_an_upper_bound_for_rows_in_blocks(loss, seed, order):
    objective, rows, _blocks = both(loss, seed)
    rng = np.random.default_rng(seed)
    gone = rng.random(len(rows)) < 0.1
    gone[: loss.classes + 1] = False
    assert [found for found in rungs(Problem(objective, rows, gone), order) if not found[2] <= found[1]] == []


@LOSSES
@settings(max_examples=examples(10))
@given(seed=SEEDS)
def test_a_fit_is_the_same_within_its_rounding(loss, seed):
    objective, rows, _blocks = both(loss, seed)
    found = DenseState.fitted(objective, rows, LocalEngine(), order=3)
    with mock.patch.object(splitting, "SMALLEST", 1 << 60):
        plain = DenseState.fitted(objective, rows, LocalEngine(), order=3)
    (here, *_), (there, *_) = (list(state.candidates(None, LocalEngine(), 0)) for state in (found, plain))
    assert np.linalg.norm(here.point - there.point) <= here.distance_bound + there.distance_bound
    assert found.curvature_floor == pytest.approx(plain.curvature_floor, rel=1e-6)
    assert found.extremes.row_norm == pytest.approx(plain.extremes.row_norm, rel=1e-12)
    assert found.extremes.whitened_norm == pytest.approx(plain.extremes.whitened_norm, rel=1e-3)


def test_rows_without_categories_stay_as_they_are(rng):
    X = rng.normal(size=(3000, 100))
    rows = Rows.of(X, np.zeros(len(X)))
    with mock.patch.object(splitting, "SMALLEST", 1 << 18), mock.patch.object(splitting, "pays", pays):
        objective = Objective(CATALOGUE[0], 100)
        assert split(objective, rows, Support.of(objective, rows)) is rows
        few = rows.take(slice(0, 10))
        assert split(objective, few, Support.of(objective, few)) is few
        assert can_be_split(rows) and not can_be_split(few)


ROWS = np.array([[1.0, 0.0, 0.5, 3.0, 0.0], [0.0, 2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.25, 0.0, 1.0]])
GROUPS = [np.array([0, 1]), np.array([2]), np.array([3, 4])]


def test_values_can_be_of_another_type():
    found = SplitMatrix.of(ROWS, GROUPS)
    assert found.astype(np.float64, copy=False) is found
    for copied in (found.astype(np.float64), found.astype(np.float64, copy=True), found.astype(np.float32, copy=False)):
        assert copied is not found
        assert not np.shares_memory(copied.dense, found.dense)
        assert not any(np.shares_memory(a.values, b.values) for a, b in zip(copied.blocks, found.blocks, strict=True))
        np.testing.assert_array_equal(copied.toarray(), ROWS)
    assert found.astype(np.float32, copy=False).dtype == np.float32


def test_a_matrix_in_blocks_says_how_large_it_is():
    found = SplitMatrix.of(ROWS, GROUPS)
    assert (found.shape, found.ndim, found.stored) == ((3, 5), 2, 3)
    assert found.nbytes == 3 * 8 + len(found.blocks) * 3 * (8 + 4) + found.csr.indptr.nbytes
    np.testing.assert_array_equal(found[1:, :].toarray(), ROWS[1:])
    csr = found.tocsr()
    assert csr.has_canonical_format and csr.nnz == 6


def test_parts_are_stacked():
    found = SplitMatrix.of(ROWS, GROUPS, [])
    for parts in ((found,), (found, found[:1])):
        stacked = SplitMatrix.stacked(parts)
        np.testing.assert_array_equal(stacked.toarray(), np.vstack([part.toarray() for part in parts]))
    with pytest.raises(ValueError, match="argument 2"):
        SplitMatrix.stacked([found, SplitMatrix.of(ROWS[:, :3], [*GROUPS[:2]], [])])


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_rows_are_put_into_blocks_a_chunk_at_a_time(kind):
    X = np.vstack([ROWS] * 5)
    for chunk in (1, 10, 34):
        with mock.patch.object(split_module, "CHUNK", chunk):
            found = SplitMatrix.of(kind(X), GROUPS)
        np.testing.assert_array_equal(found.toarray(), X)


def test_rows_are_split_where_that_leaves_a_tenth():
    assert pays(3, 30.0) and not pays(4, 30.0)


def test_small_categories_are_one_block_while_it_has_few_codes():
    """The largest first; each with the first that leave room in 64 codes."""
    lengths, all_four = [30, 2, 3, 40], [0, 1, 2, 3]
    assert joining.joined(lengths, all_four, [False] * 4) == [[3], [0, 1], [2]]
    assert joining.joined(lengths, all_four, [True] * 4) == [[3], [0], [2, 1]]
    assert joining.joined([2, 3, 32], [0, 2], [False] * 3) == [[1], [2, 0]]
    assert joining.joined([65, 2], [0, 1], [False] * 2) == [[0], [1]]
    assert joining.joined([13, 5], [0, 1], [False] * 2) == [[0], [1]]


@pytest.mark.parametrize("has_none", [(False,), (True,), (False, True), (True, True, False)])
def test_what_codes_stand_for(has_none, rng):
    """Sums and look-ups by code are those of a matrix that says which columns each code stands for."""
    lengths = (3, 2, 4)[: len(has_none)]
    columns = np.split(np.arange(sum(lengths)), np.cumsum(lengths)[:-1])
    levels = Levels(tuple(columns), has_none)
    sizes = [length + more for length, more in zip(lengths, has_none, strict=True)]
    stands = np.array(
        [[place in (c[k] for c, k in zip(columns, code, strict=True) if k < len(c)) for place in range(sum(lengths))]
         for code in np.ndindex(*sizes)], dtype=float
    )  # fmt: skip
    assert levels.sizes == tuple(sizes) and levels.n_codes == len(stands)
    for shape in ((), (2,), (2, 3)):
        values, sums = rng.normal(size=(sum(lengths), *shape)), rng.normal(size=(len(stands), *shape))
        for found, expected in (
            (levels.gathered(values), np.tensordot(stands, values, axes=1)),
            (levels.scattered(sums), np.tensordot(stands.T, sums, axes=1)),
        ):
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
    sums, matrix = np.abs(rng.normal(size=len(stands))), rng.normal(size=(sum(lengths),) * 2)
    np.testing.assert_allclose(levels.both(sums), (stands.T * sums) @ stands, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(levels.squares(matrix + matrix.T), np.diag(stands @ (matrix + matrix.T) @ stands.T), atol=1e-13)
    np.testing.assert_array_equal(levels.highest(sums), (stands * sums[:, None]).max(axis=0))
    np.testing.assert_array_equal(levels.counts, stands.sum(axis=1))


def test_categories_with_one_value_in_each_row_may_be_one_block():
    values = np.array([[1.0, 0.0, 2.0, 2.0], [1.0, 3.0, 0.0, 2.0], [5.0, 0.0, 2.0, 2.0], [0.0, 3.0, 2.0, 0.0]])
    assert joining.alike_in(values) == [3, 0, 1]  # that with most friends first
    assert joining.alike_in(values[[2, 0, 1, 3]]) == [3, 1, 2]


def test_blocks_for_rows_to_come_have_a_code_for_none():
    """Their categories are given; whether each row has one is not known."""
    found = SplitMatrix.of(ROWS[:1], GROUPS, [0, 2])
    assert [each.levels.has_none for each in found.blocks] == [(True, True)]
    assert SplitMatrix.of(ROWS[:1], GROUPS, [0]).blocks[0].levels.has_none == (False,)
    seen = np.array([[2.0, 0.0, 1.0, 2.0, 0.0], [0.0, 3.0, 1.0, 0.0, 0.0]])
    assert [each.levels.has_none for each in SplitMatrix.of(seen, GROUPS).blocks] == [(False, True)]


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
@pytest.mark.parametrize("thin", [[2], [0, 1, 2, 3, 4]], ids=["some", "all"])
def test_columns_that_are_mostly_0_are_kept_as_csr(kind, thin):
    groups = GROUPS if len(thin) == 1 else [np.array([k]) for k in range(5)]
    found = SplitMatrix.of(kind(ROWS), groups, thin=np.array(thin))
    assert found.csr_columns.tolist() == thin
    others = len(found.dense_columns) + sum(len(each.levels.categories) for each in found.blocks)
    assert found.stored == others + int((ROWS[:, thin] != 0).sum(axis=1).max())
    np.testing.assert_array_equal(found.toarray(), ROWS)
    np.testing.assert_array_equal(found.tocsr().toarray(), ROWS)
    assert found.tocsr().nnz == 6
    matrix = np.arange(25.0).reshape(5, 5)
    matrix = matrix + matrix.T
    for chunk in (1, 1 << 19):
        with mock.patch.object(split_module, "CHUNK", chunk):
            np.testing.assert_allclose(found.quadratic(matrix), np.einsum("ij,jk,ik->i", ROWS, matrix, ROWS), rtol=1e-13)
    np.testing.assert_allclose(found.gram(np.arange(3.0)), (ROWS * np.arange(3.0)[:, None]).T @ ROWS, rtol=1e-13)
    np.testing.assert_array_equal(found @ np.arange(5.0), ROWS @ np.arange(5.0))
    np.testing.assert_array_equal(found.T @ np.arange(3.0), ROWS.T @ np.arange(3.0))
    np.testing.assert_array_equal(SplitMatrix.stacked([found, found[:2]]).toarray(), np.vstack([ROWS, ROWS[:2]]))

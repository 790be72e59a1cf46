"""Second moments are sums of whole numbers: the same bits in whatever order rows come and go. Theory §5.6."""

import math
from fractions import Fraction
from functools import reduce
from operator import add
from unittest import mock

import array_api_strict
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from expunge.engine.local import LocalEngine
from expunge.errors import InvalidRows
from expunge.numerics import moments
from expunge.numerics.moments import MOST_ROWS, Moments
from expunge.problem.losses import Gamma, Logistic, NegativeBinomial, Poisson, Softmax, Squared, Tweedie
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.shape import Shape
from tests.conftest import examples
from tests.problems import CATALOGUE, targets

seeds = st.integers(0, 2**32 - 1)
UNIT = Fraction(2) ** -26


def bits(moments: Moments) -> tuple:
    sums = {key: (total.dtype.str, total.shape, total.tobytes()) for key, total in moments.sums.items()}
    return moments.width, moments.n_rows, moments.units, sums


def rows_of(loss, seed: int) -> tuple[Objective, Rows]:
    """Rows of tame or nasty magnitudes, up to the least and the largest that there may be, and with many zeros."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(max(2, loss.classes), 25)), int(rng.integers(1, 6))
    X = rng.normal(size=(n, d)) * 10.0 ** (rng.choice([0, 1, 3, 30]) * rng.uniform(-1, 1, size=d))
    if rng.random() < 0.4:
        X = 10.0 ** rng.uniform(-59, 59, size=(n, d)) * rng.choice([-1, 1], size=(n, d))
    X[rng.random((n, d)) < rng.choice([0.0, 0.5, 0.9])] = 0.0
    X[rng.random((n, d)) < 0.1] = 2.0 ** int(rng.integers(-20, 20))  # the very edge of a level, or a tie on the grid
    y = targets(loss, np.clip(X @ rng.normal(size=(d, loss.outputs)), -3, 3), rng)
    weight = 10.0 ** rng.uniform(-12, 12, size=n) * (rng.random(n) < 0.9) if rng.random() < 0.5 else None
    return Objective(loss, d, penalty=1.0, fit_intercept=bool(rng.random() < 0.5)), Rows.of(X, y, weight)


def on_grid(value: float) -> Fraction:
    """The value rounded to the grid of its level: 2^(12l−13) for magnitudes from 2^(12l−8)."""
    if value == 0.0:
        return Fraction(0)
    level = next(level for level in range(-60, 60) if abs(value) < Fraction(2) ** (12 * level + 4))
    assert abs(value) >= Fraction(2) ** (12 * level - 8)
    grid = Fraction(2) ** (12 * level - 13)
    return round(Fraction(value) / grid) * grid


def weight_in_moments(loss, y: float) -> float:
    match loss:
        case Poisson():
            return y
        case NegativeBinomial():
            return y / (1.0 + loss.dispersion * y)
        case Tweedie():
            return y ** (2.0 - loss.power)
    return 1.0


def oracle(objective: Objective, rows: Rows) -> dict[int, list[list[Fraction]]]:
    """By class, in fractions, row after row."""
    width = objective.width
    found = {code: [[Fraction(0)] * width for _ in range(width)] for code in range(max(1, objective.loss.classes))}
    X = rows.X.toarray() if sparse.issparse(rows.X) else rows.X
    for x, y, s in zip(X.tolist(), rows.y.tolist(), rows.weight.tolist(), strict=True):
        scale = math.sqrt(s * weight_in_moments(objective.loss, y))
        z = [on_grid(scale * value) for value in [*x, *[1.0] * objective.fit_intercept]]
        total = found[int(y) if objective.loss.classes else 0]
        for i in range(width):
            for j in range(width):
                total[i][j] += z[i] * z[j]
    return found


def exact(moments: Moments, code: int) -> list[list[Fraction]]:
    total = [[Fraction(0)] * moments.width for _ in range(moments.width)]
    for (own, exponent), part in moments.sums.items():
        for i, j in np.ndindex(part.shape):
            total[i][j] += (own == code) * int(part[i, j]) * Fraction(2) ** (12 * exponent) * UNIT
    return total


@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
@settings(max_examples=examples(30))
@given(seed=seeds)
def test_moments_are_those_of_the_rounded_values_to_the_last_bit(loss, seed):
    objective, rows = rows_of(loss, seed)
    found = Moments.of(objective, rows)
    for code, total in oracle(objective, rows).items():
        assert exact(found, code) == total
        np.testing.assert_array_equal(found.matrix(code), found.matrix(code).T)
        wanted = np.array(total, dtype=np.float64)
        np.testing.assert_allclose(found.matrix(code), wanted, rtol=1e-14, atol=1e-15 * np.abs(wanted).max())
    weights = rows.weight.tolist()
    sized = [weight * weight_in_moments(loss, y) for weight, y in zip(weights, rows.y.tolist(), strict=True)]
    for units, size, values in zip(found.units, (found.count, found.size), (weights, sized), strict=True):
        assert Fraction(units, 2**500) == pytest.approx(sum(map(Fraction, values)), rel=2**-29)
        assert size == float(Fraction(units, 2**500))
    if rows.sample_weight is None:
        assert found.count == found.n_rows == len(rows)


def test_the_edges_of_levels_belong_to_one_each():
    edges = [2.0**-20, 2.0**-8, 2.0**4, 2.0**16]
    X = np.array([[edge, math.nextafter(edge, 0.0), -edge, 1.0] for edge in edges])
    objective, rows = Objective(Squared(), 4, fit_intercept=False), Rows.of(X, np.zeros(4))
    for each in (rows, Rows.of(sparse.csr_array(X), rows.y)):
        assert exact(Moments.of(objective, each), 0) == oracle(objective, rows)[0]


def test_what_state_files_hold_stays_what_it_is():
    """Rows that an older version learned are forgotten bit for bit: steps of 2^(12l − 13) from 2^(12l − 8) on; weights of 30
    bits in units of 2^−500."""
    found = Moments.of(Objective(Squared(), 2, fit_intercept=False), Rows.of([[1.0, 16.0]], [0.0], [1.0]))
    assert {key: total.tolist() for key, total in found.sums.items()} == {
        (0, 0): [[2**26, 0], [0, 0]],
        (0, 1): [[0, 2**18], [2**18, 0]],
        (0, 2): [[0, 0], [0, 2**10]],
    }
    assert found.units == (2**500, 2**500)
    third = Moments.of(Objective(Squared(), 1, fit_intercept=False), Rows.of([[1.0]], [0.0], [1 / 3]))
    assert third.units[0] == round(2**31 / 3) * 2**469
    assert Moments.of(Objective(Squared(), 1, fit_intercept=False), Rows.of([[0.0]], [0.0])).matrix().tolist() == [[0.0]]


@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
@settings(max_examples=examples(30))
@given(seed=seeds)
def test_any_order_any_batches_and_any_storage_give_the_same_bits(loss, seed):
    objective, rows = rows_of(loss, seed)
    rng = np.random.default_rng(seed)
    whole = Moments.of(objective, rows)
    order = rng.permutation(len(rows))
    cuts = np.sort(rng.integers(0, len(rows) + 1, size=3))
    parts = [rows.take(order[a:b]) for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    sums = [Moments.of(objective, part) for part in parts]
    assert bits(reduce(add, sums)) == bits(whole)
    assert bits(reduce(add, [sums[i] for i in rng.permutation(4)])) == bits(whole)
    assert bits(whole - sums[0] - sums[2]) == bits(sums[3] + sums[1])
    assert bits(whole - sums[1] + sums[1]) == bits(whole)
    csr = Rows.of(sparse.csr_array(rows.X), rows.y, rows.sample_weight)
    for few in (0, 1 << 16):  # multiplied as CSR, and as dense rows
        with mock.patch.object(moments, "FEW", few):
            assert bits(Moments.of(objective, csr)) == bits(whole)
    fortran = Rows.of(np.asfortranarray(rows.X), rows.y, rows.sample_weight)
    assert bits(Moments.of(objective, fortran)) == bits(whole)
    for array in (torch.asarray, array_api_strict.asarray):
        weight = None if rows.sample_weight is None else array(rows.sample_weight)
        assert bits(Moments.of(objective, Rows.of(array(rows.X), array(rows.y), weight))) == bits(whole)


@settings(max_examples=examples(30))
@given(seed=seeds)
def test_float32_rows_count_as_what_they_hold(seed):
    objective, rows = rows_of(Logistic(), seed)
    with np.errstate(over="ignore"):
        single = np.clip(rows.X.astype(np.float32), -3e38, 3e38).astype(np.float32)  # subnormal ones among them
    double = single.astype(np.float64)
    wanted = bits(Moments.of(objective, Rows.of(double, rows.y, rows.sample_weight)))
    for X, few in ((single, 0), (sparse.csr_array(single), 0), (sparse.csr_array(single), 1 << 16)):
        with mock.patch.object(moments, "FEW", few):
            assert bits(Moments.of(objective, Rows.of(X, rows.y, rows.sample_weight))) == wanted


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "csr"])
def test_the_least_and_the_largest_values_there_can_be(is_sparse, monkeypatch):
    monkeypatch.setattr(moments, "FEW", 0)
    X = np.array([[1e60, 1e-60, 0.0], [-1e60, 1e-60, 1.0], [1e-60, 1e60, -1e60], [5e-45, 3e38, 1.0]])
    rows = Rows.of(sparse.csr_array(X) if is_sparse else X, [1e60, 1e-60, 0.0, 1.0], [1e60, 1e-60, 1.0, 0.0])
    objective = Objective(Poisson(), 3)
    found = Moments.of(objective, rows)
    assert exact(found, 0) == oracle(objective, rows)[0]
    assert np.isfinite(found.matrix()).all()
    assert found.matrix()[0, 0] == pytest.approx(1e240, rel=1e-4)
    assert bits(found - found) == bits(Moments.of(objective, rows.take(slice(0, 0))))


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "csr"])
def test_rows_are_added_up_in_chunks(is_sparse, monkeypatch, rng):
    X = rng.normal(size=(50, 3))
    monkeypatch.setattr(moments, "FEW", 0)
    rows = Rows.of(sparse.csr_array(X) if is_sparse else X, rng.integers(0, 2, 50).astype(float))
    whole = Moments.of(Objective(Logistic(), 3), rows)
    monkeypatch.setattr(moments, "CHUNK", 7)
    assert bits(Moments.of(Objective(Logistic(), 3), rows)) == bits(whole)


def test_the_largest_sums_of_a_chunk_are_exact():
    """A chunk full of the largest products there are: their sum is 2^52, and one bit more would still be told."""
    n = moments.CHUNK
    X = np.full((n, 2), np.nextafter(16.0, 0.0))
    X[-1, 1] = 2.0**-8  # 32 steps of its grid
    rows = Rows.of(X, np.zeros(n))
    found = Moments.of(Objective(Squared(), 2, fit_intercept=False), rows)
    assert int(found.sums[0, 0][0, 0]) == n * 2**34 == 2**52
    assert int(found.sums[0, 0][0, 1]) == (n - 1) * 2**34 + 32 * 2**17


def test_more_rows_than_can_be_summed_exactly_are_refused():
    objective, one = Objective(Gamma(), 1), Rows.of([[1.0]], [1.0])
    full = Moments(2, MOST_ROWS - 2, (0, 0), {})
    assert (full + Moments.of(objective, one)).n_rows == MOST_ROWS - 1
    with pytest.raises(InvalidRows, match="fewer than 536,870,912 rows, got 536,870,912: set noise='isotropic'"):
        full + Moments.of(objective, one) + Moments.of(objective, one)


def test_a_tweedie_weight_does_not_depend_on_where_its_row_lies(rng):
    y = rng.gamma(1.0, 1.0, size=1003)
    loss = Tweedie(1.37)
    alone = np.array([loss.moment_weight(y[i : i + 1])[0] for i in range(len(y))])
    np.testing.assert_array_equal(loss.moment_weight(y), alone)
    np.testing.assert_array_equal(loss.moment_weight(np.zeros(2)), 0.0)


def forget_all_of(order, cuts, objective, rows, held):
    for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True):
        held = held - Moments.of(objective, rows.take(order[a:b]))
    return held


def shape_bits(shape: Shape) -> tuple:
    return shape.metric.tobytes(), shape.factor.tobytes(), shape.scale, shape.is_isotropic


def one_after_the_other(loss, n, gone, seed):
    """``gone`` of ``n`` rows go in random order and batches; what is left against what those who stay give afresh."""
    rng = np.random.default_rng(seed)
    X = np.hstack([rng.normal(size=(n, 5)), np.eye(4)[rng.integers(0, 4, n)], rng.lognormal(0, 3, size=(n, 1))])
    y = targets(loss, X[:, :5] @ rng.normal(size=(5, loss.outputs)) / 2, rng)
    rows = Rows.of(X, y, rng.choice([0.3, 1.0, 7.0], size=n))
    objective = Objective(loss, 10, form="mean")
    source = LocalEngine().reduce(rows, lambda batch: Moments.of(objective, batch), add)
    order = rng.permutation(n)
    cuts = np.sort(rng.integers(0, gone + 1, size=gone // 10))
    held = forget_all_of(order[:gone], cuts, objective, rows, source)
    stay = rows.take(rng.permutation(order[gone:]))
    fresh = Moments.of(objective, stay)
    assert bits(held) == bits(fresh)
    assert shape_bits(Shape.of(objective, held, 1e-3)) == shape_bits(Shape.of(objective, fresh, 1e-3))


@pytest.mark.parametrize("loss", [Logistic(), Softmax(3), Tweedie(1.5)], ids=repr)
def test_rows_that_went_one_after_the_other_leave_no_trace(loss):
    one_after_the_other(loss, 2_500, 2_000, 0)


@pytest.mark.soak
@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
def test_a_hundred_thousand_rows_that_went_leave_no_trace(loss):
    one_after_the_other(loss, 130_000, 100_000, 1)

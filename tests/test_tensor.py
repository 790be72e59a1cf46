"""The packed tensor against einsum: however rows are added to it, and wherever a block ends."""

from unittest import mock

import numpy as np
import pytest

from expunge.numerics import tensor as module
from expunge.numerics.tensor import SPARSE, SymmetricTensor, layout, packed_size


def full(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.einsum("m,mi,mj,mk->ijk", weights, rows, rows, rows)


def sparse_rows(n_rows: int, p: int, fullest: int) -> np.ndarray:
    """Rows with ``fullest`` values anywhere, one less, …, none."""
    rng = np.random.default_rng(p)
    rows = rng.normal(size=(n_rows, p))
    for n, row in enumerate(rows):
        row[rng.permutation(p)[fullest - n % (fullest + 1) :]] = 0.0
    return rows


@pytest.mark.parametrize("p", [1, 2, 15, 16, 17, 33, 50])
@pytest.mark.parametrize("density", [0.2, 1.0])
def test_a_tensor_is_what_it_is_the_sum_of(p, density):
    rng = np.random.default_rng(p)
    rows, weights, vector = rng.normal(size=(40, p)) * (rng.random((40, p)) < density), rng.normal(size=40), rng.normal(size=p)
    tensor = SymmetricTensor.zeros(p)
    tensor.absorb(rows, weights)
    np.testing.assert_allclose(tensor.contracted(vector), full(rows, weights) @ vector, atol=1e-11)
    for m in (1, 2, 4, 5, 11):
        less = tensor.changed(rows[:m], -weights[:m])
        np.testing.assert_allclose(less.contracted(vector), full(rows[m:], weights[m:]) @ vector, atol=1e-11)
    both = tensor.changed(rows[:0], weights[:0])
    both += less
    np.testing.assert_allclose(both.contracted(vector), tensor.contracted(vector) + less.contracted(vector), atol=1e-11)
    np.testing.assert_allclose(
        tensor.contracted(vector), full(rows, weights) @ vector, atol=1e-11
    )  # nothing was changed in place


@pytest.mark.parametrize("p", [5, 20, 21, 39, 64])
@pytest.mark.parametrize("beyond", [0, 1])
def test_sparse_rows_are_added_entry_by_entry_and_give_the_same(p, beyond):
    """Into every place of a slab, not only those that a contraction reads: slabs are added to one another, and stored."""
    fullest = int(SPARSE * p) + beyond
    rows, weights = sparse_rows(30, p, fullest), np.random.default_rng(0).normal(size=30)
    tensor, wanted = SymmetricTensor.zeros(p), full(rows, weights)
    with mock.patch.object(SymmetricTensor, "_absorb_sparse" if beyond else "_absorb_dense", side_effect=AssertionError):
        tensor.absorb(rows, weights)
        tensor.absorb(rows[:10], -weights[:10])
        tensor.absorb(rows[:10], weights[:10])
    for slab in layout(p):
        entries = tensor.packed[slab.place].reshape(slab.shape)
        np.testing.assert_allclose(entries, wanted[slab.rows, slab.columns, : slab.depth], atol=1e-11)


@pytest.mark.parametrize(
    ("fullest", "entries", "chunks"),
    [(30, 0, [256, 44]), (6, 0, [133, 133, 34]), (6, 56 * 150 + 55, [150, 150]), (6, module.ENTRIES, [300])],
)
def test_rows_are_added_a_chunk_at_a_time(fullest, entries, chunks):
    """Rows with 6 values have 56 entries each; half a tensor of 30 coordinates is 7,500 numbers."""
    rows, weights, seen = sparse_rows(300, 30, fullest), np.ones(300), []
    name = "_absorb_dense" if fullest == 30 else "_absorb_sparse"
    honest = getattr(SymmetricTensor, name)

    def spy(self, some, of_some, *rest):
        seen.append(len(some))
        honest(self, some, of_some, *rest)

    tensor = SymmetricTensor.zeros(30)
    with mock.patch.object(SymmetricTensor, name, spy), mock.patch.object(module, "ENTRIES", entries):
        tensor.absorb(rows, weights)
    assert seen == chunks
    vector = np.arange(30.0)
    np.testing.assert_allclose(tensor.contracted(vector), full(rows, weights) @ vector, atol=1e-8)


def test_a_few_rows_are_added_in_one_go():
    rng = np.random.default_rng(0)
    before = SymmetricTensor.zeros(25)
    before.absorb(rng.normal(size=(9, 25)), np.ones(9))
    with mock.patch.object(SymmetricTensor, "absorb", side_effect=AssertionError):
        for m in (1, 2, 3, 4):
            before.changed(rng.normal(size=(m, 25)), np.ones(m))
        for m in (0, 5):
            with pytest.raises(AssertionError):
                before.changed(rng.normal(size=(m, 25)), np.ones(m))
    np.testing.assert_array_equal(before.changed(np.zeros((0, 25)), np.zeros(0)).packed, before.packed)
    np.testing.assert_array_equal(before.changed(np.zeros((1, 25)), np.ones(1)).packed, before.packed)
    with pytest.raises(ValueError, match="shorter"):
        before.changed(np.ones((2, 25)), np.ones(1))


@pytest.mark.parametrize("p", [1, 16, 100, 128, 401])
def test_the_slabs_hold_each_entry_once_and_little_more(p):
    slabs = layout(p)
    assert [slab.place.start for slab in slabs] == [0, *(slab.place.stop for slab in slabs[:-1])]
    assert packed_size(p) == slabs[-1].place.stop
    assert packed_size(p) >= p * (p + 1) * (p + 2) // 6
    assert p < 100 or packed_size(p) <= 1.7 * p**3 / 6


def test_the_places_in_state_files_stay_where_they_are():
    """Blocks of 20: old files are read by the same layout."""
    assert [(slab.shape, slab.place.start) for slab in layout(45)] == [
        ((20, 20, 20), 0),
        ((20, 20, 20), 8000),
        ((20, 20, 40), 16000),
        ((5, 20, 20), 32000),
        ((5, 20, 40), 34000),
        ((5, 5, 45), 38000),
    ]
    assert packed_size(45) == 39125

"""Rows: what is refused, what is the same row, and batches that hold every row once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from expunge.errors import InvalidRows
from expunge.problem import rows as module
from expunge.problem.rows import Rows

X = np.arange(12.0).reshape(4, 3)
Y = np.arange(4.0)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix, sparse.coo_array], ids=["dense", "csr", "coo"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": X[0]}, "two dimensions"),
        ({"y": Y[:3]}, r"y has shape \(3,\), but X has 4 rows"),
        ({"y": np.array([0, np.nan, 1, 1])}, "y of row 1 is NaN"),
        ({"sample_weight": np.ones(3)}, "sample_weight has shape"),
        ({"sample_weight": np.array([1, 1, -1, 1])}, "sample_weight of row 2 is negative"),
        ({"sample_weight": np.array([1, 1, 1, np.inf])}, "sample_weight of row 3 is NaN or infinite"),
        ({"ids": ["a"]}, "1 ids for 4 rows"),
        ({"X": np.where(np.arange(12).reshape(4, 3) == 7, np.nan, X)}, "row 2, column 1 of X is NaN"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_bad_rows_are_named(change, message, container):
    given_rows = {"X": X, "y": Y, "sample_weight": None, "ids": None} | change
    if given_rows["X"].ndim == 2:
        given_rows["X"] = container(given_rows["X"])
    with pytest.raises(InvalidRows, match=message):
        Rows.of(**given_rows)


def test_a_bad_value_in_a_late_batch_is_named_by_its_own_row(monkeypatch):
    monkeypatch.setattr(module, "BATCH_VALUES", 9)
    bad = np.ones((50, 3))
    bad[47, 2] = np.inf
    with pytest.raises(InvalidRows, match="row 47, column 2"):
        Rows.of(bad, np.zeros(50))


@given(n=st.integers(1, 60), width=st.integers(1, 5), values=st.integers(1, 40), is_sparse=st.booleans())
def test_batches_hold_every_row_once_and_in_order(n, width, values, is_sparse):
    rng = np.random.default_rng(n)
    dense = rng.normal(size=(n, width))
    weight = rng.random(n)
    rows = Rows.of(sparse.csr_array(dense) if is_sparse else dense, rng.normal(size=n), weight, list(range(n)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BATCH_VALUES", values)
        batches = list(rows.batches())
    assert all(len(batch) for batch in batches)
    joined = [b.X.toarray() if is_sparse else b.X for b in batches]
    np.testing.assert_array_equal(np.vstack(joined), dense)
    np.testing.assert_array_equal(np.concatenate([b.y for b in batches]), rows.y)
    np.testing.assert_array_equal(np.concatenate([b.weight for b in batches]), weight)
    assert [i for b in batches for i in b.ids] == list(range(n))


def test_dense_rows_and_their_batches_are_views():
    rows = Rows.of(X, Y)
    assert rows.X is X
    assert all(np.shares_memory(batch.X, X) for batch in rows.batches())


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_duplicates(container):
    twice = np.vstack([X, X[1]])
    assert Rows.of(container(twice), np.r_[Y, Y[1]]).duplicate() == (1, 4)
    assert Rows.of(container(twice), np.r_[Y, 9.0]).duplicate() is None  # another target, another row
    assert Rows.of(container(twice), np.r_[Y, Y[1]], ids=list("abcde")).duplicate() is None
    assert Rows.of(container(X), Y, ids=list("abca")).duplicate() == (0, 3)
    assert Rows.of(container(np.array([[0.0], [-0.0]])), np.zeros(2)).duplicate() == (0, 1)
    assert Rows.of(container(X[:1]), Y[:1]).duplicate() is None

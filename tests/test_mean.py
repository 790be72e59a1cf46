"""The mean forgets exactly: its state is bit for bit that of an estimator which never saw the forgotten."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.errors import InvalidRows
from expunge.paper.mean import MeanEstimator
from tests.conftest import SOAK

finite = st.floats(allow_nan=False, allow_infinity=False)


@given(
    kept=st.lists(st.tuples(finite, finite), min_size=1, max_size=20),
    gone=st.lists(st.tuples(finite, finite), min_size=1, max_size=20),
    seed=st.integers(0, 2**32 - 1),
)
def test_forgetting_is_bit_for_bit_never_having_learned(kept, gone, seed):
    both = np.array(kept + gone)
    estimator = MeanEstimator().fit(both[np.random.default_rng(seed).permutation(len(both))])
    estimator.forget(gone)
    never = MeanEstimator().fit(kept)
    assert vars(estimator) == vars(never)
    exact = [float(sum(map(Fraction, column)) / len(kept)) for column in zip(*kept, strict=True)]
    assert estimator.mean_.tolist() == exact


def test_interleaved_operations_lose_nothing(rng):
    """Values over 40 orders of magnitude, where a running float sum would keep no digit of the small ones; in `make soak` a
    million of them."""
    n = 1_000_000 if SOAK > 1 else 100_000
    values = (rng.normal(size=(n, 1)) * 10.0 ** rng.uniform(-20, 20, size=(n, 1))).tolist()
    estimator = MeanEstimator().fit([[0.5], [0.25]])
    held: list[list[float]] = []
    for i, value in enumerate(values):
        if held and i % 2:
            estimator.forget([held.pop(i % len(held))])
        else:
            estimator.learn([value])
            held.append(value)
        if len(held) > 50:
            estimator.forget(held)
            held = []
    if held:
        estimator.forget(held)
    assert vars(estimator) == vars(MeanEstimator().fit([[0.5], [0.25]]))
    assert estimator.mean_.tolist() == [0.375]


def test_it_is_the_minimiser_of_the_mean_squared_distance(rng):
    Z = rng.normal(size=(200, 5))
    np.testing.assert_allclose(MeanEstimator().fit(Z).forget(Z[:30]).mean_, Z[30:].mean(axis=0), rtol=1e-13)


def test_the_state_does_not_grow(rng):
    """T(S) is n and p sums, of so many bits as the range of the values asks for and the logarithm of n."""
    small, large = (MeanEstimator().fit(rng.normal(size=(n, 3))) for n in (100, 100_000))
    bits = [max(abs(total).bit_length() for total in estimator._sum) for estimator in (small, large)]
    assert bits[1] <= bits[0] + math.log2(100_000)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda e: e.forget([[1.0, 2.0]] * 3), "at least one must remain"),
        (lambda e: e.forget([[1.0]]), "rows have 1 coordinates, those learned have 2"),
        (lambda e: e.learn([[1.0, math.nan]]), "row 0 is NaN"),
        (lambda e: e.learn([[1.0, 2.0], [math.inf, 0.0]]), "row 1 is NaN or infinite"),
        (lambda e: e.learn([]), "expected rows of vectors"),
        (lambda e: e.fit([1.0, 2.0]), "expected rows of vectors"),
        (lambda _e: MeanEstimator().forget([[1.0]]), "call fit first"),
    ],
)
def test_bad_input_is_clear_and_changes_nothing(action, message):
    estimator = MeanEstimator().fit([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    before = dict(vars(estimator))
    with pytest.raises(InvalidRows, match=message):
        action(estimator)
    assert vars(estimator) == before

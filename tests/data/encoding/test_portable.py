"""Logarithm, sine and cosine are right to the last places, and the random numbers are the same for ever."""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.data.encoding import portable

positive = st.floats(min_value=5e-324, max_value=1.7e308)


@given(st.lists(positive, min_size=1, max_size=9))
def test_the_logarithm(values):
    found = portable.log(np.array(values))
    np.testing.assert_allclose(found, [math.log(value) for value in values], rtol=4e-16, atol=0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_sine_and_cosine_of_turns(values):
    sine, cosine = portable.sine_cosine(np.array(values))
    turns = [value - math.floor(value) for value in values]
    np.testing.assert_allclose(sine, [math.sin(2 * math.pi * turn) for turn in turns], rtol=0, atol=1e-15)
    np.testing.assert_allclose(cosine, [math.cos(2 * math.pi * turn) for turn in turns], rtol=0, atol=1e-15)


def test_quarters_of_a_turn_are_exact():
    sine, cosine = portable.sine_cosine(np.arange(-8, 9) / 4)
    assert sine.tolist() == [0.0, 1.0, 0.0, -1.0] * 4 + [0.0]
    assert cosine.tolist() == [1.0, 0.0, -1.0, 0.0] * 4 + [1.0]


def test_normals_are_normal_and_independent():
    found = portable.normals(3, 200_001)
    assert len(found) == 200_001
    assert found.mean() == pytest.approx(0, abs=0.01) and found.std() == pytest.approx(1, abs=0.01)
    assert (found**4).mean() == pytest.approx(3, abs=0.1)
    assert np.corrcoef(found[:-1:2], found[1::2])[0, 1] == pytest.approx(0, abs=0.01)
    assert not np.array_equal(found[:10], portable.normals(4, 10))
    assert np.array_equal(found[:10], portable.normals(3, 10))


def test_the_bits_never_change():
    """State files and certificates bind to features made of these; a change of one bit loses rows that were learned."""
    grid = np.arange(1, 5001) / 7
    parts = [portable.normals(0, 1000), portable.log(grid), *portable.sine_cosine(grid)]
    digest = hashlib.sha256(b"".join(part.astype("<f8").tobytes() for part in parts)).hexdigest()
    assert digest == "1b9aa4523f950eef74c90edb803a85b27e361b22cd945ac3126e276c89223afa"

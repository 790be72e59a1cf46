"""Noise that is what it says: its law, its grid, and never the same twice."""

import math
import multiprocessing
import pickle
import time

import numpy as np
import pytest

from expunge.privacy import noise as module
from expunge.privacy.noise import AHEAD, InsecureNoise, grid_rounding, secure_noise


def test_noise_has_its_variance_on_its_grid_and_is_never_the_same():
    sigma, p = 0.3, 20_000
    weights = np.linspace(-5, 5, p)
    a, b = secure_noise(weights, sigma) - weights, secure_noise(weights, sigma) - weights
    for noise in (a, b):
        assert abs(noise.mean()) < 6 * sigma / math.sqrt(p)
        assert noise.std() == pytest.approx(sigma, rel=6 / math.sqrt(2 * p))
    assert abs(np.corrcoef(a, b)[0, 1]) < 6 / math.sqrt(p)
    assert len(np.unique(a)) > p / 2
    grid = grid_rounding(1, sigma)
    released = secure_noise(weights[:100], sigma) / grid
    np.testing.assert_array_equal(released, np.round(released))


def test_noise_is_gaussian_by_kolmogorov_smirnov():
    from scipy import stats

    noise = secure_noise(np.zeros(20_000), 2.0)
    assert stats.kstest(noise, stats.norm(0, 2.0).cdf).pvalue > 1e-6


def test_grid_rounding_covers_what_the_grid_does():
    """Rounding to the grid moves p coordinates by at most half a step each."""
    for sigma in (1e-6, 0.05, 3.0):
        step = grid_rounding(1, sigma)
        assert step < 1e-11 * sigma
        assert grid_rounding(100, sigma) == pytest.approx(10 * step)
        assert math.log2(step) == round(math.log2(step))
    assert grid_rounding(5, 0.0) == 0.0


def test_insecure_noise_is_reproducible():
    a, b = InsecureNoise(3), InsecureNoise(3)
    np.testing.assert_array_equal(a(np.zeros(4), 1.0), b(np.zeros(4), 1.0))
    assert not np.array_equal(a(np.zeros(4), 1.0), InsecureNoise(3)(np.zeros(4), 1.0))


def test_weights_are_put_on_the_grid_before_the_noise():
    """Else the low bits of the released weights would be those of the secret ones."""
    sigma = 0.05
    step = grid_rounding(1, sigma)
    weights = np.random.default_rng(0).normal(size=200) * 3
    released = secure_noise(weights, sigma)
    np.testing.assert_array_equal(released / step, np.round(released / step))
    assert np.abs(np.round(weights / step) * step - weights).max() <= step / 2
    far = np.full(3, 1e20)  # already on the grid, and beyond the reach of the noise
    np.testing.assert_array_equal(secure_noise(far, sigma), far)


def test_no_vector_drawn_ahead_is_handed_out_twice(monkeypatch):
    monkeypatch.setattr(module, "QUIET", 0.0)  # the thread draws all the time
    drawn = np.array([secure_noise(np.zeros(3), 0.7) for _ in range(5_000)])
    assert len(np.unique(drawn[:, 0])) == len(drawn)


def _child(pipe):
    pipe.send_bytes(pickle.dumps([secure_noise(np.zeros(8), 0.31) for _ in range(AHEAD // 8 + 2)]))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_shares_no_noise_with_its_parent():
    secure_noise(np.zeros(8), 0.31)
    while not module._reserve._ready[8, 0.31]:
        time.sleep(0.01)  # until the parent holds vectors drawn ahead
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(send,))
    child.start()
    theirs = np.array(pickle.loads(receive.recv_bytes()))
    child.join(timeout=30)
    assert child.exitcode == 0
    ours = np.array([secure_noise(np.zeros(8), 0.31) for _ in range(AHEAD // 8 + 2)])
    assert not np.isin(ours, theirs).any()

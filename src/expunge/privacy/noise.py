"""The noise of a release: N(0, σ²I) from OpenDP's exact sampler, on a grid, drawn ahead. Theory §5.1.

Each coordinate is a discrete Gaussian on multiples of 2^k, far below σ, from the operating system's randomness. Weights
are rounded to the same grid before it is added, so that no low-order bit of them shows through; ``grid_rounding`` bounds
what that moves them by, and is part of every certified distance.

Noise does not depend on data, so it can be drawn before a request comes: sampling takes 10 µs a coordinate, longer than all
else in a forget. A background thread keeps some vectors per (p, σ) in memory. Each is handed out once, none is ever stored,
and a forked child drops what it inherited: no noise is used twice.
"""

import math
import os
import threading
import time
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Noise = Callable[[Array, float], Array]
"""Adds N(0, σ²I) to weights ``(p,)``; the second argument is σ."""

GRID_BITS = 40
"""The noise lives on a grid this many powers of two below σ."""
AHEAD = 1 << 14
"""Coordinates drawn ahead for each (p, σ): 0.2 s of sampling, enough for a burst of requests; one vector at least."""
QUIET = 0.2
"""Seconds after a request before the thread draws again, so that it slows neither the next request of a burst nor a command,
which ends before that and needs no more."""
KINDS = 16
"""How many (p, σ) are kept ready; the oldest gives way."""


def grid_rounding(n_parameters: int, sigma: float) -> float:
    """How far the noise's grid can move the mean of a release, in the 2-norm: √p · 2^k.

    Args:
        n_parameters: p, the number of weights.
        sigma: σ of the noise in each weight.

    Examples:
        >>> grid_rounding(4, 1.0) == 2 * 2.0**-GRID_BITS
        True
    """
    return math.sqrt(n_parameters) * _grid(sigma) if sigma > 0 else 0.0


def secure_noise(weights: Array, sigma: float) -> Array:
    """``weights`` on the grid + N(0, σ²I), ``(p,)``; fresh on every call, in every process.

    Args:
        weights: un-noised weights, ``(p,)``.
        sigma: σ of the noise in each; 0 for none.

    Examples:
        >>> secure_noise(np.zeros(3), 1.0).shape
        (3,)
    """
    grid = _grid(sigma)
    return np.round(weights / grid) * grid + _reserve.take(len(weights), sigma)


class InsecureNoise:
    """Reproducible noise, for tests: whoever knows the seed can take it off again.

    Args:
        seed: from which all noise follows; whoever knows it can take the noise off.
    """

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def __call__(self, weights: Array, sigma: float) -> Array:
        return weights + sigma * self._generator.standard_normal(len(weights))


class _Reserve:
    """Noise vectors drawn ahead by one background thread, which works only while nobody asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ready: dict[tuple[int, float], list[Array]] = {}
        self._taken = 0.0
        self._is_filling = False

    def take(self, n_parameters: int, sigma: float) -> Array:
        """One vector that nobody has had; drawn on the spot where none is ready."""
        kind = (n_parameters, sigma)
        with self._lock:
            self._taken = time.monotonic()
            queue = self._ready.pop(kind, [])
            self._ready[kind] = queue  # the last asked for is the last to give way
            if len(self._ready) > KINDS:
                del self._ready[next(iter(self._ready))]
            drawn = queue.pop() if queue else None
            if not self._is_filling:
                self._is_filling = True
                threading.Thread(target=self._fill, name="expunge-noise", daemon=True).start()
        return _draw(*kind) if drawn is None else drawn

    def _fill(self) -> None:
        while True:
            with self._lock:
                kinds = [kind for kind, queue in self._ready.items() if len(queue) < max(1, AHEAD // kind[0])]
                if not kinds:
                    self._is_filling = False
                    return
                wait = self._taken + QUIET - time.monotonic()
            if wait > 0:
                time.sleep(wait)
                continue
            drawn = _draw(*kinds[-1])
            with self._lock:
                if kinds[-1] in self._ready:
                    self._ready[kinds[-1]].append(drawn)


_reserve = _Reserve()


def _forget_inherited_noise() -> None:
    global _reserve
    _reserve = _Reserve()


os.register_at_fork(after_in_child=_forget_inherited_noise)


def _grid(sigma: float) -> float:
    return math.ldexp(1.0, _grid_exponent(sigma))


def _grid_exponent(sigma: float) -> int:
    return math.frexp(sigma)[1] - 1 - GRID_BITS


def _draw(n_parameters: int, sigma: float) -> Array:
    return np.array(_mechanism(n_parameters, sigma)([0.0] * n_parameters))


@lru_cache(maxsize=KINDS)
def _mechanism(n_parameters: int, sigma: float) -> Callable[[list[float]], list[float]]:
    from opendp.domains import atom_domain, vector_domain  # not its prelude, which loads scikit-learn and takes seconds
    from opendp.measurements import make_gaussian
    from opendp.metrics import l2_distance
    from opendp.mod import enable_features

    enable_features("contrib")
    domain = vector_domain(atom_domain(T=float, nan=False), size=n_parameters)
    measurement: Callable[[list[float]], list[float]] = make_gaussian(
        domain, l2_distance(T=float), scale=sigma, k=_grid_exponent(sigma)
    )
    return measurement

"""Spare memory: taken again when an array is dropped, and never while anything still looks at it."""

import gc
import threading
import weakref

import numpy as np
import pytest

from expunge.numerics import spares

SIZE = spares.SMALLEST // 8


@pytest.fixture(autouse=True)
def nothing_spare(monkeypatch):
    monkeypatch.setattr(spares, "_spares", {})


def where(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_the_memory_of_a_dropped_array_is_taken_again():
    first = spares.empty(SIZE)
    place = where(first)
    second = spares.empty(SIZE)
    assert where(second) != place
    del first
    gc.collect()
    assert where(spares.empty(2, SIZE // 2)) == place


@pytest.mark.parametrize(
    "view", [lambda a: a[5:], lambda a: a.reshape(2, -1).T[3:], lambda a: memoryview(a), lambda a: a[1:][1:]]
)
def test_a_view_keeps_its_memory(view):
    array = spares.empty(SIZE)
    array[:] = 1.0
    kept = view(array)
    del array
    gc.collect()
    for _ in range(3):
        spares.empty(SIZE)[:] = 2.0
    assert (np.asarray(kept) == 1.0).all()


def test_few_blocks_of_few_sizes_are_kept():
    many = [spares.empty(SIZE + size) for size in range(spares.SIZES + 3) for _ in range(spares.BLOCKS + 2)]
    del many
    gc.collect()
    assert len(spares._spares) == spares.SIZES
    assert all(len(blocks) <= spares.BLOCKS for blocks in spares._spares.values())


def test_small_arrays_are_not_kept():
    array = spares.empty(3, 4)
    assert array.shape == (3, 4)
    del array
    gc.collect()
    assert spares._spares == {}


def test_threads_never_share_an_array():
    wrong = []

    def work(mark: float) -> None:
        for _ in range(300):
            array = spares.empty(SIZE)
            cycle: list[object] = [array]
            cycle.append(cycle)  # left to the collector, which runs finalizers wherever it happens to run
            array[::64] = mark
            if not (array[::64] == mark).all():
                wrong.append(mark)

    threads = [threading.Thread(target=work, args=(float(k),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_dropped_array_is_gone():
    array = spares.empty(SIZE)
    alive = weakref.ref(array)
    del array
    gc.collect()
    assert alive() is None

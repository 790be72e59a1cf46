"""What a reduction holds while it runs."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from expunge.engine import folded


class Part:
    def __init__(self, value: int):
        self.value = value

    def __add__(self, other: "Part") -> "Part":
        return Part(self.value + other.value)


@pytest.mark.parametrize("n_parts", [1, 2, 7])
def test_only_the_total_is_held_while_a_part_is_made(n_parts):
    alive: weakref.WeakSet[Part] = weakref.WeakSet()

    def parts() -> Iterator[Part | None]:
        for value in range(n_parts):
            gc.collect()
            assert len(alive) <= min(value, 1)
            part = Part(value)
            alive.add(part)
            yield part
            del part
            yield None

    def combine(a: Part, b: Part) -> Part:
        total = a + b
        alive.add(total)
        return total

    total = folded(parts(), combine)
    assert total is not None
    assert total.value == sum(range(n_parts))


def test_nothing_is_folded_where_no_part_has_rows():
    assert folded([None, None], Part.__add__) is None

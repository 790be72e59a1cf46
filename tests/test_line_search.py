"""The line search: when a step is shortened, and how far."""

import math
from typing import Any

import numpy as np
import pytest

from expunge.numerics.line_search import SUFFICIENT_DECREASE, LineSearch


def search(**changes):
    given: dict[str, Any] = {"anchor": np.array([1.0, 2.0]), "step": np.array([4.0, -8.0])}
    given |= {"value": 10.0, "decrease": 2.0, "shortest": 0.1}
    return LineSearch(**given | changes)


def test_the_point_lies_along_the_step():
    found = search()
    np.testing.assert_array_equal(found.point, [5.0, -6.0])
    found.shorten(0.25)
    np.testing.assert_array_equal(found.point, [2.0, 0.0])


def test_the_objective_must_fall_by_a_share_of_what_the_gradient_promises():
    enough = 10.0 - SUFFICIENT_DECREASE * 2.0
    assert not search().fails(enough)
    assert search().fails(math.nextafter(enough, math.inf))
    assert not search(slack=1e-3).fails(10.0)
    assert search().fails(math.nan)


@pytest.mark.parametrize("value", [11.0, math.inf, math.nan])
def test_the_shortest_step_is_taken_as_it_is(value):
    found = search()
    found.shorten(0.05)
    assert found.length == 0.1
    assert not found.fails(value)
    assert not search(shortest=1.0).fails(value)


def test_without_a_step_the_first_look_is_at_the_anchor():
    found = LineSearch.at(np.array([3.0]))
    np.testing.assert_array_equal(found.point, [3.0])
    assert not found.fails(math.inf)

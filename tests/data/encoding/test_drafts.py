"""What fewer than ten people share is found and taken out, however the column is declared; of other kinds nothing is taken."""

from functools import partial

import numpy as np
import pytest

from expunge.data.drafting import PEOPLE, short
from expunge.data.encoding import Category, Cyclic, Encoding, HashedCategory, MissingIndicator, Number, OrderedCategory


class InTwoParts:
    """A table whose people come in two parts, one row each."""

    def __init__(self, **columns):
        self.columns = {name: np.array(values, dtype=object) for name, values in columns.items()}

    def by_bucket(self, without=()):
        n = len(next(iter(self.columns.values())))
        for rows in (np.arange(0, n, 2), np.arange(1, n, 2)):
            yield partial(self._read, rows)

    def _read(self, rows, names):
        return np.arange(len(rows)), {name: self.columns[name][rows].tolist() for name in names}


@pytest.mark.parametrize("kind", [Category, OrderedCategory])
@pytest.mark.parametrize("wrapped", [lambda column: column, MissingIndicator], ids=["plain", "indicator"])
def test_values_that_few_share(kind, wrapped):
    grades = ["low"] * PEOPLE + ["fair"] * (PEOPLE - 1) + ["high"] * PEOPLE + [None] * 5
    column = wrapped(kind(("low", "fair", "high")))
    (lacking,) = short(InTwoParts(grade=grades), [("grade", column)]).values()
    assert lacking.values == 1 and lacking.left == wrapped(kind(("low", "high")))
    assert short(InTwoParts(grade=grades), [("grade", lacking.left)]) == {}


@pytest.mark.parametrize("wrapped", [lambda column: column, MissingIndicator], ids=["plain", "indicator"])
def test_a_range_that_few_reach_keeps_its_knots_and_scale(wrapped):
    pay = [*range(1, 31), *[15] * (PEOPLE - 1), 50_000]  # ten people have 15
    column = wrapped(Number(1, 50_000, (1, 15, 1000, 50_000), degree=3, scale="log"))
    (lacking,) = short(InTwoParts(pay=pay), [("pay", column)]).values()
    assert lacking.left == wrapped(Number(10, 22, (10, 15, 22), degree=3, scale="log"))
    assert short(InTwoParts(pay=pay), [("pay", lacking.left)]) == {}


def test_of_other_kinds_nothing_was_taken():
    declared: list[tuple[str, Encoding]] = [("city", HashedCategory(16)), ("hour", Cyclic((24,)))]
    assert short(InTwoParts(city=["x"] * 3, hour=[1, 2, 3]), declared) == {}

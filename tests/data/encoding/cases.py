"""One of each encoding, with values of which it should make something; the laws are tested on all of them."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from expunge.data.encoding import (
    Category,
    Combination,
    Cross,
    Cyclic,
    Embedding,
    Encoding,
    HashedCategory,
    HashedText,
    MissingIndicator,
    Number,
    OrderedCategory,
    RandomFourier,
)

numbers = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(-20, 120), st.integers(-5, 150))
words = st.one_of(st.none(), st.sampled_from(["low", "fair", "high", "?", "", "N101", "N102"]), st.text(max_size=6))
texts = st.one_of(st.none(), st.lists(st.sampled_from(["late", "Late", "rude", "naïve", "a"]), max_size=6).map(" ".join))
moments = st.one_of(st.none(), st.datetimes(), st.dates(), st.datetimes().map(dt.datetime.isoformat))
clocks = st.one_of(st.none(), st.times(), st.datetimes(), st.sampled_from(["10:15", "23:59:59.999999"]))
vectors = st.one_of(st.none(), st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3))


@dataclass(frozen=True)
class Case:
    """An encoding, what its column may hold, and whether that can be an Arrow column, which has one type."""

    encoding: Encoding
    values: st.SearchStrategy[Any]
    is_arrow: bool = True


CASES = {
    "number": Case(Number(0, 100), numbers),
    "knots": Case(Number(0, 100, (0, 10, 50, 100)), numbers),
    "cubic": Case(Number(0, 100, (0, 10, 50, 60, 100), degree=3), numbers),
    "log": Case(Number(0.5, 100, scale="log"), numbers),
    "log knots": Case(Number(1, 100, (1, 10, 100), scale="log"), numbers),
    "log cubic": Case(Number(1, 100, (1, 7, 100), degree=3, scale="log"), numbers),
    "signed log": Case(Number(-100, 100, (-100, 0, 100), scale="signed_log"), numbers),
    "category": Case(Category(("low", "fair", "high")), words),
    "ordered": Case(OrderedCategory(("low", "fair", "high")), words),
    "hashed category": Case(HashedCategory(16), words),
    "words": Case(HashedText(32, ngram_range=(1, 2)), texts),
    "characters": Case(HashedText(64, "char_wb", (2, 4)), texts),
    "seasons": Case(Cyclic(("hour", "day", "week", "month", "year"), harmonics=2), moments, is_arrow=False),
    "clock": Case(Cyclic(("day", "hour")), clocks, is_arrow=False),
    "turns": Case(Cyclic((24, 7.5), harmonics=3), numbers),
    "embedding": Case(Embedding(3, max_norm=2.0), vectors),
    "number with indicator": Case(MissingIndicator(Number(0, 100, (0, 50, 100))), numbers),
    "ordered with indicator": Case(MissingIndicator(OrderedCategory(("low", "fair"))), words),
    "hashed with indicator": Case(MissingIndicator(HashedCategory(8)), words),
}
COMBINATIONS: dict[str, Combination] = {
    "pairs": Cross(("category", "ordered")),
    "curves": Cross(("category", "cubic")),
    "threes": Cross(("category", "knots", "number with indicator")),
    "hashed pairs": Cross(("hashed category", "category"), n_features=32),
    "hashed many": Cross(("words", "knots", "ordered"), n_features=8),
    "waves": RandomFourier(("number", "log knots"), n_components=6, gamma=3.0, random_state=7),
    "waves of one": RandomFourier(("number with indicator",), n_components=2),
}
COLUMNS = {name: case.encoding for name, case in CASES.items()}


def tables(min_size: int = 1, max_size: int = 8) -> st.SearchStrategy[dict[str, list[Any]]]:
    """Tables with a column for every case."""
    row = st.fixed_dictionaries({name: case.values for name, case in CASES.items()})
    rows = st.lists(row, min_size=min_size, max_size=max_size)
    return rows.map(lambda rows: {name: [row[name] for row in rows] for name in CASES})

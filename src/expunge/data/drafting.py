"""Drafting: which parts of people's rows may be taken into a schema: nothing that fewer than ten people share.

A schema goes where its models go, so a category of one patient, or the largest sum that anybody has, would reveal that person
to everybody who gets a model, and would stay after they are forgotten. So people are counted, not rows:

- A category is taken if at least ``PEOPLE`` people have it.
- An end of a range is the farthest that at least ``PEOPLE`` people reach. A person reaches as far as the lowest (or highest)
  of their own numbers, rounded outwards to two digits. So the end is the tenth person's, and is the same however far out the
  other nine are and however many rows anybody has; it shows two digits of the tenth, which the other nine share or exceed.
- A knot is a number that at least ``PEOPLE`` people have, in two digits, or in one. Which of these have knots, which scale a
  number is on and which columns are crossed follows from the shares of the people by the rules of ``shaping``; a person with
  several rows is divided among them.

What was taken is taken out again when too few people are left. The rule hides single people from readers of the schema. It
is not a bound like that of the weights: anybody who knows all other rows can test whether somebody is the tenth.
"""

import math
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from expunge.data.columns import codes_of, column_names, column_values, different, label, numbers_of
from expunge.data.encoding import Category, Encoding, MissingIndicator, Number, OrderedCategory
from expunge.data.encoding.indicator import plain
from expunge.data.identities import texts_of
from expunge.data.shaping import MISSING, Counted, rounded, shaped
from expunge.identities import EXACT, Rule, canonical
from expunge.problem.arrays import SMALLEST

PEOPLE = 10
"""What fewer people than this share is not in a draft."""
TEXTS = 20
"""Up to this many different texts are categories, however few the rows."""

ANY = Number(-sys.float_info.max / 4, sys.float_info.max / 4)
"""The widest range; nobody asks whether numbers are in it."""


Codes = NDArray[np.intp]


class ByBucket(Protocol):
    """A table that is read part by part, with all rows of a person in one part."""

    def by_bucket(self, without: Collection[str] = ()) -> Iterator[Callable[[Sequence[str]], tuple[Codes, Any]]]:
        """For each part, a function that reads some of its columns: a number for the person of each row, and the rows."""
        ...


@dataclass(frozen=True)
class Short:
    """What fewer than ``PEOPLE`` people share in a declared column.

    Args:
        values: number of categories, or of ends of its range.
        left: the column without them; ``None`` if nothing is left.
    """

    values: int
    left: Encoding | None


def drafted(table: Any, subject: str, ignore: Collection[str], rule: Rule = EXACT) -> dict[str, Encoding]:
    """The columns of a draft, without mostly unique texts, and without what too few people share."""
    owners: dict[str, int] = {}
    people = np.array(
        [
            -1 if text is None else owners.setdefault(canonical(text, rule), len(owners))
            for text in texts_of(column_values(table, subject), subject)
        ],
        dtype=np.intp,
    )
    found: dict[str, Encoding] = {}
    for name in column_names(table):
        if name == subject or name in ignore:
            continue
        values = column_values(table, name)
        if is_opaque(values):
            continue
        column = _number(values, people) if is_numeric(values) else _categories(values, people)
        if column is not None:
            found[name] = MissingIndicator(column) if _is_often_missing(values, people) else column
    return found


def short(
    table: ByBucket, declared: Iterable[tuple[str, Encoding]], without: Collection[str] = ()
) -> dict[tuple[str, Encoding], Short]:
    """The columns that declare something that fewer than ``PEOPLE`` people in the table share, not counting ``without``.

    Only numbers and categories can have been taken from rows. Every part of the table is read once, and only the columns in
    which people still have to be counted.
    """
    counts = {(name, column): count for name, column in declared if (count := _count(plain(column))) is not None}
    open_ = dict(counts)  # those that are still short
    for read in table.by_bucket(without):
        if not open_:
            break
        people, rows = read(list(dict.fromkeys(name for name, _column in open_)))
        for (name, column), count in list(open_.items()):
            count.add(column_values(rows, name), people)
            if count.short is None:
                del open_[name, column]
    found = {key: count.short for key, count in open_.items()}
    return {(name, column): _as_declared(lacking, column) for (name, column), lacking in found.items() if lacking is not None}


def _as_declared(lacking: Short, column: Encoding) -> Short:
    """``lacking``, with the missing-value indicator that the column has."""
    if lacking.left is None or not isinstance(column, MissingIndicator):
        return lacking
    return Short(lacking.values, MissingIndicator(lacking.left))


def _count(column: Encoding) -> "_Values | _Ends | None":
    if isinstance(column, Category | OrderedCategory):
        return _Values(column)
    return _Ends(column) if isinstance(column, Number) else None


class _Values:
    """Counts the people who have each value of a column, until there are enough of them."""

    def __init__(self, column: Category | OrderedCategory) -> None:
        self._column, self._wanted = column, list(column.values)
        self._people = np.zeros(len(self._wanted), dtype=np.intp)

    def add(self, values: Any, people: Codes) -> None:
        """Counts people who were not counted before."""
        self._people += _people_by_code(codes_of(values, self._wanted), people, len(self._wanted))
        is_short = self._people < PEOPLE
        self._wanted = [value for value, few in zip(self._wanted, is_short, strict=True) if few]
        self._people = self._people[is_short]

    @property
    def short(self) -> Short | None:
        """What too few people share, if anything."""
        if not self._wanted:
            return None
        few = set(self._wanted)
        left = tuple(value for value in self._column.values if value not in few)
        return Short(len(few), replace(self._column, values=left) if left else None)


class _Ends:
    """How far the ``PEOPLE`` people reach who reach farthest, in each direction; and how many have each knot between."""

    def __init__(self, column: Number) -> None:
        self._column = column
        self._lows, self._highs = np.empty(0), np.empty(0)
        self._knots = np.array(column.knots[1:-1], dtype=np.float64)
        self._people = np.zeros(len(self._knots), dtype=np.intp)

    def add(self, values: Any, people: Codes) -> None:
        """Looks at people who were not looked at before."""
        numbers = _numbers(values)
        is_number = np.isfinite(numbers) & (people >= 0)
        numbers, people = numbers[is_number], people[is_number]
        n_people = int(people.max(initial=-1)) + 1
        lows, highs = np.full(n_people, math.inf), np.full(n_people, -math.inf)
        np.minimum.at(lows, people, numbers)
        np.maximum.at(highs, people, numbers)
        self._lows = np.sort(np.concatenate([self._lows, lows[lows < math.inf]]))[:PEOPLE]
        self._highs = np.sort(np.concatenate([self._highs, highs[highs > -math.inf]]))[-PEOPLE:]
        if len(self._knots):
            near = np.concatenate([rounded(numbers), rounded(numbers, 1)])
            place = np.minimum(np.searchsorted(self._knots, near), len(self._knots) - 1)
            codes = np.where(self._knots[place] == near, place, -1)
            self._people += _people_by_code(codes, np.tile(people, 2), len(self._knots))

    @property
    def reached(self) -> Number | None:
        """The range that enough people reach, if there is one."""
        if len(self._lows) < PEOPLE:
            return None
        low, high = _rounded(float(self._lows[-1]), math.floor), _rounded(float(self._highs[0]), math.ceil)
        high = high if high != low else low + max(1.0, 1e-9 * abs(low))
        return Number(low, high) if low < high and math.isfinite(high - low) else None

    @property
    def short(self) -> Short | None:
        """What too few people share, if anything."""
        reached = self.reached
        if reached is None:
            return Short(2, None)
        low, high = max(self._column.low, reached.low), min(self._column.high, reached.high)
        is_shared = self._people >= PEOPLE
        values = (low > self._column.low) + (high < self._column.high) + int((~is_shared).sum())
        kept = self._knots[is_shared].tolist()
        return Short(values, _within(self._column, low, high, kept) if low < high else None) if values else None


def _within(column: Number, low: float, high: float, inner: Sequence[float]) -> Number:
    """The same number with a narrower range, and with these knots between its ends."""
    knots = (low, *(knot for knot in inner if low < knot < high), high) if column.knots else ()
    return replace(column, low=low, high=high, knots=knots)


def _number(values: Any, people: Codes) -> Number | None:
    ends = _Ends(ANY)
    ends.add(values, people)
    reached = ends.reached
    return None if reached is None else shaped(reached.low, reached.high, _counted(values, people).knots)


def _counted(values: Any, people: Codes) -> Counted:
    """The numbers that enough people have in two digits, and of the others those that enough people have in one."""
    numbers = _numbers(values)
    is_number = np.isfinite(numbers) & (people >= 0)
    numbers, people = numbers[is_number], people[is_number]
    weights = 1.0 / np.bincount(people)[people] if len(people) else np.empty(0)
    counts = dict[float, float]()
    for digits in (2, 1):
        different, codes = np.unique(rounded(numbers, digits), return_inverse=True)
        is_shared = _people_by_code(codes, people, len(different)) >= PEOPLE
        shares = np.bincount(codes, weights, minlength=len(different))
        for value, share in zip(different[is_shared].tolist(), shares[is_shared].tolist(), strict=True):
            counts[value] = counts.get(value, 0.0) + share
        rest = ~is_shared[codes]
        numbers, people, weights = numbers[rest], people[rest], weights[rest]
    known = sorted(counts)
    return Counted(np.array(known), np.array([counts[value] for value in known]), float(weights.sum()))


def _is_often_missing(values: Any, people: Codes) -> bool:
    """Whether the value is missing for enough people to be a feature."""
    missing = is_missing(values)
    return len(np.unique(people[missing & (people >= 0)])) >= max(PEOPLE, MISSING * len(np.unique(people[people >= 0])))


def is_missing(values: Any) -> NDArray[np.bool_]:
    """Which values are missing, ``(n_rows,)``.

    Args:
        values: a column of a table of any kind.
    """
    if hasattr(values, "type"):  # pyarrow
        return np.asarray(values.is_null(nan_is_null=True).to_numpy(), dtype=bool)
    return np.array([label(value) is None for value in values], dtype=bool)


def _categories(values: Any, people: Codes) -> Category | None:
    labels, codes = _labelled(values)
    if len(labels) > max(TEXTS, int((codes >= 0).sum()) // 10):
        return None
    counts = _people_by_code(codes, people, len(labels))
    shared = sorted(text for text, count in zip(labels, counts, strict=True) if count >= PEOPLE)
    return Category(tuple(shared)) if shared else None


def _people_by_code(codes: Codes, people: Codes, n_codes: int) -> Codes:
    """Number of different ``people`` that have each code, ``(n_codes,)``; negative numbers stand for nobody and nothing."""
    counted = (codes >= 0) & (people >= 0)
    n_people = int(people.max(initial=-1)) + 1
    pairs = np.unique(codes[counted].astype(np.int64) * n_people + people[counted])
    return np.bincount(pairs // max(n_people, 1), minlength=n_codes)


def _labelled(values: Any) -> tuple[list[str], Codes]:
    """The different labels of a column, and the position of each value among them; negative where it is missing."""
    labels = different(values)
    return labels, codes_of(values, labels)


def _numbers(values: Any) -> NDArray[np.float64]:
    """The numbers of a column; none if it holds anything else."""
    try:
        return numbers_of(values)
    except ValueError:
        return np.full(len(values), math.nan)


def is_opaque(values: Any) -> bool:
    """Whether the values are lists, structures or bytes, which cannot be features.

    Args:
        values: a column of a table of any kind.
    """
    if not hasattr(values, "type"):
        return False
    from pyarrow import types

    return bool(types.is_nested(values.type) or types.is_binary(values.type))


def is_numeric(values: Any) -> bool:
    """Whether the values are numbers.

    Args:
        values: a column of a table of any kind; one of pyarrow has a type, of any other the values are looked at.
    """
    if hasattr(values, "type"):  # pyarrow
        from pyarrow import types

        return bool(types.is_integer(values.type) or types.is_floating(values.type) or types.is_decimal(values.type))
    present = [value for value in values if label(value) is not None]
    return all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in present)


def _rounded(value: float, direction: Callable[[float], int]) -> float:
    """``value`` to two significant digits, outwards; infinite where that exceeds the largest number."""
    if abs(value) < SMALLEST:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return float(f"{direction(value / unit) * unit:.12g}")

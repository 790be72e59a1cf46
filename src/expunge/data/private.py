"""Private proposals: ranges, knots and categories under (ε, δ)-differential privacy for each person, with OpenDP.

Who compares the schema with one proposed without a person's rows, however many, learns at most (ε, δ) about them (theory
§5.9). Public are the names and types of the columns, and whatever is declared; everything else is counted with noise:

1. *One row a person.* Of the rows of each person one is drawn at random, for each independently (``sampling``). So adding or
   removing a person adds or removes one row.
2. *Shares.* Each of the m columns gets (ε/m, δ/m): pure composition, of all that is written below.
3. *A column of values*: OpenDP's ``make_laplace_threshold`` counts the people who have each value, or none, and gives the
   counts above a threshold, with noise: partition selection.
4. *A column of numbers*: half of its ε, and its δ, go into the same for its numbers in two digits. Then, of the people
   whose number was not given, a tenth of its ε counts how many there are (``make_laplace``), and the rest goes in equal parts
   to as many quantiles as so many people allow (``make_private_quantile``), among round numbers that are fixed beforehand.

What is made of that by the rules of ``shaping`` looks at no row again.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.data.columns import codes_of, column_names, column_values, different, numbers_of
from expunge.data.drafting import is_missing, is_numeric, is_opaque
from expunge.data.encoding import Category, Encoding, MissingIndicator, Number
from expunge.data.identities import texts_of
from expunge.data.origins import SchemaPrivacy
from expunge.data.sampling import one_each, random_keys
from expunge.data.shaping import MISSING, QUANTILES, Counted, rounded, shaped
from expunge.errors import InvalidRows
from expunge.identities import Rule, canonical

Array = NDArray[np.float64]
Codes = NDArray[np.intp]

VALUES, REST = 0.5, 0.1
"""The shares of a number column's ε for its values, and for how many people have others."""
MORE = 1.0 + 1e-9
"""By how much a scale grows until OpenDP, which rounds upwards, agrees that it is enough."""
ABSENT = ""
"""The key under which missing values are counted; those of values begin with a letter."""
FARTHEST = 18
"""Candidates for quantiles go up to 10 to the power of this, and as far down where numbers are no whole ones."""


@dataclass(frozen=True)
class Share:
    """A share of ε, in nats, and of δ."""

    epsilon: float
    delta: float


def proposed(table: Any, subject: str, ignore: Collection[str], rule: Rule, spent: SchemaPrivacy) -> "Proposed":
    """The columns of a private proposal.

    Args:
        table: a table of any kind, as for ``FeatureSchema.encode``.
        subject: the column that says to whom a row belongs.
        ignore: other columns that are no features.
        rule: by which ids are compared.
        spent: the most that the proposal may tell about a person.

    Raises:
        InvalidRows: no column is left, or too few people share anything.
    """
    values = {name: column_values(table, name) for name in column_names(table) if name != subject and name not in ignore}
    values = {name: column for name, column in values.items() if not is_opaque(column)}
    if not values:
        raise InvalidRows("no column is left to propose: every one is ignored, or holds lists or bytes")
    ids = texts_of(column_values(table, subject), subject)
    owners = [None if text is None else canonical(text, rule) for text in ids]
    rows = one_each(owners, random_keys(len(owners)))
    each = Share(spent.epsilon / len(values), spent.delta / len(values))
    found, people = dict[str, Encoding](), 0.0
    for name, column in values.items():
        made, counted = (_number if is_numeric(column) else _category)(column, rows, each)
        people = max(people, counted)
        if made is not None:
            found[name] = made
    if not found:
        needed = least_people(each)
        raise InvalidRows(
            f"too few people share anything: with epsilon = {spent.epsilon:g} for {len(values)} columns about {needed:,} "
            "people must have a value before it is proposed. Give a larger epsilon, leave out columns, or declare "
            "a schema from what you know"
        )
    return Proposed(found, people)


@dataclass(frozen=True)
class Proposed:
    """What came of it.

    Args:
        columns: how each column is declared, by name.
        people: about how many people there are, as the noisy counts say.
    """

    columns: dict[str, Encoding]
    people: float


def least_people(each: Share) -> int:
    """How many people must have a value, about, before it is given at these ε and δ.

    Args:
        each: of one partition selection.
    """
    return math.ceil(1.0 + math.log(0.5 / each.delta) / each.epsilon)


def selected(keys: Sequence[str], each: Share) -> dict[str, int]:
    """How many people have each key, with noise, and without those of too few: OpenDP's ``make_laplace_threshold``.

    Args:
        keys: one a person.
        each: ε and δ of this.

    Source: R. Rogers, A Unifying Privacy Analysis Framework for Unknown Domain Algorithms in Differential Privacy (2023).
    """
    counts = Counter(keys)
    given = _selection(each)(dict(counts))
    return {key: int(given[key]) for key in sorted(given)}


def noisy_count(n: int, epsilon: float) -> int:
    """How many there are, with noise: OpenDP's ``make_laplace``.

    Args:
        n: how many.
        epsilon: ε of this.
    """
    return int(_counting(epsilon)(n))


def quantile(x: Sequence[float], level: float, among: tuple[float, ...], epsilon: float) -> float:
    """About the quantile of ``x``, one of the candidates: OpenDP's ``make_private_quantile``.

    Args:
        x: one number a person.
        level: from 0 to 1; 0.5 for the median.
        among: candidates, increasing, fixed before any row was seen.
        epsilon: ε of this.

    Source: A. Smith, Privacy-Preserving Statistical Estimation with Optimal Convergence Rates (2011).
    """
    return float(_quantile(level, among, epsilon)(list(x)))


@lru_cache
def _selection(each: Share) -> Any:
    """The measurement, with the least noise and threshold for which OpenDP's own map states no more than this ε and δ."""
    from opendp.domains import atom_domain, map_domain
    from opendp.measurements import make_laplace_threshold
    from opendp.metrics import absolute_distance, l01inf_distance

    _enable()
    domain = map_domain(atom_domain(T=str), atom_domain(T=int))
    metric = l01inf_distance(absolute_distance(T=int))
    scale, threshold = 1.0 / each.epsilon, least_people(each)
    while True:
        measurement = make_laplace_threshold(domain, metric, scale=scale, threshold=threshold)
        epsilon, delta = measurement.map((1, 1, 1))  # one person is in one count, by one
        if epsilon > each.epsilon:
            scale *= MORE
        elif delta > each.delta:
            threshold += 1
        else:
            return measurement


@lru_cache
def _counting(epsilon: float) -> Any:
    from opendp.domains import atom_domain
    from opendp.measurements import make_laplace
    from opendp.metrics import absolute_distance

    _enable()
    return _fitting(epsilon, 1.0 / epsilon, lambda scale: make_laplace(atom_domain(T=int), absolute_distance(T=int), scale))


@lru_cache
def _quantile(level: float, among: tuple[float, ...], epsilon: float) -> Any:
    from opendp.domains import atom_domain, vector_domain
    from opendp.measurements import make_private_quantile
    from opendp.measures import max_divergence
    from opendp.metrics import symmetric_distance

    _enable()
    domain, metric = vector_domain(atom_domain(T=float, nan=False)), symmetric_distance()

    def made(scale: float) -> Any:
        return make_private_quantile(domain, metric, max_divergence(), candidates=list(among), alpha=level, scale=scale)

    return _fitting(epsilon, made(1.0).map(1) / epsilon, made)


def _fitting(epsilon: float, scale: float, made: Callable[[float], Any]) -> Any:
    """The measurement with the least noise, from ``scale`` on, for which OpenDP states no more than ε for one person."""
    while (measurement := made(scale)).map(1) > epsilon:
        scale *= MORE
    return measurement


@lru_cache
def candidates(whole: bool) -> tuple[float, ...]:
    """The round numbers among which quantiles are looked for, increasing: two digits, the second 0 or 5.

    Args:
        whole: whether the numbers are whole ones; then also those up to 100.
    """
    digits = [tens / 10.0 for tens in range(10, 100, 5)]
    powers = range(0 if whole else -FARTHEST, FARTHEST)
    sizes = {float(f"{digit:g}e{power}") for digit in digits for power in powers}
    if whole:
        sizes = {size for size in sizes if size.is_integer()} | set(map(float, range(1, 101)))
    return (*sorted(-size for size in sizes), 0.0, *sorted(sizes))


def _category(values: Any, rows: Codes, each: Share) -> tuple[Encoding | None, float]:
    labels = different(values)
    codes = codes_of(values, labels)[rows]
    given = selected([f"v{labels[code]}" if code >= 0 else ABSENT for code in codes.tolist()], each)
    people, absent = float(sum(given.values())), given.pop(ABSENT, 0)
    if not given:
        return None, people
    return _indicated(Category(tuple(key[1:] for key in given)), absent, people), people


def _number(values: Any, rows: Codes, each: Share) -> tuple[Encoding | None, float]:
    absent = is_missing(values)[rows]
    numbers = numbers_of(values)[rows]
    near = rounded(numbers)
    keys = [ABSENT if gone else f"v{value!r}" for gone, value in zip(absent.tolist(), near.tolist(), strict=True)]
    given = selected(keys, Share(VALUES * each.epsilon, each.delta))
    n_absent = given.pop(ABSENT, 0)
    known = {value: float(count) for key, count in given.items() if math.isfinite(value := float(key[1:]))}
    rest = numbers[np.isfinite(numbers) & ~np.isin(near, list(known))].tolist()
    others = max(0.0, float(noisy_count(len(rest), REST * each.epsilon)))
    values_known = np.array(sorted(known))
    counted = Counted(values_known, np.array([known[value] for value in sorted(known)]), others)
    people = others + n_absent + float(counted.people.sum())
    knots = {*counted.knots, *_quantiles(rest, others, (1.0 - VALUES - REST) * each.epsilon, _is_whole(values))}
    ends = {*values_known.tolist(), *knots}
    if len(ends) < 2:
        return None, people
    return _indicated(shaped(min(ends), max(ends), knots), n_absent, people), people


def _quantiles(rest: list[float], others: float, epsilon: float, whole: bool) -> list[float]:
    """Equally spaced quantiles of the people whose numbers were not given: as many as are told apart, and from the ends.

    With ε/n for each of n, one is off by more than n·c people with a probability of 1 % at most, c = 2 log(100 · number of
    candidates)/ε. So there are n with (n + 1)·n·c ≤ ``others``.
    """
    among = candidates(whole)
    error = 2.0 * math.log(100.0 * len(among)) / epsilon
    n = max((n for n in range(1, QUANTILES + 1) if (n + 1) * n * error <= others), default=0)
    return [quantile(rest, k / (n + 1), among, epsilon / n) for k in range(1, n + 1)]


def _indicated(column: Category | Number, absent: float, people: float) -> Encoding:
    return MissingIndicator(column) if absent >= max(1.0, MISSING * people) else column


def _is_whole(values: Any) -> bool:
    if hasattr(values, "type"):
        from pyarrow import types

        return bool(types.is_integer(values.type))
    return False


def _enable() -> None:
    from opendp.mod import enable_features

    enable_features("contrib")

"""Private proposals: the noise keeps its ε against a neighbouring table, and a person counts once, whatever their rows."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from expunge.data import private
from expunge.data.encoding import Category, MissingIndicator, Number
from expunge.data.origins import DELTA, SchemaPrivacy
from expunge.data.private import Share, candidates, least_people, noisy_count, proposed, quantile, selected
from expunge.data.sampling import OneEach, one_each, random_keys
from expunge.data.schema import FeatureSchema
from expunge.errors import InvalidRows
from expunge.identities import EXACT

RUNS = 5000
ROOM = 4.0
"""Standard errors that an estimated probability may be off."""


def spread(draw, runs=RUNS) -> Counter:
    return Counter(draw() for _ in range(runs))


def require_private(one: Counter, other: Counter, epsilon: float, delta: float = 0.0) -> None:
    """That no set of outputs tells the two apart better than (ε, δ): the worst set is where e^ε is exceeded."""
    for a, b in ((one, other), (other, one)):
        runs = sum(a.values())
        worst = [output for output in a if a[output] > math.exp(epsilon) * b[output]]
        pa_, pb = (sum(each[output] for output in worst) / runs for each in (a, b))
        error = ROOM * (math.sqrt(pa_ / runs) + math.exp(epsilon) * math.sqrt(max(pb, 1.0 / runs) / runs))
        error += 0.5 * math.exp(epsilon) * len(worst) ** 0.5 * ROOM / runs  # the set was chosen after the draw
        assert pa_ <= math.exp(epsilon) * pb + delta + error


def distance(one: Counter, other: Counter) -> float:
    """Total variation, to see that a test of privacy would notice too little noise."""
    runs = sum(one.values())
    return 0.5 * sum(abs(one[output] - other[output]) for output in {*one, *other}) / runs


@pytest.mark.parametrize("epsilon", [0.5, 1.5])
def test_selected_values_keep_their_epsilon_and_delta(epsilon):
    delta = 0.05
    each = Share(epsilon, delta)
    at = least_people(each) - 1
    tables = ["a"] * at, ["a"] * (at + 1), ["a"] * at + ["b"]
    found = [spread(lambda keys=keys: tuple(selected(keys, each).items())) for keys in tables]
    require_private(found[0], found[1], epsilon, delta)
    require_private(found[0], found[2], epsilon, delta)
    shown = sum(count for output, count in found[2].items() if "b" in dict(output)) / RUNS
    assert shown <= delta + ROOM * math.sqrt(delta / RUNS)  # what one person alone has is seen with δ at most


def test_the_referee_of_these_tests_sees_too_little_noise():
    one, other = (spread(lambda n=n: noisy_count(n, 1.5)) for n in (10, 11))
    require_private(one, other, 1.5)
    assert distance(one, other) > 0.2
    with pytest.raises(AssertionError):
        require_private(one, other, 0.5)


def test_quantiles_keep_their_epsilon():
    among, epsilon = (0.0, 1.0, 2.0, 3.0), 1.0
    found = [spread(lambda x=x: quantile(x, 0.5, among, epsilon)) for x in ([0.0, 1.0, 3.0], [0.0, 1.0, 3.0, 3.0], [1.0, 3.0])]
    require_private(found[0], found[1], epsilon)
    require_private(found[0], found[2], epsilon)


def test_a_whole_proposal_keeps_its_epsilon_and_delta(monkeypatch):
    """Two columns, of numbers and of values, with a person of three rows on one side: all that is written is compared."""
    monkeypatch.setattr(private, "candidates", lambda whole: (0.0, 1.0, 2.0, 3.0))
    spent = SchemaPrivacy(epsilon=2.0, delta=0.2)
    people = [(f"p{i}", "x", i % 2) for i in range(6)]
    odd = [("odd", "y", 2), ("odd", "x", 3), ("odd", "y", 1)]

    def written(rows):
        table = pa.table(dict(zip(("who", "job", "n"), map(list, zip(*rows, strict=True)), strict=True)))
        try:
            return repr(proposed(table, "who", (), EXACT, spent))
        except InvalidRows:
            return ""

    one, other = (spread(lambda rows=rows: written(rows), 4000) for rows in (people, people + odd))
    assert len(one) > 3
    require_private(one, other, spent.epsilon, spent.delta)


def test_the_parts_add_up_to_what_is_stated(monkeypatch):
    used = []

    def counted(name):
        real = getattr(private, name)

        def call(*arguments):
            last = arguments[-1]
            used.append((last.epsilon, last.delta) if isinstance(last, Share) else (last, 0.0))
            return real(*arguments)

        monkeypatch.setattr(private, name, call)

    for name in ("selected", "noisy_count", "quantile"):
        counted(name)
    rng = np.random.default_rng(0)
    n = 20_000
    table = {"who": range(n), "job": ["a"] * n, "pay": rng.lognormal(10, 1, n)}
    schema = FeatureSchema.propose(table, "who", private=3.0)
    assert set(schema.columns) == {"job", "pay"} and len(used) > 4
    epsilon, delta = map(math.fsum, zip(*used, strict=True))
    assert epsilon == pytest.approx(3.0) and epsilon <= 3.0 * (1 + 1e-12)
    assert delta == pytest.approx(DELTA)


class TestOneRowAPerson:
    def test_a_person_with_40_rows_changes_counts_by_one(self, monkeypatch):
        seen: list[Any] = []

        def kept(what: Any) -> Any:
            seen.append(what)
            return what

        monkeypatch.setattr(private, "selected", lambda keys, each: dict(kept(Counter(keys))))
        monkeypatch.setattr(private, "noisy_count", lambda n, epsilon: kept(n))
        rows = [(f"p{i}", "common", 5) for i in range(50)]
        for table in (rows, rows + [("loner", "rare", 7)] * 40):
            columns = dict(zip(("who", "job", "n"), map(list, zip(*table, strict=True)), strict=True))
            proposed(columns, "who", (), EXACT, SchemaPrivacy(1.0))
        before, after = seen[: len(seen) // 2], seen[len(seen) // 2 :]
        assert after[0] - before[0] == Counter({"vrare": 1})
        assert after[1] - before[1] == Counter({"v7.0": 1})
        assert sum(before[0].values()) == 50 and after[2] == before[2]

    def test_every_row_of_a_person_is_drawn_equally_often(self):
        owners = ["a", "b", "a", None, "a"]
        drawn = Counter(row for _ in range(6000) for row in one_each(owners, random_keys(5)).tolist())
        assert drawn[1] == 6000 and drawn[3] == 0
        assert all(abs(drawn[row] - 2000) < 200 for row in (0, 2, 4))

    def test_the_rows_of_others_do_not_depend_on_a_person(self):
        owners, keys = ["a", "b", "a", "c", "c"], random_keys(5)
        left = [0, 2, 3, 4]
        without = one_each([owners[row] for row in left], keys[left])
        assert {left[row] for row in without} == set(one_each(owners, keys).tolist()) - {1}

    def test_long_files_are_read_in_parts(self, monkeypatch):
        monkeypatch.setattr(OneEach, "MOST", 10)
        each = OneEach("who", EXACT)
        batches = [pa.record_batch({"who": [f"p{(i * 7 + j) % 30}" for j in range(7)], "n": [i] * 7}) for i in range(40)]
        assert list(each.of(batches)) == batches
        assert sorted(each.table["who"].to_pylist()) == sorted(f"p{i}" for i in range(30))
        assert len(set(each.table["n"].to_pylist())) > 5


def people(n=20_000, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "who": range(n),
        "job": rng.choice(["nurse", "clerk", "pilot"], n, p=[0.6, 0.39, 0.01]).tolist(),
        "name": [f"name {i}" for i in range(n)],
        "grade": rng.integers(1, 5, n).tolist(),
        "pay": [None if x < 0.1 else float(pay) for x, pay in zip(rng.random(n), rng.lognormal(10, 2, n), strict=True)],
    }


def test_what_a_proposal_holds():
    schema = FeatureSchema.propose(people(), "who", private=4.0)
    assert schema.private == SchemaPrivacy(4.0) and not schema.draft and not schema.normalise
    assert set(schema.columns) == {"job", "grade", "pay"}  # nobody shares a name
    assert schema.columns["job"] == Category(("clerk", "nurse", "pilot"))
    assert schema.columns["grade"] == Number(1, 4, (1, 2, 3, 4))
    pay = schema.columns["pay"]
    assert isinstance(pay, MissingIndicator) and isinstance(pay.encoding, Number)
    assert pay.encoding.scale == "log" and 5 <= len(pay.encoding.knots) <= 60
    assert 1e2 < pay.encoding.low < 1e4 < 1e5 < pay.encoding.high < 1e8
    assert "job by grade" in schema.features
    assert FeatureSchema.from_toml(schema.to_toml()) == schema
    text = schema.to_toml()
    assert "differential privacy" in text and "[private]\nepsilon = 4.0\ndelta = 1e-06\n" in text


def test_knots_are_near_the_quantiles():
    pay = np.random.default_rng(1).uniform(0, 1000, 50_000)
    (column,) = FeatureSchema.propose({"who": range(50_000), "pay": pay}, "who", private=5.0).columns.values()
    assert isinstance(column, Number)
    shares = [(pay <= knot).mean() for knot in column.knots]
    assert shares == sorted(shares) and shares[0] < 0.15 and shares[-1] > 0.85
    assert max(np.diff(shares)) < 0.3


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.nan, math.inf, 1e-9])
def test_an_epsilon_that_promises_nothing(epsilon):
    with pytest.raises(ValueError, match="epsilon of a private schema must be positive"):
        FeatureSchema.propose(people(20), "who", private=epsilon)


def test_too_few_people():
    with pytest.raises(InvalidRows, match=r"too few people share anything: with epsilon = 1 for 4 columns about \d+ people"):
        FeatureSchema.propose(people(30), "who", private=1.0)


def test_no_column():
    with pytest.raises(InvalidRows, match="there is no column 'nobody'"):
        FeatureSchema.propose(people(30), "nobody", private=1.0)
    with pytest.raises(InvalidRows, match="no column is left to propose"):
        FeatureSchema.propose({"who": ["a"], "x": [1]}, "who", ignore=["x"], private=1.0)


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ("[private]\nepsilon = 1.0", "epsilon and delta, and nothing else"),
        ("[private]\nepsilon = -1.0\ndelta = 1e-6", "epsilon of a private schema must be positive"),
        ("[private]\nepsilon = 1.0\ndelta = 1", "delta of a private schema must be between 0 and 1"),
        ("[private]\nepsilon = 'x'\ndelta = 1e-6", "must be a number"),
        ("draft = true\n[private]\nepsilon = 1.0\ndelta = 1e-6", "delete it, or the table"),
    ],
)
def test_bad_statements_of_privacy(table, match):
    with pytest.raises(ValueError, match=match):
        FeatureSchema.from_toml(f"{table}\n[columns.a]\nkind='number'\nlow=0\nhigh=1")


def test_candidates_are_fixed_and_increase():
    for whole in (True, False):
        among = candidates(whole)
        assert among == tuple(sorted(set(among))) and 0.0 in among and len(among) < 1500
        assert set(among) == {-x for x in among}
        assert not whole or all(x.is_integer() for x in among)

"""The schema: stateless, counted, readable, and strict about its own file."""

import math

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.data.census import TARGET, census_schema, census_table, load_census
from expunge.data.schema import Category, FeatureSchema, Number
from expunge.data.shaping import rounded
from expunge.errors import InvalidRows

SCHEMA = FeatureSchema({"age": Number(0, 100, (0, 50, 100)), "pay": Number(-10, 10), "sex": Category(("F", "M"))})

rows = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats(-50, 200)),
        st.one_of(st.none(), st.floats(allow_nan=True)),
        st.one_of(st.none(), st.sampled_from(["F", "M", "?", ""])),
    ),
    min_size=1,
    max_size=12,
)


def table(values):
    return {name: [row[i] for row in values] for i, name in enumerate(("age", "pay", "sex"))}


@given(rows, st.booleans())
def test_each_row_is_encoded_as_if_it_were_alone(values, normalise):
    schema = FeatureSchema(SCHEMA.columns, normalise)
    together = schema.encode(table(values))
    alone = [schema.encode(table([row])) for row in values]
    np.testing.assert_array_equal(together.X, np.vstack([one.X for one in alone]))
    for counted in ("undeclared", "missing"):
        assert getattr(together, counted) == {
            name: sum(getattr(one, counted)[name] for one in alone) for name in schema.columns
        }
    assert np.isfinite(together.X).all()
    assert (np.linalg.norm(together.X, axis=1) <= schema.row_norm * (1 + 1e-12)).all()
    assert together.X.shape[1] == len(schema.feature_names)


def test_the_stated_rules():
    schema = FeatureSchema(SCHEMA.columns, normalise=False)
    found = schema.encode(table([(25, 0, "M"), (200, None, "?"), (None, -99, None)]))
    np.testing.assert_allclose(found.X, np.array([[0.5, 0.5, 0, 0.5, 0, 1], [0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0]]))
    assert found.undeclared == {"age": 1, "pay": 1, "sex": 1}
    assert found.missing == {"age": 1, "pay": 1, "sex": 1}
    assert schema.feature_names == ["age@0", "age@50", "age@100", "pay", "sex=F", "sex=M"]


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table, dict], ids=["pandas", "polars", "arrow", "dict"])
def test_every_kind_of_table_gives_the_same_rows(make):
    values = table([(25.0, 1.0, "M"), (30.0, None, None)])
    np.testing.assert_array_equal(SCHEMA.encode(make(values)).X, SCHEMA.encode(values).X)
    many = {name: column * 10 for name, column in values.items()} | {"who": [*range(20)]}
    assert FeatureSchema.propose(make(many), "who") == FeatureSchema.propose(many, "who")
    assert set(FeatureSchema.propose(many, "who").columns) == {"age", "pay", "sex"}


def test_numbers_next_to_the_end_of_a_range_keep_the_declared_norm():
    schema = FeatureSchema({"pay": Number(0, 1)})
    found = schema.encode({"pay": [1e-200, 1e-160, 5e-324, 1e-40, 1.0]}).X.ravel()
    assert found.tolist() == [0.0, 0.0, 0.0, 1.0, 1.0]  # their squares are 0, and nothing was to be divided by


def test_whole_floats_are_the_integers_they_were_declared_as():
    schema = FeatureSchema({"code": Category(("1", "2"))}, normalise=False)
    np.testing.assert_array_equal(schema.encode({"code": [1, 2.0, "2", math.nan]}).X, [[1, 0], [0, 1], [0, 1], [0, 0]])


def test_bad_tables_are_clear():
    with pytest.raises(InvalidRows, match="no column 'pay'"):
        SCHEMA.encode({"age": [1], "sex": ["F"]})
    with pytest.raises(InvalidRows, match=r"column 'age': row 0 is not a number"):
        SCHEMA.encode({"age": ["old"], "pay": [1], "sex": ["F"]})
    with pytest.raises(InvalidRows, match="column 'pay' has 2 rows, others have 1"):
        SCHEMA.encode({"age": [1], "pay": [1, 2], "sex": ["F"]})


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
numbers = st.floats(-1e6, 1e6)


@given(
    st.dictionaries(
        names,
        st.one_of(
            st.lists(numbers, min_size=2, max_size=5, unique=True).map(sorted).map(lambda k: Number(k[0], k[-1], tuple(k))),
            st.tuples(numbers, st.floats(0.1, 1e3)).map(lambda x: Number(x[0], x[0] + x[1])),
            st.lists(names, min_size=1, max_size=4, unique=True).map(lambda v: Category(tuple(v))),
        ),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
    st.booleans(),
)
def test_toml_round_trip(columns, normalise, draft):
    schema = FeatureSchema(columns, normalise, draft)
    assert FeatureSchema.from_toml(schema.to_toml()) == schema


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "nothing else"),
        ("normalise = 1\n[columns.a]\nkind='number'\nlow=0\nhigh=1", "true or false"),
        ("draft = 'yes'\n[columns.a]\nkind='number'\nlow=0\nhigh=1", "draft must be true or false"),
        ("[columns.a]\nkind='text'", "column 'a': kind must be"),
        ("[columns.a]\nkind='number'\nlow=0", "column 'a': missing or unknown keys: high"),
        ("[columns.a]\nkind='number'\nlow=0\nhigh=1\nstep=2", "unknown keys: step"),
        ("[columns.a]\nkind='number'\nlow=2\nhigh=1", "column 'a': low must be below high"),
        ("[columns.a]\nkind='number'\nlow=0\nhigh=1\nknots=[0, 2, 1]", "increasing"),
        ("[columns.a]\nkind='number'\nlow=0\nhigh=1\nknots=[0, 2]", "first knot must be low"),
        ("[columns.a]\nkind='category'\nvalues=['x','x']", "different texts"),
        ("[columns.a]\nkind='category'\nvalues=[]", "one or more"),
        ("[columns", "Expected|Invalid|Unclosed|line 1"),
    ],
)
def test_bad_schemas_name_the_column_and_the_key(text, match, tmp_path):
    path = tmp_path / "schema.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=match) as caught:
        FeatureSchema.read(path)
    assert "schema.toml" in str(caught.value)


def test_a_proposal_is_reviewable_and_rounded_outwards(tmp_path):
    t = census_table()
    draft = FeatureSchema.propose(t, "person_id", ignore=[TARGET, "split"])
    assert "person_id" not in draft.columns
    age, gain = draft.columns["age"], draft.columns["capital_gain"]
    assert isinstance(age, Number) and (age.low, age.high, age.scale) == (17.0, 90.0, "linear")
    assert isinstance(gain, Number) and (gain.low, gain.high, gain.scale) == (0.0, 100000.0, "signed_log")
    for column, name in ((age, "age"), (gain, "capital_gain")):
        values = rounded(np.asarray(t[name], dtype=np.float64))
        assert len(column.knots) > 8 and all((values == knot).sum() >= 10 for knot in column.knots[1:-1])
    assert not draft.normalise and len(draft.feature_names) <= 1000
    assert "race by sex" in draft.features
    assert isinstance(draft.columns["workclass"], Category)
    draft.write(tmp_path / "s.toml")
    assert "from what you know about the world" in (tmp_path / "s.toml").read_text().replace("\n# ", " ")
    assert FeatureSchema.read(tmp_path / "s.toml") == draft
    few = {"native_country": 1, "capital_loss": 9}  # one person from Holland, and the nine who lost most
    assert draft.encode(t).undeclared == {**dict.fromkeys(draft.columns, 0), **few}
    with pytest.raises(InvalidRows, match="no column can be drafted"):
        FeatureSchema.propose({"id": ["a", "b"], "kind": ["x", "x"]}, "id")
    with pytest.raises(InvalidRows, match="no column 'who'"):
        FeatureSchema.propose({"id": ["a", "b"]}, "who")


def owners(*rows_each):
    """Ids of people with so many rows each."""
    return [who for who, n in enumerate(rows_each) for _ in range(n)]


def test_a_draft_counts_people_and_not_rows():
    who = owners(*[1] * 10, *[1] * 9, 40, 3)
    found = FeatureSchema.propose(
        {"who": who, "city": ["ten"] * 10 + ["nine"] * 9 + ["one"] * 40 + ["ten", "nine", None]}, "who"
    ).columns["city"]
    assert found == Category(("nine", "ten"))  # the last person has both
    assert FeatureSchema.propose({"who": who[:-3], "city": ["ten"] * 10 + ["nine"] * 9 + ["one"] * 40}, "who").columns == {
        "city": Category(("ten",))
    }


@given(st.lists(st.floats(-1e9, 1e9), min_size=9, max_size=9), st.lists(st.integers(1, 5), min_size=9, max_size=9))
def test_nine_people_do_not_move_the_ends_of_a_range(extremes, rows_each):
    common = [20.0 + i / 10 for i in range(60)]
    alone = FeatureSchema.propose({"who": owners(*[1] * 60), "x": common}, "who").columns["x"]
    with_nine = FeatureSchema.propose(
        {"who": owners(*[1] * 60, *rows_each), "x": common + list(np.repeat(extremes, rows_each))}, "who"
    ).columns["x"]
    assert isinstance(alone, Number) and isinstance(with_nine, Number)
    assert 20.0 <= with_nine.low <= alone.low + 1 and alone.high - 1 <= with_nine.high <= 26.0
    people = np.r_[common, extremes]
    assert sum(people < with_nine.low + 1) >= 10 and sum(people > with_nine.high - 1) >= 10


def test_somebody_without_an_id_is_nobody():
    columns = {"who": [*range(9), None, "", " "], "city": ["a"] * 12, "height": [170.0] * 12}
    with pytest.raises(InvalidRows, match="no column can be drafted"):
        FeatureSchema.propose(columns, "who")
    assert set(FeatureSchema.propose({**columns, "who": [*range(10), None, ""]}, "who").columns) == {"city", "height"}


def test_a_range_needs_ten_people_at_both_ends():
    columns = {"who": [*range(12)], "x": [*range(12)], "same": [7] * 12}
    assert FeatureSchema.propose(columns, "who").columns == {"same": Number(7.0, 8.0)}


def test_the_census_table_is_whole_and_fits_its_schema():
    t = census_table()
    assert t.num_rows == 48_842
    assert "fnlwgt" not in t.column_names
    found = census_schema().encode(t)
    assert sum(found.undeclared.values()) == sum(found.missing.values()) == 0
    X, y = load_census("train")
    assert X.shape == (32_561, len(census_schema().feature_names))
    assert y.mean() == pytest.approx(0.2408, abs=1e-3)
    assert len(load_census("test")[1]) == 16_281
    with pytest.raises(ValueError, match="split"):
        census_table("valid")


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=10, max_size=40), st.floats())
def test_whatever_numbers_there_are_a_range_is_finite_and_its_features_too(values, other):
    rows = {"who": [str(i) for i in range(len(values))], "x": values, "same": [other] * len(values), "n": ["a"] * len(values)}
    schema = FeatureSchema.propose(pa.table(rows), "who")
    features = schema.encode(rows).X
    assert np.isfinite(features).all() and (features >= 0).all() and (features <= 1).all()

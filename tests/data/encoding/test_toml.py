"""Schemas as files: what is written is read again, and what cannot be says which column, which rule."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.data.encoding import (
    Category,
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
from expunge.data.encoding.tables import COMBINATIONS as KINDS_OF_SEVERAL
from expunge.data.encoding.tables import ENCODINGS
from expunge.data.schema import FeatureSchema
from tests.data.encoding.cases import COLUMNS, COMBINATIONS

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
floats = st.floats(0.01, 9e5)
shares = st.one_of(st.none(), st.floats(0, 1))
knots = st.lists(st.integers(1, 1000).map(float), min_size=2, max_size=5, unique=True).map(sorted)
values = st.lists(names, min_size=1, max_size=4, unique=True).map(tuple)
columns: st.SearchStrategy[Encoding] = st.one_of(
    st.tuples(knots, st.sampled_from([1, 3]), st.sampled_from(["linear", "log", "signed_log"])).map(
        lambda given: Number(given[0][0], given[0][-1], tuple(given[0]), given[1], given[2])
    ),
    values.map(Category),
    values.map(OrderedCategory),
    st.builds(HashedCategory, st.integers(2, 1 << 20), shares),
    st.builds(HashedText, st.integers(2, 1 << 20), st.sampled_from(["word", "char", "char_wb"]), st.just((1, 3)), shares),
    st.builds(Cyclic, st.lists(floats, min_size=1, max_size=3, unique=True).map(tuple), st.integers(1, 4)),
    st.builds(Cyclic, st.lists(st.sampled_from(["hour", "day", "week", "month", "year"]), min_size=1, unique=True).map(tuple)),
    st.builds(Embedding, st.integers(1, 1000), floats),
    st.builds(Embedding, st.integers(1, 1000), floats, names, st.just("sha256:00")),
)
declared = st.dictionaries(names, st.one_of(columns, columns.map(MissingIndicator)), min_size=1, max_size=5)


@given(declared, st.booleans(), st.booleans(), st.data())
def test_what_is_written_is_read_again(declared, normalise, draft, data):
    features = {}
    if len(declared) > 1:
        some = st.lists(st.sampled_from(sorted(declared)), min_size=2, max_size=3, unique=True).map(tuple)
        crosses = st.builds(Cross, some, st.integers(2, 1 << 20), shares)
        features = data.draw(st.dictionaries(names, crosses, max_size=2))
    numbers = [name for name, column in declared.items() if isinstance(getattr(column, "encoding", column), Number)]
    if numbers:
        waves = st.builds(
            RandomFourier, st.just(tuple(numbers)), st.integers(1, 50).map(lambda n: 2 * n), floats, st.integers(0, 9)
        )
        features |= data.draw(st.dictionaries(names, waves, max_size=1))
    schema = FeatureSchema(declared, normalise, draft, features)
    again = FeatureSchema.from_toml(schema.to_toml())
    assert again == schema and list(again.columns) == list(schema.columns) and list(again.features) == list(features)
    assert again.to_toml() == schema.to_toml()


def test_a_schema_of_all_kinds_is_read_again():
    schema = FeatureSchema(COLUMNS, features=COMBINATIONS)
    assert FeatureSchema.from_toml(schema.to_toml()) == schema


def test_the_schema_in_the_documentation_has_every_kind():
    page = (Path(__file__).parents[3] / "docs/encodings.md").read_text(encoding="utf-8")
    text, *others = re.findall(r"^```toml\n(.*?)^```", page, flags=re.M | re.S)
    schema = FeatureSchema.from_toml(text)
    for other in others:
        FeatureSchema.from_toml(other)
    assert {getattr(column, "encoding", column).kind for column in schema.columns.values()} == set(ENCODINGS)
    assert {made.kind for made in schema.features.values()} == set(KINDS_OF_SEVERAL)
    assert all(f"`{kind}`" in page for kind in (*ENCODINGS, *KINDS_OF_SEVERAL))


NUMBER = "[columns.n]\nkind='number'\nlow=0\nhigh=10\n"
CATEGORY = "[columns.c]\nkind='category'\nvalues=['x', 'y']\n"
BOTH = NUMBER + CATEGORY


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (NUMBER + "knots=[0, 5, 5, 10]", r"column 'n': knots must be two or more increasing numbers, got \[0.0, 5.0, 5.0"),
        (NUMBER + "knots=[0, 7, 5, 10]", "column 'n': knots must be two or more increasing"),
        (NUMBER + "degree=2", "column 'n': degree must be 1"),
        (NUMBER + "degree=3", "column 'n': a cubic spline needs knots"),
        (NUMBER + "degree=true", "column 'n': degree must be a whole number"),
        (NUMBER + "scale='log'", "column 'n': low must be positive on a log scale"),
        (NUMBER + "scale='root'", "column 'n': scale must be one of"),
        (NUMBER + "knots=5", "column 'n': knots must be a list"),
        (NUMBER + "add_indicator='yes'", "column 'n': add_indicator must be true or false"),
        ("[columns.h]\nkind='hashed_category'\nn_features=1", "column 'h': n_features must be between 2 and"),
        ("[columns.h]\nkind='hashed_category'\nmax_collisions=5", "column 'h': max_collisions must be a share"),
        ("[columns.t]\nkind='hashed_text'\nanalyzer='verb'", "column 't': analyzer must be one of word"),
        ("[columns.t]\nkind='hashed_text'\nngram_range=[2, 1]", "column 't': ngram_range must be"),
        ("[columns.d]\nkind='cyclic'\nperiods=[]", "column 'd': periods must be one or more"),
        ("[columns.d]\nkind='cyclic'\nperiods=['day', 7]", "column 'd': periods must be one or more"),
        ("[columns.d]\nkind='cyclic'\nperiods=['decade']", "column 'd': periods of dates and times are hour"),
        ("[columns.d]\nkind='cyclic'\nperiods=[0]", "column 'd': a period must be positive"),
        ("[columns.d]\nkind='cyclic'\nperiods=[7]\nharmonics=0", "column 'd': harmonics must be at least 1"),
        ("[columns.v]\nkind='embedding'\nwidth=0", "column 'v': width must be at least 1"),
        ("[columns.v]\nkind='embedding'\nwidth=3\nmax_norm=0", "column 'v': max_norm must be positive"),
        ("[columns.v]\nkind='embedding'\nwidth=3\npackage='minilm'", "column 'v': an encoder is named by package and digest"),
        ("[columns.o]\nkind='ordered'\nvalues=['a', 'a']", "column 'o': values must be one or more different"),
        (BOTH + "[features.f]\nkind='cross'\ncolumns=['c', 'z']", "features 'f': there is no column 'z' in the schema"),
        (BOTH + "[features.f]\nkind='cross'\ncolumns=['c']", "features 'f': a cross needs two or more different"),
        (BOTH + "[features.f]\nkind='cross'\ncolumns=['c', 'n']\nmax_collisions=0.1", "features 'f': max_collisions is about"),
        (BOTH + "[features.f]\nkind='product'\ncolumns=['c', 'n']", "features 'f': kind must be one of \"cross\""),
        (
            BOTH + "[features.f]\nkind='random_fourier'\ncolumns=['c']",
            "features 'f': random features need numbers, but col",
        ),
        (
            BOTH + "[features.f]\nkind='random_fourier'\ncolumns=['n']\nn_components=3",
            "features 'f': n_components must be an even",
        ),
        (BOTH + "[features.f]\nkind='random_fourier'\ncolumns=['n']\ngamma=0", "features 'f': gamma must be positive"),
        (BOTH + "[features]\nf=3", "features 'f': kind must be one of"),
        ("features=3\n" + BOTH, "nothing else"),
    ],
)
def test_what_cannot_be_names_column_and_rule(text, match, tmp_path):
    path = tmp_path / "schema.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=match) as caught:
        FeatureSchema.read(path)
    assert "schema.toml" in str(caught.value)


def test_a_large_cross_must_be_hashed():
    values = tuple(map(str, range(101)))
    columns: dict[str, Encoding] = {"a": Category(values), "b": Category(values)}
    with pytest.raises(
        ValueError, match="features 'ab': a cross of 'a' and 'b' has 10,201 features, more than 10,000: give n_fe"
    ):
        FeatureSchema(columns, features={"ab": Cross(("a", "b"))})
    assert len(FeatureSchema(columns, features={"ab": Cross(("a", "b"), n_features=512)}).feature_names) == 202 + 512

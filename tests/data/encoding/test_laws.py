"""Laws of every encoding: names, groups, norms; and that a row's features are its own, to the last bit."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from expunge.data.encoding.block import row_norms
from expunge.data.encoding.tables import COMBINATIONS as KINDS_OF_SEVERAL
from expunge.data.encoding.tables import ENCODINGS
from expunge.data.schema import DENSE, FeatureSchema
from expunge.errors import InvalidRows
from expunge.problem.arrays import dense
from tests.data.encoding.cases import CASES, COLUMNS, COMBINATIONS, tables

every = pytest.mark.parametrize("name", CASES)
combined = pytest.mark.parametrize("name", COMBINATIONS)
SMALL = FeatureSchema({name: COLUMNS[name] for name in ("knots", "category", "words", "embedding")})


def bits(features) -> np.ndarray:
    """Their bits, with one zero."""
    return (np.asarray(dense(features)) + 0.0).view(np.uint64)


def require_groups(features, groups, width):
    assert np.array_equal(np.sort(np.concatenate(groups)), np.arange(width))
    assert all(np.array_equal(group, np.sort(group)) for group in groups)
    X = dense(features)
    for group in groups:
        assert ((X[:, group] != 0).sum(axis=1) <= 1).all()


def require_ones(features, groups, alike):
    X = dense(features)
    for place in alike:
        assert set(X[:, groups[place]].ravel()) <= {0.0, 1.0}


def test_every_kind_has_a_case():
    plain = [getattr(encoding, "encoding", encoding) for encoding in COLUMNS.values()]
    assert {encoding.kind for encoding in plain} == set(ENCODINGS)
    assert {combination.kind for combination in COMBINATIONS.values()} == set(KINDS_OF_SEVERAL)


@every
@given(data=st.data())
@settings(max_examples=30)
def test_the_laws_of_columns(name, data):
    case = CASES[name]
    encoding, values = case.encoding, data.draw(st.lists(case.values, min_size=1, max_size=9))
    block = encoding.encode(values)
    width = len(encoding.suffixes)
    assert block.features.shape == (len(values), width) and len(set(encoding.suffixes)) == width
    assert sparse.issparse(block.features) == encoding.is_sparse
    assert np.isfinite(dense(block.features)).all()
    assert (row_norms(block.features) <= encoding.norm_bound * (1 + 1e-12)).all()
    require_groups(block.features, encoding.groups, width)
    require_ones(block.features, encoding.groups, encoding.alike)
    alone = [encoding.encode([value]) for value in values]
    for row, one in enumerate(alone):
        assert np.array_equal(bits(one.features), bits(block.features[[row]]))
        assert (one.undeclared[0], one.missing[0]) == (block.undeclared[row], block.missing[row])
    assert not (block.undeclared & block.missing).any()


@every
def test_no_rows_have_no_features(name):
    """A part of a table may be left without a row, as where all of its people asked to be forgotten."""
    block = CASES[name].encoding.encode([])
    assert block.features.shape == (0, len(CASES[name].encoding.suffixes))
    assert len(block.missing) == len(block.undeclared) == 0


@every
@given(data=st.data())
@settings(max_examples=20)
def test_an_arrow_column_gives_the_same_features_however_it_is_cut(name, data):
    case = CASES[name]
    if not case.is_arrow:
        pytest.skip("values of several types")
    values = data.draw(st.lists(case.values, min_size=1, max_size=9))
    cut = data.draw(st.integers(0, len(values)))
    kind = {"embedding": pa.list_(pa.float64())}.get(name) or (pa.float64() if name in NUMERIC else pa.string())
    whole = pa.array(values, kind)
    expected = case.encoding.encode(values)
    for column in (whole, pa.chunked_array([whole[:cut], whole[cut:]], kind)):
        found = case.encoding.encode(column)
        assert np.array_equal(bits(found.features), bits(expected.features))
        assert np.array_equal(found.missing, expected.missing) and np.array_equal(found.undeclared, expected.undeclared)


NUMERIC = [name for name, case in CASES.items() if case.values is CASES["number"].values]


@combined
@given(table=tables())
@settings(max_examples=25)
def test_the_laws_of_combinations(name, table):
    combination = COMBINATIONS[name]
    made = combination.of(COLUMNS)
    blocks = [COLUMNS[column].encode(table[column]) for column in combination.columns]
    features = made.encode(blocks)
    width = len(made.suffixes)
    assert features.shape == (len(table["number"]), width) and len(set(made.suffixes)) == width
    assert (row_norms(features) <= made.norm_bound * (1 + 1e-12)).all()
    require_groups(features, made.groups, width)
    require_ones(features, made.groups, made.alike)
    for row in range(len(table["number"])):
        alone = made.encode([COLUMNS[column].encode([table[column][row]]) for column in combination.columns])
        assert np.array_equal(bits(alone), bits(features[[row]]))


@given(tables(), st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_laws_of_a_schema_of_them_all(table, normalise, random):
    schema = FeatureSchema(COLUMNS, normalise, features=COMBINATIONS)
    n = len(table["number"])
    whole = schema.encode(table)
    assert schema.is_sparse == (len(schema.feature_names) > DENSE) == sparse.issparse(whole.X)
    assert whole.X.shape == (n, len(schema.feature_names)) and len(set(schema.feature_names)) == whole.X.shape[1]
    assert (row_norms(whole.X) <= schema.row_norm * (1 + 1e-12)).all()
    require_groups(whole.X, schema.groups, whole.X.shape[1])
    if not normalise:
        require_ones(whole.X, schema.groups, schema.alike)
    order = random.sample(range(n), n)
    shuffled = schema.encode({name: [column[row] for row in order] for name, column in table.items()})
    assert np.array_equal(bits(shuffled.X), bits(whole.X)[order])
    for row in range(n):
        one = schema.encode({name: [column[row]] for name, column in table.items()})
        assert np.array_equal(bits(one.X), bits(whole.X)[[row]])


@given(tables(max_size=4))
@settings(max_examples=15, deadline=None)
def test_sparse_rows_are_the_dense_ones(table):
    found = []
    for least in (0, 10**9):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("expunge.data.schema.DENSE", least)
            found.append(SMALL.encode({name: table[name] for name in SMALL.columns}).X)
    assert sparse.issparse(found[0]) and found[0].has_canonical_format and not sparse.issparse(found[1])
    np.testing.assert_allclose(found[0].toarray(), found[1], rtol=1e-15)


def test_an_undeclared_and_a_missing_value_are_counted_apart():
    schema = FeatureSchema(
        {name: COLUMNS[name] for name in ("cubic", "ordered", "turns", "embedding", "number with indicator")}
    )
    table = {
        "cubic": [-1.0, None, 5.0],
        "ordered": ["?", None, "low"],
        "turns": [1e16, None, 5.0],
        "embedding": [[9.0, 0.0, 0.0], None, [1.0, 0.0, 0.0]],
        "number with indicator": [101, None, 5],
    }
    schema = FeatureSchema({name: COLUMNS[name] for name in table})
    found = schema.encode(table)
    assert found.undeclared == found.missing == dict.fromkeys(schema.columns, 1)


@given(st.lists(st.one_of(st.floats(0.0, 1e-50), st.floats(0.0, 1e-120)), min_size=3, max_size=3))
def test_rows_next_to_zero_have_norm_one_or_are_zero(values):
    """Squares of what is below 1e-154 underflow, and their sum is not the norm: such features are 0 before it is found."""
    schema = FeatureSchema(dict.fromkeys("abc", COLUMNS["number"]))
    X = schema.encode({name: [100 * value] for name, value in zip("abc", values, strict=True)}).X
    assert (row_norms(X) <= 1 + 1e-12).all()
    if max(values) > 1.001e-60:
        assert row_norms(X) == pytest.approx(1.0)
    elif max(values) < 0.999e-60:
        assert not X.any()


def test_features_with_the_same_name_are_numbered():
    from expunge.data.encoding import Category, Number

    schema = FeatureSchema({"x": Category(("1", "2")), "x=1": Number(0, 1)})
    assert schema.feature_names == ["0: x=1", "1: x=2", "2: x=1"]
    near = FeatureSchema({"n": Number(0, 1, (0, 0.50000001, 0.50000002, 1))})
    assert len(set(near.feature_names)) == 4


def test_the_columns_must_have_one_length():
    with pytest.raises(InvalidRows, match="column 'category' has 1 rows, others have 2"):
        SMALL.encode({"knots": [1, 2], "category": ["low"], "words": ["a"], "embedding": [None]})


@given(tables(), st.sets(st.sampled_from(list(COLUMNS)), min_size=1), st.booleans())
@settings(max_examples=40, deadline=None)
def test_rows_in_blocks_are_the_same_to_the_last_bit(table, names, normalise):
    columns = {name: COLUMNS[name] for name in COLUMNS if name in names}
    features = {name: made for name, made in COMBINATIONS.items() if set(made.columns) <= names}
    schema = FeatureSchema(columns, normalise, features=features)
    whole, split = schema.encode(table), schema.encode_in_blocks(table)
    assert np.array_equal(bits(split.X), bits(whole.X))
    assert (split.undeclared, split.missing) == (whole.undeclared, whole.missing)
    one = schema.encode_in_blocks({name: [column[0]] for name, column in table.items()}).X
    assert len(one.blocks) == len(split.X.blocks)
    for a, b in zip(one.blocks, split.X.blocks, strict=True):  # the blocks are those of the schema, whatever the rows are
        assert a.levels.has_none == b.levels.has_none
        assert all(np.array_equal(*pair) for pair in zip(a.levels.categories, b.levels.categories, strict=True))

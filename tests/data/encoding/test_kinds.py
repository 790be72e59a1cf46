"""What each kind makes of values, checked by hand and beside the libraries that have the same."""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse
from scipy.interpolate import BSpline
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.preprocessing import SplineTransformer

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
from expunge.data.encoding.spline import extended
from expunge.data.schema import FeatureSchema


def test_existing_schemas_encode_to_the_same_bits():
    """As they did before there were other kinds: state files hold digests of such rows."""
    rng = np.random.default_rng(0)
    n, values, knots = 500, ("a", "b", "c"), (0.0, 10.0, 35.0, 100.0)
    table = {
        "x": rng.uniform(-20, 130, n),
        "y": np.where(rng.random(n) < 0.1, np.nan, rng.uniform(-1, 1, n)),
        "z": rng.choice(["a", "b", "c", "?"], n),
    }
    schema = FeatureSchema({"x": Number(0, 100, knots), "y": Number(-1, 1), "z": Category(values)})
    x, y = np.clip(table["x"], 0, 100), table["y"]
    hats = np.stack([np.interp(x, knots, hat) for hat in np.eye(4)], axis=1)
    line = np.where(np.isnan(y), 0.0, (np.nan_to_num(y) - -1) / (1 - -1))[:, None]
    X = np.hstack([hats, line, table["z"][:, None] == np.array(values)])
    for normalise in (False, True):
        if normalise:
            X /= np.linalg.norm(X, axis=1, keepdims=True)
        found = FeatureSchema(schema.columns, normalise).encode(table).X
        assert np.array_equal(found.view(np.uint64), X.view(np.uint64))


class TestNumbers:
    def test_cubic_splines_are_those_of_scipy_and_scikit_learn(self):
        knots = (0.0, 1.0, 5.0, 7.0, 20.0)
        x = np.r_[np.linspace(0, 20, 101), knots]
        found = Number(0, 20, knots, degree=3).encode(x).features
        scipys = BSpline.design_matrix(x, extended(knots, 3), 3).toarray()
        np.testing.assert_allclose(found, scipys, atol=1e-14)
        transformer = SplineTransformer(knots=np.array(knots)[:, None], degree=3, extrapolation="constant")
        np.testing.assert_allclose(found, transformer.fit_transform(x[:, None]), atol=1e-14)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-15)

    def test_a_logarithmic_scale(self):
        encoding = Number(1, 1e6, (1, 1e3, 1e6), scale="log")
        found = encoding.encode([1, 10**1.5, 1e3, 1e9, 0, -1])
        np.testing.assert_allclose(found.features[:4], np.array([[2, 0, 0], [1, 1, 0], [0, 2, 0], [0, 0, 2]]) / 2, atol=1e-15)
        assert found.undeclared.tolist() == [False, False, False, True, True, True]
        assert np.array_equal(found.features[4:], [[1, 0, 0], [1, 0, 0]])
        assert encoding.suffixes == ["@1", "@1000", "@1e+06"]

    def test_a_signed_logarithmic_scale(self):
        found = Number(-99, 99, scale="signed_log").encode([-99, 0, 9, 99]).features.ravel()
        np.testing.assert_allclose(found, [0, 0.5, 0.75, 1], atol=1e-15)

    def test_a_scale_that_bends_its_knots_together_is_refused(self):
        with pytest.raises(ValueError, match="too close together"):
            Number(0, 1, (0, 1e-17, 1), scale="signed_log")
        with pytest.raises(ValueError, match="too far apart"):
            Number(-8e307, 8e307, (-8e307, 8e307), degree=3)


class TestCategories:
    def test_a_thermometer(self):
        found = OrderedCategory(("1", "2", "3", "4")).encode([1, 2.0, "4", "5", None])
        half = [[0.5, 0, 0, 0], [0.5, 0.5, 0, 0], [0.5] * 4, [0] * 4, [0] * 4]
        assert found.features.tolist() == half
        assert found.undeclared.tolist() == [False] * 3 + [True, False] and found.missing[4]

    def test_an_indicator_tells_missing_from_the_lowest(self):
        found = MissingIndicator(Number(0, 10)).encode([0, None]).features
        assert found.tolist() == [[0, 0], [0, 1]]

    def test_hashed_values_are_where_scikit_learn_puts_them(self):
        values = [f"N{i}" for i in range(300)]
        found = HashedCategory(64).encode([*values, None]).features
        theirs = FeatureHasher(64, input_type="string").transform([[value] for value in values])
        assert np.array_equal(found.toarray()[:-1], theirs.toarray())
        assert found[[-1]].nnz == 0 and set(found.data) == {1.0, -1.0}

    def test_numbers_are_hashed_as_they_are_written(self):
        found = HashedCategory(64).encode([7, 7.0, "7"]).features.toarray()
        assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])

    def test_texts_are_those_of_scikit_learn(self):
        texts = ["Late again", "never  late", "", "x y z late late"]
        for analyzer, ngrams in (("word", (1, 2)), ("char", (2, 3)), ("char_wb", (3, 3))):
            found = HashedText(128, analyzer, ngrams).encode(texts).features
            theirs = HashingVectorizer(n_features=128, analyzer=analyzer, ngram_range=ngrams).transform(texts)
            np.testing.assert_allclose(found.toarray(), theirs.toarray(), rtol=1e-14)


class TestCycles:
    def test_moments_come_round(self):
        encoding = Cyclic(("week", "day"))
        found = encoding.encode(["2024-01-01", "2024-01-08", "2024-01-01T06:00:00"]).features * 2**0.5
        np.testing.assert_allclose(found[0], [0, 1, 0, 1], atol=1e-15)
        assert np.array_equal(found[0], found[1])
        np.testing.assert_allclose(found[2, 2:], [1, 0], atol=1e-15)

    def test_every_day_of_a_leap_year_has_its_place(self):
        days = [dt.date(2024, 1, 1) + dt.timedelta(days=i) for i in range(366)]
        angle = 2 * np.pi * np.arange(366) / 366
        found = Cyclic(("year",)).encode(days).features
        np.testing.assert_allclose(found, np.c_[np.sin(angle), np.cos(angle)], atol=1e-14)
        month = Cyclic(("month",)).encode(["2023-02-15"]).features
        np.testing.assert_allclose(month, [[0, -1]], atol=1e-14)

    def test_all_types_of_moments_are_the_same_moments(self):
        moments = [dt.datetime(1969, 12, 31, 23, 59, 59), dt.datetime(2024, 2, 29, 12, 30), None]
        encoding = Cyclic(("hour", "day", "week", "month", "year"))
        expected = encoding.encode(moments).features
        columns = [pa.array(moments, pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")]
        columns += [pa.array(moments, pa.timestamp("us", "UTC")), pd.Series(moments).tolist(), pl.Series(moments).to_list()]
        columns += [[None if moment is None else moment.isoformat() for moment in moments]]
        columns += [[None if moment is None else f"{moment.isoformat()}+00:00" for moment in moments]]
        for column in columns:
            assert np.array_equal(encoding.encode(column).features, expected)
        dates = [dt.date(1969, 12, 31), None]
        for column in (pa.array(dates, pa.date32()), pa.array(dates, pa.date64()), pa.chunked_array([pa.array(dates)])):
            assert np.array_equal(encoding.encode(column).features, encoding.encode(dates).features)

    def test_times_of_day(self):
        times = [dt.time(6), None, dt.time(23, 59)]
        encoding = Cyclic(("day",))
        expected = encoding.encode(times).features
        np.testing.assert_allclose(expected[0], [1, 0], atol=1e-15)
        for column in (pa.array(times, pa.time64("us")), pa.array(times, pa.time32("s")), ["06:00", "", "23:59"][:1]):
            assert np.array_equal(encoding.encode(column).features, expected[: len(column)])

    def test_numbers_come_round_too(self):
        found = Cyclic((24,), harmonics=2).encode([0, 12, 24, -12]).features * 2**0.5
        assert np.array_equal(found[0], found[2]) and np.array_equal(found[1], found[3])
        np.testing.assert_allclose(found[:2], [[0, 1, 0, 1], [0, -1, 0, 1]], atol=1e-15)


class TestEmbeddings:
    def test_lists_of_all_kinds(self):
        vectors = [[0.6, 0.8], None, [0.5, 0.0]]
        expected = Embedding(2).encode(vectors).features
        assert expected.tolist() == [[0.6, 0.8], [0, 0], [0.5, 0]]
        for kind in (pa.list_(pa.float64()), pa.large_list(pa.float64()), pa.list_(pa.float64(), 2)):
            assert np.array_equal(Embedding(2).encode(pa.array(vectors, kind)).features, expected)
        arrays = [None if vector is None else np.array(vector) for vector in vectors]
        assert np.array_equal(Embedding(2).encode(arrays).features, expected)
        assert Embedding(2).encode(pa.array([None, None])).features.tolist() == [[0, 0], [0, 0]]

    def test_a_unit_vector_in_half_precision_is_no_longer_than_declared(self):
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(100, 384))
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
        found = Embedding(384).encode(list(vectors))
        assert not found.undeclared.any()
        assert (np.linalg.norm(found.features, axis=1) <= 1 + 1e-12).all()


class TestCombinations:
    def test_a_cross_is_every_product(self):
        columns: dict[str, Encoding] = {
            "a": Number(0, 2, (0, 1, 2)),
            "b": Category(("x", "y")),
            "c": OrderedCategory(("1", "2")),
        }
        rng = np.random.default_rng(0)
        blocks = [
            columns["a"].encode(rng.uniform(0, 2, 20)),
            columns["b"].encode(rng.choice(["x", "y", "?"], 20)),
            columns["c"].encode(rng.choice(["1", "2"], 20)),
        ]
        found = Cross(("a", "b", "c")).of(columns)
        expected = [np.kron(np.kron(a, b), c) for a, b, c in zip(*(block.features for block in blocks), strict=True)]
        np.testing.assert_array_equal(found.encode(blocks).toarray(), expected)
        assert found.suffixes[0] == " a@0 & b=x & c>=1" and found.suffixes[-1] == " a@2 & b=y & c>=2"

    def test_hashed_products_keep_their_inner_products_on_average(self):
        columns: dict[str, Encoding] = {"a": HashedCategory(1 << 16), "b": HashedCategory(1 << 16)}
        rng = np.random.default_rng(0)
        blocks = [columns[name].encode([f"{name}{i}" for i in rng.integers(0, 200, 2000)]) for name in "ab"]
        made = Cross(("a", "b"), n_features=1 << 14).of(columns)
        X = made.encode(blocks)
        assert sparse.issparse(X) and X.nnz == 2000 and X.shape[1] == 1 << 14
        exact = (blocks[0].features @ blocks[0].features.T).toarray() * (blocks[1].features @ blocks[1].features.T).toarray()
        assert (X @ X.T).toarray().sum() == pytest.approx(exact.sum(), rel=0.15)

    def test_random_features_are_those_of_a_gaussian_kernel(self):
        columns: dict[str, Encoding] = {"x": Number(0, 10), "y": Number(1, 100, scale="log")}
        rng = np.random.default_rng(0)
        x, y = rng.uniform(0, 10, 30), np.exp(rng.uniform(0, np.log(100), 30))
        places = np.c_[x / 10, np.log(y) / np.log(100)]
        fourier = RandomFourier(("x", "y"), n_components=20_000, gamma=4.0)
        X = fourier.of(columns).encode([columns["x"].encode(x), columns["y"].encode(y)])
        kernel = np.exp(-4.0 * ((places[:, None] - places[None]) ** 2).sum(axis=2))
        np.testing.assert_allclose(X @ X.T, kernel, atol=0.04)
        np.testing.assert_allclose((X * X).sum(axis=1), 1, rtol=1e-12)
        other = RandomFourier(("x", "y"), n_components=20_000, gamma=4.0, random_state=1)
        assert not np.allclose(X, other.of(columns).encode([columns["x"].encode(x), columns["y"].encode(y)]))

    def test_knots_do_not_change_what_random_features_see(self):
        ways: tuple[Encoding, ...] = (Number(0, 10), MissingIndicator(Number(0, 10, (0, 4, 10), degree=3)))
        straight, bent = (RandomFourier(("x",)).of({"x": way}).encode([way.encode([3.0, None])]) for way in ways)
        assert np.array_equal(straight, bent)


def test_a_million_features_stay_sparse():
    schema = FeatureSchema(
        {"plane": HashedCategory(1 << 20), "note": HashedText(1 << 20), "sex": Category(("F", "M"))},
        features={"both": Cross(("plane", "note"), n_features=1 << 20)},
    )
    found = schema.encode({"plane": ["N1", "N2"] * 500, "note": ["late and rude"] * 1000, "sex": ["F"] * 1000}).X
    assert sparse.issparse(found) and found.has_canonical_format
    assert found.shape == (1000, 3 * (1 << 20) + 2) and found.nnz == 1000 * (1 + 3 + 1 + 3)


def test_with_fewer_columns_goes_what_is_made_of_the_others():
    columns: dict[str, Encoding] = {"a": Category(("x",)), "b": Category(("y",)), "c": Number(0, 1)}
    schema = FeatureSchema(columns, features={"ab": Cross(("a", "b")), "bc": Cross(("b", "c"))})
    assert list(schema.with_columns({"b": columns["b"], "c": columns["c"]}).features) == ["bc"]
    assert schema.with_columns(columns) == schema

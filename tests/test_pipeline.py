"""Pipelines from raw columns: an encoder that learns nothing, in front of any estimator; raw rows forgotten."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline as SklearnPipeline
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import estimator_html_repr, get_tags

from expunge.data.schema import Category, FeatureSchema, Number
from expunge.errors import InvalidRows
from expunge.linear_model import LogisticRegression, Ridge
from expunge.pipeline import Pipeline, SchemaEncoder
from expunge.problem.rows import Rows
from tests.workspace.people import people

SCHEMA = FeatureSchema({"age": Number(0, 100, (0, 50, 100)), "job": Category(("clerk", "nurse")), "tenure": Number(0, 40)})
FRAMES = {
    "pandas": lambda table: table.to_pandas(),
    "polars": pl.from_arrow,
    "arrow": lambda table: table,
    "mapping": lambda table: table.to_pydict(),
}


@pytest.fixture
def frame():
    return people(200, 200).to_pandas()


class TestEncoder:
    @pytest.mark.parametrize("kind", FRAMES)
    def test_every_kind_of_table_gives_the_features_of_the_schema(self, kind):
        table = people(50, 50)
        expected = SCHEMA.encode(table).X
        given = FRAMES[kind](table)
        assert np.array_equal(SchemaEncoder(SCHEMA).fit_transform(given), expected)
        found = SchemaEncoder(SCHEMA, sparse_output=True).transform(given)
        assert sparse.issparse(found) and found.format == "csr"
        assert np.array_equal(found.toarray(), expected)

    def test_set_output_gives_frames_with_the_names_of_the_features(self, frame):
        frame.index = frame.index + 1000
        found = SchemaEncoder(SCHEMA).set_output(transform="pandas").fit_transform(frame)
        assert list(found) == SCHEMA.feature_names and list(found.index) == list(frame.index)
        assert np.array_equal(found.to_numpy(), SCHEMA.encode(frame).X)
        other = SchemaEncoder(SCHEMA).set_output(transform="polars").fit_transform(pl.from_pandas(frame))
        assert isinstance(other, pl.DataFrame) and other.columns == SCHEMA.feature_names
        with pytest.raises(ValueError, match="disable Pandas output"):
            SchemaEncoder(SCHEMA, sparse_output=True).set_output(transform="pandas").transform(frame)

    def test_it_learns_nothing(self, frame):
        encoder = SchemaEncoder(SCHEMA)
        before = dict(vars(encoder))
        assert encoder.fit(frame) is encoder and vars(encoder) == before
        assert not get_tags(encoder).requires_fit
        assert np.array_equal(encoder.transform(frame[:1])[0], encoder.transform(frame)[0])

    def test_it_is_cloned_pickled_and_shown(self, frame):
        encoder = SchemaEncoder(SCHEMA, sparse_output=True)
        for copy in (clone(encoder), pickle.loads(pickle.dumps(encoder))):
            assert copy is not encoder and copy.get_params() == encoder.get_params()
            assert np.array_equal(copy.transform(frame).toarray(), encoder.transform(frame).toarray())
        assert "SchemaEncoder" in repr(encoder) and "sparse_output" in estimator_html_repr(encoder)
        assert "SchemaEncoder" in make_pipeline(encoder, Ridge())._repr_html_()

    def test_the_toml_of_a_schema_does_too(self, frame):
        encoder = SchemaEncoder(SCHEMA.to_toml())
        assert np.array_equal(encoder.transform(frame), SchemaEncoder(SCHEMA).transform(frame))
        with pytest.raises(ValueError):
            SchemaEncoder("columns = 3").transform(frame)

    def test_in_front_of_any_estimator(self, frame):
        y = frame["churn"]
        for last in (SklearnLogisticRegression(), HistGradientBoostingClassifier(max_iter=5)):
            pipeline = make_pipeline(SchemaEncoder(SCHEMA), last)
            assert len(cross_val_score(pipeline, frame, y, cv=2)) == 2
        together = make_pipeline(ColumnTransformer([("schema", SchemaEncoder(SCHEMA), list(SCHEMA.columns))]), SelectKBest(k=3))
        assert set(together.fit(frame, y).get_feature_names_out()) < {f"schema__{name}" for name in SCHEMA.feature_names}
        searched = GridSearchCV(
            make_pipeline(SchemaEncoder(SCHEMA), SklearnLogisticRegression()), {"logisticregression__C": [1, 9]}
        )
        assert searched.fit(frame, y).score(frame, y) > 0.5

    @pytest.mark.parametrize(
        "X", [np.zeros((2, 3)), [[1, "clerk", 2]], sparse.csr_array(np.zeros((2, 3)))], ids=["array", "list", "csr"]
    )
    def test_what_has_no_names_is_refused(self, X):
        for method in ("fit", "transform"):
            with pytest.raises(InvalidRows, match="X has no names: give a pandas or Polars frame"):
                getattr(SchemaEncoder(SCHEMA), method)(X)

    def test_a_missing_column_is_named(self, frame):
        for method in ("fit", "transform"):
            with pytest.raises(InvalidRows, match="X has no column 'job', which the schema declares"):
                getattr(SchemaEncoder(SCHEMA), method)(frame.drop(columns="job"))


def part(X, rows):
    """Some rows of a table of any kind."""
    if isinstance(X, dict):
        return {name: [column[i] for i in rows] for name, column in X.items()}
    return X.iloc[rows] if isinstance(X, pd.DataFrame) else X.take(rows) if isinstance(X, pa.Table) else X[rows]


class TestForgettingRawRows:
    @pytest.mark.parametrize("kind", FRAMES)
    def test_as_the_model_forgets_encoded_rows(self, kind):
        table = people(200, 200)
        X, y, encoded = FRAMES[kind](table), np.array(table["churn"].to_pylist()), SCHEMA.encode(table).X
        ids = [f"p{i}" for i in range(200)]
        pipeline = Pipeline([("encode", SchemaEncoder(SCHEMA)), ("model", LogisticRegression(sigma=0))])
        model = LogisticRegression(sigma=0).fit(encoded, y, subjects=ids)
        assert pipeline.fit(X, y, subjects=ids) is pipeline
        rest, gone = list(range(3, 200)), [0, 1, 2]

        def same():
            assert np.array_equal(pipeline[-1].coef_, model.coef_)
            assert np.array_equal(pipeline.predict_proba(X), model.predict_proba(encoded))

        same()
        pipeline.forget(part(X, gone), y[gone], ids=ids[:3], remaining=(part(X, rest), y[rest], None, ids[3:]))
        model.forget(encoded[gone], y[gone], ids=ids[:3], remaining=(encoded[rest], y[rest], None, ids[3:]))
        same()
        pipeline.learn(part(X, [0]), y[[0]], subjects=ids[:1])
        model.learn(encoded[[0]], y[[0]], subjects=ids[:1])
        same()
        pipeline.rectify(part(X, [0]), y[[0]], part(X, [1]), y[[1]], ids=ids[:1])
        model.rectify(encoded[[0]], y[[0]], encoded[[1]], y[[1]], ids=ids[:1])
        same()
        now = [1, *rest]
        pipeline.refit(part(X, now), y[now], subjects=[ids[0], *ids[3:]])
        model.refit(encoded[now], y[now], subjects=[ids[0], *ids[3:]])
        same()
        assert [one.rung for one in pipeline.certificates_] == [one.rung for one in model.certificates_]
        assert pipeline.certificate_ is pipeline.certificates_[-1]

    def test_its_capacity_is_forecast_from_raw_rows(self, frame):
        pipeline = Pipeline([("encode", SchemaEncoder(SCHEMA)), ("model", LogisticRegression(sigma=0.05))])
        pipeline.fit(frame, frame["churn"])
        encoded = SCHEMA.encode(frame).X
        assert str(pipeline.capacity(frame, frame["churn"])) == str(pipeline[-1].capacity(encoded, frame["churn"]))
        assert pipeline.capacity().remaining == 200

    def test_remaining_may_be_a_source_of_encoded_rows(self, frame):
        y = frame["tenure"].to_numpy(float)
        pipeline = Pipeline([("encode", SchemaEncoder(SCHEMA)), ("model", Ridge(sigma=0))]).fit(frame, y)
        rest = Rows.of(SCHEMA.encode(frame[1:]).X, y[1:])
        assert pipeline.forget(frame[:1], y[:1], remaining=rest).remaining == 199

    def test_steps_that_remember_rows_are_refused(self, frame):
        y = frame["churn"]
        steps = [("encode", SchemaEncoder(SCHEMA)), ("scale", StandardScaler()), ("model", LogisticRegression(sigma=0))]
        with pytest.raises(ValueError, match="step 'scale', a StandardScaler, learns from the rows"):
            Pipeline(steps).fit(frame, y)
        with pytest.raises(ValueError, match="a StandardScaler, learns"):  # whoever has fitted it before
            Pipeline([("encode", SchemaEncoder(SCHEMA)), ("scale", StandardScaler().fit(np.eye(6))), steps[-1]]).fit(frame, y)
        for stateless in (FunctionTransformer(np.square), "passthrough", None):
            Pipeline([steps[0], ("more", stateless), steps[-1]]).fit(frame, y).forget(frame[:1], y[:1])

    def test_it_ends_with_a_model_that_forgets(self, frame):
        pipeline = Pipeline([("encode", SchemaEncoder(SCHEMA)), ("model", SklearnLogisticRegression())])
        with pytest.raises(ValueError, match="'model', is a LogisticRegression, which cannot forget"):
            pipeline.fit(frame, frame["churn"])
        with pytest.raises(NotFittedError):
            Pipeline([("encode", SchemaEncoder(SCHEMA)), ("model", LogisticRegression())]).forget(frame[:1], ["no"])

    def test_what_is_published_is_scikit_learns(self, frame):
        pipeline = Pipeline([("encode", SchemaEncoder(SCHEMA)), ("model", LogisticRegression(sigma=0.05))])
        public = pipeline.fit(frame, frame["churn"]).to_sklearn()
        assert type(public) is SklearnPipeline and type(public[-1]) is SklearnLogisticRegression
        assert np.allclose(public.predict_proba(frame), pipeline.predict_proba(frame), atol=1e-15)
        assert cross_val_score(clone(pipeline), frame, frame["churn"], cv=2).min() > 0.5

    def test_a_refused_row_changes_nothing(self, frame):
        pipeline = Pipeline([("encode", SchemaEncoder(SCHEMA)), ("model", Ridge(sigma=0, track_rows=True))])
        y = frame["tenure"].to_numpy(float)
        before = pipeline.fit(frame, y)[-1].coef_.copy()
        with pytest.raises(InvalidRows, match="row 0 is not a number"):
            pipeline.forget(frame[:1].assign(age="old"), y[:1])
        assert np.array_equal(pipeline[-1].coef_, before) and len(pipeline.certificates_) == 1

"""Every declared encoding through the user's doors: init, fit, forget, refit and export; and what goes wrong, by name."""

import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skops.io
from typer.testing import CliRunner

from expunge.cli import app
from expunge.data.encoding.tables import COMBINATIONS, ENCODINGS
from expunge.data.schema import FeatureSchema
from expunge.workspace import Workspace

SCHEMA = """\
[columns.age]
kind = "number"
low = 15
high = 95
knots = [15, 35, 55, 95]
degree = 3

[columns.pay]
kind = "number"
low = 1
high = 1e6
scale = "log"
knots = [1, 100, 10000, 1000000]

[columns.balance]
kind = "number"
low = -1e4
high = 1e4
scale = "signed_log"
add_indicator = true

[columns.hour]
kind = "cyclic"
periods = [24]

[columns.since]
kind = "cyclic"
periods = ["year", "week", "day"]
harmonics = 2

[columns.grade]
kind = "ordered"
values = ["low", "mid", "high"]

[columns.job]
kind = "category"
values = ["clerk", "nurse"]

[columns.city]
kind = "hashed_category"
n_features = 400
max_collisions = 0.2

[columns.note]
kind = "hashed_text"
n_features = 64
ngram_range = [1, 2]

[columns.vector]
kind = "embedding"
width = 4

[features."job by age"]
kind = "cross"
columns = ["job", "age"]

[features."city by grade"]
kind = "cross"
columns = ["city", "grade"]
n_features = 128

[features."age and pay"]
kind = "random_fourier"
columns = ["age", "pay"]
n_components = 10
gamma = 3.0
"""
BLOCKS = """\
[columns.city]
kind = "hashed_category"
n_features = 300

[columns.job]
kind = "category"
values = ["clerk", "nurse"]

[features.both]
kind = "cross"
columns = ["city", "job"]
n_features = 256
"""
"""Of this a row has three features among 558, one of each group."""


def table(n: int = 400) -> pa.Table:
    rng = np.random.default_rng(0)
    hours, vectors = rng.integers(0, 30_000, n), rng.normal(size=(n, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    age = rng.uniform(18, 90, n)
    columns = {
        "who": [f"p{i % 300}" for i in range(n)],
        "age": age,
        "pay": np.exp(rng.normal(8, 1, n)),
        "balance": pa.array(rng.normal(0, 1000, n), mask=rng.random(n) < 0.2),
        "hour": rng.integers(0, 24, n),
        "since": pa.array([dt.datetime(2020, 1, 1) + dt.timedelta(hours=int(hour)) for hour in hours], pa.timestamp("us")),
        "grade": rng.choice(["low", "mid", "high"], n),
        "job": rng.choice(["clerk", "nurse"], n),
        "city": rng.choice([f"city {i}" for i in range(30)], n),
        "note": [" ".join(rng.choice(["late", "rude", "good", "fast"], 3)) for _ in range(n)],
        "vector": pa.array(list(vectors), pa.list_(pa.float32())),
        "churn": np.where(rng.random(n) < 1 / (1 + np.exp(3 - age / 20)), "yes", "no"),
    }
    return pa.table(columns)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pq.write_table(table(), "p.parquet")

    def run(*arguments: str, code: int = 0):
        result = CliRunner().invoke(app, [*arguments, "--json"])
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    return run


def init(run, tmp_path, schema: str) -> None:
    (tmp_path / "s.toml").write_text(schema)
    run("init", "ws", "--data", "p.parquet", "--subject", "who", "--schema", "s.toml")


def fit(run, code: int = 0):
    return run("fit", "churn", "--target", "churn", "--delta", "1e-5", "-w", "ws", code=code)


def test_the_schema_here_has_every_kind():
    schema = FeatureSchema.from_toml(SCHEMA)
    plain = [getattr(column, "encoding", column) for column in schema.columns.values()]
    assert {column.kind for column in plain} == set(ENCODINGS)
    assert {made.kind for made in schema.features.values()} == set(COMBINATIONS)


@pytest.mark.parametrize("schema", [SCHEMA, BLOCKS], ids=["every kind", "blocks"])
def test_from_the_table_to_the_export(run, tmp_path, schema):
    init(run, tmp_path, schema)
    assert fit(run)["remaining"] == 400
    run("forget", "p3", "p250", "-w", "ws")
    done = run("process", "--now", "-w", "ws")
    assert done["closed"] == 2 and done["releases"][0]["n_forgotten"] == 3
    new = table(403).slice(400)
    pq.write_table(new.set_column(0, "who", [["new 1", "new 2", "new 3"]]), tmp_path / "new.parquet")
    assert run("append", "new.parquet", "-w", "ws")["rows"] == 3
    run("widen", "hour", "--to", "number", "-w", "ws")
    assert run("refit", "churn", "-w", "ws")["rung"] == "refit"
    assert all(finding["problem"] is None for finding in run("doctor", "-w", "ws"))
    run("export", "churn", "--format", "sklearn", "--out", "churn.skops", "-w", "ws")
    pipeline = skops.io.load(tmp_path / "churn.skops", trusted=["expunge.pipeline.encoder.SchemaEncoder"])
    names = pipeline[0].get_feature_names_out()
    assert len(names) == len(set(names)) == pipeline[-1].coef_.shape[1]
    assert list(names) == FeatureSchema.from_toml(schema).feature_names
    rows = table().drop_columns(["who", "churn"])
    alone = [pipeline.predict_proba(rows.slice(row, 1))[0] for row in range(3)]
    np.testing.assert_allclose(pipeline.predict_proba(rows)[:3], alone, rtol=1e-12)
    refused = run("export", "churn", "--out", "churn.json", "-w", "ws", code=1)
    assert "cannot be written in this format: export it as sklearn" in refused["message"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (('kind = "hashed_category"\nn_features = 400', 'kind = "hashed_category"\nn_features = 16'), "column 'city': "),
        (("width = 4", "width = 5"), "has an embedding of 4 numbers, not of width = 5 as declared"),
        (
            ('kind = "ordered"\nvalues = ["low", "mid", "high"]', 'kind = "number"\nlow = 0\nhigh = 1'),
            "is not a number: ",
        ),
        (('kind = "cyclic"\nperiods = [24]', 'kind = "cyclic"\nperiods = ["day"]'), "is not a date or time: write it as"),
    ],
)
def test_values_that_do_not_fit_are_named_by_column_and_row(run, tmp_path, change, match):
    init(run, tmp_path, SCHEMA.replace(*change))
    refused = fit(run, code=1)
    assert match in refused["message"] and "column '" in refused["message"]
    row = int(refused["message"].split("row ")[1].split()[0].rstrip(";"))
    assert 0 <= row < 400
    if "city" in match:
        assert "more than max_collisions = 0.2" in refused["message"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            ("knots = [15, 35, 55, 95]", "knots = [15, 55, 35, 95]"),
            "column 'age': knots must be two or more increasing",
        ),
        (('columns = ["job", "age"]', 'columns = ["job", "wage"]'), "features 'job by age': there is no column 'wage'"),
        (("width = 4", 'width = 4\npackage = "no-such"'), "column 'vector': an encoder is named by package and digest"),
    ],
)
def test_a_schema_that_cannot_be_is_refused_before_anything_is_made(run, tmp_path, change, match):
    (tmp_path / "s.toml").write_text(SCHEMA.replace(*change))
    refused = run("init", "ws", "--data", "p.parquet", "--subject", "who", "--schema", "s.toml", code=1)
    assert match in refused["message"] and not (tmp_path / "ws").exists()


def test_what_is_predicted_is_in_no_feature(run, tmp_path):
    init(run, tmp_path, SCHEMA)
    run("fit", "jobs", "--target", "job", "--delta", "1e-5", "-w", "ws")
    with Workspace.open(tmp_path / "ws").storage.database.reading() as connection:
        from expunge.ledger import releases
        from expunge.workspace.specification import Specification

        features = Specification.from_json(releases.named(connection, "jobs").specification).features
    assert "job" not in features.columns and list(features.features) == ["city by grade", "age and pay"]

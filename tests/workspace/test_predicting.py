"""Predictions: by the released weights alone, for rows as every other door reads them; the same from Python, shell and API."""

import json
import shutil

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from expunge.cli import app
from expunge.data.dialect import Reading
from expunge.errors import InvalidRows, WorkspaceInvalid
from expunge.ledger import releases
from expunge.workspace import Workspace
from expunge.workspace.specification import Specification
from tests.workspace.people import SCHEMA, people, workspace


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return workspace(tmp_path_factory.mktemp("predicting"))


def by_hand(found: Workspace, name: str, rows: pa.Table) -> np.ndarray:
    """The linear predictor by the weights in the ledger, multiplied here."""
    with found.storage.database.reading() as connection:
        last = releases.current(connection, name)
        features = Specification.from_json(releases.named(connection, name).specification).features
    *coef, intercept = last.parameters
    return features.encode(rows).X @ np.array(coef) + intercept


def written(found: Workspace, name: str, rows: pa.Table):
    path = found.storage.path.parent / "rows.parquet"
    pq.write_table(rows, path)
    return found.predict(name, str(path))


def test_it_is_the_newest_release_that_predicts(tmp_path):
    made = workspace(tmp_path, models=("churn",))
    rows = people(30, 30, seed=3)
    first = written(made, "churn", rows)
    made.forget(["person-1"])
    made.process()
    second = written(made, "churn", rows)
    assert (first.release, second.release) == (1, 2) and second.certificate == 2
    for column in (first.table, second.table):
        assert column.column_names == ["row", "who", "prediction", "probability_no", "probability_yes"]
    chance = 1 / (1 + np.exp(-by_hand(made, "churn", rows)))
    np.testing.assert_allclose(second.table["probability_yes"].to_numpy(), chance, rtol=1e-12)
    assert second.table["prediction"].to_pylist() == np.where(chance > 0.5, "yes", "no").tolist()
    assert not second.table["probability_yes"].equals(first.table["probability_yes"])  # other noise


def test_the_secret_state_is_not_needed(tmp_path):
    made = workspace(tmp_path, models=("churn",))
    shutil.rmtree(made.storage.models)
    assert len(written(made, "churn", people(5, 5)).table) == 5


@pytest.mark.parametrize(("name", "inverse_link"), [("spend", lambda t: t), ("visits", np.exp)])
def test_regressions_predict_means(name, inverse_link, found):
    rows = people(20, 20, seed=4)
    predicted = written(found, name, rows)
    assert predicted.table.column_names == ["row", "who", "prediction"] and predicted.classes == ()
    np.testing.assert_allclose(predicted.table["prediction"].to_numpy(), inverse_link(by_hand(found, name, rows)), rtol=1e-12)


@pytest.mark.parametrize(
    "make",
    [lambda t: t, lambda t: t.to_pandas(), lambda t: pl.from_arrow(t), lambda t: t.to_pydict()],
    ids=["Arrow", "pandas", "Polars", "mapping"],
)
def test_frames_in_memory_predict_as_their_file(make, found):
    rows = people(20, 20, seed=5)
    expected = written(found, "churn", rows).table
    assert found.predict("churn", make(rows)).table.equals(expected)


def test_targets_and_columns_that_the_schema_does_not_name_are_not_looked_at(found):
    rows = people(3, 3).drop_columns(["churn", "visits", "spend"])
    junk = rows.append_column("churn", pa.array(["?", None, "sorry"])).append_column("visits", pa.array([["a"], None, []]))
    assert written(found, "churn", junk).table.equals(written(found, "churn", rows).table)


def test_files_are_read_as_when_the_workspace_was_made(tmp_path):
    rows = people(40, 40).to_pandas().drop(columns=["spend"])
    text = rows.assign(age=[f"{value:.1f}".replace(".", ",") for value in rows["age"]], who=[f"{i:05}" for i in range(40)])
    text.to_csv(tmp_path / "people.csv", sep=";", index=False, encoding="utf-8")
    (tmp_path / "schema.toml").write_text(SCHEMA.replace("tenure", "visits"))
    made = Workspace.create(
        tmp_path / "ws",
        str(tmp_path / "people.csv"),
        "who",
        schema=tmp_path / "schema.toml",
        reading=Reading(decimal=",", null_words=("?",)),
    )
    made.fit("tenure", "tenure", model="ridge", sigma=0.05)
    (tmp_path / "new.csv").write_bytes("who;job;age;visits\n00007;clerk;30,5;1\n7;Ärztin;?;2\n".encode("cp1252"))
    table = made.predict("tenure", str(tmp_path / "new.csv"), reading=Reading(encoding="cp1252")).table
    assert table["row"].to_pylist() == [2, 3] and table["who"].to_pylist() == ["00007", "7"]
    same = made.predict("tenure", {"age": [30.5, None], "job": ["clerk", "Ärztin"], "visits": [1, 2]})
    assert table["prediction"].equals(same.table["prediction"])
    assert {name: (odd.undeclared, odd.missing) for name, odd in same.odd.items()} == {
        "age": (0, 1),
        "job": (1, 0),
        "visits": (0, 0),
    }
    (tmp_path / "bad.csv").write_text("who;job;age;visits\nx;clerk;thirty;1\n")
    with pytest.raises(InvalidRows, match=r"row 2, column 'age'"):
        made.predict("tenure", str(tmp_path / "bad.csv"))


def test_what_goes_wrong(found, tmp_path):
    rows = people(3, 3)
    with pytest.raises(WorkspaceInvalid, match="there is no model 'none': the models are churn"):
        found.predict("none", rows)
    with pytest.raises(InvalidRows, match="no column 'job', which the schema declares"):
        found.predict("churn", rows.drop_columns(["job"]))
    with pytest.raises(InvalidRows, match="there are no rows to predict"):
        found.predict("churn", rows.slice(0, 0))
    with pytest.raises(InvalidRows, match="there are no rows to predict"):
        found.predict("churn", {})
    with pytest.raises(InvalidRows, match="there is no file"):
        found.predict("churn", str(tmp_path / "none.csv"))
    with pytest.raises(InvalidRows, match="row 1 is not a number"):
        found.predict("churn", {"age": ["old"], "job": ["clerk"], "tenure": [1]})


def test_a_column_of_ids_is_not_taken_for_a_prediction(tmp_path):
    table = people(40, 40).rename_columns(["prediction", *people(1, 1).column_names[1:]])
    pq.write_table(table, tmp_path / "people.parquet")
    made = Workspace.create(tmp_path / "ws", str(tmp_path / "people.parquet"), "prediction")
    made.fit("visits", "visits", model="ridge", sigma=0.05)
    with pytest.raises(InvalidRows, match="two columns 'prediction'"):
        made.predict("visits", table)
    assert made.predict("visits", table.drop_columns(["prediction"])).table.column_names == ["row", "prediction"]


class TestCommand:
    @pytest.fixture
    def run(self, found, tmp_path):
        pq.write_table(people(12, 12, seed=7), tmp_path / "rows.parquet")

        def run(*arguments: str, code: int = 0):
            given = ["predict", *arguments, "-w", str(found.storage.path), "--json"]
            result = CliRunner().invoke(app, given)
            assert result.exit_code == code, result.output
            return json.loads(result.stdout)

        return run

    def test_every_format_holds_the_same(self, run, found, tmp_path):
        expected = found.predict("churn", str(tmp_path / "rows.parquet")).table.to_pandas()
        readers = {"csv": pd.read_csv, "parquet": pd.read_parquet, "json": pd.read_json}
        for form, read in readers.items():
            said = run("churn", str(tmp_path / "rows.parquet"), "--out", str(tmp_path / f"out.{form}"))
            assert said["rows"] == 12 and said["columns"] == list(expected)
            pd.testing.assert_frame_equal(read(tmp_path / f"out.{form}"), expected, check_dtype=False)
        run("churn", str(tmp_path / "rows.parquet"), "--out", str(tmp_path / "out"), "--format", "csv")
        assert (tmp_path / "out").read_bytes() == (tmp_path / "out.csv").read_bytes()

    def test_what_is_odd_is_said(self, run, tmp_path):
        (tmp_path / "odd.csv").write_text("age,job,tenure\n30,diver,3\n,clerk,99\n")
        said = run("churn", str(tmp_path / "odd.csv"), "--out", str(tmp_path / "out.csv"))
        assert said["odd"]["job"] == {"undeclared": 1, "missing": 0} and said["odd"]["age"]["missing"] == 1

    def test_what_goes_wrong(self, run, tmp_path):
        rows = str(tmp_path / "rows.parquet")
        assert "--format must be one of" in run("churn", rows, "--out", str(tmp_path / "x.txt"), code=1)["message"]
        assert run("none", rows, "--out", str(tmp_path / "x.csv"), code=1)["error"] == "WorkspaceInvalid"
        assert not (tmp_path / "x.csv").exists()

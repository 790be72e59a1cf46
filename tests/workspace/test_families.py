"""Ordinal and survival models through the doors of a workspace: each person's rows are expanded, and go together."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from expunge.cli import app
from expunge.data.encoding import OrderedCategory
from expunge.data.schema import FeatureSchema, Number
from expunge.linear_model import OrdinalClassifier, PiecewiseExponentialRegressor
from expunge.workspace import Workspace

GRADES = ("poor", "fair", "good")
SCHEMA = FeatureSchema({"x": Number(-3, 3), "z": Number(0, 1), "grade": OrderedCategory(GRADES), "days": Number(0, 400)})
FITS = {
    "graded": ("--target", "grade", "--model", "ordinal"),
    "lasting": ("--target", "days", "--model", "survival", "--event", "left", "--interval", "30", "--interval", "90"),
}


def people(n: int) -> pa.Table:
    rng = np.random.default_rng(0)
    x, z = np.clip(rng.normal(size=n), -3, 3), rng.integers(0, 2, n).astype(float)
    grade = np.digitize(x + rng.logistic(size=n), [-1.0, 1.0])
    days = rng.exponential(60.0 / np.exp(0.5 * x)) + 0.1
    left = (days < 150).astype(int)
    columns = {"who": [f"p{i % (n // 2)}" for i in range(n)], "x": x, "z": z, "grade": np.array(GRADES)[grade]}
    return pa.table({**columns, "days": np.minimum(days, 150.0), "left": left})


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pq.write_table(people(400), "people.parquet")
    SCHEMA.write(tmp_path / "schema.toml")
    Workspace.create(tmp_path / "ws", "people.parquet", "who", schema=tmp_path / "schema.toml")

    def command(*arguments: str, code: int = 0):
        result = CliRunner().invoke(app, [*arguments, "-w", "ws", "--json"])
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    return command


@pytest.mark.parametrize("sigma", [(), ("--sigma", "0")], ids=["noisy", "exact"])
def test_they_are_fitted_forgotten_certified_and_exported(sigma, run, tmp_path):
    for name, options in FITS.items():
        run("fit", name, *options, *sigma)
    run("forget", "p3", "p7")
    assert run("process", "--now")["closed"] == 2
    evidence = {"graded": 8, "lasting": None}
    left = people(400)
    left = left.filter(pa.array([who not in ("p3", "p7") for who in left["who"].to_pylist()]))
    for name, n_rows in evidence.items():
        run("export", name, "--out", f"{name}.json")
        content = json.loads((tmp_path / f"{name}.json").read_text())
        shown = run("certificate", "3" if name == "graded" else "4")
        assert shown["evidence"]["n_forgotten"] >= 4 if n_rows is None else n_rows == shown["evidence"]["n_forgotten"]
        if not sigma:
            assert 0 < shown["evidence"]["epsilon_total"] <= 1.0
            continue
        X = FeatureSchema.from_toml(content["schema"]).encode(left).X
        if name == "graded":
            model = OrdinalClassifier(categories=GRADES, sigma=0).fit(X, np.array(left["grade"].to_pylist()))
            np.testing.assert_allclose(content["intercept"], model.intercept_, atol=1e-6)
            np.testing.assert_allclose(content["coef"], [model.coef_[0], model.coef_[0]], atol=1e-6)
        else:
            y = left["days"].to_numpy() * np.where(left["left"].to_numpy() == 1, 1.0, -1.0)
            twin = PiecewiseExponentialRegressor(intervals=(30.0, 90.0), sigma=0).fit(X, y)
            np.testing.assert_allclose(content["hazards"], twin.intercept_, atol=1e-6)
            np.testing.assert_allclose(content["coef"], twin.coef_, atol=1e-6)
            assert content["intervals"] == [30.0, 90.0] and content["intercept"] == [0.0]
    assert all(finding["problem"] is None for finding in run("doctor"))


def test_what_they_need_is_asked_for(run, tmp_path):
    survival = ("fit", "m", "--target", "days", "--model", "survival")
    for arguments, message in (
        (survival, "event is needed for a model of kind survival"),
        (("fit", "m", "--target", "days", "--model", "ridge", "--event", "left"), "and it and intervals for no other"),
        ((*survival, "--event", "gone"), "no column 'gone' of events"),
        ((*survival, "--event", "days"), "a time must be above 0, and whether the event came 0 or 1"),
        ((*survival, "--event", "left", "--interval", "5", "--interval", "2"), "finite times above 0 that rise"),
        (("fit", "m", "--target", "left", "--model", "ordinal"), "declare column 'left' in schema.toml as an ordered category"),
    ):
        assert message in run(*arguments, code=1)["message"], arguments


def test_scores_are_of_the_weights_and_targets_that_are_learned(run, tmp_path):
    fits = {
        "side": ("--target", "left", "--model", "hinge", "--class-weight", "0=3"),
        "rate": ("--target", "left", "--model", "poisson", "--exposure", "days", "--penalty", "0.001"),
        "most": ("--target", "days", "--model", "quantile", "--quantile", "0.9", "--scale", "5"),
    }
    for name, options in fits.items():
        scores = run("fit", name, *options)["held_out"]
        assert scores["noiseless"]["loss"] <= scores["null"]["loss"] * 1.02
        assert (scores["released"]["accuracy"] is None) == (name != "side")
        result = CliRunner().invoke(app, ["report", name, "--out", f"{name}.html", "-w", "ws"])
        assert result.exit_code == 0, result.output
    assert "margin" in (tmp_path / "side.html").read_text()
    for name, options in FITS.items():
        assert run("fit", name, *options)["held_out"] is None
        assert "learns several rows of each row" in run("evaluate", name, code=1)["message"]
        assert "learns several rows of each row" in run("evaluate", name, "people.parquet", code=1)["message"]

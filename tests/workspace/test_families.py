"""Ordinal and survival models through the doors of a workspace: each person's rows are expanded, and go together."""

import base64
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
from expunge.unlearning.certificate import EXPANDED
from expunge.workspace import Workspace
from expunge.workspace.published import Published
from expunge.workspace.quality.held_out import trial
from expunge.workspace.quality.page import report_page

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


def read_bundle(path) -> list[str]:
    """The assumptions of a signed certificate."""
    envelope = json.loads(json.loads(path.read_text())["certificate"])
    return json.loads(base64.b64decode(envelope["payload"]))["predicate"]["assumptions"]


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
    for number, n_forgotten in ((1, 0), (3, 8)):  # p3 and p7 have two rows each, and each row two comparisons
        shown = run("certificate", str(number), "--out", "c.json")
        assert EXPANDED in shown["evidence"]["assumptions"] and shown["evidence"]["n_forgotten"] == n_forgotten
        assert EXPANDED in read_bundle(tmp_path / "c.json"), "whoever is given the certificate is told too"
    text = CliRunner().invoke(app, ["certificate", "3", "-w", "ws"]).output
    assert "8 expanded rows forgotten" in " ".join(text.split())
    told = CliRunner().invoke(app, ["status", "-w", "ws"]).output.split()
    assert {"792", "comparisons", "cut-points,", "units", "risk"} <= set(told)


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


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judged")
    pq.write_table(people(800), folder / "people.parquet")
    SCHEMA.write(folder / "schema.toml")
    made = Workspace.create(folder / "ws", folder / "people.parquet", "who", schema=folder / "schema.toml")
    made.fit("graded", "grade", model="ordinal")
    made.fit("lasting", "days", model="survival", event="left", intervals=(30.0, 90.0))
    made.fit("steady", "days", model="survival", event="left")
    return made


def others(n: int, folder) -> str:
    """A file of people whom the models have not seen."""
    table = people(n)
    pq.write_table(table.set_column(0, "who", pa.array([f"new-{i}" for i in range(n)])), folder / "others.parquet")
    return str(folder / "others.parquet")


def test_an_ordinal_model_is_scored_by_its_chances_of_classes(made, tmp_path):
    table = people(300)
    scored = made.quality.evaluate("graded", others(300, tmp_path)).scores
    predicted = made.predict("graded", table).table
    chances = np.column_stack([predicted[f"probability_{grade}"].to_numpy() for grade in GRADES])
    codes = np.array([GRADES.index(grade) for grade in table["grade"].to_pylist()])
    assert scored.rows == 300, "rows of people, not comparisons"
    assert scored.released.loss == pytest.approx(-np.log(chances[np.arange(300), codes]).mean(), rel=1e-9)
    assert scored.released.accuracy == pytest.approx(np.mean(chances.argmax(axis=1) == codes))
    ranked = np.square(chances.cumsum(axis=1)[:, :-1] - (codes[:, None] <= np.arange(2))).mean()
    assert scored.released.measures == {"ranked probability": pytest.approx(ranked, rel=1e-9)}
    assert scored.noiseless.loss < scored.null.loss
    assert scored.noiseless.measures["ranked probability"] < scored.null.measures["ranked probability"]
    share = np.bincount([GRADES.index(grade) for grade in people(800)["grade"].to_pylist()]) / 800
    assert scored.null.loss == pytest.approx(-np.log(share[codes]).mean(), abs=0.005), "the shares of the classes"


def test_a_survival_model_is_scored_by_likelihood_order_and_brier(made, tmp_path):
    table = people(300)
    scored = made.quality.evaluate("lasting", others(300, tmp_path)).scores
    ratio = made.predict("lasting", table).table["prediction"].to_numpy()
    with made.storage.database.reading() as connection:
        base = np.exp(Published.of(connection, "lasting").hazards)
    days, left = table["days"].to_numpy(), table["left"].to_numpy() == 1
    summed = ratio * ((np.clip(days[:, None], [0, 30, 90], [30, 90, np.inf]) - [0, 30, 90]) @ base)
    hazard = ratio * base[np.searchsorted([30.0, 90.0], days)]
    likelihood = -summed + np.where(left, np.log(hazard), 0.0)
    found = scored.released
    assert scored.rows == 300 and found.accuracy is None
    assert set(found.measures) == {"log-likelihood", "concordance", "Brier at 30", "Brier at 90"}
    assert found.measures["log-likelihood"] == pytest.approx(likelihood.mean())
    assert found.loss == pytest.approx(-likelihood.mean() - np.mean(np.where(left, 1 + np.log(days), 0)))
    pairs = [(ratio[i], ratio[j]) for i in range(300) for j in range(300) if left[i] and days[j] > days[i]]
    agree = np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs])
    assert found.measures["concordance"] == pytest.approx(agree) and scored.null.measures["concordance"] == 0.5
    until = np.exp(-ratio * 30 * base[0])
    assert found.measures["Brier at 30"] == pytest.approx(np.mean((until - (days > 30)) ** 2)), "nobody is cut off before 150"
    for name in ("Brier at 30", "Brier at 90"):
        assert scored.noiseless.measures[name] < scored.null.measures[name]
    assert scored.noiseless.loss < scored.null.loss and scored.explained > 0


def test_both_are_calibrated_explained_and_on_a_page(made):
    graded = made.quality.explain("graded")
    assert [each.what for each in graded.calibrations] == ["probability of more than poor", "probability of more than fair"]
    assert graded.unit == "log-odds of a higher class"
    assert graded.effects[0].column == "x" and graded.effects[0].importance > 0
    (line,) = graded.effects[0].lines
    assert line.label == "higher grade" and np.all(np.diff(line.contributions) > 0) and min(line.bands) > 0
    lasting = made.quality.explain("lasting")
    assert [each.what[-5:] for each in lasting.calibrations] == ["by 30", "by 90"]
    for explained in (graded, lasting):
        for each in explained.calibrations:
            assert sum(group.rows for group in each.groups) == explained.scores.rows
            assert np.mean([abs(group.predicted - group.observed) for group in each.groups]) < 0.15
    assert lasting.unit == "log of the hazard" and lasting.effects[0].lines[0].label == "hazard of left"
    page = report_page(lasting)
    assert "Concordance" in page and "Brier at 30" in page and "has not come by 90" in page
    steady = made.quality.evaluate("steady").scores.released.measures
    assert sum(name.startswith("Brier at") for name in steady) >= 2, "at quarters of the times where no interval is declared"


def test_people_held_out_are_judged_in_all_of_their_rows_and_no_others(made):
    for name in ("graded", "lasting"):
        scores = made.quality.evaluate(name).scores
        held = trial(made.storage, name).held_out
        assert scores.rows == len(held.table) == 2 * scores.people, "every person has two rows, held out together"
        assert scores.noiseless.loss < scores.null.loss


def test_they_are_scored_after_a_fit_and_tuned(run, tmp_path):
    for name, options in FITS.items():
        fit = run("fit", name, *options)
        assert fit["held_out"]["rows"] == fit["held_out"]["people"] * 2 and fit["size"]["rows"] == 400
        assert fit["size"]["expanded"] == 800 if name == "graded" else 400 < fit["size"]["expanded"] < 1200
        assert run("evaluate", name)["noiseless"]["measures"] == fit["held_out"]["noiseless"]["measures"]
        run("report", name)
        tuned = run("tune", f"{name}-2", *options, "--penalty", "1", "--excess-risk", "0.001")
        (tried,) = tuned["tried"]
        assert tried["scores"]["noiseless"]["loss"] == pytest.approx(fit["held_out"]["noiseless"]["loss"], rel=1e-6)
        following = next(note for note in tuned["notes"] if note.startswith("next:"))
        assert "--event left --interval 30 --interval 90" in following if name == "lasting" else "--model ordinal" in following
        votes = run("tune", f"{name}-3", *options, "--penalty", "1", "--penalty", "1000", "--private", "5")["votes"]
        assert len(votes) == 2

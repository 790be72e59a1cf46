"""Quality: sizes before a fit, scores on people held out after it, and what columns do; from Python and from the shell."""

import json
import sqlite3
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from typer.testing import CliRunner

from expunge.cli import app
from expunge.data.hold_out import HoldOut
from expunge.data.own_columns import BUCKET, SUBJECT
from expunge.errors import InvalidRows, WorkspaceInvalid
from expunge.ledger import data_files, releases
from expunge.unlearning.unlearner import secret_of
from expunge.workspace import Workspace
from expunge.workspace.quality.held_out import trial
from expunge.workspace.quality.page import report_page
from expunge.workspace.specification import Specification
from expunge.workspace.states import state_of
from tests.workspace.people import SCHEMA, people, workspace


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return workspace(tmp_path_factory.mktemp("quality"))


def run(*arguments: str, code: int = 0, answer: str | None = None) -> dict:
    result = CliRunner().invoke(app, [*arguments, "--json"], input=answer)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def whole(found: Workspace) -> pa.Table:
    """All rows, by the digits of their people's pseudonyms."""
    return found.storage.table.of_subjects(found.storage.table.subjects().to_pylist())


def split(found: Workspace, name: str):
    """Encoded rows and targets of the others and of people held out, by hand."""
    rows, features = whole(found), Specification.from_json(_row(found, name)).features
    held = np.array([int(who[24:], 16) / 16**8 < 0.2 for who in rows[SUBJECT].to_pylist()])
    X, y = features.encode(rows).X, np.array(rows[name].to_pylist())
    return (X[~held], y[~held]), (X[held], y[held]), np.array(rows[SUBJECT].to_pylist())[held]


def _row(found: Workspace, name: str) -> str:
    with found.storage.database.reading() as connection:
        return releases.named(connection, name).specification


def test_a_person_is_held_out_in_all_of_their_rows_or_in_none(found):
    rows = whole(found)
    held, rest = HoldOut(is_held_out=True).kept(rows), HoldOut(is_held_out=False).kept(rows)
    assert pc.all(pc.xor(held, rest)).as_py()
    theirs = set(rows.filter(held)[SUBJECT].to_pylist())
    assert theirs.isdisjoint(rows.filter(rest)[SUBJECT].to_pylist())
    assert 0.1 < len(theirs) / 250 < 0.3
    assert len(set(rows.filter(held)[BUCKET].to_pylist())) > 20, "of all buckets"
    again = Workspace.open(found.storage.path)
    assert trial(again.storage, "churn").held_out.owners.tolist() == trial(found.storage, "churn").held_out.owners.tolist()


def test_the_score_is_that_of_a_fit_on_the_others(found):
    (X, y), (Xh, yh), who = split(found, "churn")
    other = LogisticRegression(C=1.0, tol=1e-12, max_iter=10_000).fit(X, y)
    scores = found.quality.evaluate("churn").scores
    assert scores.rows == len(yh) and scores.people == len(set(who))
    assert scores.noiseless.loss == pytest.approx(log_loss(yh, other.predict_proba(Xh)[:, 1], labels=["no", "yes"]), abs=1e-7)
    assert scores.noiseless.accuracy == pytest.approx(other.score(Xh, yh))
    share = np.mean(y == "yes")
    assert scores.null.loss == pytest.approx(-np.mean(np.where(yh == "yes", np.log(share), np.log(1 - share))), abs=1e-9)
    assert 0 < scores.released.loss - scores.noiseless.loss < 0.01
    losses = -np.log(np.where(yh == "yes", *other.predict_proba(Xh).T[::-1]))
    sums = np.array([np.sum(losses[who == each] - losses.mean()) for each in set(who)])
    assert scores.noiseless.error == pytest.approx(np.sqrt(len(sums) / (len(sums) - 1) * sums @ sums) / len(yh), rel=1e-6)


@pytest.mark.parametrize(("name", "deviance"), [("spend", lambda t, y: 0.5 * (t - y) ** 2), ("visits", None)])
def test_regressions_are_scored_by_half_their_deviance(name, deviance, found):
    made = trial(found.storage, name)
    y, t = made.held_out.rows.y, made.unlearner.objective.predictor(made.noiseless, made.held_out.rows.X)
    if deviance is None:
        losses = np.exp(t) - y + np.where(y > 0, y * (np.log(np.maximum(y, 1)) - t), 0)
    else:
        losses = deviance(t, y)
    assert made.scores.noiseless.loss == pytest.approx(losses.mean()) and made.scores.noiseless.accuracy is None
    assert made.scores.null.loss > made.scores.released.loss > made.scores.noiseless.loss


def test_the_fit_that_is_measured_has_not_seen_the_people_held_out(tmp_path):
    """Their targets are turned around: the fit is the same, and its score is not."""
    made = workspace(tmp_path, models=("churn",))
    first = trial(made.storage, "churn")
    who = sorted(set(first.held_out.table[SUBJECT].to_pylist()))
    old = made.storage.table.of_subjects(who)
    turned = pc.if_else(pc.equal(old["churn"], "yes"), pa.scalar("no"), pa.scalar("yes"))
    change = made.storage.table.prepare(900, who, old.set_column(old.schema.get_field_index("churn"), "churn", turned))
    with made.storage.database.writing() as connection:
        data_files.change(connection, change, 900)
    second = trial(made.storage, "churn")
    np.testing.assert_allclose(second.noiseless, first.noiseless, rtol=1e-12)
    assert second.scores.noiseless.accuracy == pytest.approx(1 - first.scores.noiseless.accuracy)


def test_whoever_asked_to_be_forgotten_is_in_neither(tmp_path):
    made = workspace(tmp_path, models=("churn",))
    before = trial(made.storage, "churn")
    made.forget([f"person-{i}" for i in range(100)])
    after = trial(made.storage, "churn")
    assert after.scores.people < before.scores.people
    assert not np.allclose(after.noiseless, before.noiseless, rtol=1e-6)


def test_measuring_leaves_nothing_behind(found):
    def files():
        return {
            str(path): path.read_bytes()
            for path in found.storage.path.rglob("*")
            if path.is_file() and not path.name.endswith(("-wal", "-shm"))
        }

    before = files()
    found.quality.evaluate("churn")
    report_page(found.quality.explain("churn"))
    assert files() == before


def test_no_certificate_holds_a_score(found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = run("certificate", "1", "--out", "c.json", "-w", str(found.storage.path))
    scores = found.quality.evaluate("churn").scores
    for text in (json.dumps(shown), (tmp_path / "c.json").read_text()):
        assert str(scores.noiseless.loss)[:8] not in text and "accuracy" not in text and "held_out" not in text


def test_few_people_are_not_scored_and_the_fit_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = workspace(tmp_path, models=False, table=people(24, 20))
    result = CliRunner().invoke(app, ["fit", "age", "--target", "age", "--model", "ridge", "-w", "ws", "--json"])
    assert result.exit_code == 0 and json.loads(result.stdout)["held_out"] is None
    assert "people who have a age can be held out" in " ".join(result.stderr.split())
    with pytest.raises(InvalidRows, match="a score needs 10"):
        made.quality.evaluate("age")
    assert run("evaluate", "age", "-w", "ws", code=1)["error"] == "InvalidRows"
    with pytest.raises(WorkspaceInvalid, match="there is no model 'none'"):
        made.quality.evaluate("none")


# sizes


def many_classes() -> pa.Table:
    """Years of service as a target, each of at least ten people."""
    table = people(1500, 1500)
    return table.append_column("years", pa.array([f"{i % 30}" for i in range(1500)]))


@pytest.fixture
def large(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return workspace(tmp_path, models=False, table=many_classes())


def test_a_fit_says_what_it_will_be_before_it_starts(large):
    said = CliRunner().invoke(app, ["fit", "churn", "--target", "churn", "-w", "ws"])
    text = " ".join(said.output.split())
    assert "churn: 6 parameters: 5 features and an intercept; 1,500 rows; about" in text and "of memory and 1 s" in text
    assert text.index("6 parameters") < text.index("churn is fitted")
    assert "with noise" in text and "without noise" in text and "null model" in text and "no certificate covers it" in text
    size = large.quality.size("years")
    assert (size.parameters, size.classes, size.rows) == (30 * 6, 30, 1500) and size.excesses == ["30 classes (more than 20)"]
    assert size.bytes >= 8 * 180**2 and size.seconds > 0


def test_above_stated_sizes_it_asks_and_without_an_answer_changes_nothing(large):
    refused = run("fit", "years", "--target", "years", "-w", "ws", code=1)
    assert "30 classes (more than 20)" in refused["message"] and "--yes" in refused["message"]
    assert run("fit", "years", "--target", "years", "-w", "ws", code=1, answer="n\n")["error"] == "InvalidRows"
    assert run("status", "-w", "ws")["models"] == []
    assert run("fit", "years", "--target", "years", "-w", "ws", "--dry-run")["parameters"] == 180
    assert run("fit", "years", "--target", "years", "-w", "ws", answer="y\n")["size"]["parameters"] == 180
    assert run("fit", "again", "--target", "years", "-w", "ws", "--yes")["held_out"]["null"]["accuracy"] < 0.1


def test_a_model_that_is_fitted_anew_asks_and_is_scored_too(large, tmp_path):
    run("fit", "churn", "--target", "churn", "-w", "ws")
    schema = tmp_path / "ws/schema.toml"
    before = schema.read_text()
    schema.write_text(before.replace('"pilot",', '"pilot", ' + ", ".join(f'"{value}"' for value in range(2100))))
    refused = run("replace", "churn", "-w", "ws", code=1)
    assert "2,106 parameters (more than 2,000)" in refused["message"]
    schema.write_text(before)
    replaced = run("replace", "churn", "--penalty", "2", "-w", "ws")
    assert replaced["release"] == 2 and replaced["size"]["parameters"] == 6 and replaced["held_out"]["people"] > 200


# files


def test_a_file_is_scored_by_the_release_without_people_in_the_table(found, tmp_path):
    rows = people(60, 60, seed=7)
    who = [f"new-{i}" for i in range(60)]
    who[:5] = ["person-3"] * 5
    path = tmp_path / "new.parquet"
    pq.write_table(rows.set_column(0, "who", pa.array(who)), path)
    scored = found.quality.evaluate("churn", str(path))
    assert scored.scores.rows == 55 and "5 rows of people in the table were left out" in scored.notes[0]
    predicted = found.predict("churn", rows.slice(5))
    y = rows.slice(5)["churn"].to_pylist()
    assert scored.scores.released.accuracy == pytest.approx(np.mean(np.array(predicted.table["prediction"].to_pylist()) == y))
    chances = np.array(predicted.table["probability_yes"].to_pylist())
    assert scored.scores.released.loss == pytest.approx(log_loss(y, chances, labels=["no", "yes"]))
    secret = secret_of(state_of(found.storage, "churn")).point
    t = Specification.from_json(_row(found, "churn")).features.encode(rows.slice(5)).X @ secret[:-1] + secret[-1]
    assert scored.scores.noiseless.loss == pytest.approx(log_loss(y, 1 / (1 + np.exp(-t)), labels=["no", "yes"]))
    shown = run("evaluate", "churn", str(path), "-w", str(found.storage.path))
    assert shown["released"]["loss"] == pytest.approx(scored.scores.released.loss) and shown["people"] == 55


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (people(5, 5).drop_columns(["churn"]), "the rows have no column 'churn', which the model predicts"),
        (people(5, 5), "there are no rows with a churn to score, beside 5 of people in the table"),
        (people(5, 5).drop_columns(["who", "age"]), "age"),
        (people(5, 5).drop_columns(["who"]).set_column(3, "churn", pa.array(["maybe"] * 5)), "not a class of the model"),
    ],
)
def test_a_file_that_cannot_be_scored_is_refused_with_the_reason(found, tmp_path, table, words):
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(InvalidRows, match=words):
        found.quality.evaluate("churn", str(tmp_path / "rows.parquet"))


def test_the_rows_may_come_from_a_database(found, tmp_path, monkeypatch):
    rows = people(40, 40, seed=8).to_pandas()
    rows["who"] = [f"new-{i}" for i in range(40)]
    url = f"sqlite:///{tmp_path}/rows.sqlite"
    with sqlite3.connect(tmp_path / "rows.sqlite") as connection:
        rows.to_sql("visits", connection, index=False)
    place, query = str(found.storage.path), "SELECT * FROM visits"
    assert run("evaluate", "churn", url, "--query", query, "-w", place)["rows"] == 40
    assert "the URL of its database" in run("evaluate", "churn", "--query", query, "-w", place, code=1)["message"]
    monkeypatch.setenv("EXPUNGE_DATA", url)
    assert run("evaluate", "churn", "--query", query, "-w", place)["rows"] == 40
    assert run("evaluate", "churn", "-w", place)["how"].startswith("scores on 20%"), "a file is one that is named"


def test_a_file_without_subjects_is_scored_with_a_word_on_it(found, tmp_path):
    pq.write_table(people(40, 40, seed=8).drop_columns(["who"]), tmp_path / "rows.parquet")
    assert "no column of subjects" in found.quality.evaluate("churn", str(tmp_path / "rows.parquet")).notes[0]


# explanations

PLAIN = SCHEMA.replace("normalise = true", "normalise = false")


def test_a_contribution_is_the_weight_times_the_feature_where_rows_are_not_normalised(tmp_path):
    made = workspace(tmp_path, models=False, schema=PLAIN, table=people(3000, 2000))
    made.fit("churn", "churn", delta=1e-5, sigma=0.05)
    explained = made.quality.explain("churn")
    effects = {effect.column: effect for effect in explained.effects}
    weights = np.array(explained.published.weights)
    base = trial(made.storage, "churn").held_out.table.slice(0, 100)
    mean = Specification.from_json(_row(made, "churn")).features.encode(base).X.mean(axis=0)
    (line,) = effects["age"].lines
    along = np.linspace(0, 1, 41)
    np.testing.assert_allclose(line.contributions, weights[0] * (along - mean[0]), atol=1e-12)
    np.testing.assert_allclose(line.bands, 1.96 * 0.05 * np.abs(along - mean[0]), rtol=0.4)
    (line,) = effects["job"].lines
    jobs = np.eye(3) - mean[1:4]
    np.testing.assert_allclose(line.contributions, jobs @ weights[1:4], atol=1e-12)
    np.testing.assert_allclose(line.bands, 1.96 * 0.05 * np.linalg.norm(jobs, axis=1), rtol=0.4)
    assert effects["job"].values == ("clerk", "nurse", "pilot") and line.label == "churn = yes"
    assert explained.effects[0].column == "age" and effects["age"].importance > 0.02 > abs(effects["job"].importance)


def test_calibration_is_of_everybody_held_out(found):
    explained = found.quality.explain("churn")
    made = trial(found.storage, "churn")
    (calibration,) = explained.calibrations
    groups = calibration.groups
    assert sum(group.rows for group in groups) == explained.scores.rows == len(made.held_out.rows)
    observed = sum(group.rows * group.observed for group in groups) / explained.scores.rows
    assert observed == pytest.approx(made.held_out.rows.y.mean())
    assert [group.predicted for group in groups] == sorted(group.predicted for group in groups)
    predicted = sum(group.rows * group.predicted for group in groups) / explained.scores.rows
    assert predicted == pytest.approx(observed, abs=0.15)


@pytest.mark.parametrize("name", ["spend", "visits"])
def test_regressions_are_explained_in_their_own_unit(name, found):
    explained = found.quality.explain(name)
    assert explained.unit == {"spend": "spend", "visits": "log of visits"}[name]
    y = trial(found.storage, name).held_out.rows.y
    n = sum(group.rows for group in explained.calibrations[0].groups)
    assert sum(group.rows * group.observed for group in explained.calibrations[0].groups) / n == pytest.approx(y.mean())


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """Models of the other kinds, with class weights and exposures."""
    table = people(900, 700)
    table = table.append_column("months", pa.array(np.random.default_rng(1).integers(1, 13, 900).astype(float)))
    made = workspace(tmp_path_factory.mktemp("kinds"), models=False, table=table)
    made.fit("hinge", "churn", model="hinge", delta=1e-5)
    made.fit("weighed", "churn", class_weight={"yes": 4.0}, delta=1e-5)
    made.fit("rate", "visits", model="poisson", exposure="months", penalty=0.01, sigma=0.02)
    made.fit("counts", "visits", model="negative-binomial", penalty=0.01, sigma=0.02)
    made.fit("half", "spend", model="quantile", sigma=0.02)
    return made


@pytest.mark.parametrize("name", ["hinge", "weighed", "rate", "counts", "half"])
def test_every_kind_is_scored_and_explained(name, kinds):
    scores = kinds.quality.evaluate(name).scores
    assert scores.noiseless.loss < scores.null.loss and abs(scores.released.loss - scores.noiseless.loss) < 0.02
    explained = kinds.quality.explain(name)
    assert (explained.calibrations == ()) == (name in ("hinge", "half"))
    assert "What each column adds" in report_page(explained)
    assert (
        explained.unit
        == {
            "hinge": "margin",
            "weighed": "log-odds",
            "rate": "log of visits",
            "counts": "log of visits",
            "half": "spend",
        }[name]
    )


def test_exposures_and_class_weights_count_as_in_the_fit(kinds):
    made = trial(kinds.storage, "rate")
    table, rows = made.held_out.table, made.held_out.rows
    visits, months = (np.array(table[name].to_pylist(), dtype=float) for name in ("visits", "months"))
    np.testing.assert_allclose(rows.y * rows.weight, visits)
    rate = np.exp(made.unlearner.objective.predictor(made.null, made.held_out.rows.X))[0]
    others = whole(kinds)
    kept = np.array([int(who[24:], 16) / 16**8 >= 0.2 for who in others[SUBJECT].to_pylist()])
    counts, exposures = (np.array(others[name].to_pylist(), dtype=float)[kept] for name in ("visits", "months"))
    assert rate == pytest.approx(counts.sum() / exposures.sum())
    groups = kinds.quality.explain("rate").calibrations[0].groups
    assert groups and all(0 < group.observed < 3 for group in groups)
    weighed = trial(kinds.storage, "weighed")
    y = np.array(others["churn"].to_pylist())[kept] == "yes"
    odds = np.exp(weighed.unlearner.objective.predictor(weighed.null, weighed.held_out.rows.X))[0]
    assert odds == pytest.approx(4.0 * y.sum() / (~y).sum())
    assert months.min() >= 1


def test_a_file_without_the_exposure_is_refused(kinds, tmp_path):
    rows = people(20, 20, seed=9)
    pq.write_table(rows.set_column(0, "who", pa.array([f"new-{i}" for i in range(20)])), tmp_path / "new.parquet")
    with pytest.raises(InvalidRows, match="no column 'months', which its target needs"):
        kinds.quality.evaluate("rate", str(tmp_path / "new.parquet"))


class Tags(HTMLParser):
    """What a page has of tags and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.attributes = set[str](), set[str]()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes.update(name for name, _value in attrs)


def tags_of(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    return tags


def test_the_report_is_one_page_that_fetches_nothing(found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = run("report", "churn", "-w", str(found.storage.path))
    page = (tmp_path / "churn.html").read_text()
    assert shown["file"] == "churn.html" and set(shown["importance"]) == {"age", "job", "tenure"}
    tags = tags_of(page)
    assert tags.tags.isdisjoint({"script", "link", "img", "iframe", "object"}) and {"svg", "style", "table"} <= tags.tags
    assert tags.attributes.isdisjoint({"src", "href", "onclick", "onload", "xlink:href"})
    assert "http" not in page and "url(" not in page and "@import" not in page
    assert "For those who may see the data" in page and "Do not publish it" in page
    refused = run("report", "churn", "--out", "none/there.html", "-w", str(found.storage.path), code=1)
    assert "none" in refused["message"]


def test_names_are_shown_as_text(tmp_path):
    name = '<script>alert("x")</script>'
    table = people()
    table = table.rename_columns([name if column == "age" else column for column in table.column_names])
    table = table.set_column(2, "job", pa.array([f"<b>{job}</b>" for job in table["job"].to_pylist()]))
    schema = SCHEMA.replace('"age"', json.dumps(name))
    for job in ("clerk", "nurse", "pilot"):
        schema = schema.replace(f'"{job}"', f'"<b>{job}</b>"')
    made = workspace(tmp_path, models=("churn",), table=table, schema=schema)
    page = report_page(made.quality.explain("churn"))
    assert tags_of(page).tags.isdisjoint({"script", "b"}) and "&lt;script&gt;" in page


def test_the_importance_of_a_cross_is_that_of_its_features(tmp_path):
    """Shuffled by hand, in rows whose target is the product of two columns."""
    rng = np.random.default_rng(0)
    age, tenure = rng.uniform(0, 100, 900), rng.uniform(0, 40, 900)
    table = people(900, 900).set_column(1, "age", pa.array(age)).set_column(3, "tenure", pa.array(tenure))
    table = table.set_column(6, "spend", pa.array(age * tenure / 1000))
    schema = PLAIN + '\n[features."both"]\nkind = "cross"\ncolumns = ["age", "tenure"]\n'
    made = workspace(tmp_path, models=False, table=table, schema=schema)
    made.fit("spend", "spend", model="ridge", sigma=0, penalty=1e-6)
    effects = {effect.column: effect.importance for effect in made.quality.explain("spend").effects}
    held = trial(made.storage, "spend").held_out.table
    product = np.array(held["age"].to_pylist()) * np.array(held["tenure"].to_pylist()) / 1000
    moved = product[np.random.default_rng(0).permutation(len(product))]
    assert effects["both"] == pytest.approx(0.5 * np.mean((product - moved) ** 2), rel=1e-3)
    assert effects["both"] > 100 * abs(effects["job"])


def test_every_kind_of_column_is_explained(tmp_path):
    """Those with too many features have an importance and no curve; several classes have a line each."""
    table = people()
    table = table.append_column("hour", pa.array([float(i % 24) for i in range(400)]))
    table = table.append_column("seen", pa.array([f"2023-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(400)]))
    table = table.append_column("note", pa.array([f"word{i % 7} said" for i in range(400)]))
    table = table.append_column("grade", pa.array([("low", "fair", "high")[i % 3] for i in range(400)]))
    table = table.append_column("town", pa.array([f"t{i % 4}" if i % 9 else f"rare-{i}" for i in range(400)]))
    table = table.append_column("photo", pa.array([[0.1 * (i % 5), 0.2] for i in range(400)]))
    schema = SCHEMA + (
        '\n[columns."hour"]\nkind = "cyclic"\nperiods = [24]\n'
        '\n[columns."seen"]\nkind = "cyclic"\nperiods = ["week", "year"]\n'
        '\n[columns."note"]\nkind = "hashed_text"\nn_features = 64\n'
        '\n[columns."grade"]\nkind = "ordered"\nvalues = ["low", "fair", "high"]\nadd_indicator = true\n'
        '\n[columns."town"]\nkind = "hashed_category"\nn_features = 64\n'
        '\n[columns."photo"]\nkind = "embedding"\nwidth = 2\n'
        '\n[features."both"]\nkind = "cross"\ncolumns = ["age", "tenure"]\n'
        '\n[features."waves"]\nkind = "random_fourier"\ncolumns = ["age", "tenure"]\nn_components = 4\n'
    )
    made = workspace(tmp_path, models=False, table=table, schema=schema)
    made.fit("job", "job", delta=1e-5)
    explained = made.quality.explain("job")
    effects = {effect.column: effect for effect in explained.effects}
    assert set(effects) == {"age", "tenure", "hour", "seen", "note", "grade", "town", "photo", "both", "waves"}
    assert set(effects["town"].values) <= {"t0", "t1", "t2", "t3"}, "no value of fewer than ten people"
    assert len(effects["town"].lines) == 3 and "not declared" in effects["town"].without
    for name, why in (
        ("note", "many features at once"),
        ("photo", "one by one"),
        ("both", "surface"),
        ("waves", "single waves"),
    ):
        assert effects[name].lines == () and why in effects[name].without
    assert effects["age"].without == ""
    page = report_page(explained)
    assert "single waves mean nothing" in page and "What is not shown below" in page
    assert [line.label for line in effects["age"].lines] == ["clerk", "nurse", "pilot"]
    assert effects["note"].lines == () and len(effects["hour"].values) == 41
    assert effects["hour"].lines[0].contributions[0] == pytest.approx(effects["hour"].lines[0].contributions[-1], abs=1e-9)
    assert effects["seen"].values[0] == "Jan" and effects["seen"].values[20] in ("Jun", "Jul")
    assert effects["grade"].values == ("low", "fair", "high")
    assert sum(line.contributions[3] for line in effects["age"].lines) == pytest.approx(0, abs=1e-9)
    assert "Classes: clerk teal, nurse red, pilot blue" in report_page(explained)

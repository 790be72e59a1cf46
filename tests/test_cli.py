"""The command line on a workspace: the story a company lives, as commands; and what goes wrong, as messages and exit codes."""

import contextlib
import json
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from expunge.cli import app
from expunge.data.schema import FeatureSchema
from expunge.linear_model import LogisticRegression, NegativeBinomialRegressor
from expunge.workspace.exports.scorer import score
from tests.forks import once
from tests.workspace.people import SCHEMA, copied, people


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, code: int = 0):
        result = CliRunner().invoke(app, [*arguments, "--json"])
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    return run


@pytest.fixture
def made(run, tmp_path):
    """``run`` where a workspace with a model was made by commands."""

    def make(folder):
        with contextlib.chdir(folder):
            pq.write_table(people(), folder / "people.parquet")
            (folder / "schema.toml").write_text(SCHEMA)
            run("init", "ws", "--data", "people.parquet", "--subject", "who", "--schema", "schema.toml")
            run("fit", "churn", "--target", "churn", "--delta", "1e-5", "-w", "ws")

    copied(once("made-by-commands", make), tmp_path)
    return run


def test_the_story(made, tmp_path):
    run = made
    fitted = run("fit", "spend", "--target", "spend", "--model", "ridge", "--sigma", "0.05", "-w", "ws")
    assert fitted["release"] == 1 and fitted["sigma"] == 0.05
    (tmp_path / "ids.txt").write_text("person-2\nperson-3\n\n")
    asked = run("forget", "person-1", "--file", "ids.txt", "-w", "ws")
    assert [answer["state"] for answer in asked] == ["accepted"] * 3
    assert all(answer["influence"]["churn"] > 0 for answer in asked)
    assert run("status", "-w", "ws")["requests"]["accepted"] == 3
    done = run("process", "--now", "-w", "ws")
    assert done["closed"] == 3 and {release["model"] for release in done["releases"]} == {"churn", "spend"}
    listed = run("releases", "-w", "ws")
    assert [(release["model"], release["release"]) for release in listed] == [
        ("churn", 1),
        ("spend", 1),
        ("churn", 2),
        ("spend", 2),
    ]
    assert [release["purged"] is not None for release in listed] == [True, True, False, False]
    shown = run("certificate", "3", "--out", "c.json", "-w", "ws")
    assert shown["evidence"]["n_forgotten"] >= 3
    assert "n_forgotten" not in (tmp_path / "c.json").read_text()  # evidence does not leave
    assert run("verify", "c.json", "--key", "ws/expunge.pub")["genuine"]
    assert run("verify", asked[0]["receipt"], "--key", "ws/expunge.pub", "--subject", "person-1")["genuine"]
    wrong = run("verify", asked[0]["receipt"], "--key", "ws/expunge.pub", "--subject", "person-2", code=4)
    assert "not for this subject" in wrong["problem"]
    run("log", "log.json", "-w", "ws")
    assert run("verify", "log.json", "--key", "ws/expunge.pub")["events"] > 5
    assert run("refit", "churn", "-w", "ws")["rung"] == "refit"
    capacity = run("capacity", "churn", "-w", "ws")
    assert capacity["forecasts"] and capacity["regime"] in ("hidden", "worth", "retrain")
    run("rotate-key", "-w", "ws")
    assert run("verify", "c.json", "--key", "ws/expunge.pub")["genuine"]  # what the old key signed stays valid
    assert all(finding["problem"] is None for finding in run("doctor", "-w", "ws"))


def test_add_and_correct(made, tmp_path):
    run = made
    new = people(3, 3, seed=4)
    pq.write_table(new.set_column(0, "who", [["a", "b", "c"]]), tmp_path / "new.parquet")
    assert run("append", "new.parquet", "-w", "ws")["rows"] == 3
    pq.write_table(new.slice(0, 1).set_column(0, "who", [["b"]]), tmp_path / "right.parquet")
    assert run("rectify", "b", "--file", "right.parquet", "-w", "ws")["rows"] == 1
    refused = CliRunner().invoke(app, ["rectify", "nobody", "--file", "right.parquet", "-w", "ws"])
    assert refused.exit_code == 3
    assert run("rectify", "a", "--file", "right.parquet", "-w", "ws", code=1)["error"] == "InvalidRows"
    assert all(finding["problem"] is None for finding in run("doctor", "-w", "ws"))


def test_a_schema_is_proposed_and_said_to_be(run, tmp_path):
    pq.write_table(people(), tmp_path / "people.parquet")
    result = CliRunner().invoke(app, ["init", "ws", "--data", "people.parquet", "--subject", "who"])
    assert result.exit_code == 0
    assert "what is taken from the data remembers the people in it" in " ".join(result.stderr.split())
    assert '[columns."age"]' in (tmp_path / "ws/schema.toml").read_text()
    assert '[columns."who"]' not in (tmp_path / "ws/schema.toml").read_text()
    proposed = run("schema", "propose", "people.parquet", "--subject", "who", "--out", "draft.toml")
    assert "age" in proposed["columns"]
    assert (
        run("schema", "propose", "people.parquet", "--subject", "who", "--out", "draft.toml", code=1)["error"]
        == "FileExistsError"
    )


def test_sigma_comes_from_the_excess_risk_and_the_declared_norm(made):
    fitted = made("fit", "half", "--target", "churn", "--excess-risk", "0.0005", "--noise", "isotropic", "-w", "ws")
    assert fitted["sigma"] == pytest.approx((2 * 0.0005 / 0.25 / 2) ** 0.5)
    for kind, target in (("poisson", "visits"), ("tweedie", "visits"), ("gamma", "age")):
        norm = 2**0.5  # normalised rows, and the intercept
        fitted = made("fit", kind, "--target", target, "--model", kind, "--penalty", "0.01", "--noise", "isotropic", "-w", "ws")
        assert fitted["sigma"] == pytest.approx((2 * np.log(1.001)) ** 0.5 / norm)
    fitted = made("fit", "age", "--target", "age", "--model", "ridge", "--penalty", "0.01", "--noise", "isotropic", "-w", "ws")
    assert fitted["sigma"] == pytest.approx((2 * 0.001 * 100**2 / 8) ** 0.5 / norm)  # declared from 0 to 100
    refused = made("fit", "spend", "--target", "spend", "--model", "ridge", "--noise", "isotropic", "-w", "ws", code=1)
    assert "declare column 'spend' as a number with its range in schema.toml, or give --sigma" in refused["message"]


def test_shaped_noise_is_the_default_and_its_cost_is_said(made, tmp_path):
    fitted = made("fit", "half", "--target", "churn", "--excess-risk", "0.0005", "-w", "ws")
    assert (fitted["noise"], fitted["sigma"], fitted["excess_risk"]) == ("shaped", None, 0.0005)
    said = CliRunner().invoke(app, ["fit", "told", "--target", "churn", "--noise-floor", "0.1", "-w", "ws"])
    assert said.exit_code == 0 and "shaped noise, excess risk 0.001" in said.output
    assert "the noise costs" in said.output and "worst-served" in " ".join(said.output.split())
    fitted = made("fit", "age", "--target", "age", "--model", "ridge", "--penalty", "0.01", "-w", "ws")
    assert fitted["excess_risk"] == pytest.approx(0.001 * 100**2 / 8), "a share of the largest loss of a constant"
    refused = made("fit", "spend", "--target", "spend", "--model", "ridge", "-w", "ws", code=1)
    assert "declare column 'spend' as a number with its range in schema.toml" in refused["message"]
    refused = made("fit", "both", "--target", "churn", "--sigma", "0.1", "--excess-risk", "0.1", "-w", "ws", code=1)
    assert "give one of them" in refused["message"]
    refused = made("fit", "both", "--target", "churn", "--noise", "loud", "-w", "ws", code=1)
    assert "noise must be 'auto', 'shaped' or 'isotropic'" in refused["message"]
    kept = made("replace", "half", "--penalty", "2", "-w", "ws", "--dry-run")
    assert (kept["noise"], kept["excess_risk"], kept["sigma"]) == ("shaped", 0.0005, None)
    other = made("replace", "half", "--sigma", "0.1", "-w", "ws", "--dry-run")
    assert (other["noise"], other["excess_risk"], other["sigma"]) == ("isotropic", None, 0.1)


def test_noise_that_is_worth_more_than_the_model_is_refused(made):
    refused = made("fit", "half", "--target", "churn", "--sigma", "9", "-w", "ws", code=1)
    assert refused["error"] == "NoiseTooLarge"
    made("fit", "half", "--target", "churn", "-w", "ws")  # nothing was left of the first


def raw_rows(names: set[str]) -> pa.Table:
    """Raw rows of the columns that a model reads."""
    table = people(20, 20, seed=9)
    return table.drop_columns([name for name in table.column_names if name not in names])


def by_json(path: Path, rows: pa.Table) -> np.ndarray:
    """The linear predictor that a JSON export says, with its schema and weights."""
    content = json.loads(path.read_text())
    X = FeatureSchema.from_toml(content["schema"]).encode(rows).X
    return X @ np.array(content["coef"])[0] + content["intercept"][0]


@pytest.mark.parametrize("model", ["churn", "hinge"])
@pytest.mark.parametrize("form", ["json", "sklearn", "onnx", "sql"])
def test_exported_models_predict_raw_rows_as_the_release(form, model, made, tmp_path):
    if model == "hinge":
        made("fit", "hinge", "--target", "churn", "--model", "hinge", "--scale", "0.8", "--sigma", "0.02", "-w", "ws")
        pq.write_table(raw_rows({"age", "job", "tenure"}), tmp_path / "raw.parquet")
        predicted = CliRunner().invoke(app, ["predict", "hinge", "raw.parquet", "--out", "p.csv", "-w", "ws"])
        assert predicted.exit_code == 0, predicted.output
        assert (tmp_path / "p.csv").read_text().splitlines()[0].replace('"', "") == "row,prediction"
    made("export", model, "--out", "m", "--format", form, "-w", "ws")
    made("export", model, "--out", "json", "-w", "ws")
    rows = raw_rows({"age", "job", "tenure"})
    expected = np.where(by_json(tmp_path / "json", rows) > 0, "yes", "no").tolist()
    assert 0 < expected.count("yes") < len(expected)
    if form == "json":
        content = json.loads((tmp_path / "m").read_text())
        assert content["features"] == ["age", "job=clerk", "job=nurse", "job=pilot", "tenure"]
        found = [score(content, row)["prediction"] for row in rows.to_pylist()]
    elif form == "sklearn":
        from skops.io import load

        found = load(tmp_path / "m", trusted=["expunge.pipeline.encoder.SchemaEncoder"]).predict(rows).tolist()
    elif form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession((tmp_path / "m").read_bytes())
        kinds = {"age": float, "tenure": float, "job": object}
        inputs = {name: np.array(rows[name].to_pylist(), dtype=kind)[:, None] for name, kind in kinds.items()}
        found = session.run(["prediction"], inputs)[0].tolist()
    else:
        connection = duckdb.connect()
        connection.register("people", rows)
        found = connection.execute((tmp_path / "m").read_text()).df()["prediction"].tolist()
    assert found == expected


def test_sql_is_of_the_table_and_dialect_that_are_named(made, tmp_path):
    for dialect, quoted in (("duckdb", '"my people"'), ("postgres", '"my people"'), ("spark", "`my people`")):
        made("export", "churn", "--out", "m", "--format", "sql", "--dialect", dialect, "--table", "my people", "-w", "ws")
        assert f"FROM {quoted}" in (tmp_path / "m").read_text()
    assert (
        "--dialect must be one of"
        in made("export", "churn", "--out", "m", "--dialect", "oracle", "-w", "ws", code=1)["message"]
    )


OPTIONS = {"quantile": ("--quantile", "0.8", "--scale", "0.5"), "negative-binomial": ("--dispersion", "0.3")}


@pytest.mark.parametrize("model", ["ridge", "pseudo-huber", "quantile", "poisson", "negative-binomial", "gamma", "tweedie"])
def test_regressions_are_fitted_and_exported(model, made, tmp_path):
    from skops.io import get_untrusted_types, load

    target = "age" if model in ("gamma", "ridge") else "visits"
    options = ("--model", model, "--sigma", "0.02", "--penalty", "0.1", *OPTIONS.get(model, ()))
    made("fit", model, "--target", target, *options, "-w", "ws")
    made("forget", "person-1", "-w", "ws")
    assert made("process", "--now", "-w", "ws")["closed"] == 1
    for form in ("json", "sklearn", "onnx", "sql"):
        made("export", model, "--out", f"m.{form}", "--format", form, "-w", "ws")
    rows = raw_rows({"age", "job", "tenure"})
    served = load(tmp_path / "m.sklearn", trusted=get_untrusted_types(file=tmp_path / "m.sklearn"))
    t = by_json(tmp_path / "m.json", rows)
    expected = np.exp(t) if model in ("poisson", "negative-binomial", "gamma", "tweedie") else t
    np.testing.assert_allclose(served.predict(rows), expected, rtol=1e-10)


def test_exposures_and_weights_of_classes_are_learned_and_forgotten(made, tmp_path):
    import pyarrow.compute as pc

    rows = pq.read_table(tmp_path / "people.parquet")
    made("fit", "rate", "--target", "visits", "--model", "poisson", "--exposure", "age", "--sigma", "0", "-w", "ws")
    made("fit", "heavy", "--target", "churn", "--class-weight", "yes=4", "--sigma", "0", "-w", "ws")
    made("forget", "person-1", "-w", "ws")
    assert made("process", "--now", "-w", "ws")["closed"] == 1
    for model in ("rate", "heavy"):
        made("export", model, "--out", f"{model}.json", "-w", "ws")
    left = rows.filter(pc.not_equal(rows["who"], "person-1"))
    content = json.loads((tmp_path / "rate.json").read_text())
    assert content["features"] == ["job=clerk", "job=nurse", "job=pilot", "tenure"], "the exposure is no feature"
    refused = made("fit", "zero", "--target", "visits", "--model", "poisson", "--exposure", "tenure", "-w", "ws", code=1)
    assert "has 0 in column 'tenure', the exposure: it must be a number above 0" in refused["message"]
    both = ("--exposure", "age", "--offset", "tenure", "-w", "ws")
    refused = made("fit", "both", "--target", "visits", "--model", "negative-binomial", *both, code=1)
    assert "an exposure is an offset itself, its logarithm: give one of them" in refused["message"]
    exposure, y = left["age"].to_numpy(), left["visits"].to_numpy()
    mean = exposure * np.exp(by_json(tmp_path / "rate.json", left))
    assert mean.sum() == pytest.approx(y.sum(), rel=1e-6), "the intercept's equation, with the exposure as an offset"
    churned = np.array([value.as_py() == "yes" for value in left["churn"]])
    p = 1 / (1 + np.exp(-by_json(tmp_path / "heavy.json", left)))
    assert np.where(churned, 4.0, 1.0) @ (p - churned) == pytest.approx(0.0, abs=1e-5)


def test_offsets_are_learned_forgotten_predicted_and_replaced(made, tmp_path):
    rows = pq.read_table(tmp_path / "people.parquet")
    fits = {"known": ("churn", "logistic", "--offset"), "counted": ("visits", "negative-binomial", "--exposure")}
    columns = {"known": "tenure", "counted": "age"}
    for name, (target, kind, option) in fits.items():
        given = ("--penalty", "0.01", "--sigma", "0", option, columns[name], "-w", "ws")
        made("fit", name, "--target", target, "--model", kind, *given)
    made("forget", "person-1", "-w", "ws")
    assert made("process", "--now", "-w", "ws")["closed"] == 1
    left = rows.filter(pa.array([who != "person-1" for who in rows["who"].to_pylist()]))
    for name, (target, kind, _option) in fits.items():
        made("export", name, "--out", f"{name}.json", "-w", "ws")
        content = json.loads((tmp_path / f"{name}.json").read_text())
        column = columns[name]
        assert column not in content["features"] and content["offset"] == (["number", column] if name == "known" else 0.0)
        offsets = left[column].to_numpy() if name == "known" else np.log(left[column].to_numpy())
        twin = LogisticRegression(C=0.01) if kind == "logistic" else NegativeBinomialRegressor(alpha=0.01)
        X = np.column_stack([FeatureSchema.from_toml(content["schema"]).encode(left).X, offsets])
        twin.set_params(sigma=0, offset=True).fit(X, np.array(left[target].to_pylist()))
        np.testing.assert_allclose(content["coef"][0], np.atleast_2d(twin.coef_)[0, :-1], atol=1e-7)
        np.testing.assert_allclose(content["intercept"], twin.intercept_, atol=1e-7)
        assert made("evaluate", name, "-w", "ws")["null"]["loss"] > 0
    made("replace", "known", "--yes", "-w", "ws")
    made("export", "known", "--out", "again.json", "-w", "ws")
    assert json.loads((tmp_path / "again.json").read_text())["offset"] == ["number", "tenure"], "it is kept"
    pq.write_table(left.drop_columns(["tenure"]), tmp_path / "bare.parquet")
    refused = made("predict", "known", "bare.parquet", "--out", "p.csv", "-w", "ws", code=1)
    assert "there is no column 'tenure', the offset of the model" in refused["message"]
    served = made("predict", "known", "people.parquet", "--out", "p.csv", "-w", "ws")
    assert served["rows"] == len(rows)


class TestWhatGoesWrong:
    def test_outside_a_workspace(self, run):
        for command in (("status",), ("process",), ("forget", "x"), ("doctor",), ("releases",), ("fit", "m", "--target", "y")):
            refused = run(*command, code=1)
            assert refused["error"] == "WorkspaceInvalid"
            assert "expunge init" in refused["message"]

    def test_a_refusal_has_its_own_code(self, made):
        (answer,) = made("forget", "nobody", "-w", "ws", code=3)
        assert answer["reason"] == "unknown-subject"
        assert made("cancel", "r-0", "-w", "ws", code=3)["state"] == "refused"
        (accepted,) = made("forget", "person-1", "--key", "k", "-w", "ws")
        assert made("forget", "person-2", "--key", "k", "-w", "ws", code=3)[0]["reason"] == "key-reused"
        assert made("cancel", accepted["request"], "-w", "ws")["state"] == "cancelled"

    def test_names_and_numbers(self, made):
        for arguments, message in (
            (("fit", "Bad/Name", "--target", "churn"), "a model's name"),
            (("fit", "churn", "--target", "churn"), "a model 'churn' exists or existed"),
            (("fit", "m", "--target", "shoe"), "no column 'shoe'"),
            (("fit", "m", "--target", "churn", "--model", "forest"), "model must be one of"),
            (("fit", "m", "--target", "churn", "--epsilon", "0"), "epsilon must be"),
            (("fit", "m", "--target", "churn", "--class-weight", "yes"), "--class-weight takes CLASS=WEIGHT, got 'yes'"),
            (("fit", "m", "--target", "churn", "--class-weight", "maybe=2"), "class_weight has 'maybe', which is none of"),
            (
                ("fit", "m", "--target", "visits", "--model", "ridge", "--class-weight", "a=2", "--sigma", "1"),
                "no classes to weigh",
            ),
            (("fit", "m", "--target", "churn", "--exposure", "tenure"), "the logistic loss takes no exposure"),
            (("fit", "m", "--target", "visits", "--model", "poisson", "--exposure", "none"), "no column 'none' of exposures"),
            (("fit", "m", "--target", "churn", "--offset", "none"), "no column 'none' of offsets"),
            (
                ("fit", "m", "--target", "job", "--offset", "tenure"),
                "the softmax loss has 3 linear predictors",
            ),
            (("fit", "m", "--target", "churn", "--scale", "2"), "a model of kind logistic has no scale"),
            (
                ("fit", "m", "--target", "visits", "--model", "quantile", "--quantile", "2", "--sigma", "1"),
                "level must be between",
            ),
            (("fit", "m", "--target", "job", "--model", "hinge"), "has 3 classes, and a model of kind hinge knows two"),
            (("fit", "m", "--target", "age"), "over 100 different values"),
            (("fit", "m", "--target", "churn", "--model", "ridge", "--sigma", "1"), "not numeric"),
            (("refit", "none"), "there is no model 'none': the models are churn"),
            (("capacity", "none"), "there is no model"),
            (("export", "none", "--out", "x"), "there is no model"),
            (("export", "churn", "--out", "x", "--format", "pickle"), "--format must be"),
            (("certificate", "99"), "there is no certificate 99"),
            (("forget",), "nobody to forget"),
            (("forget", "a", "b", "--key", "k"), "--key is for one subject"),
            (("append", "none.csv"), "there is no file"),
        ):
            refused = made(*arguments, "-w", "ws", code=1)
            assert message in refused["message"], arguments
        assert [finding for finding in made("doctor", "-w", "ws") if finding["problem"]] == []

    def test_a_target_with_one_class(self, run, tmp_path):
        rows = people(30, 30)
        pq.write_table(rows.set_column(4, "churn", [["no"] * 30]), tmp_path / "p.parquet")
        run("init", "ws", "--data", "p.parquet", "--subject", "who")
        assert "a classifier needs at least 2" in run("fit", "m", "--target", "churn", "-w", "ws", code=1)["message"]

    def test_init_over_something(self, made, tmp_path):
        refused = made("init", "ws", "--data", "people.parquet", "--subject", "who", code=1)
        assert "is not empty" in refused["message"]
        refused = made("init", "ws2", "--data", "people.parquet", "--subject", "whose", code=1)
        assert "there is no column 'whose'" in refused["message"]
        assert not (tmp_path / "ws2").exists()

    def test_a_verdict_on_something_else(self, made, tmp_path):
        (tmp_path / "x.json").write_text("{}")
        assert not made("verify", "x.json", "--key", "ws/expunge.pub", code=4)["genuine"]
        (tmp_path / "x.json").write_text("nonsense")
        assert not made("verify", "x.json", "--key", "ws/expunge.pub", code=4)["genuine"]
        assert made("verify", "none.json", "--key", "ws/expunge.pub", code=1)["error"] == "FileNotFoundError"
        assert made("verify", "x.json", "--key", "none.pub", code=1)["error"] == "WorkspaceInvalid"

    def test_the_doctor_says_what_is_wrong(self, made, tmp_path):
        (tmp_path / "ws/models/churn/9.safetensors").write_bytes(b"")
        (tmp_path / "ws/keys/subject.key").chmod(0o644)
        found = {finding["check"]: finding["problem"] for finding in made("doctor", "-w", "ws", code=4) if finding["problem"]}
        assert set(found) == {"private files are readable by their owner alone", "there are no stray files"}
        shown = CliRunner().invoke(app, ["doctor", "-w", "ws"])
        assert "PROBLEM" in shown.output and "chmod 600" in shown.output
        assert (tmp_path / "ws/models/churn/9.safetensors").exists()  # it only looks


def test_people_read_tables(made):
    CliRunner().invoke(app, ["forget", "person-1", "-w", "ws"])
    for command, words in (
        (["status", "-w", "ws"], ["1 accepted", "churn", "days left"]),
        (["process", "--now", "-w", "ws"], ["1 requests closed", "churn"]),
        (["status", "-w", "ws"], ["1 closed", "still depends on people forgotten"]),
        (["releases", "-w", "ws"], ["purged"]),
        (["certificate", "2", "-w", "ws"], ["Nobody can tell", "assumptions"]),
        (["doctor", "-w", "ws"], ["ok"]),
        (["capacity", "churn", "-w", "ws"], ["at random"]),
    ):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
        for word in words:
            assert word in result.output, command

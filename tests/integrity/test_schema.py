"""What a draft schema may hold: nothing that fewer than ten people share, at its making and after every forgetting."""

import json
import re
import tomllib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from expunge.cli import app
from expunge.ledger import log, releases
from expunge.ledger.properties import read_property
from expunge.workspace import Workspace
from tests.workspace.people import people

EXTREME, ALONE = 987_651.0, "Tuvalu"
"""The income and the country of a person who has 40 rows."""
TEN = [f"person-{i}" for i in range(10)]
CHECK = "what was taken from the rows is shared by ten people"
FRAUD = '[columns."fraud"]\nkind = "category"\nvalues = ["fraud", "honest"]\n'


def incomes() -> pa.Table:
    """250 people and one with 40 rows; ten of them live in Malta, nine in Andorra, three are frauds."""
    table = people(400, 250)
    rows = pa.concat_tables([table, table.slice(0, 1).take([0] * 40).set_column(0, "who", pa.array(["loner"] * 40))])
    who, rng = rows["who"].to_pylist(), np.random.default_rng(1)
    country = {f"person-{i}": "Malta" if i < 10 else "Andorra" for i in range(19)} | {"loner": ALONE}
    income = [EXTREME if name == "loner" else float(x) for name, x in zip(who, rng.uniform(20e3, 90e3, len(who)), strict=True)]
    columns = {
        "country": [country.get(name, "France") for name in who],
        "income": income,
        "fraud": ["fraud" if name in {"person-30", "person-31", "person-32"} else "honest" for name in who],
    }
    for name, values in columns.items():
        rows = rows.append_column(name, pa.array(values))
    return rows


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pq.write_table(incomes(), "p.parquet")

    def run(*arguments: str, code: int = 0):
        result = CliRunner().invoke(app, [*arguments, "--json"])
        assert result.exit_code == code, result.output
        vars(run)["said"] = result.stderr
        return json.loads(result.stdout)

    run("init", "ws", "--data", "p.parquet", "--subject", "who")
    return run


def columns(text: str) -> dict[str, dict]:
    return tomllib.loads(text)["columns"]


def schema(tmp_path) -> str:
    return (tmp_path / "ws/schema.toml").read_text()


def found_short(run, code: int = 4) -> str | None:
    (problem,) = [finding["problem"] for finding in run("doctor", "-w", "ws", code=code) if finding["check"] == CHECK]
    return problem


def forget(run, *subjects: str) -> None:
    run("forget", *subjects, "-w", "ws")
    assert run("process", "--now", "-w", "ws")["closed"] == len(subjects)


def leaving(tmp_path) -> str:
    """All that leaves the house, or may be seen from a copy of it without the keys and the rows: files, log, facts."""
    found = Workspace.open(tmp_path / "ws")
    with found.storage.database.reading() as connection:
        events = [event.content for event in log.entries(connection, 0, 1000)]
        properties = [read_property(connection, name) for name in ("draft", "short")]
        specifications = [row.specification for row in releases.all_models(connection)]
    exports = [path.read_text() for path in tmp_path.glob("*.json")]
    return "\n".join([schema(tmp_path), json.dumps(events), json.dumps(properties), *specifications, *exports])


def test_what_one_person_has_is_in_nothing_that_leaves(run, tmp_path):
    draft = columns(schema(tmp_path))
    assert draft["country"]["values"] == ["France", "Malta"]
    assert draft["income"]["high"] <= 90_000
    assert draft["fraud"]["values"] == ["honest"]
    run("schema", "propose", "p.parquet", "--subject", "who", "--out", "again.json")
    assert (tmp_path / "again.json").read_text() == schema(tmp_path)
    run("fit", "churn", "--target", "churn", "--delta", "1e-5", "-w", "ws")
    run("export", "churn", "--out", "before.json", "-w", "ws")
    forget(run, "loner")
    run("export", "churn", "--out", "after.json", "-w", "ws")
    text = leaving(tmp_path)
    for secret in (ALONE, "Andorra", "fraud=fraud"):
        assert secret not in text
    for number in ("987651", "990000", "980000"):  # weights are random, and may have these digits among theirs
        assert not re.search(rf"(?<![\d.]){number}(?!\d)", text)
    assert found_short(run, code=0) is None


def test_forgetting_the_tenth_takes_the_value_out_of_an_unedited_draft(run, tmp_path):
    before = columns(schema(tmp_path))
    forget(run, TEN[0])
    assert "took out 2 values" in run.said  # Malta, and 46 years, which ten people had
    assert "Malta" not in run.said
    assert "Malta" not in leaving(tmp_path)
    assert 46.0 in before["age"]["knots"]
    younger = {**before["age"], "knots": [knot for knot in before["age"]["knots"] if knot != 46.0]}
    assert columns(schema(tmp_path)) == {**before, "country": {"kind": "category", "values": ["France"]}, "age": younger}
    assert found_short(run, code=0) is None
    assert run("status", "-w", "ws")["still_derived"] == []
    forget(run, *[f"person-{i}" for i in range(40, 60)])  # it is still the draft, and corrected again if it must be
    text = schema(tmp_path)
    table = Workspace.open(tmp_path / "ws").storage.table
    for name in ("job", "churn"):
        values = table.distinct(name, 10)
        assert columns(text)[name]["values"] == values


def test_an_edited_draft_and_a_model_are_reported_and_left_alone(run, tmp_path):
    run("fit", "churn", "--target", "churn", "--delta", "1e-5", "-w", "ws")
    path = tmp_path / "ws/schema.toml"
    path.write_text(path.read_text().replace("normalise = false", "normalise = true"))
    edited = path.read_text()
    forget(run, TEN[0])
    assert path.read_text() == edited
    problem = found_short(run)
    assert "in schema.toml, 2 values in columns age, country: edit it" in problem
    assert "in the model churn, 2 values in columns age, country" in problem and "expunge replace churn" in problem
    assert "Malta" not in problem
    whats = [derived["what"] for derived in run("status", "-w", "ws")["still_derived"] if derived["goes"] is None]
    assert whats == ["schema.toml (values: 2)", "the schema of churn (values: 2)"]
    path.write_text(edited.replace('"Malta"', "").replace("  ,\n", "").replace(" 46.0,", ""))
    assert "in schema.toml" not in found_short(run)
    whats = [derived["what"] for derived in run("status", "-w", "ws")["still_derived"] if derived["goes"] is None]
    assert whats == ["the schema of churn (values: 2)"]


def test_what_a_person_vouches_for_is_theirs(run, tmp_path):
    path = tmp_path / "ws/schema.toml"
    path.write_text(path.read_text().replace("draft = true\n", ""))
    forget(run, TEN[0])
    assert "Malta" in path.read_text()
    assert found_short(run, code=0) is None


def test_the_log_does_not_tell_whether_a_draft_was_mended(tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    run("init", "other", "--data", "p.parquet", "--subject", "who")
    kinds = []
    for folder, subject in (("ws", TEN[0]), ("other", "person-100")):
        run("forget", subject, "-w", folder)
        run("process", "--now", "-w", folder)
        with Workspace.open(tmp_path / folder).storage.database.reading() as connection:
            kinds.append([(event.kind, sorted(event.content)) for event in log.entries(connection, 0, 100)])
    assert "Malta" not in schema(tmp_path) and "Malta" in (tmp_path / "other/schema.toml").read_text()
    assert kinds[0] == kinds[1]


def test_a_draft_with_a_rare_value_is_not_fitted(run, tmp_path):
    path = tmp_path / "ws/schema.toml"
    text = path.read_text()
    path.write_text(text.replace('"Malta",', f'"Malta", "{ALONE}",'))
    refused = run("fit", "churn", "--target", "churn", "-w", "ws", code=1)
    assert "fewer than ten people share 1 of its values" in refused["message"] and ALONE not in refused["message"]
    path.write_text(text.replace("draft = true\n", "").replace('"Malta",', f'"Malta", "{ALONE}",'))
    run("fit", "churn", "--target", "churn", "--delta", "1e-5", "--accept-undeclared", "-w", "ws")


def test_rare_classes_are_learned_only_where_they_are_declared(run, tmp_path):
    path, fit = tmp_path / "ws/schema.toml", ("fit", "fraud", "--target", "fraud", "--delta", "1e-5", "-w", "ws")
    text = path.read_text()
    head, _, tail = text.partition('[columns."fraud"]')
    without = head + tail.partition("]\n")[2]
    refused = run(*fit, code=1)["message"]
    assert "holds classes that schema.toml does not declare, 1 in all" in refused and "'fraud'" in refused
    path.write_text(without)
    assert "1 of the classes in column 'fraud' have fewer than ten people" in run(*fit, code=1)["message"]
    path.write_text(without + FRAUD)
    assert "have fewer than ten people" in run(*fit, code=1)["message"]  # declared in a draft is not declared
    path.write_text((without + FRAUD).replace("draft = true\n", ""))
    run(*fit, "--accept-undeclared")
    forget(run, "person-30")
    assert found_short(run, code=0) is None


def test_classes_taken_from_the_rows_are_looked_at_again(run, tmp_path):
    path = tmp_path / "ws/schema.toml"
    path.write_text('[columns."age"]\nkind = "number"\nlow = 0\nhigh = 100\n')
    run("fit", "malta", "--target", "country", "--delta", "1e-5", "-w", "ws", code=1)  # Andorra has nine
    table = incomes()
    nobody = [None if name in ("Andorra", ALONE) else name for name in table["country"].to_pylist()]
    storage = table.schema.get_field_index("country")
    pq.write_table(table.set_column(storage, "country", pa.array(nobody)), tmp_path / "q.parquet")
    run("init", "two", "--data", "q.parquet", "--subject", "who", "--schema", "ws/schema.toml")
    run("fit", "malta", "--target", "country", "--delta", "1e-5", "-w", "two")
    run("forget", TEN[3], "-w", "two")
    run("process", "--now", "-w", "two")
    (problem,) = [finding["problem"] for finding in run("doctor", "-w", "two", code=4) if finding["check"] == CHECK]
    assert "in the model malta, 1 values in columns country" in problem

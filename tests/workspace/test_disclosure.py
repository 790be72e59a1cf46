"""What is held about a person: all of their rows, nobody else's, and every model that learned them."""

import csv
import io
import json
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from expunge.errors import RequestRefused
from expunge.evidence.events import EventKind
from expunge.ledger import log
from tests.field.commands import run
from tests.workspace.people import CLASSES, SCHEMA, people, workspace


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return workspace(tmp_path_factory.mktemp("held"))


def theirs(who: str) -> list[dict]:
    rows = people()
    return rows.filter(pc.equal(rows["who"], who)).drop_columns("who").to_pylist()


def test_it_is_all_of_their_rows_and_nobody_elses(found):
    for who in ("person-3", "person-7", "person-20"):
        assert found.show(who).rows == theirs(who)


def test_it_names_the_models_that_learned_them_and_their_releases(found):
    alone = next(f"person-{i}" for i in range(250) if [row["spend"] for row in theirs(f"person-{i}")] == [None])
    assert [each.model for each in found.show("person-7").models] == ["churn", "spend", "visits"]
    assert [each.model for each in found.show(alone).models] == ["churn", "visits"]  # without a target nothing is learned
    found.forget(["person-9"])
    found.process()
    for each in found.show("person-7").models:
        assert len(each.releases) == 2 and each.n_rows == sum(row[each.target] is not None for row in theirs("person-7"))
    found.replace("churn")
    assert [len(each.releases) for each in found.show("person-7").models] == [1, 2, 2]


def test_who_is_forgotten_or_unknown_has_nothing(found):
    for who in ("person-9", "nobody"):
        with pytest.raises(RequestRefused, match="no rows here have this id"):
            found.show(who)


def test_that_somebody_looked_is_logged_and_whom_is_not(found):
    found.show("person-11", actor="ann")
    with found.storage.database.reading() as connection:
        (*_, last) = log.of_kind(connection, EventKind.PERSON_SHOWN)
        assert last.content["actor"] == "ann" and set(last.content) == {"seq", "at", "kind", "actor"}


def test_a_model_that_has_forgotten_them_is_left_out_while_others_wait(tmp_path):
    """A request that one model cannot answer leaves the rows in the table; the others have forgotten them."""
    table = people(60, 40)
    lone = pa.array(["yes" if who == "person-5" else "no" for who in table["who"].to_pylist()])
    found = workspace(tmp_path, models=("churn",), table=table.set_column(4, "churn", lone), schema=SCHEMA + CLASSES)
    found.fit("visits", "visits", model="poisson", penalty=0.01, sigma=0.05)
    found.forget(["person-5"])
    found.process()
    assert [each.model for each in found.show("person-5").models] == ["churn"]


def test_values_of_every_type_are_written(tmp_path):
    rows = pa.table(
        {
            "who": ["a", "a"],
            "age": [30, 40],
            "day": pa.array([date(2024, 2, 29), None]),
            "price": pa.array([Decimal("1.50"), Decimal("-2.25")]),
            "text": ["=1+1", "zwölf, \"drei\""],
            "is_there": [True, None],
            "share": [0.1, float("inf")],
            "list": pa.array([[1.0, 2.5], None], pa.list_(pa.float64())),
        }
    )  # fmt: skip
    schema = '[columns."age"]\nkind = "number"\nlow = 0\nhigh = 100\n'
    held = workspace(tmp_path, models=False, table=rows, schema=schema).show("a")
    expected = [
        {"age": 30, "day": "2024-02-29", "price": "1.50", "text": "=1+1", "is_there": True, "share": 0.1, "list": [1.0, 2.5]},
        {"age": 40, "day": None, "price": "-2.25", "text": 'zwölf, "drei"', "is_there": None, "share": "inf", "list": None},
    ]
    assert json.loads(held.to_json()) == {"rows": expected, "models": [], "restrictions": []}
    first, second = csv.DictReader(io.StringIO(held.to_csv()))
    assert first["list"] == "[1.0, 2.5]" and second["text"] == 'zwölf, "drei"' and second["day"] == ""


def test_the_command_writes_a_file_for_the_person(found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ws = str(found.storage.path)
    said = run("show", "person-7", "--out", "held.json", "-w", ws)
    assert said["rows"] == theirs("person-7") == json.loads((tmp_path / "held.json").read_text())["rows"]
    run("show", "person-7", "--out", "held.csv", "-w", ws)
    assert len((tmp_path / "held.csv").read_text().splitlines()) == 1 + len(theirs("person-7"))
    assert run("show", "nobody", "-w", ws, code=3)["reason"] == "unknown-subject"
    assert "must end in .json or .csv" in run("show", "person-7", "--out", "held.txt", "-w", ws, code=1)["message"]

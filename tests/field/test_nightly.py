"""Nightly life: files that come every night, by the command line; nothing comes in twice, and nothing odd unseen."""

import contextlib
import hashlib
import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from typer.testing import CliRunner

from expunge.cli import app
from tests.field.commands import problems, run
from tests.field.table import stored
from tests.forks import once
from tests.workspace.people import copied

SCHEMA = """
[columns."age"]
kind = "number"
low = 0
high = 100

[columns."postcode"]
kind = "category"
values = ["10115", "20095", "80331"]
"""
HEADING = "who,age,postcode,visits"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with a workspace of sixty people and a model."""
    copied(once("nightly", make), tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(folder: Path) -> None:
    with contextlib.chdir(folder):
        Path("schema.toml").write_text(SCHEMA)
        rows = [f"p{i},{20 + i % 60},{('10115', '20095', '80331')[i % 3]},{i % 7}" for i in range(60)]
        write("people.csv", *rows)
        run("init", "ws", "--data", "people.csv", "--subject", "who", "--schema", "schema.toml")
        run("fit", "visits", "--target", "visits", "--model", "ridge", "--sigma", "0.05", "-w", "ws")


def write(name: str, *rows: str, heading: str = HEADING) -> None:
    Path(name).write_text("\n".join([heading, *rows, ""]))


def night(number: int, *, postcode: str = "10115", people: int = 8) -> list[str]:
    return [f"n{number}-{i},{30 + i % 60},{postcode},{i % 5}" for i in range(people)]


def ages() -> list[int]:
    return stored(Path("ws"))["age"].to_pylist()


def fingerprint() -> dict[str, str]:
    """What every file of the workspace holds, and what the ledger says, whose pages SQLite moves by itself."""
    found = {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path("ws").rglob("*"))
        if path.is_file() and not path.name.startswith("ledger.sqlite")
    }
    with sqlite3.connect("ws/ledger.sqlite") as connection:
        found["ledger"] = hashlib.sha256("\n".join(connection.iterdump()).encode()).hexdigest()
    return found


class TestTheSameRowsAgain:
    def test_add_nothing_and_it_is_said(self, folder):
        write("night.csv", *night(1))
        assert run("append", "night.csv", "-w", "ws")["rows"] == 8
        before = fingerprint()
        (folder / "copy.csv").write_bytes((folder / "night.csv").read_bytes())
        for name in ("night.csv", "copy.csv"):
            again = run("append", name, "-w", "ws")
            assert (again["rows"], again["releases"]) == (0, []) and again["added_before"] is not None
        said = CliRunner().invoke(app, ["append", "night.csv", "-w", "ws"])
        assert said.exit_code == 0 and "these rows were added before, on" in " ".join(said.stderr.split())
        assert fingerprint() == before and len(ages()) == 68

    def test_the_rows_that_the_workspace_was_made_from(self, folder):
        before = fingerprint()
        assert run("append", "people.csv", "-w", "ws")["added_before"] is not None and fingerprint() == before

    def test_from_a_query_too(self, folder):
        with sqlite3.connect("source.sqlite") as source:
            source.execute("CREATE TABLE people (who TEXT, age INTEGER, postcode INTEGER, visits INTEGER)")
            source.executemany("INSERT INTO people VALUES (?, ?, ?, ?)", [line.split(",") for line in night(1)])
        source.close()
        query = ("sqlite:///source.sqlite", "--query", "SELECT * FROM people", "-w", "ws")
        assert run("append", *query)["rows"] == 8
        assert run("append", *query)["rows"] == 0
        write("night.csv", *night(1))
        assert run("append", "night.csv", "-w", "ws")["rows"] == 0  # the same rows, however they come
        assert len(ages()) == 68

    def test_one_other_value_is_another_file(self, folder):
        write("night.csv", *night(1))
        run("append", "night.csv", "-w", "ws")
        write("night.csv", *night(1)[:-1], "n1-7,99,10115,2")
        assert run("append", "night.csv", "-w", "ws")["rows"] == 8

    def test_a_file_that_was_refused_is_not_one_that_was_added(self, folder):
        write("night.csv", *night(1), "p0,no number,10115,1")
        run("append", "night.csv", "-w", "ws", code=1)
        write("night.csv", *night(1))
        assert run("append", "night.csv", "-w", "ws")["rows"] == 8

    def test_is_known_for_as_long_as_the_settings_say(self, folder, monkeypatch):
        write("night.csv", *night(1))
        run("append", "night.csv", "-w", "ws")
        settings = Path("ws/workspace.toml")
        settings.write_text(settings.read_text().replace("recognised_days = 365", "recognised_days = 1"))
        run("process", "--now", "-w", "ws")
        assert run("append", "night.csv", "-w", "ws")["rows"] == 0
        with sqlite3.connect("ws/ledger.sqlite") as ledger:
            (content,) = ledger.execute("SELECT content FROM batches WHERE content IS NOT NULL").fetchone()
        ledger.close()
        assert len(content) == 64 and content not in Path("night.csv").read_text()


class TestOddValues:
    def test_are_counted_and_told(self, folder):
        write("night.csv", *night(1, people=40), "a,200,10115,1", "b,,10115,1", "c,30,,1")
        said = CliRunner().invoke(app, ["append", "night.csv", "-w", "ws", "--dry-run"])
        assert "undeclared: age 1" in said.stdout and "missing: age 1, postcode 1" in said.stdout
        done = run("append", "night.csv", "-w", "ws")
        assert (done["undeclared"], done["missing"]) == ({"age": 1}, {"age": 1, "postcode": 1})

    def test_stop_the_command_where_they_are_many(self, folder):
        write("night.csv", *night(1, postcode="99999", people=50))
        before = fingerprint()
        refused = run("append", "night.csv", "-w", "ws", code=1)["message"]
        assert "column 'postcode': 50 of 50 values are outside" in refused and "99999" not in refused
        assert fingerprint() == before
        done = run("append", "night.csv", "--accept-undeclared", "-w", "ws")
        assert (done["rows"], done["undeclared"]) == (50, {"postcode": 50})

    def test_a_few_of_many_do_not(self, folder):
        write("night.csv", *night(1, people=195), *night(2, postcode="99999", people=5))
        assert run("append", "night.csv", "-w", "ws")["undeclared"] == {"postcode": 5}
        settings = Path("ws/workspace.toml")
        settings.write_text(settings.read_text().replace("undeclared_percent = 5", "undeclared_percent = 2"))
        write("night.csv", *night(3, people=195), *night(4, postcode="99999", people=6))
        assert run("append", "night.csv", "-w", "ws")["rows"] == 201  # not much more than in the table
        write("night.csv", *night(5, people=195), *night(6, postcode="99999", people=12))
        assert "12 of 207 values" in run("append", "night.csv", "-w", "ws", code=1)["message"]

    def test_missing_ones_stop_it_too(self, folder):
        write("night.csv", *night(1, postcode="", people=50))
        before = fingerprint()
        refused = run("append", "night.csv", "-w", "ws", code=1)["message"]
        assert "column 'postcode': 50 of 50 values are missing, a larger share than in the table" in refused
        assert fingerprint() == before
        done = run("append", "night.csv", "--accept-undeclared", "-w", "ws")
        assert (done["rows"], done["missing"], done["undeclared"]) == (50, {"postcode": 50}, {})
        write("night.csv", *night(2, postcode="", people=11), *night(3, people=11))
        assert run("append", "night.csv", "-w", "ws")["missing"] == {"postcode": 11}  # half of it: as in the table now
        write("right.csv", *["p1,30,,1"] * 6)
        assert "6 of 6 values are missing" in run("rectify", "p1", "--file", "right.csv", "-w", "ws", code=1)["message"]
        planned = run("fit", "again", "--target", "visits", "--model", "ridge", "--sigma", "0.05", "--dry-run", "-w", "ws")
        assert planned["missing"] == {"postcode": 61}  # of rows that were accepted it is told only

    def test_in_a_correction(self, folder):
        write("right.csv", "p1,30,99999,1")
        assert run("rectify", "p1", "--file", "right.csv", "--dry-run", "-w", "ws")["undeclared"] == {"postcode": 1}
        write("right.csv", *["p1,30,99999,1"] * 6)
        assert "6 of 6" in run("rectify", "p1", "--file", "right.csv", "-w", "ws", code=1)["message"]
        assert run("rectify", "p1", "--file", "right.csv", "--accept-undeclared", "-w", "ws")["rows"] == 6

    def test_when_a_model_is_fitted(self, folder):
        Path("ws/schema.toml").write_text(SCHEMA.replace("80331", "80333"))
        fit = ("again", "--target", "visits", "--model", "ridge", "--sigma", "0.05", "-w", "ws")
        assert "'postcode': 20 of 60" in run("fit", *fit, code=1)["message"]
        assert "'postcode': 20 of 60" in run("replace", "visits", "-w", "ws", code=1)["message"]
        planned = run("fit", *fit, "--accept-undeclared", "--dry-run")
        assert (planned["undeclared"], planned["rows"], planned["sigma"]) == ({"postcode": 20}, 60, 0.05)
        run("fit", *fit, "--accept-undeclared")
        said = CliRunner().invoke(app, ["refit", "again", "-w", "ws"])
        assert "outside what the schema declares, by column: 'postcode' 20" in " ".join(said.stderr.split())

    def test_are_in_nothing_that_leaves_the_house(self, folder):
        write("night.csv", *night(1, postcode="99999", people=5))
        run("append", "night.csv", "-w", "ws")
        run("log", "log.json", "-w", "ws")
        status = run("status", "-w", "ws")
        assert "undeclared" not in Path("log.json").read_text() and "undeclared" not in str(status)


class TestColumns:
    def test_that_the_table_does_not_have_are_named(self, folder):
        write("night.csv", *[f"{row},x,y" for row in night(1)], heading=HEADING + ",shoe size,[red]")
        done = run("append", "night.csv", "-w", "ws")
        assert (done["rows"], done["left_out"]) == (8, ["shoe size", "[red]"])
        write("more.csv", *[f"{row},x" for row in night(2)], heading=HEADING + ",[red]")
        said = CliRunner().invoke(app, ["append", "more.csv", "-w", "ws"])
        assert "columns that the table does not have were left out: '[red]'" in " ".join(said.stderr.split())

    def test_that_are_missing_refuse_the_file(self, folder):
        write("night.csv", *(",".join(row.split(",")[:3]) for row in night(1)), heading="who,age,postcode")
        assert "column 'visits' is missing" in run("append", "night.csv", "-w", "ws", code=1)["message"]


def test_a_dry_run_changes_not_one_byte(folder):
    """Of each command that changes the workspace; the same command then does what was said."""
    run("fit", "other", "--target", "age", "--model", "ridge", "--sigma", "0.05", "-w", "ws")
    (asked,) = run("forget", "p1", "-w", "ws")
    write("night.csv", *night(1))
    write("right.csv", "p2,30,10115,1")
    commands = (
        ("append", "night.csv"),
        ("rectify", "p2", "--file", "right.csv"),
        ("forget", "p3", "p4"),
        ("fit", "new", "--target", "visits", "--model", "ridge", "--sigma", "0.05"),
        ("replace", "other", "--penalty", "2"),
        ("refit", "other"),
        ("process",),
        ("retire", "other"),
        ("rotate-key",),
        ("row-key", "who,age"),
        ("widen", "age", "--to", "number"),
    )
    Path("receipts").rename("kept")
    for command in (*commands, ("cancel", asked["request"])):
        before = fingerprint()
        run(*command, "--dry-run", "-w", "ws")
        assert CliRunner().invoke(app, [*command, "--dry-run", "-w", "ws"]).exit_code == 0
        assert fingerprint() == before, command
        assert not Path("receipts").exists()
    assert run("append", "night.csv", "--dry-run", "-w", "ws")["rows"] == run("append", "night.csv", "-w", "ws")["rows"] == 8
    assert run("process", "--now", "--dry-run", "-w", "ws")["requests"] == [asked["request"]]
    run("process", "--now", "-w", "ws")
    for command in commands[1:]:
        more = ("--yes",) if command[0] == "retire" else ()
        run(*command, *more, "-w", "ws")
    assert run("append", "night.csv", "--dry-run", "-w", "ws")["added_before"] is not None
    assert problems(Path("ws"), "models") == {}


def test_a_dry_run_refuses_what_the_command_refuses(folder):
    write("bad.csv", ",30,10115,1")
    before = fingerprint()
    for command, code in (
        (("append", "bad.csv"), 1),
        (("append", "none.csv"), 1),
        (("rectify", "nobody", "--file", "bad.csv"), 3),
        (("forget", "nobody"), 3),
        (("cancel", "r-0"), 3),
        (("fit", "visits", "--target", "visits"), 1),
        (("fit", "m", "--target", "shoe"), 1),
        (("replace", "none"), 1),
        (("retire", "none"), 1),
        (("refit", "none"), 1),
    ):
        run(*command, "--dry-run", "-w", "ws", code=code)
    assert fingerprint() == before


class TestRowKeys:
    VISITS = "who,day,age,postcode,visits"

    @pytest.fixture
    def keyed(self, folder) -> Path:
        """A table of visits, in which person and day name a row."""
        rows = [f"p{i % 20},2024-01-{1 + i // 20:02},{20 + i % 60},10115,{i % 7}" for i in range(60)]
        write("visits.csv", *rows, heading=self.VISITS)
        run("init", "keyed", "--data", "visits.csv", "--subject", "who", "--schema", "schema.toml", "--row-key", "who,day")
        run("fit", "visits", "--target", "visits", "--model", "ridge", "--sigma", "0.05", "-w", "keyed")
        return folder

    def values(self) -> set[tuple[object, ...]]:
        table = stored(Path("keyed"))
        return set(zip(*(table[name].to_pylist() for name in ("day", "age", "visits")), strict=True))

    def test_a_row_that_comes_again_is_known(self, keyed):
        write("night.csv", "p0,2024-01-01,20,10115,0", "p0,2024-02-01,25,10115,9", heading=self.VISITS)
        done = run("append", "night.csv", "-w", "keyed")
        assert (done["rows"], done["known"], done["replaced"]) == (1, 1, 0)
        assert len(stored(Path("keyed"))) == 61
        write("again.csv", "p0,2024-02-01,25,10115,9", "p0,2024-01-01,20,10115,0", heading=self.VISITS)
        assert run("append", "again.csv", "-w", "keyed")["rows"] == 0
        assert len(stored(Path("keyed"))) == 61 and problems(Path("keyed"), "models") == {}

    def test_other_values_are_refused_or_take_its_place(self, keyed):
        before = stored(Path("keyed"))
        write("night.csv", "p9,2024-02-01,25,10115,9", "p0,2024-01-02,99,10115,6", heading=self.VISITS)
        refused = run("append", "night.csv", "-w", "keyed", code=1)["message"]
        assert "row 3 has the row key of a row in the table, but different values" in refused
        assert stored(Path("keyed")).equals(before)
        planned = run("append", "night.csv", "--upsert", "--dry-run", "-w", "keyed")
        assert stored(Path("keyed")).equals(before)
        done = run("append", "night.csv", "--upsert", "-w", "keyed")
        for told in (planned, done):
            assert (told["rows"], told["known"], told["replaced"]) == (1, 0, 1)
        (release,) = done["releases"]
        assert (release["n_forgotten"], release["n_learned"]) == (1, 2)  # what stays as it is was never out
        after = stored(Path("keyed"))
        assert len(after) == 61 and 99 in after["age"].to_pylist()
        old = {tuple(row.items()) for row in before.to_pylist()}
        assert len(old - {tuple(row.items()) for row in after.to_pylist()}) == 1
        assert problems(Path("keyed")) == {}
        assert run("append", "night.csv", "--upsert", "-w", "keyed")["rows"] == 0
        run("forget", "p0", "-w", "keyed")
        assert run("process", "--now", "-w", "keyed")["closed"] == 1 and problems(Path("keyed")) == {}

    def test_a_row_without_a_key_or_two_with_one(self, keyed):
        for rows, message in (
            (("p0,,20,10115,0",), "row 3 has no day"),
            (("p1,2024-03-01,20,10115,0", "p1,2024-03-01,21,10115,0"), "rows 3 and 4 have the same row key"),
        ):
            write("night.csv", "q,2024-03-02,20,10115,0", *rows, heading=self.VISITS)
            refused = run("append", "night.csv", "--upsert", "-w", "keyed", code=1)["message"]
            assert message in refused

    def test_may_be_declared_later_where_it_names_rows(self, folder):
        assert "'shoe'" in run("row-key", "who,shoe", "-w", "ws", code=1)["message"]
        assert "do not identify a row" in run("row-key", "postcode,visits", "-w", "ws", code=1)["message"]
        assert run("row-key", "who", "-w", "ws")["row_key"] == ["who"]
        write("night.csv", "p0,99,10115,1")
        assert run("append", "night.csv", "--upsert", "-w", "ws")["replaced"] == 1
        assert 99 in ages() and len(ages()) == 60 and problems(Path("ws"), "models") == {}
        write("bad.csv", "a,30,10115,1", "a,31,10115,2")
        other = ("init", "other", "--data", "bad.csv", "--subject", "who", "--schema", "schema.toml", "--row-key")
        for key in ("who", "visits,who,day", ","):
            assert (
                "row key" in run(*other, key, code=1)["message"]
                or "do not identify a row" in run(*other, key, code=1)["message"]
            )
            assert not Path("other").exists()
        run(*other, "who,age")
        assert run("append", "bad.csv", "-w", "other")["added_before"]
        write("bad.csv", "a,31,10115,5")
        assert run("append", "bad.csv", "--upsert", "-w", "other")["replaced"] == 1

    def test_a_correction_takes_nobody_elses_key(self, folder):
        run("row-key", "age", "-w", "ws")
        write("right.csv", "p1,22,10115,1")
        refused = run("rectify", "p1", "--file", "right.csv", "-w", "ws", code=1)["message"]
        assert "row 2 has the row key of somebody else's row" in refused
        write("right.csv", "p1,21,10115,5", "p1,99,10115,5")
        assert run("rectify", "p1", "--file", "right.csv", "-w", "ws")["rows"] == 2

    def test_a_key_may_pass_to_another_person(self, folder):
        run("row-key", "age", "-w", "ws")
        write("night.csv", "other,20,10115,1")
        assert run("append", "night.csv", "--upsert", "-w", "ws")["replaced"] == 1
        assert len(ages()) == 60
        assert run("forget", "p0", "-w", "ws", code=3)[0]["reason"] == "unknown-subject"
        assert problems(Path("ws"), "models") == {}


class TestWidening:
    def test_is_the_way_out_where_a_value_does_not_fit(self, folder):
        write("night.csv", *night(1), "x,45.5,10115,1")
        before = fingerprint()
        refused = run("append", "night.csv", "-w", "ws", code=1)["message"]
        assert "row 10" in refused and "run expunge widen age --to number" in refused and "45.5" not in refused
        assert fingerprint() == before
        planned = run("widen", "age", "--to", "number", "--dry-run", "-w", "ws")
        assert (planned["from"], planned["to"], planned["rows"]) == ("int64", "double", 60) and fingerprint() == before
        held = ages()
        run("widen", "age", "--to", "number", "-w", "ws")
        assert ages() == held and {type(age) for age in ages()} == {float}
        assert problems(Path("ws")) == {}
        assert run("append", "night.csv", "-w", "ws")["rows"] == 9 and ages()[-1] == 45.5
        run("forget", "p0", "x", "-w", "ws")
        assert run("process", "--now", "-w", "ws")["closed"] == 2
        write("right.csv", "p1,31.25,10115,1")
        run("rectify", "p1", "--file", "right.csv", "-w", "ws")
        assert 31.25 in ages() and problems(Path("ws")) == {}
        foreign = DeltaTable("ws/table").to_pyarrow_table()
        assert (foreign["age"].type, len(foreign)) == ("double", len(ages()))

    def test_to_text_models_see_what_they_saw(self, folder):

        assert stored(Path("ws"))["postcode"].type == "int64"
        run("widen", "postcode", "--to", "text", "-w", "ws")
        write("night.csv", *night(1, postcode="10115"), "x,30,A-1010,1")
        assert run("append", "night.csv", "-w", "ws")["undeclared"] == {"postcode": 1}
        assert stored(Path("ws"))["postcode"].to_pylist()[-1] == "A-1010" and problems(Path("ws")) == {}
        run("log", "log.json", "-w", "ws")
        assert '"table.widened"' in Path("log.json").read_text().replace("\\", "")

    def test_a_column_of_numbers_with_fewer_digits(self, folder):
        rows = {"who": [f"p{i}" for i in range(20)], "postcode": ["10115"] * 20, "visits": list(range(20))}
        pq.write_table(pa.table({**rows, "age": pa.array([20.5 + i for i in range(20)], pa.float32())}), "single.parquet")
        run("init", "single", "--data", "single.parquet", "--subject", "who", "--schema", "schema.toml")
        night = {"who": ["x"], "postcode": ["10115"], "visits": [1], "age": [45.1]}
        pq.write_table(pa.table(night), "night.parquet")
        refused = run("append", "night.parquet", "-w", "single", code=1)["message"]
        assert "row 1, column 'age'" in refused and "run expunge widen age --to number" in refused and "45.1" not in refused
        run("widen", "age", "--to", "number", "-w", "single")
        assert run("append", "night.parquet", "-w", "single")["rows"] == 1
        assert stored(Path("single"))["age"].to_pylist() == [*(20.5 + i for i in range(20)), 45.1]
        assert problems(Path("single")) == {}

    def test_what_cannot_be_is_refused(self, folder):
        before = fingerprint()
        for column, to, message in (
            ("shoe", "number", "no column 'shoe'"),
            ("age", "date", "--to must be number or text"),
            ("visits", "text", "run expunge retire visits first"),
        ):
            assert message in run("widen", column, "--to", to, "-w", "ws", code=1)["message"], column
        assert fingerprint() == before
        write("big.csv", "a,1,10115,9007199254740993", "b,2,10115,1")
        run("init", "big", "--data", "big.csv", "--subject", "who", "--schema", "schema.toml")
        assert "more than 15 digits" in run("widen", "visits", "--to", "number", "-w", "big", code=1)["message"]
        run("widen", "visits", "--to", "text", "-w", "big")
        assert stored(Path("big"))["visits"].to_pylist() == ["9007199254740993", "1"]

    def test_an_empty_table(self, folder):
        run("retire", "visits", "--yes", "-w", "ws")
        run("forget", *(f"p{i}" for i in range(60)), "-w", "ws")
        assert run("process", "--now", "-w", "ws")["closed"] == 60
        run("widen", "age", "--to", "number", "-w", "ws")
        write("night.csv", "x,45.5,10115,1")
        assert run("append", "night.csv", "-w", "ws")["rows"] == 1
        assert ages() == [45.5] and problems(Path("ws")) == {}


class TestRejects:
    def test_bad_rows_are_set_aside_and_the_others_learned(self, folder):
        run("forget", "p5", "-w", "ws")
        run("process", "--now", "-w", "ws")
        write("night.csv", *night(1), "x,old,10115,1", ",30,10115,1", "p5,31,10115,1", "y,33,10115,many", "z,34,10115,3")
        assert "row 10" in run("append", "night.csv", "-w", "ws", code=1)["message"]
        before = fingerprint()
        planned = run("append", "night.csv", "--rejects", "bad.csv", "--dry-run", "-w", "ws")
        assert (planned["rows"], planned["set_aside"]) == (9, 4) and not Path("bad.csv").exists()
        assert fingerprint() == before
        done = run("append", "night.csv", "--rejects", "bad.csv", "-w", "ws")
        assert (done["rows"], done["set_aside"]) == (9, 4)
        assert Path("bad.csv").stat().st_mode & 0o777 == 0o600
        lines = Path("bad.csv").read_text().splitlines()
        assert lines[0] == "row,reason,who,age,postcode,visits"
        told = {int(row): (reason, rest) for row, reason, rest in (line.split(",", 2) for line in lines[1:])}
        assert told == {
            10: ("column 'age': not of type integer", "x,old,10115,1"),
            11: ("column 'who': no subject", ",30,10115,1"),
            12: ("belongs to somebody who was forgotten", "p5,31,10115,1"),
            13: ("column 'visits': not of type integer", "y,33,10115,many"),
        }
        assert len(ages()) == 68 and problems(Path("ws"), "models") == {}
        again = run("append", "night.csv", "--rejects", "bad.csv", "-w", "ws")
        assert again["added_before"] is not None and len(ages()) == 68

    def test_a_file_of_which_somebody_was_forgotten_since_is_still_the_same(self, folder):
        write("night.csv", *night(1))
        run("append", "night.csv", "-w", "ws")
        run("forget", "n1-3", "-w", "ws")
        run("process", "--now", "-w", "ws")
        assert run("append", "night.csv", "--rejects", "bad.csv", "-w", "ws")["added_before"] is not None
        assert len(ages()) == 67 and not Path("bad.csv").exists()

    def test_where_no_row_is_bad_no_file_is_written(self, folder):
        write("night.csv", *night(1))
        assert run("append", "night.csv", "--rejects", "bad.csv", "-w", "ws")["set_aside"] == 0
        assert not Path("bad.csv").exists()

    def test_a_file_that_cannot_be_written_stops_the_command(self, folder):
        write("night.csv", *night(1), "x,old,10115,1")
        before = fingerprint()
        run("append", "night.csv", "--rejects", "none/bad.csv", "-w", "ws", code=1)
        assert fingerprint() == before

    def test_a_label_that_is_no_class(self, folder):
        (folder / "wanted.toml").write_text(SCHEMA + '\n[columns."plan"]\nkind = "category"\nvalues = ["a", "b"]\n')
        write("plans.csv", *(f"p{i},{20 + i},10115,1,{'ab'[i % 2]}" for i in range(40)), heading=HEADING + ",plan")
        run("init", "plans", "--data", "plans.csv", "--subject", "who", "--schema", "wanted.toml")
        run("fit", "plan", "--target", "plan", "--delta", "1e-5", "-w", "plans")
        write("night.csv", "q0,30,10115,1,a", "q1,30,10115,1,c", heading=HEADING + ",plan")
        assert "row 3 has a plan" in run("append", "night.csv", "-w", "plans", code=1)["message"]
        assert run("append", "night.csv", "--rejects", "bad.csv", "-w", "plans")["rows"] == 1
        assert "3,column 'plan': not a class that a model has learned,q1" in Path("bad.csv").read_text()

    def test_from_parquet_too(self, folder):
        write("night.csv", *night(1))
        rows = pyarrow.csv.read_csv("night.csv")
        ages_ = pa.array([45.5, *map(float, rows["age"].to_pylist()[1:])])
        pq.write_table(rows.set_column(1, "age", ages_), "night.parquet")
        assert run("append", "night.parquet", "--rejects", "bad.csv", "-w", "ws")["rows"] == 7
        assert Path("bad.csv").read_text().splitlines()[1].startswith("1,column 'age': not of type integer,n1-0,45.5")

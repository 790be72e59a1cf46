"""The last person of a class, and the last of a table, can be forgotten: every way out that a message names works."""

import re
from pathlib import Path

import pytest

from expunge.workspace import Workspace
from tests.field.commands import problems, run
from tests.workspace.people import at_once

NUMBERS = """
[columns."age"]
kind = "number"
low = 0
high = 100
"""
DECLARED = """
[columns."plan"]
kind = "category"
values = ["basic", "gold", "silver"]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(folder: Path, plans: list[str], schema: str = NUMBERS) -> None:
    """A workspace with one person for each of these plans."""
    lines = [f"p{i},{20 + i % 60},{plan},{i % 7}" for i, plan in enumerate(plans)]
    (folder / "people.csv").write_text("\n".join(["who,age,plan,visits", *lines, ""]))
    (folder / "schema.toml").write_text(schema)
    run("init", "ws", "--data", "people.csv", "--subject", "who", "--schema", "schema.toml")
    at_once(Workspace.open("ws"))


def command_in(message: str, name: str) -> list[str]:
    """The command of this name that the message tells, as arguments."""
    found = re.search(rf"expunge ({name} [a-z]+)", message)
    assert found, message
    return found.group(1).split()


def asked(*who: str) -> None:
    assert {answer["state"] for answer in run("forget", *who, "-w", "ws")} == {"accepted"}


def waiting() -> str:
    """Why a request waits, in the words of process; nothing is lost by asking twice."""
    (first,) = set(run("process", "--now", "-w", "ws", code=3)["problems"].values())
    (problem,) = set(run("process", "--now", "-w", "ws", code=3)["problems"].values())
    assert first == problem
    assert set(problems(Path("ws"), "minutes")) <= {"what was taken from the rows is shared by ten people"}
    return str(problem)


def test_the_last_of_three_classes(folder):
    made(folder, ["basic", "gold"] * 20 + ["silver"] * 10)
    run("fit", "plan", "--target", "plan", "--delta", "1e-5", "-w", "ws")
    asked(*(f"p{i}" for i in range(40, 50)))
    problem = waiting()
    assert "no row would be left whose plan is silver" in problem and "schema.toml" not in problem
    run(*command_in(problem, "replace"), "-w", "ws")
    assert run("status", "-w", "ws")["requests"] | {"accepted": 0, "closed": 10} == run("status", "-w", "ws")["requests"]
    run("export", "plan", "--out", "m.json", "-w", "ws")
    assert '"silver"' not in (folder / "m.json").read_text() and '"gold"' in (folder / "m.json").read_text()
    assert problems(Path("ws")) == {}


def test_the_last_of_three_declared_classes(folder):
    made(folder, ["basic", "gold"] * 20 + ["silver"], NUMBERS + DECLARED)
    run("fit", "plan", "--target", "plan", "--delta", "1e-5", "-w", "ws")
    asked("p40", "p0")
    problem = waiting()
    assert "take that class out of schema.toml and run expunge replace plan" in problem
    refused = run(*command_in(problem, "replace"), "-w", "ws", code=1)
    assert "there is no row whose plan is silver, a class in schema.toml" in refused["message"]
    (folder / "ws/schema.toml").write_text(NUMBERS + DECLARED.replace(', "silver"', ""))
    run(*command_in(problem, "replace"), "-w", "ws")
    assert run("status", "-w", "ws")["requests"]["closed"] == 2
    assert run("process", "--now", "-w", "ws")["closed"] == 0 and problems(Path("ws")) == {}


def test_another_model_still_answers_after_the_replaced_one(folder):
    """The request closes with the last model that answers it, whichever command that is."""
    made(folder, ["basic", "gold"] * 20 + ["silver"], NUMBERS + DECLARED)
    run("fit", "plan", "--target", "plan", "--delta", "1e-5", "-w", "ws")
    asked("p40")
    run("fit", "visits", "--target", "visits", "--model", "ridge", "--sigma", "0.05", "-w", "ws")  # learns p40 no more
    (folder / "ws/schema.toml").write_text(NUMBERS + DECLARED.replace(', "silver"', ""))
    run("replace", "plan", "-w", "ws")
    assert run("status", "-w", "ws")["requests"]["closed"] == 1 and problems(Path("ws")) == {}


@pytest.mark.parametrize("declared", ["", DECLARED.replace(', "silver"', "")])
def test_the_last_of_two_classes(declared, folder):
    made(folder, ["basic"] * 20 + ["gold"] * 10, NUMBERS + declared)
    run("fit", "plan", "--target", "plan", "--delta", "1e-5", "-w", "ws")
    asked(*(f"p{i}" for i in range(20, 30)))
    problem = waiting()
    assert "a classifier needs two classes: run expunge retire plan" in problem and "replace" not in problem
    refused = run("replace", "plan", "-w", "ws", code=1)["message"]
    assert declared or command_in(refused, "retire")
    left = run("status", "-w", "ws")["requests"]["accepted"]
    assert run(*command_in(problem, "retire"), "--yes", "-w", "ws")["closed"] == left == 1
    assert run("status", "-w", "ws")["requests"]["closed"] == 10 and problems(Path("ws")) == {}


def test_the_last_row_with_a_target(folder):
    (folder / "people.csv").write_text("who,age,visits,spend\np0,30,1,\np1,40,2,\np2,50,3,7\np2,51,3,8\n")
    (folder / "schema.toml").write_text(NUMBERS)
    run("init", "ws", "--data", "people.csv", "--subject", "who", "--schema", "schema.toml")
    run("fit", "visits", "--target", "visits", "--model", "ridge", "--sigma", "0.05", "-w", "ws")
    run("fit", "spend", "--target", "spend", "--model", "ridge", "--sigma", "0.05", "-w", "ws")
    asked("p2")
    problem = waiting()
    assert problem == "spend: no row with a spend would be left: run expunge retire spend"
    refused = run("replace", "spend", "-w", "ws", code=1)["message"]
    assert run(*command_in(refused, "retire"), "--yes", "-w", "ws")["closed"] == 1
    assert problems(Path("ws")) == {}


@pytest.mark.parametrize("people", [1, 6])
def test_everybody(people, folder):
    """The table is empty then: nothing can be fitted, rows can be added, and all goes on."""
    made(folder, ["basic", "gold", "basic"] * (people // 3) or ["basic"])
    run("fit", "visits", "--target", "visits", "--model", "ridge", "--sigma", "0.05", "-w", "ws")
    asked(*(f"p{i}" for i in range(people)))
    problem = waiting()
    assert run(*command_in(problem, "retire"), "--yes", "-w", "ws")["closed"] == 1
    status = run("status", "-w", "ws")
    assert (status["rows"], status["models"], status["requests"]["closed"]) == (0, [], people)
    assert problems(Path("ws")) == {}
    for model in (["--model", "ridge", "--sigma", "0.05"], []):
        refused = run("fit", "again", "--target", "visits", *model, "-w", "ws", code=1)
        assert "there is no row with a visits to learn from: add some with expunge append" in refused["message"]
    assert run("forget", "p0", "-w", "ws", code=3)[0]["reason"] == "already-forgotten"
    (folder / "new.csv").write_text("who,age,plan,visits\nq0,30,basic,1\nq1,31,gold,2\nq2,32,gold,2\n")
    assert run("append", "new.csv", "-w", "ws")["rows"] == 3
    run("fit", "again", "--target", "visits", "--model", "ridge", "--sigma", "0.05", "-w", "ws")
    asked("q0")
    assert run("process", "--now", "-w", "ws")["closed"] == 1 and problems(Path("ws")) == {}


def test_everybody_where_there_is_no_model(folder):
    made(folder, ["basic"] * 3)
    asked("p0", "p1", "p2")
    assert run("process", "--now", "-w", "ws")["closed"] == 3
    assert run("status", "-w", "ws")["rows"] == 0 and problems(Path("ws")) == {}


def test_a_correction_that_takes_the_last_of_a_class(folder):
    made(folder, ["basic"] * 20 + ["gold"], NUMBERS + DECLARED.replace(', "silver"', ""))
    run("fit", "plan", "--target", "plan", "--delta", "1e-5", "-w", "ws")
    (folder / "right.csv").write_text("who,age,plan,visits\np20,30,basic,1\n")
    refused = run("rectify", "p20", "--file", "right.csv", "-w", "ws", code=1)["message"]
    assert "no row would be left whose plan is gold" in refused
    run(*command_in(refused, "retire"), "--yes", "-w", "ws")
    assert run("rectify", "p20", "--file", "right.csv", "-w", "ws")["rows"] == 1
    assert problems(Path("ws")) == {}

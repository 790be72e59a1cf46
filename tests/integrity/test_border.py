"""No file of a workspace, whatever is done to it, makes any command stumble: a sentence, a documented exit code, no id; and
where nothing was to be changed, no change."""

import json
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from expunge.cli import app
from tests.conftest import SOAK
from tests.integrity import border

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("border")


def test_every_command_on_altered_files(folder, forks, record_property):
    played = forks.play(folder, "tests.integrity.border", folder, 40 * SOAK, 0)
    assert [case for case in played if case["problems"]] == []
    whole = [case for case in played if case["how"] == border.UNTOUCHED]
    assert {case["command"]: case["code"] for case in whole if case["code"]} == {
        "approve": 3,
        "lift restriction": 3,
    }  # no request waits for that
    assert len(whole) == len(border.COMMANDS)
    codes = Counter(case["code"] for case in played)
    record_property("figures", f"{len(played)} altered files and commands, by exit code: {dict(sorted(codes.items()))}")
    assert codes[1] > 2 * SOAK


def test_no_command_is_left_out():
    """But those that look at no workspace: the demo on bundled data, and the paper's claims."""

    def named(command, *above):
        below = getattr(command, "commands", None)  # of a group
        return {above} if below is None else {name for word in below for name in named(below[word], *above, word)}

    played = {
        tuple(arguments[: 2 if arguments[0] in ("schema", "token", "request") else 1]) for arguments in border.COMMANDS.values()
    }
    assert played == named(typer.main.get_command(app)) - {("demo",), ("reproduce",)}


def test_altered_files_in_processes_of_their_own(folder, forks):
    """What the many cases fork is what a shell starts."""
    forks.play(folder, "tests.integrity.border", folder, 0, 0)
    folder = folder / "files"
    for name, how in (("ws/ledger.sqlite", "halved"), ("ws/workspace.toml", "folder"), ("ws/keys/seal.key", "emptied")):
        kept = (folder / name).read_bytes()
        if how == "halved":  # the last pages may hold nothing
            (folder / name).write_bytes(kept[: len(kept) // 2])
        else:
            border.alter(folder / name, how, random.Random(0))
        command = [sys.executable, "-m", "expunge", "process", "-w", "ws", "--json"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        assert done.stderr == ""
        assert Path(name).name in json.loads(done.stdout)["message"]
        if (folder / name).is_dir():
            (folder / name).rmdir()
        (folder / name).write_bytes(kept)


@pytest.mark.parametrize(
    ("code", "out", "err", "changed", "noticed"),
    [
        (1, "", "error: the table cannot be read: restore it from a backup", [], []),
        (0, "done", "", ["ws/lock"], []),
        (7, "", "error: this is a fault of expunge: KeyError at x.py:3", [], ["exit code 7"]),
        (1, "", "Traceback (most recent call last): and so on and on", [], ["a traceback"]),
        (0, "person-3 is forgotten", "", [], ["an id"]),
        (1, "", "error: KeyError", [], ["no sentence", "the name of a class"]),
        (1, "", "error: ValueError: this and that and nothing more", [], ["the name of a class"]),
        (1, '{"error": "X", "message": "too short"}', "", [], ["no sentence"]),
        (1, "", "error: it cannot be read, and nothing was changed", ["ws/lock"], ["changed ws/lock"]),
    ],
)
def test_the_cases_would_notice(code, out, err, changed, noticed):
    assert border.judged("status", code, out, err, changed) == noticed


def test_the_exit_codes_are_documented():
    page = (ROOT / "docs/command-line.md").read_text()
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", page, flags=re.M)}
    epilog = CliRunner().invoke(app, ["--help"], terminal_width=1000).output.partition("Exit codes:")[2]
    said = {int(code) for code in re.findall(r"(?:^|,)\s*(\d) ", epilog)}
    assert listed == said == {0, *border.CODES, 2, 7}

"""What the command line says and leaves behind: exit 1 means that nothing was changed, secrets show nowhere, and a folder that
cannot be written to can be looked at."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from expunge.cli import app
from expunge.cli.shared import Border
from expunge.data.reading import read_batches
from expunge.data.urls import database_url
from expunge.errors import InvalidRows, WorkspaceInvalid
from expunge.ledger.database import Database
from expunge.ledger.requests import RequestState
from expunge.ledger.sealing import SealKey
from expunge.unlearning.unlearner import Unlearner
from expunge.workspace import Workspace
from expunge.workspace.doctor import CHECKS, DEPTHS
from expunge.workspace.recovery import moved
from expunge.workspace.status import status
from expunge.workspace.storage import Storage
from tests.workspace.people import people, workspace
from tests.workspace.test_workspace import problems

ROOT = Path(__file__).parents[2]


def invoke(*arguments: str, stdin: str | None = None, **environment: str):
    return CliRunner().invoke(app, list(arguments), input=stdin, env=environment)


def in_process(*arguments: str, **options):
    command = [sys.executable, "-m", "expunge", *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **options)


@pytest.fixture
def found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return workspace(tmp_path, models=("churn",))


class TestNothingWasChanged:
    def test_nobody_is_accepted_where_receipts_cannot_be_written(self, found, tmp_path):
        (tmp_path / "receipts").write_text("a file")
        result = invoke("forget", "person-1", "-w", "ws")
        assert result.exit_code == 1
        assert "receipts cannot be written to (file exists): choose another folder" in " ".join(result.stderr.split())
        pq.write_table(people(1, 1), tmp_path / "right.parquet")
        before = found.storage.table.present()
        assert invoke("rectify", "person-0", "--file", "right.parquet", "-w", "ws").exit_code == 1
        assert found.storage.table.present() == before
        assert set(status(found.storage).requests.values()) == {0}

    def test_receipts_are_for_their_owner(self, found, tmp_path):
        pq.write_table(people(1, 1), tmp_path / "right.parquet")
        assert invoke("forget", "person-1", "-w", "ws").exit_code == 0
        assert invoke("rectify", "person-0", "--file", "right.parquet", "-w", "ws").exit_code == 0
        receipts = list((tmp_path / "receipts").iterdir())
        assert len(receipts) == 2
        assert {stat.S_IMODE(path.stat().st_mode) for path in receipts} == {0o600}

    @pytest.mark.parametrize(
        "command", [("certificate", "1", "--out", "out"), ("log", "out"), ("export", "churn", "--out", "out")]
    )
    def test_an_older_file_stays_where_a_new_one_cannot_be_written(self, command, found, tmp_path, monkeypatch):
        def full(_handle: int) -> None:
            raise OSError(28, "No space left on device")

        (tmp_path / "out").write_text("older")
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            result = invoke(*command, "-w", "ws")
        assert result.exit_code == 1
        assert "no space left on device" in result.stderr
        assert (tmp_path / "out").read_text() == "older"
        assert invoke(*command, "-w", "ws").exit_code == 0
        assert (tmp_path / "out").read_text() != "older"
        (tmp_path / "out").unlink()
        (tmp_path / "out").mkdir()
        assert invoke(*command, "-w", "ws").exit_code == 1

    def test_a_draft_is_never_written_over_a_file(self, found, tmp_path):
        (tmp_path / "draft.toml").write_text("mine")
        result = invoke("schema", "propose", "people.parquet", "--subject", "who", "--out", "draft.toml")
        assert result.exit_code == 1
        assert "draft.toml cannot be used: file exists" in result.stderr
        assert (tmp_path / "draft.toml").read_text() == "mine"
        assert not list(tmp_path.glob(".expunge-partial-*"))

    def test_a_result_goes_through_links_and_pipes(self, found, tmp_path):
        (tmp_path / "kept").mkdir()
        (tmp_path / "link").symlink_to("kept/log.json")
        assert invoke("log", "link", "-w", "ws").exit_code == 0
        assert (tmp_path / "link").is_symlink() and (tmp_path / "kept/log.json").stat().st_size
        piped = in_process("log", "/dev/stdout", "-w", "ws", stdout=subprocess.PIPE, cwd=tmp_path)
        assert piped.returncode == 0
        assert piped.stdout.startswith('{"checkpoint"')
        assert Path("/dev/stdout").is_symlink()


class TestDoneButNotAll:
    def test_an_old_state_that_cannot_be_deleted(self, found):
        found.forget(["person-1"])
        assert invoke("process", "--now", "-w", "ws").exit_code == 0
        found.forget(["person-2"])
        found.storage.state_path("churn", 1).mkdir()  # deleted long ago, and deleted once more
        result = invoke("process", "--now", "-w", "ws")
        assert result.exit_code == 6
        said = " ".join(result.stderr.split())
        assert "is done and certified" in said and "1.safetensors: Is a directory" in said and "run expunge process" in said
        found.storage.state_path("churn", 1).rmdir()
        assert invoke("process", "--now", "-w", "ws").exit_code == 0
        assert status(found.storage).requests[RequestState.CLOSED] == 2
        assert problems(found) == {}

    def test_a_correction_says_how_to_get_its_receipt(self, found, tmp_path):
        pq.write_table(people(1, 1), tmp_path / "right.parquet")
        found.refit("churn")
        found.storage.state_path("churn", 1).mkdir()
        result = invoke("rectify", "person-0", "--file", "right.parquet", "-w", "ws")
        assert result.exit_code == 6
        request = " ".join(result.stderr.split()).partition("expunge receipt ")[2].split()[0]
        found.storage.state_path("churn", 1).rmdir()
        made = invoke("receipt", request, "--subject", "-", "-w", "ws", stdin="person-0\n")
        assert made.exit_code == 0, made.output

    def test_a_key_that_is_not_put_away(self, found, monkeypatch):
        unlink = os.unlink

        def failing(path, **more):
            if "signing-" in str(path):
                raise OSError(5, "Input/output error", str(path))
            unlink(path, **more)

        with monkeypatch.context() as patched:
            patched.setattr(os, "unlink", failing)
            result = invoke("rotate-key", "-w", "ws")
        assert result.exit_code == 6
        assert "the new key signs from now on, but the old one could not be removed" in " ".join(result.stderr.split())
        assert invoke("process", "--now", "-w", "ws").exit_code == 0
        assert len(list(found.storage.keys.glob("signing-*"))) == 1

    @pytest.mark.parametrize("command", [("forget", "person-1"), ("token", "issue", "x", "--role", "auditor"), ("status",)])
    @pytest.mark.parametrize("more", [(), ("--json",)])
    def test_a_result_that_nobody_can_read(self, command, more, found, tmp_path):
        with open("/dev/full", "w") as full:
            result = in_process(*command, *more, "-w", "ws", stdout=full, cwd=tmp_path)
        assert result.returncode == 6
        assert "it is done, but the result could not be printed (No space left on device)" in " ".join(result.stderr.split())
        assert "Traceback" not in result.stderr and "Exception" not in result.stderr


class TestTheBorder:
    def test_an_exception_that_nobody_foresaw(self):
        stumbling = typer.Typer(cls=Border, pretty_exceptions_enable=False)

        @stumbling.command()
        def stumble(as_json: bool = typer.Option(False, "--json")) -> None:
            secret = {"id": "person-7"}
            raise KeyError(secret["id"])

        @stumbling.command()
        def number() -> None:
            int("person-7")

        for arguments in (["stumble"], ["stumble", "--json"], ["number"]):
            result = CliRunner().invoke(stumbling, arguments)
            assert result.exit_code == 7
            said = result.stdout + result.stderr
            assert "this is a fault of expunge: " in said and "Error" in said
            assert "person-7" not in said and "Traceback" not in said
            assert len(said.splitlines()) < 6

    def test_a_name_in_brackets_is_text(self, found, tmp_path):
        pq.write_table(people(), tmp_path / "[[red]].parquet")
        result = invoke("append", "[/red].parquet", "-w", "ws")
        assert result.exit_code == 1
        assert "there is no file [/red].parquet" in " ".join(result.stderr.split())
        assert "[bold]" in invoke("token", "issue", "[bold]", "--role", "auditor", "--json", "-w", "ws").stdout
        assert "[bold]" in invoke("token", "list", "-w", "ws").stdout


class TestSecrets:
    def test_ids_by_standard_input(self, found, tmp_path):
        result = invoke("forget", "--file", "-", "--json", "-w", "ws", stdin="person-1\nperson-2\n\n")
        assert result.exit_code == 0
        assert [answer["state"] for answer in json.loads(result.stdout)] == ["accepted"] * 2
        pq.write_table(people(1, 1), tmp_path / "right.parquet")
        result = invoke("rectify", "-", "--file", "right.parquet", "-w", "ws", stdin="person-0\n")
        assert result.exit_code == 0, result.output
        nobody = invoke("rectify", "-", "--file", "right.parquet", "-w", "ws", stdin="")
        assert nobody.exit_code == 1
        assert "no subject was given" in nobody.stderr
        (tmp_path / "ids.bin").write_bytes(b"\xff\xfeperson-3\n")
        mangled = invoke("forget", "--file", "ids.bin", "-w", "ws")
        assert mangled.exit_code == 1
        assert "ids.bin: the list is not UTF-8 text" in mangled.stderr

    def test_urls_by_the_environment(self, tmp_path, monkeypatch, postgresql):
        monkeypatch.chdir(tmp_path)
        pq.write_table(people(), tmp_path / "people.parquet")
        url = postgresql.new_database()
        result = invoke("init", "ws", "--subject", "who", EXPUNGE_DATA="people.parquet", EXPUNGE_DATABASE=url)
        assert result.exit_code == 0, result.output
        assert Workspace.open("ws").storage.configuration.database == url
        assert stat.S_IMODE((tmp_path / "ws/workspace.toml").stat().st_mode) == 0o600

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql+psycopg://somebody:{}@127.0.0.1:1/x",
            "postgresql+psycopg://somebody:{}@nowhere.invalid/x",
            "postgresql+psycopg://somebody:{}@@127.0.0.1:1/x",
            "postgresql+psycopg://somebody:a/{}@127.0.0.1:1/x",
            "postgresql+psycopg://somebody:a@{}@127.0.0.1:1/x",
            "postgresql+psycopg://somebody:{}@127.0.0.1:port/x",
            "postgresql+psycopg://somebody@127.0.0.1:1/x?password={}",
            "oracle+{}://somebody:{}@h/x",
            "{}",
        ],
    )
    def test_a_password_shows_nowhere(self, url, found, tmp_path):
        url = url.replace("{}", "sesame")
        made = invoke("init", "new", "--subject", "who", EXPUNGE_DATA="people.parquet", EXPUNGE_DATABASE=url)
        queried = invoke("init", "new", "--subject", "who", "--query", "SELECT 1", EXPUNGE_DATA=url)
        settings = found.storage.configuration_path
        settings.write_text(f"database = {json.dumps(url)}\n")
        for result in (made, queried, *(invoke(command, "-w", "ws") for command in ("status", "doctor", "process"))):
            assert result.exit_code in (1, 4), result.output
            assert "sesame" not in result.output
        with pytest.raises((InvalidRows, WorkspaceInvalid)) as refused:
            read_batches(url, "SELECT 1")
        assert "sesame" not in str(refused.value)
        settings.write_text(f"database = [{json.dumps(url)}]\n")
        assert "sesame" not in invoke("status", "-w", "ws").output

    def test_a_url_is_read_or_refused(self):
        assert database_url("postgresql+psycopg://u:p%40ss@h/d").password == "p@ss"
        for text in ("", "nonsense", "postgresql+psycopg://u:p@ss@h/d", "no://h/d"):
            with pytest.raises(ValueError, match="%40 for @"):
                database_url(text)
        with pytest.raises(WorkspaceInvalid, match="%40 for @"):
            Database("postgresql+psycopg://u:p@ss@h/d", SealKey(b"0" * 32))


class TestModes:
    def test_all_that_a_workspace_holds_is_for_its_owner(self, found):
        found.forget(["person-1"])
        found.process()
        found.rotate_key()
        assert problems(found) == {}
        public = {"expunge.pub", "checkpoint.json"}
        for path in (found.storage.path, *found.storage.path.rglob("*")):
            if path.name not in public:
                assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path

    @pytest.mark.parametrize(
        "loose", ["ledger.witness", "workspace.toml", "keys", "models/churn", "table/_delta_log/00000000000000000000.json", "."]
    )
    def test_the_doctor_names_what_others_may_see(self, loose, found):
        path = found.storage.path / loose
        path.chmod(0o755 if path.is_dir() else 0o640)
        problem = problems(found)["private files are readable by their owner alone"]
        assert f"{path} is open to others" in problem
        assert f"chmod {'700' if path.is_dir() else '600'} {path}" in problem
        subprocess.run(problem.partition(": ")[2].partition(";")[0], shell=True, check=True)
        assert problems(found) == {}
        found.storage.public_key_path.chmod(0o644)
        found.storage.checkpoint_path.chmod(0o644)
        assert problems(found) == {}


class TestTheDoctor:
    """Looks as deep as is asked for, and says what to do about each finding."""

    def examined(self, depth: str, code: int = 0) -> dict[str, dict]:
        result = invoke("doctor", "--depth", depth, "--json", "-w", "ws")
        assert result.exit_code == code, result.output
        return {finding["check"]: finding for finding in json.loads(result.stdout)}

    def test_each_depth_looks_at_more_than_the_one_before(self, found):
        found.forget(["person-1"])
        found.process()
        seen = [set(self.examined(depth)) for depth in DEPTHS]
        assert all(one < other for one, other in pairwise(seen))
        assert (
            seen[1]
            == set(self.examined("minutes"))
            == {finding["check"] for finding in json.loads(invoke("doctor", "--json", "-w", "ws").stdout)}
        )
        assert "depth must be one of seconds, minutes" in invoke("doctor", "--depth", "hours", "-w", "ws").stderr

    @pytest.mark.parametrize(("depth", "before"), [("minutes", "seconds"), ("everything", "models")])
    def test_what_a_depth_finds_is_named_with_its_remedy(self, depth, before, found, monkeypatch):
        if depth == "minutes":
            path = found.storage.table.path / found.storage.table.present()[0].path
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
            check, what = "the table is the one the ledger knows", "is not the one that was written"
        else:
            monkeypatch.setattr(Unlearner, "true_distance", lambda _self, _source: 1.0)  # as if a bound had been too small
            check, what = "every model is as near to a retrained one as certified", "churn is 1 from the model retrained"
        assert {finding["problem"] for finding in self.examined(before).values()} == {None}
        told = self.examined(depth, code=4)[check]
        assert what in told["problem"] and "run expunge re" in told["remedy"]
        said = " ".join(invoke("doctor", "--depth", depth, "-w", "ws").output.split())
        assert f"PROBLEM {check}" in said and f"to do: {told['remedy']}" in said

    def test_every_check_has_a_remedy(self):
        assert {depth for _name, depth, _check, _remedy in CHECKS} == set(DEPTHS)
        assert all(len(remedy.split()) > 2 for *_rest, remedy in CHECKS)


LOOKING = """
import json, os, sys
from typer.testing import CliRunner
from expunge.cli import app

given = json.loads(sys.argv[1])
for arguments in given:  # on a twin, so that all is loaded: root's Python cannot be read by others
    CliRunner().invoke(app, [word.replace("/ws", "/twin").replace("/out", "/twin") for word in arguments])
os.setuid(65534)
for arguments in given:
    result = CliRunner().invoke(app, arguments)
    print(json.dumps([result.exit_code, result.output]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not write")
def test_a_folder_that_can_only_be_read():
    with tempfile.TemporaryDirectory() as name:  # pytest's own are for root alone
        folder = Path(name)
        found = workspace(folder, models=("churn",))
        found.forget(["person-1"])
        found.process()
        (waiting,) = found.forget(["person-3"])
        ws = str(found.storage.path)
        assert invoke("certificate", "1", "--out", f"{folder}/c.json", "-w", ws).exit_code == 0
        found.storage.database.close()
        shutil.copytree(ws, folder / "twin")
        moved(Storage(folder / "twin"))
        expected = {
            ("status", "-w", ws): 0,
            ("releases", "-w", ws): 0,
            ("certificate", "1", "-w", ws): 0,
            ("log", f"{folder}/out/log.json", "-w", ws): 0,
            ("verify", f"{folder}/c.json", "--key", f"{ws}/expunge.pub"): 0,
            ("capacity", "churn", "-w", ws): 0,
            ("token", "list", "-w", ws): 0,
            ("export", "churn", "--out", f"{folder}/out/model.json", "-w", ws): 0,
            ("predict", "churn", f"{folder}/people.parquet", "--out", f"{folder}/out/predictions.csv", "-w", ws): 0,
            ("doctor", "-w", ws): 0,
            ("process", "--now", "-w", ws): 1,
            ("forget", "person-2", "--receipts", f"{folder}/out", "-w", ws): 1,
            ("cancel", waiting.request, "-w", ws): 1,
        }
        (folder / "out").mkdir()
        folder.chmod(0o755)
        (folder / "c.json").chmod(0o644)
        for path in (folder / "out", Path(ws), *Path(ws).rglob("*")):
            os.chown(path, 65534, 65534)
            path.chmod(0o500 if path.is_dir() else 0o400)
        (folder / "out").chmod(0o700)
        before = {path: path.read_bytes() for path in Path(ws).rglob("*") if path.is_file()}
        command = [sys.executable, "-c", LOOKING, json.dumps(list(expected))]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        for (arguments, code), (found_code, said) in zip(expected.items(), answers, strict=True):
            assert found_code == code, (arguments, said)
            assert code == 0 or "nothing was changed" in " ".join(said.lower().split()), (arguments, said)
        assert {path: path.read_bytes() for path in Path(ws).rglob("*") if path.is_file()} == before

"""Backups are whole or not there; restoring one brings nobody back, and spends no budget twice."""

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from expunge.cli import app
from expunge.errors import LedgerCorrupt, WorkspaceInvalid
from expunge.evidence.events import EventKind
from expunge.files import PARTIAL
from expunge.ledger import batches, log, register, releases, requests, times
from expunge.ledger.batches import BatchKind
from expunge.ledger.properties import set_property
from expunge.ledger.restores import Restored
from expunge.workspace import Workspace, recovery, states
from expunge.workspace.backup import back_up
from expunge.workspace.restoring import restore
from expunge.workspace.status import status
from expunge.workspace.storage import Storage
from tests.conftest import SOAK
from tests.workspace.people import people, workspace
from tests.workspace.test_workspace import problems

ROOT = Path(__file__).parents[2]


def anchored(folder: Path, *, url: str = "", model: bool = True, database: str | None = None) -> Workspace:
    """A workspace with an anchor."""
    made = workspace(folder, models=False, table=people(80, 50), database=database)
    settings = made.storage.configuration_path
    settings.write_text(settings.read_text().replace('anchor = ""', f'anchor = "{url or folder / "anchor.json"}"'))
    made = Workspace.open(folder / "ws")
    if model:
        made.fit("visits", "visits", model="ridge", sigma=0.05)
    return made


def forgotten(found: Workspace, *people: str) -> None:
    found.forget(people)
    assert found.process().problems == {}


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.output.split())


def test_every_step_of_the_runbook(tmp_path, monkeypatch):
    (tmp_path / "safe").mkdir()
    rng = np.random.default_rng(0)
    rows = ["patient,age,days", *(f"{i},{rng.integers(20, 90)},{rng.integers(1, 15)}" for i in range(60))]
    (tmp_path / "patients.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schema.toml").write_text('normalise = true\n\n[columns."age"]\nkind = "number"\nlow = 0\nhigh = 100\n')
    init = ("init", "ws", "--data", "patients.csv", "--subject", "patient", "--schema", "schema.toml")
    assert run(*init)[0] == 0
    assert run("fit", "days", "--target", "days", "--model", "ridge", "--sigma", "0.5", "-w", "ws")[0] == 0
    blocks = re.findall(r"^```bash\n(.*?)^```", (ROOT / "docs/backup.md").read_text(), flags=re.M | re.S)
    assert len(blocks) == 7
    for line in "".join(blocks).splitlines():
        command, _, expected = line.replace("/mnt/safe", str(tmp_path / "safe")).partition("   # exits with ")
        if command.startswith("expunge "):
            code, output = run(*command.removeprefix("expunge ").split())
        else:
            done = subprocess.run(command, shell=True, check=False, capture_output=True, text=True)
            code, output = done.returncode, done.stderr
        assert code == int(expected or 0), (line, output)
    found = Workspace.open("ws")
    assert [answer.reason for answer in found.forget(["17", "31"])] == ["already-forgotten", "already-forgotten"]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_backup_while_requests_come_in(kind, tmp_path, request):
    server = None if kind == "sqlite" else request.getfixturevalue("postgresql")
    found = anchored(tmp_path, model=False, database=server and server.new_database())
    source = (
        "import sys\nfrom expunge.workspace import Workspace\nfound = Workspace.open(sys.argv[1])\n"
        "for i in range(40):\n    print(found.forget([f'person-{i}'])[0].request, flush=True)"
    )
    command = [sys.executable, "-c", source, str(found.storage.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        before = [asking.stdout.readline().strip() for _ in range(5)]
        back_up(found.storage, tmp_path / "monday")
        asked = len(before) + len(asking.stdout.read().split())
    assert asked == 40
    found.process()
    modes = {path.stat().st_mode & 0o077 for path in (tmp_path / "monday").rglob("*")}
    assert modes == {0}
    found.storage.database.close()
    shutil.move(found.storage.path, tmp_path / "lost")
    result = restore(tmp_path / "monday", tmp_path / "ws", database=server and server.new_database())
    assert (result.again, result.noted, result.lost) == (40, 0, ())
    again = Workspace.open(tmp_path / "ws")
    with again.storage.database.reading() as connection:
        assert all(requests.by_id(connection, name) is not None for name in before)
    assert again.process().closed == 40
    assert again.storage.table.count() == sum(int(who.split("-")[1]) >= 40 for who in people(80, 50)["who"].to_pylist())
    assert problems(again) == {}


@pytest.mark.parametrize(("kind", "rounds"), [("backup", 3), ("restore", 3), ("restore to PostgreSQL", 3)])
def test_kill_nine(kind, rounds, tmp_path, request, forks, record_property):
    rounds *= SOAK
    databases = []
    if "PostgreSQL" in kind:
        databases = [request.getfixturevalue("postgresql").new_database() for _ in range(rounds + 1)]
    results = forks.play(tmp_path, "tests.integrity.keeping", tmp_path, kind.split()[0], rounds, *databases)
    bad = sum(bool(result["problem"]) for result in results)
    record_property("figures", f"{kind}: {sum(result['killed'] for result in results)} kills, {bad} lost or broken")
    assert [result for result in results if result["problem"]] == []
    assert sum(result["killed"] for result in results) == rounds


def test_one_that_was_interrupted_before_its_marker_was_whole_is_begun_anew(tmp_path):
    found = anchored(tmp_path, model=False)
    left = tmp_path / "monday.unfinished"
    left.mkdir()
    (left / f"{PARTIAL}ab12cd").write_text("{")
    back_up(found.storage, tmp_path / "monday")
    assert not left.exists()
    theirs = tmp_path / "tuesday.unfinished/of somebody else"
    theirs.parent.mkdir()
    theirs.touch()
    with pytest.raises(WorkspaceInvalid, match="is in the way"):
        back_up(found.storage, tmp_path / "tuesday")
    assert theirs.exists()


def test_restoring_forgets_again_and_treats_budgets_as_spent(tmp_path):
    found = anchored(tmp_path)
    forgotten(found, "person-1")
    found.forget(["person-2"])
    back_up(found.storage, tmp_path / "monday")
    found.append(str(newcomers(tmp_path)))
    forgotten(found, "person-3", "new-0")
    (lost,) = found.forget(["person-4"])
    found.refit("visits")
    before = size_and_root(found)
    shutil.move(found.storage.path, tmp_path / "lost")

    code, output = run("restore", tmp_path / "monday", "-w", tmp_path / "ws")
    assert code == 0, output
    assert "2 people in the table were forgotten since; 1 more" in output
    assert f"1 open requests are lost and must be made again: {lost.request}" in output
    again = Workspace.open(tmp_path / "ws")
    with again.storage.database.reading() as connection:
        (event,) = log.of_kind(connection, EventKind.WORKSPACE_RESTORED)
        last = releases.current(connection, "visits")
        state = states.load(again.storage, connection, "visits")
    assert event.content["gives_up"] == {"size": before[0], "root": before[1]}
    evidence = json.loads(last.evidence)
    assert evidence["rung"] == "refit"
    assert evidence["mu_total"] == pytest.approx(state.settings.guarantee.mu, rel=1e-6)
    assert state._secret.budget.restores == 1
    assert state._secret.budget.mu_left() == 0.0
    told = [answer.reason for answer in again.forget([f"person-{i}" for i in (1, 2, 3)] + ["new-0"])]
    assert told == ["already-forgotten"] * 4
    assert problems(again) == {}
    forgotten(again, "person-5")
    with again.storage.database.reading() as connection:
        assert releases.current(connection, "visits").figures.rung == "refit"
    assert again.refit("visits").release.certificate.requests > 0, "it is charged: the schedule has not come"


def test_a_restored_model_keeps_the_days_of_its_schedule(tmp_path):
    found = anchored(tmp_path, model=False)
    settings = found.storage.configuration_path
    settings.write_text(settings.read_text().replace("refit_days = 1\n", "refit_days = 30\n"))
    found = Workspace.open(tmp_path / "ws")
    found.fit("visits", "visits", model="ridge", sigma=0.05)
    forgotten(found, "person-1")
    with found.storage.database.writing() as connection:
        Restored(1, date(2030, 1, 20), 99).note(connection)
    (model,) = status(found.storage).models
    due, began = date.fromisoformat(model.next_refit.day), date.fromisoformat(model.at[:10])
    assert due > date(2030, 1, 20)
    assert (due - began).days % 30 == 0
    with found.storage.database.reading() as connection:
        state = states.load(found.storage, connection, "visits")
    assert not state.is_refit_due


def newcomers(folder: Path) -> Path:
    path = folder / "new.csv"
    path.write_text("who,age,job,tenure,churn,visits,spend\n" + "".join(f"new-{i},30,clerk,{i},no,1,2.0\n" for i in range(3)))
    return path


def size_and_root(found: Workspace) -> tuple[int, str]:
    head = json.loads((found.storage.path.parent / "anchor.json").read_text())["checkpoint"]
    with found.storage.database.reading() as connection:
        predicate = found.storage.public_keys(connection).verified(head, "urn:expunge:checkpoint:v1").predicate
    return predicate["size"], predicate["root"]


class TestTwoLiveCopies:
    def test_the_original_is_still_there(self, tmp_path):
        found = anchored(tmp_path, model=False)
        back_up(found.storage, tmp_path / "monday")
        code, output = run("restore", tmp_path / "monday", "-w", tmp_path / "new")
        assert (code, "is still in use" in output) == (1, True)
        assert not (tmp_path / "new").exists()

    def test_the_original_comes_back(self, tmp_path):
        found = anchored(tmp_path, model=False)
        back_up(found.storage, tmp_path / "monday")
        shutil.move(found.storage.path, tmp_path / "lost")
        restore(tmp_path / "monday", tmp_path / "ws")
        for command in (["status"], ["process"], ["recover", "--older"], ["recover", "--moved"], ["recover", "--anchors"]):
            code, output = run(*command, "-w", tmp_path / "lost")
            assert (code, "another copy of this workspace" in output) == (1, True), output
        code, output = run("recover", "-w", tmp_path / "lost")
        assert (code, "nothing that can be confirmed" in output) == (4, True)

    def test_two_restores_of_one_backup(self, tmp_path):
        found = anchored(tmp_path, model=False)
        back_up(found.storage, tmp_path / "monday")
        shutil.move(found.storage.path, tmp_path / "lost")
        restore(tmp_path / "monday", tmp_path / "first")
        code, output = run("restore", tmp_path / "monday", "-w", tmp_path / "second")
        assert code == 1
        instance = re.findall(r"--replaces (\w+)", output)[0]
        assert run("restore", tmp_path / "monday", "-w", tmp_path / "second", "--replaces", instance)[0] == 0
        with pytest.raises(LedgerCorrupt, match="another copy"):
            Workspace.open(tmp_path / "first").process()
        with Storage(tmp_path / "second").database.reading() as connection:
            assert Restored.last(connection).count == 2


def test_an_anchor_that_is_gone_for_good(tmp_path):
    found = anchored(tmp_path, model=False)
    forgotten(found, "person-1")
    back_up(found.storage, tmp_path / "monday")
    forgotten(found, "person-2")
    shutil.move(found.storage.path, tmp_path / "lost")
    (tmp_path / "anchor.json").unlink()
    code, output = run("restore", tmp_path / "monday", "-w", tmp_path / "ws")
    assert (code, "--no-anchor" in output) == (1, True)
    code, output = run("restore", tmp_path / "monday", "-w", tmp_path / "ws", "--no-anchor")
    assert (code, "nobody knows who was forgotten since" in output) == (0, True), output
    again = Workspace.open(tmp_path / "ws")
    assert [answer.state for answer in again.forget(["person-1", "person-2"])] == ["refused", "accepted"]
    forgotten(again)
    assert problems(again) == {}


def test_a_key_that_was_rotated_since(tmp_path):
    found = anchored(tmp_path, model=False)
    back_up(found.storage, tmp_path / "monday")
    found.rotate_key()
    forgotten(found, "person-1")
    shutil.move(found.storage.path, tmp_path / "lost")
    code, output = run("restore", tmp_path / "monday", "-w", tmp_path / "ws")
    assert (code, "run expunge rotate-key" in output) == (0, True), output
    assert run("rotate-key", "-w", tmp_path / "ws")[0] == 0
    assert problems(Workspace.open(tmp_path / "ws")) == {}


class TestWhatIsRefused:
    @pytest.mark.parametrize("name", ["schema.toml", "ledger.sqlite", "keys/subject.key", "backup.json", "table"])
    def test_a_backup_that_was_altered(self, name, tmp_path):
        found = anchored(tmp_path, model=False)
        back_up(found.storage, tmp_path / "monday")
        shutil.move(found.storage.path, tmp_path / "lost")
        path = tmp_path / "monday" / name
        path = next(path.rglob("*.parquet")) if path.is_dir() else path
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(WorkspaceInvalid, match="another backup"):
            restore(tmp_path / "monday", tmp_path / "ws")
        assert not (tmp_path / "ws").exists()

    def test_a_folder_that_is_not_empty_and_one_in_the_workspace(self, tmp_path):
        found = anchored(tmp_path, model=False)
        for folder in (tmp_path, found.storage.path / "inside", found.storage.path):
            assert run("backup", folder, "-w", found.storage.path)[0] == 1
        assert problems(found) == {}

    def test_a_database_that_is_in_use(self, tmp_path, postgresql):
        url = postgresql.new_database()
        found = anchored(tmp_path, model=False, database=url)
        back_up(found.storage, tmp_path / "monday")
        shutil.move(found.storage.path, tmp_path / "lost")
        with pytest.raises(WorkspaceInvalid, match="already holds a ledger"):
            restore(tmp_path / "monday", tmp_path / "ws", database=url)
        shutil.move(tmp_path / "lost", found.storage.path)
        assert problems(Workspace.open(found.storage.path)) == {}

    def test_a_backup_is_no_workspace(self, tmp_path):
        found = anchored(tmp_path, model=False)
        back_up(found.storage, tmp_path / "monday")
        code, output = run("status", "-w", tmp_path / "monday")
        assert (code, "is a backup" in output) == (1, True)


class TestAnchor:
    def test_yesterdays_folder_is_noticed_at_the_first_command(self, tmp_path):
        found = anchored(tmp_path, model=False)
        forgotten(found, "person-1")
        found.storage.database.close()
        shutil.copytree(found.storage.path, tmp_path / "yesterday")
        forgotten(found, "person-2")
        found.storage.database.close()
        (tmp_path / "yesterday" / "lock").unlink()
        for path in found.storage.path.iterdir():  # the folder itself stays, so that nothing but the days differs
            if path.name != "lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(tmp_path / "yesterday", found.storage.path, dirs_exist_ok=True)
        for command in (["status"], ["forget", "person-3"], ["process"], ["releases"]):
            code, output = run(*command, "-w", found.storage.path)
            assert (code, "older than its anchor" in output) == (1, True), output
        code, output = run("recover", "-w", found.storage.path)
        assert (code, "expunge recover --older" in output) == (4, True)
        assert run("recover", "--older", "-w", found.storage.path)[0] == 0
        assert Workspace.open(found.storage.path).forget(["person-2"])[0].reason == "already-forgotten"

    def test_while_it_cannot_be_reached_batches_wait_and_the_desk_goes_on(self, tmp_path):
        found = anchored(tmp_path, url="nowhere://somewhere/else", model=False)
        storage = found.storage.path
        assert run("forget", "person-1", "--receipts", tmp_path, "-w", storage)[0] == 0
        assert run("status", "-w", storage)[0] == 0
        code, output = run("process", "--now", "-w", storage)
        assert (code, "the anchor cannot be reached" in output) == (1, True)
        with found.storage.database.reading() as connection:
            assert register.counts(connection) == {"accepted": 1}

    def test_rounds_that_find_nothing_to_do_leave_it_alone(self, tmp_path):
        found = anchored(tmp_path, model=False)
        forgotten(found, "person-1")
        found.process(is_due=True)
        anchor = tmp_path / "anchor.json"
        right = anchor.read_text()
        anchor.write_text(right.replace('"serial":', '"serial":1'))
        for _ in range(3):
            assert found.process(is_due=True).closed == 0
        with pytest.raises(LedgerCorrupt, match="the anchor was altered"):
            found.process()  # by hand it always is read
        found.forget(["person-2"])
        with pytest.raises(LedgerCorrupt, match="the anchor was altered"):
            found.process(is_due=True)
        anchor.write_text(right)
        assert found.process(is_due=True).closed == 1 and anchor.read_text() != right

    @pytest.mark.parametrize("change", ["settings", "day", "batch"])
    def test_it_is_read_before_anything_is_written(self, change, tmp_path):
        found = anchored(tmp_path, model=False)
        forgotten(found, "person-1")
        settings = found.storage.configuration_path
        if change == "settings":
            settings.write_text(settings.read_text().replace("compare_days = 30", "compare_days = 20"))
        else:
            with found.storage.database.writing() as connection:
                if change == "day":
                    set_property(connection, log.SEEN, "2026-01-01T00:00:00+00:00")
                else:
                    batches.begin(connection, BatchKind.APPEND, [], times.published())
        (tmp_path / "anchor.json").write_text("{}")
        with pytest.raises(LedgerCorrupt, match="the anchor was altered"):
            found.process(is_due=True)

    def test_any_store_of_fsspec(self, tmp_path):
        found = anchored(tmp_path, url=f"memory://{tmp_path.name}/anchor.json", model=False)
        forgotten(found, "person-1")
        assert run("doctor", "-w", found.storage.path)[0] == 0
        assert run("recover", "-w", found.storage.path) == (0, "nothing stands in the way")

    def test_one_that_was_altered_or_is_of_another_workspace(self, tmp_path):
        found = anchored(tmp_path, model=False)
        found.process()
        anchor = tmp_path / "anchor.json"
        right = anchor.read_text()
        anchor.write_text(right.replace('"serial":', '"serial":1'))
        code, output = run("status", "-w", found.storage.path)
        assert (code, "was altered" in output) == (1, True)
        assert "expunge recover --anchors" in run("recover", "-w", found.storage.path)[1]
        assert run("recover", "--anchors", "-w", found.storage.path)[0] == 0
        assert run("status", "-w", found.storage.path)[0] == 0

    def test_it_knows_of_the_forgotten_before_they_are_erased(self, tmp_path):
        found = anchored(tmp_path, model=False)
        found.process()
        (answer,) = found.forget(["person-1"])
        tag = found.storage.subject_key.pseudonym("person-1")
        source = (
            "import os, sys\nfrom expunge.workspace import Workspace\n"
            "def killing(frame, _event, _argument):\n"
            "    if frame.f_code.co_name == 'delete' and frame.f_code.co_filename.endswith('data/table_files.py'):\n"
            "        os.kill(os.getpid(), 9)\n"
            "found = Workspace.open(sys.argv[1])\nsys.settrace(killing)\nfound.process()"
        )
        killed = subprocess.run([sys.executable, "-c", source, str(found.storage.path)], check=False)
        assert killed.returncode == -9
        with found.storage.database.reading() as connection:
            assert requests.by_id(connection, answer.request).state == "certified"
        anchor = json.loads((tmp_path / "anchor.json").read_text())
        assert (anchor["forgotten"], anchor["open"]) == ([found.storage.subject_key.tombstone(tag)], [])
        assert found.process().problems == {}
        assert problems(found) == {}

    def test_one_that_is_gone_stops_batches(self, tmp_path):
        found = anchored(tmp_path, model=False)
        found.process()
        (tmp_path / "anchor.json").unlink()
        found.forget(["person-1"])
        with pytest.raises(WorkspaceInvalid, match="not where it was written"):
            found.process()

    def test_no_anchor_is_a_warning(self, tmp_path):
        found = workspace(tmp_path, models=False)
        code, output = run("doctor", "-w", found.storage.path)
        assert (code, "no anchor is set" in output) == (0, True)
        assert "no anchor is set" in run("status", "-w", found.storage.path)[1]


class TestRecover:
    def test_without_a_witness(self, tmp_path):
        found = anchored(tmp_path)
        found.storage.witness_path.unlink()
        assert "expunge recover --older" in run("recover", "-w", found.storage.path)[1]
        assert run("recover", "--older", "-w", found.storage.path)[0] == 0
        again = Workspace.open(found.storage.path)
        with again.storage.database.reading() as connection:
            assert states.load(again.storage, connection, "visits")._secret.budget.mu_left() == 0.0
        assert problems(again) == {}

    def test_an_older_ledger_under_a_newer_folder_is_not_gone_on_with(self, tmp_path):
        found = anchored(tmp_path)
        found.storage.database.close()
        shutil.copy(found.storage.path / "ledger.sqlite", tmp_path / "old")
        forgotten(found, "person-1")
        found.storage.database.close()
        shutil.copy(tmp_path / "old", found.storage.path / "ledger.sqlite")
        code, output = run("recover", "--older", "-w", found.storage.path)
        assert (code, "from different days" in output) == (1, True), output

    def test_the_clock(self, tmp_path, monkeypatch):
        found = anchored(tmp_path, model=False)
        back_up(found.storage, tmp_path / "monday")
        later = times.now() + timedelta(60)
        monkeypatch.setattr(times, "now", lambda: later)
        assert "expunge recover --clock" in run("recover", "-w", found.storage.path)[1]
        assert run("recover", "--clock", "-w", found.storage.path) == (0, "nothing stands in the way")
        found.storage.database.close()
        shutil.move(found.storage.path, tmp_path / "lost")
        code, output = run("restore", tmp_path / "monday", "-w", tmp_path / "new")
        assert (code, "give --clock" in output) == (1, True)
        assert run("restore", tmp_path / "monday", "-w", tmp_path / "new", "--clock")[0] == 0

    def test_one_flag_at_a_time(self, tmp_path):
        found = anchored(tmp_path, model=False)
        assert run("recover", "--older", "--moved", "-w", found.storage.path)[0] == 1
        assert recovery.diagnose(found.storage) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not write")
def test_a_backup_where_nobody_may_write(tmp_path):
    found = anchored(tmp_path, model=False)
    (tmp_path / "file").touch()
    code, output = run("backup", tmp_path / "file" / "monday", "-w", found.storage.path)
    assert (code, "nothing was changed" in output) == (1, True), output

"""Whatever happens in between, nothing acknowledged is lost and nothing is half done."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from expunge.data.own_columns import bucket_of
from expunge.errors import LedgerCorrupt, WorkspaceInvalid
from expunge.evidence.events import EventKind
from expunge.ledger import log
from expunge.ledger.requests import RequestState
from expunge.ledger.tables import events
from expunge.workspace import Workspace
from expunge.workspace.status import status
from tests.conftest import SOAK
from tests.workspace.people import workspace
from tests.workspace.test_workspace import problems

ROOT = Path(__file__).parents[2]


@pytest.fixture
def rounds(forks, tmp_path):
    """``rounds(operation, count, …)``: plays that many, and tells what became of each, and all in one line."""

    def rounds(operation: str, count: int, *more: str) -> tuple[list[dict], str]:
        moments, *found = forks.play(tmp_path, "tests.workspace.crashes", tmp_path, operation, count, 0, *more)
        killed, bad = sum(result["killed"] for result in found), sum(bool(result["problem"]) for result in found)
        return found, f"{operation}: {moments['moments']} moments, {len(found)} rounds, {killed} kills, {bad} lost or broken"

    return rounds


# half of the rounds are killed at a moment, an eighth has a disk that fills up; in `make soak` twenty times as many, and a kill
# at every moment that there is
@pytest.mark.parametrize(
    ("operation", "count"),
    [
        ("forget", 8),
        ("append", 8),
        ("rectify", 8),
        ("aside", 4),
        ("cancel", 4),
        ("draft", 4),
        ("fit", 4),
        ("init", 4),
        ("lift", 2),
        ("init again", 4),
        ("recover anchors", 4),
        ("recover moved", 4),
        ("recover older", 4),
        ("refit", 4),
        ("replace", 4),
        ("restrict", 2),
        ("retire", 4),
        ("rotate", 4),
        ("row-key", 4),
        ("scheduled", 8),
        ("suppress", 4),
        ("token", 4),
        ("upsert", 4),
        ("widen", 4),
    ],
)
def test_kill_nine_and_disk_full(operation, count, rounds, record_property):
    played, figures = rounds(operation, count * SOAK, *(["every"] if SOAK > 1 else []))
    record_property("figures", figures)
    assert [result for result in played if result["problem"] or (result["failed"] and result["kind"] != "disk-full")] == []
    at_moments = [result for result in played if result["kind"] == "event"]
    assert sum(result["killed"] for result in at_moments) > 0.9 * len(at_moments) - 1  # one may not come to its moment
    assert sum(result["killed"] for result in played) > 0.6 * len(played) - 1  # and so here


@pytest.mark.parametrize(
    ("operation", "plant"),
    [("forget", "no-rollback"), ("forget", "no-erasure"), ("cancel", "late-witness"), ("init", "no-clearing")],
)
def test_the_rounds_would_notice(operation, plant, rounds):
    if plant == "no-erasure":  # noticed in the round that is not killed, which ends the play
        with pytest.raises(AssertionError, match="does not belong to the workspace"):
            rounds(operation, 4, plant)
    else:
        assert any(result["problem"] for result in rounds(operation, 16, plant)[0])


def test_two_processes_at_once(tmp_path):
    found = workspace(tmp_path)
    found.forget([f"person-{i}" for i in range(10)])
    command = [sys.executable, "-m", "expunge", "process", "--now", "-w", str(found.storage.path), "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    closed = sorted(json.loads(process.communicate()[0])["closed"] for process in both)
    assert closed == [0, 10]
    assert problems(found) == {}


def test_many_ask_at_once(tmp_path):
    found = workspace(tmp_path, models=False)
    asked = [
        [sys.executable, "-m", "expunge", "forget", f"person-{i}", "person-0", "--json", "-w", str(found.storage.path)]
        for i in range(1, 5)
    ]
    all_of_them = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) for command in asked]
    answers = [json.loads(process.communicate()[0]) for process in all_of_them]
    assert len({answer[1]["request"] for answer in answers}) == 1  # person-0 asked once, whoever came first
    assert len({answer[0]["request"] for answer in answers}) == 4
    assert found.process().closed == 5


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not write")
def test_a_folder_that_cannot_be_written(tmp_path):
    found = workspace(tmp_path)
    found.forget(["person-1"])
    for path in [tmp_path, *tmp_path.parents]:
        if path.stat().st_uid == 0 and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    for path in found.storage.path.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    found.storage.path.chmod(0o755)
    source = (
        "import os\nfrom expunge.cli import app\nimport expunge.workspace.workspace, deltalake, duckdb\n"
        "import dp_accounting, expunge.linear_model, scipy.optimize, scipy.stats\nos.setuid(65534)\n"
        f"app(['process', '-w', {str(found.storage.path)!r}, '--json'])"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 1, done.stderr + done.stdout
    assert "cannot be written" in json.loads(done.stdout)["message"], done.stderr
    assert found.process().closed == 1


def test_postgresql_restarted_in_the_middle(tmp_path, postgresql):
    found = workspace(tmp_path, models=False, database=postgresql.new_database())
    with found.storage.database.reading() as connection:
        before = connection.execute(sa.select(sa.func.count()).select_from(events)).scalar_one()

    def interrupted() -> None:
        with found.storage.database.writing() as connection:
            log.append(connection, EventKind.CLOCK_CONFIRMED, [{}])
            postgresql.stop()
            postgresql.start()
            log.append(connection, EventKind.CLOCK_CONFIRMED, [{}])

    with pytest.raises(WorkspaceInvalid, match="cannot be used"):
        interrupted()
    with found.storage.database.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(events)).scalar_one() == before
    assert found.forget(["person-1"])[0].state == "accepted"
    postgresql.stop()
    with pytest.raises(WorkspaceInvalid, match="cannot be used"):
        found.process()
    postgresql.start()
    assert found.process().closed == 1
    assert problems(found) == {}


class TestDamage:
    @pytest.mark.parametrize("at", [0, 100, 4096])
    def test_of_the_database(self, at, tmp_path):
        found = workspace(tmp_path, models=False)
        found.storage.database.close()
        path = found.storage.path / "ledger.sqlite"
        content = bytearray(path.read_bytes())
        content[at : at + 2000] = b"\xff" * 2000
        path.write_bytes(content)
        found = Workspace.open(found.storage.path)
        with pytest.raises((LedgerCorrupt, WorkspaceInvalid), match=r"damaged|restore|cannot be used"):
            found.storage.database.verify()
        assert path.read_bytes() == content

    def test_of_the_ledger_file(self, tmp_path):
        found = workspace(tmp_path, models=False)
        found.storage.database.close()
        (found.storage.path / "ledger.sqlite").unlink()
        with pytest.raises(WorkspaceInvalid, match="is missing: restore it"):
            Workspace.open(found.storage.path).process()
        assert not (found.storage.path / "ledger.sqlite").exists()

    @pytest.mark.parametrize("name", ["subject.key", "signing"])
    def test_of_a_key(self, name, tmp_path):
        found = workspace(tmp_path, models=False)
        (path,) = found.storage.keys.glob(f"{name}*")
        kept = path.read_bytes()
        for content in (b"", b"nonsense\n", kept[:20]):
            path.write_bytes(content)
            with pytest.raises(WorkspaceInvalid, match="is damaged"):
                Workspace.open(found.storage.path).forget(["person-1"])
        path.unlink()
        with pytest.raises(WorkspaceInvalid, match="is missing: restore it"):
            Workspace.open(found.storage.path).forget(["person-1"])

    def test_of_the_schema(self, tmp_path):
        found = workspace(tmp_path, models=False)
        found.storage.schema_path.write_text("[columns.age]\nkind = 'colour'\n")
        with pytest.raises(WorkspaceInvalid, match=r"age.*kind must be"):
            found.fit("churn", "churn")
        found.storage.schema_path.write_text("[columns.shoe]\nkind = 'number'\nlow = 1\nhigh = 60\n")
        with pytest.raises(Exception, match="'shoe', which the table does not have"):
            found.fit("churn", "churn")
        found.storage.schema_path.unlink()
        with pytest.raises(WorkspaceInvalid, match="no schema at"):
            found.fit("churn", "churn")

    def test_of_the_settings(self, tmp_path):
        found = workspace(tmp_path, models=False)
        path = found.storage.configuration_path
        for text, message in (
            ("databse = 'x'", "no setting 'databse'"),
            ("refit_days = 'soon'", "must be a positive whole number"),
            ("refit_requests = -1", "must be a whole number of at least 0"),
            ("=", "is not TOML"),
        ):
            path.write_text(text)
            with pytest.raises(WorkspaceInvalid, match=message):
                Workspace.open(found.storage.path)

    def test_of_the_table(self, tmp_path):
        found = workspace(tmp_path)
        found.forget(["person-1"])
        bucket = bucket_of(found.storage.subject_key.pseudonym("person-1"))
        (part,) = (found.storage.table.path / f"_bucket={bucket}").iterdir()
        kept = part.read_bytes()
        part.write_bytes(b"")
        done = None
        with pytest.raises(WorkspaceInvalid, match="is not the one that was written"):
            done = found.process()
        assert done is None
        part.unlink()
        with pytest.raises(WorkspaceInvalid, match="cannot be read"):
            found.process()
        part.write_bytes(kept)
        found.process()
        assert status(found.storage).requests[RequestState.CLOSED] == 1
        shutil.rmtree(found.storage.table.path / "_delta_log")
        found.forget(["person-2"])
        with pytest.raises(WorkspaceInvalid, match="cannot be opened"):
            found.process()

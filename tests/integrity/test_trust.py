"""Never destroy, check when acting: older ledgers, foreign keys, copied folders, leaping clocks, seven names of a folder."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from expunge.errors import LedgerCorrupt, WorkspaceBusy, WorkspaceInvalid, WorkUnfinished
from expunge.evidence.events import EventKind
from expunge.evidence.signing import PublicKeys, SigningKey
from expunge.evidence.statements import CHECKPOINT, predicate_of
from expunge.ledger import data_files, log, releases, sealing, times
from expunge.ledger.tables import data_files as table
from expunge.workspace import Workspace, batch, drafts, recovery
from expunge.workspace.storage import MANIFEST, UNFINISHED, Storage
from tests.field.commands import run as in_process
from tests.workspace.people import people, workspace
from tests.workspace.test_workspace import problems


def run(folder: Path, *arguments: str, code: int = 0) -> Any:
    """What a command that is given in ``folder`` answers."""
    with contextlib.chdir(folder):
        return in_process(*arguments, code=code)


def in_another_process(folder: Path, *arguments: str, code: int = 0) -> Any:
    """The same of a real process."""
    command = [sys.executable, "-m", "expunge", *arguments, "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else {}


def files(folder: Path) -> dict[str, bytes]:
    """What lies in a workspace, but for what SQLite and locks leave."""
    passing = ("-wal", "-shm", ".lock", "lock")
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.name.endswith(passing)}


def ledger_of(folder: Path) -> bytes:
    """The ledger's file, with everything in it."""
    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return (folder / "ledger.sqlite").read_bytes()


def put_ledger(folder: Path, content: bytes) -> None:
    (folder / "ledger.sqlite").write_bytes(content)
    for name in ("ledger.sqlite-wal", "ledger.sqlite-shm"):
        (folder / name).unlink(missing_ok=True)


class TestSevenNames:
    """`expunge process -w ../ws`, or through a symlink, once deleted every file of the table."""

    @staticmethod
    def names(folder: str, above: Path) -> list[str]:
        """Seven spellings of a folder, two by symlinks; the third is from the folder ``other`` beside it."""
        spelled = f"../other/../{folder}", f"link-{folder}", f"parent/{folder}", f"./{folder}/", f"{folder}/../{folder}"
        return [folder, str(above / folder), *spelled]

    def test_of_one_folder(self, tmp_path):
        found = workspace(tmp_path, models=False)
        (tmp_path / "other").mkdir()
        (tmp_path / "link-ws").symlink_to(tmp_path / "ws")
        (tmp_path / "parent").symlink_to(tmp_path, target_is_directory=True)
        found.fit("churn", "churn", delta=1e-5)
        rows = found.storage.table.count()
        for number, name in enumerate(self.names("ws", tmp_path)):
            base = tmp_path / "other" if name.startswith("..") else tmp_path
            run(base, "forget", f"person-{number}", "-w", name, "--receipts", str(tmp_path / "receipts"))
            assert run(base, "process", "--now", "-w", name)["closed"] == 1
            rows -= sum(who == f"person-{number}" for who in people()["who"].to_pylist())
            assert Workspace.open(tmp_path / "ws").storage.table.count("age") == rows
        assert problems(Workspace.open(tmp_path / "ws")) == {}

    def test_in_every_command_that_deletes(self, tmp_path, monkeypatch):
        """Old states, weights and keys, rows that are replaced, and what making a workspace or a backup left unfinished."""
        found = workspace(tmp_path, models=("churn",))
        found.storage.database.close()
        (tmp_path / "other").mkdir()
        (tmp_path / "parent").symlink_to(tmp_path, target_is_directory=True)
        data, schema = ["--data", str(tmp_path / "people.parquet"), "--subject", "who"], str(tmp_path / "schema.toml")
        for number, name in enumerate(self.names("ws", tmp_path)):
            monkeypatch.chdir(tmp_path / "other" if number == 2 else tmp_path)
            anew, copy = (self.names(f"{folder}-{number}", tmp_path)[number] for folder in ("anew", "copy"))
            for folder in ("ws", f"anew-{number}", f"copy-{number}"):
                (tmp_path / f"link-{folder}").symlink_to(tmp_path / folder) if number == 3 else None
            self.leave_unfinished(tmp_path / f"anew-{number}", UNFINISHED)
            self.leave_unfinished(tmp_path / f"copy-{number}.unfinished", MANIFEST)
            right = people().filter(pc.equal(people()["who"], f"person-{number}"))
            pq.write_table(right.set_column(1, "age", pa.array([33.0] * len(right))), tmp_path / "right.parquet")
            for command in (
                ("rectify", f"person-{number}", "--file", str(tmp_path / "right.parquet"), "--receipts", str(tmp_path / "r")),
                ("replace", "churn"),
                ("fit", f"visits-{number}", "--target", "visits", "--model", "ridge", "--sigma", "0.05"),
                ("retire", f"visits-{number}", "--yes"),
                ("rotate-key",),
                ("backup", copy),
            ):
                in_process(*command, "-w", name)
            in_process("init", anew, *data, "--schema", schema)
            assert problems(Workspace.open(name)) == problems(Workspace.open(anew)) == {}
            for made in ("ws", f"anew-{number}"):
                assert Workspace.open(tmp_path / made).storage.table.count("age") == len(people())
            assert [path.name for path in (tmp_path / "ws/models").rglob("*.safetensors")] == [f"{3 + 2 * number}.safetensors"]
            assert len(list((tmp_path / "ws/keys").glob("signing-*"))) == 1
            assert (tmp_path / f"copy-{number}" / MANIFEST).exists()
            assert not (tmp_path / f"copy-{number}.unfinished").exists()

    @staticmethod
    def leave_unfinished(folder: Path, marker: str) -> None:
        """What a killed ``init`` or ``backup`` leaves."""
        for name in ("keys/subject.key", "table/_bucket=3/batch-00000000-0.parquet", "models/churn/1.safetensors", marker):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("")

    def test_a_file_of_somebody_else_stays_wherever_it_lies(self, tmp_path):
        found = workspace(tmp_path, models=("churn",))
        ws = found.storage.path
        foreign = ("table/backup.parquet", "table/_bucket=3/mine.parquet", "models/churn/9.safetensors", "keys/signing-old.pem")
        for name in (*foreign, "models/notes.txt", "checkpoint.old"):
            (ws / name).parent.mkdir(exist_ok=True)
            (ws / name).write_text("mine")
        found.forget(["person-1"])
        assert run(tmp_path, "process", "--now", "-w", "ws")["closed"] == 1
        found.rotate_key()
        found.refit("churn")
        found.retire("churn")
        for name in (*foreign, "models/notes.txt", "checkpoint.old"):
            assert (ws / name).read_text() == "mine", name
        assert "there are no stray files" in problems(found)


class TestTheNewest:
    """Before anything is done on the ledger's word, it is proven to be the newest that the folder knows."""

    @pytest.mark.parametrize("transactions", [1, 8])
    def test_an_older_ledger_stops_every_command_and_destroys_nothing(self, transactions, tmp_path, monkeypatch):
        found = workspace(tmp_path, models=("churn",))
        found.storage.database.close()
        older = ledger_of(tmp_path / "ws")
        found.forget(["person-1"])
        if transactions > 1:
            found.process()
        found.storage.database.close()
        newest = ledger_of(tmp_path / "ws")
        put_ledger(tmp_path / "ws", older)
        before = files(tmp_path / "ws")
        commands = [["process"], ["forget", "person-2"], ["refit", "churn"], ["rotate-key"], ["append", "people.parquet"]]
        commands += [["retire", "churn", "--yes"], ["token", "issue", "ann", "--role", "auditor"]]
        said = {tuple(command): run(tmp_path, *command, "-w", "ws", code=1)["message"] for command in commands}
        monkeypatch.chdir(tmp_path)
        for look in (("status",), ("releases",), ("backup", "copy"), ("export", "churn", "--out", "m.json")):
            said[look] = in_process(*look, "-w", "ws", code=1)["message"]
        for command, message in said.items():
            assert "the ledger is older than this folder" in message and "expunge recover" in message, command
        findings = run(tmp_path, "doctor", "-w", "ws", code=4)
        assert any("older than this folder" in (finding["problem"] or "") for finding in findings)
        assert files(tmp_path / "ws") == before
        put_ledger(tmp_path / "ws", newest)
        assert run(tmp_path, "process", "--now", "-w", "ws")["closed"] == (1 if transactions == 1 else 0)
        assert problems(Workspace.open(tmp_path / "ws")) == {}

    @pytest.mark.parametrize("content", [None, b"", b"{}", b'{"states": []}', b"\xff", b"[" * 10_000])
    def test_without_its_witness_nothing_is_done(self, content, tmp_path):
        found = workspace(tmp_path, models=False)
        path = found.storage.witness_path
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(LedgerCorrupt, match="expunge recover"):
            Workspace.open(found.storage.path).forget(["person-1"])

    def test_history_that_was_rewritten_and_signed_by_a_foreign_key_does_not_become_genuine(self, tmp_path):
        found = workspace(tmp_path, models=False)
        found.forget(["person-1"])
        found.process()
        found.storage.database.close()
        foreign = SigningKey.create(tmp_path)
        with sqlite3.connect(tmp_path / "ws" / "ledger.sqlite") as connection:
            connection.execute("DELETE FROM events WHERE kind = 'request.accepted'")
            size = connection.execute("SELECT max(seq) FROM events").fetchone()[0]
            head = foreign.sign(CHECKPOINT, {"log": "0" * 64}, {"size": size, "root": "0" * 64})
            connection.execute("DELETE FROM checkpoints")
            connection.execute("INSERT INTO checkpoints VALUES (?, ?, ?, '')", (size, bytes(32), head))
            connection.execute("UPDATE public_keys SET keyid = ?, pem = ?", (foreign.keyid, foreign.pem))
        connection.close()
        public, signed = ((tmp_path / "ws" / name).read_bytes() for name in ("expunge.pub", "checkpoint.json"))
        for command in (["process"], ["forget", "person-2"], ["rotate-key"]):
            run(tmp_path, *command, "-w", "ws", code=1)
        assert (tmp_path / "ws" / "expunge.pub").read_bytes() == public
        assert (tmp_path / "ws" / "checkpoint.json").read_bytes() == signed
        assert any(finding["problem"] for finding in run(tmp_path, "doctor", "-w", "ws", code=4))

    @pytest.mark.parametrize("name", ["checkpoint.json", "expunge.pub"])
    @pytest.mark.parametrize("content", [None, b"", b"nonsense"])
    def test_an_anchor_that_is_gone_is_an_alarm(self, name, content, tmp_path):
        found = workspace(tmp_path, models=False)
        path = found.storage.path / name
        kept = path.read_bytes()
        path.unlink() if content is None else path.write_bytes(content)
        for act in (found.process, found.rotate_key):
            with pytest.raises((LedgerCorrupt, WorkspaceInvalid), match="expunge"):
                act()
        assert "the ledger is the newest and belongs to this folder" in problems(found)
        recovery.anchors(Storage(found.storage.path))
        assert PublicKeys.read(found.storage.public_key_path).pems and (name != "expunge.pub" or path.read_bytes() == kept)
        found.process()
        assert problems(found) == {}

    def test_an_acceptance_is_sealed_when_it_is_made(self, tmp_path):
        found = workspace(tmp_path, models=False)
        with found.storage.database.reading() as connection:
            before = predicate_of(log.checkpoint(connection))["size"]
        found.forget(["person-1"])
        with found.storage.database.reading() as connection:
            assert predicate_of(log.checkpoint(connection))["size"] == log.size(connection) == before + 1
            assert log.prove_inclusion(connection, before + 1) is not None


class TestKeys:
    def test_another_subject_key_stops_every_answer(self, tmp_path):
        found = workspace(tmp_path, models=False)
        path = found.storage.keys / "subject.key"
        kept = path.read_bytes()
        path.write_text("ab" * 32)
        for command in (
            ["forget", "person-1"],
            ["append", "people.parquet"],
            ["rectify", "person-1", "--file", "people.parquet"],
        ):
            assert "not the key that the table was made with" in run(tmp_path, *command, "-w", "ws", code=1)["message"]
        path.write_bytes(kept)
        assert run(tmp_path, "forget", "person-1", "-w", "ws")[0]["state"] == "accepted"
        assert run(tmp_path, "status", "-w", "ws")["requests"]["refused"] == 0  # nobody was told anything

    def test_another_seal_key_stops_everything(self, tmp_path):
        found = workspace(tmp_path, models=False)
        (found.storage.keys / "seal.key").write_text("ab" * 32)
        assert (
            "keys/seal.key is not the key that it was made with"
            in run(tmp_path, "process", "--now", "-w", "ws", code=1)["message"]
        )

    def test_another_signing_key_signs_nothing(self, tmp_path):
        found = workspace(tmp_path, models=False)
        (path,) = found.storage.keys.glob("signing-*.pem")
        kept, foreign = path.read_bytes(), SigningKey.create(tmp_path)
        path.write_bytes(next(tmp_path.glob("signing-*.pem")).read_bytes())
        for command in (["forget", "person-1"], ["rotate-key"]):
            assert "does not hold the key that the ledger names" in run(tmp_path, *command, "-w", "ws", code=1)["message"]
        assert foreign.keyid not in found.storage.public_key_path.read_text()
        path.write_bytes(kept)
        assert run(tmp_path, "forget", "person-1", "-w", "ws")[0]["state"] == "accepted"
        assert problems(Workspace.open(found.storage.path)) == {}

    def test_what_a_revoked_key_signed_outside_the_log_is_made_again(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        workspace(tmp_path, models=False).storage.database.close()
        (asked,) = in_process("forget", "person-1", "-w", "ws")
        verify = ("verify", asked["receipt"], "--key", "ws/expunge.pub", "--subject", "person-1")
        assert in_process(*verify)["genuine"]
        in_process("rotate-key", "--revoke", "-w", "ws")
        assert "was revoked: have it made again" in in_process(*verify, code=4)["problem"]
        in_process("receipt", asked["request"], "--subject", "person-1", "-w", "ws")
        assert in_process(*verify)["genuine"]
        in_process("log", "log.json", "-w", "ws")
        assert "key.revoked" in (tmp_path / "log.json").read_text()
        assert in_process("verify", "log.json", "--key", "ws/expunge.pub")["genuine"]


class TestCopies:
    @pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
    def test_of_the_folder_do_not_work(self, kind, tmp_path, request):
        database = None if kind == "sqlite" else request.getfixturevalue("postgresql").new_database()
        found = workspace(tmp_path, models=("churn",), database=database)
        found.storage.database.close()
        shutil.copytree(tmp_path / "ws", tmp_path / "copy")
        for command in (["process"], ["forget", "person-1"], ["status"]):
            assert "is a copy of the workspace's folder" in run(tmp_path, *command, "-w", "copy", code=1)["message"]
        found.forget(["person-1"])
        assert found.process().closed == 1
        if kind == "postgresql":  # the ledger has gone on without the copy, which can never be taken for the newest again
            with pytest.raises(LedgerCorrupt, match=r"was continued by .* transactions without this folder"):
                recovery.moved(Storage(tmp_path / "copy"))

    def test_the_one_that_was_left_behind_stops(self, tmp_path, postgresql):
        found = workspace(tmp_path, models=False, database=postgresql.new_database())
        shutil.copytree(tmp_path / "ws", tmp_path / "copy")
        recovery.moved(Storage(tmp_path / "copy"))
        moved = Workspace.open(tmp_path / "copy")
        moved.forget(["person-1"])
        assert moved.process().closed == 1
        assert problems(moved) == {}
        for act in (lambda: found.forget(["person-2"]), found.process, lambda: Workspace.open(tmp_path / "ws").process()):
            with pytest.raises(LedgerCorrupt, match="was continued by"):
                act()
        assert found.storage.table.path.exists() and len(list(found.storage.table.path.rglob("*.parquet"))) > 0

    @pytest.mark.parametrize(("moment", "done"), [("prepared_states", False), ("drafts.looked_again", True)])
    def test_a_batch_that_another_host_has_taken_over_is_not_gone_on_with(
        self, moment, done, tmp_path, postgresql, monkeypatch
    ):
        """One host is asleep, the server lets go of its lease, and another one gives its batch up, or carries it on."""
        found = workspace(tmp_path, models=("churn",), database=postgresql.new_database())
        found.forget(["person-1"])
        other, owner = Storage(found.storage.path), batch if moment == "prepared_states" else drafts
        name, awake = moment.rpartition(".")[2], getattr(owner, moment.rpartition(".")[2])

        def asleep(*arguments):
            monkeypatch.setattr(owner, name, awake)
            batch.recover(other)
            return awake(*arguments)

        monkeypatch.setattr(owner, name, asleep)
        with pytest.raises((WorkspaceBusy, WorkUnfinished), match="another process has taken over batch 2"):
            found.process()
        with found.storage.database.reading() as connection:
            kinds = [event.kind for event in log.entries(connection, 0, 100)]
            assert len(releases.all_releases(connection)) == 1 + done
        assert kinds[-1] == (EventKind.BATCH_CLOSED if done else EventKind.BATCH_ABANDONED)
        assert found.process().closed == 1 - done
        assert problems(found) == {} and kinds.count(EventKind.BATCH_CERTIFIED) == 1 + done

    def test_a_folder_may_be_renamed(self, tmp_path):
        workspace(tmp_path, models=False).storage.database.close()
        os.rename(tmp_path / "ws", tmp_path / "renamed")
        assert run(tmp_path, "forget", "person-1", "-w", "renamed")[0]["state"] == "accepted"

    def test_the_command_line_takes_the_lease_of_the_service(self, tmp_path, postgresql):
        found = workspace(tmp_path, models=False, database=postgresql.new_database())
        with found.storage.database.leading() as is_leading:  # as a service on another machine does
            assert is_leading
            with pytest.raises(WorkspaceBusy):
                found.process(patience=0.2)
            assert in_another_process(tmp_path, "process", "--now", "-w", "ws", code=5)["error"] == "WorkspaceBusy"
        found.process(patience=0.2)


class TestClocks:
    def test_one_that_leaps_needs_somebody_to_confirm_it(self, tmp_path, monkeypatch):
        found = workspace(tmp_path, models=("churn",))
        now = times.now()
        monkeypatch.setattr(times, "now", lambda: now + timedelta(days=34))
        assert found.forget(["person-1"])[0].state == "accepted"  # a month of silence is none
        monkeypatch.setattr(times, "now", lambda: now + timedelta(days=500))
        for act in (lambda: found.forget(["person-2"]), found.process, lambda: found.refit("churn")):
            with pytest.raises(WorkspaceInvalid, match=r"the clock says .* expunge recover --clock"):
                act()
        with found.storage.database.reading() as connection:
            assert all(event.at < (now + timedelta(days=40)).isoformat() for event in log.entries(connection, 0, 500))
        monkeypatch.setattr(times, "now", lambda: now + timedelta(days=34, hours=1))
        (answer,) = found.forget(["person-2"])
        assert answer.deadline < (now + timedelta(days=66)).isoformat()
        monkeypatch.setattr(times, "now", lambda: now + timedelta(days=500))
        recovery.clock(Storage(found.storage.path))
        assert found.forget(["person-3"])[0].state == "accepted"

    def test_idle_days_are_none_if_somebody_looks(self, tmp_path, monkeypatch):
        found = workspace(tmp_path, models=False)
        now = times.now()
        for days in range(20, 400, 20):
            monkeypatch.setattr(times, "now", lambda days=days: now + timedelta(days=days))
            found.process()
        assert found.forget(["person-1"])[0].state == "accepted"


class TestMaking:
    def test_what_an_interrupted_one_left_is_cleared_by_the_next(self, tmp_path):
        workspace(tmp_path, models=False).storage.database.close()
        (tmp_path / "ws" / UNFINISHED).write_text("0123456789abcdef")
        for command in (["status"], ["process"], ["doctor"]):
            assert "run expunge init, or restore, again" in run(tmp_path, *command, "-w", "ws", code=1)["message"]
        (tmp_path / "ws" / "table" / "mine.txt").write_text("mine")
        making = ["init", "ws", "--data", "people.parquet", "--subject", "who", "--schema", "schema.toml"]
        assert "mine.txt does not belong to what was being made there" in run(tmp_path, *making, code=1)["message"]
        assert (tmp_path / "ws" / "table" / "mine.txt").read_text() == "mine"
        (tmp_path / "ws" / "table" / "mine.txt").unlink()
        run(tmp_path, *making)
        assert problems(Workspace.open(tmp_path / "ws")) == {}
        assert sorted(path.name for path in tmp_path.iterdir()) == ["people.parquet", "schema.toml", "ws"]

    def test_one_that_fails_leaves_the_folder_as_it_was(self, tmp_path):
        (tmp_path / "rows.csv").write_text("who,age\n,7\n")
        for folder in (tmp_path / "new", tmp_path / "there"):
            if folder.name == "there":
                folder.mkdir()
            run(tmp_path, "init", folder.name, "--data", "rows.csv", "--subject", "who", code=1)
            assert folder.exists() == (folder.name == "there") and not (folder.exists() and list(folder.iterdir()))


def test_a_file_that_the_state_was_not_made_with_is_no_table(tmp_path):
    """The state knows the rows it holds: a table of another moment is not worked with, though every file of it is genuine."""
    found = workspace(tmp_path, models=("churn",))
    with found.storage.database.writing() as connection:
        first = data_files.present(connection)[0]
        sealing.delete(connection, table, table.c.path == first.path)  # by somebody who has the key
    with pytest.raises(WorkspaceInvalid, match="does not name the same files as the ledger"):
        found.refit("churn")
    found.storage.table.follow()
    with pytest.raises(WorkspaceInvalid, match="are not those of the table"):
        found.refit("churn")

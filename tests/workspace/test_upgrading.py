"""Workspaces of other versions: an older ledger is upgraded, and a copy kept; what cannot be upgraded gets a clear sentence."""

import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from expunge.ledger import database
from expunge.ledger.database import HEAD
from expunge.unlearning import storage
from tests.field.commands import problems, run
from tests.workspace.people import people, workspace

NEXT = f'''
"""A table of remarks."""

import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{HEAD}"


def upgrade() -> None:
    op.create_table("remarks", sa.Column("text", sa.Text, primary_key=True))
    {{then}}
'''


def revision(ledger: Path) -> str:
    with closing(sqlite3.connect(ledger)) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]


def copy_of(ledger: Path) -> Path:
    return ledger.with_name(database.COPY)


def tables(ledger: Path) -> set[str]:
    with closing(sqlite3.connect(ledger)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """That of a workspace with a model."""
    monkeypatch.chdir(tmp_path)
    made = workspace(tmp_path, models=False, table=people(120, 80))
    made.fit("spend", "spend", model="ridge", sigma=0.05)
    made.storage.database.close()
    return tmp_path / "ws/ledger.sqlite"


@pytest.fixture
def newer(ledger, tmp_path, monkeypatch):
    """Makes the program that of a later version, with one more migration."""

    def publish(then: str = "") -> None:
        scripts = shutil.copytree(database.MIGRATIONS, tmp_path / "migrations")
        (scripts / "versions/9001_remarks.py").write_text(NEXT.format(then=then))
        monkeypatch.setattr(database, "MIGRATIONS", scripts)
        monkeypatch.setattr(database, "HEAD", "9001")

    return publish


def test_an_older_ledger_is_upgraded_and_a_copy_kept_until_somebody_is_forgotten(ledger, newer):
    run("forget", "person-3", "-w", "ws")
    before = tables(ledger)
    newer()
    assert run("status", "-w", "ws")["models"]
    assert revision(ledger) == "9001" and "remarks" in tables(ledger)
    copy = copy_of(ledger)
    assert revision(copy) == HEAD and tables(copy) == before
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert problems(Path("ws")) == {}  # the copy is no stray file
    with closing(sqlite3.connect(copy)) as connection:
        ((pseudonym,),) = connection.execute("SELECT subject FROM requests").fetchall()
    assert run("process", "--now", "-w", "ws")["closed"] == 1
    assert not copy.exists()  # in it the pseudonym of who is forgotten would have lived on
    assert all(str(pseudonym).encode() not in path.read_bytes() for path in ledger.parent.glob("ledger*"))
    assert problems(Path("ws")) == {}


def test_an_upgrade_that_fails_changes_nothing(ledger, newer):
    newer("raise RuntimeError")
    with pytest.raises(AssertionError, match="RuntimeError"):
        run("status", "-w", "ws")
    assert revision(ledger) == HEAD and "remarks" not in tables(ledger)


def test_without_a_copy_there_is_no_upgrade(ledger, newer):
    newer()
    copy_of(ledger).mkdir()  # in the place of the copy
    said = run("status", "-w", "ws", code=1)["message"]
    assert "was made by an older version, and a copy, needed before it is upgraded, cannot be kept" in said
    assert revision(ledger) == HEAD


def test_a_ledger_from_the_future(ledger):
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert (
        f"has revision 9999, but this version knows {HEAD}: install a newer expunge"
        in run("status", "-w", "ws", code=1)["message"]
    )


def test_a_workspace_from_before_ledgers_were_sealed(ledger):
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("DROP TABLE seals")
    (ledger.parent / "keys/seal.key").unlink()
    for command in (("status",), ("forget", "person-1"), ("process",)):
        said = str(run(*command, "-w", "ws", code=1))
        assert "made by a version of expunge before 0.2" in said and "make a new workspace with expunge init" in said


def test_a_lost_key_is_a_lost_key(ledger):
    (ledger.parent / "keys/seal.key").unlink()
    said = run("status", "-w", "ws", code=1)["message"]
    assert "seal.key is missing: restore it from a backup" in said and "0.2" not in said


def test_tables_of_no_version(ledger):
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("ALTER TABLE releases RENAME COLUMN evidence TO proof")
    said = run("status", "-w", "ws", code=1)["message"]
    assert "the ledger's tables do not belong to any released version" in said and "nothing was changed" in said


def test_a_state_file_of_an_older_format(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as older:
        older.setattr(storage, "VERSION", storage.OLDER - 1)
        made = workspace(tmp_path, models=False, table=people(120, 80))
        made.fit("spend", "spend", model="ridge", sigma=0.05)
        made.storage.database.close()
    said = run("capacity", "spend", "-w", "ws", code=1)["message"]
    assert f"has format version {storage.OLDER - 1}, this library reads {storage.OLDER} and {storage.VERSION}" in said
    assert "expunge replace spend" in said
    run("replace", "spend", "-w", "ws")
    assert run("capacity", "spend", "-w", "ws")
    assert problems(Path("ws")) == {}

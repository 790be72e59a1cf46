"""The doctor compares models and rows: honest ones agree whatever was done to them, and others are found."""

import shutil
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.data.files import Change, DataFile, listing_digest
from expunge.evidence.statements import digest
from expunge.ledger import data_files, releases, sealing
from expunge.ledger.properties import read_property
from expunge.ledger.tables import data_files as files
from expunge.ledger.tables import releases as release_table
from expunge.workspace import Workspace, queue
from tests.field.commands import problems, run
from tests.workspace.people import people, workspace

CHECK = "every model holds the rows of the table"


@pytest.fixture
def found(tmp_path, monkeypatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    return workspace(tmp_path, table=people(120, 80))


def tampered(found: Workspace, change: Change) -> None:
    """Changes the ledger as somebody does who has its key, models and all."""
    with found.storage.database.writing() as connection:
        data_files.drop(connection, 0)
        for file in change.going:
            sealing.delete(connection, files, files.c.path == file.path)
        data_files.add(connection, change.coming, 0)
        for row in releases.all_models(connection):
            releases.follow_table(connection, row.name, listing_digest(data_files.present(connection)))


def test_honest_models_agree_whatever_was_done(found, tmp_path):
    for round_ in range(2):
        run("forget", f"person-{round_}", f"person-{round_ + 10}", "-w", "ws")
        run("process", "--now", "-w", "ws")
        new = people(9, 5, seed=round_).set_column(0, "who", pa.array([f"new-{round_}-{i % 5}" for i in range(9)]))
        pq.write_table(new, tmp_path / "new.parquet")
        run("append", "new.parquet", "-w", "ws")
        pq.write_table(new.slice(1, 1).set_column(1, "age", pa.array([99.0])), tmp_path / "right.parquet")
        run("rectify", f"new-{round_}-1", "--file", "right.parquet", "-w", "ws")
        run("refit", ("churn", "spend")[round_], "-w", "ws")
    run("replace", "visits", "-w", "ws")
    run("forget", "person-30", "-w", "ws")
    assert problems(tmp_path / "ws", "models") == {}


def test_a_row_that_was_changed_together_with_its_digests_is_found(found, tmp_path):
    file = found.storage.table.present()[0]
    path = found.storage.table.path / file.path
    rows = pq.ParquetFile(path).read()
    ages = rows["age"].to_pylist()
    changed = rows.set_column(rows.schema.get_field_index("age"), "age", pa.array([ages[0] + 0.1, *ages[1:]]))
    pq.write_table(changed, path, compression="zstd", write_statistics=False)
    path.chmod(0o600)
    digested = DataFile(file.path, file.rows, path.stat().st_size, digest(path.read_bytes()))
    tampered(found, Change((digested,), (file,)))
    assert problems(tmp_path / "ws", "minutes") == {}
    wrong = problems(tmp_path / "ws", "models")
    assert set(wrong) == {CHECK}
    assert {name for name in ("churn", "spend", "visits") if f"{name}: its state does not hold the rows" in wrong[CHECK]}
    assert "or run expunge replace" in wrong[CHECK]


def test_a_state_of_another_model_is_found(found, tmp_path):
    run("fit", "other", "--target", "spend", "--model", "ridge", "--sigma", "0.05", "--penalty", "3", "-w", "ws")
    run("fit", "age", "--target", "age", "--model", "ridge", "--sigma", "0.05", "-w", "ws")
    for one, another in (("spend", "visits"), ("spend", "other"), ("other", "age")):
        shutil.copy(found.storage.state_path(one, 1), tmp_path / "kept")
        shutil.copy(found.storage.state_path(another, 1), found.storage.state_path(one, 1))
        with found.storage.database.writing() as connection:
            state = digest(found.storage.state_path(one, 1).read_bytes())
            sealing.update(connection, release_table, release_table.c.model == one, state_digest=state)
        assert f"{one}: its state belongs to a model of another kind" in problems(tmp_path / "ws", "models")[CHECK]
        shutil.copy(tmp_path / "kept", found.storage.state_path(one, 1))
        with found.storage.database.writing() as connection:
            state = digest((tmp_path / "kept").read_bytes())
            sealing.update(connection, release_table, release_table.c.model == one, state_digest=state)
    assert problems(tmp_path / "ws", "models") == {}


def test_models_are_compared_on_a_schedule_and_those_that_do_not_agree_are_set_aside(found, tmp_path, monkeypatch):
    shutil.copy(found.storage.state_path("visits", 1), tmp_path / "state")
    shutil.copy(found.storage.state_path("spend", 1), found.storage.state_path("visits", 1))
    with found.storage.database.writing() as connection:
        state = digest(found.storage.state_path("spend", 1).read_bytes())
        sealing.update(connection, release_table, release_table.c.model == "visits", state_digest=state)
    run("process", "--now", "-w", "ws")  # its day has not come
    later = date.today() + timedelta(days=31)
    monkeypatch.setattr(queue, "today", lambda: later)
    (answer,) = run("forget", "person-1", "-w", "ws")
    for _ in range(2):  # by hand it is compared again, and still nothing is released of it
        done = run("process", "--now", "-w", "ws", code=3)
        assert list(done["aside"]) == ["visits"] and "of another kind" in done["aside"]["visits"]
        assert done["closed"] == 0
    (waits,) = run("status", "-w", "ws")["open"]
    assert waits["request"] == answer["request"]
    aside = {model["name"]: model["aside"] for model in run("status", "-w", "ws")["models"]}
    assert aside["spend"] is aside["churn"] is None and "run expunge replace visits" in aside["visits"]
    run("replace", "visits", "-w", "ws")
    assert run("process", "--now", "-w", "ws")["aside"] == {}
    with found.storage.database.reading() as connection:
        assert read_property(connection, queue.COMPARED) == later.isoformat()

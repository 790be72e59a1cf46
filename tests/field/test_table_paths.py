"""A workspace in any folder: what stands in its path is never taken for a value, a pattern or another path."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from expunge.data.own_columns import SUBJECT
from expunge.workspace import Workspace
from tests.conftest import SOAK
from tests.field.commands import run
from tests.field.table import stored_rows
from tests.workspace.people import SCHEMA, people

SINGLE = (
    *("ward=B", "ward=7/age=99", "_bucket=5", "_subject=x/_row=1", "two words", "Zürich", "a#b", "50%", "a%zz"),
    *("a[b]", "a?b=c&d", "a*b", "{x,y}", 'it\'s "q"', "~x", "$HOME", "a::b", "file:", "-w", "zip://x.zip", "a@b@c"),
)
FOLDERS = (
    *("ward=B/age=99/_bucket=5", "two words/Zürich/a#b/50%/a%zz", "a[b]/a?b=c&d/a*b/{x,y}"),
    *('it\'s "q"/~x/$HOME/a::b/file:/-w', "zip://x.zip/a@b@c/_subject=x/_row=1"),
    *(SINGLE if SOAK > 1 else ()),
)


def rows_of(table: pa.Table) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {}
    for row in table.to_pylist():
        found.setdefault(str(row.pop("who")), []).append(row)
    return found


@pytest.mark.parametrize("name", FOLDERS)
def test_everybody_elses_values_are_the_original_ones(name, tmp_path):
    folder = tmp_path / name
    folder.mkdir(parents=True)
    table = people(60, 40)  # with columns that are named like the folders
    table = table.append_column("ward", pa.array(["A"] * 60)).append_column("_hidden=1", pa.array(range(60)))
    pq.write_table(table, folder / "people.parquet")
    (folder / "schema.toml").write_text(SCHEMA)
    ws = folder / "ws"
    run("init", ws, "--data", folder / "people.parquet", "--subject", "who", "--schema", folder / "schema.toml")
    anchor = folder / "anchor.json"
    settings = (ws / "workspace.toml").read_text()
    (ws / "workspace.toml").write_text(settings.replace('anchor = ""', f"anchor = {json.dumps(str(anchor))}"))
    expected = rows_of(table)
    run("fit", "visits", "--target", "visits", "--model", "ridge", "--sigma", "0.05", "-w", ws)
    run("forget", "person-1", "person-2", "--receipts", folder / "receipts", "-w", ws)
    run("process", "--now", "-w", ws)
    expected.pop("person-1"), expected.pop("person-2")
    assert anchor.exists()
    assert run("forget", "person-1", "--receipts", folder / "receipts", "-w", ws, code=3)[0]["reason"] == "already-forgotten"

    new = table.slice(0, 3).set_column(0, "who", [["new-1", "new-2", "new-2"]])
    pq.write_table(new, folder / "new.parquet")
    run("append", folder / "new.parquet", "-w", ws)
    expected |= rows_of(new)
    right = table.slice(9, 1).set_column(0, "who", [["new-1"]])
    pq.write_table(right, folder / "right.parquet")
    run("rectify", "new-1", "--file", folder / "right.parquet", "--receipts", folder / "receipts", "-w", ws)
    expected |= rows_of(right)
    run("refit", "visits", "-w", ws)
    run("backup", folder / "copy", "-w", ws)
    subjects = [*rows_of(table), "new-1", "new-2"]
    assert stored_rows(ws, subjects) == expected
    storage = Workspace.open(ws).storage
    foreign = DeltaTable(storage.table.path)  # whom nothing tells of our list
    assert foreign.to_pyarrow_table().select([SUBJECT, "ward", "age"]).num_rows == sum(map(len, expected.values()))
    assert set(foreign.to_pyarrow_table()["ward"].to_pylist()) == {"A"}
    asked = storage.table.of_subjects([storage.subject_key.pseudonym(subject) for subject in expected])
    assert set(asked["ward"].to_pylist()) == {"A"}
    assert run("doctor", "--depth", "everything", "-w", ws)[-1]["problem"] is None

    anchor_now = anchor.read_text()
    (ws / "lock").rename(folder / "gone")  # the workspace is no more: its backup takes over
    run("restore", folder / "copy", "-w", folder / "again")
    assert stored_rows(folder / "again", subjects) == expected and anchor.read_text() != anchor_now


@pytest.mark.parametrize("name", ["a%20b", "%41", "a\\b", "two\nlines"])
def test_a_folder_that_delta_lake_takes_for_another_is_refused(name, tmp_path):
    pq.write_table(people(60, 40), tmp_path / "people.parquet")
    refused = run("init", tmp_path / name / "ws", "--data", tmp_path / "people.parquet", "--subject", "who", code=1)
    assert "for another folder: choose one without" in refused["message"]
    assert not (tmp_path / name / "ws").exists()


def test_files_that_look_like_the_tables_are_not_read(tmp_path):
    """Neither what matches the path as a pattern nor what lies in a partition of the table."""
    for name in ("[ab]", "a"):
        Path(tmp_path / name).mkdir()
        pq.write_table(people(60, 40, seed=len(name)), tmp_path / name / "people.parquet")
        run("init", tmp_path / name / "ws", "--data", tmp_path / name / "people.parquet", "--subject", "who")
    table = Workspace.open(tmp_path / "[ab]" / "ws").storage.table
    first = table.present()[0].path
    (table.path / first).with_name("stray.parquet").write_bytes((table.path / first).read_bytes())
    assert table.count("age") == 60
    assert sorted(table.distinct("age", 99)) == sorted(set(people(60, 40, seed=4)["age"].to_pylist()))

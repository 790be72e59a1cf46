"""A workspace knows each row that its models learned, in whatever types its columns came and come again."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.errors import NotLearned
from expunge.ledger import releases
from expunge.unlearning.learned import row_digests
from expunge.workspace import Workspace, states
from expunge.workspace.specification import Specification
from tests.field.commands import problems, run
from tests.workspace.people import people, workspace

NARROW = {"age": pa.float32(), "tenure": pa.uint8(), "visits": pa.int16(), "spend": pa.float32()}


def cast(table: pa.Table, types: dict[str, pa.DataType]) -> pa.Table:
    return table.cast(pa.schema([pa.field(field.name, types.get(field.name, field.type)) for field in table.schema]))


@pytest.fixture
def found(tmp_path, monkeypatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    narrow = cast(people(160, 120), NARROW)
    job = narrow["job"].dictionary_encode()
    return workspace(tmp_path, table=narrow.set_column(narrow.schema.get_field_index("job"), "job", job))


def specification(found: Workspace, model: str) -> Specification:
    with found.storage.database.reading() as connection:
        return Specification.from_json(releases.named(connection, model).specification)


def test_rows_that_come_in_other_types_are_known_when_they_go(found, tmp_path):
    new = people(12, 6, seed=5).set_column(0, "who", pa.array([f"new-{i % 6}" for i in range(12)]))
    for name in ("age", "spend"):  # halves, which float32 holds
        halves = pa.array([None if value is None else round(2 * value) / 2 for value in new[name].to_pylist()])
        new = new.set_column(new.schema.get_field_index(name), name, halves)
    pq.write_table(new, tmp_path / "new.parquet")  # float64 and int64, where the table has narrower ones
    run("append", "new.parquet", "-w", "ws")
    pq.write_table(new.slice(1, 1).set_column(1, "age", pa.array([33.5])), tmp_path / "right.parquet")
    run("rectify", "new-1", "--file", "right.parquet", "-w", "ws")
    assert problems(tmp_path / "ws", "models") == {}
    run("forget", *(f"new-{i}" for i in range(6)), "person-3", "-w", "ws")
    outcome = run("process", "--now", "-w", "ws")
    assert outcome["problems"] == {}
    run("refit", "churn", "-w", "ws")
    assert problems(tmp_path / "ws", "models") == {}


def test_every_model_tracks_and_of_those_forgotten_nothing_is_left(found):
    before = {model: states.state_of(found.storage, model)._secret.learned for model in ("churn", "spend", "visits")}
    gone = found.storage.table.of_subjects([found.storage.subject_key.pseudonym("person-3")])
    run("forget", "person-3", "-w", "ws")
    run("process", "--now", "-w", "ws")
    for model, learned in before.items():
        unlearner = states.state_of(found.storage, model)
        after = unlearner._secret.learned
        assert after.key == learned.key
        left = np.isin(learned.digests, after.digests)
        rows = specification(found, model).rows(gone)
        mine = row_digests(rows, learned.key, by_subject=False)
        assert sorted(mine) == sorted(learned.digests[~left])
        (state,) = (found.storage.models / model).glob("*.safetensors")
        assert all(digest.tobytes() not in state.read_bytes() for digest in mine)
        with pytest.raises(NotLearned, match="is forgotten already"):
            unlearner.forget(rows)

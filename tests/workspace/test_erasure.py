"""After a person is forgotten, nothing of theirs is anywhere under the workspace: every byte and every page is looked at."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.unlearning.storage import load_unlearner
from tests.workspace.people import people, workspace

CANARY_ID, CANARY_TEXT, CANARY_NUMBER, CANARY_WHOLE = "canary-Zq7", "zebra-tamer-Xk9", 77.123456789, 31


@pytest.fixture(params=["sqlite", "postgresql"])
def planted(request, tmp_path):
    table = people(120, 80)
    last = {
        "who": CANARY_ID,
        "age": CANARY_NUMBER,
        "job": CANARY_TEXT,
        "tenure": CANARY_WHOLE,
        "churn": "yes",
        "visits": 3,
        "spend": 4.987654321,
    }
    table = pa.concat_tables([table, pa.Table.from_pylist([last], schema=table.schema)])
    database = None if request.param == "sqlite" else request.getfixturevalue("postgresql").new_database()
    found = workspace(tmp_path, table=table, database=database)
    (tmp_path / "people.parquet").unlink()
    return found


def traces(folder: Path, needles: dict[str, bytes]) -> list[str]:
    """Where any of ``needles`` is: raw bytes of every file, and the decoded values of every Parquet file."""
    found = []
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        content = path.read_bytes()
        found += [f"{name} in {path}" for name, needle in needles.items() if needle in content]
        if path.suffix == ".parquet":
            decoded = pq.ParquetFile(path).read()
            for column in decoded.column_names:
                values = decoded[column].to_pylist()
                for value in (CANARY_ID, CANARY_TEXT, CANARY_NUMBER, 4.987654321, needles["pseudonym"].decode()):
                    found += [f"{value} in {column} of {path}"] if value in values else []
    return found


def test_nothing_is_left(planted, tmp_path):
    folder = planted.storage.path
    pseudonym = planted.storage.subject_key.pseudonym(CANARY_ID)
    row = np.array([CANARY_NUMBER, 4.987654321])
    needles = {
        "id": CANARY_ID.encode(),
        "text": CANARY_TEXT.encode(),
        "number": row[:1].tobytes(),
        "target": row[1:].tobytes(),
        "pseudonym": pseudonym.encode(),
    }
    assert not [trace for trace in traces(folder, {**needles, "pseudonym": b"?"}) if CANARY_ID in trace]
    assert traces(folder, needles)  # the row is there before
    states = {path.name: path.read_bytes() for path in planted.storage.models.rglob("*.safetensors")}
    encoded = [load_unlearner(path) for path in planted.storage.models.rglob("*.safetensors")]
    assert states and encoded
    planted.forget([CANARY_ID])
    planted.process()
    assert traces(folder, needles) == []
    left = [path.read_bytes() for path in planted.storage.models.rglob("*.safetensors")]
    assert not set(left) & set(states.values())  # the states that had learned the row are gone


def test_old_weights_go_with_the_person(planted):
    import sqlalchemy as sa

    from expunge.ledger.tables import releases

    with planted.storage.database.reading() as connection:
        before = list(connection.execute(sa.select(releases.c.weights)).scalars())
    planted.forget([CANARY_ID])
    planted.process()
    with planted.storage.database.reading() as connection:
        kept = connection.execute(sa.select(releases.c.number, releases.c.weights, releases.c.purged)).all()
    assert all((weights is None) == (number == 1) == (purged is not None) for number, weights, purged in kept)
    for path in planted.storage.path.glob("ledger.sqlite*"):
        content = path.read_bytes()
        assert not any(weights in content for weights in before)


def test_an_interrupted_correction_leaves_no_row(planted, tmp_path, monkeypatch):
    right = people(1, 1).set_column(0, "who", pa.array([CANARY_ID])).set_column(1, "age", pa.array([55.987654321]))
    pq.write_table(right, tmp_path / "right.parquet")

    def broken(*_args, **_kwargs):
        raise RuntimeError("in the middle")

    monkeypatch.setattr("expunge.workspace.batch._certify", broken)
    with pytest.raises(RuntimeError, match="in the middle"):
        planted.rectify(CANARY_ID, str(tmp_path / "right.parquet"))
    monkeypatch.undo()
    assert planted.storage.table.strays() == []
    needle = np.array([55.987654321]).tobytes()
    assert not [path for path in planted.storage.path.rglob("*") if path.is_file() and needle in path.read_bytes()]
    assert planted.forget([CANARY_ID])[0].state == "accepted"

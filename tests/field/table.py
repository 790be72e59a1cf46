"""What is in a workspace's table, read by nobody but pyarrow: file by file, as the ledger lists them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from expunge.data.own_columns import ROW, SUBJECT
from expunge.workspace import Workspace


def stored(folder: Path) -> pa.Table:
    """All rows in the order of their numbers."""
    storage = Workspace.open(folder).storage
    parts = [pq.ParquetFile(storage.table.path / file.path).read() for file in storage.table.present()]
    return pa.concat_tables(parts).sort_by(ROW) if parts else storage.table.schema.empty_table()


def stored_rows(folder: Path, subjects: list[str]) -> dict[str, list[dict[str, object]]]:
    """The rows of each of these people who has any, without the table's own columns."""
    storage = Workspace.open(folder).storage
    names = {storage.subject_key.pseudonym(subject): subject for subject in subjects}
    found: dict[str, list[dict[str, object]]] = {}
    for row in stored(folder).to_pylist():
        who = names[row.pop(SUBJECT)]
        row.pop(ROW)
        found.setdefault(who, []).append(row)
    return found

"""A fuzzer: random tables in random dialects, read by the reader and by plain Python, are the same value by value."""

import math

import pyarrow as pa
import pytest

from expunge.data.reading import read_batches, understood
from expunge.data.row_numbers import rows_of
from expunge.workspace import Workspace
from tests.conftest import examples
from tests.field.dialects import meant, write
from tests.field.table import stored

SCHEMA = '[columns."who"]\nkind = "category"\nvalues = ["7"]\n'


def same(found: object, wanted: object) -> bool:
    if isinstance(wanted, float):
        return isinstance(found, float) and found == wanted and math.copysign(1, found) == math.copysign(1, wanted)
    return type(found) is type(wanted) and found == wanted


def require_same(found: pa.Table, wanted: dict[str, list[object]], seed: int) -> None:
    for name, values in wanted.items():
        cells = found[name].to_pylist()
        assert len(cells) == len(values), (seed, name)
        for row, (cell, value) in enumerate(zip(cells, values, strict=True)):
            assert same(cell, value), (seed, name, row, cell, value)


@pytest.mark.parametrize("part", range(4))
def test_what_is_read_is_what_is_meant(part, tmp_path):
    for seed in range(part * examples(30), (part + 1) * examples(30)):
        written = write(tmp_path, seed)
        rows, wanted = meant(written)
        columns, batches = read_batches(str(written.path), texts=["who"], reading=written.said)
        read = list(batches)
        assert [row for batch in read for row in rows_of(batch)] == rows, seed
        assert columns.names == list(wanted), seed
        require_same(pa.Table.from_batches([batch.replace_schema_metadata() for batch in read], columns), wanted, seed)


def test_what_is_stored_is_what_is_meant(tmp_path):
    (tmp_path / "schema.toml").write_text(SCHEMA)
    for seed in range(10_000, 10_000 + examples(12)):
        written = write(tmp_path, seed)
        _rows, wanted = meant(written)
        folder = tmp_path / f"ws{seed}"
        Workspace.create(folder, str(written.path), "who", reading=written.said, schema=tmp_path / "schema.toml")
        require_same(stored(folder), wanted, seed)


def test_types_that_were_found_are_fitted_by_the_same_file(tmp_path):
    for seed in range(20_000, 20_000 + examples(20)):
        written = write(tmp_path, seed)
        _rows, wanted = meant(written)
        found = understood(str(written.path), texts=["who"], reading=written.said)
        _columns, batches = read_batches(str(written.path), texts=["who"], reading=found.reading, columns=found.schema)
        again = [batch.replace_schema_metadata() for batch in batches]
        require_same(pa.Table.from_batches(again, found.schema), wanted, seed)

"""A trial of the table: whether a column comes back as it went in, found before anybody's rows are in it."""

import tempfile
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import types

from expunge.data.column_types import named
from expunge.data.files import DataFile
from expunge.data.numbering import numbered
from expunge.data.pseudonyms import Identification, SubjectKey
from expunge.data.stored_types import stored_type
from expunge.data.table import SubjectTable
from expunge.errors import InvalidRows, WorkspaceInvalid

PLAIN: tuple[Callable[[pa.DataType], bool], ...] = (
    types.is_integer,
    types.is_floating,
    types.is_boolean,
    types.is_string,
    types.is_date32,
    types.is_timestamp,
)
"""Types that the tests try with every table; all others are tried when a table is made."""


def require_storable(columns: pa.Schema) -> None:
    """Raises ``InvalidRows`` unless a table can hold these columns: a row of each is written, looked up and rewritten."""
    doubtful = [field for field in columns if not any(test(stored_type(field.type)) for test in PLAIN)]
    if not doubtful or _comes_back(doubtful):
        return
    for field in doubtful:
        if not _comes_back([field]):
            raise InvalidRows(
                f"column {field.name!r} holds {named(field.type)}, which the table cannot keep: write it as text or as a "
                "number, or leave it out. Nothing was changed"
            )


def _comes_back(fields: list[pa.Field]) -> bool:
    """Whether values of these columns are the same after being written, looked up and rewritten beside another row."""
    try:
        key = SubjectKey(bytes(32))
        given = [pa.array([_example(stored_type(field.type)), None], stored_type(field.type)) for field in fields]
        names = [f"column {i}" for i in range(len(fields))]
        rows = pa.RecordBatch.from_arrays([pa.array(["one", "other"]), *given], names=["who", *names])
        with tempfile.TemporaryDirectory() as folder:
            files: list[DataFile] = []
            SubjectTable.create(Path(folder) / "table", pa.schema(list(rows.schema)[1:]))
            table = SubjectTable(Path(folder) / "table", lambda: list(files))
            files += table.write(numbered([rows], Identification(key, "who"), table.columns, 0), 0)
            table.follow()
            files[:] = table.prepare(1, [key.pseudonym("other")], None).applied(files)
            table.follow()
            found = table.of_subjects([key.pseudonym("one")])
        return [found[name].to_pylist() for name in names] == [values.slice(0, 1).to_pylist() for values in given]
    except (InvalidRows, WorkspaceInvalid, pa.ArrowException, NotImplementedError):
        return False


def _example(given: pa.DataType) -> Any:
    """A value of this type; ``NotImplementedError`` if none is known."""
    if types.is_map(given):
        return [(_example(given.key_type), _example(given.item_type))]
    if types.is_struct(given):
        return {field.name: _example(field.type) for field in given.fields}
    if types.is_list(given):
        return [_example(given.value_type)]
    examples: dict[Callable[[pa.DataType], bool], Any] = {
        types.is_boolean: True,
        types.is_integer: 1,
        types.is_floating: 1.5,
        types.is_string: "text",
        types.is_binary: b"\0\xff",
        types.is_date: date(2024, 2, 29),
        types.is_timestamp: datetime(2024, 2, 29, 10, 15, 0, 123456),
        types.is_decimal: Decimal(1),
    }
    for test, value in examples.items():
        if test(given):
            return value
    raise NotImplementedError

"""Predictions of a model for rows from outside, with its newest release, for the command line, programs and the desk.

Rows are read as everywhere else, with the types of the table and with ids as text. They are not stored, and only the released
weights are used: the secret state is not even opened.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from expunge.data import oddities
from expunge.data.columns import column_names, column_values, label
from expunge.data.dialect import Reading
from expunge.data.oddities import Odd
from expunge.data.reading import read_batches
from expunge.data.records import Value, table_of
from expunge.data.row_numbers import rows_of
from expunge.data.table_columns import offsets_of, with_offset
from expunge.errors import InvalidRows
from expunge.ledger.properties import read_property
from expunge.workspace import row_keys
from expunge.workspace.arrivals import READING
from expunge.workspace.published import Published
from expunge.workspace.storage import Storage

Form = Literal["csv", "parquet", "json"]
"""How predictions are written."""
ROW, PREDICTION = "row", "prediction"


@dataclass(frozen=True)
class Predictions:
    """What a model predicts for some rows.

    Args:
        model: name of the model.
        release: number of the release that predicts.
        certificate: number of its certificate.
        classes: labels of a classifier; empty for other models.
        table: a row for each: ``row``, its number in the file; the columns of ids that the file has; ``prediction``, the
            likeliest class or the predicted mean in the target's unit; ``probability_CLASS`` for each class, if the model has
            probabilities.
        odd: by column of the schema, what is outside the schema.
    """

    model: str
    release: int
    certificate: int
    classes: tuple[str, ...]
    table: pa.Table = field(repr=False)
    odd: Mapping[str, Odd] = field(repr=False)

    @property
    def sentences(self) -> list[str]:
        """What is odd in the rows, in sentences for a person."""
        return [
            f"column {name!r}: {odd.undeclared:,} of {odd.rows:,} values are outside what the schema declares: the model sees "
            "the nearer end of a range, and no category"
            for name, odd in self.odd.items()
            if odd.undeclared
        ]

    @property
    def probabilities(self) -> list[dict[str, float]]:
        """By row, the probability of each class; empty for a regression, and for a classifier that has none."""
        if not any(_probability(label) in self.table.column_names for label in self.classes):
            return []  # a classifier without probabilities
        columns = [self.table[_probability(label)].to_pylist() for label in self.classes]
        return [dict(zip(self.classes, row, strict=True)) for row in zip(*columns, strict=True)]

    def written(self, form: Form) -> bytes:
        """The table as a file.

        Args:
            form: ``csv``, ``parquet`` or ``json``, which is a list of objects.
        """
        if form == "json":
            return (json.dumps(self.table.to_pylist(), indent=2, ensure_ascii=False, default=str) + "\n").encode()
        sink = pa.BufferOutputStream()
        if form == "csv":
            pyarrow.csv.write_csv(self.table, sink)
        else:
            pq.write_table(self.table, sink)
        return bytes(sink.getvalue())


def predict_records(storage: Storage, name: str, rows: Sequence[Mapping[str, Value]]) -> Predictions:
    """The same for rows as JSON has them; see ``records``. What they hold beside the columns of the schema is not looked at.

    Args:
        rows: an object each, with a value or ``None`` for every column of the schema.

    Raises:
        WorkspaceInvalid: no such model.
        InvalidRows: a row lacks a column, or has a value that does not fit; there are none.
    """
    published, reading = _known(storage, name)
    return _predicted(published, [(table_of(rows, _columns(storage, published), reading), range(1, len(rows) + 1))], ())


def predict(storage: Storage, name: str, data: Any, query: str | None, reading: Reading) -> Predictions:
    """What the newest release of model ``name`` predicts for rows.

    Args:
        data: path of a file, a folder of Parquet files or with ``query`` the URL of a database; or a frame or table in memory.
        query: SQL whose result is the rows.
        reading: what is known about the file, besides what was known when the workspace was made.

    Raises:
        WorkspaceInvalid: there is no such model.
        InvalidRows: there are no rows, or they cannot be read or lack columns of the schema.
    """
    published, known = _known(storage, name)
    ids = row_keys.id_names(storage)
    if not isinstance(data, str | os.PathLike):
        return _predicted(published, [(data, range(1, _length(data) + 1))], ids)
    columns = _columns(storage, published)
    _found, batches = read_batches(os.fspath(data), query, texts=ids, reading=reading.over(known), columns=columns)
    return _predicted(published, ((pa.Table.from_batches([batch]), rows_of(batch)) for batch in batches), ids)


def _known(storage: Storage, name: str) -> tuple[Published, Reading]:
    """What is published of the model, and how values are written here."""
    with storage.database.reading() as connection:
        return Published.of(connection, name), Reading.from_json(str(read_property(connection, READING)))


def _columns(storage: Storage, published: Published) -> pa.Schema:
    """The columns that the model sees, with the types that they have in the table."""
    seen = {*published.specification.features.columns, published.specification.offset}
    return pa.schema([column for column in storage.table.columns if column.name in seen])


def _predicted(published: Published, tables: Iterable[tuple[Any, Sequence[int]]], ids: Sequence[str]) -> Predictions:
    """The predictions for ``tables``, each with the numbers of its rows."""
    odd: dict[str, Odd] = {}
    parts = list(_parts(published, tables, ids, odd))
    if not parts:
        raise InvalidRows("there are no rows to predict: give at least one")
    whole = pa.concat_tables(parts)
    return Predictions(published.model, published.release, published.certificate, published.classes, whole, odd)


def _parts(
    published: Published, tables: Iterable[tuple[Any, Sequence[int]]], ids: Sequence[str], odd: dict[str, Odd]
) -> Iterator[pa.Table]:
    features, offset, estimator = published.specification.features, published.specification.offset, published.estimator
    for table, numbers in tables:
        if not numbers:
            continue
        encoded = features.encode(table, numbers)
        oddities.count(odd, encoded)
        X = encoded.X if offset is None else with_offset(encoded.X, offsets_of(table, offset, numbers))
        found: dict[str, pa.Array] = {PREDICTION: pa.array(estimator.predict(X))}
        if published.specification.kind.has_probabilities:
            columns = estimator.predict_proba(X).T
            found |= {_probability(name): pa.array(column) for name, column in zip(published.classes, columns, strict=True)}
        known = {ROW: pa.array(numbers, pa.int64())}
        for name in [name for name in ids if name in column_names(table)]:
            if name in (*known, *found):
                raise InvalidRows(f"the predictions would have two columns {name!r}: leave the column of ids out of the rows")
            known[name] = pa.array([label(value) for value in column_values(table, name)], pa.string())
        yield pa.table({**known, **found})


def _probability(label: str) -> str:
    return f"probability_{label}"


def _length(table: Any) -> int:
    """Number of rows of a table of any kind."""
    names = column_names(table)
    return len(column_values(table, names[0])) if names else 0

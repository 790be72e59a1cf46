"""Reading rows from outside: a text, Excel or Parquet file of any size, a folder of Parquet files, or a SQL query.

Every value of a column has the column's type, which is declared or was found from all rows. Nothing is guessed again later,
cast silently, or inferred from the first rows alone. Rows come batch by batch; ``row_of`` gives the number of each.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypedDict, Unpack

import pyarrow as pa

from expunge.data.column_types import Inexact, Misfit, Rules, is_written, named
from expunge.data.databases import Query
from expunge.data.dialect import UNKNOWN, Reading
from expunge.data.excel import ExcelFile
from expunge.data.fitting import WrongType, fitted
from expunge.data.parquet import ParquetRows
from expunge.data.rejects import Rejects, fitting
from expunge.data.row_numbers import row_of
from expunge.data.surveys import Survey
from expunge.data.texts import TextFile
from expunge.errors import InvalidRows, WrongValue

__all__ = ["UNKNOWN", "Reading", "Understood", "read_batches", "row_of", "understood"]

TEXT, EXCEL, PARQUET = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz"), (".xlsx",), (".parquet",)
"""Name endings of files that can be read, in capitals too."""
_SAID = {TEXT: ("delimiter", "encoding", "heading"), EXCEL: ("heading", "sheet"), PARQUET: ()}
"""Options of reading that each kind of file has, besides those about values."""
HOW_WRITTEN = ", or say how the file writes it (--decimal, --thousands, --date-format, --null-word)"
DIGITS = {16: 3, 32: 7, 64: 15}
"""Decimal digits that a number of this many bits holds, approximately."""
ENDS = ", ".join((*TEXT, *EXCEL, *PARQUET))


@dataclass(frozen=True)
class Understood:
    """How a source was understood.

    Args:
        schema: its columns, with types that fit all their values.
        rows: number of rows, if they were counted.
        reading: how it is read, with what was detected.
        notes: what a person should know, each a sentence.
        open: returns its rows; columns for which it is given types must fit those.
        written: returns its rows as they are written, before they have these types.
    """

    schema: pa.Schema
    rows: int | None
    reading: Reading
    notes: list[str]
    open: Callable[[pa.Schema], Iterator[pa.RecordBatch]]
    written: Callable[[], Iterator[pa.RecordBatch]]

    @property
    def words(self) -> list[str]:
        """How it was understood, in words."""
        kinds: dict[str, list[str]] = {}
        for field in self.schema:
            kinds.setdefault(named(field.type), []).append(repr(field.name))
        return [*self.reading.words, *(f"{kind}: {', '.join(names)}" for kind, names in kinds.items()), *self.notes]


class Wanted(TypedDict, total=False):
    """What is known about rows before they are read, and what is wanted of them.

    Args:
        texts: columns, mainly of ids, that a text file gives literally: only an empty cell is missing. Default: none.
        reading: what is known about the file; the rest is detected.
        columns: names and types that the rows must fit; without them, types are found by reading all rows once.
        rejects: where rows that do not fit go; without it, such a row is an error.
    """

    texts: Collection[str]
    reading: Reading
    columns: pa.Schema | None
    rejects: Rejects | None


def read_batches(source: str, query: str | None = None, **wanted: Unpack[Wanted]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The columns of ``source`` and its rows in batches; ``row_of`` gives the number of a row.

    Args:
        source: path of a file whose name ends in one of ``ENDS``, or of a folder of Parquet files; with ``query``, a database
            URL as SQLAlchemy writes it.
        query: SQL whose result is read.
        wanted: see ``Wanted``.

    Raises:
        InvalidRows: there is no such file, it is of another kind, or its first rows cannot be read; later rows raise it too.
    """
    found = understood(source, query, **wanted)
    return found.schema, found.open(found.schema)


def understood(source: str, query: str | None = None, **wanted: Unpack[Wanted]) -> Understood:
    """How ``source`` is understood; see ``read_batches``."""
    texts, reading = wanted.get("texts", ()), wanted.get("reading", UNKNOWN)
    columns, rejects = wanted.get("columns"), wanted.get("rejects")
    if query is not None:
        reading.require_only("a query")
        result = Query(source, query)
        found = result.schema() if columns is None else None
        return _native("the query", found, result.batches, columns, reading.values, rejects)
    path = Path(source)
    kind = _kind(path)
    reading.require_only(str(path), *_SAID[kind])
    if kind == PARQUET:
        rows = ParquetRows(path)
        return _native(str(path), rows.schema, rows.batches, columns, reading.values, rejects)
    expected = () if columns is None else tuple(columns.names)
    file = ExcelFile(path, reading, expected, texts) if kind == EXCEL else TextFile(path, reading, expected)
    return _of_texts(file, texts, reading, columns, rejects)


def _of_texts(
    file: TextFile | ExcelFile,
    texts: Collection[str],
    given: Reading,
    columns: pa.Schema | None,
    rejects: Rejects | None,
) -> Understood:
    known = file.reading.over(given)
    notes: list[str] = []
    rows = None
    if columns is None:
        survey = Survey(file.names, texts, known)
        for batch in file.batches():
            survey.add(batch)
        known, schema, notes, rows = survey.reading, survey.schema, survey.notes, survey.rows
    else:
        schema = pa.schema([pa.field(name, pa.string()) for name in file.names])
        schema = _typed(schema, columns, texts)
    rules = Rules.of(known)

    def open_(columns: pa.Schema) -> Iterator[pa.RecordBatch]:
        wanted = _typed(schema, columns, texts)
        for field in wanted:
            if not is_written(field.type):
                raise InvalidRows(
                    f"{file.path}: column {field.name!r} holds {named(field.type)} in the table, which texts cannot give: give "
                    "a Parquet file"
                )
        make = partial(_made, texts, rules)
        for batch in file.batches():
            yield _fitted(str(file.path), batch, wanted, make, rejects, HOW_WRITTEN)

    return Understood(schema, rows, known, notes, open_, file.batches)


def _native(
    source: str,
    found: pa.Schema | None,
    batches: Callable[[], Iterator[pa.RecordBatch]],
    columns: pa.Schema | None,
    reading: Reading,
    rejects: Rejects | None,
) -> Understood:
    """A source whose values already have types."""
    begun: list[Iterator[pa.RecordBatch]] = []
    if found is None:
        rows = batches()
        first = next(rows, None)
        if first is None:
            raise InvalidRows(f"{source} has no rows")
        found = first.schema.remove_metadata()
        begun.append(chain([first], rows))  # a query is not run again needlessly
    schema = found if columns is None else _typed(found, columns)

    def open_(columns: pa.Schema) -> Iterator[pa.RecordBatch]:
        wanted = _typed(schema, columns)
        for batch in begun.pop() if begun else batches():
            yield _fitted(source, batch, wanted, lambda _name, kind, values: fitted(values, kind), rejects)

    return Understood(schema, None, reading, [], open_, batches)


def _made(texts: Collection[str], rules: Rules, name: str, kind: pa.DataType, cells: pa.Array) -> pa.Array:
    """The values of the cells of a column; those in ``texts`` literally."""
    return cells if name in texts else rules.parsed(rules.present(cells), kind)


def _fitted(
    source: str,
    batch: pa.RecordBatch,
    wanted: pa.Schema,
    make: Callable[[str, pa.DataType, pa.Array], pa.Array],
    rejects: Rejects | None,
    way_out: str = "",
) -> pa.RecordBatch:
    """``batch`` with the types ``wanted``, into which ``make`` converts each column.

    Raises:
        WrongValue: a value does not fit, and there are no ``rejects`` to set its row aside; the message names row and column.
    """
    made, reasons = [], None if rejects is None else dict[int, str]()
    for name, values in zip(batch.schema.names, batch.columns, strict=True):
        kind = wanted.field(name).type

        def reason(error: Misfit, name: str = name, kind: pa.DataType = kind) -> str:
            return f"column {name!r}: {error.reason(kind)}"

        try:
            made.append(fitting(partial(make, name, kind), values, reasons, reason))
        except WrongType:
            raise WrongValue(
                f"{source}: column {name!r} holds {named(values.type)} from row {row_of(batch, 0)} on, where the table has "
                f"{named(kind)}: cast it there. Nothing was changed",
                name,
            ) from None
        except Inexact as error:
            raise WrongValue(
                f"{source}, row {row_of(batch, error.index)}, column {name!r}: the number has more digits than the column "
                f"holds, whose numbers have {kind.bit_width} bits (about {DIGITS[kind.bit_width]} digits), and would be "
                "rounded: round it yourself. Nothing was changed",
                name,
            ) from None
        except Misfit as error:
            raise WrongValue(
                f"{source}, row {row_of(batch, error.index)}, column {name!r}: the value is not of type {named(kind)}, as "
                f"the column's other values are. Correct it{way_out}. Nothing was changed",
                name,
            ) from None
    whole = pa.RecordBatch.from_arrays(made, schema=wanted.with_metadata(batch.schema.metadata))
    return whole if rejects is None else rejects.without(whole, reasons or {}, batch)


def _typed(found: pa.Schema, declared: pa.Schema, texts: Collection[str] = ()) -> pa.Schema:
    """The columns that were found, with the types that are declared, or else those of their values; those in ``texts`` are
    always text."""
    plain = {field.name: field.type.value_type if pa.types.is_dictionary(field.type) else field.type for field in found}
    kinds = plain | {field.name: field.type for field in declared} | dict.fromkeys(texts, pa.string())
    return pa.schema([pa.field(field.name, kinds[field.name]) for field in found])


def _kind(path: Path) -> tuple[str, ...]:
    """The kind of file, by its name and its first bytes.

    Raises:
        InvalidRows: there is no such file, or name and bytes disagree.
    """
    if path.is_dir():
        return PARQUET
    if not path.is_file():
        raise InvalidRows(f"there is no file {path}: give one ({ENDS}), or a database URL and --query")
    kind = next((ends for ends in (TEXT, EXCEL, PARQUET) if path.name.lower().endswith(ends)), None)
    if kind is None:
        raise InvalidRows(f"{path} does not end in any of {ENDS}: convert it, or give a database URL and --query")
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise InvalidRows(f"{path} cannot be read ({(error.strerror or '').lower()})") from error
    begins = {b"PAR1": PARQUET, b"PK\x03\x04": EXCEL, b"\xd0\xcf\x11\xe0": None}.get(start, TEXT)
    if begins != kind and not (kind == PARQUET and begins == TEXT):
        looks = {PARQUET: "a Parquet file", EXCEL: "an Excel file (.xlsx)", None: "an old Excel file (.xls)", TEXT: "text"}[
            begins
        ]
        raise InvalidRows(f"{path} is {looks}, not what its name says: rename it, or save it in the named format")
    return kind

"""Text files: the cells of a ``.csv``, ``.tsv`` or ``.txt`` file as texts, without guesses about what they mean.

Cells are what is between delimiters; quotation marks only protect delimiters and line breaks in them. The file is read in
pieces, so its size does not matter.
"""

import codecs
import csv
import gzip
import io
import re
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from expunge.data.dialect import Reading
from expunge.data.headings import first_row_names, require_names
from expunge.data.quotation import BadText, Quotation
from expunge.data.row_numbers import numbered_as
from expunge.errors import InvalidRows

START = 1 << 20
"""Number of bytes from which delimiter and encoding are detected."""
BLOCK, LARGEST = 1 << 20, 1 << 28
"""Numbers of bytes read at a time, at first and at most; a row must fit into them."""
DELIMITERS = ",;\t|"
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""What files may begin with, and the encodings that this means."""
UTF8 = ("utf-8", "utf-8-sig")


class TextFile:
    """A text file whose dialect is known.

    Args:
        path: path of the file, which may be compressed with gzip.
        reading: what is known about it.
        expected: names of columns that it should have.

    Raises:
        InvalidRows: it is empty, its heading cannot be used, or it is unclear whether it has one.
    """

    def __init__(self, path: Path, reading: Reading, expected: tuple[str, ...] = ()) -> None:
        self.path = path
        start = _start(path)
        encoding = _encoding(reading.encoding, start)
        try:
            text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(start)
        except UnicodeError as error:
            raise InvalidRows(f"{path}: the text is not {encoding}: give another --encoding") from error
        lines = text.lstrip("\r\n")
        if not lines.strip("\0 \t\r\n"):
            raise InvalidRows(f"{path} is empty: choose a file with a heading and rows")
        self._blank = len(re.findall(r"\r\n|\r|\n", text[: len(text) - len(lines)]))
        if len(start) == START:
            lines = lines[: max(lines.rfind("\n"), lines.rfind("\r")) + 1] or lines
        self.delimiter = reading.delimiter or _delimiter(lines)
        self._encoding, self._block = encoding, BLOCK
        self._width = len(_first_record(lines, self.delimiter))
        first = next(self._records(), None)
        cells = [] if first is None else [column[0].as_py() for column in first[0].columns]
        names = first_row_names(str(path), cells, reading.heading, expected)
        self.has_heading = names is not None
        self.names = names or [f"column_{i + 1}" for i in range(self._width)]
        require_names(str(path), self.names)

    @property
    def reading(self) -> Reading:
        """What is known about it now."""
        return Reading(delimiter=self.delimiter, encoding=self._encoding, heading=self.has_heading)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Its rows below the heading, each cell a text, or null where it is empty; blank rows are skipped.

        Raises:
            InvalidRows: a row cannot be read.
        """
        for batch, first in self._records():
            numbers = np.arange(first, first + len(batch))
            is_kept = _is_anything(batch)
            if is_kept is not None:
                batch, numbers = batch.filter(is_kept), numbers[np.asarray(is_kept)]
            if self.has_heading and len(batch) and numbers[0] == self._blank + 1:
                batch, numbers = batch.slice(1), numbers[1:]
            if len(batch):
                yield numbered_as(pa.RecordBatch.from_arrays(batch.columns, names=self.names), numbers)

    def _records(self) -> Iterator[tuple[pa.RecordBatch, int]]:
        """All records from the first line that is not blank, and the number of the first in each batch."""
        done = 0
        while True:
            try:
                yield from self._records_from(done)
                return
            except _RowTooLong as error:
                done, self._block = error.rows, self._block * 16
                if self._block > LARGEST:
                    raise InvalidRows(
                        f"{self.path}, row {self._blank + 1 + done} or one soon after it is longer than {LARGEST >> 20} MB: "
                        "probably a quotation mark was opened and never closed"
                    ) from None

    def _records_from(self, skipped: int) -> Iterator[tuple[pa.RecordBatch, int]]:
        token, row, was_closed = secrets.token_hex(16), 0, False
        names = [str(i) for i in range(self._width)]
        stream = _Utf8(self.path, self._encoding, self.delimiter, f"\n{token}{self.delimiter * (self._width - 1)}\n".encode())
        try:
            reader = pyarrow.csv.open_csv(
                stream,
                pyarrow.csv.ReadOptions(use_threads=False, column_names=names, block_size=self._block, skip_rows=self._blank),
                pyarrow.csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True, ignore_empty_lines=False),
                pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
                ),
            )
            for batch in reader:
                if len(batch) and batch.column(0)[-1].as_py() == token:
                    batch, was_closed = batch.slice(0, len(batch) - 1), True
                new = batch.slice(max(0, skipped - row))
                row += len(batch)
                if len(new):
                    yield new, self._blank + 1 + row - len(new)
        except pa.ArrowInvalid as error:
            if "straddl" in str(error):
                raise _RowTooLong(max(row, skipped)) from None
            raise self._refused(str(error)) from None
        except BadText as error:
            raise InvalidRows(f"{self.path}, row {self._row_of_bad_text()}: {error}") from None
        except (OSError, EOFError, zlib.error) as error:
            raise _broken(self.path, error) from error
        if not was_closed:
            raise InvalidRows(
                f"{self.path}, row {self._blank + row}: a quotation mark was opened and never closed, so all that follows "
                "would be one cell. Correct the row; nothing was changed"
            )

    def _refused(self, said: str) -> InvalidRows:
        """Arrow's message, without the row that it quotes."""
        ragged = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", said)
        if ragged:
            row, expected, found = (int(text) for text in ragged.groups())
            return InvalidRows(
                f"{self.path}, row {row} has {found} cells where the first has {expected}: correct the row, or give "
                "--delimiter if the wrong one was detected. Nothing was changed"
            )
        bad = re.search(r"CSV column #(\d+): Row #(\d+).*invalid UTF8", said)
        if bad:
            return InvalidRows(f"{self.path}, row {bad[2]}, column {int(bad[1]) + 1}: {_NOT_UTF8}")
        return InvalidRows(f"{self.path} cannot be read: {said.splitlines()[0].partition(':')[0]}. Nothing was changed")

    def _row_of_bad_text(self) -> int:
        """The row of the first character that is not valid text."""
        codecs.register_error("expunge.marked", lambda error: (_MARK, getattr(error, "end", 0)))
        row = 0
        with opened(self.path) as file, _long_cells():
            text = io.TextIOWrapper(file, self._encoding, errors="expunge.marked", newline="")
            try:
                for row, cells in enumerate(csv.reader(text, delimiter=self.delimiter, strict=True), start=1):
                    if any(_MARK in cell or "\0" in cell for cell in cells):
                        return row
            except csv.Error:
                return row + 1
        return row


_MARK = "\udcff"
_NOT_UTF8 = (
    "the text is not UTF-8: give its encoding, such as --encoding cp1252 for Western European files from Windows. Nothing was "
    "changed"
)


class _RowTooLong(Exception):
    """A row does not fit into a block; ``rows`` were read before it."""

    def __init__(self, rows: int) -> None:
        self.rows = rows


class _Utf8:
    """What Arrow reads: the text as UTF-8 without a mark at its start, and ``end`` after it."""

    closed = False

    def __init__(self, path: Path, encoding: str, delimiter: str, end: bytes) -> None:
        self._chunks, self._left = self._checked(path, encoding, delimiter, end), b""

    def read(self, n: int) -> bytes:
        """The next ``n`` bytes, fewer only at the end."""
        parts, size = [self._left], len(self._left)
        while size < n:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            parts.append(chunk)
            size += len(chunk)
        found = b"".join(parts)
        self._left = found[n:]
        return found[:n]

    def close(self) -> None:
        """Ends reading."""
        self.closed = True
        self._chunks.close()

    @staticmethod
    def _checked(path: Path, encoding: str, delimiter: str, end: bytes) -> Any:
        quotation = Quotation(delimiter)
        for chunk in _pieces(path, encoding):
            quotation.add(chunk)
            yield chunk
        quotation.add(end, is_last=True)
        yield end


def _pieces(path: Path, encoding: str) -> Iterator[bytes]:
    is_utf8 = encoding in UTF8
    decoder = codecs.getincrementaldecoder(encoding)()
    with opened(path) as file:
        if encoding == "utf-8-sig":
            file.read(len(codecs.BOM_UTF8))
        while chunk := file.read(BLOCK):
            yield _without_zeros(chunk if is_utf8 else _decoded(decoder, encoding, chunk))
    yield b"" if is_utf8 else _decoded(decoder, encoding, b"", final=True)


def _decoded(decoder: Any, encoding: str, chunk: bytes, final: bool = False) -> bytes:
    try:
        return cast(str, decoder.decode(chunk, final)).encode()
    except UnicodeError:
        raise BadText(f"the text is not {encoding}: give another --encoding. Nothing was changed") from None


def _without_zeros(chunk: bytes) -> bytes:
    if b"\0" in chunk:
        raise BadText(
            "there is a zero byte, which text cannot have: if the file is UTF-16, give --encoding utf-16. Nothing was changed"
        )
    return chunk


def opened(path: Path) -> IO[bytes]:
    """The bytes of a file, decompressed.

    Raises:
        InvalidRows: it cannot be opened.
    """
    try:
        with path.open("rb") as file:
            is_compressed = file.read(2) == b"\x1f\x8b"
        return cast(IO[bytes], gzip.open(path)) if is_compressed else path.open("rb")
    except OSError as error:
        raise InvalidRows(f"{path} cannot be read ({(error.strerror or '').lower()})") from error


def _start(path: Path) -> bytes:
    try:
        with opened(path) as file:
            return file.read(START)
    except (OSError, EOFError, zlib.error) as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> InvalidRows:
    return InvalidRows(f"{path} cannot be read ({error}): it is damaged or incomplete; supply it again. Nothing was changed")


def _encoding(given: str | None, start: bytes) -> str:
    """The encoding that is given, or that the first bytes show, or UTF-8."""
    marked = next((encoding for mark, encoding in MARKS.items() if start.startswith(mark)), "utf-8")
    if given is None:
        return marked
    name = codecs.lookup(given).name
    family = next(
        (family for family in ("utf-8", "utf-16") if name.startswith(family) or (family, name) == ("utf-8", "ascii")), ""
    )
    if family and marked.startswith(family):
        return marked
    return "utf-16-le" if name == "utf-16" else name  # the usual order of bytes where the mark is left out


def _is_anything(batch: pa.RecordBatch) -> pa.Array | None:
    """Which rows have a cell that is not empty; ``None`` if all have."""
    is_blank = None
    for column in batch.columns:
        if not column.null_count:
            return None
        is_blank = column.is_null() if is_blank is None else pc.and_(is_blank, column.is_null())
    return pc.invert(is_blank) if is_blank is not None and pc.any(is_blank).as_py() else None


@contextmanager
def _long_cells() -> Iterator[None]:
    """Lets Python's reader have cells of any length meanwhile."""
    limit = csv.field_size_limit(1 << 30)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _first_record(lines: str, delimiter: str) -> list[str]:
    with _long_cells():
        return next(csv.reader(io.StringIO(lines, newline=""), delimiter=delimiter), [])


def _delimiter(lines: str) -> str:
    """The delimiter: it is in the first row, and as often in those that follow."""

    def merit(delimiter: str) -> tuple[bool, int]:
        records = csv.reader(io.StringIO(lines, newline=""), delimiter=delimiter)
        with _long_cells():
            widths = [len(record) for record, _ in zip(records, range(100), strict=False) if record]
        return len(set(widths)) == 1, widths[0] if widths else 0

    found = {delimiter: merit(delimiter) for delimiter in DELIMITERS}
    split = [delimiter for delimiter in DELIMITERS if found[delimiter][1] > 1]
    return max(split, key=lambda delimiter: found[delimiter], default=",")

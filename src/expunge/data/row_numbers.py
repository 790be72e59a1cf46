"""The number of a row in the user's file, in every error, report and file of rejects.

The rule, kept only here: in a text or Excel file rows are numbered as in a spreadsheet program, from 1, including the heading
and blank rows, and a row whose quoted cells span several lines counts once. So below a heading the first row is row 2.
Rows of Parquet files and of queries are numbered from 1; those of a folder continue from file to file.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

FIRST, NUMBERS = b"expunge.first_row", b"expunge.row_numbers"


def counted(batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
    """``batch``, whose rows are numbered from ``first`` on."""
    return batch.replace_schema_metadata({FIRST: str(first).encode()})


def numbered_as(batch: pa.RecordBatch, numbers: NDArray[np.int64]) -> pa.RecordBatch:
    """``batch``, whose rows have these increasing ``numbers``, ``(n_rows,)``."""
    if len(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1:
        return counted(batch, int(numbers[0]))
    return batch.replace_schema_metadata({NUMBERS: numbers.astype("<i8").tobytes()})


def rows_of(batch: pa.RecordBatch, first: int = 1) -> Sequence[int]:
    """The numbers of the rows of ``batch`` in their file, if ``read_batches`` set them; otherwise from ``first`` on.

    Examples:
        >>> list(rows_of(counted(pa.record_batch({"a": [5, 6]}), 2)))
        [2, 3]
    """
    metadata = batch.schema.metadata or {}
    if NUMBERS in metadata:
        return [int(number) for number in np.frombuffer(metadata[NUMBERS], "<i8")]
    first = int(metadata.get(FIRST, first))
    return range(first, first + len(batch))


def row_of(batch: pa.RecordBatch, index: int) -> int:
    """The number of the row at ``index`` in ``batch``."""
    return rows_of(batch)[index]

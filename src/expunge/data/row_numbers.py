"""What a row is called: its number in the user's file, in every error, report and file of rejects.

The rule, kept here alone: in a text or Excel file rows count as spreadsheet programs show them, from 1, with the heading, with
blank rows, and a row whose quoted cells run over several lines counts once. So below a heading the first row is row 2.
Rows of Parquet files and of queries count from 1; those of a folder count on from file to file.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

FIRST, NUMBERS = b"expunge.first_row", b"expunge.row_numbers"


def counted(batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
    """``batch``, whose rows are ``first`` and those that follow it."""
    return batch.replace_schema_metadata({FIRST: str(first).encode()})


def numbered_as(batch: pa.RecordBatch, numbers: NDArray[np.int64]) -> pa.RecordBatch:
    """``batch``, whose rows have these ``numbers``, ``(n_rows,)``, which increase."""
    if len(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1:
        return counted(batch, int(numbers[0]))
    return batch.replace_schema_metadata({NUMBERS: numbers.astype("<i8").tobytes()})


def rows_of(batch: pa.RecordBatch, first: int = 1) -> Sequence[int]:
    """The numbers, in their file, of the rows of ``batch``, as ``read_batches`` gave them; from ``first`` on if it did not.

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
    """The number of the row that stands at ``index`` in ``batch``."""
    return rows_of(batch)[index]

"""What a row is called: its number in the user's file, in every error, report and file of rejects.

The rule, kept here alone: in a text or Excel file rows count as spreadsheet programs show them, from 1, with the heading, with
blank rows, and a row whose quoted cells run over several lines counts once. So below a heading the first row is row 2.
Rows of Parquet files and of queries count from 1; those of a folder count on from file to file.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

FIRST, NUMBERS = b"expunge.first_row", b"expunge.row_numbers"


def counted(batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
    """``batch``, whose rows are ``first`` and those that follow it."""
    return batch.replace_schema_metadata({FIRST: str(first).encode()})


def numbered_as(batch: pa.RecordBatch, numbers: NDArray[np.int64]) -> pa.RecordBatch:
    """``batch``, whose rows have these ``numbers``, ``(n_rows,)``."""
    return batch.replace_schema_metadata({NUMBERS: numbers.astype("<i8").tobytes()})


def row_of(batch: pa.RecordBatch, index: int) -> int:
    """The number, in its file, of the row that stands at ``index`` in ``batch``, which is as ``read_batches`` gave it.

    >>> row_of(counted(pa.record_batch({"a": [5, 6]}), 2), 1)
    3
    """
    metadata = batch.schema.metadata or {}
    if NUMBERS in metadata:
        return int(np.frombuffer(metadata[NUMBERS], "<i8")[index])
    return int(metadata.get(FIRST, b"1")) + index

"""Rejects: rows that are set aside with the reason, on request, so that the rest of their file can be taken."""

import csv
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expunge.data.column_types import Misfit
from expunge.data.row_numbers import numbered_as, rows_of

ROW, REASON = "row", "reason"
"""Columns of a file of rejects before those of the rows."""


class Rejects:
    """Rows that are set aside."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, str, dict[str, Any]]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: int, reason: str, given: pa.RecordBatch | pa.Table) -> None:
        """Sets aside the only row of ``given``, whose number is ``row``."""
        self._rows.append((row, reason, given.to_pylist()[0]))

    def without(self, batch: pa.RecordBatch, reasons: Mapping[int, str], given: pa.RecordBatch) -> pa.RecordBatch:
        """``batch`` without the rows at these positions, which are set aside as in ``given``; ``given`` has the row numbers."""
        if not reasons:
            return batch
        names = np.array(rows_of(given))
        for place, reason in sorted(reasons.items()):
            self.add(int(names[place]), reason, given.slice(place, 1))
        is_kept = np.ones(len(batch), dtype=bool)
        is_kept[list(reasons)] = False
        return numbered_as(batch.filter(pa.array(is_kept)), names[is_kept])

    @property
    def document(self) -> str:
        """All of them as a CSV file, in the order of their rows."""
        names = list(dict.fromkeys(name for _row, _reason, cells in self._rows for name in cells))
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([ROW, REASON, *names])
        for row, reason, cells in sorted(self._rows, key=lambda each: each[:2]):
            writer.writerow([row, reason, *(cells.get(name) for name in names)])
        return out.getvalue()


def fitting(
    make: Callable[[pa.Array], pa.Array], cells: pa.Array, reasons: dict[int, str] | None, reason: Callable[[Misfit], str]
) -> pa.Array:
    """``cells`` as converted by ``make``; those it refuses are missing, and ``reasons`` has their positions and the ``reason``.

    Raises:
        Misfit: it refuses a cell, and there are no ``reasons``.
    """
    fits = np.ones(len(cells), dtype=bool)
    while True:
        try:
            return make(cells if fits.all() else pc.if_else(pa.array(fits), cells, pa.scalar(None, cells.type)))
        except Misfit as error:
            if reasons is None:
                raise
            fits[error.index] = False
            reasons.setdefault(error.index, reason(error))

"""The local engine: one batch after the other; BLAS uses the cores inside each."""

from collections.abc import Callable
from functools import reduce
from typing import TypeVar

from expunge.errors import InvalidRows
from expunge.rows import Rows, RowSource

T = TypeVar("T")


class LocalEngine:
    """Reduces in this process, holding one batch at a time."""

    def reduce(self, source: RowSource, function: Callable[[Rows], T], combine: Callable[[T, T], T]) -> T:
        """``combine`` folded over ``function(batch)``, in the order of the source.

        Raises:
            InvalidRows: the source has no rows.
        """
        batches = source.batches()
        first = next(batches, None)
        if first is None:
            raise InvalidRows("there are no rows: give at least one")
        return reduce(combine, map(function, batches), function(first))

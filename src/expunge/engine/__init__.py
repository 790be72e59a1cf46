"""Engines: how a sum over row batches is carried out. The one protocol every solver and unlearner uses."""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import numpy as np

from expunge.errors import InvalidRows
from expunge.problem.rows import Rows, RowSource

T = TypeVar("T")


class Engine(Protocol):
    """Reduces a function of row batches over a whole source."""

    def reduce(self, source: RowSource, function: Callable[[Rows], T], combine: Callable[[T, T], T]) -> T:
        """``combine`` folded over ``function(batch)``; of two results it may change the first. Raises ``InvalidRows`` if the
        source has no rows."""
        ...


def reduced_part(part: RowSource, function: Callable[[Rows], T], combine: Callable[[T, T], T]) -> T | None:
    """One part of a source, batch by batch; ``None`` where it has no rows.

    What over- or underflows raises no warning: whoever asked for a sum looks whether it is finite.
    """
    with np.errstate(all="ignore"):
        return folded(map(function, part.batches()), combine)


def folded(results: Iterable[T | None], combine: Callable[[T, T], T]) -> T | None:
    """``combine`` over the results of parts that have rows, two at a time; ``None`` where none has.

    While a result is being made, only the total so far is held: ``functools.reduce`` would hold the last result too.
    """
    total: T | None = None
    for result in results:
        if result is not None:
            total = result if total is None else combine(total, result)
        del result
    return total


def require_rows(result: T | None) -> T:
    """``result``, if there were any rows to make it of.

    Raises:
        InvalidRows: there were none.
    """
    if result is None:
        raise InvalidRows("there are no rows: give at least one")
    return result

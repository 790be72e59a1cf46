"""Engines: how a sum over row batches is carried out. The one protocol every solver and unlearner uses."""

from collections.abc import Callable
from functools import reduce
from typing import Protocol, TypeVar

from expunge.errors import InvalidRows
from expunge.rows import Rows, RowSource

T = TypeVar("T")


class Engine(Protocol):
    """Reduces a function of row batches over a whole source."""

    def reduce(self, source: RowSource, function: Callable[[Rows], T], combine: Callable[[T, T], T]) -> T:
        """``combine`` folded over ``function(batch)``; raises ``InvalidRows`` if the source has no rows."""
        ...


def reduced_part(part: RowSource, function: Callable[[Rows], T], combine: Callable[[T, T], T]) -> T | None:
    """One part of a source, batch by batch; ``None`` where it has no rows."""
    results = map(function, part.batches())
    first = next(results, None)
    return None if first is None else reduce(combine, results, first)


def require_rows(result: T | None) -> T:
    """``result``, if there were any rows to make it of.

    Raises:
        InvalidRows: there were none.
    """
    if result is None:
        raise InvalidRows("there are no rows: give at least one")
    return result

"""Engines: how a sum over row batches is carried out. The one protocol every solver and unlearner uses."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from expunge.rows import Rows, RowSource

T = TypeVar("T")


class Engine(Protocol):
    """Reduces a function of row batches over a whole source."""

    def reduce(self, source: RowSource, function: Callable[[Rows], T], combine: Callable[[T, T], T]) -> T:
        """``combine`` folded over ``function(batch)``; raises ``InvalidRows`` if the source has no rows."""
        ...

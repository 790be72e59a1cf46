"""What callers give beside X and y: whose rows are, and the rows that remain."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

from expunge.data.identities import subject_texts
from expunge.errors import InvalidRows
from expunge.identities import canonical
from expunge.problem.rows import Rows, RowSource

Remaining = tuple[Any, Any] | tuple[Any, Any, Any] | tuple[Any, Any, Any, Any] | RowSource | None
"""``(X, y)``, ``(X, y, sample_weight)``, ``(X, y, sample_weight, subjects)`` or a ``RowSource`` of all rows learned and not
forgotten."""


def texts(subjects: Sequence[object] | None) -> list[str] | None:
    """Ids of subjects in the form in which they are compared at every door.

    Raises:
        InvalidRows: one is missing, or is not an id; names the row.
    """
    return None if subjects is None else [canonical(text) for text in subject_texts(subjects, "subjects")]


def source(remaining: Remaining, encoded: Callable[..., Rows]) -> RowSource | None:
    """The rows that remain, checked and encoded only when they are read.

    Raises:
        InvalidRows: they are neither arrays nor a source.
    """
    if remaining is None or hasattr(remaining, "batches"):
        return remaining  # type: ignore[return-value]  # a RowSource
    if not isinstance(remaining, tuple | list) or len(remaining) not in (2, 3, 4):
        raise InvalidRows("remaining must be (X, y), (X, y, sample_weight), (X, y, sample_weight, subjects) or a RowSource")
    return _Deferred(encoded, tuple(remaining))


class _Deferred:
    """A ``RowSource`` of ``encoded(*given)``."""

    def __init__(self, encoded: Callable[..., Rows], given: tuple[Any, ...]) -> None:
        self._encoded, self._given = encoded, given

    def batches(self) -> Iterator[Rows]:
        return self._rows.batches()

    @cached_property
    def _rows(self) -> Rows:
        return self._encoded(*self._given)

"""The local engine: row batches in threads, BLAS with one thread in each, so that the two pools do not fight.

As many threads run as BLAS is allowed (``OPENBLAS_NUM_THREADS`` and kin). Parts are combined in the order of the source,
whichever is done first, so that the digits do not depend on the threads; one part more than there are threads is held.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import TypeVar

from expunge.engine import folded, reduced_part, require_rows
from expunge.engine.threads import blas_threads, one_blas_thread
from expunge.problem.rows import Rows, RowSource, parts_of

T = TypeVar("T")


class LocalEngine:
    """Reduces in this process, holding a few batches at a time."""

    def reduce(self, source: RowSource, function: Callable[[Rows], T], combine: Callable[[T, T], T]) -> T:
        """``combine`` folded over ``function(batch)``, in the order of the source.

        Args:
            source: the rows.
            function: of one batch; pure, called in several threads.
            combine: of two results, in the order of the rows; it may change the first.

        Raises:
            InvalidRows: the source has no rows.
        """
        parts = parts_of(source)
        ahead = [part for part in (next(parts, None), next(parts, None)) if part is not None]
        reduced = partial(reduced_part, function=function, combine=combine)
        if len(ahead) < 2 or blas_threads() == 1:
            return require_rows(folded(map(reduced, chain(ahead, parts)), combine))
        with one_blas_thread():
            return require_rows(folded(_threaded(chain(ahead, parts), reduced), combine))


def _threaded(parts: Iterator[RowSource], reduced: Callable[[RowSource], T | None]) -> Iterator[T | None]:
    """The results of the parts in their order."""
    waiting: deque[Future[T | None]] = deque()
    with ThreadPoolExecutor(blas_threads()) as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(reduced, part))
                if len(waiting) > blas_threads():
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

"""The Dask engine: parts of a source summed on the workers of a cluster, with LocalEngine's answers to rounding.

A pass sends its function, which holds the anchor, once: as a task of which every worker fetches the result. The parts are
folded in runs of consecutive ones, each on the worker that folded it in the pass before as long as that one lives, so that
what it has cached of them is used; the results of the runs are then added up as a tree. Runs and tree do not depend on who
does what: a worker that is lost is replaced by another, which does its tasks again, and no digit changes.
"""

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

from expunge.engine import folded, reduced_part, require_rows
from expunge.engine.local import LocalEngine
from expunge.engine.threads import one_blas_thread
from expunge.errors import EngineUnavailable
from expunge.problem.rows import PartedSource, Rows, RowSource

T = TypeVar("T")

RUNS_PER_THREAD = 4
"""So that threads wait little for the last one, and workers hold few results."""
RETRIES = 2
"""How often a task is tried again that failed on its worker, on top of being moved off workers that are lost."""
FAN_IN = 8
PATIENCE = 10.0
"""Seconds to wait for the scheduler, and for a first worker."""


class DaskEngine:
    """Reduces on the cluster whose scheduler is at ``address`` (``dask://host:port``).

    Rows that lie in this process's memory are reduced in it: sending them out would take longer.

    Args:
        address: of the scheduler, ``dask://host:port``.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    @cached_property
    def _client(self) -> Any:
        try:
            from distributed import Client
        except ImportError as error:
            raise EngineUnavailable("a dask:// engine needs Dask: pip install 'expunge[dask]'") from error
        try:
            client = Client(self.address.removeprefix("dask://"), timeout=PATIENCE, set_as_default=False)
            client.wait_for_workers(1, timeout=PATIENCE)
        except (OSError, TimeoutError, ValueError) as error:
            raise EngineUnavailable(
                f"no Dask cluster with a worker answers at {self.address}: start it, or correct the address"
            ) from error
        return client

    @cached_property
    def _n_runs(self) -> int:
        return RUNS_PER_THREAD * max(1, int(sum(self._client.nthreads().values())))

    def close(self) -> None:
        """Lets go of the scheduler."""
        if "_client" in self.__dict__:
            self._client.close()

    def reduce(self, source: RowSource, function: Callable[[Rows], T], combine: Callable[[T, T], T]) -> T:
        """``combine`` folded over ``function(batch)``, run by run, the runs as a tree.

        Args:
            source: the rows, in parts that workers can read.
            function: of one batch; pure, called on the workers.
            combine: of two results, in the order of the rows; it may change the first.

        Raises:
            InvalidRows: the source has no rows, or a part cannot be read.
            EngineUnavailable: no cluster answers, or it was lost, or too many of its workers.
        """
        if not isinstance(source, PartedSource):
            return LocalEngine().reduce(source, function, combine)
        import dask
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        parts = source.parts()
        step = max(1, -(-len(parts) // self._n_runs))
        runs = [parts[i : i + step] for i in range(0, len(parts), step)]
        try:
            with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):  # p × p numbers are large
                sent = self._client.submit(_itself, function, pure=False)
            workers = sorted(self._client.nthreads())
            results = [
                self._client.submit(
                    _run,
                    run,
                    sent,
                    combine,
                    workers=[workers[i * len(workers) // len(runs)]] if workers else None,
                    allow_other_workers=True,
                    retries=RETRIES,
                    pure=False,
                )
                for i, run in enumerate(runs)
            ]
            while len(results) > 1:
                groups = [results[i : i + FAN_IN] for i in range(0, len(results), FAN_IN)]
                results = [self._client.submit(_folded_anew, group, combine, retries=RETRIES, pure=False) for group in groups]
            total: T | None = results[0].result() if results else None
            return require_rows(total)
        except (KilledWorker, FutureCancelledError, OSError, TimeoutError) as error:
            raise EngineUnavailable(
                f"the Dask cluster was lost in the middle of a pass ({type(error).__name__}): see the workers' logs (out of "
                "memory?) and try again; nothing was changed"
            ) from error


def _itself(function: Callable[[Rows], T]) -> Callable[[Rows], T]:
    return function


def _folded_anew(results: Sequence[T | None], combine: Callable[[T, T], T]) -> T | None:
    """``folded``, but that no result is changed: a worker keeps them, and may have to combine them once more."""
    found = [result for result in results if result is not None]
    return folded([copy.deepcopy(result) if k == 0 else result for k, result in enumerate(found)], combine)


def _run(run: Sequence[RowSource], function: Callable[[Rows], T], combine: Callable[[T, T], T]) -> T | None:
    """One run of parts, with one BLAS thread in each of the worker's."""
    with one_blas_thread():
        return folded((reduced_part(part, function, combine) for part in run), combine)

"""The state of a model with a Hessian: its statistics, and the ladder that it climbs. Theory §4.3 to §4.5."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from expunge.engine import Engine
from expunge.errors import CapacityExceeded, NoOptimum
from expunge.problem.rows import Rows, RowSource
from expunge.unlearning import forecast, influence, ladder
from expunge.unlearning.anchored import AnchoredState, Candidate
from expunge.unlearning.declared import DeclaredBound
from expunge.unlearning.ladder import from_statistics, polished, refit, usable
from expunge.unlearning.remaining import Passes
from expunge.unlearning.report import Forecast
from expunge.unlearning.rung import Rung
from expunge.unlearning.state import State

Array = NDArray[np.float64]


class DenseState(State):
    """A state that climbs the rungs of ``expunge.unlearning.ladder``."""

    def candidates(
        self,
        remaining: RowSource | None,
        engine: Engine,
        max_passes: int,
        declared: DeclaredBound | None = None,
        before_refit: Callable[[], None] = lambda: None,
        *,
        is_known: bool = False,
    ) -> Iterator[Candidate]:
        """The statistics' candidates, and with ``remaining`` rows those of the passes and of a refit."""
        try:
            state = usable(self)
        except (NoOptimum, CapacityExceeded):
            if remaining is None:
                raise
            before_refit()
            yield refit(self, remaining, engine, 0, self.anchor)
            return
        first, measure = from_statistics(state, declared), None if remaining is None else Passes(state, remaining, engine)
        if measure is not None and not is_known:
            measure(first.point, True)
        yield first
        state = state.tightened()
        if declared is None:
            yield from_statistics(state, sharply=True, closely=remaining is None or ladder.is_cheaper_than_a_pass(state))
        if remaining is None or measure is None:
            return
        point = first.point
        for candidate in polished(state, point, measure, max_passes):
            yield candidate
            point = candidate.point
        before_refit()
        yield refit(state, remaining, engine, max_passes, point)

    def anchored_again(self, candidate: Candidate, source: RowSource, engine: Engine) -> Candidate:
        return ladder.anchored_again(self, candidate, source, engine)

    def rung_needed(self, distance: float, allowed: float, max_passes: int) -> Rung:
        """Each pass gains about a factor e^t − 1 (theory §4.4)."""
        step, hessian_step, _residual = self.step
        t = self.geometry.hessian_change(step, self.geometry.length(step, hessian_step)).t
        needed = allowed / distance if distance > 0 else 1.0
        is_contracting = t < np.log(2.0) and np.expm1(t) ** max_passes <= needed
        return Rung.PASS if max_passes > 0 and is_contracting else Rung.REFIT

    def displacements(self, rows: Rows, metric: Array | None = None) -> Array:
        return influence.displacements(self, rows, metric)

    def forecasts(
        self, is_enough: Callable[[Candidate], bool], max_passes: int, sample: Rows | None, declared: DeclaredBound | None
    ) -> tuple[Forecast, ...]:
        return forecast.forecasts(self, is_enough, max_passes, sample, declared)

    def rung_expected(
        self,
        n_rows: int,
        is_enough: Callable[[Candidate], bool],
        max_passes: int,
        sample: Rows,
        declared: DeclaredBound | None,
    ) -> Rung:
        passes = forecast.passes_expected(self, n_rows, is_enough, max_passes, sample, declared)
        return Rung.REFIT if passes is None else Rung.PASS if passes else Rung.STATISTICS


def require_hessian(state: AnchoredState) -> DenseState:
    """``state`` itself, if it has a Hessian.

    Raises:
        ValueError: it has none.
    """
    if not isinstance(state, DenseState):
        raise ValueError("a wide model keeps no Hessian, which this needs: fit it with a larger memory_budget")
    return state

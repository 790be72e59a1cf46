"""Fits: where a model's first state is made, with a Hessian if that fits the memory budget. Theory §4.5, §5.7."""

from dataclasses import replace

import numpy as np

from expunge.engine import Engine
from expunge.errors import NoOptimum
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows, RowSource
from expunge.unlearning.anchored import AnchoredState, Candidate
from expunge.unlearning.dense import DenseState
from expunge.unlearning.ladder import from_statistics
from expunge.unlearning.remaining import require_rows
from expunge.unlearning.rung import Rung
from expunge.unlearning.settings import Settings
from expunge.unlearning.wide import descended, is_wide


def fitted(objective: Objective, source: RowSource, engine: Engine, settings: Settings) -> Candidate:
    """A new anchor: with its Hessian, if that fits the memory budget, else without.

    Raises:
        InvalidRows, NoOptimum: the rows cannot be fitted.
    """
    if not is_wide(objective, settings.memory_budget):
        state = DenseState.fitted(objective, source, engine, order=settings.order_for(objective))
        return replace(from_statistics(state), rung=Rung.REFIT)
    *_, last = descended(objective, source, engine, np.zeros(objective.n_parameters))
    return last


def refit_cold(state: AnchoredState, source: RowSource, engine: Engine, settings: Settings) -> Candidate:
    """A fit on the rows that ``state`` holds, as somebody would make it who never saw others.

    Raises:
        InvalidRows, NotLearned: ``source`` is not what the state holds.
        NoOptimum: the rows determine no model, or the descent of a wide model stalls before its optimum.

    Source: theory §5.7.
    """
    require_rows(state, source, engine)
    cold = fitted(state.objective, source, engine, settings)
    if cold.rung is not Rung.REFIT:
        raise NoOptimum(
            "the descent stalled before the optimum: its last gradient no longer falls, though it is more than rounding. Scale "
            "the columns alike, raise the penalty (smaller C, larger alpha), or raise memory_budget. Nothing was changed"
        )
    return cold if isinstance(source, Rows) else cold.state.anchored_again(cold, source, engine)

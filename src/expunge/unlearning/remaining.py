"""Passes over the remaining rows, and whether these are the rows that a state holds. Theory §4.4."""

import operator
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.engine import Engine
from expunge.errors import InvalidRows, NotLearned
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.statistics import Sums, anchor_digest
from expunge.problem.rows import Rows, RowSource
from expunge.unlearning.anchored import AnchoredState
from expunge.unlearning.state import SAME

Array = NDArray[np.float64]

OVERFLOWING = 1e150
"""Rows whose statistics are bounded never differ by this."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What one pass over the rows finds: sums at a point and at the anchor, max |x|, and max |Xᵢᵀ(point − anchor)|₂."""

    here: Sums
    at_anchor: Sums
    row_norm: float
    row_shift: float

    def __add__(self, other: "Measured") -> "Measured":
        return Measured(
            self.here.plus(other.here, 1.0),
            self.at_anchor.plus(other.at_anchor, 1.0),
            max(self.row_norm, other.row_norm),
            max(self.row_shift, other.row_shift),
        )


Pass = Callable[[Array, bool], Measured]
"""Makes a pass at a point; the flag says whether it is the first, which also checks the rows."""


@dataclass
class Passes:
    """A ``Pass`` over the remaining rows; the first, which checks them, is made once."""

    state: AnchoredState
    remaining: RowSource
    engine: Engine
    first: Measured | None = None

    def __call__(self, point: Array, is_first: bool) -> Measured:
        if not is_first:
            return measure(self.state, self.remaining, self.engine, point, is_first)
        self.first = self.first or measure(self.state, self.remaining, self.engine, point, is_first)
        return self.first


def require_rows(state: AnchoredState, source: RowSource, engine: Engine) -> None:
    """Raises ``InvalidRows`` or ``NotLearned`` unless ``source`` holds the state's own rows; one pass."""
    measure(state, source, engine, state.anchor, is_first=True)


def measure(state: AnchoredState, remaining: RowSource, engine: Engine, point: Array, is_first: bool) -> Measured:
    """One gradient pass at ``point``; the first also checks, at the anchor, that the rows are the state's own."""
    objective, moved = state.objective, point - state.anchor
    digest, anchor, is_weighted = anchor_digest(objective, point), state.statistics.anchor, state.statistics.is_weighted

    def measured_of(rows: Rows) -> Measured:
        at = Evaluation(objective, objective.check(rows, is_weighted), point)
        here = Sums.at(at, digest)
        old = Sums.at(at.moved_to(state.anchor), anchor) if is_first else here
        return Measured(here, old, at.longest, at.shift(moved))

    measured: Measured = engine.reduce(remaining, measured_of, operator.add)
    if is_first:
        _require_same_rows(state, measured)
    return measured


def _require_same_rows(state: AnchoredState, measured: Measured) -> None:
    """Refuses rows that cannot be the state's own, whatever the rounding was: other numbers, weights, norms or gradients."""
    held, found = state.statistics, measured.at_anchor
    off = abs(found.count - held.count)
    is_same = found.n_rows == held.n_rows and np.array_equal(found.class_rows, held.class_rows)
    if not (is_same and off <= (found.count_error + held.count_error) * (1.0 + 1e-6)):
        raise InvalidRows(
            f"remaining has rows of total weight {found.count:g} ({_by_class(found)}), but {held.count:g} ({_by_class(held)}) "
            "are learned and not forgotten: pass exactly the rows that remain"
        )
    longest = state.extremes.row_norm
    if measured.row_norm > longest * SAME:
        raise InvalidRows(
            f"remaining holds a row that is longer ({measured.row_norm:.6g}) than any row learned ({longest:.6g}): "
            "pass exactly the rows that remain, encoded as they were for fit"
        )
    if not held.is_bounded:
        return  # nothing is known of the gradient
    with np.errstate(over="ignore", invalid="ignore"):
        apart = float(np.linalg.norm(found.gradient_sum - held.gradient_sum))
    if not apart <= min((found.gradient_error + held.gradient_error) * (1.0 + 1e-6), OVERFLOWING):
        raise NotLearned(
            f"remaining is not what was learned less what is to be forgotten (their gradients differ by {apart:.3g}): a row "
            "of the request was never learned, or remaining holds other rows or other weights; nothing was changed"
        )


def _by_class(sums: Sums) -> str:
    per_class = f", {'/'.join(map(str, sums.class_rows))} by class" if len(sums.class_rows) else ""
    return f"{sums.n_rows} rows{per_class}"

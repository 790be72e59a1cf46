"""The secret state of a model: an anchor, the statistics of its rows there, and what the certificate needs of them.

A ``State`` is a value: rows enter by ``added`` and leave by ``removed``, each giving a new state in O(mp²) whatever the
number of rows is. After any sequence it holds exactly the statistics of the rows that remain (theory §4.2), with μ and v
kept valid (theory §4.3).
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from expunge.engine import Engine
from expunge.errors import LastRows, NoOptimum, NotLearned
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.factor import Exchange, Factor, Hessian, Solution, eigenvalue_floor, inverse_error
from expunge.numerics.higher import HigherSums, HigherTerms, Reference
from expunge.numerics.leverage import leverages, top_leverage
from expunge.numerics.rounding import gamma, penalty_scale_error, quiet
from expunge.numerics.solver import minimise
from expunge.numerics.splitting import can_be_split, split
from expunge.numerics.statistics import RowExtremes, RowTerms, Statistics, Sums, sum_up
from expunge.numerics.support import Support
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows, RowSource
from expunge.unlearning import bounds
from expunge.unlearning.anchored import AnchoredState
from expunge.unlearning.declared import DeclaredBound

Array = NDArray[np.float64]

SAME = 1.0 + 1e-9
"""Two computations of one row's norm may differ by this factor: with up to 10⁶ columns they never differ by more."""
DRIFT = 1e-9
"""Relative residual of the Newton step above which the inverse is recomputed."""


@dataclass(frozen=True, eq=False)
class State(AnchoredState):
    """Statistics at an anchor, ready to be stepped from.

    Args:
        factor: an approximate inverse of the Hessian of ``statistics``.
        anchor_gradient: bound on |∇J(b)|₂ for the rows the anchor was fitted on.
        order: 3 where third derivatives are kept too, else 2; of the next refit as well.
        higher: what is kept beyond the Hessian; ``None`` where nothing is: a quadratic loss, an ill-conditioned fit, an old
            file.
        reference: what leverages in ``higher`` are with respect to.
        support: where the rows have values; ``None`` if that is not known.

    The other arguments are those of ``AnchoredState``.
    """

    statistics: Statistics
    factor: Factor
    anchor_gradient: float
    order: int = 2
    higher: HigherSums | None = None
    reference: Reference | None = None
    support: Support | None = None

    has_hessian = True

    @classmethod
    def fitted(
        cls, objective: Objective, source: RowSource, engine: Engine, start: Array | None = None, *, order: int = 2
    ) -> Self:
        """The state of a new anchor: Newton to the optimum, then one pass for all that is kept beyond the Hessian.

        Args:
            start: weights to start from, ``(p,)``; see ``solver.minimise``.
            order: 3 to keep third derivatives too, else 2.

        Raises:
            InvalidRows, NoOptimum: see ``solver.minimise``; also a classifier's rows with a class missing.
        """
        support = None
        if isinstance(source, Rows) and can_be_split(source):
            support = engine.reduce(source, partial(_support, objective), operator.or_)
            source = split(objective, source, support)
        optimum = minimise(objective, source, engine, start)
        statistics = optimum.statistics
        require_all_classes(statistics, "the rows")
        hessian = Hessian(objective, statistics.hessian_sum, statistics.count)
        floor = eigenvalue_floor(hessian)
        if floor == 0.0 and objective.penalty == 0.0:
            raise NoOptimum(
                "the Hessian is singular to working precision: columns of X are linearly dependent, or their scales differ "
                "too much; add a penalty, drop columns or rescale them"
            )
        reference = Reference.of(hessian, optimum.factor) if objective.loss.self_concordance > 0 else None
        beyond, whitened = None, math.inf
        if reference is not None:
            look = partial(_beyond, objective, optimum.anchor, reference, order, support)
            beyond = engine.reduce(source, look, operator.iadd)
            whitened = math.sqrt(beyond.leverage / (1.0 - reference.eta))
        fresh = cls(
            objective=objective,
            anchor=optimum.anchor,
            statistics=statistics,
            factor=optimum.factor,
            extremes=RowExtremes(optimum.row_norm, _no_worse(whitened, optimum.row_norm, floor)),
            curvature_floor=floor,
            changed=0.0,
            anchor_gradient=math.inf,
            order=order,
            higher=None if beyond is None else beyond.higher,
            reference=reference,
            support=None if beyond is None else beyond.support,
        )
        gradient = float(np.linalg.norm(fresh.gradient)) * (1.0 + gamma(len(fresh.anchor) + 8))
        return replace(fresh, anchor_gradient=gradient + fresh.gradient_error)

    @cached_property
    def hessian(self) -> Hessian:
        """H = ∇²J at the anchor."""
        return Hessian(self.objective, self.statistics.hessian_sum, self.statistics.count)

    @property
    def trace(self) -> float:
        """tr H."""
        return self.hessian.trace

    @property
    def hessian_error(self) -> float:
        """A bound on the rounding error of H in the spectral norm, the count's included."""
        return self.statistics.hessian_error + penalty_scale_error(self.objective, self.statistics.count_error)

    @property
    def geometry(self) -> bounds.Geometry:
        """The Hessian as the bounds see it."""
        c = self.objective.loss.self_concordance
        intercepts = self.objective.loss.outputs if self.objective.fit_intercept else 0
        return bounds.Geometry(c, self.extremes, self.curvature_floor, self.hessian_error, self.support, intercepts)

    def hessian_change(self, displacement: Array, by_rows: float = math.inf) -> bounds.HessianChange:
        """How far a displacement from the anchor can move the Hessian; ``by_rows`` as for ``Geometry.hessian_change``."""
        geometry = self.geometry
        return geometry.hessian_change(displacement, geometry.length(displacement, self.hessian @ displacement), by_rows)

    @quiet
    def tightened(self) -> Self:
        """The same state with μ recomputed from the Hessian, O(p³): the product bound of downdates gets slack."""
        return replace(self, curvature_floor=max(self.curvature_floor, eigenvalue_floor(self.hessian)))

    @cached_property
    @quiet
    def step(self) -> Solution:
        """D = −H⁻¹q: the model is at b + D."""
        return self.factor.solve(self.hessian, -self.gradient)

    @property
    def point(self) -> Array:
        """w̄ = b + D, ``(p,)``: the un-noised model."""
        return self.anchor + self.step.x

    @quiet
    def settled(self) -> Self:
        """The same state, its inverse recomputed, O(p³), if it has drifted too far for refinement or H may be singular.

        Raises:
            NoOptimum: the Hessian is singular.
        """
        goal = DRIFT * float(np.linalg.norm(self.gradient)) + self.gradient_error
        if self.curvature_floor > 0 and self.step.residual <= goal:
            return self
        return replace(self, factor=Factor.of(self.hessian))

    @quiet
    def added(self, rows: Rows) -> Self:
        """The state with ``rows`` learned. H grows, so that μ and v stay valid for the old rows."""
        at = self.evaluated(rows)
        terms = RowTerms.at(at, self.statistics.anchor)
        grown = self._with(self.statistics + terms, terms, at, 1.0)
        row_norm = at.longest
        if not grown.statistics.is_bounded:
            return replace(grown, extremes=self.extremes | RowExtremes(row_norm, math.inf))
        grown = replace(grown, factor=Exchange.of(self.hessian, self.factor, terms.root).exchanged(grown.hessian, 1.0))
        eta = inverse_error(grown.hessian, grown.factor)
        leverage = _top_leverage(at, grown.factor) / (1.0 - eta) if eta < 1.0 else math.inf
        new = RowExtremes(row_norm, _no_worse(math.sqrt(leverage), row_norm, self.curvature_floor))
        return replace(grown, extremes=self.extremes | new)

    @quiet
    def without(self, gone: Evaluation) -> Self:
        """The state with rows forgotten, which were ``evaluated`` here.

        μ and v are scaled by the top whitened curvature s of the rows (theory §4.3); where s cannot be shown to be below 1
        they are recomputed or given up, which leaves no certificate without a refit.

        Raises:
            NotLearned: a row that cannot have been learned.
            LastRows: the rows are all that was learned, or all of one class.
            NoOptimum: what remains determines no model.
        """
        require_short(gone.norms, self.extremes.row_norm)
        terms = RowTerms.at(gone, self.statistics.anchor)
        require_remaining(terms, self.statistics)
        shrunk = self._with(self.statistics - terms, terms, gone, -1.0)
        require_all_classes(shrunk.statistics, "the rows that would remain")
        if not shrunk.statistics.is_bounded:
            return shrunk
        exchange = Exchange.of(self.hessian, self.factor, terms.root)
        self._require_learned(terms, exchange)
        s = exchange.top_whitened_curvature(self.curvature_floor) + self._penalty_share(shrunk)
        if s < 1.0:
            floor = self.curvature_floor * (1.0 - s)
            whitened = self.extremes.whitened_norm / math.sqrt(1.0 - s)
        else:
            floor, whitened = eigenvalue_floor(shrunk.hessian), math.inf
        extremes = RowExtremes(self.extremes.row_norm, _no_worse(whitened, self.extremes.row_norm, floor))
        factor = exchange.exchanged(shrunk.hessian, -1.0)
        return replace(shrunk, factor=factor, curvature_floor=floor, extremes=extremes)

    def declared_distance(self, declared: DeclaredBound, rounding: float) -> float:
        """Δ from declared constants alone; ``rounding`` is what it adds to |∇J(w̄)|₂. Source: theory §4.1."""
        return declared.distance(self.objective, self.anchor, self.statistics, self.changed, self.anchor_gradient, rounding)

    def _with(self, statistics: Statistics, terms: Sums, at: Evaluation, sign: float) -> Self:
        """The state with ``statistics``, which differ from its own by ``sign`` times the ``terms`` of ``at``."""
        changed = replace(self, statistics=statistics, changed=changed_by(self.changed, terms))
        if self.higher is not None and self.reference is not None:
            higher = HigherTerms.at(at, self.reference, self.order)
            changed = replace(changed, higher=self.higher.plus(higher, sign))
        if self.support is not None and sign > 0:
            changed = replace(changed, support=self.support | Support.of(self.objective, at.rows))
        return changed

    def _penalty_share(self, shrunk: Self) -> float:
        """In the mean form rows take their share of the penalty along: at most m/n of H, m the weight that goes."""
        if self.objective.form == "sum" or self.objective.penalty == 0:
            return 0.0
        before, after = self.statistics.count, shrunk.statistics.count
        eta = self.geometry.eta
        return (before - after) / before * (1.0 + eta) * (1.0 + gamma(8)) if before > 0 and eta < 1.0 else math.inf

    def _require_learned(self, terms: RowTerms, exchange: Exchange) -> None:
        """Refuses a row with more curvature than all learned rows and the penalty together, whatever the rounding was."""
        if not self.geometry.eta < 1.0:
            return
        most = 1.0 + (self.hessian_error + terms.hessian_error) / self.geometry.mu * (1.0 + gamma(8))
        curvature = exchange.own_curvature(self.objective.loss.outputs)
        _refuse(curvature > most, lambda _row: "it has more curvature than all learned rows together")


def changed_by(changed: float, terms: Sums) -> float:
    """``changed`` with the total weight of ``terms``, rounded up."""
    return sum_up(changed, sum_up(terms.count, terms.count_error))


def require_short(norms: Array, row_norm: float) -> None:
    """Raises ``NotLearned`` for a row to forget that is longer than any row learned."""
    _refuse(norms > row_norm * SAME, lambda row: f"it is longer ({norms[row]:.6g}) than any row learned ({row_norm:.6g})")


def _refuse(impossible: NDArray[np.bool_], reason: Callable[[int], str]) -> None:
    if impossible.any():
        row = int(np.argmax(impossible))
        raise NotLearned(
            f"row {row} of the request cannot have been learned: {reason(row)}. Check that it is encoded as it was for fit; "
            "nothing was changed"
        )


def require_remaining(forgotten: Sums, learned: Sums) -> None:
    """Raises ``LastRows`` if all rows are to be forgotten."""
    if forgotten.n_rows >= learned.n_rows:
        raise LastRows(
            f"asked to forget {forgotten.n_rows} of {learned.n_rows} learned rows: at least one row must remain; give "
            "up the model instead"
        )


def require_all_classes(statistics: Sums, which: str) -> None:
    """Raises ``LastRows`` if a classifier's rows hold none of some class."""
    missing = np.flatnonzero(statistics.class_rows <= 0)
    if len(missing):
        raise LastRows(
            f"{which} contain no row of class code {missing[0]} (classes_[{missing[0]}]): "
            "a classifier needs rows of every class; fit a new model without that class",
            int(missing[0]),
        )


@dataclass(frozen=True, eq=False)
class _Beyond:
    """What a fit finds out about its rows beyond their Hessian."""

    higher: HigherSums
    leverage: float
    support: Support

    def __iadd__(self, other: "_Beyond") -> "_Beyond":
        higher = self.higher
        higher += other.higher
        return _Beyond(higher, max(self.leverage, other.leverage), self.support | other.support)


def _support(objective: Objective, rows: Rows) -> Support:
    return Support.of(objective, objective.check(rows))


def _beyond(
    objective: Objective, anchor: Array, reference: Reference, order: int, support: Support | None, rows: Rows
) -> _Beyond:
    rows = rows.on_host() if order == 3 else rows  # where the slabs of B are
    support, at = support or Support.of(objective, rows), Evaluation(objective, rows, anchor)
    found = leverages(at, reference.root)
    return _Beyond(HigherSums.at(at, found, order), float(found[0].max(initial=0.0)), support)


def _top_leverage(at: Evaluation, factor: Factor) -> float:
    """No less than the largest eigenvalue over rows of XᵢᵀGXᵢ, G the inverse that ``factor`` holds."""
    return math.inf if factor.root is None else top_leverage(at, factor.root)


def _no_worse(whitened: float, row_norm: float, curvature_floor: float) -> float:
    """v, or R/√μ where that is smaller."""
    return min(whitened, row_norm / math.sqrt(curvature_floor)) if curvature_floor > 0 else whitened

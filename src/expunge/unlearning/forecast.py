"""Forecast: how many more deletions each rung of the ladder should certify. Estimates, for planning alone. Theory §4.3, §4.4.

Deletions are simulated on the statistics, and the ladder itself is asked; only what is not at hand is estimated.

- Random rows: those of the sample are really taken away, up to half of it or 1,024. For more, the mean of the state's own
  statistics and √m times the fluctuation of those rows take their place; with no sample the fluctuation is drawn from the
  Hessian, which in a likelihood is the covariance of the gradients.
- A pass over the remaining rows: ∇J(w) = ∇J(b) + H(w − b) + what is beyond second order, estimated from the sample.
- The worst case: the rows of the sample by how far each moves the model, the farthest first, each standing for as many
  of the learned rows as the sample is smaller. With no sample: the bound that holds for any rows, from |ℓ′| ≤ b₁,
  ℓ″ ≤ β and v.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from expunge.errors import LastRows, NoOptimum, NotLearned
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.factor import Factor
from expunge.numerics.statistics import Sums
from expunge.problem.rows import Rows
from expunge.unlearning import bounds
from expunge.unlearning.anchored import Candidate
from expunge.unlearning.bounds import UNCHANGED, HessianChange
from expunge.unlearning.declared import DeclaredBound
from expunge.unlearning.influence import displacements
from expunge.unlearning.ladder import from_statistics, polished
from expunge.unlearning.remaining import Measured, Pass
from expunge.unlearning.report import Forecast
from expunge.unlearning.rung import Rung
from expunge.unlearning.state import State, require_all_classes

Array = NDArray[np.float64]

DRAWS, PASS_DRAWS = 9, 5
"""Random orders simulated, and those of them with which the passes are; the forecast is their median."""
PASS_ROWS = 1 << 13
"""Rows that a simulated pass reads at most."""
TAKEN = 1 << 10
"""Rows that are really taken away at most."""
TOLERANCE = 0.05
"""Relative width at which the search for a capacity stops."""
NOT_CERTIFIED = (LastRows, NoOptimum, NotLearned)
"""What a deletion meets that is too large for the model: no row of a class is left, no minimum, or more curvature would go than
there is. Whatever else is raised is about the sample, and is for the caller."""


IsEnough = Callable[[Candidate], bool]
"""Whether a candidate could be released."""


def forecasts(
    state: State, is_enough: IsEnough, max_passes: int, sample: Rows | None, declared: DeclaredBound | None = None
) -> tuple[Forecast, ...]:
    """One forecast for the statistics alone, and one for each number of passes up to ``max_passes``.

    Args:
        is_enough: whether a candidate is near enough for a release.
        sample: some of the learned rows, or all of them.
        declared: the bound of the statistics' rung, where it is not ``local``.
    """
    state, rng = state.settled(), np.random.default_rng(0)
    if sample is None:
        simulations = [_typical_rows(state, rng) for _ in range(DRAWS)]
        random = [_capacities(_needed(simulation, is_enough, declared), state)[0] for simulation in simulations]
        worst = _capacities(lambda m: 0.0 if is_enough(_whatever_rows(state, m, declared)) else math.inf, state)
        unknown = [Forecast(passes, None, None) for passes in range(1, max_passes + 1)]
        return (Forecast(0, int(np.median(random)), worst[0]), *unknown)
    draws = []
    for draw in range(DRAWS):
        passes = max_passes if draw < PASS_DRAWS else 0
        shuffled = sample.take(rng.permutation(len(sample)))
        draws.append(_capacities(_needed(_random_rows(state, shuffled, passes), is_enough, declared), state, passes))
    worst = _capacities(_needed(_worst_rows(state, sample, max_passes), is_enough, declared), state, max_passes)
    medians = [np.median([found[k] for found in draws if k < len(found)]) for k in range(max_passes + 1)]
    return tuple(Forecast(k, int(medians[k]), worst[k]) for k in range(max_passes + 1))


def passes_expected(
    state: State,
    n_rows: int,
    is_enough: IsEnough,
    max_passes: int,
    sample: Rows,
    declared: DeclaredBound | None = None,
) -> int | None:
    """How many passes one request of ``n_rows`` at random should take; ``None`` where it should end in a refit.

    The median of the first draws of ``forecasts``, without its search for the largest request: a fiftieth of the work.

    Args:
        is_enough: whether a candidate is near enough for a release.
        sample: some of the learned rows, or all of them.
        declared: the bound of the statistics' rung, where it is not ``local``.
    """
    state, rng = state.settled(), np.random.default_rng(0)
    found: list[float] = []
    while len(found) < PASS_DRAWS and all(found.count(passes) <= PASS_DRAWS // 2 for passes in found):
        simulation = _random_rows(state, sample.take(rng.permutation(len(sample))), max_passes)
        found.append(_needed(simulation, is_enough, declared)(n_rows))
    median = sorted(found)[len(found) // 2]
    return int(median) if math.isfinite(median) else None


@dataclass(frozen=True)
class _Simulation:
    """The state after m deletions, and up to ``max_passes`` passes over what then remains."""

    after: Callable[[int], State]
    rest: "Callable[[int], _EstimatedPass] | None" = None
    max_passes: int = 0


def _needed(simulation: _Simulation, is_enough: IsEnough, declared: DeclaredBound | None) -> Callable[[int], float]:
    """How many passes should certify m deletions; ``inf`` where none of the simulated do."""

    @cache
    def needed(m: int) -> float:
        try:
            state = simulation.after(m)
            found = from_statistics(state, declared, sharply=True)
            if is_enough(found):
                return 0.0
            if simulation.rest is not None:
                passes = simulation.rest(m).over(state)
                for candidate in polished(state, found.point, passes, simulation.max_passes):
                    if is_enough(candidate):
                        return float(candidate.passes)
        except NOT_CERTIFIED:
            pass
        return math.inf

    return needed


def _capacities(needed: Callable[[int], float], state: State, max_passes: int = 0) -> list[int]:
    """The largest m that needs no more than 0, 1, … ``max_passes`` passes, by doubling and bisection, to ``TOLERANCE``."""
    found: list[int] = []
    n = state.statistics.n_rows
    for passes in range(max_passes + 1):
        low = found[-1] if found else 0
        high = max(1, 2 * low)
        while high < n and needed(high) <= passes:
            low, high = high, 2 * high
        high = min(high, n)
        while high - low > max(1, int(TOLERANCE * low)):
            middle = (low + high) // 2
            low, high = (middle, high) if needed(middle) <= passes else (low, middle)
        found.append(low)
    return found


def _random_rows(state: State, shuffled: Rows, max_passes: int) -> _Simulation:
    half = max(1, len(shuffled) // 2)

    @cache
    def fluctuation() -> Array:
        taken = shuffled.take(slice(0, half)).batches()
        gradient = sum(Evaluation(state.objective, batch, state.anchor).gradient for batch in taken)
        mean = state.statistics.gradient_sum / state.statistics.n_rows
        return np.asarray(gradient - half * mean) / math.sqrt(half * (1.0 - half / (1.0 + state.statistics.n_rows)))

    def after(m: int) -> State:
        if m <= min(half, TAKEN):
            return _without(state, shuffled.take(slice(0, m)))
        return _without_typical(state, m, fluctuation())

    @cache
    def rest() -> _EstimatedPass:
        return _EstimatedPass(state, shuffled.take(slice(half, half + PASS_ROWS)))

    return _Simulation(after, (lambda _m: rest()) if max_passes else None, max_passes)


def _typical_rows(state: State, rng: np.random.Generator) -> _Simulation:
    values, vectors = np.linalg.eigh(state.statistics.hessian_sum / state.statistics.n_rows)
    fluctuation = vectors @ (np.sqrt(np.maximum(values, 0.0)) * rng.standard_normal(len(values)))
    return _Simulation(lambda m: _without_typical(state, m, fluctuation))


def _worst_rows(state: State, sample: Rows, max_passes: int) -> _Simulation:
    ordered = sample.take(np.argsort(-displacements(state, sample), kind="stable"))
    share = min(1.0, len(sample) / state.statistics.n_rows)
    state = replace(state, statistics=replace(state.statistics, is_weighted=True))  # a row of the sample stands for several

    def taken(m: int) -> int:
        return math.ceil(m * share)

    def after(m: int) -> State:
        worst = ordered.take(slice(0, taken(m)))
        left = state.removed(replace(worst, sample_weight=worst.weight * m / taken(m)))
        gone = (state.statistics.class_rows - left.statistics.class_rows) * (m / taken(m))
        estimated = np.floor(state.statistics.class_rows - gone + 0.5).astype(np.int64)
        require_all_classes(replace(left.statistics, class_rows=estimated), "the rows that would remain")
        return left.settled().tightened()

    def rest(m: int) -> _EstimatedPass:
        return _EstimatedPass(state, ordered.take(slice(taken(m), None, math.ceil(len(ordered) / PASS_ROWS))))

    return _Simulation(after, rest, max_passes)


def _without(state: State, rows: Rows) -> State:
    return state.removed(rows).settled().tightened()


def _without_typical(state: State, m: int, fluctuation: Array) -> State:
    """The state without m rows whose gradients add up to m times the mean and √m times ``fluctuation``."""
    statistics, share = state.statistics, m / state.statistics.n_rows
    left = replace(
        statistics,
        n_rows=statistics.n_rows - m,
        count=statistics.count * (1.0 - share),
        gradient_sum=statistics.gradient_sum * (1.0 - share) - math.sqrt(m * (1.0 - share)) * fluctuation,
        hessian_sum=statistics.hessian_sum * (1.0 - share),
    )
    shrunk = replace(
        state,
        statistics=left,
        changed=state.changed + statistics.count * share,
        extremes=replace(state.extremes, whitened_norm=state.extremes.whitened_norm / math.sqrt(1.0 - share)),
        curvature_floor=state.curvature_floor * (1.0 - share),
    )
    return replace(shrunk, factor=Factor.of(shrunk.hessian)).tightened()


class _EstimatedPass:
    """A pass over the remaining rows, its part beyond second order estimated from ``rows``, some of these."""

    def __init__(self, anchored: State, rows: Rows) -> None:
        self._rows = rows
        at = Evaluation(anchored.objective, rows, anchored.anchor)
        self._gradient, self._root = at.gradient, at.curvature_root()

    def over(self, state: State) -> Pass:
        """The pass over what ``state`` holds."""
        scale = state.statistics.count / float(self._rows.weight.sum())
        at_anchor = Sums(**{field.name: getattr(state.statistics, field.name) for field in fields(Sums)})
        at_anchor = replace(at_anchor, gradient_error=0.0, hessian_error=0.0)

        def measure(point: Array, _is_first: bool) -> Measured:
            at = Evaluation(state.objective, self._rows, point)
            moved = point - state.anchor
            beyond = at.gradient - self._gradient - self._root.T @ (self._root @ moved)
            gradient = state.statistics.gradient_sum + state.statistics.hessian_sum @ moved + scale * beyond
            return Measured(replace(at_anchor, gradient_sum=gradient), at_anchor, at.longest, at.shift(moved))

        return measure


def _whatever_rows(state: State, m: int, declared: DeclaredBound | None) -> Candidate:
    """The statistics' candidate whichever m rows of weight one go; infinitely far where nothing can be proven. Its energy is in
    the metric of the Hessian before they went, for which the noise is known. Source: theory §4.3.

    Their whitened curvature is s ≤ mβv² and their gradients have |Σ∇ℓ|_{H⁻¹} ≤ m·b₁·v.
    """
    loss, geometry = state.objective.loss, state.geometry
    v, c = geometry.whitened_norm, loss.self_concordance
    s = m * loss.curvature_bound * v**2
    if declared is not None:
        left = replace(state.statistics, count=state.statistics.count - m)
        distance = replace(state, statistics=left, changed=state.changed + m).declared_distance(declared, 0.0)
        return Candidate(state, state.point, distance, Rung.STATISTICS, 0)
    if c == 0.0:
        return Candidate(state, state.point, 0.0, Rung.EXACT, 0, energy_distance=0.0)
    if not (s < 1.0 and math.isfinite(loss.derivative_bound)):
        return Candidate(state, state.point, math.inf, Rung.STATISTICS, 0)
    grown = v / math.sqrt(1.0 - s)
    length = (geometry.length(state.step.x, state.step.product) + m * loss.derivative_bound * v) / math.sqrt(1.0 - s)
    change = HessianChange(by_norm=math.inf, by_whitened_norm=c * grown * length, by_rows=math.inf)
    after = replace(
        geometry,
        extremes=replace(geometry.extremes, whitened_norm=grown),
        curvature_floor=geometry.curvature_floor * (1.0 - s),
    )
    decrement = bounds.newton_decrement(length, UNCHANGED, change)
    energy = bounds.energy_distance(after, bounds.growth_of(change.t), decrement)
    distance, before = after.euclidean(energy), energy / math.sqrt(1.0 - s)
    return Candidate(state, state.point, distance, Rung.STATISTICS, 0, change.t, energy_distance=before)

"""Unlearner: learns, forgets and releases. The heart. Theory §4 and §5; the ladder of design §1.

The state is secret and changes in one place, by replacing one value after everything else has succeeded: whatever
raises leaves it bit-identical. What comes out is a ``Release``, another type, whose weights have passed through the
noise; un-noised weights have no public name.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from expunge.adversary import displacements
from expunge.certificate import ASSUMPTIONS, CAVEATS, DECLARED_NORM, Certificate
from expunge.engine import Engine
from expunge.engine.local import LocalEngine
from expunge.errors import BudgetSpent, CapacityExceeded, InvalidRows
from expunge.evaluation import row_norms
from expunge.forecast import CapacityReport, forecasts
from expunge.ladder import Candidate, climb, estimate_rung, fitted, refit
from expunge.noise import Noise, grid_rounding, secure_noise
from expunge.objective import Objective
from expunge.privacy import PrivacyBudget
from expunge.rows import Rows, RowSource
from expunge.settings import Settings
from expunge.state import State
from expunge.wide import WideState

Array = NDArray[np.float64]

VERSION = version("expunge")

Announce = Callable[[], None]


def _silent() -> None:
    """Says nothing."""


@dataclass(frozen=True, eq=False)
class Release:
    """Weights that may leave, ``(p,)``, read-only, and the certificate that goes with them."""

    weights: Array
    certificate: Certificate


@dataclass(frozen=True, eq=False)
class Secret:
    """All that changes: the state, the un-noised weights last released, the budget, and the releases so far."""

    state: State | WideState
    point: Array
    budget: PrivacyBudget
    n_releases: int
    release: Release

    @property
    def hessian_state(self) -> State:
        """The state, if it has a Hessian.

        Raises:
            ValueError: it has none.
        """
        if isinstance(self.state, WideState):
            raise ValueError(
                "a wide model has no statistics from which this could be told: every change passes over the remaining rows, "
                "and is certified by that"
            )
        return self.state


class Unlearner:
    """A model that can forget: use ``learn_from`` to make one.

    Every operation climbs the ladder of ``expunge.ladder`` and takes the cheapest rung whose proven distance Δ is within
    what σ, ε, δ and the budget left allow.

    >>> from expunge.losses import Squared
    >>> from expunge.privacy import Guarantee
    >>> rows = Rows.of([[1.0], [1.0], [2.0]], [1.0, 2.0, 3.0])
    >>> objective = Objective(Squared(), n_features=1, penalty=0.0, fit_intercept=False)
    >>> model = Unlearner.learn_from(objective, rows, Settings(Guarantee(1.0, 1e-5), sigma=0.0))
    >>> float(model.release.weights[0])  # (1·1 + 1·2 + 2·3) / (1 + 1 + 4)
    1.5
    >>> release = model.forget(Rows.of([[2.0]], [3.0]))
    >>> float(release.weights[0]), release.certificate.rung
    (1.5, 'exact')
    """

    def __init__(self, settings: Settings, secret: Secret, engine: Engine, noise: Noise) -> None:
        self.settings = settings
        self._secret = secret
        self._engine = engine
        self._noise = noise

    @classmethod
    def learn_from(
        cls,
        objective: Objective,
        source: RowSource,
        settings: Settings,
        *,
        engine: Engine | None = None,
        noise: Noise = secure_noise,
    ) -> "Unlearner":
        """An unlearner fitted on ``source``, with its first release.

        Raises:
            InvalidRows, NoOptimum: the rows cannot be fitted.
            CapacityExceeded: the fit is too ill-conditioned for σ to cover its rounding.
        """
        started = time.perf_counter()
        engine = LocalEngine() if engine is None else engine
        settings.check(objective)
        candidate = fitted(objective, source, engine, settings.memory_budget)
        _require_norm(candidate.state.extremes.row_norm, settings.row_norm)
        budget = PrivacyBudget(settings.guarantee.mu if settings.sigma > 0 else math.inf)
        _cheapest(iter([candidate]), settings, budget, has_rows=True)
        secret = _released(settings, noise, None, candidate, budget, Change(), started)
        return cls(settings, secret, engine, noise)

    @property
    def objective(self) -> Objective:
        """What is minimised."""
        return self._secret.state.objective

    @property
    def release(self) -> Release:
        """The last release."""
        return self._secret.release

    @property
    def n_releases(self) -> int:
        """How many releases there have been, the fit included."""
        return self._secret.n_releases

    def forget(self, rows: Rows, remaining: RowSource | None = None, *, before_refit: Announce = _silent) -> Release:
        """A release from which nobody can tell, up to (ε, δ), that ``rows`` were ever learned.

        Args:
            rows: the rows to forget, a set: duplicates are an error.
            remaining: all rows learned and not forgotten, ``rows`` excluded; lets the ladder go beyond the statistics.
            before_refit: called if no pass proves enough, before the refit is made; raising in it leaves everything as it is.

        Raises:
            InvalidRows: malformed, duplicate or too many rows, or the last of a class.
            NotLearned: a row that cannot have been learned.
            CapacityExceeded, BudgetSpent: no rung within reach proves enough; says which would.
        """
        return self._operate(Change(removed=rows), remaining, before_refit)

    def learn(self, rows: Rows, remaining: RowSource | None = None, *, before_refit: Announce = _silent) -> Release:
        """A release that has learned ``rows`` too; ``remaining``, if given, holds all rows, the new ones included.

        Raises:
            InvalidRows: malformed rows.
            CapacityExceeded, BudgetSpent: as for ``forget``.
        """
        return self._operate(Change(added=rows), remaining, before_refit)

    def rectify(self, old: Rows, new: Rows, remaining: RowSource | None = None, *, before_refit: Announce = _silent) -> Release:
        """A release with ``old`` forgotten and ``new`` learned in their place, in one step.

        Raises:
            InvalidRows, NotLearned, CapacityExceeded, BudgetSpent: as for ``forget``.
        """
        return self._operate(Change(removed=old, added=new), remaining, before_refit)

    def refit(self, source: RowSource) -> Release:
        """A release from a new anchor; nothing then depends on those forgotten, and the budget is whole again.

        Args:
            source: exactly the rows learned and not forgotten.

        Raises:
            InvalidRows, NotLearned: ``source`` holds other rows.
        """
        return self._operate(Change(is_refit=True), source, _silent)

    def influence(self, rows: Rows) -> Array:
        """How far each of these rows moves the un-noised weights when it goes, to first order in the 2-norm, ``(n_rows,)``.

        A wide model, which has no Hessian, gives an upper bound on that: |∇ℓᵢ|/μ.
        """
        state = self._secret.state
        if isinstance(state, WideState):
            return state.displacements(self.objective.check(rows))
        return displacements(state, self.objective.check(rows))

    def capacity(self, sample: Rows | None = None) -> CapacityReport:
        """What is used of the capacity to forget, and a forecast of what is left: an estimate, for planning.

        Args:
            sample: some of the learned rows, or all of them; without it the forecast is of the statistics' rung alone.

        Raises:
            InvalidRows: rows that do not fit the model.
            ValueError: sigma is 0, so that nothing is promised that could be exceeded; or a wide model.
        """
        secret, settings = self._secret, self.settings
        if settings.sigma == 0:
            raise ValueError("with sigma=0 nothing is promised, and so there is no capacity: choose a positive sigma")
        state = secret.hessian_state
        if sample is not None:
            self.objective.check(sample)
        budget = secret.budget.owing()
        allowed = settings.sigma * budget.mu_left() - grid_rounding(len(secret.point), settings.sigma)
        return CapacityReport(
            changed=state.changed,
            remaining=state.statistics.count,
            distance_bound=secret.release.certificate.distance_bound,
            distance_allowed=max(0.0, allowed),
            budget_used=(budget.mu_total / budget.mu_limit) ** 2,
            forecasts=forecasts(state, allowed, settings.max_passes, sample, settings.declared_bound),
        )

    def draw(self, count: int) -> Array:
        """Fresh releases of the present weights, ``(count, p)``: a mechanism to audit. None of them may be published."""
        return np.array([self._noise(self._secret.point, self.settings.sigma) for _ in range(count)])

    def true_distance(self, source: RowSource) -> float:
        """|w̄ − ŵ′|₂, what ``distance_bound`` bounds, found by retraining on ``source``: for audits and demonstrations.

        Raises:
            InvalidRows, NoOptimum: ``source`` cannot be fitted.
        """
        retrained = fitted(self.objective, source, self._engine, self.settings.memory_budget)
        return float(np.linalg.norm(self._secret.point - retrained.point))

    def _operate(self, change: "Change", remaining: RowSource | None, before_refit: Announce) -> Release:
        started = time.perf_counter()
        secret, settings = self._secret, self.settings
        change.check(self.objective, settings.row_norm)
        state = change.applied(secret.state)
        budget = secret.budget if change.removed is None else secret.budget.owing()
        if change.is_refit and remaining is not None:
            candidates = iter([refit(state, remaining, self._engine, 0, secret.point)])
        else:
            candidates = climb(state, remaining, self._engine, settings.max_passes, settings.declared_bound, before_refit)
        candidate = _cheapest(candidates, settings, budget, has_rows=remaining is not None)
        self._secret = _released(settings, self._noise, secret, candidate, budget, change, started)
        return self._secret.release


@dataclass(frozen=True, eq=False)
class Change:
    """What one operation does to the rows."""

    added: Rows | None = None
    removed: Rows | None = None
    is_refit: bool = False

    def check(self, objective: Objective, row_norm: float | None) -> None:
        """Refuses rows that the objective cannot take, empty requests and duplicates in what is to be forgotten."""
        for rows in (self.added, self.removed):
            if rows is not None and len(objective.check(rows)) == 0:
                raise InvalidRows("the request holds no rows: give at least one")
        if self.added is not None:
            _require_norm(float(row_norms(objective, self.added).max()), row_norm)
        pair = None if self.removed is None else self.removed.duplicate()
        if pair is not None:
            raise InvalidRows(
                f"rows {pair[0]} and {pair[1]} of the request are the same: a request is a set of rows. If they are different "
                "people with the same values, give ids, one per row"
            )

    def applied(self, state: State | WideState) -> State | WideState:
        """The state with the change made; new rows first, so that the Hessian never dips."""
        if self.added is not None:
            state = state.added(self.added)
        return state if self.removed is None else state.removed(self.removed)


def _cheapest(candidates: Iterator[Candidate], settings: Settings, budget: PrivacyBudget, *, has_rows: bool) -> Candidate:
    """The first candidate that is near enough; without noise there is no target, and the last polished one is taken."""
    distance = allowed = math.inf
    candidate = None
    for candidate in candidates:
        is_refit = candidate.rung == "refit"
        if settings.sigma > 0:
            allowed = settings.sigma * budget.mu_left(refit=is_refit)
            distance = _charged_distance(candidate, settings.sigma)
            is_enough = distance <= allowed
        else:
            is_polished = candidate.passes == settings.max_passes and math.isfinite(candidate.distance_bound)
            is_enough = not has_rows or is_refit or candidate.rung == "exact" or is_polished
        if is_enough:
            return candidate
    if settings.sigma == 0 and candidate is not None and math.isfinite(candidate.distance_bound):
        return candidate
    raise _refusal(candidate, distance, allowed, settings, budget)


def _refusal(
    candidate: Candidate | None, distance: float, allowed: float, settings: Settings, budget: PrivacyBudget
) -> CapacityExceeded | BudgetSpent:
    spent = f"{budget.mu_total / settings.guarantee.mu:.0%} of the budget is spent" if budget.mu_total else "no budget is spent"
    numbers = f"proven distance {distance:.4g}, allowed {allowed:.4g}; {spent}"
    if candidate is None:
        return CapacityExceeded(
            "a wide model, which keeps no Hessian, changes by passes over the remaining rows: give them. Nothing was changed",
            distance_bound=math.inf,
            distance_allowed=settings.sigma * budget.mu_left() if settings.sigma > 0 else math.inf,
            rung="pass",
        )
    if candidate.rung == "refit" or isinstance(candidate.state, WideState):
        return CapacityExceeded(
            f"even a refit cannot be certified ({numbers}): the problem is too ill-conditioned for this sigma; rescale the "
            "columns, add a penalty or raise sigma. Nothing was changed",
            distance_bound=distance,
            distance_allowed=allowed,
            rung="refit",
        )
    if allowed <= grid_rounding(len(candidate.point), settings.sigma):
        return BudgetSpent(
            "the releases since the earliest deletion have used the whole budget: pass the remaining rows, or refit, to "
            "restore it. Nothing was changed"
        )
    rung = estimate_rung(candidate, allowed, settings.max_passes)
    return CapacityExceeded(
        f"the statistics alone do not prove enough ({numbers}): pass the remaining rows, with which a {rung} should do. "
        "Nothing was changed",
        distance_bound=distance,
        distance_allowed=allowed,
        rung=rung,
    )


def _released(
    settings: Settings,
    noise: Noise,
    before: Secret | None,
    candidate: Candidate,
    budget: PrivacyBudget,
    change: Change,
    started: float,
) -> Secret:
    """The secret after publishing ``candidate``: budget charged, noise added, certificate written."""
    sigma, state, point = settings.sigma, candidate.state, candidate.point
    is_refit = candidate.rung == "refit"
    distance = _charged_distance(candidate, sigma)
    mu = distance / sigma * (1.0 + 1e-12) if sigma > 0 else math.inf
    exposure = 0.0
    if before is not None and change.removed is not None:
        away = float(np.linalg.norm(point - before.point)) + distance
        exposure = math.sqrt(before.n_releases * away**2 + distance**2) / sigma if sigma > 0 else math.inf
    charged = budget.charged(mu, refit=is_refit) if sigma > 0 else budget
    weights = noise(point, sigma) if sigma > 0 else point.copy()
    weights.setflags(write=False)
    certificate = Certificate(
        epsilon=settings.guarantee.epsilon if sigma > 0 else math.inf,
        delta=settings.guarantee.delta,
        mu=mu,
        mu_total=charged.mu_total if sigma > 0 else math.inf,
        sigma=sigma,
        distance_bound=distance,
        rung=candidate.rung,
        passes=candidate.passes,
        bound=settings.bound,
        forgotten=0 if change.removed is None else len(change.removed),
        learned=0 if change.added is None else len(change.added),
        remaining=state.statistics.count,
        parameters=len(point),
        condition=state.trace / state.curvature_floor if state.curvature_floor > 0 else math.inf,
        exposure_mu=exposure,
        seconds=time.perf_counter() - started,
        weights_digest=sha256(weights.astype("<f8").tobytes()).hexdigest(),
        library_version=VERSION,
        assumptions=ASSUMPTIONS if settings.bound == "local" else (*ASSUMPTIONS, DECLARED_NORM),
        caveats=CAVEATS,
    )
    n_releases = 1 if before is None else before.n_releases + 1
    return Secret(state, point, charged.refitted() if is_refit else charged, n_releases, Release(weights, certificate))


def _charged_distance(candidate: Candidate, sigma: float) -> float:
    """Δ with the rounding of the noise's grid."""
    return candidate.distance_bound + grid_rounding(len(candidate.point), sigma)


def _require_norm(longest: float, declared: float | None) -> None:
    if declared is not None and longest > declared * (1.0 + 1e-9):
        raise InvalidRows(
            f"a row has norm {longest:.6g}, above the declared row_norm {declared:g}: normalise the rows, or declare a larger "
            "bound and fit again"
        )

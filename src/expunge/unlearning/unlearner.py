"""Unlearner: learns, forgets and releases. The heart. Theory §4 and §5; the ladder of design §1.

The state is secret and changes in one place, by replacing one value after everything else has succeeded: whatever
raises leaves it bit-identical. What comes out is a ``Release``, another type, whose weights have passed through the
noise; un-noised weights have no public name. Files and studies
ask ``secret_of``.

Threads may share an unlearner: operations that change it take turns, and what only reads sees the secret of one moment.
Processes may not: a copy (pickle, ``deepcopy``, a forked child) has the budget of the original, and if both released, it would
be spent twice. So a copy refuses to release until it is told to take over.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import partial
from operator import add

import numpy as np
from numpy.typing import NDArray

from expunge.engine import Engine
from expunge.engine.local import LocalEngine
from expunge.errors import BudgetSpent, CapacityExceeded
from expunge.numerics.moments import Moments
from expunge.privacy import PrivacyBudget
from expunge.privacy.budget import today
from expunge.privacy.noise import Noise, secure_noise
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows, RowSource
from expunge.unlearning.choice import charged_wobble, cheapest
from expunge.unlearning.fitting import fitted, refit_cold
from expunge.unlearning.learned import LearnedRows
from expunge.unlearning.mechanism import mechanism
from expunge.unlearning.readable import ReadableModel
from expunge.unlearning.release import Change, Release, Secret, charged_mu, published, require_norm
from expunge.unlearning.remaining import require_rows
from expunge.unlearning.rung import NoiseKind, Rung
from expunge.unlearning.settings import Settings

Array = NDArray[np.float64]

Announce = Callable[[], None]


def _silent() -> None:
    """Says nothing."""


class Unlearner(ReadableModel):
    """A model that can forget: use ``learn_from`` to make one.

    Every operation climbs the ladder (``AnchoredState.candidates``) and takes the cheapest rung whose proven distance is
    within what the noise, ε, δ and the budget left allow.

    Examples:
        >>> from expunge.problem.losses import Squared
        >>> from expunge.privacy import Guarantee
        >>> rows = Rows.of([[1.0], [1.0], [2.0]], [1.0, 2.0, 3.0])
        >>> objective = Objective(Squared(), n_features=1, penalty=0.0, fit_intercept=False)
        >>> model = Unlearner.learn_from(objective, rows, Settings(Guarantee(1.0, 1e-5), sigma=0.0))
        >>> float(model.release.weights[0])  # (1·1 + 1·2 + 2·3) / (1 + 1 + 4)
        1.5
        >>> release = model.forget(Rows.of([[2.0]], [3.0]))
        >>> float(release.weights[0]), str(release.certificate.rung)
        (1.5, 'exact')
    """

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

        Args:
            objective: what is minimised.
            source: the rows to learn.
            settings: what is fixed before any row is seen.
            engine: what sums over rows; by default threads of this process.
            noise: draws the noise of a release; a secure one by default.

        Raises:
            InvalidRows, NoOptimum: the rows cannot be fitted.
            CapacityExceeded: the fit is too ill-conditioned for the noise to cover its rounding, and that of refits.
            ValueError: a bound or a kind of noise that this objective has not.
        """
        started = time.perf_counter()
        engine = LocalEngine() if engine is None else engine
        settings = settings.resolved(objective)
        candidate = fitted(objective, source, engine, settings)
        require_norm(candidate.state.extremes.row_norm, settings.row_norm)
        moments = _moments(objective, source, engine) if settings.noise is NoiseKind.SHAPED else None
        noisy = mechanism(settings, objective, moments)
        mu_limit = settings.guarantee.mu if settings.is_noisy else math.inf
        try:
            budget = PrivacyBudget.fitted(mu_limit, charged_mu(candidate, noisy), today())
        except BudgetSpent as error:
            distance, knob = noisy.distance(candidate), "sigma" if settings.excess_risk is None else "excess_risk"
            raise CapacityExceeded(
                f"{error}, so that no refit would be affordable (proven distance {distance:.4g} for {knob} "
                f"{settings.sigma if settings.excess_risk is None else settings.excess_risk:g}): the problem is too "
                f"ill-conditioned; rescale the columns, add a penalty or raise {knob}. Nothing was changed",
                distance_bound=distance,
                distance_allowed=noisy.scale * mu_limit,
                rung=Rung.REFIT,
            ) from None
        is_tracked = settings.track_rows or settings.by_subject
        learned = LearnedRows.of(source, engine, by_subject=settings.by_subject) if is_tracked else None
        secret = published(settings, noise, None, candidate, learned, moments, noisy, budget, Change(), started)
        return cls(settings, secret, engine, noise)

    def forget(
        self, rows: Rows, remaining: RowSource | None = None, *, before_refit: Announce = _silent, is_known: bool = False
    ) -> Release:
        """A release from which nobody can tell, up to (ε, δ), that ``rows`` were ever learned.

        Args:
            rows: the rows to forget, a set: duplicates are an error.
            remaining: all rows learned and not forgotten, ``rows`` excluded; lets the ladder go beyond the statistics. It is
                checked also where these suffice: by one pass, and where rows are tracked by another, for their digests.
            before_refit: called if no pass proves enough, before the refit is made; raising in it leaves everything as it is.
            is_known: whether ``remaining`` is known to be right (its files have their digests elsewhere), and need not be read
                where the statistics suffice.

        Raises:
            InvalidRows: malformed, duplicate or too many rows, rows without the weights or the ids that the model has, or the
                last of a class; ``remaining`` lacks a row.
            NotLearned: a row that cannot have been learned; where rows are tracked, any that was not, or not with this label,
                weight and id, or is forgotten already.
            CapacityExceeded, BudgetSpent: no rung within reach proves enough; says which would.
        """
        return self._operate(Change(removed=rows), remaining, before_refit, is_known)

    def learn(
        self, rows: Rows, remaining: RowSource | None = None, *, before_refit: Announce = _silent, is_known: bool = False
    ) -> Release:
        """A release that has learned ``rows`` too.

        Args:
            rows: the rows to learn.
            remaining: all rows learned and not forgotten, the new ones included; as for ``forget``.
            before_refit: as for ``forget``.
            is_known: as for ``forget``.

        Raises:
            InvalidRows: malformed rows.
            CapacityExceeded, BudgetSpent: as for ``forget``.
        """
        return self._operate(Change(added=rows), remaining, before_refit, is_known)

    def rectify(
        self,
        old: Rows,
        new: Rows,
        remaining: RowSource | None = None,
        *,
        before_refit: Announce = _silent,
        is_known: bool = False,
    ) -> Release:
        """A release with ``old`` forgotten and ``new`` learned in their place, in one step.

        Args:
            old: the rows to forget.
            new: the rows to learn.
            remaining: all rows learned and not forgotten, the new ones included and the old ones not; as for ``forget``.
            before_refit: as for ``forget``.
            is_known: as for ``forget``.

        Raises:
            InvalidRows, NotLearned, CapacityExceeded, BudgetSpent: as for ``forget``.
        """
        return self._operate(Change(removed=old, added=new), remaining, before_refit, is_known)

    def again(self, remaining: RowSource | None = None, *, before_refit: Announce = _silent, is_known: bool = False) -> Release:
        """A release of the same rows under fresh noise, charged as every other: what others forgot was none of this model's,
        and nobody is to see that.

        Args:
            remaining: all rows learned and not forgotten; as for ``forget``.
            before_refit: as for ``forget``.
            is_known: as for ``forget``.

        Raises:
            CapacityExceeded, BudgetSpent: as for ``forget``.
        """
        return self._operate(Change(), remaining, before_refit, is_known)

    def refit(self, source: RowSource) -> Release:
        """A release from a new anchor, found as ``learn_from`` would find it; no state then depends on those forgotten.

        Where the schedule of ``Settings`` says that it is due, it also resets the budget; before that it is charged like any
        other release. Only a time fixed beforehand is the same whether or not somebody was ever learned (theory §5.7).

        Args:
            source: exactly the rows learned and not forgotten, in an order that does not depend on those forgotten.

        Raises:
            InvalidRows, NotLearned: ``source`` holds other rows; where rows are tracked, one of them is named.
            CapacityExceeded, BudgetSpent: rounding costs more than is left.
        """
        with self.in_charge():
            started = time.perf_counter()
            secret, settings, on = self._secret, self.settings, today()
            self._require_same(secret.learned, source)
            cold = refit_cold(secret.state, source, self._engine, settings)
            moments = None if secret.moments is None else _moments(self.objective, source, self._engine)
            noisy, budget = mechanism(settings, self.objective, moments), secret.budget
            mu, is_due, is_cold = charged_mu(cold, noisy), self.is_refit_due, isinstance(source, Rows)
            wobble = 0.0 if is_cold else charged_wobble(cold, noisy, budget, source)
            is_reset = is_due and (is_cold or cold.state.has_hessian)
            renewed = budget.refitted(mu, wobble, on) if is_reset else budget  # the old period need not pay for the new one
            candidate = cheapest(iter([cold]), settings, noisy, renewed, source)
            if is_reset:
                budget = renewed
            else:
                budget = budget.charged(mu, refit=True, wobble=wobble)
                budget = budget.postponed(on) if is_due else budget
            kept = (secret.learned, moments, noisy, budget)
            self._secret = published(settings, self._noise, secret, candidate, *kept, Change(), started, is_reset=is_reset)
            return self._secret.release

    def resume_restored(self, restores: int, since: date) -> None:
        """Goes on from a backup: whatever copies of this model released after it was made, no budget is spent twice.

        Args:
            restores: see ``PrivacyBudget.restored``.
            since: see there too.
        """
        with self.in_charge():
            self._secret = replace(self._secret, budget=self._secret.budget.restored(restores, since))

    def require_rows(self, source: RowSource) -> None:
        """Raises unless ``source`` is what was learned and not forgotten: one pass, one more for digests of tracked rows.
        Nothing has changed after it.

        Args:
            source: all rows that should be learned still.

        Raises:
            InvalidRows: other numbers or lengths of rows, or some are missing.
            NotLearned: other rows, by their gradient at the anchor; where rows are tracked one is named.
        """
        self._require_same(self._secret.learned, source)
        require_rows(self._secret.state, source, self._engine)

    def _operate(self, change: Change, remaining: RowSource | None, before_refit: Announce, is_known: bool) -> Release:
        with self.in_charge():
            started = time.perf_counter()
            secret, settings = self._secret, self.settings
            change.check(self.objective, settings, secret.state.statistics.is_weighted)
            learned = None if secret.learned is None else change.tracked(secret.learned, self.objective.loss.classes)
            state, gone = change.applied(secret.state)
            require_norm(state.extremes.row_norm, settings.row_norm)
            if not is_known:
                self._require_same(learned, remaining)
            budget = secret.budget if change.removed is None else secret.budget.owing()
            passes, declared = settings.max_passes, settings.declared_bound
            candidates = state.candidates(remaining, self._engine, passes, declared, before_refit, is_known=is_known)
            moments = None if secret.moments is None else change.summed(self.objective, secret.moments)
            noisy = secret.mechanism if moments is None else mechanism(settings, self.objective, moments)
            candidate = cheapest(candidates, settings, noisy, budget, remaining)
            wobble = charged_wobble(candidate, noisy, budget, remaining)
            is_refit = candidate.rung is Rung.REFIT
            budget = budget.charged(charged_mu(candidate, noisy), refit=is_refit, wobble=wobble)
            self._secret = published(
                settings, self._noise, secret, candidate, learned, moments, noisy, budget, change, started, gone
            )
            return self._secret.release

    def _require_same(self, learned: LearnedRows | None, source: RowSource | None) -> None:
        """Refuses a ``source`` of other rows than those ``learned``, where they are tracked."""
        if learned is not None and source is not None:
            check = partial(self.objective.check, is_weighted=self._secret.state.statistics.is_weighted)
            learned.require_same(source, self._engine, check, self.objective.loss.classes)


def _moments(objective: Objective, source: RowSource, engine: Engine) -> Moments:
    """The moments of all rows of ``source``."""
    moments: Moments = engine.reduce(source, partial(Moments.of, objective), add)
    return moments


def secret_of(unlearner: Unlearner) -> Secret:
    """All that changes, un-noised weights and sums over rows included: for its file and for studies, never to be published."""
    return unlearner._secret

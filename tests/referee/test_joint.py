"""The joint charge of theory §5.7 on its two counterexamples: many refits, and influences that cancel."""

from dataclasses import replace

import numpy as np
import pytest
from flint import arb

from expunge.privacy import Guarantee, PrivacyBudget, Schedule
from expunge.unlearning.settings import Settings
from expunge.unlearning.unlearner import Unlearner
from tests.referee.accounts import Account, delta_of
from tests.referee.cases import Case
from tests.referee.oracle import Model, lower
from tests.referee.play import Referee

REFITS = 98
PROMISE = Guarantee(1.0, 1e-5)


def poisson(y: np.ndarray) -> Case:
    """A Poisson model of one weight, all rows 1: its bound is nearly tight."""
    model = Model("poisson", 1, 0.0, "sum", False)
    return Case(0, model, np.ones((len(y), 1)), y, None, "gaussian", "C", False, "none")


MANY = poisson(np.r_[np.ones(150), 8.0])
EVERYONE, LAST = np.arange(151), np.array([150])


def tight_sigma() -> float:
    """σ for which forgetting the last row from the statistics takes nine tenths of the promise."""
    probe = Unlearner.learn_from(MANY.objective, MANY.rows(EVERYONE), Settings(PROMISE, 0.0))
    return probe.forget(MANY.rows(LAST)).certificate.distance_bound / (0.9 * PROMISE.mu)


def replay(referee: Referee) -> int:
    """Forgets the last row and learns it again, over 98 refits; how many of those reset the budget."""
    resets = 0
    for k in range(REFITS):
        name, held, counts = ("forget", EVERYONE[:-1], {"forgot": 1}) if k % 2 == 0 else ("learn", EVERYONE, {"learned": 1})
        request, remaining = MANY.rows(LAST), MANY.rows(held)
        assert referee.does(name, request, held=held, has_rows=False, **counts) or referee.does(
            name, request, remaining, held=held, has_rows=True, **counts
        )
        assert referee.does("refit", remaining, held=held, has_rows=True)
        resets += referee.model.release.certificate.scheduled
    return resets


def test_98_refits_that_nobody_scheduled_reset_nothing():
    referee = Referee(MANY, Settings(PROMISE, tight_sigma(), schedule=Schedule(days=None)), EVERYONE, "this test")
    assert replay(referee) == 0
    joint = float(referee.account.true.sqrt())
    assert 0.5 * PROMISE.mu < joint <= referee.model.release.certificate.mu_total <= PROMISE.mu


def test_98_refits_on_schedule_are_fits():
    """Each is bit-identical to a fit on the rows present (the referee compares), so that later releases cost nothing."""
    schedule = Schedule(days=None, requests=1)
    assert replay(Referee(MANY, Settings(PROMISE, tight_sigma(), schedule=schedule), EVERYONE, "this test")) == REFITS


def test_a_reset_at_every_refit_would_have_broken_the_promise():
    """What the library once did: against exact retraining for ever the joint ε is 8, where 1 was promised."""
    sigma = tight_sigma()
    model = Unlearner.learn_from(MANY.objective, MANY.rows(EVERYONE), Settings(PROMISE, sigma, schedule=Schedule(days=None)))
    fresh, account = model._secret.budget, Account()
    assert isinstance(fresh, PrivacyBudget)
    for k in range(REFITS):
        after = EVERYONE[:-1] if k % 2 == 0 else EVERYONE
        release = (model.forget if k % 2 == 0 else model.learn)(MANY.rows(LAST))
        found = MANY.optimum(after, model._secret.point)
        account = account.released(
            distance=lower(found.distance(model._secret.point)), sigma=sigma, mu=release.certificate.mu, forgot=k == 0
        )
        model.refit(MANY.rows(after))
        model._secret = replace(model._secret, budget=fresh)
    assert account.true.sqrt() > arb(5 * PROMISE.mu)
    assert delta_of(float(account.true.sqrt()), 4.0) > arb(PROMISE.delta)


def test_influences_that_cancel_are_charged_against_retraining():
    """U and V gone, the step from the anchor is next to nothing, and so is its error. A system that never had U is far from
    its own optimum by then: it is not the reference, retraining is."""
    y = np.r_[np.tile([0.0, 2.0], 60), 9.0, 0.0]
    given = poisson(y)
    everyone, rest = np.arange(122), np.arange(120)
    U, V = np.array([120]), np.array([121])
    # V weighs what makes the two influences cancel at the optimum of all: there the mean of the two is the mean of the rest
    weight = np.ones(122)
    weight[121] = 8.0
    given = replace(given, weight=weight)
    settings = Settings(PROMISE, 1.0, schedule=Schedule(days=None))
    referee = Referee(given, settings, everyone, "this test")
    assert referee.does("forget", given.rows(U), held=np.r_[rest, V], has_rows=False, forgot=1)
    assert referee.does("forget", given.rows(V), held=rest, has_rows=False, forgot=1)
    charge = referee.model.release.certificate.distance_bound
    other = Unlearner.learn_from(given.objective, given.rows(np.r_[rest, V]), settings)
    other.forget(given.rows(V))
    apart = float(np.linalg.norm(other._secret.point - referee.model._secret.point))
    true = float(given.optimum(rest).distance(referee.model._secret.point))
    assert true <= charge
    assert apart > 1000 * charge


def test_the_replays_are_worth_something():
    """The first release of the first replay takes most of the promise: the bound is tight enough to break it."""
    sigma = tight_sigma()
    model = Unlearner.learn_from(MANY.objective, MANY.rows(EVERYONE), Settings(PROMISE, sigma))
    certificate = model.forget(MANY.rows(LAST)).certificate
    true = float(MANY.optimum(EVERYONE[:-1]).distance(model._secret.point))
    assert certificate.mu == pytest.approx(0.9 * PROMISE.mu, rel=1e-6)
    assert true > 0.5 * certificate.distance_bound

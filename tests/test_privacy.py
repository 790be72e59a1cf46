"""Conversions on the safe side at 50 digits, the budget as a filter."""

import math

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.errors import BudgetSpent
from expunge.privacy import (
    Guarantee,
    PrivacyBudget,
    epsilon_of,
    sigma_from_excess_risk,
)

mpmath.mp.dps = 50


def delta_of(epsilon, mu):
    """δ(ε) of theory §5.1, at 50 digits."""
    epsilon, mu = mpmath.mpf(epsilon), mpmath.mpf(mu)
    return mpmath.ncdf(mu / 2 - epsilon / mu) - mpmath.exp(epsilon) * mpmath.ncdf(-mu / 2 - epsilon / mu)


epsilons = st.floats(1e-3, 50.0)
deltas = st.floats(1e-12, 0.2)


@given(epsilon=epsilons, delta=deltas)
def test_mu_is_never_too_large_and_hardly_too_small(epsilon, delta):
    mu = Guarantee(epsilon, delta).mu
    assert delta_of(epsilon, mu) <= delta
    assert delta_of(epsilon, mu * (1 + 1e-6)) > delta


@given(mu=st.floats(1e-9, 30.0), delta=deltas)
def test_epsilon_is_never_too_small_and_hardly_too_large(mu, delta):
    epsilon = epsilon_of(mu, delta)
    assert epsilon >= 0
    if epsilon == 0:
        assert delta_of(0, mu) <= delta
    else:
        assert delta_of(epsilon, mu) <= delta
        assert delta_of(max(0.0, epsilon * (1 - 1e-6) - 1e-7), mu) > delta * (1 - 1e-6)


def test_the_exact_factor_of_theory_5_1_beats_the_classical_one():
    assert 1 / Guarantee(1.0, 1e-5).mu == pytest.approx(3.73, abs=0.005)
    assert math.sqrt(2 * math.log(1.25 / 1e-5)) == pytest.approx(4.84, abs=0.005)


def test_edges_of_the_conversion():
    assert epsilon_of(0.0, 1e-6) == 0.0
    assert epsilon_of(math.inf, 1e-6) == math.inf
    assert epsilon_of(math.nan, 1e-6) == math.inf
    assert epsilon_of(1e300, 1e-6) == math.inf
    assert epsilon_of(1e-200, 1e-6) == 0.0


@pytest.mark.parametrize(("epsilon", "delta"), [(0, 0.1), (-1, 0.1), (math.inf, 0.1), (math.nan, 0.1), (1, 0), (1, 1), (1, 2)])
def test_impossible_guarantees_are_refused(epsilon, delta):
    with pytest.raises(ValueError, match=r"epsilon|delta"):
        Guarantee(epsilon, delta)


@given(st.lists(st.floats(1e-6, 0.4), max_size=40), st.floats(0.05, 1.0))
def test_the_filter_never_lets_the_joint_mu_pass_its_limit(mus, limit):
    budget = PrivacyBudget(limit).owing()
    accepted = []
    for mu in mus:
        try:
            budget = budget.charged(mu)
            accepted.append(mu)
        except BudgetSpent:
            assert sum(m * m for m in [*accepted, mu]) > limit**2 * (1 - 1e-5)
    assert math.sqrt(math.fsum(m * m for m in accepted)) <= limit
    assert budget.mu_total == pytest.approx(math.sqrt(math.fsum(m * m for m in accepted)), rel=1e-9)
    assert budget.mu_left() >= 0


def test_nothing_is_charged_before_a_deletion_and_a_refit_restores():
    budget = PrivacyBudget(0.3)
    assert budget.charged(5.0) == budget
    owed = budget.owing().charged(0.2)
    assert owed.mu_left() == pytest.approx(math.sqrt(0.09 - 0.04), rel=1e-5)
    with pytest.raises(BudgetSpent, match="refit to restore"):
        owed.charged(0.25)
    assert owed.refitted().mu_left() == pytest.approx(0.3, rel=1e-5)
    assert not owed.refitted().is_owed


def test_a_refit_is_affordable_when_all_else_is_spent():
    budget = PrivacyBudget(0.3).owing()
    budget = budget.charged(budget.mu_left())
    with pytest.raises(BudgetSpent):
        budget.charged(1e-5)
    assert budget.charged(1e-5, refit=True).mu_total <= 0.3


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_sigma_from_excess_risk(bad):
    assert sigma_from_excess_risk(0.001, 0.25, 1.0) ** 2 / 8 == pytest.approx(0.001)
    with pytest.raises(ValueError, match="excess_risk"):
        sigma_from_excess_risk(bad, 0.25, 1.0)
    with pytest.raises(ValueError, match="row_norm"):
        sigma_from_excess_risk(0.001, 0.25, bad)

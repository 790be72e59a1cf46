"""Conversions on the safe side at 50 digits, the budget as a filter."""

import math
import time
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.errors import BudgetSpent
from expunge.privacy import Guarantee, PrivacyBudget, Schedule, guarantee
from expunge.privacy.budget import RESTORE_SHARE, reserve_for, today
from expunge.privacy.guarantee import epsilon_of, log_delta, sigma_from_excess_risk

mpmath.mp.dps = 50
MONDAY = date(2026, 11, 2)


def delta_of(epsilon, mu):
    """δ(ε) of theory §5.1, at 50 digits beyond what cancels."""
    with mpmath.workdps(50 + int(max(0.0, -3 * math.log10(mu)))):
        epsilon, mu = mpmath.mpf(epsilon), mpmath.mpf(mu)
        return mpmath.ncdf(mu / 2 - epsilon / mu) - mpmath.exp(epsilon) * mpmath.ncdf(-mu / 2 - epsilon / mu)


epsilons = st.floats(1e-3, 50.0)
deltas = st.floats(1e-12, 0.2)
tiny = st.floats(-300.0, -3.0).map(lambda exponent: 10.0**exponent)


@given(epsilon=tiny | epsilons, delta=tiny | deltas)
def test_mu_is_never_too_large_however_small_epsilon_and_delta_are(epsilon, delta):
    assert delta_of(epsilon, Guarantee(epsilon, delta).mu) <= delta


@given(mu=tiny | st.floats(1e-3, 100.0), share=st.floats(1e-4, 30.0))
def test_delta_is_exact_to_nine_digits_and_never_too_small(mu, share):
    epsilon = share * mu
    exact = mpmath.log(delta_of(epsilon, mu))
    assert 0 <= log_delta(epsilon, mu) - exact <= 3e-9


@given(epsilon=epsilons, delta=deltas)
def test_mu_is_never_too_large_and_hardly_too_small(epsilon, delta):
    mu = Guarantee(epsilon, delta).mu
    assert delta_of(epsilon, mu) <= delta
    assert delta_of(epsilon, mu * (1 + 1e-6)) > delta


def test_mu_is_sought_once_for_the_same_guarantee():
    before = guarantee._mu.cache_info().hits
    assert Guarantee(0.37, 1e-7).mu == Guarantee(0.37, 1e-7).mu
    assert guarantee._mu.cache_info().hits > before


@given(mu=st.floats(1e-9, 30.0), delta=deltas)
def test_epsilon_is_never_too_small_and_hardly_too_large(mu, delta):
    epsilon = epsilon_of(mu, delta)
    assert epsilon >= 0
    if epsilon == 0:
        assert delta_of(0, mu) <= delta
    else:
        assert delta_of(epsilon, mu) <= delta
        assert delta_of(max(0.0, epsilon * (1 - 1e-6) - 1e-7), mu) > delta * (1 - 1e-6)


def test_an_epsilon_that_promises_nothing_has_a_mu_all_the_same():
    assert Guarantee(1e300, 1e-6).mu == Guarantee(1e6, 1e-6).mu > 1000


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


def budget_of(limit, mu=0.0):
    return PrivacyBudget.fitted(limit, mu, MONDAY)


@given(st.lists(st.tuples(st.floats(1e-6, 0.4), st.booleans()), max_size=40), st.floats(0.05, 1.0))
def test_the_filter_never_lets_the_joint_mu_pass_its_limit(releases, limit):
    budget = budget_of(limit).owing()
    accepted = []
    for mu, is_refit in releases:
        try:
            budget = budget.charged(mu, refit=is_refit)
            accepted.append(mu)
        except BudgetSpent:
            assert sum(m * m for m in [*accepted, mu]) > limit**2 * (1 - 1e-5)
    assert math.sqrt(math.fsum(m * m for m in accepted)) <= limit
    assert budget.mu_total == pytest.approx(math.sqrt(math.fsum(m * m for m in accepted)), rel=1e-9)
    assert budget.mu_left() >= 0


events = st.one_of(
    st.tuples(st.just("forget"), st.floats(1e-6, 0.2)),
    st.tuples(st.just("learn"), st.floats(1e-6, 0.2)),
    st.tuples(st.just("forced"), st.floats(1e-9, 1e-4)),
    st.tuples(st.just("scheduled"), st.sampled_from([0.0, 1e-8, 1e-3, 0.02])),
    st.tuples(st.just("unsure"), st.floats(1e-9, 1e-3)),
)


@given(st.lists(events, max_size=60), st.floats(0.1, 1.0))
def test_everyone_is_charged_what_theory_5_7_says(story, limit):
    """An account for each person forgotten, kept apart: none may pass the limit, whatever refits come in between."""
    accounts: list[list[Any]] = []  # each: [Σμ², whether its period is over]
    budget, drift = budget_of(limit), 0.0
    for what, mu in story:
        try:
            if what == "scheduled":
                after, drift = budget.refitted(1e-9, mu, MONDAY), mu
                accounts = [[total + drift**2, True] for total, _is_over in accounts]
            else:
                if what == "unsure":
                    after = budget.charged(mu, refit=True).postponed(MONDAY)
                else:
                    after = (budget.owing() if what == "forget" else budget).charged(mu, refit=what == "forced")
                if what == "forget":
                    accounts.append([0.0, False])
                accounts = [[total + (drift if is_over else mu) ** 2, is_over] for total, is_over in accounts]
        except BudgetSpent:
            continue
        budget = after
        assert budget.mu_total <= limit
        known = max(budget.earlier, budget.spent)
        assert max((total for total, _is_over in accounts), default=0.0) <= known * (1 + 1e-12)
    # a period that ends in debt for rounding lets nothing more out
    if budget.earlier + budget.drift**2 > limit**2:
        assert budget.mu_left(refit=True) == 0.0


def test_nothing_is_charged_before_a_deletion_and_only_a_scheduled_refit_resets():
    budget = budget_of(0.3)
    assert budget.charged(5.0) == replace(budget, requests=1)
    owed = budget.owing().charged(0.2)
    assert owed.mu_left() == pytest.approx(math.sqrt(0.09 - 0.04), rel=1e-5)
    with pytest.raises(BudgetSpent, match="Only a scheduled refit resets it"):
        owed.charged(0.25)
    forced = owed.charged(1e-6, refit=True)
    assert forced.mu_total >= 0.2
    scheduled = forced.refitted(1e-6, 1e-5, MONDAY + timedelta(30))
    assert scheduled.mu_left() == pytest.approx(0.3, rel=1e-5)
    assert not scheduled.is_owed
    assert scheduled.since == "2026-12-02"
    assert scheduled.earlier == pytest.approx(0.2**2 + 1e-12 + 1e-10)
    assert scheduled.charged(0.1).earlier == pytest.approx(0.2**2 + 1e-12 + 2e-10)


def test_the_reserve_is_what_rounding_needs():
    budget = budget_of(0.3, 0.01).owing()
    assert budget.reserve == pytest.approx(4e-4)
    budget = budget.charged(budget.mu_left())
    with pytest.raises(BudgetSpent):
        budget.charged(0.01)
    for _ in range(4):
        budget = budget.charged(0.01 * (1 - 1e-9), refit=True)
    assert budget.mu_total <= 0.3
    with pytest.raises(BudgetSpent, match=r"the rounding of the fit alone costs mu = 0\.2"):
        budget_of(0.3, 0.2)
    with pytest.raises(BudgetSpent, match=r"the rounding of the fit alone costs mu = 1e\+200"):
        budget_of(0.3, 1e200)


@pytest.mark.parametrize(
    ("schedule", "days", "requests", "is_due"),
    [
        (Schedule(), 29, 10**9, False),
        (Schedule(), 30, 0, True),
        (Schedule(days=None, requests=5), 10**4, 4, False),
        (Schedule(days=None, requests=5), 0, 5, True),
        (Schedule(days=None), 10**4, 10**9, False),
        (Schedule(days=7, requests=5), 7, 0, True),
        (Schedule(days=7, requests=5), 6, 5, True),
    ],
)
def test_schedules_go_by_the_calendar_or_by_count(schedule, days, requests, is_due):
    assert schedule.is_due(MONDAY, requests, MONDAY + timedelta(days)) is is_due


@pytest.mark.parametrize("bad", [{"days": 0}, {"requests": -1}, {"days": 1.5}, {"days": "30"}, {"days": True}])
def test_impossible_schedules_are_refused(bad):
    with pytest.raises(ValueError, match=r"a schedule's number of (days|requests) must be"):
        Schedule(**bad)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_sigma_from_excess_risk(bad):
    assert sigma_from_excess_risk(0.001, 0.25, 1.0) ** 2 / 8 == pytest.approx(0.001)
    with pytest.raises(ValueError, match="excess_risk"):
        sigma_from_excess_risk(bad, 0.25, 1.0)
    with pytest.raises(ValueError, match="row_norm"):
        sigma_from_excess_risk(0.001, 0.25, bad)


def test_the_integral_is_exact_wherever_its_parts_meet():
    """Every branch of the quadrature: the privacy loss above and below ε, thin tails and wide, sharp bends and none."""
    for mu in (1e-12, 1e-3, 0.3, 1.0, 4.0, 30.0, 300.0, 9999.0):
        for a in (-1000.0, -100.0, -8.0, -2.0, -1e-3, 0.0, 1e-3, 1.0, 12.0, 100.0):
            epsilon = (mu / 2 - a) * mu
            if epsilon > 0:
                exact = mpmath.log(delta_of(epsilon, mu))
                assert 0 <= log_delta(epsilon, mu) - exact <= 3e-9


@pytest.mark.parametrize("epsilon", [1e-12, 1e-5, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("delta", [1e-12, 1e-5, 0.1])
def test_conversions_there_and_back(epsilon, delta):
    mu = Guarantee(epsilon, delta).mu
    assert delta * (1 - 1e-4) < delta_of(epsilon, mu) <= delta
    stated = epsilon_of(mu, delta)
    assert delta_of(stated, mu) <= delta
    assert stated == pytest.approx(epsilon, rel=1e-6, abs=1e-6 * mu)


def test_what_is_promised_cannot_be_changed_afterwards():
    for value, name in ((Guarantee(1.0, 1e-5), "epsilon"), (Schedule(), "days"), (budget_of(1.0), "spent")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, 9)
    assert Guarantee(1.0, 0.999).delta == 0.999


def test_schedules_say_what_they_are():
    assert str(Schedule()) == "every 30 days"
    assert str(Schedule(days=7, requests=5)) == "every 7 days or 5 requests"
    assert str(Schedule(days=None)) == "never"
    assert Schedule(days=1, requests=1).is_due(MONDAY, 1, MONDAY)


def test_the_reserve_is_a_millionth_of_the_budget_at_least():
    assert reserve_for(0.3, 0.0) == 2**-20 * 0.3**2
    assert reserve_for(0.3, 0.01) == pytest.approx(4e-4, rel=1e-12)
    assert reserve_for(math.inf, 5.0) == 0.0
    assert reserve_for(0.3, 1e200) == math.inf


def test_a_new_budget_owes_nobody_anything():
    budget = budget_of(0.3, 0.01)
    assert budget == PrivacyBudget(0.3, pytest.approx(4e-4), "2026-11-02", 0, False, 0.0, 0.0, 0.0)  # type: ignore[arg-type]
    limit = 0.09 * (1 - RESTORE_SHARE)
    assert budget.mu_left() == pytest.approx(math.sqrt(limit - 4e-4), rel=1e-11)
    assert budget.mu_left(refit=True) == pytest.approx(math.sqrt(limit), rel=1e-11)
    assert budget.mu_left(refit=True) < 0.3
    assert not budget.is_drifting
    assert not replace(budget, drift=1e-3).is_drifting
    assert not replace(budget, earlier=1e-3).is_drifting
    assert replace(budget, drift=1e-3, earlier=1e-3).is_drifting


def test_a_due_refit_of_an_unknown_order_is_charged_may_use_the_reserve_and_resets_only_the_calendar():
    budget = budget_of(0.3, 0.01).owing()
    budget = budget.charged(budget.mu_left())
    after = budget.charged(0.01, refit=True).postponed(MONDAY + timedelta(30))
    assert after.requests == 0
    assert after.since == "2026-12-02"
    assert after.is_owed
    assert after.spent >= budget.spent + 1e-4
    with pytest.raises(BudgetSpent):
        budget.charged(0.03, refit=True)


def test_people_of_earlier_periods_are_charged_the_drift_of_every_release():
    budget = budget_of(0.3).owing().charged(0.1).refitted(0.002, 0.01, MONDAY)
    assert budget.reserve == pytest.approx(4 * 0.002**2)
    assert budget.earlier == pytest.approx(0.1**2 + 0.01**2)
    assert budget.mu_total == pytest.approx(math.sqrt(0.1**2 + 0.01**2))
    once = budget.owing().charged(0.05)
    assert (once.earlier, once.spent) == (pytest.approx(0.1**2 + 2 * 0.01**2), pytest.approx(0.05**2))
    assert once.mu_total == pytest.approx(0.05)
    assert once.refitted(0.002, 0.0, MONDAY).earlier == once.earlier
    assert budget_of(0.3).refitted(0.002, 0.01, MONDAY).earlier == 0.0, "nobody was forgotten"


def test_once_the_drift_has_used_up_the_budget_nothing_is_released():
    budget = replace(budget_of(0.3).owing(), earlier=0.09 - 2.5e-4, drift=0.01)
    last = budget.charged(0.1).charged(0.1)
    assert last.earlier <= 0.09
    assert last.mu_left() == last.mu_left(refit=True) == 0.0
    with pytest.raises(BudgetSpent):
        last.charged(1e-9)


def test_sums_are_rounded_up():
    budget = budget_of(1.0).owing()
    for _ in range(50):
        budget = budget.charged(0.1)
    assert mpmath.mpf("0.5") < budget.spent < 0.5 * (1 + 1e-13)
    assert budget.charged(0.0).spent == budget.spent


def test_days_are_those_of_utc(monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    before, day, after = datetime.now(UTC).date(), today(), datetime.now(UTC).date()
    monkeypatch.undo()
    time.tzset()
    assert before <= day <= after


def test_numbers_of_numpy_become_pythons():
    guarantee = Guarantee(np.float32(0.5), np.float64(1e-5))  # type: ignore[arg-type]
    assert repr(guarantee) == "Guarantee(epsilon=0.5, delta=1e-05)"
    assert repr(Schedule(np.int64(7), np.int32(5))) == "Schedule(days=7, requests=5)"  # type: ignore[arg-type]


def test_rounding_in_later_releases_is_charged_to_people_of_earlier_periods():
    fresh = budget_of(0.3).charged(0.1, wobble=0.01)
    assert (fresh.earlier, fresh.drift) == (0.0, 0.0), "there are none"
    budget = budget_of(0.3).owing().charged(0.1).refitted(0.002, 0.01, MONDAY)
    later = budget.charged(0.1, wobble=0.02)
    assert later.earlier == pytest.approx(budget.earlier + 0.03**2)
    assert later.drift == 0.01
    refit = budget.charged(0.1, refit=True, wobble=0.02)
    assert refit.earlier == pytest.approx(budget.earlier + 0.04**2)
    assert refit.drift == 0.02, "it stays in the anchor"
    assert budget.charged(0.1, refit=True, wobble=0.005).drift == 0.01
    last = replace(budget, earlier=0.09 * (1 - RESTORE_SHARE) - 0.03**2 - 1e-9)
    assert last.charged(0.1, wobble=0.02).earlier <= 0.09
    with pytest.raises(BudgetSpent, match=r"rounding costs those forgotten before 2026-11-02 mu = 0\.03 a release"):
        replace(last, earlier=last.earlier + 2e-9).charged(0.1, wobble=0.02)


@pytest.mark.parametrize("mu", [1e-9, 1e-3, 0.5, 3.0])
def test_epsilon_is_zero_only_where_the_total_variation_is_within_delta(mu):
    apart = mpmath.erf(mpmath.mpf(mu) / mpmath.sqrt(8))
    assert epsilon_of(mu, float(apart * (1 - mpmath.mpf("5e-10")))) > 0
    assert epsilon_of(mu, float(apart * (1 + mpmath.mpf("2e-9")))) == 0


def test_people_of_earlier_periods_may_have_had_all_of_the_budget():
    budget = replace(budget_of(0.5), earlier=0.25 * (1 - RESTORE_SHARE))
    assert budget.mu_left() > 0.49
    assert replace(budget, earlier=0.25).mu_left() == 0.0
    assert replace(budget, earlier=0.25, restores=60).mu_left() > 0.49


def test_a_restored_copy_spends_what_no_copy_before_it_can_have_spent():
    """Original and copies, each as greedy as it may be, from one backup or from each other's: together within the promise."""
    limit = mpmath.mpf("0.3") ** 2
    original = budget_of(0.3).owing().charged(0.1)
    greedy = original.charged(original.mu_left())
    greedy = greedy.charged(greedy.mu_left(refit=True), refit=True)
    total, copy = mpmath.mpf(greedy.spent), original
    for restores in range(1, 6):
        copy = original.restored(restores, MONDAY) if restores % 2 else copy.restored(restores, MONDAY)
        assert copy.mu_left() == 0.0, "statistics and passes cost more than is left"
        assert 0.0 < copy.mu_left(refit=True) < 2e-4
        assert copy.spent >= total
        assert copy.spent == copy.earlier
        after = copy.charged(copy.mu_left(refit=True), refit=True)
        total += mpmath.mpf(after.mu_left(refit=True)) ** 2 + mpmath.mpf(copy.mu_left(refit=True)) ** 2
        assert total < limit
        with pytest.raises(BudgetSpent):
            after.charged(copy.mu_left(refit=True), refit=True)
        copy = after


def test_a_restored_copy_is_whole_again_after_its_scheduled_refit():
    copy = budget_of(0.3).owing().charged(0.2).restored(1, MONDAY)
    assert (copy.since, copy.requests, copy.is_owed) == ("2026-11-02", 1, True)
    whole = copy.charged(1e-9, refit=True).refitted(1e-9, 1e-9, MONDAY + timedelta(30))
    assert whole.mu_left() == pytest.approx(0.3, rel=1e-6)
    assert whole.restores == 1
    assert whole.earlier > copy.earlier
    with pytest.raises(ValueError, match="1 backups were restored before this one"):
        whole.restored(1, MONDAY)
    without = replace(budget_of(0.3), mu_limit=math.inf).restored(1, MONDAY)
    assert (without.restores, without.spent) == (1, 0.0)


def test_longer_rows_carry_more_noise_into_the_loss():
    assert sigma_from_excess_risk(0.001, 0.25, 2.0) == pytest.approx(0.5 * sigma_from_excess_risk(0.001, 0.25, 1.0))


def test_a_budget_says_what_the_last_release_cost_those_of_earlier_periods():
    day = date(2026, 1, 1)
    budget = PrivacyBudget.fitted(1.0, 0.0, day).owing().charged(0.5)
    assert budget.last_drift == 0.0
    renewed = budget.refitted(0.0, 1e-8, day)
    assert renewed.last_drift == 1e-8
    assert renewed.charged(0.1, wobble=2e-8).last_drift == 1e-8 + 2e-8
    assert renewed.charged(0.1, wobble=2e-8, refit=True).last_drift == 2e-8 + 2e-8
    assert budget.refitted(0.0, 0.0, day).charged(0.1).last_drift == 0.0

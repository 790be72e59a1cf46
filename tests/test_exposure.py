"""What is kept of the releases says the same as the list of them; what they gave away of rows is told from it. Theory §5.5."""

import math
from dataclasses import replace
from functools import cache
from typing import Any, Literal
from unittest import mock

import numpy as np
import pytest

from expunge.engine.local import LocalEngine
from expunge.problem.losses import Logistic
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.anchored import Candidate
from expunge.unlearning.dense import DenseState
from expunge.unlearning.exposure import Departure, History, Recorded
from expunge.unlearning.mechanism import Isotropic, Mechanism, Shaped
from expunge.unlearning.rung import Rung
from expunge.unlearning.shape import Shape

L = np.array([[4.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.5, 0.25, 0.125]])
NOISES: list[Mechanism] = [Isotropic(0.25), Shaped(Shape(L @ L.T, L, 0.25, False))]
POINTS = np.array([[0.5, -1.0, 0.25], [1.0, 0.5, -0.5], [0.25, 2.0, 1.0]])
WEIGHTS = [0.5, 2.0, 1.0]


@cache
def rows() -> Rows:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    return Rows.of(X, (X[:, 0] > rng.normal(size=40)).astype(float), rng.uniform(0.5, 2.0, 40), ids=range(40))


@cache
def state(form: Literal["sum", "mean"] = "sum") -> DenseState:
    return DenseState.fitted(Objective(Logistic(), 2, 0.3, form), rows(), LocalEngine())


def departure(noisy: Mechanism, n_gone: int = 2, form: Literal["sum", "mean"] = "sum") -> Departure:
    gone, before = rows().take(range(n_gone)), state(form)
    return Departure(before.evaluated(gone), before, noisy, before.removed(gone), 0.75)


def recorded() -> Recorded:
    found = Recorded(0.0, POINTS[0], np.zeros((3, 3)), 0.0)
    for weight, point, mu in zip(WEIGHTS, POINTS, (0.3, 0.1, 0.2), strict=True):
        found = found.plus(weight, point, mu)
    return found


def candidate(of: Any, point: np.ndarray = POINTS[0]) -> Candidate:
    return Candidate(of, point, 1.0, Rung.REFIT, 0)


def size(noisy: Mechanism) -> float:
    return math.sqrt(3.0) if noisy.metric is None else float(np.linalg.norm(L))


def test_releases_are_kept_as_their_mean_and_scatter():
    found, ω = recorded(), np.array(WEIGHTS)
    mean = ω @ POINTS / 3.5
    assert found.weight == pytest.approx(3.5)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-13)
    np.testing.assert_allclose(found.scatter, (POINTS - mean).T @ (ω[:, None] * (POINTS - mean)), rtol=1e-13)
    assert found.mu_squared == pytest.approx(0.3**2 + 0.1**2 + 0.2**2)


def test_the_gradient_of_rows_that_leave_has_their_share_of_the_penalty():
    found, at = departure(NOISES[0], form="mean"), POINTS[1]
    gone, before = found.gone, state("mean")
    away = at - before.anchor
    left = before.objective.penalty_gradient(at, before.statistics.count - gone.count)
    share = before.objective.penalty_gradient(at, before.statistics.count) - left
    np.testing.assert_allclose(found.gradient(at), gone.gradient + gone.hessian() @ away + share, rtol=1e-12)
    assert np.linalg.norm(share) > 1e-3


@pytest.mark.parametrize("noisy", NOISES, ids=lambda noisy: noisy.kind.value)
@pytest.mark.parametrize("n_gone", [1, 2, 3, 9])
def test_the_moves_are_those_of_one_release_after_the_other(noisy, n_gone):
    """|δⱼ|/sⱼ of each, with δⱼ = H⁻¹g(w̄ⱼ) scaled as traces say."""
    of = departure(noisy, n_gone)
    assert isinstance(of.after, DenseState)
    root = np.eye(3) if noisy.metric is None else L
    steps = [root.T @ of.after.factor.inverse @ of.gradient(point) for point in POINTS]
    share = (state().trace / size(noisy)) ** 2
    wanted = sum(weight * share * float(step @ step) for weight, step in zip(WEIGHTS, steps, strict=True))
    assert of.squared_moves(recorded()) == pytest.approx(wanted, rel=1e-10)


def test_a_scatter_that_rounding_has_left_below_zero_takes_nothing_away():
    of, mean = departure(NOISES[0]), Recorded(2.0, POINTS[0], np.zeros((3, 3)), 0.0)
    assert of.squared_moves(replace(mean, scatter=-1e-3 * np.eye(3))) == of.squared_moves(mean) > 0.0


def test_no_moves_are_told_without_a_hessian_or_where_they_overflow():
    of = departure(NOISES[0])
    assert math.isnan(replace(of, after=mock.Mock()).squared_moves(recorded()))
    assert not math.isfinite(of.squared_moves(Recorded(1.0, np.full(3, 1e200), np.eye(3), 0.0)))


@pytest.mark.parametrize("noisy", NOISES, ids=lambda noisy: noisy.kind.value)
def test_a_release_is_recorded_with_the_weight_of_its_noise(noisy):
    weight = (size(noisy) / 0.25 / state().trace) ** 2
    once = History().followed(candidate(state()), noisy, 0.3)
    twice = once.followed(candidate(state(), POINTS[1]), noisy, 0.1)
    assert once.unrecorded == twice.unrecorded == 0
    assert once.recorded is not None and twice.recorded is not None
    assert once.recorded.weight == pytest.approx(weight, rel=1e-13)
    np.testing.assert_array_equal(once.recorded.mean, POINTS[0])
    np.testing.assert_array_equal(once.recorded.scatter, np.zeros((3, 3)))
    assert once.recorded.mu_squared == 0.3 * 0.3
    assert twice.recorded.weight == pytest.approx(2 * weight, rel=1e-13)
    np.testing.assert_allclose(twice.recorded.mean, (POINTS[0] + POINTS[1]) / 2, rtol=1e-13)


def test_releases_of_which_nothing_can_be_told_are_counted():
    before = History(2, recorded())
    after = [before.followed(candidate(state()), Isotropic(scale), 0.1) for scale in (0.0, 1e-200, 1e200)]
    after.append(before.followed(candidate(mock.Mock(trace=1.0)), NOISES[0], 0.1))
    with mock.patch.object(DenseState, "trace", new_callable=mock.PropertyMock, return_value=0.0):
        after.append(before.followed(candidate(state()), NOISES[0], 0.1))
    assert [(each.unrecorded, each.recorded is before.recorded) for each in after] == [(3, True)] * 5


def test_the_exposure_is_composed_of_what_is_known_and_of_the_last_move():
    of = departure(NOISES[1])
    known = math.sqrt(of.squared_moves(recorded())) + math.sqrt(recorded().mu_squared)
    assert History(0, recorded()).exposure(of, 3) == pytest.approx(known, rel=1e-13)
    assert History(4, recorded()).exposure(of, 7) == pytest.approx(math.hypot(known, 2.0 * 0.75), rel=1e-13)
    assert History(4).exposure(of, 4) == 2.0 * 0.75
    assert History(1, recorded()).exposure(replace(of, after=mock.Mock()), 4) == 2.0 * 0.75


def test_releases_so_far_apart_that_their_scatter_overflows_are_charged_the_last_move():
    far = History().followed(candidate(state(), np.full(3, 1e200)), NOISES[0], 0.1)
    far = far.followed(candidate(state(), np.full(3, -1e200)), NOISES[0], 0.1)
    assert far.recorded is not None
    assert far.exposure(departure(NOISES[0]), 4) == 2.0 * 0.75


def test_what_is_secret_is_not_printed():
    assert repr(recorded()) == f"Recorded(weight={recorded().weight!r}, mu_squared={recorded().mu_squared!r})"
    assert repr(departure(NOISES[0])) == "Departure(moved=0.75)"

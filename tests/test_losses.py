"""Losses: derivatives against differences, constants against searched maxima, safety at |t| = 800."""

import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.problem.losses import (
    Gamma,
    Logistic,
    NegativeBinomial,
    Poisson,
    PseudoHuber,
    SmoothedHinge,
    SmoothedQuantile,
    Softmax,
    Tweedie,
)
from tests.problems import CATALOGUE

SCALAR = [loss for loss in CATALOGUE if loss.outputs == 1]


def target(loss, y: float) -> float:
    match loss:
        case Logistic() | SmoothedHinge():
            return float(y > 0)
        case Poisson() | NegativeBinomial() | Tweedie():
            return abs(y)
        case Gamma():
            return abs(y) + 0.1
    return y


def columns(loss, t, y):
    return np.array([t], dtype=float), np.array([target(loss, y)])


@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
def test_a_loss_is_what_it_was_made_with_and_cannot_be_changed(loss):
    """Objectives are compared, and states known again, by them."""
    twin = replace(loss)
    assert twin is not loss and twin == loss and hash(twin) == hash(loss)
    with pytest.raises(FrozenInstanceError):
        loss.name = "another"


@pytest.mark.parametrize("loss", SCALAR, ids=repr)
@given(t=st.floats(-12, 12), y=st.floats(-8, 8))
def test_derivatives_match_fourth_order_differences(loss, t, y):
    h = 1e-3
    weights = np.array([1.0, -8.0, 8.0, -1.0]) / (12 * h)
    points, y = t + h * np.array([-2.0, -1.0, 1.0, 2.0]), np.full(4, target(loss, y))
    for lower, upper in (
        (loss.value, loss.derivative),
        (loss.derivative, loss.curvature),
        (loss.curvature, loss.third_derivative),
    ):
        values = lower(points, y)
        found = upper(np.array([t]), y[:1])[0]
        scale = np.abs(values).max() + np.abs(found) + 1.0
        assert abs(weights @ values - found) <= 1e-8 * scale


@pytest.mark.parametrize("loss", SCALAR, ids=repr)
@given(t=st.floats(-700, 700), step=st.floats(1e-6, 5.0), y=st.floats(-700, 700))
def test_curvature_grows_no_faster_than_the_self_concordance_constant(loss, t, step, y):
    """|ℓ‴| ≤ cℓ″ integrated: |ln ℓ″(t+s) − ln ℓ″(t)| ≤ cs, wherever ℓ″ is a normal number."""
    a, b = loss.curvature(np.array([t, t + step]), np.full(2, target(loss, y)))
    if min(a, b) > 1e-300 and max(a, b) < 1e300:
        assert abs(math.log(b) - math.log(a)) <= loss.self_concordance * step + 1e-9 * (1 + step + abs(t) + abs(y)) * (
            loss.self_concordance > 0
        )


@pytest.mark.parametrize("loss", SCALAR, ids=repr)
def test_constants_dominate_searched_maxima_and_are_not_slack(loss):
    r = np.concatenate([np.linspace(-60, 60, 240_001), np.linspace(-3, 3, 60_001)])
    y = np.full_like(r, target(loss, 0.0))
    h = 1e-4
    third = (loss.curvature(r + h, y) - loss.curvature(r - h, y)) / (2 * h)
    for bound, values in (
        (loss.derivative_bound, loss.derivative(r, y)),
        (loss.curvature_bound, loss.curvature(r, y)),
        (loss.curvature_trace_bound, loss.curvature(r, y)),
        (loss.third_derivative_bound, third),
    ):
        if math.isfinite(bound):
            found = np.abs(values[np.isfinite(values)]).max()
            assert found <= bound * (1 + 1e-6) + 1e-12
            assert found >= 0.97 * bound


@pytest.mark.parametrize("loss", SCALAR, ids=repr)
def test_the_self_concordance_constant_is_attained(loss):
    r = np.linspace(-8, 8, 32_001)
    y = np.full_like(r, target(loss, 1.0))
    curvature = loss.curvature(r, y)
    rate = np.abs(np.diff(np.log(curvature))) / np.diff(r)
    assert rate.max() <= loss.self_concordance * (1 + 1e-6) + 1e-9
    assert rate.max() >= 0.98 * loss.self_concordance


@pytest.mark.parametrize("loss", SCALAR, ids=repr)
def test_the_constant_of_fourth_order_is_a_bound_and_attained(loss):
    t, h = np.concatenate([np.linspace(-40, 40, 160_001), np.linspace(-3, 3, 60_001)]), 1e-3
    top = 0.0
    for value in (0.0, 1.0, 3.0):
        y = np.full_like(t, target(loss, value))
        fourth = (loss.third_derivative(t + h, y) - loss.third_derivative(t - h, y)) / (2 * h)
        seen = np.abs(fourth) > 1e-9
        rate = np.abs(fourth[seen]) / loss.curvature(t, y)[seen]
        assert (rate <= loss.fourth_order_concordance**2 * (1 + 1e-4)).all()
        top = max(top, rate.max(initial=0.0))
    assert top >= 0.9 * loss.fourth_order_concordance**2


@given(seed=st.integers(0, 2**32 - 1), K=st.integers(2, 6), size=st.floats(0.1, 8.0))
def test_softmax_of_third_and_fourth_order(seed, K, size):
    """Its third derivative against differences; the joint fourth cumulant against range² · √var · √var (theory §4.7)."""
    rng = np.random.default_rng(seed)
    loss, t, y, h = Softmax(K), rng.normal(size=(1, K)) * size, np.zeros(1), 1e-4
    third = loss.third_derivative(t, y)[0]
    for k in range(K):
        ahead = h * np.eye(K)[[k]]
        slope = (loss.curvature(t + ahead, y) - loss.curvature(t - ahead, y))[0] / (2 * h)
        np.testing.assert_allclose(third[k], slope, atol=1e-7)
    w, v = loss.third_parts(t, y)
    assert (w * np.linalg.norm(v, axis=2) ** 3).sum() <= loss.third_size(np.ones(1))[0]
    p, (d, u) = w[0], rng.normal(size=(2, K))
    d, u = d - p @ d, u - p @ u
    var_d, var_u, spread = p @ d**2, p @ u**2, np.ptp(d) ** 2
    fourth = p @ (u * d**3) - 3 * (p @ (u * d)) * var_d
    assert abs(fourth) <= spread * math.sqrt(var_u * var_d) * (1 + 1e-9) + 1e-15
    across = p @ (u * u * d * d) - var_u * var_d - 2 * (p @ (u * d)) ** 2
    assert abs(across) <= spread * var_u * (1 + 1e-9) + 1e-15
    assert np.ptp(d) <= loss.fourth_order_concordance * np.linalg.norm(d) * (1 + 1e-12)


@given(seed=st.integers(0, 2**32 - 1), K=st.integers(2, 6), size=st.sampled_from([0.1, 3.0, 40.0]))
def test_softmax_derivatives_and_sandwich(seed, K, size):
    rng = np.random.default_rng(seed)
    loss, t, y = Softmax(K), rng.normal(size=(1, K)) * size, rng.integers(K, size=1).astype(float)
    h = 1e-4
    for k in range(K):
        e = np.zeros((1, K))
        e[0, k] = h
        slope = (loss.value(t + e, y) - loss.value(t - e, y)) / (2 * h)
        assert slope[0] == pytest.approx(loss.derivative(t, y)[0, k], abs=1e-7 * (1 + size))
        bend = (loss.derivative(t + e, y) - loss.derivative(t - e, y)) / (2 * h)
        np.testing.assert_allclose(bend[0], loss.curvature(t, y)[0, k], atol=1e-7)
    assert np.linalg.norm(loss.derivative(t, y)) <= loss.derivative_bound + 1e-12
    assert np.linalg.eigvalsh(loss.curvature(t, y)[0])[-1] <= loss.curvature_bound + 1e-12
    assert np.trace(loss.curvature(t, y)[0]) <= loss.curvature_trace_bound * (1 + 1e-15)
    assert np.trace(loss.curvature(0.0 * t, y)[0]) == pytest.approx(loss.curvature_trace_bound)  # and no more than that
    root = loss.curvature_root(t, y)[0]
    np.testing.assert_allclose(root.T @ root, loss.curvature(t, y)[0], atol=1e-14)
    step = rng.normal(size=(1, K))
    growth = math.exp(loss.self_concordance * np.linalg.norm(step))
    before, after = loss.curvature(t, y)[0], loss.curvature(t + step, y)[0]
    assert np.linalg.eigvalsh(growth * before - after)[0] >= -1e-12 * growth
    assert np.linalg.eigvalsh(growth * after - before)[0] >= -1e-12 * growth


@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
@pytest.mark.parametrize("t", [-800.0, 800.0])
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_nothing_is_nan_and_nothing_warns_at_800(loss, t, y):
    t = np.full((1, loss.outputs), t) if loss.outputs > 1 else np.array([t])
    if loss.outputs > 1:
        t[0, 0] = -t[0, 0]
    y = np.array([target(loss, y)])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for values in (loss.value(t, y), loss.derivative(t, y), loss.curvature(t, y), loss.curvature_norm(t, y)):
            assert not np.isnan(values).any()
    assert np.abs(loss.curvature(t, y)).max() <= loss.curvature_norm(t, y)[0]


@pytest.mark.parametrize(
    ("make", "bad"),
    [
        (PseudoHuber, 0.0),
        (PseudoHuber, math.inf),
        (Tweedie, 1.0),
        (Tweedie, 2.0),
        (SmoothedHinge, 0.0),
        (SmoothedQuantile, 1.0),
        (NegativeBinomial, 0.0),
    ],
)
def test_impossible_parameters_are_refused(make, bad):
    with pytest.raises(ValueError, match=str(bad)):
        make(bad)


@pytest.mark.parametrize("loss", [Poisson(), Gamma(), Tweedie(1.2), Tweedie(1.7)], ids=repr)
@given(t=st.floats(-4, 4), y=st.floats(0.1, 9), exposure=st.floats(0.01, 100))
def test_an_exposure_is_an_offset_written_as_targets_and_weights(loss, t, y, exposure):
    given, at = np.array([y]), np.array([t])
    rate, weight = loss.over_exposure(given, np.array([exposure]))
    ahead = at + math.log(exposure)
    for of in (loss.derivative, loss.curvature, loss.third_derivative):
        assert weight * of(at, rate) == pytest.approx(of(ahead, given), rel=1e-9, abs=1e-12)
    gained = weight * (loss.value(at + 1.0, rate) - loss.value(at, rate))
    assert gained == pytest.approx(loss.value(ahead + 1.0, given) - loss.value(ahead, given), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("loss", [loss for loss in CATALOGUE if not isinstance(loss, Poisson | Gamma | Tweedie)], ids=repr)
def test_other_losses_take_no_exposure(loss):
    with pytest.raises(ValueError, match=f"the {loss.name} loss takes no exposure: .* as an offset"):
        loss.over_exposure(np.ones(1), np.ones(1))

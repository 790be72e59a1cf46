"""The exposure that certificates state, against retraining without the people at every release. Theory §5.5."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest

from expunge.privacy import Guarantee, Schedule
from expunge.privacy.noise import InsecureNoise
from expunge.problem.losses import Gamma, Logistic, Poisson, PseudoHuber, Softmax, Squared, Tweedie
from expunge.problem.losses.base import Loss
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.settings import Settings
from expunge.unlearning.unlearner import Unlearner, secret_of
from tests.oracle import retrain

LOSSES = (Logistic(), Softmax(3), Squared(), PseudoHuber(0.7), Poisson(), Gamma(), Tweedie(1.5))
NOISES = {"isotropic": 0.05, "shaped": None}
"""σ of each; shaped noise has an excess risk instead."""
SHRINKS = [("forget", 600)] * 3
GROWS = [("learn", 600)] * 3
MIXED = [("learn", 500), ("forget", 800), ("refit", 0), ("learn", 700), ("forget", 300)]
N, D = 2600, 4


@dataclass(frozen=True)
class Found:
    """What the releases gave away in truth, by the certificate, and were each as the last one."""

    true: float
    stated: float
    like_the_last: float


def drawn(loss: Loss, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = rng.normal(size=(N, D))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    t = 1.5 * X @ rng.normal(size=(D, max(2, loss.outputs)))
    if loss.classes:
        return X, (t + rng.gumbel(size=t.shape)).argmax(axis=1).astype(float)
    if loss.name == "poisson":
        return X, rng.poisson(np.exp(t[:, 0])).astype(float)
    return X, rng.gamma(2.0, np.exp(t[:, 0]) / 2) if loss.name in ("gamma", "tweedie") else t[:, 0] + rng.normal(size=N)


def played(
    loss: Loss,
    noise: str,
    steps: list[tuple[str, int]],
    n_people: int,
    seed: int = 0,
    *,
    form: Literal["sum", "mean"] = "sum",
    penalty: float = 1.0,
) -> Found:
    """People who are there from the start, and leave after other rows have come and gone.

    Retraining without them is done by the oracle, which shares no code.
    """
    rng = np.random.default_rng(seed)
    X, y = drawn(loss, rng)
    objective = Objective(loss, D, penalty=penalty, form=form)
    people = list(range(n_people))
    others = list(range(n_people, N - 20 if steps is SHRINKS else 700))
    coming = list(range(others[-1] + 1, N))

    def rows(index: list[int]) -> Rows:
        return Rows.of(X[index], y[index], ids=index)

    sigma, schedule = NOISES[noise], Schedule(days=None, requests=2)
    settings = Settings(Guarantee(1.0, 1e-5), sigma, excess_risk=None if sigma else 0.001, schedule=schedule)
    model = Unlearner.learn_from(objective, rows(people + others), settings, noise=InsecureNoise(0))
    squared = 0.0

    def measure() -> None:
        nonlocal squared
        secret = secret_of(model)
        without, _ = retrain(objective, rows(others), secret.point)
        noisy = secret.mechanism
        root = np.eye(len(without)) if noisy.metric is None else noisy.metric
        squared += float(np.sum((root.T @ (secret.point - without)) ** 2)) / noisy.scale**2

    measure()
    for step, count in steps:
        if step == "learn":
            new, coming = coming[:count], coming[count:]
            others = others + new
            model.learn(rows(new), rows(people + others), is_known=True)
        elif step == "forget":
            gone, others = others[:count], others[count:]
            model.forget(rows(gone), rows(people + others), is_known=True)
        else:
            assert model.refit(rows(people + others)).certificate.scheduled
        measure()
    before = secret_of(model)
    certificate = model.forget(rows(people), rows(others), is_known=True).certificate
    moved = before.mechanism.length(secret_of(model).point - before.point) / before.mechanism.scale
    assert before.history.recorded is not None and before.history.unrecorded == 0
    stated = certificate.exposure_mu - math.sqrt(before.history.recorded.mu_squared)
    return Found(math.sqrt(squared), stated, math.sqrt(before.n_releases) * moved)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("steps", [SHRINKS, GROWS, MIXED], ids=["fewer", "more", "both"])
def test_each_release_is_charged_its_own_move(steps, loss, noise):
    found = played(loss, noise, steps, n_people=20)
    assert found.stated == pytest.approx(found.true, rel=0.2)
    if steps is SHRINKS:  # the last release had fewest rows, of which they were the larger share
        assert found.like_the_last > 1.4 * found.true
    if steps is GROWS:
        assert found.like_the_last < 0.7 * found.true


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("seed", range(4))
def test_and_one_person_too(seed, noise):
    for steps in (SHRINKS, GROWS, MIXED):
        found = played(Logistic(), noise, steps, n_people=1, seed=seed)
        assert found.stated == pytest.approx(found.true, rel=0.25)


@pytest.mark.parametrize("noise", NOISES)
def test_people_take_their_share_of_the_penalty_along(noise):
    for steps in (SHRINKS, GROWS, MIXED):
        found = played(Poisson(), noise, steps, n_people=20, form="mean", penalty=0.3)
        assert found.stated == pytest.approx(found.true, rel=0.1)


def test_a_model_that_swings_back_gave_the_person_away_in_between():
    """The last releases fit the person well, those before did not: the spread of the releases counts."""
    rng = np.random.default_rng(0)
    X, y = np.ones((400, 1)), np.r_[0.0, 0.01 * rng.normal(size=399)]
    objective = Objective(Squared(), 1, penalty=0.0, fit_intercept=False)
    settings = Settings(Guarantee(1.0, 1e-5), sigma=0.05, schedule=Schedule(days=None))
    model = Unlearner.learn_from(objective, Rows.of(X, y, ids=range(400)), settings, noise=InsecureNoise(0))
    many = Rows.of(np.ones((100, 1)), np.full(100, 10.0), ids=range(400, 500))
    points = [(secret_of(model).point[0], 399)]
    for _ in range(3):
        points.append((model.learn(many) and secret_of(model).point[0], 499))
        points.append((model.forget(many) and secret_of(model).point[0], 399))
    certificate = model.forget(Rows.of(X[:1], y[:1], ids=[0])).certificate
    true = math.sqrt(sum((point / n) ** 2 for point, n in points)) / 0.05  # of weights w and one row of target 0: w/n
    last = math.sqrt(len(points)) * abs(points[-1][0]) / 399 / 0.05
    assert certificate.exposure_mu == pytest.approx(true, rel=0.05)
    assert last < 0.05 * true

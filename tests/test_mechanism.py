"""Releases under shaped noise: one covariance on both sides, and a μ that covers the true distance. Theory §5.6."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from expunge.audit import black_box
from expunge.errors import BudgetSpent, CapacityExceeded, ExpungeError, NoiseTooLarge, NoOptimum, StateCorrupt
from expunge.linear_model import LogisticRegression, PoissonRegressor, Ridge
from expunge.numerics.moments import Moments
from expunge.privacy import Guarantee, Schedule
from expunge.privacy.noise import InsecureNoise, grid_rounding
from expunge.problem.losses import Logistic, Poisson, Softmax, Squared
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning import storage
from expunge.unlearning.certificate import Certificate
from expunge.unlearning.dense import require_hessian
from expunge.unlearning.ladder import from_statistics
from expunge.unlearning.mechanism import Isotropic, Shaped
from expunge.unlearning.release import Secret
from expunge.unlearning.rung import Bound, NoiseKind, Rung
from expunge.unlearning.settings import MOST_SHAPED, Settings
from expunge.unlearning.shape import Shape
from expunge.unlearning.state import State
from expunge.unlearning.storage import load_unlearner, save_unlearner
from expunge.unlearning.unlearner import Unlearner, secret_of
from tests.conftest import examples
from tests.oracle import gradient_and_hessian, retrain
from tests.problems import CATALOGUE, problem, targets

GUARANTEE = Guarantee(1.0, 1e-5)
SHAPED = Settings(GUARANTEE, excess_risk=1e-3)
seeds = st.integers(0, 2**32 - 1)


def shape_in(secret: Secret) -> Shape:
    """Of shaped noise."""
    assert isinstance(secret.mechanism, Shaped)
    return secret.mechanism.shape


def classifier_rows(n=3000, d=5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * 2.0 ** -np.arange(d)
    return Rows.of(X, (0.4 * X @ 2.0 ** np.arange(d) > rng.logistic(size=n)).astype(float), ids=range(n))


def covariance_of(model: Unlearner) -> tuple:
    """The bits of what a release is drawn with."""
    found = secret_of(model).mechanism
    assert isinstance(found, Shaped)
    return found.shape.factor.tobytes(), found.scale, found.shape.is_isotropic


@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
@settings(max_examples=examples(15))
@given(seed=seeds)
def test_both_sides_draw_with_the_same_covariance_whatever_came_and_went(loss, seed, tmp_path_factory):
    """Rows are forgotten, learned, corrected, the model is refitted, saved and read; then against a fit that saw none of it."""
    rng = np.random.default_rng(seed)
    p = problem(loss, seed, max_log10_condition=1.0)
    rows, others = replace(p.rows, ids=range(len(p.rows))), problem(loss, seed, max_log10_condition=1.0).rows.take(slice(0, 3))
    settings_ = replace(SHAPED, excess_risk=1e3, schedule=Schedule(requests=2))
    keep = rng.permutation(len(rows))
    gone, corrected, kept = keep[:2], keep[2:4], keep[4:]
    wrong = replace(rows.take(corrected), ids=range(2))
    stay = p.rows.take(kept)
    weight = None if p.rows.sample_weight is None else np.concatenate([stay.weight, others.weight])
    left = Rows.of(np.concatenate([stay.X, others.X]), np.concatenate([stay.y, others.y]), weight)
    try:
        fresh = Unlearner.learn_from(p.objective, left, settings_)
        model = Unlearner.learn_from(p.objective, rows, settings_)
        before = covariance_of(model)
        everybody = Rows.of(
            np.concatenate([left.X, wrong.X]), np.concatenate([left.y, wrong.y]),
            None if left.sample_weight is None else np.concatenate([left.weight, wrong.weight]),
        )  # fmt: skip
        model.learn(others, _joined(rows, others))
        model.forget(rows.take(gone), everybody)
        model.rectify(wrong, replace(others, ids=None), _joined(left, others))
        model.forget(replace(others, ids=range(3)), left)
    except (ExpungeError, NoOptimum):
        return
    assert covariance_of(model) == covariance_of(fresh)
    assert before != covariance_of(model) or loss.name in ("poisson", "tweedie", "negative_binomial"), (
        "rows of target 0 weigh nothing"
    )
    model.refit(left)
    assert covariance_of(model) == covariance_of(fresh)
    path = tmp_path_factory.mktemp("state") / "state"
    save_unlearner(model, path)
    assert covariance_of(load_unlearner(path)) == covariance_of(fresh)


def _joined(one: Rows, other: Rows) -> Rows:
    weight = None if one.sample_weight is None else np.concatenate([one.weight, other.weight])
    return Rows.of(np.concatenate([one.X, other.X]), np.concatenate([one.y, other.y]), weight)


@pytest.mark.parametrize("loss", CATALOGUE, ids=repr)
@settings(max_examples=examples(25))
@given(seed=seeds)
def test_the_certified_mu_covers_the_true_one_in_the_metric_of_the_noise(loss, seed):
    """Against retraining in 80 bits; by the statistics, and by passes. The noise is large, so that much is certified."""
    p = problem(loss, seed)
    if not p.gone.any():
        return
    try:
        model = Unlearner.learn_from(p.objective, p.rows, replace(SHAPED, excess_risk=float(10.0 ** (seed % 7 - 3))))
    except ExpungeError:
        return
    for remaining in (None, p.remaining):
        twin = model.twin(lambda weights, _sigma: weights.copy())
        try:
            release = twin.forget(p.forgotten, remaining)
        except ExpungeError:
            continue
        secret, certificate = secret_of(twin), release.certificate
        truth = retrain(p.objective, p.remaining, secret.point)
        assert truth is not None
        optimum, off = truth
        L, s = shape_in(secret).factor, secret.mechanism.scale
        away = np.linalg.norm(L.T @ (secret.point - optimum)) / s
        assert away <= certificate.mu + np.linalg.norm(L) * off / s
        assert np.linalg.norm(secret.point - optimum) <= certificate.distance_bound + off
        assert certificate.mu <= GUARANTEE.mu
        np.testing.assert_allclose(release.weights, secret.point, atol=1e-8 * (1 + np.abs(secret.point).max()))


def test_a_distance_in_the_hessians_metric_is_stretched_into_that_of_the_noise():
    rows = classifier_rows()
    model = Unlearner.learn_from(Objective(Logistic(), 5), rows, SHAPED)
    model.forget(rows.take(slice(0, 20)))
    secret = secret_of(model)
    state, L = require_hessian(secret.state), shape_in(secret).factor
    candidate = from_statistics(state)
    stretch = np.linalg.eigvalsh(L.T @ np.linalg.inv(state.hessian.dense()) @ L)[-1]
    assert stretch > 1.2
    least = math.sqrt(stretch) * candidate.energy_distance
    assert least * (1 - 1e-9) <= secret.mechanism.distance(candidate) <= 1.05 * least


def test_the_bound_in_the_metric_of_the_noise_is_near_the_truth(rng):
    """Where isotropic noise reads the flattest direction: columns of uneven scale."""
    rows = classifier_rows()
    objective = Objective(Logistic(), 5, penalty=1e-3)
    model = Unlearner.learn_from(objective, rows, SHAPED)
    release = model.forget(rows.take(slice(0, 20)))
    left = rows.take(slice(20, None))
    assert model.true_mu(left) <= release.certificate.mu <= 100 * model.true_mu(left)
    assert model.true_distance(left) <= release.certificate.distance_bound
    plain = Unlearner.learn_from(objective, rows, Settings(GUARANTEE, 0.05))
    same_cost = 0.05 * math.sqrt(model.noise_cost(rows).cost / plain.noise_cost(rows).cost)
    plain = Unlearner.learn_from(objective, rows, Settings(GUARANTEE, same_cost))
    assert plain.noise_cost(rows).cost == pytest.approx(model.noise_cost(rows).cost, rel=0.02)
    assert plain.capacity().forecasts[0].random < 0.7 * model.capacity().forecasts[0].random


def test_the_certificate_says_what_hides_the_model(rng):
    rows = classifier_rows()
    model = Unlearner.learn_from(Objective(Logistic(), 5), rows, replace(SHAPED, noise_floor=0.05))
    certificate = model.forget(rows.take([0])).certificate
    assert (certificate.noise, certificate.sigma, certificate.excess_risk, certificate.noise_floor) == (
        "shaped",
        None,
        1e-3,
        0.05,
    )
    assert certificate.scale == pytest.approx(math.sqrt(2e-3 * 2999 / 6))
    assert Certificate.from_json(certificate.to_json()) == certificate
    said = certificate.public()
    assert said["noise"] == "shaped" and said["excess_risk"] == 1e-3 and said["noise_floor"] == 0.05 and said["sigma"] is None
    assert "scale" not in said and str(certificate.scale) not in json.dumps(said)
    plain = Unlearner.learn_from(Objective(Logistic(), 5), rows, Settings(GUARANTEE, 0.5)).release.certificate
    assert (plain.noise, plain.sigma, plain.excess_risk, plain.noise_floor, plain.scale) == ("isotropic", 0.5, None, None, 0.5)
    assert plain.mu == pytest.approx(plain.distance_bound / 0.5)


def test_a_certificate_of_before_there_was_another_noise_is_read():
    rows = classifier_rows(100)
    now = Unlearner.learn_from(Objective(Logistic(), 5), rows, Settings(GUARANTEE, 0.5)).release.certificate
    old = json.loads(now.to_json())
    for name in ("noise", "excess_risk", "noise_floor", "scale"):
        del old[name]
    assert Certificate.from_json(json.dumps(old)) == now


def test_the_noise_of_a_release_is_that_of_its_own_rows():
    """Means and covariance of releases after a deletion, against N(w̄, s²A⁻¹) of the rows that remain."""
    rows = classifier_rows(400)
    model = Unlearner.learn_from(Objective(Logistic(), 5), rows, SHAPED, noise=InsecureNoise(0))
    model.forget(rows.take(slice(0, 100)), rows.take(slice(100, None)))
    drawn, secret = model.draw(20_000), secret_of(model)
    moments = Moments.of(model.objective, rows.take(slice(100, None)))
    wanted = Unlearner.learn_from(model.objective, rows.take(slice(100, None)), SHAPED)
    shape = shape_in(secret_of(wanted))
    assert moments.n_rows == 300
    whitened = (drawn - secret.point) @ shape.factor / shape.scale
    np.testing.assert_allclose(whitened.T @ whitened / len(drawn), np.eye(6), atol=0.05)
    np.testing.assert_allclose(whitened.mean(axis=0), 0.0, atol=0.05)
    assert not np.allclose(shape_in(secret_of(wanted)).factor, Shaped(shape).shape.factor * 1.01)


def test_nobody_can_tell_forgetting_from_never_having_learned_beyond_mu():
    rows = classifier_rows(1500, d=3)
    gone, stay = rows.take(slice(0, 30)), rows.take(slice(30, None))
    model = Unlearner.learn_from(Objective(Logistic(), 3), rows, SHAPED, noise=InsecureNoise(1))
    certificate = model.forget(gone).certificate
    never = Unlearner.learn_from(Objective(Logistic(), 3), stay, SHAPED, noise=InsecureNoise(2))
    outside = black_box(model.draw, never.draw, n_draws=4000)
    assert not outside.exceeds(certificate.mu)
    kept = model.twin(InsecureNoise(3))
    kept._secret = replace(secret_of(model), point=secret_of(model).point + 0.5)  # a step that was not taken
    assert black_box(kept.draw, never.draw, n_draws=4000).exceeds(certificate.mu)


@pytest.mark.parametrize("loss", [Logistic(), Softmax(3), Poisson(), Squared()], ids=repr)
def test_auto_is_shaped_where_that_can_be_certified(loss):
    small, wide = Objective(loss, 3), Objective(loss, MOST_SHAPED + 1)
    assert SHAPED.noise_for(small) is NoiseKind.SHAPED
    assert Settings(GUARANTEE, 0.1).noise_for(small) is NoiseKind.ISOTROPIC
    assert SHAPED.noise_for(wide) is NoiseKind.ISOTROPIC
    assert replace(SHAPED, noise=NoiseKind.SHAPED).noise_for(wide) is NoiseKind.SHAPED, "asked for"
    assert replace(SHAPED, memory_budget=0).noise_for(small) is NoiseKind.ISOTROPIC
    assert replace(SHAPED, bound=Bound.WORST_CASE, row_norm=1.0).noise_for(small) is NoiseKind.ISOTROPIC
    assert Settings(GUARANTEE).resolved(small).excess_risk == 0.001


def test_settings_that_cannot_be_together():
    for wrong, why in (
        ({"sigma": 0.1, "excess_risk": 0.1}, "sigma and excess_risk both say how much noise there is: give one of them"),
        ({"sigma": 0.1, "noise": "shaped"}, "noise='shaped' follows from excess_risk: give that instead of sigma"),
        ({"noise": "isotropic"}, "noise='isotropic' needs sigma"),
        ({"noise": "pink"}, "noise must be 'auto', 'shaped' or 'isotropic', got 'pink'"),
        ({"excess_risk": -1.0}, "excess_risk must be a finite number of at least 0, got -1.0"),
        ({"excess_risk": math.inf}, "excess_risk must be a finite number"),
        ({"noise_floor": -0.1}, "noise_floor must be a finite number of at least 0"),
    ):
        with pytest.raises(ValueError, match=why):
            Settings(GUARANTEE, **wrong)
    objective = Objective(Logistic(), 3, fit_intercept=False)
    unfit: tuple[tuple[dict[str, Any], str], ...] = (
        ({"noise": "shaped", "memory_budget": 0}, "needs the Hessian.*raise memory_budget"),
        ({"noise": "shaped", "bound": "worst_case", "row_norm": 1.0}, "needs bound='local', got 'worst_case'"),
        ({"memory_budget": 0}, "has isotropic noise .*, which needs sigma"),
    )
    for wrong, why in unfit:
        with pytest.raises(ValueError, match=why):
            Unlearner.learn_from(objective, classifier_rows(50, 3), Settings(GUARANTEE, **wrong))


def test_estimators_say_what_does_not_go_together():
    rows = classifier_rows(200)
    for wrong, why in (
        ({"sigma": 0.1, "excess_risk": 0.1}, "give one of them"),
        ({"sigma": 0.1, "noise": "shaped"}, "follows from excess_risk"),
        ({"noise": "loud"}, "noise must be 'auto', 'shaped' or 'isotropic', got 'loud'"),
        ({"noise": "isotropic", "excess_risk": 0.1}, "row_norm"),
        ({"noise": "shaped", "bound": "worst_case", "row_norm": 9.0}, "needs bound='local'"),
    ):
        with pytest.raises(ValueError, match=why):
            LogisticRegression(**wrong).fit(rows.X, rows.y)
    for asked, noise, excess_risk, sigma in (
        ({}, "shaped", 0.001, None),
        ({"excess_risk": 0.01}, "shaped", 0.01, None),
        ({"noise": "isotropic"}, "isotropic", None, 0.05),
        ({"noise": "isotropic", "row_norm": 9.0, "excess_risk": 0.01}, "isotropic", None, pytest.approx(math.sqrt(0.08) / 9)),
        ({"memory_budget": 0}, "isotropic", None, 0.05),
        ({"excess_risk": 0}, "isotropic", None, 0.0),
        ({"noise": "shaped", "excess_risk": 0.0}, "isotropic", None, 0.0),
    ):
        certificate = LogisticRegression(**asked).fit(rows.X, rows.y).certificate_
        assert (certificate.noise, certificate.excess_risk, certificate.sigma) == (noise, excess_risk, sigma)
    shaped = Ridge(target_range=(-8, 8), excess_risk=0.01).fit(rows.X, np.clip(rows.X[:, 0], -8, 8)).certificate_
    assert shaped.excess_risk == pytest.approx(0.01 * 16**2 / 8), "a share of the largest null loss"
    counts = PoissonRegressor(target_range=(0, 50), alpha=1e-3).fit(rows.X, rows.y).certificate_
    assert counts.excess_risk == 0.001


def test_no_excess_risk_is_no_noise_and_no_promise():
    rows = classifier_rows(200)
    model = Unlearner.learn_from(Objective(Logistic(), 5), rows, replace(SHAPED, excess_risk=0.0))
    certificate = model.forget(rows.take([0])).certificate
    assert certificate.epsilon == math.inf and isinstance(secret_of(model).mechanism, Isotropic)
    np.testing.assert_array_equal(model.release.weights, secret_of(model).point)
    with pytest.raises(ValueError, match="nothing is promised"):
        model.capacity()


def test_a_fit_too_ill_conditioned_for_its_excess_risk_is_refused():
    rows = classifier_rows(50)
    with pytest.raises(CapacityExceeded, match=r"excess_risk 1e-40.*raise excess_risk"):
        Unlearner.learn_from(Objective(Logistic(), 5), rows, replace(SHAPED, excess_risk=1e-40))
    with pytest.raises(NoiseTooLarge, match="median row"):
        LogisticRegression(excess_risk=9.0).fit(rows.X, rows.y)


def test_the_statistics_refuse_what_shaped_noise_does_not_hide():
    rows = classifier_rows(300)
    model = Unlearner.learn_from(Objective(Logistic(), 5), rows, replace(SHAPED, excess_risk=1e-7))
    with pytest.raises(CapacityExceeded, match="the statistics alone do not prove enough") as caught:
        model.forget(rows.take(slice(0, 50)))
    assert caught.value.distance_bound > caught.value.distance_allowed > 0
    before = covariance_of(model)
    with pytest.raises((CapacityExceeded, BudgetSpent)):
        model.forget(rows.take(slice(0, 100)))
    assert covariance_of(model) == before, "nothing was changed"
    release = model.forget(rows.take(slice(0, 50)), rows.take(slice(50, None)))
    assert release.certificate.rung in (Rung.PASS, Rung.REFIT)


def test_capacity_speaks_the_metric_of_the_noise():
    rows = classifier_rows(8000)
    model = Unlearner.learn_from(Objective(Logistic(), 5), rows, replace(SHAPED, order=2, excess_risk=1e-4))
    report = model.capacity(rows)
    scale = secret_of(model).mechanism.scale
    assert report.distance_allowed == pytest.approx(scale * GUARANTEE.mu, rel=1e-4)
    forecast = report.forecasts[0].random
    order = np.random.default_rng(0).permutation(len(rows))
    assert 100 < forecast < 2000
    for share, is_certified in ((0.5, True), (2.0, False)):
        try:
            model.twin(InsecureNoise(0)).forget(rows.take(order[: int(share * forecast)]))
            assert is_certified
        except CapacityExceeded:
            assert not is_certified
    assert 0 < report.forecasts[0].worst_case < forecast
    assert 0 < model.capacity().forecasts[0].worst_case <= model.capacity().forecasts[0].random
    after = model.forget(rows.take(order[:5])).certificate
    assert model.capacity().distance_bound == pytest.approx(after.mu * after.scale)


def test_exposure_is_in_the_metric_of_the_noise():
    rows = classifier_rows(2000)
    model = Unlearner.learn_from(Objective(Logistic(), 5), rows, SHAPED)
    before = secret_of(model)
    certificate = model.forget(rows.take(slice(0, 10))).certificate
    after = secret_of(model)
    assert isinstance(after.state, State)
    moved = before.mechanism.length(after.point - before.point)
    assert certificate.exposure_mu == pytest.approx(moved / before.mechanism.scale + before.release.certificate.mu, rel=0.01)
    assert model.influence_in_noise(rows.take([11]))[0] == pytest.approx(
        after.mechanism.length(after.state.factor.inverse @ _gradient(model, rows.take([11]))) / certificate.scale, rel=1e-6
    )


def _gradient(model: Unlearner, rows: Rows) -> np.ndarray:
    objective = replace(model.objective, penalty=0.0)
    return gradient_and_hessian(objective, rows, secret_of(model).state.anchor.astype(np.longdouble))[0].astype(float)


def test_an_unusual_row_has_the_noisiest_predictor_and_the_floor_caps_it(rng):
    X = np.vstack([np.eye(6)[np.minimum(rng.geometric(0.6, 4000) - 1, 4)], np.eye(6)[[5, 5]]])
    y = rng.integers(0, 2, 4002).astype(float)
    largest = []
    for floor in (0.0, 0.02, 0.2):
        model = Unlearner.learn_from(Objective(Logistic(), 6), Rows.of(X, y), replace(SHAPED, noise_floor=floor))
        spread = model.noise_spread(Rows.of(X, y))
        assert spread.argmax() in (4000, 4001)
        largest.append(spread.max() / np.median(spread))
        cost = model.noise_cost(Rows.of(X, y))
        assert cost.largest <= spread.max() * (1 + 1e-12) and cost.median == pytest.approx(np.median(spread), rel=0.5)
    assert largest[0] > largest[1] > largest[2]


def test_the_cost_is_what_was_asked_for():
    rows = classifier_rows(20_000)
    model = Unlearner.learn_from(Objective(Logistic(), 5), rows, SHAPED)
    assert model.noise_cost(rows).cost == pytest.approx(1e-3, rel=0.4)


def test_the_scale_of_columns_does_not_matter():
    """Dollars or thousands of dollars: the same noise in every prediction, up to the floor, which is left out here."""
    rows = classifier_rows(1000, 3)
    scaled = Rows.of(rows.X * 2.0 ** np.array([0.0, 6.0, -6.0]), rows.y, ids=rows.ids)
    found = []
    for each in (rows, scaled):
        objective = Objective(Logistic(), 3, penalty=0.0)
        model = Unlearner.learn_from(objective, each, replace(SHAPED, noise_floor=0.0))
        found.append(model.noise_spread(each))
    here, there = found
    np.testing.assert_allclose(here, there, rtol=0.05)


def test_a_state_of_the_format_before_is_read_as_isotropic(tmp_path):
    rows = classifier_rows(300)
    save_unlearner(Unlearner.learn_from(Objective(Logistic(), 5), rows, Settings(GUARANTEE, 0.5)), tmp_path / "state")
    with safe_open(tmp_path / "state", framework="np") as file:
        metadata, tensors = dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    content = json.loads(metadata["content"])
    for name in ("noise", "excess_risk", "noise_floor"):
        del content["settings"][name]
    certificate = json.loads(content["certificate"])
    for name in ("noise", "excess_risk", "noise_floor", "scale"):
        del certificate[name]
    content["certificate"] = json.dumps(certificate)
    text = json.dumps(content, sort_keys=True)
    metadata |= {"content": text, "checksum": storage._checksum(text, tensors, "4"), "version": "4"}
    save_file(tensors, tmp_path / "old", metadata=metadata)
    model = load_unlearner(tmp_path / "old")
    assert isinstance(secret_of(model).mechanism, Isotropic) and model.settings.sigma == 0.5
    assert model.forget(rows.take([0])).certificate.noise == "isotropic"
    save_file(tensors, tmp_path / "future", metadata=metadata | {"version": "99"})
    with pytest.raises(StateCorrupt, match="format version 99, this library reads 4 and 5"):
        load_unlearner(tmp_path / "future")


def test_a_shaped_state_goes_on_from_its_file(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3)) * np.array([1, 3.0, 0.3])
    y = targets(Softmax(3), X[:, :1] @ np.array([[1.0, -1.0, 0.5]]), rng)
    rows = Rows.of(X, y, rng.choice([0.3, 2.0], size=400), ids=range(400))
    model = Unlearner.learn_from(Objective(Softmax(3), 3), rows, SHAPED, noise=InsecureNoise(0))
    save_unlearner(model, tmp_path / "state")
    read = load_unlearner(tmp_path / "state")
    assert covariance_of(read) == covariance_of(model)
    assert read.settings == model.settings
    one, other = (each.forget(rows.take([3])).certificate for each in (model, read))
    assert one.mu == other.mu and covariance_of(read) == covariance_of(model)


def test_the_grid_is_part_of_the_distance():
    rows = classifier_rows(300)
    model = Unlearner.learn_from(Objective(Squared(), 5), rows, SHAPED)
    assert model.release.certificate.mu >= grid_rounding(6, 1.0)
    assert model.forget(rows.take(slice(0, 9))).certificate.rung is Rung.EXACT

"""The state machine: the ladder, the budget, all-or-nothing, and every refusal."""

import math
import pickle
from dataclasses import fields, is_dataclass

import numpy as np
import pytest

from expunge.errors import BudgetSpent, CapacityExceeded, InvalidRows, NoOptimum, NotLearned
from expunge.numerics.evaluation import Evaluation
from expunge.privacy import Guarantee, Schedule
from expunge.privacy.noise import InsecureNoise
from expunge.problem.losses import Logistic, Poisson, Softmax, Squared
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.rung import Bound
from expunge.unlearning.settings import Settings
from expunge.unlearning.storage import save_unlearner
from expunge.unlearning.unlearner import Unlearner
from tests.copies import pickled
from tests.oracle import retrain


def make(n=4000, d=5, sigma=0.05, loss=None, seed=0, **settings):
    """A model on unit rows; the returned function gives the rows at positions, named by position."""
    rng = np.random.default_rng(seed)
    loss = loss or Logistic()
    X = rng.normal(size=(n, d))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    t = X @ rng.normal(size=(d, max(2, loss.outputs))) * 2
    y = (t + rng.gumbel(size=t.shape)).argmax(axis=1).astype(float) if loss.classes else t[:, 0] + rng.normal(size=n)
    rows = Rows.of(X, y)
    objective = Objective(loss, d, fit_intercept=settings.pop("fit_intercept", True))
    options = {"noise": settings.pop("noise")} if "noise" in settings else {}
    model = Unlearner.learn_from(objective, rows, Settings(Guarantee(1.0, 1e-5), sigma, **settings), **options)

    def at(index):
        index = np.atleast_1d(index)
        return Rows.of(X[index], y[index], ids=index.tolist())

    return model, at, n


def snapshot(value):
    """Every bit of a model's secret, arrays included."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if is_dataclass(value):
        return tuple((f.name, snapshot(getattr(value, f.name))) for f in fields(value))
    return repr(value)


def test_the_ladder_takes_the_cheapest_rung_that_proves_enough():
    model, at, n = make(sigma=0.002, order=2)
    everyone = np.arange(n)
    first = model.forget(at(0)).certificate
    assert (first.rung, first.passes) == ("statistics", 0)
    second = model.forget(at(np.arange(1, 300)), at(everyone[300:])).certificate
    assert (second.rung, second.passes) == ("pass", 1)
    third = model.forget(at(np.arange(300, 3700)), at(everyone[3700:])).certificate
    assert third.rung in ("pass", "refit")
    assert third.passes > 1
    for certificate in (first, second, third):
        assert certificate.distance_bound <= 0.002 * Guarantee(1.0, 1e-5).mu
        assert certificate.mu == pytest.approx(certificate.distance_bound / 0.002)
        assert certificate.epsilon_total <= 1.0
        assert certificate.distance_bound > 0


@pytest.mark.parametrize("memory_budget", [2.0**30, 0.0], ids=["dense", "wide"])
def test_the_rows_of_a_request_are_evaluated_once(memory_budget, monkeypatch):
    model, at, n = make(memory_budget=memory_budget)
    evaluated, honest = [], Evaluation.__init__

    def counted(self, objective, rows, w):
        evaluated.append(len(rows))
        honest(self, objective, rows, w)

    monkeypatch.setattr(Evaluation, "__init__", counted)
    model.forget(at(np.arange(7)), at(np.arange(7, n)))
    model.learn(at(np.arange(5)), at(np.r_[:5, 7:n]))
    assert (evaluated.count(7), evaluated.count(5)) == (1, 1)


def test_the_certified_distance_covers_the_true_one_on_every_rung():
    for m in (1, 50, 400, 2500):
        model, at, n = make()
        remaining = at(np.arange(m, n))
        certificate = model.forget(at(np.arange(m)), remaining).certificate
        assert model.true_distance(remaining) <= certificate.distance_bound
        optimum, _ = retrain(model.objective, remaining, np.zeros(6))
        assert np.linalg.norm(model._secret.point - optimum) <= certificate.distance_bound


def test_without_the_rows_there_is_a_refusal_that_says_what_would_do():
    model, at, _n = make(sigma=0.002, order=2)
    before = snapshot(model._secret)
    with pytest.raises(CapacityExceeded, match="pass the remaining rows") as caught:
        model.forget(at(np.arange(300)))
    assert caught.value.distance_bound > caught.value.distance_allowed
    assert caught.value.rung == "pass"
    assert snapshot(model._secret) == before


def test_a_batch_equals_a_sequence_up_to_noise():
    a, at, _n = make(sigma=0.0)
    b, _at, _n = make(sigma=0.0)
    for i in range(20):
        one = a.forget(at(i))
    batch = b.forget(at(np.arange(20)))
    np.testing.assert_allclose(one.weights, batch.weights, atol=1e-12)
    assert (one.certificate.n_forgotten, batch.certificate.n_forgotten) == (1, 20)
    assert one.certificate.remaining == batch.certificate.remaining == 3980


def test_the_budget_is_one_filter_over_all_releases_and_only_a_scheduled_refit_resets_it():
    model, at, n = make(sigma=0.004, schedule=Schedule(days=None, requests=30), order=2)
    certificates = []
    i = 0
    while True:
        try:
            certificates.append(model.forget(at(i)).certificate)
        except (CapacityExceeded, BudgetSpent):
            break
        i += 1
    assert 2 < i < n
    joint = math.sqrt(sum(c.mu**2 for c in certificates))
    assert certificates[-1].mu_total == pytest.approx(joint, rel=1e-9)
    assert certificates[-1].epsilon_total <= 1.0
    early = model.refit(at(np.arange(i, n))).certificate
    assert early.rung == "refit"
    assert early.mu < 1e-3 * certificates[-1].mu_total
    assert early.mu_total >= joint
    assert not early.scheduled
    while not model.is_refit_due:
        forced = model.forget(at(i), at(np.arange(i + 1, n))).certificate
        assert early.mu_total <= forced.mu_total <= Guarantee(1.0, 1e-5).mu
        i += 1
    assert forced.requests == 30
    refit = model.refit(at(np.arange(i, n))).certificate
    assert refit.scheduled
    assert refit.mu_total == forced.mu_total
    after = model.forget(at(i)).certificate
    assert (after.mu_total, after.requests) == (pytest.approx(after.mu), 1)


def test_no_release_before_a_deletion_is_charged():
    model, at, _n = make()
    assert model.release.certificate.mu_total == 0.0
    assert model.release.certificate.rung == "refit"
    extra = Rows.of(at(7).X * 0.5, [1.0])
    assert model.learn(extra).certificate.mu_total == 0.0


def test_learning_and_rectifying_match_retraining():
    model, at, n = make(sigma=0.0)
    new = Rows.of(at([3, 4]).X * 0.9, [1.0, 0.0])
    model.learn(new)
    everyone = at(np.arange(n))
    both = Rows.of(np.vstack([everyone.X, new.X]), np.r_[everyone.y, new.y])
    assert model.true_distance(both) <= model.release.certificate.distance_bound
    fixed = Rows.of(at(0).X, 1.0 - at(0).y)
    certificate = model.rectify(at(0), fixed).certificate
    assert (certificate.n_forgotten, certificate.n_learned, certificate.remaining) == (1, 1, n + 2)
    corrected = Rows.of(both.X, np.r_[1.0 - both.y[:1], both.y[1:]])
    assert model.true_distance(corrected) <= certificate.distance_bound < 1e-3


def test_without_noise_there_is_no_promise_but_a_distance():
    model, at, n = make(sigma=0.0)
    certificate = model.forget(at(np.arange(300))).certificate
    assert certificate.epsilon == certificate.mu == certificate.epsilon_total == math.inf
    assert (certificate.rung, certificate.passes) == ("statistics", 0)
    polished = model.forget(at([300]), at(np.arange(301, n))).certificate
    assert (polished.rung, polished.passes) == ("pass", 3)
    assert polished.distance_bound < 1e-3 * certificate.distance_bound
    exact, at, n = make(sigma=0.0, loss=Squared())
    assert exact.forget(at(np.arange(300)), at(np.arange(300, n))).certificate.rung == "exact"


def test_weights_that_leave_carry_fresh_noise_and_cannot_be_changed():
    model, at, _n = make(sigma=0.05)
    first = model.release.weights
    assert 0 < np.linalg.norm(first - model._secret.point) < 0.05 * 8
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 0.0
    second = model.forget(at(0)).weights
    noises = first - model._secret.point, second - model._secret.point
    assert np.linalg.norm(noises[0] - noises[1]) > 1e-3


def test_exposure_is_that_of_theory_5_5():
    """Each release counts with the move that the row makes there, and with the distance that was proven of it."""
    model, at, n = make(noise=InsecureNoise(0))
    points, mus, states = [], [], []
    for i in range(4):
        points.append(model._secret.point)
        mus.append(model.release.certificate.mu)
        states.append(model._secret.state)
        c = model.forget(at(i), at(np.arange(i + 1, n)) if i == 2 else None).certificate
        state, row = model._secret.state, at(i)
        inverse = np.linalg.inv(state.hessian.dense())
        total = 0.0
        for point, then in zip(points, states, strict=True):
            x = np.r_[row.X[0], 1.0]
            p = 1 / (1 + math.exp(-x @ state.anchor))
            slope = p - row.y[0] + p * (1 - p) * (x @ (point - state.anchor))
            total += np.sum((inverse @ x * slope) ** 2) * (states[-1].trace / then.trace) ** 2
        proven = math.sqrt(sum(mu**2 for mu in mus))
        assert c.exposure_mu == pytest.approx(math.sqrt(total) / c.sigma + proven, rel=1e-6)
        assert math.sqrt(total) == pytest.approx(math.sqrt(i + 1) * np.linalg.norm(model._secret.point - points[-1]), rel=0.02)
    assert model.refit(at(np.arange(4, n))).certificate.exposure_mu == 0.0


def test_without_noise_or_a_hessian_every_release_counts_as_the_last():
    model, at, n = make(memory_budget=0.0)
    for i in range(3):
        before = model._secret.point
        c = model.forget(at(i), at(np.arange(i + 1, n))).certificate
        away = np.linalg.norm(model._secret.point - before) + c.mu * c.sigma
        assert c.exposure_mu == pytest.approx(math.sqrt(i + 1) * away / c.sigma)
    model, at, n = make(sigma=0.0)
    assert model.forget(at(0)).certificate.exposure_mu == math.inf


@pytest.mark.parametrize("bound", ["worst_case", "sekhari2021"])
def test_bounds_from_declared_constants(bound):
    model, at, n = make(n=4000, sigma=2.0, bound=bound, row_norm=1.0, fit_intercept=False)
    local, _at, _n = make(n=4000, sigma=2.0, fit_intercept=False)
    remaining = at(np.arange(1, n))
    ours, theirs = local.forget(at(0), remaining).certificate, model.forget(at(0), remaining).certificate
    assert theirs.bound == bound
    assert theirs.distance_bound > 0
    assert model.true_distance(remaining) <= theirs.distance_bound
    assert ours.distance_bound < 1e-3 * theirs.distance_bound or theirs.rung == "pass"
    assert any("row_norm" in text for text in theirs.assumptions)
    with pytest.raises(InvalidRows, match="above the declared row_norm"):
        model.learn(Rows.of(at(5).X * 1.5, [1.0]))


def test_declared_bounds_need_what_they_need():
    with pytest.raises(ValueError, match="needs row_norm"):
        make(bound="worst_case")
    with pytest.raises(ValueError, match="penalty on every weight"):
        make(bound="worst_case", row_norm=2.0)
    with pytest.raises(ValueError, match="needs bounded derivatives"):
        Unlearner.learn_from(
            Objective(Poisson(), 1, fit_intercept=False),
            Rows.of(np.ones((3, 1)), [1, 2, 3]),
            Settings(Guarantee(1, 1e-5), 1.0, Bound("sekhari2021"), 1.0),
        )
    with pytest.raises(InvalidRows, match="above the declared row_norm"):
        make(bound="worst_case", row_norm=0.9, fit_intercept=False)


@pytest.mark.parametrize(
    "bad", [{"sigma": -1.0}, {"sigma": math.nan}, {"sigma": 0.1, "bound": "tight"}, {"sigma": 0.1, "max_passes": -1}]
)
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ValueError, match="must be"):
        Settings(Guarantee(1.0, 1e-5), **bad)


def refused(model, action, error, match):
    before, release = snapshot(model._secret), model.release
    with pytest.raises(error, match=match):
        action()
    assert snapshot(model._secret) == before
    assert model.release is release


def test_every_bad_request_is_a_clear_error_and_changes_nothing():
    model, at, n = make(sigma=0.002)
    rows = at([0, 1])
    refused(model, lambda: model.forget(Rows.of(np.empty((0, 5)), [])), InvalidRows, "no rows")
    refused(model, lambda: model.forget(Rows.of(rows.X[:, :4], rows.y)), InvalidRows, "have 4 features, but the model has 5")
    refused(model, lambda: model.forget(Rows.of(rows.X, [0.0, 2.0])), InvalidRows, "y of row 1 is 2")
    twice = Rows.of(rows.X[[0, 1, 0]], rows.y[[0, 1, 0]])
    refused(model, lambda: model.forget(twice), InvalidRows, "rows 0 and 2 .* are the same")
    ids = Rows.of(rows.X, rows.y, ids=["a", "a"])
    refused(model, lambda: model.forget(ids), InvalidRows, "rows 0 and 1 .* are the same")
    refused(model, lambda: model.forget(at(np.arange(n))), InvalidRows, "at least one row must remain")
    refused(model, lambda: model.forget(Rows.of(rows.X * 9, rows.y)), NotLearned, "row 0 .* longer")
    many = at(np.arange(900))
    refused(model, lambda: model.forget(many, at(np.arange(901, n))), InvalidRows, "remaining has rows of total weight 3099")
    members = np.flatnonzero(at(np.arange(n)).y == 1.0)
    refused(model, lambda: model.forget(at(members)), InvalidRows, "no row of class code 1")
    refused(model, lambda: model.refit(at(np.arange(1, n))), InvalidRows, "remaining has rows of total weight 3999")
    refused(model, lambda: model.learn(Rows.of(rows.X, [0.0, 5.0])), InvalidRows, "y of row 1 is 5")


def test_a_row_never_learned_is_found_by_the_pass():
    """Same count, so only the gradient at the anchor tells; without the pass the model would be poisoned."""
    model, at, n = make(sigma=0.002)
    forged = Rows.of(at(0).X * 0.97, at(0).y)
    everyone = np.arange(n)
    many = Rows.of(np.vstack([forged.X, at(everyone[1:300]).X]), np.r_[forged.y, at(everyone[1:300]).y])
    refused(model, lambda: model.forget(many, at(everyone[300:])), NotLearned, "was never learned")
    refused(model, lambda: model.refit(Rows.of(at(everyone).X[::-1], at(everyone).y)), NotLearned, "not what was learned")


def test_a_row_with_more_curvature_than_everything_learned_is_refused():
    X = np.array([[1.0], [1.0], [0.1]])
    model = Unlearner.learn_from(
        Objective(Squared(), 1, penalty=0.5, fit_intercept=False),
        Rows.of(X, [1.0, 0.9, 0.2], 1.0),
        Settings(Guarantee(1, 1e-5), 0.0),
    )
    forged = Rows.of([[1.0]], [1.0], [4.0])
    refused(model, lambda: model.forget(forged), NotLearned, "more curvature than all learned rows")


def test_what_remains_must_determine_a_model():
    X = np.vstack([np.tile([1.0, 0.0], (5, 1)), [[0.0, 1.0]]])
    model = Unlearner.learn_from(
        Objective(Squared(), 2, penalty=0.0, fit_intercept=False), Rows.of(X, np.arange(6.0)), Settings(Guarantee(1, 1e-5), 0.0)
    )
    only = Rows.of(X[5:], [5.0])
    refused(model, lambda: model.forget(only), NoOptimum, "singular")
    refused(model, lambda: model.forget(only, Rows.of(X[:5], np.arange(5.0))), NoOptimum, "singular")


def test_too_ill_conditioned_to_certify_is_said_at_fit():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 2)) * [1e9, 1.0]
    with pytest.raises(CapacityExceeded, match="ill-conditioned"):
        Unlearner.learn_from(
            Objective(Logistic(), 2, penalty=1e-9), Rows.of(X, (X[:, 1] > 0) * 1.0), Settings(Guarantee(1, 1e-5), 1e-3)
        )


@pytest.mark.parametrize(
    "stage", ["expunge.unlearning.release.Certificate", "expunge.unlearning.ladder.bounds.energy_distance"]
)
def test_an_error_at_any_stage_leaves_the_state_bit_identical(stage, monkeypatch):
    model, at, n = make()

    def fail(*_args, **_kwargs):
        raise MemoryError("disk and memory are full")

    with monkeypatch.context() as patch:
        patch.setattr(stage, fail)
        refused(model, lambda: model.forget(at([1, 2]), at(np.r_[0, 3:n])), MemoryError, "full")
    assert model.forget(at(1)).certificate.remaining == n - 1


@pytest.mark.parametrize("loss", [Logistic(), Squared(), Softmax(3)], ids=repr)
def test_nothing_of_a_forgotten_row_is_left_in_the_state(loss, tmp_path):
    model, at, _n = make(loss=loss, sigma=0.0)
    row = at(17)
    model.forget(row)
    save_unlearner(model, tmp_path / "state")
    stored = pickled(model) + (tmp_path / "state").read_bytes()
    for dtype in (np.float64, np.float32, ">f8"):
        for value in row.X[0]:
            assert np.asarray(value, dtype=dtype).tobytes() not in stored
    # the search can find a row: it is in what held it before
    assert row.X[0].tobytes() in pickle.dumps(row)


def test_statistics_stay_the_same_size_whatever_is_learned():
    sizes = []
    for n in (200, 2000, 20_000):
        model, _at, _n = make(n=n, sigma=0.0)
        sizes.append(len(pickled(model)))
    assert max(sizes) - min(sizes) < 64


@pytest.mark.parametrize("size", [300.0, 3000.0])
@pytest.mark.parametrize("form", ["sum", "mean"])
def test_a_row_whose_exponential_overflows_at_the_anchor_needs_the_refit(form, size):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    rows = Rows.of(X, rng.poisson(np.exp(X @ [0.5, -0.5])))
    far = Rows.of([[size, 0.0], [-size, 0.0]], [1.0, 2.0])
    both = Rows.of(np.vstack([rows.X, far.X]), np.r_[rows.y, far.y])
    objective = Objective(Poisson(), 2, 1.0 if form == "sum" else 0.01, form)
    model = Unlearner.learn_from(objective, rows, Settings(Guarantee(1.0, 1e-5), 1.0))
    why = "pass the remaining rows"
    refused(model, lambda: model.learn(far), CapacityExceeded, why)
    refused(model, lambda: model.rectify(rows.take(slice(0, 1)), far), CapacityExceeded, why)
    refused(model, lambda: model.learn(far, rows), InvalidRows, "300 rows")
    certificate = model.learn(far, both).certificate
    assert certificate.rung == "refit" and model.true_distance(both) <= certificate.distance_bound
    certificate = model.forget(far, rows).certificate
    assert model.true_distance(rows) <= certificate.distance_bound

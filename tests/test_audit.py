"""The auditor: its bounds hold, it catches mechanisms broken on purpose, and it is silent on the correct one."""

import contextlib
import math
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from scipy.stats import binom, norm

from expunge import audit
from expunge.audit import rehearsal
from expunge.engine.local import LocalEngine
from expunge.errors import InvalidRows
from expunge.linear_model import LogisticRegression, PoissonRegressor, Ridge
from expunge.privacy import PrivacyBudget
from expunge.privacy.guarantee import epsilon_of
from expunge.unlearning.state import State
from expunge.unlearning.unlearner import Unlearner


def gaussian(mean, sigma, seed):
    rng = np.random.default_rng(seed)
    return lambda count: mean + sigma * rng.standard_normal((count, *np.shape(mean)))


def at(distance, p=3):
    mean = np.zeros(p)
    mean[0] = distance
    return mean


class TestBlackBox:
    @pytest.mark.parametrize("mu", [1.0, 2.0, 3.0])
    def test_it_finds_most_of_the_privacy_loss_and_no_more(self, mu):
        found = audit.black_box(gaussian(at(mu), 1.0, 1), gaussian(at(0), 1.0, 2), n_draws=20_000)
        assert 0.8 * mu < found.mu_lower_bound <= mu
        assert 0 < found.epsilon_lower_bound(1e-5) <= epsilon_of(mu, 1e-5)
        assert not found.exceeds(mu)

    def test_it_is_silent_on_the_correct_mechanism(self):
        """1,000 audits of a mechanism exactly as private as certified: false alarms within the binomial bound of 1 %."""
        alarms = epsilons = 0
        for seed in range(1000):
            found = audit.black_box(
                gaussian(at(1.5), 1.0, 2 * seed), gaussian(at(0), 1.0, 2 * seed + 1), n_draws=400, confidence=0.99
            )
            alarms += found.exceeds(1.5)
            epsilons += found.epsilon_lower_bound(1e-3) > epsilon_of(1.5, 1e-3)
        limit = binom.ppf(0.999, 1000, 0.01)
        assert alarms <= limit
        assert epsilons <= limit

    def test_its_error_rates_are_those_of_the_best_test(self):
        found = audit.black_box(gaussian(at(2.0), 1.0, 1), gaussian(at(0), 1.0, 2), n_draws=40_000)
        best = norm.cdf(norm.isf(found.false_positives) - 2.0)
        assert found.false_negatives == pytest.approx(best, abs=0.02)
        assert found.false_positives <= found.false_positives_bound
        assert found.false_negatives <= found.false_negatives_bound
        alpha, miss = found.curve.T
        assert (np.diff(alpha) <= 0).all()
        assert (np.diff(miss) >= 0).all()

    def test_nothing_is_found_between_equals(self):
        found = audit.black_box(gaussian(at(0), 1.0, 1), gaussian(at(0), 1.0, 2), n_draws=1000)
        assert found.mu_lower_bound == found.epsilon_lower_bound(1e-5) == 0.0

    def test_few_draws_and_many_weights_give_valid_bounds(self):
        for seed in range(30):
            found = audit.black_box(gaussian(at(1, 200), 1.0, seed), gaussian(at(0, 200), 1.0, -seed % 97 + 500), n_draws=40)
            assert found.mu_lower_bound <= 1.0

    @pytest.mark.parametrize(
        ("a", "kwargs", "message"),
        [
            (gaussian(at(0), 1.0, 1), {"n_draws": 3}, "n_draws must be at least 4"),
            (gaussian(at(0), 1.0, 1), {"n_draws": 10, "confidence": 1.0}, "confidence must lie strictly"),
            (gaussian(at(0, 2), 1.0, 1), {"n_draws": 10}, "mechanism_b drew shape"),
            (lambda _count: np.zeros((3, 3)), {"n_draws": 10}, "mechanism_a drew shape"),
            (lambda count: np.full((count, 3), math.nan), {"n_draws": 10}, "not finite"),
        ],
    )
    def test_bad_input(self, a, kwargs, message):
        with pytest.raises(ValueError, match=message):
            audit.black_box(a, gaussian(at(0), 1.0, 1), **kwargs)


# A problem on which what is certified is nearly the truth, so that a small fault shows: the mean of Poisson counts.


def counts():
    X, y = np.ones((200, 1)), np.random.default_rng(0).poisson(5, size=200).astype(float)
    order = np.argsort(-y, kind="stable")
    return (X[:20], y[order[:20]]), (X[20:], y[order[20:]])


def model_of(rows, **kwargs):
    settings = {
        "order": 2,
        "alpha": 0.06,
        "fit_intercept": False,
        "epsilon": 8.0,
        "delta": 1e-2,
        "sigma": 0.003,
        "max_passes": 0,
    }
    return PoissonRegressor(**{**settings, **kwargs}).fit(*rows)


def everything(forgotten, remaining):
    return np.vstack([forgotten[0], remaining[0]]), np.concatenate([forgotten[1], remaining[1]])


def seeded(_seed=0):
    rng = np.random.default_rng(_seed)
    return lambda weights, sigma: weights + sigma * rng.standard_normal(len(weights))


def forgetting(model, *requests, noise):
    """Draws streams of releases, one a request, from copies of a model: ``count -> (count, k, p)``."""

    def stream(noise_of_stream):
        twin = Unlearner(model._unlearner.settings, model._unlearner._secret, LocalEngine(), noise_of_stream)
        return [twin.forget(replace(model.encoded(*request), ids=range(len(request[1])))).weights for request in requests]

    return lambda count: np.array([stream(noise) for _ in range(count)])


def never_learning(points, sigma, noise):
    """Draws streams of releases of the models that never learned: each retrained optimum and fresh noise."""
    return lambda count: np.array([[noise(point, sigma) for point in points] for _ in range(count)])


def optimum(rows):
    return model_of(rows, sigma=0).coef_


def first(mechanism):
    return lambda count: mechanism(count)[:, 0]


FORGOTTEN, REMAINING = counts()
CERTIFIED_MU = 1.5  # about what the 20 largest of 200 counts are certified at, see below


def audited(patch=None, noise=None, never_noise=None):
    """A black-box audit of one forget, and the μ that the honest library certifies."""
    model = model_of(everything(FORGOTTEN, REMAINING))
    with patch or contextlib.nullcontext():
        forgot = first(forgetting(model, FORGOTTEN, noise=noise or seeded(1)))(800)
    never = first(never_learning([optimum(REMAINING)], 0.003, never_noise or seeded(2)))
    found = audit.black_box(lambda count: forgot[:count], never, n_draws=800)
    certified = rehearsal(model).forget(*FORGOTTEN, ids=range(20)).mu
    return found, certified


def test_the_correct_mechanism_is_not_accused_and_the_audit_has_power():
    found, certified = audited()
    assert certified == pytest.approx(CERTIFIED_MU, rel=0.2)
    assert not found.exceeds(certified)
    assert found.mu_lower_bound > 0.5 * certified
    assert audit.exact(model_of(everything(FORGOTTEN, REMAINING)), [FORGOTTEN], REMAINING).is_honest


def test_noise_that_is_too_small_is_caught():
    noise = seeded(3)

    def half(weights, sigma):
        return noise(weights, 0.5 * sigma)

    found, certified = audited(noise=half, never_noise=half)
    assert found.exceeds(certified)


def test_a_seeded_generator_is_caught():
    found, certified = audited(noise=lambda weights, sigma: seeded(7)(weights, sigma))
    assert found.exceeds(certified)


def test_noise_reused_in_two_releases_is_caught():
    """Apart, each release is as private as certified; the difference of the two has no noise at all."""
    halves = [(FORGOTTEN[0][:10], FORGOTTEN[1][:10]), (FORGOTTEN[0][10:], FORGOTTEN[1][10:])]
    model = model_of(everything(FORGOTTEN, REMAINING))
    points = [optimum(everything(halves[1], REMAINING)), optimum(REMAINING)]
    twin = rehearsal(model)
    for half in halves:
        total = twin.forget(*half, ids=range(10)).mu_total

    def joint(noise_a, noise_b):
        stream_b = never_learning(points, 0.003, noise_b)
        return audit.sequence(forgetting(model, *halves, noise=noise_a), stream_b, n_draws=800)

    class Reused:
        """Draws once for every two releases."""

        def __init__(self, seed):
            self.rng, self.z = np.random.default_rng(seed), None

        def __call__(self, weights, sigma):
            z = self.rng.standard_normal(len(weights)) if self.z is None else self.z
            self.z = z if self.z is None else None
            return weights + sigma * z

    assert not joint(seeded(1), seeded(2)).exceeds(total)
    assert joint(Reused(1), Reused(2)).exceeds(total)


def fault_in_state(change):
    """A ``State.without`` whose result is spoilt."""
    honest = State.without
    return mock.patch.object(State, "without", lambda self, gone: change(self, honest(self, gone)))


UNCHECKED = mock.patch("expunge.unlearning.remaining._require_same_rows")
"""The library compares the remaining rows with its state: switched off, so that the audit is alone."""


def with_statistics(state, **changes):
    return replace(state, statistics=replace(state.statistics, **changes))


GRADIENT_KEPT = fault_in_state(lambda old, new: with_statistics(new, gradient_sum=old.statistics.gradient_sum))
PENALTY_TWICE = fault_in_state(
    lambda _old, new: with_statistics(
        new,
        gradient_sum=new.statistics.gradient_sum + new.objective.penalty_gradient(new.anchor, new.statistics.count),
        hessian_sum=new.objective.penalised_hessian(new.statistics.hessian_sum, new.statistics.count),
    )
)
HESSIAN_KEPT = fault_in_state(
    lambda old, new: replace(with_statistics(new, hessian_sum=old.statistics.hessian_sum), factor=old.factor)
)


@pytest.mark.parametrize("fault", [GRADIENT_KEPT, PENALTY_TWICE, HESSIAN_KEPT], ids=["gradient", "penalty", "hessian"])
def test_a_wrong_step_is_caught_by_both_audits(fault):
    model = model_of(everything(FORGOTTEN, REMAINING))
    with fault, UNCHECKED:
        found = audit.exact(model, [FORGOTTEN], REMAINING)
    assert not found.is_honest
    assert found.releases[0].true_distance > found.releases[0].certified_distance
    black, certified = audited(patch=fault)
    assert black.exceeds(certified)


def test_a_budget_that_is_not_charged_is_caught():
    model = model_of(everything(FORGOTTEN, REMAINING))
    assert audit.exact(model, [FORGOTTEN], REMAINING).is_honest
    with mock.patch.object(PrivacyBudget, "charged", lambda self, _mu, **_how: self):
        found = audit.exact(model, [FORGOTTEN], REMAINING)
    assert not found.is_honest
    assert found.releases[0].true_distance <= found.releases[0].certified_distance


def test_a_float32_state_is_caught():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    y = X @ np.arange(4.0) + rng.normal(size=300)
    model = Ridge(sigma=0.05).fit(X, y)
    assert audit.exact(model, [(X[:9], y[:9])], (X[9:], y[9:])).is_honest

    def rounded(_old, new):
        names = ("gradient_sum", "hessian_sum")
        return with_statistics(new, **{n: getattr(new.statistics, n).astype(np.float32).astype(float) for n in names})

    with fault_in_state(rounded), UNCHECKED:
        assert not audit.exact(model, [(X[:9], y[:9])], (X[9:], y[9:])).is_honest


def test_adaptive_streams_stay_under_the_filters_total():
    """Whom to forget second depends on the first release; the joint loss still stays under the certified total."""
    rng = np.random.default_rng(0)
    X, y = everything(FORGOTTEN, REMAINING)
    model = model_of((X, y))
    start, totals = (X[:10], y[:10]), []
    choices = [(X[10:15], y[10:15]), (X[15:20], y[15:20])]
    left = [everything(choices[1 - k], REMAINING) for k in range(2)]
    whole = optimum((X[10:], y[10:]))
    after = [optimum(rows) for rows in left]

    noise = seeded(1)

    def forgot(count):
        streams = []
        for _ in range(count):
            twin = Unlearner(model._unlearner.settings, model._unlearner._secret, LocalEngine(), noise)
            one = twin.forget(replace(model.encoded(*start), ids=range(10))).weights
            chosen = choices[int(one[0] > whole[0])]
            two = twin.forget(replace(model.encoded(*chosen), ids=range(5)))
            totals.append(two.certificate.mu_total)
            streams.append([one, two.weights])
        return np.array(streams)

    def never(count):
        ones = whole + 0.003 * rng.standard_normal((count, 1))
        twos = np.array([after[int(one[0] > whole[0])] for one in ones]) + 0.003 * rng.standard_normal((count, 1))
        return np.stack([ones, twos], axis=1)

    found = audit.sequence(forgot, never, n_draws=800)
    assert 0 < found.mu_lower_bound <= max(totals)


def test_predictions_alone_find_what_weights_find_or_less():
    model = model_of(everything(FORGOTTEN, REMAINING))

    def scores(weights):
        return lambda count: weights(count) @ FORGOTTEN[0].T + 0.0

    forgot = first(forgetting(model, FORGOTTEN, noise=seeded(1)))
    never = first(never_learning([optimum(REMAINING)], 0.003, seeded(2)))
    certified = rehearsal(model).forget(*FORGOTTEN, ids=range(20)).mu
    found = audit.membership(scores(forgot), scores(never), n_draws=800)
    assert 0.3 < found.mu_lower_bound <= certified
    kept = first(never_learning([model._unlearner._secret.point], 0.003, seeded(3)))  # a model that forgot nothing
    assert audit.membership(scores(kept), scores(never), n_draws=800).exceeds(certified)


def test_exact_audits_rows_with_weights(rng):
    X = rng.normal(size=(400, 3))
    y = (X[:, 0] + rng.logistic(size=400) > 0).astype(int)
    weight = rng.choice([1.0, 5.0], size=400)
    model = LogisticRegression(sigma=0.05).fit(X, y, weight)
    parts = [(X[part], y[part], weight[part]) for part in (slice(0, 4), slice(4, 8), slice(8, None))]
    assert audit.exact(model, parts[:2], parts[2]).is_honest
    for without in ([part[:2] for part in parts], [parts[0], parts[1][:2], parts[2]]):
        with pytest.raises(InvalidRows, match="weights"):
            audit.exact(model, without[:2], without[2])


def test_exact_audits_a_stream_and_leaves_the_model_alone(rng):
    X = rng.normal(size=(2000, 4))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = (X[:, 0] > 0.3 * rng.logistic(size=2000)).astype(int)
    model = LogisticRegression(sigma=0.05).fit(X, y)
    before = model._unlearner._secret
    requests = [(X[i : i + 5], y[i : i + 5]) for i in range(0, 20, 5)]
    found = audit.exact(model, requests, (X[20:], y[20:]))
    assert found.is_honest
    assert model._unlearner._secret is before
    assert [release.forgotten for release in found.releases] == [5, 5, 5, 5]
    totals = [release.true_mu_total for release in found.releases]
    assert totals == sorted(totals)
    assert totals[-1] == pytest.approx(math.sqrt(sum(release.true_mu**2 for release in found.releases)))
    with pytest.raises(InvalidRows):
        audit.exact(model, [(X[:1] * math.nan, y[:1])], (X[1:], y[1:]))


def test_exact_models_name_who_was_forgotten_and_noise_hides_them(rng):
    X = rng.normal(size=(600, 4))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = (X[:, 0] > 0.3 * rng.normal(size=600)).astype(int)
    hidden = audit.reconstruction(LogisticRegression(sigma=0.1).fit(X, y), X, y, 11)
    assert (hidden.n_candidates, hidden.exact) == (200, 1)
    assert hidden.noisy > 20
    assert hidden.found < 0.1
    bare = audit.reconstruction(LogisticRegression(sigma=1e-7).fit(X, y), X, y, 11, n_draws=20)
    assert (bare.exact, bare.noisy, bare.found) == (1, 1.0, 1.0)
    assert "exact retraining the right one comes at place 1" in str(hidden)
    with pytest.raises(ValueError, match="no noise"):
        audit.reconstruction(LogisticRegression(sigma=0).fit(X, y), X, y, 11)


def test_shaped_noise_hides_whom_exact_models_name(rng):
    X = rng.normal(size=(3000, 6))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = (X[:, 0] > 0.3 * rng.normal(size=3000)).astype(int)
    found = audit.reconstruction(LogisticRegression().fit(X, y), X, y, 5)
    assert found.exact == 1
    assert found.noisy > 30

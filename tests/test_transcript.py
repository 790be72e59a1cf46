"""Transcripts: what all releases of a model can tell together, against log-likelihood ratios of means known in closed form."""

import json
import math

import mpmath
import numpy as np
import pytest
from scipy import stats

from expunge.evidence.charges import Why, composed, delta_of
from expunge.linear_model import LogisticRegression
from expunge.privacy import Guarantee, Schedule
from expunge.privacy.guarantee import epsilon_of
from expunge.privacy.noise import InsecureNoise
from expunge.problem.losses import Logistic
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.certificate import Certificate
from expunge.unlearning.settings import Settings
from expunge.unlearning.transcript import NOT_COVERED, Transcript
from expunge.unlearning.unlearner import Unlearner, secret_of

SIGMA, GOING = 0.1, 100


class OneWeight:
    """Logistic regression on rows that are all 1, whose optimum is the logit of the share of ones."""

    def __init__(self, requests: int = 5) -> None:
        self.ones, self.zeros = 2500, 3500
        self.named = 0
        settings = Settings(Guarantee(1.0, 1e-5), SIGMA, schedule=Schedule(days=None, requests=requests), order=2)
        objective = Objective(Logistic(), 1, penalty=0.0, fit_intercept=False)
        rows = self.rows(self.ones, self.zeros)
        self.model = Unlearner.learn_from(objective, rows, settings, noise=InsecureNoise(0))
        self.certificates = [self.model.release.certificate]

    def rows(self, ones: int, zeros: int) -> Rows:
        n = ones + zeros
        self.named += n
        return Rows.of(np.ones((n, 1)), np.r_[np.ones(ones), np.zeros(zeros)], ids=range(self.named - n, self.named))

    def learn(self, ones: int, zeros: int) -> None:
        self.ones, self.zeros = self.ones + ones, self.zeros + zeros
        self.certificates.append(self.model.learn(self.rows(ones, zeros)).certificate)

    def forget(self, ones: int, zeros: int) -> None:
        self.ones, self.zeros = self.ones - ones, self.zeros - zeros
        self.certificates.append(self.model.forget(self.rows(ones, zeros)).certificate)

    def refit(self) -> None:
        self.certificates.append(self.model.refit(self.rows(self.ones, self.zeros)).certificate)

    @property
    def mean(self) -> float:
        return float(secret_of(self.model).point[0])

    def without(self, ones: int) -> float:
        """What exact training without so many ones gives."""
        return math.log((self.ones - ones) / self.zeros)


def test_the_log_likelihood_ratio_of_a_whole_transcript_is_what_is_stated():
    """A hundred ones are there until the fourth release, which forgets them. Releases before it would have had other means
    without them, those from it on exactly those of retraining; after the scheduled refit the two are the same system."""
    story, means = OneWeight(), []

    def note(ones: int) -> None:
        means.append((story.mean, story.without(ones)))

    note(GOING)
    for step in (lambda: story.learn(600, 200), lambda: story.forget(20, 30), lambda: story.learn(0, 900)):
        step()
        note(GOING)
    for step in (lambda: story.forget(GOING, 0), lambda: story.forget(0, 40)):
        step()
        note(0)
    story.refit()
    story.forget(5, 0)
    found = Transcript.of(story.certificates[4:])
    assert [charge.why for charge in found.charges] == [Why.DELETION, Why.LATER, Why.SCHEDULED, Why.AFTER]
    assert [charge.mu for charge in found.charges[2:]] == [0.0, 0.0]  # every sum is made in the same order: bit for bit

    rng, (with_them, without) = np.random.default_rng(1), np.array(means).T
    drawn = with_them + SIGMA * rng.standard_normal((40_000, len(means)))
    ratio = ((drawn - without) ** 2 - (drawn - with_them) ** 2).sum(axis=1) / (2 * SIGMA**2)
    mu = math.sqrt(2.0 * ratio.mean())
    assert stats.kstest(ratio, stats.norm(mu**2 / 2, mu).cdf).pvalue > 1e-3
    assert ratio.std() == pytest.approx(mu, rel=0.03)
    proven = composed(certificate.mu for certificate in story.certificates[:4])
    assert mu <= 1.02 * found.mu and found.mu <= 1.1 * (mu + proven)
    before = math.sqrt(sum((a - b) ** 2 for a, b in means[:4])) / SIGMA
    after = math.sqrt(sum((a - b) ** 2 for a, b in means[4:])) / SIGMA
    assert found.exposure_mu - proven == pytest.approx(before, rel=0.05)
    assert after <= composed(charge.mu for charge in found.charges)
    assert abs(story.mean - story.without(0)) > 0  # the statistics leave something to be charged


def test_gaussians_chosen_by_earlier_ones_compose_as_stated():
    """Whoever asks looks at the releases first, and spends the squares early or late, whichever looks better; δ(ε) of the whole
    is never above that of one Gaussian of the composed μ."""
    rng, n, limit = np.random.default_rng(2), 400_000, 0.9
    ratio, left = np.zeros(n), np.full(n, limit**2)
    for last in (False, False, False, True):
        wish = np.where(ratio > 0.1, 0.8, 0.25)  # more where it goes well
        mu = np.sqrt(left if last else wish * left)
        left = left - mu**2
        ratio += mu * rng.standard_normal(n) + mu**2 / 2
    for epsilon in (0.2, 0.5, 1.0, 2.0):
        lost = np.maximum(0.0, 1.0 - np.exp(epsilon - ratio))
        exact = delta_of(composed([limit]), epsilon)
        assert lost.mean() <= exact + 4 * lost.std() / math.sqrt(n)
        assert lost.mean() >= 0.9 * exact - 4 * lost.std() / math.sqrt(n)  # all of it is spent


@pytest.mark.parametrize("mu", [1e-3, 0.3, 1.0, 7.0, 60.0, 3000.0])
def test_the_verifier_computes_delta(mu):
    for epsilon in (0.0, 0.1 * mu, mu, mu**2 / 2 + 3 * mu):
        with mpmath.workdps(60):
            a, b = mpmath.mpf(mu) / 2 - mpmath.mpf(epsilon) / mu, -mpmath.mpf(mu) / 2 - mpmath.mpf(epsilon) / mu
            exact = mpmath.ncdf(a) - mpmath.exp(epsilon) * mpmath.ncdf(b)
        assert delta_of(mu, epsilon) == pytest.approx(float(exact), rel=1e-6, abs=1e-15)
    assert delta_of(mu, epsilon_of(mu, 1e-6)) <= 1e-6 * (1 + 1e-4)


def fitted(**settings):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(900, 3))
    return LogisticRegression(**settings).fit(X, (X[:, 0] + rng.logistic(size=900) > 0).astype(int)), X


def test_an_estimator_collects_the_certificates_for_it():
    _model, X = fitted()
    rng = np.random.default_rng(0)
    y = (X[:, 0] + rng.logistic(size=900) > 0).astype(int)
    model = LogisticRegression(excess_risk=0.01).fit(X, y)
    for i in range(4):
        model.forget(X[[i]], y[[i]])
    found = Transcript.of(model.certificates_[2:])
    assert len(found.charges) == 3
    squares = [model.certificates_[2].exposure_mu ** 2, *(each.mu**2 for each in model.certificates_[2:])]
    assert found.mu == pytest.approx(math.sqrt(sum(squares)))
    assert found.epsilon == epsilon_of(found.mu, 1e-6)


def test_what_is_no_transcript():
    model, X = fitted(sigma=0)
    with pytest.raises(ValueError, match="forgot rows"):
        Transcript.of(model.certificates_)
    with pytest.raises(ValueError, match="forgot rows"):
        Transcript.of([])
    model.forget(X[:1], model.predict(X[:1]), remaining=None)
    found = Transcript.of(model.certificates_[1:])  # without noise nothing is hidden
    assert found.mu == found.epsilon == math.inf
    other, X = fitted(delta=1e-5)
    other.forget(X[:1], other.predict(X[:1]))
    with pytest.raises(ValueError, match="different deltas"):
        Transcript.of([*other.certificates_[1:], *fitted()[0].certificates_])


def test_a_certificate_that_does_not_say_of_a_reset_is_charged_in_full():
    story = OneWeight(requests=1)
    story.forget(GOING, 0)
    story.refit()
    story.forget(0, 20)
    older = []
    for certificate in story.certificates[1:]:
        told = json.loads(certificate.to_json())
        del told["resets_budget"], told["drift_mu"]
        older.append(Certificate.from_json(json.dumps(told)))
    assert [charge.why for charge in Transcript.of(story.certificates[1:]).charges][1:] == [Why.SCHEDULED, Why.AFTER]
    found = Transcript.of(older)
    assert [charge.why for charge in found.charges][1:] == [Why.LATER, Why.LATER]
    assert [charge.mu for charge in found.charges] == [each.mu for each in story.certificates[1:]]


def test_a_refit_before_its_time_and_a_forced_one_are_charged():
    story = OneWeight(requests=50)
    story.forget(GOING, 0)
    story.refit()
    assert not story.certificates[-1].resets_budget
    charges = Transcript.of(story.certificates[1:]).charges
    assert charges[1].why is Why.LATER and charges[1].mu == story.certificates[-1].mu > 0


def test_it_says_what_it_does_not_cover():
    text = " ".join(NOT_COVERED)
    for word in ("estimate", "together", "Preprocessing", "Models learned from one table", "Refusals"):
        assert word in text
    assert "Releases from before the deletion are not covered" not in text

"""A story on the bundled census data: fit, then forget one person, a thousand, an unusual one, and more by passes and refits.

Only a demo retrains after every request, to show the true distance; the purpose of the library is that nobody has to.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.metrics import log_loss

from expunge import audit
from expunge.audit.verdict import Verdict
from expunge.data.census import load_census
from expunge.linear_model import LogisticRegression
from expunge.unlearning.certificate import Certificate
from expunge.unlearning.cost import NoiseCost

Array = NDArray[np.float64]
Index = NDArray[np.intp]

EPSILON, DELTA, EXCESS_RISK = 1.0, 1e-5, 0.001


@dataclass(frozen=True)
class Score:
    """Accuracy and mean log-loss (nats) on the held-out rows."""

    accuracy: float
    log_loss: float


@dataclass(frozen=True)
class Step:
    """One line of the story.

    Args:
        name: what was asked for.
        certificate: the certificate of the resulting release.
        seconds: time from the call of ``forget`` to the new release.
        true_distance: |w̄ − ŵ′|₂, found by retraining.
        original: held-out scores before.
        forgotten: held-out scores after.
        retrained: held-out scores of scikit-learn trained without the people.
        retrain_seconds: the time that this training took.
    """

    name: str
    certificate: Certificate
    seconds: float
    true_distance: float
    original: Score
    forgotten: Score
    retrained: Score
    retrain_seconds: float


class Demo:
    """The census data, encoded, and the settings; ``steps`` tells the story."""

    def __init__(self) -> None:
        self.X, self.y = load_census("train")
        self.X_test, self.y_test = load_census("test")

    def fitted(self, max_passes: int = 3) -> LogisticRegression:
        """A model of all training rows."""
        return self._model(max_passes).fit(self.X, self.y)

    def _model(self, max_passes: int = 3) -> LogisticRegression:
        return LogisticRegression(epsilon=EPSILON, delta=DELTA, excess_risk=EXCESS_RISK, max_passes=max_passes)

    def noise_cost(self) -> NoiseCost:
        """What the noise of a fit truly costs on the held-out rows."""
        return self.fitted().noise_cost(self.X_test, self.y_test)

    def steps(self) -> Iterator[Step]:
        """Fits and forgets, line by line."""
        model = self.fitted()
        order = np.random.default_rng(0).permutation(len(self.y))
        odd = np.argmax(np.abs(model.predict_proba(self.X)[:, 1] - self.y))  # the person the model fits worst
        order = order[order != odd]
        person, thousand, many, unusual, nobody = order[:1], order[1:1001], order[:5000], np.array([odd]), order[:0]
        yield self._forget("1 person", model, person, nobody, has_rows=False)
        yield self._forget("1,000 more", model, thousand, person, has_rows=False)
        yield self._forget("1 unusual", self.fitted(), unusual, nobody, has_rows=False)
        yield self._forget("5,000", self.fitted(), many, nobody)
        yield self._forget("by refit", self.fitted(max_passes=0), many, nobody)

    def audited(self, n_draws: int) -> Verdict:
        """Forgets a typical person, twenty more and an unusual one, and audits that by retraining, from the outside, and by
        the attack that looks for the typical one in the releases before and after."""
        model = self.fitted()
        order = np.argsort(-np.abs(model.predict_proba(self.X)[:, 1] - self.y))
        people = [order[-1:], order[-21:-1], order[:1]]
        stay = order[1:-21]
        typical = audit.reconstruction(model, self.X, self.y, int(order[len(order) // 2]))
        requests = [(self.X[index], self.y[index]) for index in people]
        exact = audit.exact(model, requests, (self.X[stay], self.y[stay]))
        for k, request in enumerate(requests):
            rest = np.concatenate([stay, *people[k + 1 :]])
            model.forget(*request, ids=range(len(request[1])), remaining=(self.X[rest], self.y[rest]))
        never = self._model().fit(self.X[stay], self.y[stay])
        return Verdict(exact, audit.black_box(model.draw, never.draw, n_draws=n_draws), DELTA, typical)

    def _forget(self, name: str, model: LogisticRegression, people: Index, before: Index, *, has_rows: bool = True) -> Step:
        original = self._score(model.predict_proba(self.X_test))
        stay = np.setdiff1d(np.arange(len(self.y)), np.concatenate([people, before]))
        remaining = (self.X[stay], self.y[stay]) if has_rows else None
        started = time.perf_counter()
        certificate = model.forget(self.X[people], self.y[people], ids=people.tolist(), remaining=remaining)
        seconds = time.perf_counter() - started
        forgotten = self._score(model.predict_proba(self.X_test))
        retrained = SklearnLogisticRegression(solver="newton-cholesky")
        started = time.perf_counter()
        retrained.fit(self.X[stay], self.y[stay])
        retrain_seconds = time.perf_counter() - started
        return Step(
            name,
            certificate,
            seconds,
            model.true_distance(self.X[stay], self.y[stay]),
            original,
            forgotten,
            self._score(retrained.predict_proba(self.X_test)),
            retrain_seconds,
        )

    def _score(self, probabilities: Array) -> Score:
        accuracy = float(np.mean((probabilities[:, 1] > 0.5) == self.y_test))
        return Score(accuracy, float(log_loss(self.y_test, probabilities)))

"""Reconstruction: what two neighbouring releases tell of the person who was forgotten between them. Theory §5.4.

The difference of two exact models names the person: it is, to first order, what that person's row did to the weights. The
noise of releases is what hides it. The attack knows all rows, trains an exact model of its own, and asks which row went.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.audit.retraining import rehearsal

Array = NDArray[np.float64]

DRAWS_PER_WEIGHT = 8
"""Releases drawn, times the number of weights, to learn the covariance of the noise."""


@dataclass(frozen=True)
class Reconstruction:
    """At which place among the candidates the forgotten person comes, 1 for the first: guessing gives half of ``n_candidates``.

    Args:
        n_candidates: how many rows were suspected.
        exact: the place, by two exact models.
        noisy: the median place over fresh noise, by releases as they are published.
        found: the share of these in which the person comes first.
        n_draws: how many pairs of releases were drawn.
    """

    n_candidates: int
    exact: int
    noisy: float
    found: float
    n_draws: int

    def __str__(self) -> str:
        return (
            f"From the models before and after one deletion, by somebody who suspects {self.n_candidates:,} people: by exact "
            f"retraining the right one comes at place {self.exact:,}; by the releases with their noise at place "
            f"{self.noisy:,.0f} in the median, and first in {self.found:.1%} of {self.n_draws:,} tries."
        )


def reconstruction(
    model: Any, X: Any, y: Any, person: int, *, n_candidates: int = 200, n_draws: int = 200, seed: int = 0
) -> Reconstruction:
    """Forgets one person on a copy of ``model``, and looks for whom the difference of the two releases points to.

    Args:
        model: a fitted estimator of ``expunge.linear_model`` with noise; it stays as it is.
        X: all rows that it learned, ``(n_rows, n_features)``.
        y: their targets, ``(n_rows,)``.
        person: the position of the row to forget.
        n_candidates: people suspected, the right one among them, the others drawn at random; 200 by default.
        n_draws: pairs of releases drawn; 200 by default.
        seed: of the drawn suspects; 0 by default.

    Raises:
        ValueError: the model has no noise.
        NotLearned, InvalidRows: the rows are not those that it learned.

    Examples:
        >>> from expunge.linear_model import LogisticRegression
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(300, 3))
        >>> y = (X[:, 0] > rng.normal(size=300)).astype(int)
        >>> reconstruction(LogisticRegression(sigma=0.1).fit(X, y), X, y, 7).exact
        1

    Source: theory §5.4.
    """
    from sklearn.base import clone

    stay = np.delete(np.arange(len(y)), person)
    others = np.random.default_rng(seed).permutation(stay)[: n_candidates - 1]
    exact = clone(model).set_params(sigma=0, noise="auto", excess_risk=None, order=2)
    before, without = _weights(exact.fit(X, y)), _weights(clone(exact).fit(X[stay], y[stay]))
    pointers = np.array([_without(exact, X[[row]], y[[row]]) - before for row in (person, *others)])

    forgot = rehearsal(model)
    forgot.forget(X[[person]], y[[person]], remaining=(X[stay], y[stay]))
    noise = model.draw(DRAWS_PER_WEIGHT * len(before))
    metric = np.linalg.inv(np.atleast_2d(np.cov(noise.T)))

    def place(moved: Array) -> int:
        """Of the person, by how far each candidate's displacement is from the one seen, in the metric of the noise."""
        off = pointers - moved
        far = np.einsum("ij,jk,ik->i", off, metric, off)
        return int(np.sum(far < far[0])) + 1

    places = np.array([place(moved) for moved in forgot.draw(n_draws) - model.draw(n_draws)])
    return Reconstruction(
        len(pointers), place(without - before), float(np.median(places)), float(np.mean(places == 1)), n_draws
    )


def _weights(model: Any) -> Array:
    """As ``draw`` gives them: output by output, the intercept last, ``(p,)``."""
    coef, intercept = np.atleast_2d(model.coef_), np.reshape(model.intercept_, (-1, 1))
    return np.asarray(np.hstack([coef, intercept] if model.fit_intercept else [coef]), dtype=np.float64).ravel()


def _without(exact: Any, X: Any, y: Any) -> Array:
    """The weights of an exact model once a row is forgotten, which it then learns again."""
    exact.forget(X, y)
    weights = _weights(exact)
    exact.learn(X, y)
    return weights

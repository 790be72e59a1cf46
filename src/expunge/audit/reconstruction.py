"""Reconstruction: what two neighbouring releases tell of the person who was forgotten between them. Theory §5.4.

The difference of two exact models names the person: it is, to first order, what that person's row did to the weights. The
noise of releases is what hides it. The attack here knows every row that was learned, and asks which of them went.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.audit.retraining import rehearsal
from expunge.unlearning.dense import require_hessian
from expunge.unlearning.influence import moves
from expunge.unlearning.unlearner import secret_of

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Reconstruction:
    """At which place among the candidates the forgotten person comes, 1 for the first: guessing gives half of ``n_candidates``.

    Args:
        n_candidates: how many rows were learned, any of which might have gone.
        exact: the place, by releases without noise.
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
            f"From the releases before and after one deletion, by somebody who knows all {self.n_candidates:,} rows: without "
            f"noise the person comes at place {self.exact:,} of them; with the noise published at place {self.noisy:,.0f} in "
            f"the median, and first in {self.found:.1%} of {self.n_draws:,} tries."
        )


def reconstruction(model: Any, X: Any, y: Any, person: int, *, n_draws: int = 200) -> Reconstruction:
    """Forgets one person on a copy of ``model``, and looks for whom the difference of the two releases points to.

    Args:
        model: a fitted estimator of ``expunge.linear_model`` with a Hessian; it stays as it is.
        X: all rows that it learned, ``(n_rows, n_features)``.
        y: their targets, ``(n_rows,)``.
        person: the position of the row to forget.
        n_draws: pairs of releases drawn; 200 by default.

    Raises:
        ValueError: the model keeps no Hessian.
        NotLearned, InvalidRows: the rows are not those that it learned.

    Examples:
        >>> from expunge.linear_model import LogisticRegression
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(300, 3))
        >>> y = (X[:, 0] > rng.normal(size=300)).astype(int)
        >>> reconstruction(LogisticRegression(sigma=0).fit(X, y), X, y, 7).exact
        1

    Source: theory §5.4.
    """
    stay = np.delete(np.arange(len(y)), person)
    before = rehearsal(model)
    rows = before.encoded(X, y)
    state = require_hessian(secret_of(before._unlearner).state)
    after = rehearsal(model)
    after.forget(X[[person]], y[[person]], remaining=(X[stay], y[stay]))
    pointers, hessian = moves(state, rows.on_host()), state.hessian.dense()
    lengths = np.einsum("ij,ij->i", pointers @ hessian, pointers)

    def place(moved: Array) -> int:
        """Of the person, by how far each row's own displacement is from the one seen, in the metric of the Hessian."""
        far = lengths - 2.0 * (pointers @ (hessian @ moved))
        return int(np.sum(far < far[person])) + 1

    ends = [secret_of(each._unlearner).point for each in (before, after)]
    draws = [each._unlearner.draw(n_draws) for each in (before, after)]
    places = np.array([place(moved) for moved in draws[1] - draws[0]])
    return Reconstruction(len(y), place(ends[1] - ends[0]), float(np.median(places)), float(np.mean(places == 1)), n_draws)

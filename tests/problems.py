"""One catalogue of (loss, data, penalty, deletion) problems; every property of the bounds is tested on it."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from expunge.problem.losses import (
    LOSSES,
    Gamma,
    LogCosh,
    Logistic,
    Loss,
    NegativeBinomial,
    Poisson,
    PseudoHuber,
    SmoothedHinge,
    SmoothedQuantile,
    Softmax,
    Squared,
    Tweedie,
)
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows

CATALOGUE: tuple[Loss, ...] = (
    Logistic(),
    Softmax(3),
    Softmax(4),
    Squared(),
    PseudoHuber(1.0),
    PseudoHuber(0.3),
    LogCosh(),
    SmoothedHinge(0.5),
    SmoothedQuantile(0.8, 1.5),
    NegativeBinomial(0.7),
    Poisson(),
    Gamma(),
    Tweedie(1.2),
    Tweedie(1.7),
)
assert {type(loss) for loss in CATALOGUE} == set(LOSSES.values()), "a new loss must join the catalogue"

DELETIONS = ("random", "influential", "one_direction", "category", "duplicates", "class_nearly_gone", "first", "last", "none")


@dataclass(frozen=True)
class Problem:
    """Rows, an objective, and a mask of the rows to forget."""

    objective: Objective
    rows: Rows
    gone: np.ndarray

    @property
    def forgotten(self) -> Rows:
        return replace(self.rows.take(self.gone), ids=range(int(self.gone.sum())))

    @property
    def remaining(self) -> Rows:
        return self.rows.take(~self.gone)


def targets(loss: Loss, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Targets drawn from the loss's own model with linear predictor ``t`` (n, K)."""
    if loss.classes:
        t = np.hstack([np.zeros_like(t), t]) if t.shape[1] == 1 else t
        y = (t + rng.gumbel(size=t.shape)).argmax(axis=1).astype(float)
        y[: loss.classes] = np.arange(loss.classes)
        return y
    t = t[:, 0]
    match loss:
        case Poisson() | NegativeBinomial():
            return rng.poisson(np.exp(np.clip(t, -5, 5))).astype(float)
        case Gamma():
            return np.exp(np.clip(t, -5, 5)) * rng.gamma(2.0, 0.5, size=len(t)) + 1e-6
        case Tweedie():
            return np.exp(np.clip(t, -5, 5)) * rng.gamma(1.0, 1.0, size=len(t)) * (rng.random(len(t)) < 0.7)
        case _:
            return t + rng.standard_t(3, size=len(t))


def problem(loss: Loss, seed: int, *, max_log10_condition: float = 3.0, intercept: bool | None = None) -> Problem:
    """A problem drawn from ``seed``: uneven scales, correlated or one-hot columns, weights, offsets, both forms, any
    deletion."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(12, 90)), int(rng.integers(1, 6))
    is_ill = max_log10_condition > 3.0
    kind = rng.choice(["scaled", "correlated"] if is_ill else ["gaussian", "onehot", "scaled", "correlated", "unit"])
    X = rng.normal(size=(n, d))
    if kind == "onehot":
        X = np.eye(d)[np.minimum(rng.geometric(0.5, size=n) - 1, d - 1)]
    elif kind == "scaled":
        X = X * 10.0 ** rng.uniform(-max_log10_condition / 2, 0, size=d)
    elif kind == "correlated":
        X = X[:, :1] + X * 10.0 ** rng.uniform(-max_log10_condition / 2, 0)
    elif kind == "unit":
        X = X / np.linalg.norm(X, axis=1, keepdims=True)
    truth = rng.normal(size=(d, loss.outputs)) / max(1.0, np.abs(X).max())
    y = targets(loss, X @ truth, rng)
    weight = rng.choice([0.5, 1.0, 2.0], size=n) if rng.random() < 0.3 else None
    penalty = float(10.0 ** rng.uniform(-max_log10_condition if is_ill else -2.0, 1.5)) * (not is_ill or rng.random() < 0.8)
    form: Literal["sum", "mean"] = "mean" if rng.random() < 0.4 else "sum"
    fit_intercept = bool(rng.random() < 0.6) if intercept is None else intercept
    objective = Objective(loss, d, penalty / n if form == "mean" else penalty, form, fit_intercept)
    rows = Rows.of(X, y, weight)
    found = Problem(objective, rows, _gone(rows, loss, str(rng.choice(DELETIONS)), rng))
    return with_offsets(found, rng) if loss.outputs == 1 and rng.random() < 0.2 else found


def with_offsets(found: Problem, rng: np.random.Generator) -> Problem:
    """The same problem with something added to the predictor of each row."""
    offsets = rng.normal(size=len(found.rows)) * rng.choice([0.1, 1.0, 3.0])
    rows = replace(found.rows, X=np.hstack([found.rows.X, offsets[:, None]]))
    return replace(found, objective=replace(found.objective, offset=True), rows=rows)


def _gone(rows: Rows, loss: Loss, how: str, rng: np.random.Generator) -> np.ndarray:
    n = len(rows)
    m = int(rng.integers(1, max(2, n // 3)))
    residual = rows.y - np.average(rows.y)
    influence = residual * np.linalg.norm(rows.X, axis=1) ** 2
    order = {
        "random": rng.permutation(n),
        "influential": np.argsort(-np.abs(influence)),
        "one_direction": np.argsort(-(rows.X @ rng.normal(size=rows.X.shape[1])) * residual),
        "category": np.argsort(np.abs(rows.X[:, 0] - rows.X[rng.integers(n), 0])),
        "duplicates": np.argsort(np.abs(rows.y - rows.y[rng.integers(n)]), kind="stable"),
        "class_nearly_gone": np.argsort(rows.y, kind="stable"),
        "first": np.arange(n),
        "last": np.arange(n)[::-1],
        "none": np.arange(n),
    }[how]
    m = {"none": 0, "first": 1, "last": 1, "class_nearly_gone": max(1, int((rows.y == rows.y.min()).sum()) - 1)}.get(how, m)
    gone = np.zeros(n, dtype=bool)
    gone[order[: min(m, n - 2)]] = True
    for code in range(loss.classes):  # a class must not go entirely: that is refused, and tested elsewhere
        members = rows.y == code
        if (members & ~gone).sum() == 0:
            gone[np.flatnonzero(members)[0]] = False
    return gone

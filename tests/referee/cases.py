"""What is played before the referee: seeded pools of rows, their objectives, and the shapes in which they are given.

A case is made as a plain dense matrix first. What the library sees is one of the many representations of it, so that a
representation taken for its values shows.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy import sparse

from expunge.problem.losses import (
    LOSSES,
    Loss,
    NegativeBinomial,
    PseudoHuber,
    SmoothedHinge,
    SmoothedQuantile,
    Softmax,
    Tweedie,
)
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from tests.referee.oracle import QUANTILE_SCALE, LossName, Model, Optimum, optimum

LOSS_KINDS: tuple[tuple[LossName, float], ...] = (
    ("logistic", 0.0),
    ("softmax", 3.0),
    ("softmax", 4.0),
    ("squared", 0.0),
    ("pseudo_huber", 1.0),
    ("pseudo_huber", 0.3),
    ("log_cosh", 0.0),
    ("poisson", 0.0),
    ("gamma", 0.0),
    ("tweedie", 1.2),
    ("tweedie", 1.7),
)
LATER_KINDS: tuple[tuple[LossName, float], ...] = (
    ("smoothed_hinge", 0.5),
    ("smoothed_quantile", 0.8),
    ("negative_binomial", 0.7),
)
"""Losses that came later: every eighth block of seeds is theirs, so that the other seeds stay the cases that they were."""
LATER_BLOCK = 5
MADE: dict[LossName, Callable[[float], Loss]] = {
    "softmax": lambda n_classes: Softmax(int(n_classes)),
    "pseudo_huber": PseudoHuber,
    "tweedie": Tweedie,
    "smoothed_hinge": SmoothedHinge,
    "smoothed_quantile": lambda level: SmoothedQuantile(level, QUANTILE_SCALE),
    "negative_binomial": NegativeBinomial,
}
"""Losses with a parameter."""
assert {name for name, _ in LOSS_KINDS + LATER_KINDS} == set(LOSSES), "a new loss must come before the referee"

SHAPES = ("gaussian", "unit", "binary", "onehot", "counts", "heavy", "scaled", "collinear", "separable", "huge", "tiny")
TAME = ("gaussian", "unit", "binary", "onehot", "counts")
"""Shapes on which a refusal for want of precision would be a fault."""
FORMS = ("C", "F", "strided", "csr", "csr_duplicates", "csr_unsorted", "csr_zeros", "csc", "coo", "list")
WEIGHTS = ("none", "none", "few", "some_zero", "wide", "large", "small")


@dataclass(frozen=True)
class Case:
    """A pool of rows, of which a sequence holds some at a time.

    Args:
        X: ``(n_rows, n_features)``, the values.
        y: targets or class codes.
        weight: ``None`` for ones.
        form: the representation in which rows are given.
        is_single: whether as float32 (the values are then float32's).
    """

    seed: int
    model: Model
    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None
    shape: str
    form: str
    is_single: bool
    weighting: str

    @property
    def is_tame(self) -> bool:
        """Whether nothing about it excuses a refusal for want of precision."""
        return self.shape in TAME and self.weighting in ("none", "few") and self.model.penalty > 0

    @property
    def weights(self) -> np.ndarray:
        """The weights, ``(n_rows,)``."""
        return np.ones(len(self.y)) if self.weight is None else self.weight

    @property
    def objective(self) -> Objective:
        """The library's words for ``model``."""
        kind, parameter = self.model.loss, self.model.parameter
        loss = MADE[kind](parameter) if kind in MADE else LOSSES[kind]()
        return Objective(loss, self.model.n_features, self.model.penalty, self.model.form, self.model.intercept)

    def rows(self, index: np.ndarray, *, with_ids: bool = True) -> Rows:
        """The rows at ``index`` as the library is given them."""
        index = np.asarray(index, dtype=int)
        dtype = np.float32 if self.is_single else np.float64
        given = represented(self.X[index].astype(dtype), self.form, np.random.default_rng([self.seed, len(index)]))
        weight = None if self.weight is None else self.weight[index]
        return Rows.of(given, self.y[index], weight, ids=index.tolist() if with_ids else None)

    def optimum(self, index: np.ndarray, start: np.ndarray | None = None) -> Optimum | None:
        """The proved minimum over the rows at ``index``."""
        index = np.asarray(index, dtype=int)
        return optimum(self.model, self.X[index], self.y[index], self.weights[index], start)


def represented(X: np.ndarray, form: str, rng: np.random.Generator) -> Any:
    """The same matrix in another representation; its values stay the same to the last bit."""
    match form:
        case "C":
            return np.ascontiguousarray(X)
        case "F":
            return np.asfortranarray(X)
        case "strided":
            wide = np.full((2 * len(X), 2 * X.shape[1]), np.nan, dtype=X.dtype)
            wide[::2, ::2] = X
            return wide[::2, ::2]
        case "list":
            return X.tolist()
        case "csc":
            return sparse.csc_array(X)
        case "coo":
            return sparse.coo_array(X)
        case "csr":
            return sparse.csr_array(X)
    indptr, indices, data = [0], list[int](), list[float]()
    for row in X:
        entries = [(j, v) for j, v in enumerate(row) if v != 0 or (form == "csr_zeros" and rng.random() < 0.5)]
        if form == "csr_duplicates":  # v = 2v − v, exactly, unless it overflows
            entries = [e for j, v in entries for e in ([(j, 2 * v), (j, -v)] if rng.random() < 0.5 else [(j, v / 2)] * 2)]
        if form in ("csr_unsorted", "csr_duplicates"):
            rng.shuffle(entries)
        indices.extend(int(j) for j, _ in entries)
        data.extend(v for _, v in entries)
        indptr.append(len(indices))
    return sparse.csr_array((np.array(data, dtype=X.dtype), np.array(indices, dtype=np.int32), np.array(indptr)), shape=X.shape)


def kind_of(seed: int) -> tuple[LossName, float]:
    """The loss of a case, and its parameter."""
    block, place = divmod(seed, len(LOSS_KINDS))
    return LATER_KINDS[place % len(LATER_KINDS)] if block % 8 == LATER_BLOCK else LOSS_KINDS[place]


def case(seed: int, *, tame: bool = False) -> Case:
    """A case drawn from ``seed``; losses come in turn, so that consecutive seeds see all of them."""
    rng = np.random.default_rng([seed, 20260])
    kind, parameter = kind_of(seed)
    n, d = int(rng.integers(16, 60)), int(rng.integers(1, 6 if kind == "softmax" else 8))
    shape = str(rng.choice(TAME if tame else SHAPES))
    X = _features(shape, n, d, rng)
    is_single = bool(rng.random() < 0.25) and shape not in ("huge", "tiny")
    if is_single:
        X = X.astype(np.float32).astype(np.float64)
    intercept = bool(rng.random() < 0.6)
    form: Literal["sum", "mean"] = "mean" if rng.random() < 0.5 else "sum"
    penalty = float(10.0 ** rng.uniform(-2.0 if tame else -4.0, 2.0)) * (tame or rng.random() < 0.9)
    model = Model(kind, d, penalty / n if form == "mean" else penalty, form, intercept, parameter)
    weighting = "none" if tame else str(rng.choice(WEIGHTS))
    weight = _weights(weighting, n, rng)
    y = _targets(model, X, shape, rng)
    representation = str(rng.choice(FORMS))
    if representation == "list":
        is_single = False
    return Case(seed, model, X, y, weight, shape, representation, is_single, weighting)


def _features(shape: str, n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    X = rng.normal(size=(n, d))
    match shape:
        case "unit":
            return X / np.linalg.norm(X, axis=1, keepdims=True)
        case "binary":
            return (rng.random((n, d)) < 0.4).astype(float)
        case "onehot":
            return np.eye(d)[np.minimum(rng.geometric(0.4, size=n) - 1, d - 1)]
        case "counts":
            return rng.poisson(0.7, size=(n, d)).astype(float)
        case "heavy":
            return np.clip(rng.standard_t(1.2, size=(n, d)), -1e4, 1e4)
        case "scaled":
            return X * 10.0 ** rng.uniform(-8, 8, size=d)
        case "collinear":
            return X[:, :1] + X * 10.0 ** rng.uniform(-9, -1) * (rng.random(d) < 0.7)
        case "huge":
            return X * 10.0 ** rng.uniform(3, 16 if rng.random() < 0.7 else 55)
        case "tiny":
            return X * 10.0 ** rng.uniform(-16 if rng.random() < 0.7 else -55, -3)
    return X


def _weights(weighting: str, n: int, rng: np.random.Generator) -> np.ndarray | None:
    match weighting:
        case "few":
            return rng.choice([0.5, 1.0, 2.0], size=n)
        case "some_zero":
            return rng.choice([0.0, 1.0, 3.0], size=n, p=[0.3, 0.4, 0.3])
        case "wide":
            return 10.0 ** rng.uniform(-12, 12, size=n)
        case "large":
            return 10.0 ** rng.uniform(6, 12) * rng.uniform(0.5, 2.0, size=n)
        case "small":
            return 10.0 ** rng.uniform(-12, -6) * rng.uniform(0.5, 2.0, size=n)
    return None


def _targets(model: Model, X: np.ndarray, shape: str, rng: np.random.Generator) -> np.ndarray:
    size = np.median(np.linalg.norm(X, axis=1)) + 1e-300
    t = np.clip(X / size @ rng.normal(size=(X.shape[1], model.outputs)), -6, 6)
    n = len(X)
    if shape == "separable" and model.loss in ("logistic", "softmax", "smoothed_hinge"):
        t = 50.0 * t
    match model.loss:
        case "logistic" | "smoothed_hinge":
            y = (t[:, 0] + rng.logistic(size=n) > 0).astype(float)
            y[:6] = [0, 1, 0, 1, 0, 1]
        case "softmax":
            y = (t + rng.gumbel(size=t.shape)).argmax(axis=1).astype(float)
            y[: 3 * model.outputs] = np.tile(np.arange(model.outputs), 3)
        case "poisson" | "negative_binomial":
            y = rng.poisson(np.exp(t[:, 0])).astype(float)
            y[0] = 1.0
        case "gamma":
            y = np.exp(t[:, 0]) * rng.gamma(2.0, 0.5, size=n) + 1e-3
        case "tweedie":
            y = np.exp(t[:, 0]) * rng.gamma(1.0, 1.0, size=n) * (rng.random(n) < 0.7)
            y[0] = 1.0
        case _:
            y = 3.0 * t[:, 0] + rng.standard_t(2, size=n)
    return y


def with_weights(given: Case, weight: np.ndarray | None) -> Case:
    """The same rows with other weights."""
    return replace(given, weight=weight, weighting="none" if weight is None else "given")

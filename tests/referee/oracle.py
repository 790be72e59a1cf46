"""The referee's own retraining: balls of 320 bits, its own losses, and an optimum that is proved to be one.

It shares no numerics with the library: losses and derivatives are written down again from theory §6, arithmetic is that of
python-flint's ``arb``, and rows are taken as the exact rationals that their floats are. Newton's method finds a point; the
Krawczyk operator then proves, in ball arithmetic and without any property of the loss but convexity, that the only minimum
lies within ``radius`` of it. Where the precision does not suffice for the proof, it is doubled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from flint import arb, arb_mat, ctx

BITS = 320
MOST_BITS = 2560
LOOKS = 400
"""Newton steps and halvings after which there is held to be no optimum."""

LossName = Literal[
    "logistic",
    "softmax",
    "smoothed_hinge",
    "squared",
    "pseudo_huber",
    "log_cosh",
    "smoothed_quantile",
    "poisson",
    "negative_binomial",
    "gamma",
    "tweedie",
]
QUANTILE_SCALE = 0.4
"""s of the smoothed quantile loss, of which the parameter is the level."""


@dataclass(frozen=True)
class Model:
    """What is minimised; ``parameter`` is a scale, a level, a dispersion, a power or the number of classes."""

    loss: LossName
    n_features: int
    penalty: float
    form: Literal["sum", "mean"] = "sum"
    intercept: bool = True
    parameter: float = 0.0

    @property
    def outputs(self) -> int:
        """K."""
        return int(self.parameter) if self.loss == "softmax" else 1

    @property
    def width(self) -> int:
        """Coefficients per output."""
        return self.n_features + self.intercept

    @property
    def size(self) -> int:
        """p."""
        return self.outputs * self.width


@dataclass(frozen=True)
class Optimum:
    """A minimum proved to lie within ``radius`` of ``point``, coordinate by coordinate."""

    point: tuple[arb, ...]
    radius: tuple[arb, ...]

    @property
    def enclosure(self) -> list[arb]:
        """One ball a coordinate."""
        return [arb(m, r) for m, r in zip(self.point, self.radius, strict=True)]

    def distance(self, weights: np.ndarray) -> arb:
        """|weights − optimum|₂, a ball."""
        with ctx.workprec(BITS):
            return norm([arb(float(w)) - m for w, m in zip(weights, self.enclosure, strict=True)])

    def as_floats(self) -> np.ndarray:
        """The middle, ``(p,)``."""
        return np.array([float(m) for m in self.point])


def optimum(
    model: Model, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None, start: np.ndarray | None = None
) -> Optimum | None:
    """The proved minimum over these rows, or ``None`` where Newton's method finds none.

    Args:
        X: ``(n_rows, n_features)``, dense.
        y: targets or class codes.
        weight: ones by default.
        start: a hint, ``(p,)``; it changes the time taken, not the result.
    """
    weight = np.ones(len(y)) if weight is None else weight
    hints = [None] if start is None or not np.isfinite(start).all() else [start, None]
    bits = BITS
    while bits <= MOST_BITS:
        with ctx.workprec(bits):
            rows = _Rows.of(model, X, y, weight)
            for hint in hints:
                point = _newton(model, rows, hint)
                proved = None if point is None else _proved(model, rows, point)
                if proved is not None:
                    return proved
        if point is None:
            return None
        bits *= 2
    return None


def norm(values: Sequence[arb]) -> arb:
    """The 2-norm, finite where the values are: the root is taken of the ends, as a ball around 0 has none."""
    square = sum((v * v for v in values), arb(0))
    return lower(square).sqrt().union(square.abs_upper().sqrt())


def lower(ball: arb) -> arb:
    """The lower end of a finite ball, at least 0."""
    if not ball.is_finite():
        raise ArithmeticError(f"{ball} is not finite")
    end = ball.lower()
    return end if end > 0 else arb(0)


class _Rows(NamedTuple):
    X: arb_mat
    Xt: arb_mat
    y: list[arb]
    codes: list[int]
    weight: list[arb]
    penalty: arb

    @classmethod
    def of(cls, model: Model, X: np.ndarray, y: np.ndarray, weight: np.ndarray) -> "_Rows":
        distinct: dict[tuple[bytes, float], tuple[int, arb]] = {}
        for i in np.flatnonzero(np.asarray(weight) > 0):  # equal rows are one, of their weights together
            key = (np.ascontiguousarray(X[i], dtype=float).tobytes(), float(y[i]))
            first, total = distinct.get(key, (int(i), arb(0)))
            distinct[key] = (first, total + arb(float(weight[i])))
        kept, weights = [i for i, _ in distinct.values()], [total for _, total in distinct.values()]
        design = arb_mat([[arb(float(v)) for v in X[i]] + [arb(1)] * model.intercept for i in kept])
        penalty = arb(model.penalty) * (sum(weights, arb(0)) if model.form == "mean" else arb(1))
        targets = [arb(float(y[i])) for i in kept]
        return cls(design, design.transpose(), targets, [int(y[i]) for i in kept], weights, penalty)


class _Look(NamedTuple):
    gradient: list[arb]
    hessian: arb_mat


def _predictors(model: Model, rows: _Rows, w: list[arb]) -> list[list[arb]]:
    blocks = arb_mat([[w[k * model.width + j] for k in range(model.outputs)] for j in range(model.width)])
    return (rows.X * blocks).tolist()


def _value(model: Model, rows: _Rows, w: list[arb]) -> arb:
    """J(w)."""
    total = arb(0)
    for i, t in enumerate(_predictors(model, rows, w)):
        total += rows.weight[i] * _loss(model, t, rows.y[i], rows.codes[i])
    ridge = sum((w[j] * w[j] for j in _penalised(model)), arb(0))
    gauge = sum((w[j] for j in _gauged(model)), arb(0))
    return total + (rows.penalty * ridge + gauge * gauge) / 2


def _look(model: Model, rows: _Rows, w: list[arb]) -> _Look:
    """∇J and ∇²J at w; at a ball w, enclosures of all their values on it."""
    K, width = model.outputs, model.width
    slopes, curvatures = [], []
    for i, t in enumerate(_predictors(model, rows, w)):
        slope, curvature = _derivatives(model, t, rows.y[i], rows.codes[i])
        slopes.append([rows.weight[i] * s for s in slope])
        curvatures.append([[rows.weight[i] * c for c in row] for row in curvature])
    summed = (rows.Xt * arb_mat(slopes)).tolist()
    gradient = [summed[j][k] for k in range(K) for j in range(width)]
    listed = rows.X.tolist()
    hessian = [[arb(0)] * (K * width) for _ in range(K * width)]
    for k in range(K):
        for m in range(k + 1):
            scaled = arb_mat([[curvatures[i][k][m] * x for x in row] for i, row in enumerate(listed)])
            block = (rows.Xt * scaled).tolist()
            for a in range(width):
                for b in range(width):
                    hessian[k * width + a][m * width + b] = hessian[m * width + b][k * width + a] = block[a][b]
    for j in _penalised(model):
        gradient[j] += rows.penalty * w[j]
        hessian[j][j] += rows.penalty
    gauged = _gauged(model)
    gauge = sum((w[j] for j in gauged), arb(0))
    for j in gauged:
        gradient[j] += gauge
        for k in gauged:
            hessian[j][k] += 1
    return _Look(gradient, arb_mat(hessian))


def _penalised(model: Model) -> list[int]:
    return [k * model.width + j for k in range(model.outputs) for j in range(model.n_features)]


def _gauged(model: Model) -> list[int]:
    """The intercepts of several outputs, whose sum is held by ½(Σb)²."""
    if model.outputs == 1 or not model.intercept:
        return []
    return [(k + 1) * model.width - 1 for k in range(model.outputs)]


def _loss(model: Model, t: list[arb], y: arb, code: int) -> arb:
    """ℓ(t; y) up to a constant, theory §6."""
    match model.loss:
        case "logistic":
            return _softplus(-t[0] if code else t[0])
        case "softmax":
            return sum(((v - t[code]).exp() for v in t), arb(0)).log()
        case "squared":
            return (t[0] - y) ** 2 / 2
        case "pseudo_huber":
            s = arb(model.parameter)
            return s * s * ((1 + ((t[0] - y) / s) ** 2).sqrt() - 1)
        case "log_cosh":
            r = abs(t[0] - y)
            return r + _softplus(-2 * r)
        case "poisson":
            return t[0].exp() - y * t[0]
        case "gamma":
            return y * (-t[0]).exp() + t[0]
        case "smoothed_hinge":
            s = arb(model.parameter)
            return s * _softplus((1 - (t[0] if code else -t[0])) / s)
        case "smoothed_quantile":
            s, q = arb(QUANTILE_SCALE), arb(model.parameter)
            return s * _softplus((t[0] - y) / s) - q * (t[0] - y)
        case "negative_binomial":
            a = arb(model.parameter)
            return (y + 1 / a) * _softplus(t[0] + a.log()) - y * t[0]
        case "tweedie":
            k = arb(model.parameter)
            return y * ((1 - k) * t[0]).exp() / (k - 1) + ((2 - k) * t[0]).exp() / (2 - k)


def _derivatives(model: Model, t: list[arb], y: arb, code: int) -> tuple[list[arb], list[list[arb]]]:
    """∂ℓ/∂t and ∂²ℓ/∂t², theory §6."""
    if model.loss == "softmax":
        top = max(range(len(t)), key=lambda k: float(t[k].mid()) if t[k].is_finite() else 0.0)
        e = [(v - t[top]).exp() for v in t]
        total = sum(e, arb(0))
        p = [v / total for v in e]
        rest = sum((q for k, q in enumerate(p) if k != code), arb(0))
        slope = [-rest if k == code else q for k, q in enumerate(p)]
        curvature = [[-p[k] * p[m] for m in range(len(p))] for k in range(len(p))]
        for k in range(len(p)):
            curvature[k][k] = p[k] * sum((p[m] for m in range(len(p)) if m != k), arb(0))
        return slope, curvature
    u = t[0]
    match model.loss:
        case "logistic":
            slope1 = -1 / (1 + u.exp()) if code else 1 / (1 + (-u).exp())
            curvature1 = 1 / (2 + u.exp() + (-u).exp())
        case "squared":
            slope1, curvature1 = u - y, arb(1)
        case "pseudo_huber":
            r = (u - y) / arb(model.parameter)
            root = (1 + r * r).sqrt()
            slope1, curvature1 = (u - y) / root, 1 / root**3
        case "log_cosh":
            r = u - y
            slope1, curvature1 = r.tanh(), 1 / r.cosh() ** 2
        case "poisson":
            slope1, curvature1 = u.exp() - y, u.exp()
        case "gamma":
            slope1, curvature1 = 1 - y * (-u).exp(), y * (-u).exp()
        case "tweedie":
            power = arb(model.parameter)
            mean, claim = ((2 - power) * u).exp(), y * ((1 - power) * u).exp()
            slope1, curvature1 = mean - claim, (2 - power) * mean + (power - 1) * claim
        case "smoothed_hinge":
            s, sign = arb(model.parameter), 1 if code else -1
            x = (1 - sign * u) / s
            slope1, curvature1 = -sign / (1 + (-x).exp()), 1 / (s * (2 + x.exp() + (-x).exp()))
        case "smoothed_quantile":
            s = arb(QUANTILE_SCALE)
            x = (u - y) / s
            slope1, curvature1 = 1 / (1 + (-x).exp()) - arb(model.parameter), 1 / (s * (2 + x.exp() + (-x).exp()))
        case "negative_binomial":
            a = arb(model.parameter)
            x = u + a.log()
            slope1 = (y + 1 / a) / (1 + (-x).exp()) - y
            curvature1 = (y + 1 / a) / (2 + x.exp() + (-x).exp())
    return [slope1], [[curvature1]]


def _softplus(t: arb) -> arb:
    """ln(1 + eᵗ)."""
    return (1 + t.exp()).log() if t < 0 else t + (1 + (-t).exp()).log()


def _newton(model: Model, rows: _Rows, start: np.ndarray | None) -> list[arb] | None:
    """A point near the minimum: Newton's method, halving steps that do not lower J, to stagnation; nothing is proved of it."""
    w = [arb(0)] * model.size if start is None else [arb(float(v)) for v in start]
    value, previous = _value(model, rows, w).mid(), arb("inf")
    looks = 0
    while looks < LOOKS:
        looks += 1
        at = _look(model, rows, w)
        if not all(g.is_finite() for g in at.gradient):
            return None
        try:
            step = _column(at.hessian.mid().solve(arb_mat([[-g.mid()] for g in at.gradient])))
        except ZeroDivisionError:
            return None
        decrement = -sum((g.mid() * s for g, s in zip(at.gradient, step, strict=True)), arb(0)).mid()
        if not decrement.is_finite():
            return None
        length = arb(1)
        while looks < LOOKS:
            moved = [(v + length * s).mid() for v, s in zip(w, step, strict=True)]
            after = _value(model, rows, moved).mid()
            if not after > value or length < arb(2) ** -60:
                break
            length /= 2
            looks += 1
        settled = not decrement > arb(2) ** (-ctx.prec) * abs(value) * 2**40 or (
            not decrement < previous / 2 and not after < value
        )
        w, value, previous = moved, after, decrement
        if settled:
            return w
    return None


def _proved(model: Model, rows: _Rows, point: list[arb]) -> Optimum | None:
    """The minimum near ``point``, if the Krawczyk operator maps a small box around it into itself.

    −Y∇J(w) + (I − Y∇²J(B))(B − w) ⊂ int(B − w) shows that B holds exactly one zero of ∇J; as J is convex, no other is anywhere.
    """
    at = _look(model, rows, point)
    try:
        Y = at.hessian.mid().inv().mid()
    except ZeroDivisionError:
        return None
    newton = _column(Y * arb_mat([[g] for g in at.gradient]))
    natural = [at.hessian[j, j].mid() for j in range(model.size)]
    if not all(n.is_finite() and n > 0 for n in natural) or not all(v.is_finite() for v in newton):
        return None
    least = arb(2) ** (-(3 * ctx.prec) // 4)
    radius = [(4 * v.abs_upper() + least / n.sqrt()).mid() for v, n in zip(newton, natural, strict=True)]
    box = [arb(w, r) for w, r in zip(point, radius, strict=True)]
    hessian = _look(model, rows, box).hessian
    identity = arb_mat([[arb(int(i == j)) for j in range(model.size)] for i in range(model.size)])
    offset = _column((identity - Y * hessian) * arb_mat([[arb(0, r)] for r in radius]))
    image = [o - v for o, v in zip(offset, newton, strict=True)]
    if not all(abs(v) < r for v, r in zip(image, radius, strict=True)):
        return None
    return Optimum(tuple(point), tuple(radius))


def _column(matrix: arb_mat) -> list[arb]:
    return [row[0] for row in matrix.tolist()]

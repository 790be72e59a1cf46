"""Retraining to full precision, independently of the library: 80-bit gradients, float64 factors, Newton to stagnation."""

import numpy as np
from scipy import linalg

from expunge.problem.losses import (
    Gamma,
    LogCosh,
    Logistic,
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

L = np.longdouble


def _slope_and_curvature(loss, t, y):
    """ℓ′ (n, K) and ℓ″ (n, K, K) in extended precision, from the definitions of theory §6."""
    if isinstance(loss, Softmax):
        e = np.exp(t - t.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        hot = np.eye(loss.n_classes, dtype=bool)[y.astype(int)]
        rest = np.where(hot, 0, p).sum(axis=1)
        others = p[:, None, :] * (1 - np.eye(loss.n_classes, dtype=L))
        curvature = -p[:, :, None] * p[:, None, :]
        index = np.arange(loss.n_classes)
        curvature[:, index, index] = p * others.sum(axis=2)
        return np.where(hot, -rest[:, None], p), curvature
    t = t[:, 0]
    r = t - y
    match loss:
        case Logistic():
            p, q = 1 / (1 + np.exp(-t)), 1 / (1 + np.exp(t))
            slope, curvature = np.where(y > 0, -q, p), p * q
        case Squared():
            slope, curvature = r, np.ones_like(r)
        case PseudoHuber():
            root = np.sqrt(1 + (r / loss.scale) ** 2)
            slope, curvature = r / root, root**-3
        case LogCosh():
            slope, curvature = np.tanh(r), 1 / np.cosh(r) ** 2
        case Poisson():
            slope, curvature = np.exp(t) - y, np.exp(t)
        case Gamma():
            slope, curvature = 1 - y * np.exp(-t), y * np.exp(-t)
        case Tweedie():
            k = L(loss.power)
            a, b = np.exp((2 - k) * t), y * np.exp((1 - k) * t)
            slope, curvature = a - b, (2 - k) * a + (k - 1) * b
        case NegativeBinomial():
            a = L(loss.dispersion)
            odds = a * np.exp(t)
            slope, curvature = (np.exp(t) - y) / (1 + odds), (a * y + 1) * np.exp(t) / (1 + odds) ** 2
        case SmoothedQuantile():
            q, s = L(loss.level), L(loss.scale)
            slope = (1 - q) / (1 + np.exp(-r / s)) - q / (1 + np.exp(r / s))
            curvature = 1 / (4 * s * np.cosh(r / (2 * s)) ** 2)
        case SmoothedHinge():
            s, sign = L(loss.scale), 2 * y - 1
            slope = -sign / (1 + np.exp((sign * t - 1) / s))
            curvature = 1 / (4 * s * np.cosh((sign * t - 1) / (2 * s)) ** 2)
    return slope[:, None], curvature[:, None, None]


def gradient_and_hessian(objective: Objective, rows: Rows, w):
    """∇J in extended precision and ∇²J in float64, penalty included."""
    X = rows.X.toarray() if hasattr(rows.X, "toarray") else rows.X
    X = X.astype(L)
    offsets, X = (X[:, -1:], X[:, :-1]) if objective.offset else (L(0), X)
    if objective.fit_intercept:
        X = np.hstack([X, np.ones((len(X), 1), dtype=L)])
    K, width = objective.loss.outputs, X.shape[1]
    weight = rows.weight.astype(L)
    slope, curvature = _slope_and_curvature(objective.loss, X @ w.reshape(K, width).T + offsets, rows.y.astype(L))
    gradient = np.einsum("i,ik,iw->kw", weight, slope, X).reshape(-1)
    hessian = np.einsum("i,ikl,iv,iw->kvlw", weight, curvature, X, X).reshape(K * width, K * width)
    alpha = L(objective.penalty) * (weight.sum() if objective.form == "mean" else L(1))
    mask = np.ones((K, width), dtype=L)
    if objective.fit_intercept:
        mask[:, -1] = 0
    gradient = gradient + alpha * mask.reshape(-1) * w
    hessian = hessian + np.diag(alpha * mask.reshape(-1))
    if K > 1 and objective.fit_intercept:
        free = (1 - mask).reshape(-1)
        gradient = gradient + free * (free @ w)
        hessian = hessian + np.outer(free, free)
    return gradient, hessian.astype(np.float64)


def retrain(objective: Objective, rows: Rows, start) -> tuple[np.ndarray, float] | None:
    """argmin J over ``rows``, and how far off it can be: 1e-17 relative, or the last step where 80 bits give no more.

    ``None`` where Newton does not settle (no optimum).
    """
    w = np.asarray(start, dtype=L)
    previous = np.inf
    with np.errstate(all="ignore"):
        for _ in range(200):
            gradient, hessian = gradient_and_hessian(objective, rows, w)
            scale = 1.0 / np.sqrt(np.diag(hessian))
            try:
                factor = linalg.cho_factor(hessian * scale[:, None] * scale)
            except (linalg.LinAlgError, ValueError):
                return None
            step = -scale * linalg.cho_solve(factor, (gradient * scale).astype(np.float64))
            size = float(np.linalg.norm(step))
            reach = 1.0 + float(np.linalg.norm(w.astype(np.float64)))
            if size <= 1e-17 * reach or (size >= 0.5 * previous and size < 1e-5 * reach):
                return w.astype(np.float64), size
            length = 1.0
            norm = float(np.linalg.norm(gradient.astype(np.float64)))
            while length > 1e-4 and size > 1e-6:
                after = np.linalg.norm(gradient_and_hessian(objective, rows, w + length * step)[0].astype(np.float64))
                if after < norm:
                    break
                length *= 0.5
            w, previous = w + length * step, size
    return None

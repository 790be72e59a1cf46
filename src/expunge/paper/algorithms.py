"""The paper's algorithms as published, for any loss given by plain functions: A_sc, Ā_sc and their convex form. Theory §3.

These are the reference. Their noise follows from declared constants, which on real data is 10⁵ to 10⁹ times too large;
``Unlearner`` has the same step and a certificate from the data instead.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.errors import InvalidRows, NoOptimum
from expunge.paper.capacity.computed import Setting
from expunge.privacy.noise import Noise, secure_noise
from expunge.unlearning.bounds import sekhari2021

Array = NDArray[np.float64]

MAX_STEPS = 200
SLACK = 1e-6
"""Relative room in the checks of declared constants and of derivatives."""


@dataclass(frozen=True)
class RowLoss:
    """A loss f(w, z) for many rows at once; ``Z`` is whatever indexes like an array of rows.

    Args:
        value: ``(w, Z) -> (n_rows,)``.
        gradient: ``(w, Z) -> (n_rows, p)``.
        hessian: ``(w, Z) -> (n_rows, p, p)``.

    Examples:
        >>> square = RowLoss(
        ...     lambda w, Z: 0.5 * ((w - Z) ** 2).sum(axis=1),
        ...     lambda w, Z: w - Z,
        ...     lambda w, Z: np.tile(np.eye(len(w)), (len(Z), 1, 1)),
        ... )
        >>> square.verify_derivatives(np.zeros(1), np.array([[1.0], [2.0]]))
    """

    value: Callable[[Array, Array], Array]
    gradient: Callable[[Array, Array], Array]
    hessian: Callable[[Array, Array], Array]

    def verify_derivatives(self, w: Array, Z: Array) -> None:
        """Compares gradient and Hessian with central differences at ``w``.

        Args:
            w: weights, ``(p,)``.
            Z: rows, as the loss takes them.

        Raises:
            ValueError: one of them disagrees; the message names it, the row and the coordinate.
        """
        n, p = len(Z), len(w)
        step = 6e-6 * max(1.0, float(np.abs(w).max()))
        for name, function, derivative, shape in (
            ("gradient", self.value, self.gradient, (n, p)),
            ("hessian", self.gradient, self.hessian, (n, p, p)),
        ):
            claimed = np.asarray(derivative(w, Z))
            if claimed.shape != shape:
                raise ValueError(f"{name} returned shape {claimed.shape}, expected {shape}")
            differences = [(function(w + step * e, Z) - function(w - step * e, Z)) / (2.0 * step) for e in np.eye(p)]
            measured = np.stack(differences, axis=-1)
            wrong = np.abs(claimed - measured) > 1e-4 * (1.0 + np.abs(measured).max() + np.abs(function(w, Z)).max())
            if wrong.any() or not np.isfinite(claimed).all():
                where = np.argwhere(wrong | ~np.isfinite(claimed))[0].tolist()
                raise ValueError(
                    f"{name} of row {where[0]}, coordinate {where[1:]}, is {claimed[tuple(where)]:.6g}, but finite differences "
                    f"give {measured[tuple(where)]:.6g}"
                )

    def ridge(self, strength: float) -> "RowLoss":
        """f + ½·strength·|w|².

        Args:
            strength: of the ridge term; at least 0.
        """
        return RowLoss(
            lambda w, Z: self.value(w, Z) + 0.5 * strength * float(w @ w),
            lambda w, Z: self.gradient(w, Z) + strength * w,
            lambda w, Z: self.hessian(w, Z) + strength * np.eye(len(w)),
        )


@dataclass(frozen=True, eq=False)
class Learned:
    """What A gives: the weights ŵ, and the statistic T(S), whose size does not depend on n.

    Args:
        weights: ŵ, ``(p,)``.
        hessian_mean: ∇²F̂_S(ŵ), ``(p, p)``.
        gradient_mean: ∇F̂_S(ŵ), ``(p,)``: what the optimiser left, which is subtracted and charged rather than taken for 0.
        count: n.
    """

    weights: Array
    hessian_mean: Array
    gradient_mean: Array
    count: int

    @property
    def statistic_bytes(self) -> int:
        """Bytes of T(S)."""
        return self.hessian_mean.nbytes + self.gradient_mean.nbytes + 8


class PaperUnlearner:
    """A_sc and Ā_sc for a λ-strongly convex, L-Lipschitz, M-Hessian-Lipschitz loss.

    Args:
        loss: f, of one row.
        n_parameters: p, how many weights there are.
        strong_convexity: λ of every row's loss; positive.
        lipschitz: L, bound on |∇f|₂ of every row.
        hessian_lipschitz: M, bound on |∇²f(w) − ∇²f(v)|₂/|w − v|₂ of every row.
        epsilon: ε, at most 1, for which the paper's Gaussian factor holds; in nats.
        delta: δ, between 0 and 1.
        radius: B, where the constants hold for |w|₂ ≤ B only; infinite by default.
        noise: adds N(0, σ²I); by default OpenDP's sampler.

    Raises:
        ValueError: constants that are out of range or contradict one another.

    Examples:
        >>> square = RowLoss(
        ...     lambda w, Z: 0.5 * ((w - Z) ** 2).sum(axis=1),
        ...     lambda w, Z: w - Z,
        ...     lambda w, Z: np.tile(np.eye(len(w)), (len(Z), 1, 1)),
        ... )
        >>> constants = {"strong_convexity": 1.0, "lipschitz": 10.0, "hessian_lipschitz": 0.0}
        >>> paper = PaperUnlearner(square, 1, **constants, epsilon=1.0, delta=1e-5)
        >>> Z = np.array([[1.0], [2.0], [6.0]])
        >>> learned = paper.learn(Z)
        >>> learned.weights.tolist(), paper.unlearn(Z[2:], learned).tolist()  # M = 0: exact, and without noise
        ([3.0], [1.5])

    Source: paper, Algorithms 1 and 2, Theorem 3; theory §3.
    """

    def __init__(
        self,
        loss: RowLoss,
        n_parameters: int,
        *,
        strong_convexity: float,
        lipschitz: float,
        hessian_lipschitz: float,
        epsilon: float,
        delta: float,
        radius: float = math.inf,
        noise: Noise = secure_noise,
    ) -> None:
        Setting(
            p=n_parameters,
            n=1,
            epsilon=epsilon,
            delta=delta,
            lipschitz=lipschitz,
            strong_convexity=strong_convexity,
            hessian_lipschitz=hessian_lipschitz,
        )
        if epsilon > 1:
            raise ValueError(f"the paper's Gaussian factor √(2 ln(1.25/δ))/ε holds for ε ≤ 1, got {epsilon}: use Unlearner")
        self.loss, self.n_parameters, self.radius = loss, n_parameters, radius
        self.strong_convexity, self.lipschitz, self.hessian_lipschitz = strong_convexity, lipschitz, hessian_lipschitz
        self.epsilon, self.delta = epsilon, delta
        self._noise = noise

    @classmethod
    def convex(
        cls,
        loss: RowLoss,
        n_parameters: int,
        *,
        radius: float,
        lipschitz: float,
        hessian_lipschitz: float,
        epsilon: float,
        delta: float,
        n: int,
        m: int,
        noise: Noise = secure_noise,
    ) -> "PaperUnlearner":
        """A_c and Ā_c: the same on f + ½λ|w|², for a convex f that is L-Lipschitz for |w| ≤ ``radius``.

        λ minimises the whole bound on the excess risk for ``n`` rows and ``m`` deletions.

        Args:
            loss: f, of one row, without a ridge term.
            n_parameters: p, how many weights there are.
            radius: B, bound on |w|₂.
            lipschitz: L, bound on |∇f|₂ of every row for |w|₂ ≤ B.
            hessian_lipschitz: M, bound on |∇²f(w) − ∇²f(v)|₂/|w − v|₂ of every row there.
            epsilon: ε, at most 1; in nats.
            delta: δ, between 0 and 1.
            n: rows that will be learned.
            m: rows that may be forgotten; below ``n``.
            noise: adds N(0, σ²I); by default OpenDP's sampler.

        Raises:
            ValueError: constants that are out of range or contradict one another, or m is not below n.

        Source: paper, Algorithms 3 and 4, Theorem 4; theory §3.
        """
        setting = Setting(
            p=n_parameters,
            n=n,
            epsilon=epsilon,
            delta=delta,
            lipschitz=lipschitz,
            hessian_lipschitz=hessian_lipschitz,
            radius=radius,
        )
        if not 0 <= m < n:
            raise ValueError(f"m must be at least 0 and below n = {n}, got {m}: at least one row must remain")
        strength = setting.best_ridge(m, "newton")
        return cls(
            loss.ridge(strength),
            n_parameters,
            strong_convexity=strength,
            lipschitz=lipschitz + strength * radius,
            hessian_lipschitz=hessian_lipschitz,
            epsilon=epsilon,
            delta=delta,
            radius=radius,
            noise=noise,
        )

    def learn(self, Z: Array) -> Learned:
        """A_sc: ŵ = argmin F̂_S and T(S), by damped Newton.

        Args:
            Z: rows, as the loss takes them.

        Raises:
            InvalidRows: there are no rows.
            NoOptimum: no minimum is found.
            ValueError: the rows contradict a declared constant (λ, L or the radius) at ŵ.
        """
        if len(Z) == 0:
            raise InvalidRows("there are no rows: give at least one")
        w = np.zeros(self.n_parameters)
        gradient, hessian = self._means(w, Z)
        for _ in range(MAX_STEPS):
            step = -np.linalg.solve(hessian, gradient)
            decrement = -float(gradient @ step)
            ahead = self._means(w + step, Z)
            if np.linalg.norm(ahead[0]) < 0.5 * np.linalg.norm(gradient):
                w, (gradient, hessian) = w + step, ahead
                continue
            before = self._value(w, Z)
            if decrement <= 1e-14 * max(1.0, abs(before)):
                break  # to rounding; what is left of the gradient is kept
            length = 1.0
            while not self._value(w + length * step, Z) <= before - 1e-4 * length * decrement:
                length *= 0.5
            w = w + length * step
            gradient, hessian = self._means(w, Z)
        else:
            raise NoOptimum(f"no minimum after {MAX_STEPS} Newton steps: is every row's loss strongly convex?")
        learned = Learned(w, hessian, gradient, len(Z))
        self._require_declared(learned, Z)
        return learned

    def unlearn(self, U: Array, learned: Learned) -> Array:
        """Ā_sc: w̃, ``(p,)``, from the rows to forget, ŵ and T(S) alone.

        Args:
            U: rows to forget, as the loss takes them.
            learned: what ``learn`` gave.

        Raises:
            InvalidRows: as many rows as were learned, or more.
        """
        m, n = len(U), learned.count
        if m >= n:
            raise InvalidRows(f"asked to forget {m} of {n} rows: at least one must remain")
        gradient, hessian = n * learned.gradient_mean, n * learned.hessian_mean
        if m:
            gradient = gradient - self.loss.gradient(learned.weights, U).sum(axis=0)
            hessian = hessian - self.loss.hessian(learned.weights, U).sum(axis=0)
        point = learned.weights - np.linalg.solve(hessian, gradient)
        sigma = self.sigma(m, n, float(np.linalg.norm(learned.gradient_mean)))
        return self._noise(point, sigma) if sigma > 0 else point

    def sigma(self, m: int, n: int, gradient_norm: float = 0.0) -> float:
        """σ = (Δ/ε)√(2 ln(1.25/δ)) with Δ = 2Mm²L²/(λ³n²); ``gradient_norm`` is |∇F̂_S(ŵ)|, 0 at the exact optimum.

        Args:
            m: rows forgotten.
            n: rows learned.
            gradient_norm: |∇F̂_S(ŵ)|; 0, the default, at the exact optimum.
        """
        distance = sekhari2021(
            count=n,
            changed=m,
            strong_convexity=n * self.strong_convexity,
            lipschitz=self.lipschitz,
            hessian_lipschitz=self.hessian_lipschitz,
            gradient=n * gradient_norm,
        )
        return distance / self.epsilon * math.sqrt(2.0 * math.log(1.25 / self.delta))

    def _value(self, w: Array, Z: Array) -> float:
        with np.errstate(over="ignore"):
            return sum(float(self.loss.value(w, batch).sum()) for batch in self._batches(Z)) / len(Z)

    def _means(self, w: Array, Z: Array) -> tuple[Array, Array]:
        gradient, hessian = np.zeros(self.n_parameters), np.zeros((self.n_parameters, self.n_parameters))
        for batch in self._batches(Z):
            gradient += self.loss.gradient(w, batch).sum(axis=0)
            hessian += self.loss.hessian(w, batch).sum(axis=0)
        return gradient / len(Z), hessian / len(Z)

    def _batches(self, Z: Array) -> list[Array]:
        step = max(1, (1 << 20) // self.n_parameters**2)
        return [Z[start : start + step] for start in range(0, len(Z), step)]

    def _require_declared(self, learned: Learned, Z: Array) -> None:
        w = learned.weights
        flattest = float(np.linalg.eigvalsh(learned.hessian_mean)[0])
        if flattest < self.strong_convexity * (1.0 - SLACK):
            raise ValueError(
                f"strong_convexity = {self.strong_convexity:g} is declared, but the mean Hessian's smallest eigenvalue at the "
                f"optimum is {flattest:g}: declare a smaller one"
            )
        start = 0
        for batch in self._batches(Z):
            norms = np.linalg.norm(self.loss.gradient(w, batch), axis=1)
            if norms.max() > self.lipschitz * (1.0 + SLACK):
                row = start + int(np.argmax(norms))
                raise ValueError(
                    f"lipschitz = {self.lipschitz:g} is declared, but the gradient of row {row} at the optimum has norm "
                    f"{norms.max():g}: declare a larger one, or scale the rows"
                )
            start += len(batch)
        length = float(np.linalg.norm(w))
        if length > self.radius * (1.0 + SLACK):
            raise ValueError(f"radius = {self.radius:g} is declared, but the optimum has norm {length:g}: declare a larger one")

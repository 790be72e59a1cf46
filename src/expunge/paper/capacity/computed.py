"""Capacity and sample complexity that follow from constants alone, by the paper's bounds or by ours. Theory §2, §3."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from scipy.optimize import minimize_scalar

from expunge.privacy import Guarantee
from expunge.unlearning.bounds import sekhari2021, worst_case

Method = Literal["newton", "worst_case", "dp", "exact", "linear_model"]


class Capacity(int):
    """A number of deletions, and the ``reason`` why it is no larger.

    Examples:
        >>> promise = {"epsilon": 1.0, "delta": 1e-5}
        >>> capacity = deletion_capacity(p=10, n=100, **promise, strong_convexity=0.1, lipschitz=1.0, method="exact")
        >>> int(capacity)
        0
        >>> print(capacity)
        capacity 0, because learning alone from 100 rows may cost 0.4 > gamma = 0.01: at least 4000 rows are needed
    """

    reason: str

    def __new__(cls, value: int, reason: str) -> "Capacity":
        """A capacity.

        Args:
            value: how many deletions.
            reason: why there are no more.
        """
        capacity = super().__new__(cls, value)
        capacity.reason = reason
        return capacity

    def __str__(self) -> str:
        return f"capacity {int(self)}, because {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The constants of a learning problem in the mean form, and what is promised.

    Args:
        p: how many weights there are.
        n: how many rows are learned.
        epsilon: ε of unlearning, in nats.
        delta: δ of unlearning, between 0 and 1.
        lipschitz: L, bound on |∇f|₂ of one row's loss f; in the convex case without the ridge term.
        strong_convexity: λ of every row's loss; ``None`` for a convex problem, made strongly convex by a ridge term.
        hessian_lipschitz: M of one row's Hessian; not needed for ``dp`` and ``exact``.
        radius: B, bound on |w| in a convex problem.
        smoothness: sup of a row's curvature, βR² for a linear model with ℓ″ ≤ β and |x| ≤ R; needed for ``linear_model``.

    Raises:
        ValueError: a constant is out of range, missing, or contradicts another.
    """

    p: int
    n: int
    epsilon: float
    delta: float
    lipschitz: float
    strong_convexity: float | None = None
    hessian_lipschitz: float | None = None
    radius: float | None = None
    smoothness: float | None = None

    def __post_init__(self) -> None:
        Guarantee(self.epsilon, self.delta)
        for name in ("p", "n"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        _require_constants(
            lipschitz=self.lipschitz,
            strong_convexity=self.strong_convexity,
            radius=self.radius,
            smoothness=self.smoothness,
        )
        if self.hessian_lipschitz is not None and not 0 <= self.hessian_lipschitz < math.inf:
            raise ValueError(f"hessian_lipschitz must be finite and at least 0, got {self.hessian_lipschitz}")

    def excess_risk_bound(self, m: int, method: Method) -> float:
        """Bound on E[F(w̃)] − F* after ``m`` deletions; in units of the loss. A convex problem takes its best ridge term.

        Args:
            m: deletions.
            method: what is released.

        Raises:
            ValueError: m is not below n, or the method needs a constant that is missing.

        Source: paper, Theorems 3 and 4; theory §3, §4.1, §5.3.
        """
        self._require(method)
        if not 0 <= m < self.n:
            raise ValueError(f"m must be at least 0 and below n = {self.n}, got {m}: at least one row must remain")
        ridge = 0.0 if self.strong_convexity is not None else self.best_ridge(m, method)
        return self.excess_risk_bound_at(m, method, ridge)

    def best_ridge(self, m: int, method: Method) -> float:
        """λ of the ridge term that minimises the whole bound of a convex problem after ``m`` deletions.

        Every term of the bound is a sum of exponentials in ln λ, so that it has one minimum there.

        Args:
            m: deletions.
            method: what is released.

        Raises:
            ValueError: the problem is strongly convex already, or the method needs a constant that is missing.

        Source: theory §3.
        """
        self._require(method)
        if self.radius is None or self.strong_convexity is not None:
            raise ValueError("a ridge term is chosen for convex problems: give radius and no strong_convexity")
        balanced = self.balanced_ridge(m)
        found = _least(lambda ridge: self.excess_risk_bound_at(m, method, ridge), self.lipschitz / self.radius)
        return min(found, balanced, key=lambda ridge: self.excess_risk_bound_at(m, method, ridge))

    def balanced_ridge(self, m: int) -> float:
        """λ in closed form: where the ridge term meets the larger of the terms that deletion and noise add.

        Args:
            m: deletions.

        Raises:
            ValueError: the problem is strongly convex already.

        Source: paper, Theorem 4 (up to constants); theory §3.
        """
        if self.radius is None:
            raise ValueError("a ridge term is chosen for convex problems: give radius and no strong_convexity")
        L, B, n = self.lipschitz, self.radius, self.n
        deletion = L / B * math.sqrt(max(1, m) / n)
        factor = math.sqrt(math.log(1.25 / self.delta)) / self.epsilon
        noise: float = (math.sqrt(self.p) * (self.hessian_lipschitz or 0.0) * m**2 * L**3 * factor / (B * n) ** 2) ** 0.25
        return max(deletion, noise)

    def _require(self, method: Method) -> None:
        if method not in ("newton", "worst_case", "dp", "exact", "linear_model"):
            raise ValueError(f"method must be newton, worst_case, dp, exact or linear_model, got {method!r}")
        if method in ("newton", "worst_case", "linear_model") and self.hessian_lipschitz is None:
            raise ValueError(f"method={method!r} needs hessian_lipschitz, the M of one row's Hessian")
        if method == "linear_model" and self.smoothness is None:
            raise ValueError("method='linear_model' needs smoothness, βR² for ℓ″ ≤ β and rows of norm at most R")
        if method in ("newton", "dp") and self.epsilon > 1:
            raise ValueError(
                f"method={method!r} uses the paper's Gaussian factor √(2 ln(1.25/δ))/ε, which holds for ε ≤ 1 alone, got "
                f"ε = {self.epsilon}: use 'worst_case', whose factor is exact for every ε"
            )

    def excess_risk_bound_at(self, m: int, method: Method, ridge: float) -> float:
        """The same with a ridge term of strength ``ridge``, its own bias ½·ridge·B² included.

        Args:
            m: deletions.
            method: what is released.
            ridge: strength of the ridge term.
        """
        L = self.lipschitz + ridge * (self.radius or 0.0)
        strength, n = (self.strong_convexity or 0.0) + ridge, self.n
        bias = 0.5 * ridge * (self.radius or 0.0) ** 2
        risk = bias + 4.0 * L**2 / (strength * n)
        if method == "dp":
            return risk + math.sqrt(self.p) * L * self.paper_factor * m * L / (strength * n)
        risk += m * L**2 / (strength * (n - m))
        if method == "exact":
            return risk
        distance = (sekhari2021 if method == "newton" else worst_case)(
            count=n,
            changed=m,
            strong_convexity=n * strength,
            lipschitz=L,
            hessian_lipschitz=self.hessian_lipschitz or 0.0,
            gradient=0.0,
        )
        if method == "newton":
            return risk + math.sqrt(self.p) * L * self.paper_factor * distance
        sigma = distance / Guarantee(self.epsilon, self.delta).mu
        if method == "linear_model":
            return risk + 0.5 * ((self.smoothness or 0.0) + ridge) * sigma**2
        return risk + math.sqrt(self.p) * L * sigma

    @property
    def paper_factor(self) -> float:
        """σ/Δ as the paper has it."""
        return math.sqrt(2.0 * math.log(1.25 / self.delta)) / self.epsilon


def deletion_capacity(
    *,
    p: int,
    n: int,
    epsilon: float,
    delta: float,
    gamma: float = 0.01,
    strong_convexity: float | None = None,
    lipschitz: float,
    hessian_lipschitz: float | None = None,
    radius: float | None = None,
    smoothness: float | None = None,
    method: Method = "newton",
) -> Capacity:
    """The most deletions for which the bound on the excess population risk stays within ``gamma``.

    Args:
        p: how many weights there are.
        n: how many rows are learned.
        epsilon: ε of unlearning, in nats.
        delta: δ of unlearning, between 0 and 1.
        gamma: excess risk allowed, in units of the loss; 0.01 by default.
        strong_convexity: λ of every row's loss; ``None``, the default, for a convex problem, which needs ``radius``.
        lipschitz: L, bound on |∇f|₂ of one row's loss f; in the convex case without the ridge term.
        hessian_lipschitz: M of one row's Hessian; not needed for ``dp`` and ``exact``.
        radius: B, bound on |w|₂ in a convex problem.
        smoothness: bound on a row's curvature; needed for ``linear_model``.
        method: ``newton``, the default: the paper's algorithm and constants. ``worst_case``: the same with theory §4.1's Δ and
            the exact Gaussian factor. ``dp``: what differential privacy alone allows. ``exact``: retraining. ``linear_model``:
            ``worst_case`` with the noise's cost in a linear model (theory §5.3), which does not depend on p.

    Raises:
        ValueError: constants that are out of range, missing, or contradict one another.

    Examples:
        >>> constants = {"epsilon": 1.0, "delta": 1e-5, "strong_convexity": 0.1, "lipschitz": 1.0, "hessian_lipschitz": 1.0}
        >>> int(deletion_capacity(p=10, n=1_000_000, **constants, method="newton"))
        429

    Source: paper, Theorems 3 to 5; theory §2, §3.
    """
    setting = Setting(
        p=p,
        n=n,
        epsilon=epsilon,
        delta=delta,
        lipschitz=lipschitz,
        strong_convexity=strong_convexity,
        hessian_lipschitz=hessian_lipschitz,
        radius=radius,
        smoothness=smoothness,
    )
    require_gamma(gamma)
    learning = setting.excess_risk_bound(0, method)
    if learning > gamma:
        needed = sample_complexity(gamma=gamma, lipschitz=lipschitz, strong_convexity=strong_convexity, radius=radius)
        return Capacity(
            0,
            f"learning alone from {n} rows may cost {learning:.3g} > gamma = {gamma:g}: at least {needed} rows are needed",
        )
    low, high = 0, n  # risk(low) ≤ gamma; high is out of reach
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if setting.excess_risk_bound(middle, method) <= gamma else (low, middle)
    if high == n:
        return Capacity(low, f"one of {n} rows must remain")
    too_much = setting.excess_risk_bound(high, method)
    return Capacity(
        low,
        f"the bound on the excess risk of {high} deletions is {too_much:.6g} > gamma = {gamma:g}",
    )


def sample_complexity(
    *, gamma: float = 0.01, lipschitz: float, strong_convexity: float | None = None, radius: float | None = None
) -> int:
    """The least n for which the bound on the excess risk of learning is within ``gamma``: 4L²/(λγ), whatever p is.

    A convex problem (``radius`` and no ``strong_convexity``) takes its best ridge term: O(B²L²/γ²).

    Args:
        gamma: excess risk allowed, in units of the loss; 0.01 by default.
        lipschitz: L, bound on |∇f|₂ of one row's loss f.
        strong_convexity: λ of every row's loss; ``None``, the default, for a convex problem.
        radius: B, bound on |w|₂ in a convex problem; ``None`` by default.

    Raises:
        ValueError: constants that are out of range, missing, or contradict one another.

    Examples:
        >>> sample_complexity(lipschitz=1.0, strong_convexity=0.1)
        4000

    Source: paper, §2; theory §2, §3.
    """
    require_gamma(gamma)
    _require_constants(lipschitz=lipschitz, strong_convexity=strong_convexity, radius=radius)
    if strong_convexity is not None:
        return math.ceil(4.0 * lipschitz**2 / (strong_convexity * gamma) * (1.0 - 1e-12))
    assert radius is not None

    def needed(ridge: float) -> float:
        left = gamma - 0.5 * ridge * radius**2
        return 4.0 * (lipschitz + ridge * radius) ** 2 / (ridge * left) if left > 0 else math.inf

    largest = 2.0 * gamma / radius**2
    return math.ceil(needed(_least(needed, 0.5 * largest, largest)) * (1.0 - 1e-12))


def _least(function: Callable[[float], float], scale: float, largest: float = math.inf) -> float:
    """Where a function that is convex in ln of its positive argument is least: within e^±40 of ``scale``, below ``largest``."""
    high = min(math.log(scale) + 40.0, math.log(largest) if largest < math.inf else math.inf)
    found = minimize_scalar(
        lambda log: math.log(min(function(math.exp(log)), 1e300)),
        bounds=(math.log(scale) - 40.0, high),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return math.exp(float(found.x))


def require_gamma(gamma: float) -> None:
    """Raises ``ValueError`` unless ``gamma`` is finite and positive."""
    if not (math.isfinite(gamma) and gamma > 0):
        raise ValueError(f"gamma must be a finite positive number, got {gamma}")


def _require_constants(
    *, lipschitz: float, strong_convexity: float | None, radius: float | None, smoothness: float | None = None
) -> None:
    given = {"lipschitz": lipschitz, "strong_convexity": strong_convexity, "radius": radius, "smoothness": smoothness}
    for name, value in given.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be finite and positive, got {value}")
    if strong_convexity is None and radius is None:
        raise ValueError("give strong_convexity, or radius for a convex problem")
    if strong_convexity is not None and smoothness is not None and strong_convexity > smoothness:
        raise ValueError(
            f"strong_convexity = {strong_convexity:g} contradicts smoothness = {smoothness:g}: a curvature's lower bound "
            "cannot exceed its upper bound"
        )
    if strong_convexity is not None and radius is not None and strong_convexity * radius > lipschitz:
        raise ValueError(
            f"strong_convexity = {strong_convexity:g} and radius = {radius:g} contradict lipschitz = {lipschitz:g}: gradients "
            f"in a ball of that radius differ by {2 * strong_convexity * radius:g} and more"
        )

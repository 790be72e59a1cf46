"""Settings: what is fixed before any row is seen. Theory §4.1, §5.1."""

import math
from dataclasses import dataclass, replace
from typing import Literal, Self

from expunge.numerics.tensor import packed_size
from expunge.privacy import Guarantee, Schedule
from expunge.problem.objective import Objective
from expunge.problem.parameters import real, whole
from expunge.unlearning import bounds
from expunge.unlearning.declared import DeclaredBound
from expunge.unlearning.rung import Bound, NoiseKind
from expunge.unlearning.shape import NOISE_FLOOR
from expunge.unlearning.wide import is_wide

MEMORY_BUDGET = 8.0 * 2**30
"""Eight GiB: about 8,700 parameters."""
EXCESS_RISK = 0.001
"""What noise may cost in mean loss by default."""
MOST_SHAPED = 2048
"""With more parameters the factorisations that shaped noise needs for every release take seconds, and it must be asked for."""
THIRD_SHARE = 1.0 / 64.0
"""Of the memory budget, that third derivatives may take where nobody asked for them."""
Order = Literal["auto", 2, 3]
MONTHLY = Schedule(days=30)
_FORMULAS = {Bound.WORST_CASE: bounds.worst_case, Bound.SEKHARI2021: bounds.sekhari2021}


@dataclass(frozen=True)
class Settings:
    """What is fixed before any row is seen.

    Args:
        guarantee: (ε, δ) promised to everyone forgotten.
        sigma: standard deviation of isotropic noise in each weight; 0 for no noise and no promise. ``None`` for shaped noise.
        bound: ``local``, or ``worst_case``/``sekhari2021``, which need ``row_norm`` and a penalty on every weight.
        row_norm: declared bound on |x| of every row, now and later.
        max_passes: gradient passes tried before a refit.
        schedule: when a refit resets the budget.
        memory_budget: bytes that the p × p arrays may take; a model for which they would take more keeps none, and makes passes
            over the remaining rows for every change.
        order: 3 to keep the third derivatives of the loss too, p³/6 numbers, which certify many more deletions from the
            statistics alone; 2 to keep none; ``"auto"`` for 3 where that takes no more than a 64th of ``memory_budget`` (about
            430 parameters by default), as the time of a fit grows with it.
        track_rows: whether a keyed digest of every row is kept, 8 bytes a row, by which wrong rows are found; see ``learned``.
        by_subject: the same, with the ids of rows being those of their subjects: rows must be given under the id under which
            they were learned.
        noise: ``auto`` (``shaped`` where no sigma is given, the bound is ``local``, and the model has a Hessian and at most
            2,048 weights, else ``isotropic``), ``shaped`` or ``isotropic``.
        excess_risk: what shaped noise may cost in mean loss, in units of the loss; with a log link as a share of the mean of
            y²⁻ᵏ, k the variance power. 0 for no noise and no promise; ``None`` for 0.001.
        expanded: whether each row of a person was expanded to several rows; certificates then say that they count these.
        noise_floor: τ of shaped noise: the larger, the less of it falls on people with rare features.

    Raises:
        ValueError: sigma or excess_risk negative or not finite, or both; sigma with shaped noise; an unknown bound, noise or
            order, or a bound without its ``row_norm``.

    Examples:
        >>> settings = Settings(Guarantee(epsilon=1.0, delta=1e-6), sigma=0.1)
        >>> str(settings.schedule), settings.max_passes
        ('every 30 days', 3)

    Source: theory §5.1, §5.6.
    """

    guarantee: Guarantee
    sigma: float | None = None
    bound: Bound = Bound.LOCAL
    row_norm: float | None = None
    max_passes: int = 3
    memory_budget: float = MEMORY_BUDGET
    schedule: Schedule = MONTHLY
    track_rows: bool = False
    by_subject: bool = False
    expanded: bool = False
    order: Order = "auto"
    noise: NoiseKind = NoiseKind.AUTO
    excess_risk: float | None = None
    noise_floor: float = NOISE_FLOOR

    def __post_init__(self) -> None:
        for name, plain in (("max_passes", whole), ("memory_budget", real), ("noise_floor", real)):
            object.__setattr__(self, name, plain(name, getattr(self, name)))
        for name in ("sigma", "row_norm", "excess_risk"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else real(name, value))
        for name in ("sigma", "excess_risk", "noise_floor"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a finite number of at least 0, got {value}")
        object.__setattr__(self, "noise", NoiseKind(self.noise))
        if self.sigma is not None:
            if self.noise is NoiseKind.SHAPED:
                raise ValueError(
                    "noise='shaped' follows from excess_risk: give that instead of sigma, or set noise='isotropic'"
                )
            if self.excess_risk is not None:
                raise ValueError("sigma and excess_risk both say how much noise there is: give one of them")
        elif self.noise is NoiseKind.ISOTROPIC:
            raise ValueError("noise='isotropic' needs sigma, the standard deviation of the noise in each weight")
        object.__setattr__(self, "bound", Bound(self.bound))
        if self.bound is not Bound.LOCAL and not (self.row_norm is not None and 0 < self.row_norm < math.inf):
            raise ValueError(f"bound={self.bound.value!r} needs row_norm, the declared bound on the norm of every row")
        if not self.memory_budget >= 0:
            raise ValueError(f"memory_budget must be at least 0 bytes, got {self.memory_budget}")
        if self.max_passes < 0:
            raise ValueError(f"max_passes must be at least 0, got {self.max_passes}")

        if not (self.order in ("auto", 2, 3) and not isinstance(self.order, bool | float)):
            raise ValueError(f"order must be 2, 3 or 'auto', got {self.order!r}")

    def order_for(self, objective: Objective) -> int:
        """The order of the statistics that a model keeps: 2 or 3.

        Args:
            objective: that is minimised.

        Raises:
            ValueError: third derivatives are asked for, and take more than ``memory_budget``, or there are none.

        Source: theory §4.7.
        """
        has_third = objective.loss.self_concordance > 0 and self.bound is Bound.LOCAL
        needed = 8 * packed_size(objective.n_parameters) if has_third and self.order != 2 else 0
        if self.order == "auto":
            return 3 if has_third and needed * objective.loss.outputs <= THIRD_SHARE * self.memory_budget else 2
        if self.order == 3 and self.bound is not Bound.LOCAL:
            raise ValueError(f"order=3 needs bound='local', got {self.bound.value!r}: leave order at 'auto', or set it to 2")
        if needed > self.memory_budget:
            raise ValueError(
                f"order=3 keeps {needed / 2**30:.3g} GiB of third derivatives for {objective.n_parameters} parameters, more "
                f"than memory_budget={self.memory_budget:g} bytes: set order=2 or 'auto', or raise memory_budget"
            )
        return 3 if has_third and self.order == 3 else 2

    @property
    def is_noisy(self) -> bool:
        """Whether there is noise, and so a promise."""
        return self.excess_risk != 0.0 if self.sigma is None else self.sigma > 0.0

    def noise_for(self, objective: Objective) -> NoiseKind:
        """The kind of noise that these settings mean for a model of ``objective``: its number of weights alone decides.

        Args:
            objective: that they are to be used with.
        """
        if self.noise is not NoiseKind.AUTO:
            return self.noise
        is_shaped = self.sigma is None and self.bound is Bound.LOCAL and not is_wide(objective, self.memory_budget)
        return NoiseKind.SHAPED if is_shaped and objective.n_parameters <= MOST_SHAPED else NoiseKind.ISOTROPIC

    def resolved(self, objective: Objective) -> Self:
        """The same settings with the kind of noise decided and its numbers there: sigma for isotropic, else excess_risk.

        Args:
            objective: that they are to be used with.

        Raises:
            ValueError: the bound or the noise does not exist for this objective, or isotropic noise lacks its sigma.
        """
        self.check(objective)
        if not self.is_noisy:
            return replace(self, noise=NoiseKind.ISOTROPIC, sigma=0.0, excess_risk=None)
        if self.noise_for(objective) is NoiseKind.SHAPED:
            risk = EXCESS_RISK if self.excess_risk is None else self.excess_risk
            return replace(self, noise=NoiseKind.SHAPED, excess_risk=risk)
        if self.sigma is None:
            raise ValueError("this model has isotropic noise (it is wide, or its bound is declared), which needs sigma")
        return replace(self, noise=NoiseKind.ISOTROPIC)

    def check(self, objective: Objective) -> None:
        """Raises ``ValueError`` where the bound, the noise or the order does not exist for this objective.

        Args:
            objective: that they are to be used with.
        """
        self.order_for(objective)
        if self.noise is NoiseKind.SHAPED and self.is_noisy:
            if self.bound is not Bound.LOCAL:
                raise ValueError(
                    f"noise='shaped' needs bound='local', got {self.bound.value!r}: set noise='isotropic' and sigma"
                )
            if is_wide(objective, self.memory_budget):
                raise ValueError(
                    "noise='shaped' needs the Hessian, which a model of this width does not keep: raise memory_budget, or set "
                    "noise='isotropic' and sigma"
                )
        if self.bound is Bound.LOCAL:
            return
        loss = objective.loss
        is_bounded = math.isfinite(loss.derivative_bound) and math.isfinite(loss.third_derivative_bound)
        if not (is_bounded or loss.third_derivative_bound == 0):
            raise ValueError(f"bound={self.bound.value!r} needs bounded derivatives, which {loss.name} has not: use 'local'")
        if objective.penalty == 0 or not objective.penalised.all():
            raise ValueError(
                f"bound={self.bound.value!r} needs a penalty on every weight: set fit_intercept=False (a constant column in X "
                "takes its place) and a finite C"
            )

    @property
    def declared_bound(self) -> DeclaredBound | None:
        """``worst_case`` or ``sekhari2021``; ``None`` for ``local``, which needs nothing declared. Source: theory §4.1."""
        if self.bound is Bound.LOCAL or self.row_norm is None:
            return None
        return DeclaredBound(_FORMULAS[self.bound], self.row_norm)

"""Plans: what an estimator is told before it sees a row, as the library's own settings. Theory §5.1."""

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Tags

from expunge.linear_model.unsupported import refuse
from expunge.privacy import Guarantee, Schedule
from expunge.privacy.noise import InsecureNoise, Noise, secure_noise
from expunge.problem.losses import Loss
from expunge.problem.objective import Objective
from expunge.problem.parameters import real, truth, whole
from expunge.unlearning.cost import DEFAULT_SIGMA, Undeclared, affordable_sigma, largest_null_loss
from expunge.unlearning.rung import Bound, NoiseKind
from expunge.unlearning.settings import EXCESS_RISK, MEMORY_BUDGET, MONTHLY, Order, Settings
from expunge.unlearning.shape import NOISE_FLOOR

INSECURE_SEED = "EXPUNGE_INSECURE_SEED"
"""Environment variable that must be ``1`` for ``insecure_seed`` to be accepted beside noise."""


@dataclass(kw_only=True, eq=False, repr=False)
class PlannedModel(BaseEstimator, ABC):
    """The parameters common to all estimators:

    Args:
        fit_intercept: whether there is an intercept, which is not penalised; there is by default.
        offset: whether the last column of every X is an offset, which is added to the linear predictor as it is: its
            coefficient is 1, learns nothing and gets no noise; it is not by default. For one linear predictor: regressions, and
            classifiers of two classes. The offset of counts over different spans of time is the logarithm of the span.
        epsilon: ε promised to everyone forgotten, in nats; 1 by default.
        delta: δ promised with it, a probability; 1e-6 by default.
        noise: ``"shaped"``, wide where the loss is flat and narrow where it is steep (theory §5.6); ``"isotropic"``, the same
            in each weight; ``"auto"``, the default: shaped unless ``sigma`` is given, ``bound`` is not ``"local"``, or there
            are more than 2,048 weights.
        excess_risk: what the noise may cost in mean loss; ``None``, the default, for 0.001; 0 for no noise, no promise. In nats
            for a classifier (a hinge: units of the loss); as a share of the mean target for Poisson; in units of the loss for
            Gamma; for ``Ridge``, ``PseudoHuberRegressor`` and ``SmoothedQuantileRegressor`` as a share of the largest loss of
            a constant model where ``target_range`` is declared, else in units of the loss. Isotropic noise needs ``row_norm``
            (and ``target_range``) for it (theory §5.3).
        sigma: standard deviation of isotropic noise in each weight, in place of ``excess_risk``; 0 for no noise, no promise.
            ``None``, the default: from ``excess_risk``, or 0.05 where that is ``None`` too and too little is declared for it.
        noise_floor: of shaped noise: the larger, the less of it falls on people with rare features; 0.02 by default.
        bound: ``"local"``, or ``"worst_case"``/``"sekhari2021"`` (which need ``row_norm`` and a penalty on every weight).
        row_norm: declared bound on the norm of every row, now and later, the intercept's 1 included; ``None`` for none.
        max_passes: gradient passes over the remaining rows tried before a refit; 3 by default.
        refit_days: ``refit`` resets the budget when so many days (UTC) have passed since the fit or the last time it did;
            ``None`` for never; 30 by default.
        refit_requests: the same after so many releases; ``None``, the default, for never.
        memory_budget: bytes that the p × p arrays of the Hessian may take; a model for which they would take more keeps none
            and passes over the remaining rows for every change.
        order: 3 to keep the third derivatives of the loss, p³/6 numbers, beside gradient and Hessian: ten times as many
            deletions are then certified from these statistics alone, and a fit takes longer; 2 to keep none; ``"auto"``, the
            default, for 3 where that takes no more than a 64th of ``memory_budget`` (about 430 parameters).
        track_rows: whether to keep a keyed digest of every row learned, 8 bytes a row, in the secret state. With it a row that
            was never learned, or with another label or weight, or is forgotten already, is refused whatever its values are;
            without it only one that cannot have been learned is, or by a pass over ``remaining``. ``fit(..., subjects=...)``
            keeps them in any case.
        random_state: accepted for scikit-learn's sake and without effect: the solver draws nothing, and the noise is never
            seeded by it.
        insecure_seed: of reproducible noise, for tests; whoever knows it can take the noise off. Refused unless the environment
            has ``EXPUNGE_INSECURE_SEED=1``.

    All numbers are chosen without looking at the data. Threads may share a fitted estimator: changes take turns.
    """

    fit_intercept: bool = True
    offset: bool = False
    epsilon: float = 1.0
    delta: float = 1e-6
    noise: str = NoiseKind.AUTO.value
    excess_risk: float | None = None
    sigma: float | None = None
    noise_floor: float = NOISE_FLOOR
    bound: str = "local"
    row_norm: float | None = None
    max_passes: int = 3
    refit_days: int | None = MONTHLY.days
    refit_requests: int | None = MONTHLY.requests
    memory_budget: float = MEMORY_BUDGET
    order: Order = "auto"
    track_rows: bool = False
    random_state: Any = None
    insecure_seed: int | None = None

    def __new__(cls, *_args: Any, **kwargs: Any) -> Self:
        refuse(cls.__name__, kwargs.keys() - cls.__dataclass_fields__.keys())
        made: Self = super().__new__(cls)
        return made

    def set_params(self, **params: Any) -> Self:
        """The estimator itself, with other parameters.

        Args:
            **params: by name, as the constructor takes them.

        Raises:
            TypeError: an argument of scikit-learn's that no certificate can cover; says why.
            ValueError: any other that the estimator does not have.

        Examples:
            >>> from expunge.linear_model import Ridge
            >>> Ridge().set_params(alpha=2.0).alpha
            2.0
        """
        refuse(type(self).__name__, params.keys() - self.__dataclass_fields__.keys())
        super().set_params(**params)
        return self

    @abstractmethod
    def _loss(self) -> Loss: ...

    @abstractmethod
    def _penalty(self) -> tuple[float, Literal["sum", "mean"]]:
        """Strength and form of the penalty (theory §1)."""

    def objective(self, n_features: int) -> Objective:
        """What ``fit`` minimises; a classifier must know its classes.

        Args:
            n_features: width of a row, an offset counted, the intercept not.

        Raises:
            ValueError: a parameter that cannot be.

        Examples:
            >>> from expunge.linear_model import Ridge
            >>> Ridge(alpha=2.0).objective(3).penalty
            2.0
        """
        penalty, form = self._penalty()
        offset = truth("offset", self.offset)
        return Objective(self._loss(), n_features - offset, penalty, form, self.fit_intercept, offset)

    def settings(self, n_features: int) -> Settings:
        """What is fixed before any row is seen; a classifier must know its classes.

        Args:
            n_features: width of a row, the intercept not counted.

        Raises:
            ValueError: a parameter that cannot be.

        Examples:
            >>> from expunge.linear_model import Ridge
            >>> Ridge(sigma=0.1, max_passes=2).settings(4).max_passes
            2
        """
        objective, noise = self.objective(n_features), NoiseKind(self.noise)
        sigma = None if self.sigma is None else real("sigma", self.sigma)
        excess_risk = None if self.excess_risk is None else real("excess_risk", self.excess_risk)
        if sigma is None and excess_risk == 0:
            return self._settings(0.0, NoiseKind.AUTO, None).resolved(objective)
        if sigma is None:
            risk = EXCESS_RISK if excess_risk is None else excess_risk
            if self.noise_for(n_features) is NoiseKind.SHAPED:
                excess_risk = self._in_units(risk)
            else:
                sigma, excess_risk = self._affordable(risk), None
        return self._settings(sigma, noise, excess_risk).resolved(objective)

    def noise_for(self, n_features: int) -> NoiseKind:
        """The kind of noise that these parameters mean for rows of this width.

        Args:
            n_features: width of a row, the intercept not counted.

        Examples:
            >>> from expunge.linear_model import Ridge
            >>> str(Ridge().noise_for(10)), str(Ridge(sigma=0.1).noise_for(10))
            ('shaped', 'isotropic')
        """
        noise = NoiseKind(self.noise)
        if noise is not NoiseKind.AUTO or self.sigma is not None:
            return NoiseKind.ISOTROPIC if noise is NoiseKind.AUTO else noise
        return self._settings(None, noise, None).noise_for(self.objective(n_features))

    def _settings(self, sigma: float | None, noise: NoiseKind, excess_risk: float | None) -> Settings:
        return Settings(
            Guarantee(real("epsilon", self.epsilon), real("delta", self.delta)),
            sigma,
            Bound(self.bound),
            self._row_norm(),
            whole("max_passes", self.max_passes),
            real("memory_budget", self.memory_budget),
            Schedule(self.refit_days, self.refit_requests),
            truth("track_rows", self.track_rows),
            order=self.order,
            noise=noise,
            excess_risk=excess_risk,
            noise_floor=real("noise_floor", self.noise_floor),
        )

    def _in_units(self, excess_risk: float) -> float:
        """The excess risk in units of the loss, or with a log link as its own share."""
        loss, target_range = self._loss(), self._declared_range()
        is_share = target_range is not None and np.isfinite(loss.curvature_bound)
        return excess_risk * largest_null_loss(loss, target_range) if is_share else excess_risk

    def _affordable(self, excess_risk: float) -> float:
        """σ of isotropic noise of this cost; 0.05 where nothing was asked for and too little is declared."""
        try:
            return affordable_sigma(
                self._loss(),
                fit_intercept=truth("fit_intercept", self.fit_intercept),
                excess_risk=excess_risk,
                row_norm=self._row_norm(),
                target_range=self._declared_range(),
            )
        except Undeclared:
            if self.excess_risk is not None:  # asked for: not to be passed over
                raise
            return DEFAULT_SIGMA

    def _row_norm(self) -> float | None:
        row_norm = None if self.row_norm is None else real("row_norm", self.row_norm)
        if row_norm is not None and not 0 < row_norm < np.inf:
            raise ValueError(f"row_norm must be finite and positive, got {row_norm}")
        return row_norm

    def _declared_range(self) -> tuple[float, float] | None:
        """The range of the targets; none for a classifier."""
        return None

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.non_deterministic = self._is_noisy
        return tags

    @property
    def _is_noisy(self) -> bool:
        given: Any = self.excess_risk if self.sigma is None else self.sigma
        return not (isinstance(given, Real) and given == 0)  # what is not a number is refused later

    def _noise(self, settings: Settings) -> Noise:
        if not settings.is_noisy or self.insecure_seed is None:
            return secure_noise
        if os.environ.get(INSECURE_SEED) != "1":
            raise ValueError(
                "insecure_seed makes the noise reproducible, and whoever knows it can take the noise off: leave it None, or "
                f"set sigma=0, or set {INSECURE_SEED}=1 in the environment of a test"
            )
        return InsecureNoise(whole("insecure_seed", self.insecure_seed))

"""What every estimator shares: scikit-learn's ``fit``, and ``forget``, ``learn``, ``rectify``, ``refit`` beside it."""

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from operator import itemgetter
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, column_or_1d
from sklearn.utils.validation import check_is_fitted, validate_data

from expunge.data.identities import subject_texts
from expunge.errors import InvalidRows
from expunge.identities import canonical
from expunge.privacy import Guarantee, Schedule
from expunge.privacy.noise import InsecureNoise, Noise, secure_noise
from expunge.problem.arrays import require_unmasked
from expunge.problem.losses import Loss
from expunge.problem.objective import Objective
from expunge.problem.parameters import real, truth, whole
from expunge.problem.rows import Rows, RowSource
from expunge.unlearning.certificate import Bound, Certificate
from expunge.unlearning.cost import DEFAULT_SIGMA, EXCESS_RISK, NoiseCost, Undeclared, affordable_sigma
from expunge.unlearning.forecast import CapacityReport
from expunge.unlearning.release import Release
from expunge.unlearning.settings import MEMORY_BUDGET, MONTHLY, Settings
from expunge.unlearning.unlearner import Unlearner

Array = NDArray[np.float64]
Remaining = tuple[Any, Any] | tuple[Any, Any, Any] | tuple[Any, Any, Any, Any] | RowSource | None
"""``(X, y)``, ``(X, y, sample_weight)``, ``(X, y, sample_weight, subjects)`` or a ``RowSource`` of all rows learned and not
forgotten."""

INSECURE_SEED = "EXPUNGE_INSECURE_SEED"
"""Environment variable that must be ``1`` for ``insecure_seed`` to be accepted beside noise."""
_OF_ONE_RELEASE = itemgetter("coef_", "intercept_")
"""Reads both at once, as ``_publish`` sets them at once: no thread predicts with half of a release."""


@dataclass(kw_only=True, eq=False, repr=False)
class UnlearningModel(BaseEstimator, ABC):
    """What classifiers and regressors share. Parameters common to all:

    Args:
        fit_intercept: whether there is an intercept; it is not penalised.
        epsilon, delta: (ε, δ) promised to everyone forgotten; ε in nats.
        sigma: standard deviation of the noise in each weight; 0 for no noise, no promise. ``None``: from ``excess_risk``, or
            0.05 where too little is declared for that.
        excess_risk: what the noise may cost in mean loss (theory §5.3), if ``sigma`` is ``None`` and ``row_norm`` is declared:
            in nats for a classifier; as a share of the largest loss of a constant model for ``Ridge`` and
            ``PseudoHuberRegressor``, which need ``target_range`` too; as a share of the mean target for Poisson; in units of
            the loss for Gamma; 0 for no noise.
        bound: ``"local"``, or ``"worst_case"``/``"paper"`` (which need ``row_norm`` and a penalty on every weight).
        row_norm: declared bound on the norm of every row, now and later, the intercept's 1 included; ``None`` for none.
        max_passes: gradient passes over the remaining rows tried before a refit.
        refit_days, refit_requests: the schedule: ``refit`` resets the budget when so many days (UTC) or releases have passed
            since the fit or the last time it did; ``None`` for never.
        memory_budget: bytes that the p × p arrays of the Hessian may take; a model for which they would take more keeps none
            and passes over the remaining rows for every change.
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
    epsilon: float = 1.0
    delta: float = 1e-6
    sigma: float | None = None
    excess_risk: float = EXCESS_RISK
    bound: Bound = "local"
    row_norm: float | None = None
    max_passes: int = 3
    refit_days: int | None = MONTHLY.days
    refit_requests: int | None = MONTHLY.requests
    memory_budget: float = MEMORY_BUDGET
    track_rows: bool = False
    random_state: Any = None
    insecure_seed: int | None = None

    @abstractmethod
    def _loss(self) -> Loss: ...

    @abstractmethod
    def _penalty(self) -> tuple[float, Literal["sum", "mean"]]:
        """Strength and form of the penalty (theory §1)."""

    @abstractmethod
    def _learn_targets(self, y: Any) -> Array:
        """Targets as the loss wants them, remembering the classes."""

    @abstractmethod
    def _encode_targets(self, y: Any) -> Array:
        """The same for later rows."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None, subjects: Sequence[object] | None = None) -> Self:
        """The fitted estimator; forgets everything learned before.

        Args:
            X: ``(n_rows, n_features)``, dense or CSR, float32 or float64.
            y: ``(n_rows,)``.
            sample_weight: ``(n_rows,)``, at least 0; one number is the weight of every row. A model that was fitted with
                weights wants those of all rows that it is shown later; one that was not wants none.
            subjects: whose each row is, ``(n_rows,)``, texts or whole numbers; a person may have several rows. Requests are
                then checked by id: ``forget`` and ``rectify`` want ``ids``, and refuse a row that was not learned under its
                id. The ids are not kept, but go into the digests of ``track_rows``.

        The noise is weighed against what the model learned. Where it costs more than a tenth of what the fit gains in mean loss
        over the best constant model, and more than a hundredth of that model's loss, a ``NoiseDrownsModel`` is warned of. Where
        it costs more than the whole of that loss, more than any model could gain, the fit is refused (with a log link only
        where it also makes the predicted means wrong by a factor of 1.5). Both depend on the rows: a word to whoever fits, not
        to be published.

        Raises:
            InvalidRows, NoOptimum, CapacityExceeded: see ``Unlearner.learn_from``.
            NoiseTooLarge: releases would be worse than a constant model.
            ValueError: a parameter that cannot be. Whatever is raised, the estimator stays as it was.

        Source: theory §5.3.
        """
        turn = getattr(self, "_turn", None) or _Turn()
        trial = object.__new__(type(self))
        trial.__dict__.update(self.__dict__, _turn=turn)
        trial._fit(X, y, sample_weight, subjects)
        with turn:
            self.__dict__ = trial.__dict__
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any, subjects: Sequence[object] | None) -> None:
        X, y = self._validated(X, y, reset=True)
        rows = Rows.of(X, self._learn_targets(y), sample_weight, _texts(subjects))
        objective = self.objective(rows.X.shape[1])
        settings = replace(self.settings(), by_subject=subjects is not None)
        self._unlearner = Unlearner.learn_from(objective, rows, settings, noise=self._noise(settings.sigma))
        if settings.sigma > 0:
            NoiseCost.of(objective, rows, self._unlearner._secret.point, settings.sigma).require_worth()
        self.releases_: tuple[Certificate, ...] = ()
        self._publish(self._unlearner.release)

    def objective(self, n_features: int) -> Objective:
        """What ``fit`` minimises; a classifier must know its classes."""
        penalty, form = self._penalty()
        return Objective(self._loss(), n_features, penalty, form, self.fit_intercept)

    def settings(self) -> Settings:
        """What is fixed before any row is seen; a classifier must know its classes.

        Raises:
            ValueError: a parameter that cannot be.
        """
        return Settings(
            Guarantee(real("epsilon", self.epsilon), real("delta", self.delta)),
            self._sigma(),
            self.bound,
            self._row_norm(),
            whole("max_passes", self.max_passes),
            real("memory_budget", self.memory_budget),
            Schedule(self.refit_days, self.refit_requests),
            truth("track_rows", self.track_rows),
        )

    def _sigma(self) -> float:
        if self.sigma is not None:
            return real("sigma", self.sigma)
        excess_risk = real("excess_risk", self.excess_risk)
        try:
            return affordable_sigma(
                self._loss(),
                fit_intercept=truth("fit_intercept", self.fit_intercept),
                excess_risk=excess_risk,
                row_norm=self._row_norm(),
                target_range=self._declared_range(),
            )
        except Undeclared:
            if excess_risk != EXCESS_RISK:  # asked for: not to be passed over
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

    def forget(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        ids: Sequence[object] | None = None,
        remaining: Remaining = None,
    ) -> Certificate:
        """The certificate of a new release from which nobody can tell that these rows were ever learned.

        Args:
            X, y, sample_weight: the rows to forget, as they were learned.
            ids: whose each row is, ``(n_rows,)``. Give them: people with equal values, as rows of categories often are, are
                told apart by them, and count as duplicates without. After ``fit(..., subjects=...)`` they are wanted, and
                checked.
            remaining: all rows learned and not forgotten; lets the ladder climb beyond the statistics. It is checked, by a
                pass over them, also where these suffice; with ``track_rows`` by another, which makes their digests.

        Raises:
            InvalidRows, NotLearned, CapacityExceeded, BudgetSpent: see ``Unlearner.forget``; nothing is changed then.

        >>> from expunge.linear_model import Ridge
        >>> X, y, people = [[1.0], [0.5], [0.5]], [2.0, 1.0, 1.0], ["ann", "bob", "cid"]
        >>> model = Ridge(sigma=0).fit(X, y, subjects=people)
        >>> model.forget([[0.5]], [1.0], ids=["cid"]).remaining
        2.0
        """
        check_is_fitted(self)
        rows = self._rows(X, y, sample_weight, ids)
        with self._turn:
            return self._publish(self._unlearner.forget(rows, self._source(remaining)))

    def learn(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        subjects: Sequence[object] | None = None,
        remaining: Remaining = None,
    ) -> Certificate:
        """The certificate of a new release that has learned these rows too.

        Args:
            X, y, sample_weight, subjects: the new rows; weights and subjects if ``fit`` was given them, and only then.
            remaining: all rows learned and not forgotten, the new ones included.

        Raises:
            InvalidRows, CapacityExceeded, BudgetSpent: see ``Unlearner.learn``; nothing is changed then.
        """
        check_is_fitted(self)
        rows = self._rows_of(X, y, sample_weight, subjects)
        with self._turn:
            return self._publish(self._unlearner.learn(rows, self._source(remaining)))

    def rectify(
        self,
        X_old: Any,
        y_old: Any,
        X_new: Any,
        y_new: Any,
        *,
        sample_weight_old: Any = None,
        sample_weight_new: Any = None,
        ids: Sequence[object] | None = None,
        remaining: Remaining = None,
    ) -> Certificate:
        """The certificate of a new release with rows corrected (GDPR Art. 16); ``remaining`` holds the corrected rows.

        Args:
            X_old, y_old, sample_weight_old: the wrong rows, as they were learned.
            X_new, y_new, sample_weight_new: what takes their place.
            ids: whose each of the wrong rows is; tells people with equal values apart. After ``fit(..., subjects=...)`` each
                row is corrected under its id: there must be as many new rows as old ones.
            remaining: all rows learned and not forgotten, the new ones included and the wrong ones not.

        Raises:
            InvalidRows: see ``Unlearner.rectify``; also weights for one side only, which would count the other side's as 1.
            NotLearned, CapacityExceeded, BudgetSpent: see ``Unlearner.rectify``; nothing is changed then.
        """
        check_is_fitted(self)
        if (sample_weight_old is None) != (sample_weight_new is None):
            raise InvalidRows("a correction needs the weights of the old rows and of the new ones, or neither: give both")
        old = self._rows(X_old, y_old, sample_weight_old, ids)
        new = self._rows(X_new, y_new, sample_weight_new, ids if self._unlearner.settings.by_subject else None)
        with self._turn:
            return self._publish(self._unlearner.rectify(old, new, self._source(remaining)))

    def refit(self, X: Any, y: Any, sample_weight: Any = None, subjects: Sequence[object] | None = None) -> Certificate:
        """The certificate of a new release from a new anchor, on exactly the rows learned and not forgotten.

        With ``track_rows`` a pass makes their digests, and a row that is missing or too many is refused.

        It resets the budget if it is due by ``refit_days`` or ``refit_requests``; before that it is charged like any release.

        Raises:
            InvalidRows, NotLearned: other rows; to train on other rows use ``fit``.
            CapacityExceeded, BudgetSpent: see ``Unlearner.refit``; nothing is changed then.
        """
        check_is_fitted(self)
        rows = self._rows_of(X, y, sample_weight, subjects)
        with self._turn:
            return self._publish(self._unlearner.refit(rows))

    def take_over(self) -> None:
        """Lets a copy (a pickle, a ``deepcopy``) release from now on, in the original's place.

        Assumes: the original, and every other copy, releases no more; else the same budget is spent twice.
        """
        check_is_fitted(self)
        self._unlearner.take_over()

    @property
    def certificate_(self) -> Certificate:
        """The certificate of the last release."""
        check_is_fitted(self)
        return self.releases_[-1]

    def capacity(self, X: Any = None, y: Any = None, sample_weight: Any = None) -> CapacityReport:
        """What is used of the capacity to forget, and a forecast of how many more random and worst-case deletions each rung
        will certify; print it for the text. An estimate, for planning.

        Args:
            X, y, sample_weight: some of the learned rows, or all of them; without them the passes cannot be told.

        Raises:
            InvalidRows: rows that do not fit the model.
            ValueError: sigma is 0, so that nothing is promised.
        """
        check_is_fitted(self)
        return self._unlearner.capacity(None if X is None else self._rows(X, y, sample_weight))

    def draw(self, count: int) -> Array:
        """Fresh releases of the present weights, ``(count, p)``: a mechanism to audit. None of them may be published.

        Raises:
            ValueError: sigma is 0, so that nothing is drawn.
        """
        check_is_fitted(self)
        if self._unlearner.settings.sigma == 0:
            raise ValueError("with sigma=0 there is no noise, and nothing to draw: choose a positive sigma")
        return self._unlearner.draw(count)

    def true_distance(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """|w̄ − ŵ′|₂, which ``distance_bound`` bounds, found by retraining on these rows: for audits and demonstrations.

        Raises:
            InvalidRows, NoOptimum: see ``Unlearner.true_distance``.
        """
        check_is_fitted(self)
        return self._unlearner.true_distance(self._rows(X, y, sample_weight))

    def to_sklearn(self) -> Any:
        """The fitted scikit-learn estimator holding the released weights and nothing secret: safe to publish."""
        check_is_fitted(self)
        twin = self._twin()
        for name in ("coef_", "intercept_", "classes_", "n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                value = getattr(self, name)
                setattr(twin, name, value.copy() if isinstance(value, np.ndarray) else value)
        return twin

    def published(self, objective: Objective, weights: Array) -> Any:
        """The fitted scikit-learn estimator that serves released ``weights``, ``(p,)``; a classifier must know its classes."""
        twin = self._twin()
        twin.coef_, twin.intercept_ = self._served(objective, weights)
        if hasattr(self, "classes_"):
            twin.classes_ = self.classes_
        twin.n_features_in_ = objective.n_features
        return twin

    @abstractmethod
    def _twin(self) -> Any:
        """An unfitted scikit-learn estimator that predicts as this one."""

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_unlearner")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.non_deterministic = self._is_noisy
        return tags

    @property
    def _is_noisy(self) -> bool:
        given: Any = self.excess_risk if self.sigma is None else self.sigma
        return not (isinstance(given, Real) and given == 0)  # what is no number is refused later

    def _noise(self, sigma: float) -> Noise:
        if sigma == 0 or self.insecure_seed is None:
            return secure_noise
        if os.environ.get(INSECURE_SEED) != "1":
            raise ValueError(
                "insecure_seed makes the noise reproducible, and whoever knows it can take the noise off: leave it None, or "
                f"set sigma=0, or set {INSECURE_SEED}=1 in the environment of a test"
            )
        return InsecureNoise(whole("insecure_seed", self.insecure_seed))

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        require_unmasked(X, "X")  # scikit-learn would read what the mask hides
        require_unmasked(y, "y")
        try:
            X, y = validate_data(
                self, X, y, reset=reset, accept_sparse="csr", dtype=[np.float64, np.float32], ensure_all_finite=False
            )
            return X, column_or_1d(y, warn=True)
        except ValueError as error:
            raise InvalidRows(str(error)) from error

    def _rows(self, X: Any, y: Any, sample_weight: Any = None, ids: Sequence[object] | None = None) -> Rows:
        X, y = self._validated(X, y, reset=False)
        is_whose = ids is not None and self._unlearner.settings.by_subject
        return Rows.of(X, self._encode_targets(y), sample_weight, _texts(ids) if is_whose else ids)

    def _rows_of(self, X: Any, y: Any, sample_weight: Any = None, subjects: Sequence[object] | None = None) -> Rows:
        """Rows of ``subjects``, if the model knows any."""
        if subjects is not None and not self._unlearner.settings.by_subject:
            raise InvalidRows("the model was fitted without subjects: give none, or fit it with subjects=")
        return self._rows(X, y, sample_weight, subjects)

    def _source(self, remaining: Remaining) -> RowSource | None:
        if remaining is None or hasattr(remaining, "batches"):
            return remaining  # type: ignore[return-value]  # a RowSource
        if not isinstance(remaining, tuple | list) or len(remaining) not in (2, 3, 4):
            raise InvalidRows("remaining must be (X, y), (X, y, sample_weight), (X, y, sample_weight, subjects) or a RowSource")
        return _Deferred(self, tuple(remaining))

    def _publish(self, release: Release) -> Certificate:
        coef, intercept = self._served(self._unlearner.objective, release.weights)
        self.__dict__.update(coef_=coef, intercept_=intercept, releases_=(*self.releases_, release.certificate))
        return release.certificate

    def _served(self, objective: Objective, weights: Array) -> tuple[Array, Array | float]:
        """Coefficients ``(K, n_features)`` and intercepts ``(K,)``, as scikit-learn has them."""
        blocks = objective.coefficients(weights)
        coef = blocks[:, :-1] if objective.fit_intercept else blocks
        return coef.copy(), blocks[:, -1].copy() if objective.fit_intercept else np.zeros(len(blocks))

    def _predictor(self, X: Any) -> Array:
        """Xwᵀ + b of the release, ``(n_rows,)`` or ``(n_rows, K)``."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, accept_sparse="csr", dtype=[np.float64, np.float32])
        coef, intercept = _OF_ONE_RELEASE(self.__dict__)
        predictor: Array = np.asarray(X @ coef.T) + intercept
        return predictor


class _Turn:
    """A lock, copied as a new one: a copy of an estimator takes its own turns."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_error: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type["_Turn"], tuple[()]]:
        return _Turn, ()


def _texts(subjects: Sequence[object] | None) -> list[str] | None:
    """Ids of subjects in the form in which they are compared at every door.

    Raises:
        InvalidRows: one is missing, or is no id; names the row.
    """
    return None if subjects is None else [canonical(text) for text in subject_texts(subjects, "subjects")]


class _Deferred:
    """A ``RowSource`` that checks and encodes its rows only when the ladder needs them."""

    def __init__(self, model: UnlearningModel, given: tuple[Any, ...]) -> None:
        self._model, self._given = model, given

    def batches(self) -> Iterator[Rows]:
        return self._rows.batches()

    @cached_property
    def _rows(self) -> Rows:
        return self._model._rows_of(*self._given)

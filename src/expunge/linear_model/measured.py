"""What can be measured of an estimator: releases, true distance from retraining, the cost of noise. Theory §5.6, §7."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.linear_model.served import ServedModel
from expunge.linear_model.summary import ModelSummary
from expunge.problem.expansion import Expansion
from expunge.problem.rows import Rows
from expunge.unlearning.cost import NoiseCost
from expunge.unlearning.judging import Judge, LossJudge
from expunge.unlearning.scores import null_weights, scores
from expunge.unlearning.unlearner import Unlearner, secret_of

Array = NDArray[np.float64]


@dataclass(kw_only=True, eq=False, repr=False)
class MeasuredModel(ServedModel):
    """Measurements, for audits and for whoever chooses the noise; the parameters are those of ``PlannedModel``."""

    @property
    @abstractmethod
    def unlearner_(self) -> Unlearner:
        """The core beneath."""

    @abstractmethod
    def encoded(self, X: Any, y: Any, sample_weight: Any = None, ids: Any = None) -> Rows:
        """Rows as the core takes them."""

    @abstractmethod
    def _given(self, X: Any, y: Any, sample_weight: Any = None) -> Rows:
        """The same, not yet expanded."""

    @property
    def expansion(self) -> Expansion | None:
        """How each row becomes several; ``None`` where it stays one.

        Examples:
            >>> from expunge.linear_model import PiecewiseExponentialRegressor, Ridge
            >>> Ridge().expansion is None, PiecewiseExponentialRegressor().expansion
            (True, TimesAtRisk(ends=()))
        """
        return None

    def judge(self, rows: Rows) -> Judge:
        """What judges weights by how they predict some rows; a classifier must know its classes.

        Args:
            rows: as they are given, with targets as the loss takes them, on the host.

        Examples:
            >>> from expunge.linear_model import Ridge
            >>> Ridge(sigma=0).judge(Rows(np.array([[1.0]]), np.array([5.0]))).losses(np.array([2.0, 1.0])).tolist()
            [2.0]
        """
        return LossJudge(self.objective(rows.X.shape[1]), rows)

    def draw(self, count: int) -> Array:
        """Fresh releases of the present weights, ``(count, p)``: a mechanism to audit. None of them may be published.

        Args:
            count: how many; at least 0.

        Raises:
            ValueError: sigma is 0, so that nothing is drawn.

        Examples:
            >>> from expunge.linear_model import Ridge
            >>> Ridge(sigma=0.1).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]).draw(4).shape  # one weight and the intercept
            (4, 2)
        """
        if not self.unlearner_.settings.is_noisy:
            raise ValueError("with sigma=0 there is no noise, and nothing to draw: choose a positive sigma")
        return self.unlearner_.draw(count)

    def true_distance(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """|w̄ − ŵ′|₂, which ``distance_bound`` bounds, found by retraining on these rows: for audits and demonstrations.

        Args:
            X: the rows learned and not forgotten, ``(n_rows, n_features)``, dense or CSR.
            y: their targets, ``(n_rows,)``.
            sample_weight: ``(n_rows,)``; as for ``fit``.

        Raises:
            InvalidRows, NoOptimum: see ``Unlearner.true_distance``.

        Examples:
            >>> from expunge.linear_model import Ridge
            >>> X, y = [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]
            >>> model = Ridge(sigma=0).fit(X, y)
            >>> certificate = model.forget(X[2:], y[2:])
            >>> model.true_distance(X[:2], y[:2]) <= certificate.distance_bound
            True
        """
        return self.unlearner_.true_distance(self.encoded(X, y, sample_weight))

    def true_mu(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """μ of that distance, in the metric of the noise, which the certificate's bounds; infinite without noise.

        Args:
            X: the rows learned and not forgotten, ``(n_rows, n_features)``, dense or CSR.
            y: their targets, ``(n_rows,)``.
            sample_weight: ``(n_rows,)``; as for ``fit``.

        Raises:
            InvalidRows, NoOptimum: see ``Unlearner.true_mu``.

        Examples:
            >>> from expunge.linear_model import Ridge
            >>> X, y = [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]
            >>> model = Ridge().fit(X, y)
            >>> certificate = model.forget(X[2:], y[2:])
            >>> model.true_mu(X[:2], y[:2]) <= certificate.mu
            True
        """
        return self.unlearner_.true_mu(self.encoded(X, y, sample_weight))

    def noise_cost(self, X: Any, y: Any, sample_weight: Any = None) -> NoiseCost:
        """What the noise truly costs in mean loss on these rows, best held-out ones, and what it is in the predictors of the
        median and of the worst-served row; print it for the text. It depends on the learned rows: not to be published.

        Args:
            X: rows, ``(n_rows, n_features)``, dense or CSR.
            y: their targets, ``(n_rows,)``.
            sample_weight: ``(n_rows,)``; as for ``fit``.

        Examples:
            >>> from expunge.linear_model import Ridge
            >>> X, y = [[0.0], [1.0], [2.0], [4.0]], [1.0, 3.0, 5.0, 9.0]
            >>> cost = Ridge(excess_risk=0.01).fit(X, y).noise_cost(X, y)
            >>> 0.0 < cost.cost < 0.02, cost.median < cost.largest
            (True, True)

        Source: theory §5.6.
        """
        return self.unlearner_.noise_cost(self.encoded(X, y, sample_weight))

    def summary(self, X: Any = None, y: Any = None, sample_weight: Any = None, subjects: Any = None) -> ModelSummary:
        """What the model is, promises and weighs: text where it is printed, a table in a notebook. With rows, best ones that it
        has not learned, also how good it is on them, beside itself without noise and the best constant prediction for them. It
        depends on the learned rows: not to be published.

        Args:
            X: rows, ``(n_rows, n_features)``, dense or CSR.
            y: their targets, ``(n_rows,)``.
            sample_weight: ``(n_rows,)``; as for ``fit``.
            subjects: whose each row is, ``(n_rows,)``, for the standard errors; by default every row is a person's own.

        Raises:
            InvalidRows: rows that do not fit the model.

        Examples:
            >>> from expunge.linear_model import LogisticRegression
            >>> X, y = [[0.0], [1.0], [2.0], [3.0]], ["no", "no", "no", "yes"]
            >>> found = LogisticRegression(C=100.0, sigma=0).fit(X, y).summary(X, y)
            >>> found.facts["parameters"], found.scores.released.accuracy, found.scores.null.accuracy
            ('2 (1 features)', 1.0, 0.75)

        Source: theory §5.3, §5.6.
        """
        unlearner, found = self.unlearner_, None
        objective = unlearner.objective
        if X is not None:
            objective.check(self.encoded(X, y, sample_weight))
            rows = self._given(X, y, sample_weight).on_host()
            null = null_weights(objective, rows, unlearner.settings, self.expansion)
            owners = None if subjects is None else np.unique(np.asarray(subjects, dtype=str), return_inverse=True)[1]
            found = scores(self.judge(rows), [unlearner.release.weights], secret_of(unlearner).point, null, owners)
        classes = [str(label) for label in getattr(self, "classes_", ())]
        return ModelSummary.of(repr(self), unlearner, self._names(objective.n_features), classes, found)

    def _names(self, n_features: int) -> list[str]:
        """Of the features that the model learns."""
        names = getattr(self, "feature_names_in_", None)
        return [f"x{i}" for i in range(n_features)] if names is None else [str(name) for name in names[:n_features]]

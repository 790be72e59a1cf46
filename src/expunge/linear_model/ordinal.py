"""Ordinal regression: proportional odds with learned cut-points. Theory §1, §6."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.errors import InvalidRows
from expunge.linear_model.classifier import Array, Classifier
from expunge.linear_model.expanded import ExpandedModel
from expunge.linear_model.judges import OrdinalJudge
from expunge.linear_model.scorers import OrdinalScorer, graded
from expunge.problem.expansion import Expansion, Thresholds
from expunge.problem.losses import Logistic, Loss
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.judging import Judge


@dataclass(kw_only=True, eq=False, repr=False)
class OrdinalClassifier(ExpandedModel, Classifier):
    """Classes in an order, such as grades: the odds of being above a cut-point, ln P(y > k)/P(y ≤ k) = x·w + intercept_k, have
    the same weights for all cut-points (proportional odds).

    It learns w and the cut-points together, from every comparison of a row with a cut-point as a row of logistic regression:
    the all-threshold loss (Rennie, Srebro 2005), a composite likelihood of the model. ``excess_risk`` is in nats a comparison,
    and certificates count comparisons, K−1 a row.

    Args:
        categories: the classes from the lowest to the highest; ``None``, the default, for numbers in their order.

    Attributes:
        classes_: in order, ``(K,)``.
        coef_: ``(1, n_features)``.
        intercept_: of each cut-point, falling, ``(K−1,)``.

    Examples:
        >>> X, y = [[0.0], [1.0], [2.0], [3.0], [4.0]], ["low", "low", "middle", "high", "high"]
        >>> model = OrdinalClassifier(categories=["low", "middle", "high"], sigma=0).fit(X, y)
        >>> model.predict([[-2.0], [9.0]]).tolist()
        ['low', 'high']
        >>> model.forget([[0.0]], ["low"], remaining=(X[1:], y[1:])).n_forgotten  # two comparisons
        2

    Source: theory §1, §6.
    """

    categories: Sequence[Any] | None = None

    @property
    def expansion(self) -> Expansion:
        """A row as its comparisons with the cut-points.

        Examples:
            >>> OrdinalClassifier(sigma=0).fit([[0.0], [1.0], [2.0], [3.0]], [1, 1, 2, 3]).expansion
            Thresholds(n_classes=3)
        """
        return Thresholds(len(self.classes_))

    def _loss(self) -> Loss:
        return Logistic()

    def _twin(self) -> Any:
        return OrdinalScorer()

    def _learn_targets(self, y: Any) -> Array:
        codes = super()._learn_targets(y)
        if self.categories is None:
            if not np.issubdtype(self.classes_.dtype, np.number):
                raise InvalidRows(
                    f"the classes {self.classes_.tolist()} have no order of their own: give them from the lowest to the "
                    "highest, as categories"
                )
            return codes
        found, order = self.classes_.tolist(), list(self.categories)
        if len(set(order)) < len(order):
            raise ValueError(f"categories must differ, got {order}")
        if unknown := [label for label in found if label not in order]:
            raise InvalidRows(f"y holds {unknown[0]!r}, which is none of the categories: {order}")
        if missing := [label for label in order if label not in found]:
            raise InvalidRows(f"y holds no {missing[0]!r}: leave it out of categories, since nothing can be learned of it")
        rank = np.array([order.index(label) for label in found])
        self.classes_ = self.classes_[np.argsort(rank)]
        return np.asarray(rank[codes.astype(np.intp)], dtype=np.float64)

    def _encode_targets(self, y: Any) -> Array:
        alphabetical = np.argsort(self.classes_)
        places = np.minimum(np.searchsorted(self.classes_, y, sorter=alphabetical), len(self.classes_) - 1)
        codes = alphabetical[places]
        self._require_known(self.classes_[codes] != y, y)
        return np.asarray(codes, dtype=np.float64)

    @property
    def _level_names(self) -> list[str]:
        return [f"more than {label}" for label in self.classes_.tolist()[1:-1]]

    def judge(self, rows: Rows) -> Judge:
        """What judges weights by the chances of the classes, by their log-loss and ranked probability score.

        Args:
            rows: as they are given, with codes of classes.

        Examples:
            >>> model = OrdinalClassifier(sigma=0).fit([[0.0], [1.0], [2.0], [3.0]], [1, 1, 2, 3])
            >>> model.judge(Rows(np.array([[0.0]]), np.array([0.0]))).measures(np.zeros(3))  # a half above each cut-point
            {'ranked probability': 0.25}
        """
        labels = [str(label) for label in self.classes_.tolist()]
        return OrdinalJudge(rows, self._scorer_of(rows.X.shape[1]), labels)

    def _served(self, objective: Objective, weights: Array) -> tuple[Array, Array | float]:
        coef, intercept = super()._served(objective, weights)
        return coef, np.sort(np.asarray(intercept))[::-1].copy()  # noise may change their order, and this changes no promise

    def decision_function(self, X: Any) -> Array:
        """x·w, the higher the higher the class, ``(n_rows,)``.

        Args:
            X: ``(n_rows, n_features)``, dense or CSR.

        Examples:
            >>> model = OrdinalClassifier(sigma=0).fit([[0.0], [1.0], [2.0], [3.0]], [1, 1, 2, 3])
            >>> bool(np.diff(model.decision_function([[0.0], [1.0]]))[0] > 0)
            True
        """
        return np.asarray(self._predictor(X)[:, 0] - self.intercept_[0])

    def predict_proba(self, X: Any) -> Array:
        """Class probabilities, ``(n_rows, K)``.

        Args:
            X: ``(n_rows, n_features)``, dense or CSR.

        Examples:
            >>> model = OrdinalClassifier(sigma=0).fit([[0.0], [1.0], [2.0], [3.0]], [1, 1, 2, 3])
            >>> model.predict_proba([[9.0]]).sum().round(6).tolist()
            1.0
        """
        return graded(self._predictor(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class of each row, ``(n_rows,)``.

        Args:
            X: ``(n_rows, n_features)``, dense or CSR.

        Examples:
            >>> OrdinalClassifier(sigma=0).fit([[0.0], [1.0], [2.0], [3.0]], [1, 1, 2, 3]).predict([[-9.0], [9.0]]).tolist()
            [1, 3]
        """
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

"""What classifiers share: labels, weights of classes, and the class on whose side the linear predictor is. Theory §1."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets

from expunge.errors import InvalidRows
from expunge.linear_model.base import UnlearningModel
from expunge.problem.objective import require_weights
from expunge.problem.parameters import between, real
from expunge.problem.rows import Rows

Array = NDArray[np.float64]
LIGHTEST, HEAVIEST = 1e-6, 1e6
"""What a class may weigh."""


@dataclass(kw_only=True, eq=False, repr=False)
class Classifier(ClassifierMixin, UnlearningModel):
    """What classifiers share; the other parameters are those of every estimator.

    Args:
        C: inverse of the penalty's strength; positive; 1 by default.
        class_weight: what the rows of a class count, by label, a dict; 1 where it says nothing. ``None``, the default, for 1
            each. ``"balanced"`` is refused: it counts the rows of each class, so that whoever goes would change the weight of
            all others.
    """

    C: float = 1.0
    class_weight: Any = None

    def decision_function(self, X: Any) -> Array:
        """The linear predictor, ``(n_rows,)`` for two classes, else ``(n_rows, K)``.

        Args:
            X: ``(n_rows, n_features)``, dense or CSR.

        Examples:
            >>> from expunge.linear_model import LogisticRegression
            >>> model = LogisticRegression(sigma=0).fit([[0.0], [1.0], [2.0], [3.0]], ["no", "no", "yes", "yes"])
            >>> abs(float(model.decision_function([[1.5]])[0])) < 1e-6  # halfway between the classes
            True
        """
        t = self._predictor(X)
        return t[:, 0] if t.shape[1] == 1 else t

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class of each row, ``(n_rows,)``.

        Args:
            X: ``(n_rows, n_features)``, dense or CSR.

        Examples:
            >>> from expunge.linear_model import LogisticRegression
            >>> model = LogisticRegression(sigma=0).fit([[0.0], [1.0], [2.0], [3.0]], ["no", "no", "yes", "yes"])
            >>> model.predict([[0.5], [2.5]]).tolist()
            ['no', 'yes']
        """
        t = self._predictor(X)
        codes = (t[:, 0] > 0).astype(np.intp) if t.shape[1] == 1 else t.argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def _penalty(self) -> tuple[float, Literal["sum", "mean"]]:
        C = real("C", self.C)
        if not C > 0:
            raise ValueError(f"C must be positive, got {C}")
        return 1.0 / C, "sum"

    def _learn_targets(self, y: Any) -> Array:
        try:
            check_classification_targets(y)
        except ValueError as error:
            raise InvalidRows(str(error)) from error
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InvalidRows(
                f"y holds only 1 class, {self.classes_.tolist()[0]!r}: a classifier needs samples of at least 2 classes"
            )
        return codes.astype(np.float64)

    def _encode_targets(self, y: Any) -> Array:
        codes = np.minimum(np.searchsorted(self.classes_, y), len(self.classes_) - 1)
        self._require_known(self.classes_[codes] != y, y)
        return np.asarray(codes, dtype=np.float64)

    def _require_known(self, unknown: Any, y: Any) -> None:
        if np.any(unknown):
            row = int(np.argmax(unknown))
            raise InvalidRows(
                f"y of row {row} is {y.tolist()[row]!r}, which is none of the classes learned: {self.classes_.tolist()}"
            )

    def _weighed(self, rows: Rows) -> Rows:
        if self.class_weight is None:
            return super()._weighed(rows)
        require_weights(rows, self._is_weighted)
        shares = self.weights_of_classes()
        return Rows.of(rows.X, rows.y, rows.weight * shares[rows.y.astype(np.intp)], rows.ids)

    def weights_of_classes(self) -> Array:
        """What each class weighs, ``(K,)``; the classes must be known.

        Raises:
            ValueError: a weight is not possible, or of no class.

        Examples:
            >>> from expunge.linear_model import LogisticRegression
            >>> model = LogisticRegression(class_weight={"yes": 3.0}, sigma=0).fit([[0.0], [1.0], [2.0]], ["no", "yes", "no"])
            >>> model.weights_of_classes().tolist()
            [1.0, 3.0]
        """
        if self.class_weight is None:
            return np.ones(len(self.classes_))
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' counts the rows of each class, and so depends on everybody: a deletion would change "
                "the weights of all other rows, and no certificate covers that; declare them as a dict, {label: weight}"
            )
        if not isinstance(self.class_weight, Mapping):
            raise ValueError(f"class_weight must be a dict {{label: weight}} or None, got {self.class_weight!r}")
        known = self.classes_.tolist()
        if unknown := [label for label in self.class_weight if label not in known]:
            raise ValueError(f"class_weight has {unknown[0]!r}, which is none of the classes: {known}")
        return np.array([between(f"class_weight of {c!r}", self.class_weight.get(c, 1.0), LIGHTEST, HEAVIEST) for c in known])

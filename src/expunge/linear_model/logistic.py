"""Logistic regression, binary and multinomial. Theory §1, §6."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn import linear_model as sklearn_linear_model
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets

from expunge.errors import InvalidRows
from expunge.linear_model.base import UnlearningModel
from expunge.problem.losses import Logistic, Loss, Softmax
from expunge.problem.parameters import real

Array = NDArray[np.float64]


@dataclass(kw_only=True, eq=False, repr=False)
class LogisticRegression(ClassifierMixin, UnlearningModel):
    """Binary or multinomial logistic regression, scikit-learn's ``LogisticRegression(C=C)``.

    Args:
        C: inverse of the penalty's strength; positive; 1 by default. The other parameters are those of every estimator.

    Attributes:
        classes_: ``(K,)``.
        coef_: ``(1, n_features)`` or ``(K, n_features)``.
        intercept_: ``(1,)`` or ``(K,)``.
        certificate_: of the last release.
        certificates_: all certificates since ``fit``.

    Examples:
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], ["no", "yes", "no", "yes"]
        >>> model = LogisticRegression(sigma=0).fit(X, y)
        >>> certificate = model.forget([[3.0]], ["yes"])
        >>> str(certificate.rung), certificate.n_forgotten, certificate.remaining
        ('statistics', 1, 3.0)

    Source: theory §1, §6.
    """

    C: float = 1.0

    def decision_function(self, X: Any) -> Array:
        """The linear predictor, ``(n_rows,)`` for two classes, else ``(n_rows, K)``.

        Args:
            X: ``(n_rows, n_features)``, dense or CSR.

        Examples:
            >>> model = LogisticRegression(sigma=0).fit([[0.0], [1.0], [2.0], [3.0]], ["no", "no", "yes", "yes"])
            >>> abs(float(model.decision_function([[1.5]])[0])) < 1e-6  # halfway between the classes
            True
        """
        t = self._predictor(X)
        return t[:, 0] if t.shape[1] == 1 else t

    def predict_proba(self, X: Any) -> Array:
        """Class probabilities, ``(n_rows, K)``.

        Args:
            X: ``(n_rows, n_features)``, dense or CSR.

        Examples:
            >>> model = LogisticRegression(sigma=0).fit([[0.0], [1.0], [2.0], [3.0]], ["no", "no", "yes", "yes"])
            >>> model.predict_proba([[1.5]]).round(6).tolist()
            [[0.5, 0.5]]
        """
        t = self._predictor(X)
        return np.asarray(softmax(t, axis=1)) if t.shape[1] > 1 else np.hstack([expit(-t), expit(t)])

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of ``predict_proba``, ``(n_rows, K)``.

        Args:
            X: ``(n_rows, n_features)``, dense or CSR.

        Examples:
            >>> model = LogisticRegression(sigma=0).fit([[0.0], [1.0], [2.0], [3.0]], ["no", "no", "yes", "yes"])
            >>> model.predict_log_proba([[1.5]]).round(3).tolist()
            [[-0.693, -0.693]]
        """
        return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class of each row, ``(n_rows,)``.

        Args:
            X: ``(n_rows, n_features)``, dense or CSR.

        Examples:
            >>> model = LogisticRegression(sigma=0).fit([[0.0], [1.0], [2.0], [3.0]], ["no", "no", "yes", "yes"])
            >>> model.predict([[0.5], [2.5]]).tolist()
            ['no', 'yes']
        """
        t = self._predictor(X)
        codes = (t[:, 0] > 0).astype(np.intp) if t.shape[1] == 1 else t.argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def _loss(self) -> Loss:
        return Logistic() if len(self.classes_) == 2 else Softmax(len(self.classes_))

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
        unknown = self.classes_[codes] != y
        if np.any(unknown):
            row = int(np.argmax(unknown))
            raise InvalidRows(
                f"y of row {row} is {y.tolist()[row]!r}, which is none of the classes learned: {self.classes_.tolist()}"
            )
        return np.asarray(codes, dtype=np.float64)

    def _twin(self) -> Any:
        return sklearn_linear_model.LogisticRegression(C=self.C, fit_intercept=self.fit_intercept)

"""Logistic regression, binary and multinomial. Theory §1, §6."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn import linear_model as sklearn_linear_model

from expunge.linear_model.classifier import Classifier
from expunge.problem.losses import Logistic, Loss, Softmax

Array = NDArray[np.float64]


@dataclass(kw_only=True, eq=False, repr=False)
class LogisticRegression(Classifier):
    """Binary or multinomial logistic regression, scikit-learn's ``LogisticRegression(C=C)``; the parameters are those of every
    classifier.

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

    def _loss(self) -> Loss:
        return Logistic() if len(self.classes_) == 2 else Softmax(len(self.classes_))

    def _twin(self) -> Any:
        return sklearn_linear_model.LogisticRegression(
            C=self.C, fit_intercept=self.fit_intercept, class_weight=self.class_weight
        )

"""A linear support vector machine with a smoothed hinge. Theory §1, §6."""

from dataclasses import dataclass
from typing import Any

from sklearn import svm
from sklearn.utils import Tags

from expunge.errors import InvalidRows
from expunge.linear_model.classifier import Array, Classifier
from expunge.problem.losses import Loss, SmoothedHinge


@dataclass(kw_only=True, eq=False, repr=False)
class SmoothedHingeClassifier(Classifier):
    """A classifier of two classes by the hinge loss with its corner rounded off, a linear support vector machine: rows that are
    on their side by a margin well above 1 count for next to nothing. It has no probabilities.

    Args:
        scale: over how much of the margin the corner is rounded off; between 0.001 and 1,000; 0.5 by default. The smaller,
            the nearer the hinge, and the fewer deletions are certified. The other parameters are those of every classifier.

    Attributes:
        classes_: ``(2,)``.
        coef_: ``(1, n_features)``.
        intercept_: ``(1,)``.

    Examples:
        >>> model = SmoothedHingeClassifier(sigma=0).fit([[0.0], [1.0], [2.0], [3.0]], ["no", "yes", "no", "yes"])
        >>> certificate = model.forget([[3.0]], ["yes"])
        >>> certificate.n_forgotten, certificate.remaining
        (1, 3.0)

    Source: theory §1, §6.
    """

    scale: float = 0.5

    def _loss(self) -> Loss:
        return SmoothedHinge(self.scale)

    def _learn_targets(self, y: Any) -> Array:
        codes = super()._learn_targets(y)
        if len(self.classes_) > 2:
            raise InvalidRows(
                "Only binary classification is supported. The type of the target is multiclass: use LogisticRegression, or "
                "scikit-learn's OneVsRestClassifier, whose models each want a promise of their own"
            )
        return codes

    def _twin(self) -> Any:
        return svm.LinearSVC(C=self.C, loss="hinge", fit_intercept=self.fit_intercept, class_weight=self.class_weight)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

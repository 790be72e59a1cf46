"""Kinds of models: which estimator a model of the workspace is, and what its predictions are of the linear predictor."""

from enum import StrEnum


class InverseLink(StrEnum):
    """What makes predictions of linear predictors: probabilities of classes (of 0 and t where there are two), or the mean."""

    SOFTMAX = "softmax"
    IDENTITY = "identity"
    EXPONENTIAL = "exponential"


class ModelKind(StrEnum):
    """An estimator."""

    LOGISTIC = "logistic"
    RIDGE = "ridge"
    PSEUDO_HUBER = "pseudo-huber"
    POISSON = "poisson"
    GAMMA = "gamma"
    TWEEDIE = "tweedie"

    @property
    def inverse_link(self) -> InverseLink:
        """Of its predictions."""
        return _INVERSE_LINKS[self]


_INVERSE_LINKS = {
    ModelKind.LOGISTIC: InverseLink.SOFTMAX,
    ModelKind.RIDGE: InverseLink.IDENTITY,
    ModelKind.PSEUDO_HUBER: InverseLink.IDENTITY,
    ModelKind.POISSON: InverseLink.EXPONENTIAL,
    ModelKind.GAMMA: InverseLink.EXPONENTIAL,
    ModelKind.TWEEDIE: InverseLink.EXPONENTIAL,
}

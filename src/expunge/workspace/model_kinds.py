"""Kinds of models: which estimator a model of the workspace is, and what its predictions are of the linear predictor."""

from enum import StrEnum


class Link(StrEnum):
    """What the linear predictor t is of the prediction: log-odds of classes, the mean, or the logarithm of the mean."""

    LOGIT = "logit"
    IDENTITY = "identity"
    LOG = "log"


class ModelKind(StrEnum):
    """An estimator."""

    LOGISTIC = "logistic"
    RIDGE = "ridge"
    PSEUDO_HUBER = "pseudo-huber"
    POISSON = "poisson"
    GAMMA = "gamma"
    TWEEDIE = "tweedie"

    @property
    def link(self) -> Link:
        """Of its predictions."""
        return _LINKS[self]


_LINKS = {
    ModelKind.LOGISTIC: Link.LOGIT,
    ModelKind.RIDGE: Link.IDENTITY,
    ModelKind.PSEUDO_HUBER: Link.IDENTITY,
    ModelKind.POISSON: Link.LOG,
    ModelKind.GAMMA: Link.LOG,
    ModelKind.TWEEDIE: Link.LOG,
}

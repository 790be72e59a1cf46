"""Kinds of models: which estimator a model of the workspace is."""

from enum import StrEnum


class ModelKind(StrEnum):
    """An estimator."""

    LOGISTIC = "logistic"
    RIDGE = "ridge"
    PSEUDO_HUBER = "pseudo-huber"
    POISSON = "poisson"
    GAMMA = "gamma"
    TWEEDIE = "tweedie"

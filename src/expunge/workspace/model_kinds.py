"""Kinds of models: which estimator a model of the workspace is, and what its predictions are of the linear predictor."""

from enum import StrEnum

TWEEDIE_POWER = 1.5
"""Variance power of the ``tweedie`` kind: between Poisson's counts and Gamma's amounts, as for insurance claims."""


class InverseLink(StrEnum):
    """What makes predictions of linear predictors: probabilities of classes (of 0 and t where there are two); the second of two
    classes where t is above 0; probabilities of classes in an order, each t the log-odds of being above a cut-point; the mean,
    or a hazard ratio."""

    SOFTMAX = "softmax"
    THRESHOLD = "threshold"
    CUMULATIVE = "cumulative"
    IDENTITY = "identity"
    EXPONENTIAL = "exponential"


class ModelKind(StrEnum):
    """An estimator."""

    LOGISTIC = "logistic"
    HINGE = "hinge"
    ORDINAL = "ordinal"
    RIDGE = "ridge"
    PSEUDO_HUBER = "pseudo-huber"
    QUANTILE = "quantile"
    POISSON = "poisson"
    NEGATIVE_BINOMIAL = "negative-binomial"
    GAMMA = "gamma"
    TWEEDIE = "tweedie"
    SURVIVAL = "survival"

    @property
    def estimator(self) -> str:
        """Its name in ``expunge.linear_model``."""
        return _ESTIMATORS[self]

    @property
    def inverse_link(self) -> InverseLink:
        """Of its predictions."""
        return _INVERSE_LINKS[self]

    @property
    def is_classifier(self) -> bool:
        """Whether it predicts classes."""
        return self.inverse_link in (InverseLink.SOFTMAX, InverseLink.THRESHOLD, InverseLink.CUMULATIVE)

    @property
    def has_probabilities(self) -> bool:
        """Whether it predicts a probability for each class."""
        return self.inverse_link in (InverseLink.SOFTMAX, InverseLink.CUMULATIVE)

    @property
    def weighed(self) -> str:
        """What that is which remains in it, for a person."""
        return {ModelKind.ORDINAL: "comparisons with cut-points", ModelKind.SURVIVAL: "units of time at risk"}.get(self, "rows")

    @property
    def parameters(self) -> tuple[str, ...]:
        """Those of its estimator that are given to it alone."""
        return _PARAMETERS.get(self, ())


_ESTIMATORS = {
    ModelKind.LOGISTIC: "LogisticRegression",
    ModelKind.HINGE: "SmoothedHingeClassifier",
    ModelKind.ORDINAL: "OrdinalClassifier",
    ModelKind.RIDGE: "Ridge",
    ModelKind.PSEUDO_HUBER: "PseudoHuberRegressor",
    ModelKind.QUANTILE: "SmoothedQuantileRegressor",
    ModelKind.NEGATIVE_BINOMIAL: "NegativeBinomialRegressor",
    ModelKind.POISSON: "PoissonRegressor",
    ModelKind.GAMMA: "GammaRegressor",
    ModelKind.TWEEDIE: "TweedieRegressor",
    ModelKind.SURVIVAL: "PiecewiseExponentialRegressor",
}
_INVERSE_LINKS = {
    ModelKind.LOGISTIC: InverseLink.SOFTMAX,
    ModelKind.HINGE: InverseLink.THRESHOLD,
    ModelKind.ORDINAL: InverseLink.CUMULATIVE,
    ModelKind.RIDGE: InverseLink.IDENTITY,
    ModelKind.PSEUDO_HUBER: InverseLink.IDENTITY,
    ModelKind.QUANTILE: InverseLink.IDENTITY,
    ModelKind.POISSON: InverseLink.EXPONENTIAL,
    ModelKind.NEGATIVE_BINOMIAL: InverseLink.EXPONENTIAL,
    ModelKind.GAMMA: InverseLink.EXPONENTIAL,
    ModelKind.TWEEDIE: InverseLink.EXPONENTIAL,
    ModelKind.SURVIVAL: InverseLink.EXPONENTIAL,
}
_PARAMETERS = {
    ModelKind.HINGE: ("scale",),
    ModelKind.PSEUDO_HUBER: ("scale",),
    ModelKind.QUANTILE: ("quantile", "scale"),
    ModelKind.NEGATIVE_BINOMIAL: ("dispersion",),
}

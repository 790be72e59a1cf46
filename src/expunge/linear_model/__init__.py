"""Scikit-learn estimators that can forget: a translation of scikit-learn's words, nothing more. Theory §1.

Each has the objective, and so the optimum, of its namesake in scikit-learn, if there is one. What is fitted is secret;
``coef_`` and ``intercept_`` are the last *release*, the only weights that may leave. A pickled estimator holds the secret
state: publish ``to_sklearn()`` instead.
"""

from expunge.linear_model.hinge import SmoothedHingeClassifier
from expunge.linear_model.logistic import LogisticRegression
from expunge.linear_model.ordinal import OrdinalClassifier
from expunge.linear_model.regressors import (
    GammaRegressor,
    NegativeBinomialRegressor,
    PoissonRegressor,
    PseudoHuberRegressor,
    Ridge,
    SmoothedQuantileRegressor,
    TweedieRegressor,
)
from expunge.linear_model.survival import PiecewiseExponentialRegressor

__all__ = [
    "GammaRegressor",
    "LogisticRegression",
    "NegativeBinomialRegressor",
    "OrdinalClassifier",
    "PiecewiseExponentialRegressor",
    "PoissonRegressor",
    "PseudoHuberRegressor",
    "Ridge",
    "SmoothedHingeClassifier",
    "SmoothedQuantileRegressor",
    "TweedieRegressor",
]

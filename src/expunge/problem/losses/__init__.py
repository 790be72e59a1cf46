"""Losses ℓ(t; y) of a linear predictor t: value, derivatives and the constants of theory §6.

Scalar losses take ``t`` and ``y`` of one shape and act elementwise. ``Softmax`` takes ``t`` of shape
``(n_rows, K)`` and class codes ``y`` of shape ``(n_rows,)``. Constants that do not exist are ``inf``. Arrays may be of any
array-API namespace; results are of the same.
"""

from expunge.problem.losses.base import Loss
from expunge.problem.losses.classification import Logistic, SmoothedHinge, Softmax
from expunge.problem.losses.log_link import Gamma, NegativeBinomial, Poisson, Tweedie
from expunge.problem.losses.regression import LogCosh, PseudoHuber, SmoothedQuantile, Squared

__all__ = [
    "LOSSES",
    "Gamma",
    "LogCosh",
    "Logistic",
    "Loss",
    "NegativeBinomial",
    "Poisson",
    "PseudoHuber",
    "SmoothedHinge",
    "SmoothedQuantile",
    "Softmax",
    "Squared",
    "Tweedie",
]

LOSSES: dict[str, type[Loss]] = {
    loss.name: loss
    for loss in (
        Logistic,
        Softmax,
        SmoothedHinge,
        Squared,
        PseudoHuber,
        LogCosh,
        SmoothedQuantile,
        Poisson,
        NegativeBinomial,
        Gamma,
        Tweedie,
    )
}
"""Every loss by its name. A new loss joins here and is then in every property test."""

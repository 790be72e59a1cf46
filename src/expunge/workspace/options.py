"""Options: what whoever fits a model or brings rows may choose, each with a default."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from expunge.data.reading import Reading
from expunge.unlearning.settings import Order

KEPT = (
    "target",
    "penalty",
    "epsilon",
    "delta",
    "noise_floor",
    "order",
    "parameters",
    "class_weight",
    "exposure",
    "offset",
    "event",
    "intervals",
)
"""What a model keeps when it is replaced, if nothing else is said."""


class How(TypedDict, total=False):
    """How a model is fitted, each with a default.

    Args:
        model: the estimator, ``logistic`` by default.
        penalty: ``C`` of a classifier, ``alpha`` of a regression; 1 by default.
        epsilon: epsilon of the promise, in nats; 1 by default.
        delta: delta of the promise, a probability; 1e-6 by default.
        noise: ``auto``, the default, ``shaped`` or ``isotropic`` (theory §5.6).
        excess_risk: what the noise may cost; 0.001 by default.
        noise_floor: floor of shaped noise; 0.02 by default.
        sigma: scale of isotropic noise, in place of an excess risk.
        order: order of the statistics, 2 or 3; ``auto``, the default, for 3 where that takes little memory (theory §4.7).
        parameters: those that the estimator alone has, by name: ``quantile``, ``scale`` or ``dispersion``.
        class_weight: what the rows of a class count, by label; 1 by default.
        exposure: the column of exposures, for ``poisson``, ``negative-binomial``, ``gamma`` and ``tweedie``.
        offset: the column that is added to the linear predictor as it is, for regressions and two classes.
        event: the column that says whether the event came, for ``survival``, whose target is the time.
        intervals: for it the ends of the intervals of constant hazard, but for the last.
    """

    model: str
    penalty: float
    epsilon: float
    delta: float
    sigma: float | None
    noise: str
    excess_risk: float | None
    noise_floor: float
    order: Order
    parameters: Mapping[str, float]
    class_weight: Mapping[str, float]
    exposure: str | None
    offset: str | None
    event: str | None
    intervals: Sequence[float]


class Taking(TypedDict, total=False):
    """How rows are read, and which rows are taken that would otherwise be refused.

    Args:
        reading: what is known about the file, besides what was known when the workspace was made.
        returning: take rows of people who were forgotten and have come back.
        accept_undeclared: take rows of a file in which too much is undeclared.
        upsert: take rows with the row key of a row in the table, in its place.
    """

    reading: Reading
    returning: bool
    accept_undeclared: bool
    upsert: bool

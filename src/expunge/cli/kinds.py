"""The options that say what kind of model is fitted, for every command that fits one."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

KINDS = (
    "logistic, hinge or ordinal for classes; ridge, pseudo-huber or quantile for numbers; poisson, negative-binomial, gamma "
    "or tweedie for counts and amounts; survival for times."
)
Kind = Annotated[str, typer.Option(help=KINDS)]
Quantile = Annotated[float | None, typer.Option(help="Of quantile: the share of targets below. Default: 0.5.")]
Scale = Annotated[
    float | None,
    typer.Option(
        help="Of hinge, pseudo-huber and quantile: over how much a corner is rounded. Default: 0.5 for hinge, else 1."
    ),
]
Dispersion = Annotated[float | None, typer.Option(help="Of negative-binomial: variance μ + dispersion·μ². Default: 1.")]
ClassWeight = Annotated[
    list[str] | None, typer.Option(help="What the rows of a class count, CLASS=WEIGHT; give it once for each class.")
]
Exposure = Annotated[
    str | None,
    typer.Option(help="Column of exposures of poisson, negative-binomial, gamma and tweedie: predictions are per unit of it."),
]
Offset = Annotated[
    str | None,
    typer.Option(
        help="Column that is added to the linear predictor as it is, such as a known log-odds; of regressions and two classes."
    ),
]
Event = Annotated[
    str | None, typer.Option(help="Of survival: the column that is 1 if the event came, 0 if it had not until then.")
]
Interval = Annotated[
    list[float] | None, typer.Option(help="Of survival: a time at which the hazard may change; give it once for each.")
]


def of_a_kind(
    class_weight: Sequence[str] | None,
    exposure: str | None,
    offset: str | None,
    event: str | None,
    intervals: Sequence[float] | None,
    parameters: Mapping[str, float | None],
) -> dict[str, Any]:
    """These options as ``How`` has them; ``parameters`` are those of the estimator alone."""
    given = {name: value for name, value in parameters.items() if value is not None}
    weights = dict(map(_weighed, class_weight or []))
    return {
        "parameters": given,
        "class_weight": weights,
        "exposure": exposure,
        "offset": offset,
        "event": event,
        "intervals": tuple(intervals or ()),
    }


def _weighed(given: str) -> tuple[str, float]:
    """The class and the weight of ``CLASS=WEIGHT``."""
    label, _, weight = given.rpartition("=")
    try:
        return label, float(weight)
    except ValueError as error:
        raise ValueError(f"--class-weight takes CLASS=WEIGHT, got {given!r}") from error

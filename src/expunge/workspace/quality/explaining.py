"""Explanations: a model's scores, calibration and effects, gathered for a page. Evidence: not for publication."""

from dataclasses import dataclass, field

import numpy as np

from expunge.unlearning.certificate import Certificate
from expunge.unlearning.scores import Scores
from expunge.unlearning.unlearner import secret_of
from expunge.workspace import states
from expunge.workspace.model_kinds import InverseLink, ModelKind
from expunge.workspace.published import Published
from expunge.workspace.quality.calibration import Calibration, calibrations
from expunge.workspace.quality.effects import Effect, effects
from expunge.workspace.quality.held_out import trial
from expunge.workspace.storage import Storage

COORDINATES, MOST_DRAWS, LEAST_DRAWS = 200_000, 100, 20
"""Numbers drawn for the bands, about, and the most and fewest releases that this may be."""


@dataclass(frozen=True)
class Explanation:
    """How good a model is, and why. Evidence: not for publication.

    Args:
        published: the release that is explained.
        certificate: its certificate.
        scores: on people held out, of a second fit.
        calibrations: of a release of the second fit; several where several things are predicted.
        effects: of each column, the most important first.
    """

    published: Published
    certificate: Certificate = field(repr=False)
    scores: Scores
    calibrations: tuple[Calibration, ...] = field(repr=False)
    effects: tuple[Effect, ...] = field(repr=False)

    @property
    def unit(self) -> str:
        """In which contributions are."""
        specification = self.published.specification
        if specification.kind.inverse_link is InverseLink.THRESHOLD:
            return "margin"
        if specification.kind is ModelKind.SURVIVAL:
            return "log of the hazard"
        if specification.kind is ModelKind.ORDINAL:
            return "log-odds of a higher class"
        if specification.classes:
            return "log-odds" if len(specification.classes) == 2 else "log-probability, up to a constant"
        is_plain = specification.kind.inverse_link is InverseLink.IDENTITY
        return specification.target if is_plain else f"log of {specification.target}"


def explained(storage: Storage, name: str) -> Explanation:
    """The explanation of the newest release of model ``name``.

    Raises:
        WorkspaceInvalid: there is no such model.
        InvalidRows, NoOptimum, CapacityExceeded: too few people, or those who are not held out cannot be fitted.
    """
    made = trial(storage, name)
    with storage.database.reading() as connection:
        published = Published.of(connection, name)
    unlearner = states.state_of(storage, name)
    objective, secret, weights = unlearner.objective, secret_of(unlearner), np.array(published.weights)
    draws = int(np.clip(COORDINATES // objective.n_parameters, LEAST_DRAWS, MOST_DRAWS))
    noise = unlearner.draw(draws) - secret.point if unlearner.settings.is_noisy else np.empty((0, objective.n_parameters))
    labels = predictor_labels(published)
    return Explanation(
        published,
        secret.release.certificate,
        made.scores,
        calibrations(made, made.released[0]),
        tuple(effects(made, objective, weights, noise, labels)),
    )


def predictor_labels(published: Published) -> tuple[str, ...]:
    """The classes, where each has a predictor; else what the one predictor is of."""
    classes, target = published.classes, published.specification.target
    if published.specification.expansion is not None:
        return (f"higher {target}" if classes else f"hazard of {published.specification.event}",)
    return classes if len(classes) > 2 else (f"{target} = {classes[1]}" if classes else target,)

"""The part of a model that is or may be published: its newest release, with all that is needed to predict. Theory §5.1."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import sqlalchemy as sa

from expunge.ledger import releases
from expunge.workspace.model_kinds import ModelKind
from expunge.workspace.specification import Specification


@dataclass(frozen=True)
class Published:
    """The newest release of a model; nothing secret is in it.

    Args:
        model: name of the model.
        release: number of the release among those of the model.
        certificate: number of its certificate.
        at: when it was made, ISO 8601.
        weights: the released weights, ``(p,)``.
        specification: what was fixed before the rows were seen, and the classes.
    """

    model: str
    release: int
    certificate: int
    at: str
    weights: tuple[float, ...] = field(repr=False)
    specification: Specification = field(repr=False)

    @classmethod
    def of(cls, connection: sa.Connection, name: str) -> "Published":
        """The published part of the model called ``name``.

        Raises:
            WorkspaceInvalid: there is no such model.
            LedgerCorrupt: its weights are gone.
        """
        specification = Specification.from_json(releases.named(connection, name).specification)
        last = releases.current(connection, name)
        return cls(name, last.number, last.id, last.at, tuple(last.parameters), specification)

    @cached_property
    def estimator(self) -> Any:
        """The fitted scikit-learn estimator that predicts from encoded rows, of which the last column is the offset if the
        model has one; what has exposures predicts per unit of them."""
        made, objective = self.specification.estimator, self.specification.objective
        is_served = self.specification.offset is not None
        return made.set_params(offset=is_served).published(replace(objective, offset=is_served), np.array(self.weights))

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels of a classifier, in the order of its probabilities; empty for other models."""
        return self.specification.classes

    @property
    def coefficients(self) -> list[list[float]]:
        """Those of the features, one list for each linear predictor: one, or one for each class where there are more than two,
        or one for each cut-point between ordered ones."""
        n_features = len(self.specification.features.feature_names)
        found: list[list[float]] = np.atleast_2d(self.estimator.coef_)[:, :n_features].tolist()
        return found * len(self.intercepts) if self.specification.kind == ModelKind.ORDINAL else found

    @property
    def intercepts(self) -> list[float]:
        """One for each linear predictor; 0 where it is the logarithm of a hazard ratio."""
        if self.specification.kind == ModelKind.SURVIVAL:
            return [0.0]
        found: list[float] = np.atleast_1d(self.estimator.intercept_).tolist()
        return found

    @property
    def hazards(self) -> list[float]:
        """The logarithm of the hazard of each interval for features of 0, for survival; empty for other models."""
        found: list[float] = self.estimator.intercept_.tolist() if self.specification.kind == ModelKind.SURVIVAL else []
        return found

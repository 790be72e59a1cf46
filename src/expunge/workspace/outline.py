"""The part of a model's specification that is read without its estimator: ``Specification`` loads scikit-learn."""

import json
from dataclasses import dataclass

from expunge.ledger.releases import Model
from expunge.privacy import Schedule
from expunge.workspace.model_kinds import ModelKind


@dataclass(frozen=True)
class Outline:
    """A few fields of a model's specification.

    Args:
        kind: the estimator.
        target: the column that it predicts.
        schedule: schedule of its refits.
    """

    kind: ModelKind
    target: str
    schedule: Schedule

    @classmethod
    def of(cls, model: Model) -> "Outline":
        """The outline of ``model``."""
        given = json.loads(model.specification)
        schedule = Schedule(days=given["refit_days"], requests=given["refit_requests"] or None)
        return cls(ModelKind(given["kind"]), given["target"], schedule)

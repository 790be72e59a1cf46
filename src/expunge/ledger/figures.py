"""Figures: what the evidence of a release says, for those who may see the data."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from expunge.errors import LedgerCorrupt
from expunge.unlearning.rung import Rung


@dataclass(frozen=True)
class Figures:
    """The evidence of a release, read; see ``Certificate`` for the meaning of each number.

    Args:
        content: the whole evidence, as JSON.
    """

    since: date
    requests: int
    rung: Rung
    n_forgotten: int
    n_learned: int
    remaining: float
    epsilon: float
    delta: float
    mu: float
    mu_total: float
    epsilon_total: float
    distance_bound: float
    seconds: float
    resets_budget: bool
    salt: str = field(repr=False)
    content: Mapping[str, object] = field(repr=False)

    @classmethod
    def of(cls, evidence: str) -> "Figures":
        """The figures in ``evidence``.

        Raises:
            LedgerCorrupt: it is not evidence.
        """
        try:
            given = json.loads(evidence)
            return cls(
                since=date.fromisoformat(given["since"]),
                requests=int(given["requests"]),
                rung=Rung(given["rung"]),
                n_forgotten=int(given["n_forgotten"]),
                n_learned=int(given["n_learned"]),
                remaining=float(given["remaining"]),
                epsilon=float(given["epsilon"]),
                delta=float(given["delta"]),
                mu=float(given["mu"]),
                mu_total=float(given["mu_total"]),
                epsilon_total=float(given["epsilon_total"]),
                distance_bound=float(given["distance_bound"]),
                seconds=float(given["seconds"]),
                resets_budget=bool(given.get("resets_budget", False)),  # older evidence does not have it
                salt=str(given["salt"]),
                content=given,
            )
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise LedgerCorrupt("the evidence of a release cannot be read: run expunge doctor") from error


def json_number(value: float) -> float | str:
    """``value`` for JSON, which has no infinity; it becomes the text ``"inf"``."""
    return "inf" if math.isinf(value) else value

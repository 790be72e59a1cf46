"""A model of the workspace: which column it predicts, how, and under which promise; and how rows become its rows."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expunge.data.schema import FeatureSchema, codes_of, label
from expunge.data.table import ROW, SubjectTable
from expunge.errors import InvalidRows
from expunge.linear_model import (
    GammaRegressor,
    LogisticRegression,
    PoissonRegressor,
    PseudoHuberRegressor,
    Ridge,
    TweedieRegressor,
)
from expunge.linear_model.base import UnlearningModel
from expunge.objective import Objective
from expunge.privacy import sigma_from_excess_risk
from expunge.rows import Rows, RowSource
from expunge.settings import Settings

Kind = Literal["logistic", "ridge", "pseudo-huber", "poisson", "gamma", "tweedie"]
KINDS: dict[Kind, type[UnlearningModel]] = dict(
    zip(
        get_args(Kind),
        (LogisticRegression, Ridge, PseudoHuberRegressor, PoissonRegressor, GammaRegressor, TweedieRegressor),
        strict=True,
    )
)
CLASSES = 100
"""More different targets than this are no classes."""
TWEEDIE_POWER = 1.5
"""Variance power of the ``tweedie`` kind: between Poisson's counts and Gamma's amounts, as for insurance claims."""
IN_MEMORY = 1 << 30
"""Bytes of encoded rows up to which they are kept between passes."""


@dataclass(frozen=True)
class Specification:
    """What is fixed about a model before any row is seen, and the classes found at its fit.

    Args:
        kind: the estimator.
        target: column it predicts.
        penalty: ``C`` of a classifier, ``alpha`` of a regression.
        epsilon, delta, sigma: the promise and its noise.
        schema: the feature schema as TOML, the target left out.
        classes: labels of a classifier, else none.
    """

    kind: Kind
    target: str
    penalty: float
    epsilon: float
    delta: float
    sigma: float
    schema: str
    classes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        table: SubjectTable,
        schema: FeatureSchema,
        *,
        kind: Kind,
        target: str,
        penalty: float,
        epsilon: float,
        delta: float,
        sigma: float | None,
        excess_risk: float,
    ) -> "Specification":
        """The specification of a new model; σ comes from ``excess_risk`` and the declared row norm where it is not given.

        Raises:
            InvalidRows: an unknown target, or one with a single class or with too many.
            ValueError: an unknown kind, or a loss for which no σ follows from an excess risk.
        """
        if kind not in KINDS:
            raise ValueError(f"model must be one of {', '.join(KINDS)}, got {kind!r}")
        if target not in table.columns.names:
            raise InvalidRows(f"the table has no column {target!r} to predict: it has {', '.join(table.columns.names)}")
        features = {name: column for name, column in schema.columns.items() if name != target}
        if not features:
            raise InvalidRows("the schema declares no column beside the target: declare at least one")
        schema = FeatureSchema(features, schema.normalise)
        missing = [name for name in features if name not in table.columns.names]
        if missing:
            raise InvalidRows(f"the schema declares column {missing[0]!r}, which the table does not have: mend schema.toml")
        classes: tuple[str, ...] = ()
        if kind == "logistic":
            values = table.distinct(target, CLASSES + 1)
            if len(values) < 2:
                raise InvalidRows(f"column {target!r} holds {len(values)} class: a classifier needs at least 2")
            if len(values) > CLASSES:
                raise InvalidRows(f"column {target!r} holds over {CLASSES} different values: choose a regression")
            classes = tuple(str(label(value)) for value in values)
        draft = cls(kind, target, penalty, epsilon, delta, 0.0 if sigma is None else sigma, schema.to_toml(), classes)
        if sigma is not None:
            return draft
        loss = draft.objective.loss
        row_norm = (schema.row_norm**2 + draft.estimator.fit_intercept) ** 0.5
        try:
            sigma = sigma_from_excess_risk(excess_risk, loss.curvature_bound, row_norm)
        except ValueError as error:
            raise ValueError(f"no noise follows from an excess risk for {kind} ({error}): give --sigma") from error
        return cls(**{**asdict(draft), "sigma": sigma})

    @classmethod
    def from_json(cls, text: str) -> "Specification":
        """The specification that ``to_json`` wrote."""
        given = json.loads(text)
        return cls(**{**given, "classes": tuple(given["classes"])})

    def to_json(self) -> str:
        """All of it, as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @cached_property
    def features(self) -> FeatureSchema:
        """How rows become features."""
        return FeatureSchema.from_toml(self.schema)

    @property
    def columns(self) -> list[str]:
        """Columns of the table that it reads."""
        return [*self.features.columns, self.target]

    @property
    def estimator(self) -> UnlearningModel:
        """The estimator, unfitted, knowing its classes."""
        strength = {"C" if self.kind == "logistic" else "alpha": self.penalty}
        power = {"power": TWEEDIE_POWER} if self.kind == "tweedie" else {}
        made = KINDS[self.kind](epsilon=self.epsilon, delta=self.delta, sigma=self.sigma, **strength, **power)
        if self.classes:
            made.classes_ = np.array(self.classes)
        return made

    @property
    def objective(self) -> Objective:
        """What is minimised."""
        return self.estimator.objective(len(self.features.feature_names))

    @property
    def settings(self) -> Settings:
        """Guarantee and noise."""
        return self.estimator.settings()

    def rows(self, table: pa.Table) -> Rows:
        """The rows of ``table`` that have a target, encoded; their ids are their numbers in the table.

        Raises:
            InvalidRows: a target that is no class or no number; names the row.
        """
        table = table.filter(pc.is_valid(table[self.target]))
        ids = table[ROW].to_pylist()
        target = table[self.target]
        if self.classes:
            y = codes_of(target, self.classes).astype(np.float64)
            if (y < 0).any():
                row = ids[int(np.argmax(y < 0))]
                raise InvalidRows(
                    f"row {row} has a {self.target} that the model has not learned as a class: it knows "
                    f"{', '.join(self.classes)}"
                )
        else:
            try:
                y = np.asarray(target.cast(pa.float64()), dtype=np.float64)
            except pa.ArrowInvalid as error:
                raise InvalidRows(f"column {self.target!r} is not numeric: a regression cannot predict it") from error
        return Rows.of(self.features.encode(table).X, y, ids=ids)

    def source(self, parts: Callable[[], Iterator[pa.Table]]) -> "EncodedRows":
        """All rows in the tables that ``parts`` yields, encoded when they are needed."""
        return EncodedRows(self, parts)


class EncodedRows:
    """Rows encoded as they are read; from the second reading on from memory, if they fit."""

    def __init__(self, specification: Specification, parts: Callable[[], Iterator[pa.Table]]) -> None:
        self._specification = specification
        self._parts = parts
        self._kept: Rows | None = None

    def gathered(self) -> RowSource:
        """The same rows in one block, if they fit."""
        for _ in self.batches():
            pass
        return self if self._kept is None else self._kept

    def batches(self) -> Iterator[Rows]:
        """The rows in blocks."""
        if self._kept is not None:
            yield from self._kept.batches()
            return
        seen: list[Rows] | None = []
        size = 0
        for part in self._parts():
            rows = self._specification.rows(part)
            if not len(rows):
                continue
            size += rows.X.nbytes
            if seen is not None:
                seen = [*seen, rows] if size <= IN_MEMORY else None
            yield rows
        if seen:
            self._kept = _joined(seen)


def _joined(parts: Sequence[Rows]) -> Rows:
    return Rows(np.concatenate([part.X for part in parts]), np.concatenate([part.y for part in parts]))

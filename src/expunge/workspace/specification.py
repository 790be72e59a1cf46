"""A model of the workspace: which column it predicts, how, and under which promise; and how rows become its rows."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from expunge.data.drafting import short
from expunge.data.encoding import Category, Encoding, Number, OrderedCategory
from expunge.data.encoding.indicator import plain
from expunge.data.files import NOTHING, Change
from expunge.data.hold_out import HoldOut, left_out
from expunge.data.own_columns import ROW
from expunge.data.schema import FeatureSchema
from expunge.data.sources import EncodedPart, TableSource, columns_read, first_rows
from expunge.data.table import SubjectTable
from expunge.data.table_columns import TableColumns
from expunge.errors import InvalidRows, LastRows
from expunge.evidence.statements import SCHEMA_PRIVACY
from expunge.problem.expansion import Expansion, Thresholds, TimesAtRisk
from expunge.problem.objective import Objective
from expunge.problem.parameters import real
from expunge.problem.rows import Rows
from expunge.unlearning.cost import Undeclared, affordable_sigma, largest_null_loss
from expunge.unlearning.rung import NoiseKind
from expunge.unlearning.settings import EXCESS_RISK, Order, Settings
from expunge.unlearning.shape import NOISE_FLOOR
from expunge.workspace.classes import classes_of
from expunge.workspace.model_kinds import TWEEDIE_POWER, ModelKind

if TYPE_CHECKING:  # it brings scikit-learn, a second's work, which a fit needs and neither the desk nor the worker
    from expunge.linear_model.base import UnlearningModel


@dataclass(frozen=True)
class Specification:
    """What is fixed about a model before any row is seen, and the classes found when it is fitted.

    Args:
        kind: the estimator.
        target: the column that it predicts.
        penalty: ``C`` of a classifier, ``alpha`` of a regression.
        epsilon: epsilon of the promise, in nats.
        delta: delta of the promise, a probability.
        sigma: scale of isotropic noise; ``None`` for shaped noise, whose amount ``excess_risk`` determines.
        schema: the feature schema as TOML, without the target.
        classes: labels of a classifier; empty for other models.
        declared_classes: whether a person declared the classes.
        refit_days: days between scheduled refits, as in workspace.toml.
        refit_requests: releases between them; 0 for no such limit.
        noise: ``isotropic`` or ``shaped``.
        excess_risk: what shaped noise may cost, as asked for.
        risk_unit: the loss of which ``excess_risk`` is a share (theory §5.3).
        noise_floor: floor of shaped noise.
        order: order of the statistics; see ``Settings``.
        parameters: those that the kind alone has, by name.
        class_weight: what the rows of a class count, by label; 1 where nothing is said.
        exposure: the column of exposures; ``None`` for none.
        offset: the column that is added to the linear predictor as it is; ``None`` for none.
        event: the column that says whether the event came, for survival; ``None`` for others.
        intervals: ends of the intervals of survival but the last.
    """

    kind: ModelKind
    target: str
    penalty: float
    epsilon: float
    delta: float
    sigma: float | None
    schema: str
    classes: tuple[str, ...] = ()
    refit_days: int = 30
    refit_requests: int = 0
    declared_classes: bool = False
    noise: str = NoiseKind.ISOTROPIC.value
    excess_risk: float | None = None
    risk_unit: float = 1.0
    noise_floor: float = NOISE_FLOOR
    order: Order = "auto"
    parameters: Mapping[str, float] = field(default_factory=dict)
    class_weight: Mapping[str, float] = field(default_factory=dict)
    exposure: str | None = None
    event: str | None = None
    intervals: tuple[float, ...] = ()
    offset: str | None = None

    @classmethod
    def of(
        cls,
        table: SubjectTable,
        schema: FeatureSchema,
        *,
        kind: str,
        target: str,
        penalty: float,
        epsilon: float,
        delta: float,
        sigma: float | None,
        noise: str,
        excess_risk: float | None,
        noise_floor: float,
        order: Order,
        refit_days: int,
        refit_requests: int,
        without: Collection[str] = (),
        parameters: Mapping[str, float] = MappingProxyType({}),
        class_weight: Mapping[str, float] = MappingProxyType({}),
        exposure: str | None = None,
        offset: str | None = None,
        event: str | None = None,
        intervals: Sequence[float] = (),
    ) -> "Specification":
        """The specification of a new model. Where no sigma is given, the amount of noise follows from ``excess_risk`` and the
        declarations of the schema.

        Args:
            noise: ``auto``, ``shaped`` or ``isotropic``.
            without: pseudonyms of people whose rows in the table are left out.
            parameters: those that the kind alone has, by name.
            class_weight: what the rows of a class count, by label.
            exposure: the column of exposures.
            offset: the column that is added to the linear predictor as it is.
            event: the column that says whether the event came, for survival.
            intervals: ends of the intervals of survival but the last.

        Raises:
            InvalidRows: an unknown target, or one with too many or with undeclared classes; or fewer than ten people share
                something that was taken from the rows.
            LastRows: nobody has a target, or all have the same class.
            ValueError: an unknown kind or order, noise parameters that exclude each other, or no range declared for a
                target whose loss needs one.
        """
        if kind not in tuple(ModelKind):
            raise ValueError(f"model must be one of {', '.join(ModelKind)}, got {kind!r}")
        kind = ModelKind(kind)
        if foreign := sorted(set(parameters) - set(kind.parameters)):
            raise ValueError(f"a model of kind {kind} has no {foreign[0]}: leave it out")
        if target not in table.columns.names:
            raise InvalidRows(f"the table has no column {target!r} to predict: it has {', '.join(table.columns.names)}")
        if (event is not None) != (kind == ModelKind.SURVIVAL) or (intervals and kind != ModelKind.SURVIVAL):
            raise ValueError(
                "event is needed for a model of kind survival, the target being the time, and it and intervals for no other"
            )
        for name, of in ((exposure, "exposures"), (offset, "offsets"), (event, "events")):
            if name is not None and name not in table.columns.names:
                raise InvalidRows(f"the table has no column {name!r} of {of}: it has {', '.join(table.columns.names)}")
        features = {name: column for name, column in schema.columns.items() if name not in (target, exposure, offset, event)}
        if not features:
            raise InvalidRows("the schema declares no column beside the target: declare at least one")
        columns, schema = schema.columns, schema.with_columns(features)
        missing = [name for name in features if name not in table.columns.names]
        if missing:
            raise InvalidRows(f"the schema declares column {missing[0]!r}, which the table does not have: correct schema.toml")
        if not table.count(target, without):
            raise LastRows(f"there is no row with a {target} to learn from: add some with expunge append")
        classes: tuple[str, ...] = ()
        declared = plain(columns[target]) if target in columns else None
        if kind.is_classifier:
            classes = classes_of(table, target, declared, without)
        if kind == ModelKind.ORDINAL:
            if not isinstance(declared, OrderedCategory):
                raise InvalidRows(
                    f"a model of kind {kind} needs the order of its classes: declare column {target!r} in schema.toml as an "
                    "ordered category, with the values from the lowest to the highest"
                )
            classes = declared.values
        if kind == ModelKind.HINGE and len(classes) > 2:
            raise InvalidRows(
                f"column {target!r} has {len(classes)} classes, and a model of kind {kind} knows two: choose --model logistic"
            )
        is_declared = isinstance(declared, Category | OrderedCategory) and not schema.draft
        promise = kind, target, penalty, epsilon, delta, sigma, schema.to_toml()
        draft = cls(*promise, classes, refit_days, refit_requests, is_declared, noise, excess_risk)
        draft = replace(draft, noise_floor=noise_floor, order=order, parameters=dict(parameters), event=event)
        draft = replace(draft, class_weight=dict(class_weight), exposure=exposure, offset=offset, intervals=tuple(intervals))
        draft.require_possible()
        draft.require_shared(table, without)
        target_range = (declared.low, declared.high) if isinstance(declared, Number) else None
        try:
            return draft._with_noise(target_range)
        except Undeclared as error:
            raise ValueError(
                f"an excess risk does not determine the noise of {kind} ({error}): declare column {target!r} as a number "
                "with its range in schema.toml, or give --sigma"
            ) from error

    def _with_noise(self, target_range: tuple[float, float] | None) -> "Specification":
        """The same specification with the kind and the amount of noise decided.

        Raises:
            Undeclared: something must be declared before an excess risk determines the noise.
            ValueError: parameters that exclude each other.
        """
        estimator, width, loss = self.estimator, self._width, self.objective.loss
        risk = EXCESS_RISK if self.excess_risk is None else real("excess_risk", self.excess_risk)
        if self.sigma is None and risk == 0:
            return replace(self, noise=NoiseKind.ISOTROPIC.value, sigma=0.0, excess_risk=None)
        if self.sigma is None and estimator.noise_for(width) is NoiseKind.SHAPED:
            is_share = not loss.classes and math.isfinite(loss.curvature_bound)
            unit = largest_null_loss(loss, target_range) if is_share else 1.0
            decided = replace(self, noise=NoiseKind.SHAPED.value, excess_risk=risk, risk_unit=unit)
        elif self.sigma is None:
            sigma = affordable_sigma(
                loss,
                fit_intercept=estimator.fit_intercept,
                excess_risk=risk,
                row_norm=math.hypot(self.features.row_norm, estimator.fit_intercept, self.expansion is not None),
                target_range=target_range,
            )
            decided = replace(self, noise=NoiseKind.ISOTROPIC.value, sigma=sigma, excess_risk=None)
        else:
            decided = replace(self, noise=estimator.noise_for(width).value)
        decided.settings.check(decided.objective)
        return decided

    @classmethod
    def from_json(cls, text: str) -> "Specification":
        """The specification that ``to_json`` wrote."""
        given = json.loads(text)
        kind, classes, intervals = ModelKind(given["kind"]), tuple(given["classes"]), tuple(given.get("intervals", ()))
        return cls(**{**given, "kind": kind, "classes": classes, "intervals": intervals})

    def to_json(self) -> str:
        """All fields, as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @cached_property
    def features(self) -> FeatureSchema:
        """How rows become features."""
        return FeatureSchema.from_toml(self.schema)

    @property
    def privacy(self) -> dict[str, dict[str, float]]:
        """What certificates say of a schema that was proposed privately (theory §5.9); nothing of others."""
        private = self.features.private
        return {} if private is None else {SCHEMA_PRIVACY: asdict(private)}

    @property
    def taken(self) -> dict[str, Encoding]:
        """The columns taken from the rows rather than declared from knowledge, including the target with its classes."""
        classes = {self.target: Category(self.classes)} if self.classes and not self.declared_classes else {}
        return {**(self.features.columns if self.features.draft else {}), **classes}

    def require_possible(self) -> None:
        """Raises ``ValueError`` if classes are weighed that there are not, or exposures or offsets are given to a loss that
        takes none."""
        if self.class_weight and not self.classes:
            raise ValueError(f"a model of kind {self.kind} has no classes to weigh: leave class_weight out")
        if self.classes:
            self.estimator.weights_of_classes()
        if self.exposure is not None and self.offset is not None:
            raise ValueError("an exposure is an offset itself, its logarithm: give one of them, or add them up in one column")
        if self.exposure is not None and self.kind != ModelKind.NEGATIVE_BINOMIAL:
            self.objective.loss.over_exposure(np.ones(1), np.ones(1))
        _ = self.objective  # which refuses an offset where there is no single predictor

    def require_shared(self, table: SubjectTable, without: Collection[str] = ()) -> None:
        """Raises ``InvalidRows`` if fewer than ten people share something taken from the rows, not counting ``without``."""
        found = {name: lacking.values for (name, _column), lacking in short(table, self.taken.items(), without).items()}
        if few := found.pop(self.target, 0):
            raise InvalidRows(
                f"{few} of the classes in column {self.target!r} have fewer than ten people, whom every copy of the model "
                "would reveal: merge these classes with others, leave out their rows, or declare the column in schema.toml as "
                "a category with the classes that you know exist, in a schema without draft = true"
            )
        if found:
            raise InvalidRows(
                f"schema.toml is a draft, and fewer than ten people share {sum(found.values())} of its values and ends "
                f"of ranges (columns {', '.join(found)}): take them out, or delete draft = true if you know all of it"
            )

    @property
    def estimator(self) -> "UnlearningModel":
        """The estimator, not yet fitted, with its classes known."""
        from expunge import linear_model

        made: UnlearningModel = getattr(linear_model, self.kind.estimator)(
            epsilon=self.epsilon,
            delta=self.delta,
            sigma=self.sigma,
            noise=self.noise,
            excess_risk=None if self.excess_risk is None else self.excess_risk * self.risk_unit,
            noise_floor=self.noise_floor,
            order=self.order,
            refit_days=self.refit_days,
            refit_requests=self.refit_requests or None,
            track_rows=True,
        )
        made.set_params(offset=self._offset is not None)
        strength = {"C" if self.kind.is_classifier else "alpha": self.penalty}
        made.set_params(**strength, **self.parameters, **({"power": TWEEDIE_POWER} if self.kind == ModelKind.TWEEDIE else {}))
        if self.class_weight:
            made.set_params(class_weight=self.class_weight)
        if self.kind == ModelKind.SURVIVAL:
            made.set_params(intervals=self.intervals)
        if self.classes:
            made.classes_ = np.array(self.classes)
        return made

    @property
    def expansion(self) -> Expansion | None:
        """How each row of the table becomes several; ``None`` where it stays one."""
        if self.kind == ModelKind.ORDINAL:
            return Thresholds(len(self.classes))
        return TimesAtRisk(self.intervals) if self.kind == ModelKind.SURVIVAL else None

    @property
    def objective(self) -> Objective:
        """The objective that is minimised."""
        return self.estimator.objective(self._width)

    @property
    def settings(self) -> Settings:
        """The settings of guarantee and noise."""
        return self.estimator.settings(self._width)

    @property
    def _offset(self) -> tuple[str, bool] | None:
        """The column of offsets, and whether it holds exposures, for which this loss has no other targets and weights."""
        if self.exposure is not None and self.kind == ModelKind.NEGATIVE_BINOMIAL:
            return self.exposure, True
        return None if self.offset is None else (self.offset, False)

    @property
    def _width(self) -> int:
        """Width of a row, an offset counted."""
        return len(self.features.feature_names) + (self._offset is not None)

    @property
    def table_columns(self) -> TableColumns:
        """How the table's columns become its rows."""
        exposure = None if self.exposure is None or self._offset is not None else (self.exposure, self.objective.loss)
        weights = tuple(self.class_weight.get(label, 1.0) for label in self.classes) if self.class_weight else ()
        columns = TableColumns(self.features, self.target, self.classes, class_weights=weights, exposure=exposure)
        return replace(columns, offset=self._offset, event=self.event, expansion=self.expansion)

    def rows(self, table: pa.Table) -> Rows:
        """The rows of ``table`` that have a target, encoded; their ids are their numbers in the table.

        Raises:
            InvalidRows: a target is not a class or a number; the message names the row.
        """
        return self.table_columns.rows(table, table[ROW].to_pylist())

    def own_rows(self, table: pa.Table) -> Rows:
        """The same before any is expanded: as many as there are in the table.

        Raises:
            InvalidRows: as of ``rows``.
        """
        return replace(self.table_columns, expansion=None).rows(table, table[ROW].to_pylist())

    def source(
        self,
        table: SubjectTable,
        without: Collection[str] = (),
        change: Change = NOTHING,
        *,
        holds_out: bool = False,
    ) -> TableSource:
        """All rows that ``table`` holds after ``change``, in the order in which a fit would read them.

        Args:
            without: pseudonyms of people whose rows are left out though the table still has them.
            holds_out: whether the people of the hold-out are left out too.
        """
        columns, gone = self.table_columns, left_out(without)
        people = HoldOut(is_held_out=False, gone=gone) if holds_out else gone
        read = columns_read(columns, people)
        return TableSource(lambda: [EncodedPart(group, columns, people) for group in table.row_groups(read, change)])

    def total_weight(self, table: SubjectTable, without: Collection[str] = ()) -> float:
        """How many rows the model learns from ``table``; where rows have weights or are expanded, the weight of all it learns;
        without the people in ``without``."""
        if not self.class_weight and self.exposure is None and self.expansion is None:
            return table.count(self.target, without)
        return math.fsum(float(rows.weight.sum()) for rows in self.source(table, without).batches())

    def sample(self, table: SubjectTable, n_rows: int, without: Collection[str] = ()) -> Rows:
        """The first ``n_rows`` that ``table`` holds or a few more, but for those of the people in ``without``; no more of its
        files are read than hold these.

        Raises:
            InvalidRows: no row has a target.
        """
        columns, gone = self.table_columns, left_out(without)
        read = columns_read(columns, gone)

        def found() -> Rows:
            return first_rows((EncodedPart(group, columns, gone) for group in table.first_row_groups(read)), n_rows)

        return table.settled(found)

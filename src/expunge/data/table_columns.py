"""How the columns of a table become rows: features, targets, weights, offsets, and what each row is expanded to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from expunge.data.columns import Unfit, codes_of, column_names, column_values, numbers_of
from expunge.data.encoding import Category, OrderedCategory
from expunge.data.schema import FeatureSchema
from expunge.errors import InvalidRows
from expunge.problem.arrays import LARGEST, SMALLEST
from expunge.problem.expansion import Expansion
from expunge.problem.losses import Loss
from expunge.problem.rows import Places, Rows
from expunge.problem.split import SplitMatrix, pays

Array = NDArray[Any]

FARTHEST = 1e6
"""A larger offset is a mistake: no linear predictor that is added to it would change the prediction."""


@dataclass(frozen=True)
class TableColumns:
    """How the columns of a table become rows; rows without a target are left out.

    Args:
        features: a schema, or the names of numeric columns (float32 if all of them are).
        target: column of the targets.
        classes: labels of a classifier in the order of their codes; none for regression, or if the target holds codes.
        sample_weight: column of the weights.
        class_weights: what the rows of each class count beside; 1 each by default.
        exposure: column of the exposures, and the loss that takes them; none by default.
        offset: column of the offsets, which become the last column of the rows, and whether it holds exposures, of which they
            are the logarithms; none by default, and none of rows that are expanded.
        event: column that says whether the event came at the time that is the target (1), or had not come by then (0).
        expansion: how each row becomes several; not at all by default.
    """

    features: FeatureSchema | Sequence[str]
    target: str
    classes: tuple[str, ...] = ()
    sample_weight: str | None = None
    class_weights: tuple[float, ...] = ()
    exposure: tuple[str, Loss] | None = None
    offset: tuple[str, bool] | None = None
    event: str | None = None
    expansion: Expansion | None = None

    @property
    def columns(self) -> list[str]:
        """Columns that are read."""
        return [*(self.features.columns if isinstance(self.features, FeatureSchema) else self.features), *self.target_columns]

    @property
    def looked_up(self) -> list[str]:
        """Columns of which nothing matters but which of the declared values each row has."""
        declared = self.features.columns if isinstance(self.features, FeatureSchema) else {}
        features = [name for name, encoding in declared.items() if isinstance(encoding, Category | OrderedCategory)]
        return [*features, *([self.target] if self.classes else [])]

    @property
    def target_columns(self) -> list[str]:
        """Those of which targets, weights and offsets are made."""
        exposure, offset = (None if each is None else each[0] for each in (self.exposure, self.offset))
        return [self.target, *(name for name in (self.sample_weight, exposure, offset, self.event) if name is not None)]

    def rows(self, table: pa.Table, ids: Sequence[object]) -> Rows:
        """The rows of ``table``, encoded.

        Args:
            table: rows with at least these columns.
            ids: names of the table's rows, for the errors; a NumPy array, a list or ``Places``.

        Raises:
            InvalidRows: a value is not a number, is NaN, or is not a class of the target; the message names the row.
        """
        has_target = np.asarray(pc.is_valid(table[self.target]))
        if not has_target.all():
            table = table.filter(pa.array(has_target))
            ids = ids.at(has_target) if isinstance(ids, Places) else [ids[int(i)] for i in np.flatnonzero(has_target)]
        bare = self.bare(table, ids)
        features = self._features(table, bare, ids)
        return features if self.offset is None else replace(features, X=with_offset(features.X, bare.X[:, -1]))

    def _features(self, table: pa.Table, bare: Rows, ids: Sequence[object]) -> Rows:
        """The rows, expanded, but without offsets."""
        y, weight = bare.y, bare.sample_weight
        if isinstance(self.features, FeatureSchema):
            schema, thin = self.features, self.features.thin if self.features.is_sparse else None
            n_blocks = len(schema.groups) - (0 if thin is None else len(thin))
            is_split = pays(n_blocks, len(schema.feature_names))  # by the schema alone: all parts have the same blocks
            if is_split and self.expansion is None and thin is None:
                return Rows.of(schema.encode_in_blocks(table, ids).X, y, weight, ids)
            rows = Rows.of(schema.encode(table, ids).X, y, weight, ids)
            if self.expansion is not None:
                return self.expansion.rows(rows)
            return replace(rows, X=SplitMatrix.of(rows.X, schema.groups, schema.alike, thin)) if is_split else rows
        columns = [self._numbers(table, name, ids) for name in self.features]
        X = np.stack(columns).T  # column by column, as they are stored
        rows = Rows.of(X, y, weight, ids)
        return rows if self.expansion is None else self.expansion.rows(rows)

    def bare(self, table: pa.Table, ids: Sequence[object]) -> Rows:
        """Rows that all have a target without their features, before they are expanded: targets, weights, and of columns the
        offset alone.

        Args:
            table: rows with at least the columns that these are made of.
            ids: names of the table's rows, for the errors.

        Raises:
            InvalidRows: as of ``rows``.
        """
        if self.classes:
            y = codes_of(table[self.target], self.classes).astype(np.float64)
            if (y < 0).any():
                raise InvalidRows(
                    f"row {ids[int(np.argmax(y < 0))]} has a {self.target} that is not a class of the model: it knows "
                    f"{', '.join(self.classes)}"
                )
        else:
            y = self._numbers(table, self.target, ids)
        y, weight = self._weighted(table, y, ids)
        y = y if self.event is None else self._until(table, y, self.event, ids)
        X = np.zeros((len(y), 0)) if self.offset is None else self._offsets(table, *self.offset, ids)[:, None]
        return Rows(X, np.asarray(y, dtype=np.float64), None if weight is None else np.asarray(weight, dtype=np.float64))

    def _weighted(self, table: pa.Table, y: Array, ids: Sequence[object]) -> tuple[Array, Array | None]:
        """Targets and weights of the rows, with what classes and exposures make of them."""
        weight = None if self.sample_weight is None else self._numbers(table, self.sample_weight, ids)
        if self.class_weights:
            weight = np.array(self.class_weights)[y.astype(np.intp)] * (1.0 if weight is None else weight)
        if self.exposure is not None:
            name, loss = self.exposure
            y, beside = loss.over_exposure(np.asarray(y, dtype=np.float64), self._exposures(table, name, ids))
            weight = beside if weight is None else weight * beside
        return y, weight

    def _exposures(self, table: pa.Table, name: str, ids: Sequence[object]) -> Array:
        exposure = np.asarray(self._numbers(table, name, ids), dtype=np.float64)
        bad = ~((exposure >= SMALLEST) & (exposure <= LARGEST))
        if bad.any():
            row = int(np.argmax(bad))
            raise InvalidRows(
                f"row {ids[row]} has {_shown(exposure[row])} in column {name!r}, the exposure: it must be a number above 0 in "
                "every row that has a target"
            )
        return exposure

    def _offsets(self, table: pa.Table, name: str, are_exposures: bool, ids: Sequence[object]) -> Array:
        """What is added to the linear predictor of each row, ``(n_rows,)``."""
        if are_exposures:
            return np.array([math.log(exposure) for exposure in self._exposures(table, name, ids)])
        return offsets_of(table, name, ids)

    def _until(self, table: pa.Table, times: Array, event: str, ids: Sequence[object]) -> Array:
        """Times, negative where the event had not come."""
        came = self._numbers(table, event, ids)
        bad = ~((times > 0) & ((came == 0) | (came == 1)))
        if bad.any():
            row = int(np.argmax(bad))
            raise InvalidRows(
                f"row {ids[row]} has the time {times[row]:g} in column {self.target!r} and {came[row]:g} in column {event!r}: "
                "a time must be above 0, and whether the event came 0 or 1"
            )
        return np.where(came == 1, times, -times)

    @staticmethod
    def _numbers(table: pa.Table, name: str, ids: Sequence[object]) -> NDArray[Any]:
        column = table[name]
        kind = column.type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
            at = f" (from row {ids[0]} on)" if len(ids) else ""
            raise InvalidRows(f"column {name!r} is not numeric{at}, it holds {kind}: cast it, or declare it in a schema")
        if column.null_count or not pa.types.is_floating(kind):
            column = column.cast(pa.float64())
        return np.asarray(column.to_numpy())


def with_offset(X: Any, offsets: Array) -> Any:
    """Features with the offsets as one column more, the last: dense, CSR, or in blocks, as they are.

    Args:
        X: features, ``(n_rows, n_features)``.
        offsets: what is added to the linear predictors, ``(n_rows,)``.
    """
    if isinstance(X, SplitMatrix):
        return X.with_last(offsets)
    column = offsets[:, None].astype(X.dtype)
    return sparse.hstack([X, column], format="csr") if sparse.issparse(X) else np.hstack([X, column])


def offsets_of(table: Any, name: str, ids: Sequence[object] | None = None) -> Array:
    """A column of offsets: what is added to the linear predictors, ``(n_rows,)``.

    Args:
        table: a pandas or Polars frame, a pyarrow table, or a mapping of column names to sequences.
        name: of the column.
        ids: names of the rows, for the error; by default their positions.

    Raises:
        InvalidRows: there is no such column, or a value is missing, no number, or too large to be added to anything; names the
            row.
    """
    if name not in column_names(table):
        raise InvalidRows(f"there is no column {name!r}, the offset of the model: give it with every row")
    try:
        offsets = numbers_of(column_values(table, name))
    except Unfit as error:
        row = error.row if ids is None else ids[error.row]
        raise InvalidRows(f"column {name!r}, the offset: row {row} is not a number: correct the row") from None
    bad = ~(np.abs(offsets) <= FARTHEST)
    if bad.any():
        row = int(np.argmax(bad))
        raise InvalidRows(
            f"row {row if ids is None else ids[row]} has {_shown(offsets[row])} in column {name!r}, the offset: it must be a "
            f"number from {-FARTHEST:g} to {FARTHEST:g} in every row"
        )
    return np.where(np.abs(offsets) < SMALLEST, 0.0, offsets)


def _shown(value: float) -> str:
    return "no value" if np.isnan(value) else f"{value:g}"

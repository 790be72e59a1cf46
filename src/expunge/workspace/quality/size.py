"""Sizes: how many parameters a model will have, and what memory and time its fit will take, told before it starts.

The rates are measured in this process, on rows of the table and on the model's own loss: how long a row takes to be read and
encoded, and how long in the sums of a Newton step. Of a softmax of many classes a few are measured, and the rest follows: the
sums grow with the square of the number of classes. The time is a guide, right to within a factor of two or three.
"""

import math
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expunge.data.own_columns import ROW
from expunge.data.sources import IN_MEMORY
from expunge.engine.threads import blas_threads
from expunge.numerics.statistics import Statistics
from expunge.numerics.tensor import packed_size
from expunge.problem.arrays import unsplit
from expunge.problem.losses import Softmax
from expunge.problem.rows import Rows
from expunge.unlearning.wide import ARRAYS, is_wide
from expunge.workspace.specification import Specification
from expunge.workspace.storage import Storage

PARAMETERS, CLASSES, BYTES, SECONDS = 2_000, 20, 2 << 30, 600.0
"""Above any of these ``expunge fit`` asks first."""
SAMPLE = 2_000
"""Rows that are read to measure."""
WORK = 2e9
"""Multiplications in a measurement, about."""
FEW = 4
"""Classes that are measured of many."""
PASSES, LINEAR_PASSES, FACTORS = 5.0, 2.0, 8.0
"""Passes over all rows and factorisations of a fit: Newton's method starts on every fourth row, so most steps see few rows. The
second is of a quadratic loss, which it minimises in one step."""


@dataclass(frozen=True)
class Size:
    """How large a model will be.

    Args:
        parameters: number of weights, p.
        features: number of features of a row of the table.
        classes: number of classes; 0 for a regression.
        rows: number of rows of the table that it will learn.
        bytes: memory that the fit takes, about: p × p arrays, third derivatives, and rows.
        seconds: time that the fit takes, about.
        expanded: number of rows that these become, about; ``None`` where each stays one.
        intercepts: of each predictor: one, or one for each cut-point or interval.
    """

    parameters: int
    features: int
    classes: int
    rows: int
    bytes: int
    seconds: float
    expanded: int | None = None
    intercepts: int = 1

    @property
    def excesses(self) -> list[str]:
        """What of it is above a size at which a person is asked."""
        limits = {
            f"{self.parameters:,} parameters (more than {PARAMETERS:,})": self.parameters > PARAMETERS,
            f"{self.classes} classes (more than {CLASSES})": self.classes > CLASSES,
            f"{_memory(self.bytes)} of memory (more than {_memory(BYTES)})": self.bytes > BYTES,
            f"{_duration(self.seconds)} (more than {_duration(SECONDS)})": self.seconds > SECONDS,
        }
        return [what for what, is_over in limits.items() if is_over]

    def __str__(self) -> str:
        classes = f" for {self.classes} classes" if self.classes > 2 else ""
        intercept = "an intercept" if self.intercepts == 1 else f"{self.intercepts} intercepts"
        expanded = "" if self.expanded is None else f", expanded to about {self.expanded:,}"
        return (
            f"{self.parameters:,} parameters: {self.features:,} features and {intercept}{classes}; {self.rows:,} rows"
            f"{expanded}; about {_memory(self.bytes)} of memory and {_duration(self.seconds)}"
        )

    @property
    def duration(self) -> str:
        """About how long a fit takes, in words."""
        return _duration(self.seconds)

    def as_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return asdict(self)


def size_of(storage: Storage, specification: Specification, without: Collection[str]) -> Size:
    """The size of a model that is about to be fitted.

    Args:
        specification: of the model.
        without: people who are left out, because they asked to be forgotten.

    Raises:
        InvalidRows: a row that cannot be encoded.
    """
    objective, settings = specification.objective, specification.settings
    n_rows = storage.table.count(specification.target, without)
    began = time.perf_counter()
    n_read, sample = storage.table.settled(lambda: _sample(storage, specification, without))
    n_made = n_rows * len(sample) / n_read
    read = (time.perf_counter() - began) / len(sample)
    p, has_hessian = objective.n_parameters, not is_wide(objective, settings.memory_budget)
    third = 8 * objective.loss.outputs * packed_size(p) if settings.order_for(objective) == 3 and has_hessian else 0
    kept = min(IN_MEMORY, n_made * _bytes(sample) / len(sample))
    sums, factor = (_sums_rate(specification, sample), _factor_rate(p)) if has_hessian else (read, 0.0)
    passes = PASSES if objective.loss.self_concordance > 0 else LINEAR_PASSES
    seconds = n_made * (2.0 * read + passes * sums / blas_threads()) + FACTORS * factor
    n_bytes = int((8 * ARRAYS * p**2 if has_hessian else 8 * ARRAYS * p) + third + kept)
    expanded, levels = (None, 1) if specification.expansion is None else (round(n_made), specification.expansion.n_levels)
    n_features = len(specification.features.feature_names)
    return Size(p, n_features, len(specification.classes), n_rows, n_bytes, seconds, expanded, levels)


def _sample(storage: Storage, specification: Specification, without: Collection[str]) -> tuple[int, Rows]:
    """How many rows the first buckets have, and these encoded."""
    kept: list[pa.Table] = []
    for read in storage.table.by_bucket(without):
        _people, rows = read([ROW, *specification.table_columns.columns])
        kept.append(rows.filter(pc.is_valid(rows[specification.target])))
        if sum(map(len, kept)) >= SAMPLE:
            break
    return sum(map(len, kept)), specification.rows(pa.concat_tables(kept))


def _sums_rate(specification: Specification, sample: Rows) -> float:
    """Seconds that a row takes in the sums of a Newton step."""
    objective, loss = specification.objective, specification.objective.loss
    scale = 1.0
    if isinstance(loss, Softmax) and loss.classes > FEW:
        scale = (loss.classes / FEW) ** 2
        objective = replace(objective, loss=Softmax(FEW))
        sample = replace(sample, y=np.mod(sample.y, FEW))
    rows = sample.take(slice(0, max(64, int(WORK / objective.n_parameters**2))))
    weights = np.zeros(objective.n_parameters)
    return scale * _seconds(lambda: Statistics.of(objective, rows, weights)) / len(rows)


def _factor_rate(p: int) -> float:
    """Seconds of a factorisation of a p × p matrix, from that of a smaller one."""
    small = min(p, 512)
    matrix = 2.0 * small * np.eye(small) + np.ones((small, small))
    return _seconds(lambda: np.linalg.cholesky(matrix)) * (p / small) ** 3


def _seconds(work: Callable[[], object]) -> float:
    """Of the quicker of two goes."""
    taken = []
    for _ in range(2):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


def _bytes(rows: Rows) -> int:
    X = unsplit(rows.X)
    return int(X.data.nbytes + X.indices.nbytes if hasattr(X, "indices") else X.nbytes)


def _memory(n_bytes: float) -> str:
    unit = min(4, max(1, int(math.log(max(n_bytes, 1.0), 1024))))
    return f"{n_bytes / 1024**unit:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[unit]}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3600:.1f} h"

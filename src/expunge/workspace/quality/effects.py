"""Effects of columns: what each adds to the linear predictor along its range, how far noise may have moved that, and how much
the model loses without it.

A contribution is a partial dependence: the column is set to one value in rows of people held out, the rows are encoded anew,
and the mean of the linear predictor is compared with that of the rows as they are. So crosses, random features and the norm of
the row are all in it. It is of the released weights; the band is where those without noise lie, at 95 %. The importance of a
column is how much the mean loss of people held out rises when the column's values are shuffled among them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from expunge.data.columns import label
from expunge.data.encoding import Category, Cyclic, Encoding, HashedCategory, Number, OrderedCategory
from expunge.data.encoding.indicator import plain
from expunge.data.own_columns import SUBJECT
from expunge.data.schema import FeatureSchema
from expunge.problem.arrays import unsplit
from expunge.problem.objective import Objective
from expunge.workspace.quality.held_out import LEAST, Trial

Array = NDArray[np.float64]

STEPS, BASE, SHUFFLED = 41, 100, 2_000
"""Values along a range; rows in which a column is set to each; and rows among which it is shuffled."""
MOST_VALUES, MOST_CLASSES = 30, 6
"""Categories shown of a column, and classes with a line of their own."""
MOST_HASHED = 20
"""Values shown of a column whose values are not declared."""
_MANY = {
    "hashed_text": "no curve: a text sets many features at once, and a single one means nothing by itself",
    "embedding": "no curve: the numbers of an embedding mean nothing one by one",
}
_MADE = {
    "cross": "no curve: it is in those of its columns, and its own would be a surface",
    "random_fourier": "no curve: it is in those of its columns, and single waves mean nothing by themselves",
}
"""Why there is no curve, by kind."""
MONDAY = datetime(2024, 1, 1)
SPANS = {"hour": (1, "%H:%M"), "day": (24, "%H:%M"), "week": (168, "%a"), "month": (744, "%d"), "year": (8784, "%b")}
"""Hours of each period from then on, and how a moment in it is shown."""
BAND = 1.96
"""Standard deviations of the noise that a band reaches to either side."""


@dataclass(frozen=True)
class Line:
    """The contribution to one linear predictor.

    Args:
        label: the class, or what is predicted.
        contributions: to the predictor, by value.
        bands: how far the noise may have moved them, to either side.
    """

    label: str
    contributions: tuple[float, ...]
    bands: tuple[float, ...]


@dataclass(frozen=True)
class Effect:
    """What a column does. Evidence: not for publication.

    Args:
        column: name of the column, or of what is made of several.
        importance: how much the mean loss rises when its values are shuffled; of what is made of several columns, its features.
        values: along its range; none where no curve is shown.
        is_range: whether the values are numbers in order, rather than categories.
        lines: one for each predictor that is shown.
        without: why no curve is shown, or which values have none; empty where all have.
    """

    column: str
    importance: float
    values: tuple[str, ...] = ()
    is_range: bool = False
    lines: tuple[Line, ...] = field(default=(), repr=False)
    without: str = ""


def effects(
    made: Trial,
    objective: Objective,
    released: Array,
    noise: Array,
    labels: Sequence[str],
) -> list[Effect]:
    """What each column does, and what is made of several, the most important first.

    Args:
        made: a trial, whose un-noised weights and people held out importance is measured by.
        objective: what was minimised.
        released: weights of the model's release, ``(p,)``.
        noise: noise of as many releases, ``(n_draws, p)``.
        labels: of the linear predictors.
    """
    features, importances, base = made.specification.features, _importances(made), made.held_out.table.slice(0, BASE)
    found = []
    for name, encoding in features.columns.items():
        declared = plain(encoding)
        values, shown, is_range = _values(declared)
        if isinstance(declared, HashedCategory):
            values = shown = _frequent(made, name)
        lines = _lines(features, objective, base, name, values, released, noise, labels) if values else ()
        found.append(Effect(name, importances[name], tuple(shown), is_range, lines, _without(declared, bool(values))))
    blocks = _importances_of_blocks(made)
    found += [Effect(name, blocks[name], without=_MADE[each.kind]) for name, each in features.features.items()]
    return sorted(found, key=lambda effect: -effect.importance)


def _importances(made: Trial) -> dict[str, float]:
    rows, rng, found = made.held_out.table.slice(0, SHUFFLED), np.random.default_rng(0), dict[str, float]()
    estimator = made.specification.estimator

    def loss(table: pa.Table) -> float:
        own = made.specification.own_rows(table)
        return float(np.average(estimator.judge(own).losses(made.noiseless), weights=own.weight))

    before = loss(rows)
    for name in made.specification.features.columns:
        column = rows[name].take(pa.array(rng.permutation(len(rows))))
        found[name] = loss(rows.set_column(rows.schema.get_field_index(name), name, column)) - before
    return found


def _importances_of_blocks(made: Trial) -> dict[str, float]:
    """Of what is made of several columns: its features are shuffled among the rows, as they are in encoded rows."""
    features, estimator = made.specification.features, made.specification.estimator
    if not features.features:
        return {}
    rows = made.specification.own_rows(made.held_out.table.slice(0, SHUFFLED))
    X: Any = unsplit(rows.X)
    order, found = np.random.default_rng(0).permutation(X.shape[0]), dict[str, float]()

    def loss(X: Any) -> float:
        return float(np.average(estimator.judge(replace(rows, X=X)).losses(made.noiseless), weights=rows.weight))

    before = loss(X)
    for name, (start, end) in features.places.items():
        parts = [X[:, :start], X[order][:, start:end], X[:, end:]]
        found[name] = loss(sparse.hstack(parts, format="csr") if sparse.issparse(X) else np.hstack(parts)) - before
    return found


def _frequent(made: Trial, name: str) -> list[str]:
    """The most frequent values of a column among people held out, each of at least ten people."""
    table = made.held_out.table
    people = pa.table({"value": [label(value) for value in table[name].to_pylist()], "who": table[SUBJECT]})
    counted = people.group_by("value").aggregate([("who", "count_distinct")]).to_pylist()
    shared = [each for each in counted if each["value"] is not None and each["who_count_distinct"] >= LEAST]
    return [each["value"] for each in sorted(shared, key=lambda each: (-each["who_count_distinct"], each["value"]))][
        :MOST_HASHED
    ]


def _without(encoding: Encoding, has_curve: bool) -> str:
    if isinstance(encoding, HashedCategory):
        rest = "the most frequent are shown, each of at least" if has_curve else "none has a curve, as none is of at least"
        return f"values are not declared: {rest} {LEAST} of the people held out"
    if isinstance(encoding, Category | OrderedCategory) and len(encoding.values) > MOST_VALUES:
        return f"the first {MOST_VALUES} of {len(encoding.values):,} values are shown"
    return "" if has_curve else _MANY[encoding.kind]


def _lines(
    features: FeatureSchema,
    objective: Objective,
    base: pa.Table,
    name: str,
    values: Sequence[Any],
    released: Array,
    noise: Array,
    labels: Sequence[str],
) -> tuple[Line, ...]:
    """The contribution of each value of a column to each predictor that is shown."""
    n = len(base)
    repeated = base.take(pa.array(np.tile(np.arange(n), len(values))))
    column = pa.array([value for value in values for _ in range(n)])
    repeated = repeated.set_column(repeated.schema.get_field_index(name), name, column)
    mean = sparse.kron(sparse.eye_array(len(values)), np.full((1, n), 1.0 / n), format="csr")
    moved: Any = mean @ features.encode(repeated).X
    here: Any = np.asarray(features.encode(base).X.mean(axis=0)).reshape(1, -1)
    moved = (moved.toarray() if sparse.issparse(moved) else np.asarray(moved)) - here  # the intercept is in both

    def contributed(weights: Array) -> Array:
        blocks = objective.coefficients(weights)[:, : moved.shape[1]]
        found = moved @ blocks.T
        return np.asarray(found - found.mean(axis=1, keepdims=True) if len(blocks) > 1 else found)

    values_of, drawn = contributed(released), np.array([contributed(each) for each in noise])
    bands = BAND * np.sqrt(np.mean(np.square(drawn), axis=0)) if len(drawn) else np.zeros_like(values_of)
    shown = np.sort(np.argsort(-np.abs(values_of).max(axis=0), kind="stable")[:MOST_CLASSES])
    return tuple(
        Line(labels[k] if len(labels) > 1 else labels[0], tuple(values_of[:, k].tolist()), tuple(bands[:, k].tolist()))
        for k in shown
    )


def _values(encoding: Encoding) -> tuple[list[Any], list[str], bool]:
    """Values along the range of a column, how they are shown, and whether they are in order; none where there are too many."""
    if isinstance(encoding, Number):
        along = encoding.along(STEPS)
        return along, [f"{value:.4g}" for value in along], True
    if isinstance(encoding, Category | OrderedCategory):
        values = list(encoding.values[:MOST_VALUES])
        return values, values, False
    if isinstance(encoding, Cyclic):
        named = [period for period in encoding.periods if isinstance(period, str)]
        if not named:
            along = np.linspace(0.0, max(float(period) for period in encoding.periods), STEPS).tolist()
            return along, [f"{value:.4g}" for value in along], True
        hours, form = max(SPANS[period] for period in named)
        moments = [MONDAY + timedelta(hours=hours * i / (STEPS - 1)) for i in range(STEPS)]
        return moments, [moment.strftime(form) for moment in moments], True
    return [], [], False

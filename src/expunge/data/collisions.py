"""Collisions: whether hashed values share features more often than a schema allows; checked before a fit, in all its rows."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expunge.data.columns import column_values
from expunge.data.encoding import Cross, HashedCategory, HashedText
from expunge.data.encoding.hashed import MOST, places
from expunge.data.encoding.indicator import plain
from expunge.data.schema import FeatureSchema
from expunge.errors import InvalidRows


@dataclass(frozen=True)
class Hashed:
    """Something hashed for which a schema limits how many of its values may share features.

    Args:
        name: its name in errors.
        columns: the columns that it reads.
        n_features: number of features into which it hashes.
        max_collisions: the largest share allowed.
        keys: returns what is hashed of each row of a table.
    """

    name: str
    columns: tuple[str, ...]
    n_features: int
    max_collisions: float
    keys: Callable[[Any], Iterator[tuple[int, list[str]]]]


def hashed_in(schema: FeatureSchema) -> list[Hashed]:
    """The hashed columns and crosses of a schema that limit this share.

    Args:
        schema: any schema.
    """
    found = []
    for name, declared in schema.columns.items():
        column = plain(declared)
        if isinstance(column, HashedCategory | HashedText) and column.max_collisions is not None:
            keys = _keys_of_column(name, column)
            found.append(Hashed(f"column {name!r}", (name,), column.n_features, column.max_collisions, keys))
    for name, cross in schema.features.items():
        if isinstance(cross, Cross) and cross.n_features is not None and cross.max_collisions is not None:
            keys = _keys_of_cross(schema, cross)
            found.append(Hashed(f"features {name!r}", cross.columns, cross.n_features, cross.max_collisions, keys))
    return found


def require_few_collisions(hashed: Sequence[Hashed], tables: Iterable[tuple[Any, Sequence[object]]]) -> None:
    """Raises ``InvalidRows`` if more of the different values than allowed share a feature with another value.

    Args:
        hashed: hashed parts of a schema.
        tables: parts of a table with the columns that these read, and the names of the rows of each part.
    """
    first: list[dict[str, object]] = [{} for _ in hashed]  # the row in which each different value comes first
    for table, names in tables:
        for each, seen in zip(hashed, first, strict=True):
            for row, keys in each.keys(table):
                for key in keys:
                    seen.setdefault(key, names[row])
    for each, seen in zip(hashed, first, strict=True):
        _require(each, seen)


def _require(hashed: Hashed, first: Mapping[str, object]) -> None:
    features = places(list(first), hashed.n_features)[0].tolist()
    counts = Counter(features)
    together = [row for row, feature in zip(first.values(), features, strict=True) if counts[feature] > 1]
    if not together or len(together) / len(first) <= hashed.max_collisions:
        return
    wanted = min(MOST, int(len(first) / max(hashed.max_collisions, len(first) / MOST)))
    raise InvalidRows(
        f"{hashed.name}: {len(together):,} of {len(first):,} different values share one of {hashed.n_features:,} features with "
        f"another, the first of them in row {together[0]}; that is more than max_collisions = {hashed.max_collisions:g}. Set "
        f"n_features to about {wanted}, or allow more"
    )


def _keys_of_column(name: str, column: HashedCategory | HashedText) -> Callable[[Any], Iterator[tuple[int, list[str]]]]:
    return lambda table: column.keys(column_values(table, name))


def _keys_of_cross(schema: FeatureSchema, cross: Cross) -> Callable[[Any], Iterator[tuple[int, list[str]]]]:
    made = cross.of(schema.columns)
    return lambda table: made.keys([schema.columns[name].encode(column_values(table, name)) for name in cross.columns])

"""Oddities: values that a schema does not foresee, counted by column; for whoever brings the rows, and nobody else."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expunge.data.schema import FeatureSchema
from expunge.errors import InvalidRows

LEAST = 6
"""Fewer undeclared values of a column never stop a command."""


@dataclass(frozen=True)
class Odd:
    """How many values of a column are outside the declared range or categories, and how many are missing, of how many."""

    undeclared: int = 0
    missing: int = 0
    rows: int = 0

    @property
    def percent(self) -> float:
        """The share of values that are undeclared, in percent."""
        return 100.0 * self.undeclared / self.rows if self.rows else 0.0


def odd_values(tables: Iterable[tuple[Any, Sequence[object]]], schemas: Collection[FeatureSchema]) -> dict[str, Odd]:
    """By column that a schema declares, what is odd in it; where schemas differ, by the one for which most is undeclared.

    Args:
        tables: parts of a table, as ``FeatureSchema.encode`` takes them, and what their rows are called.

    Raises:
        InvalidRows: a column is missing, or a value cannot be what its column is declared as.
    """
    found = [dict[str, Odd]() for _ in schemas]
    for table, ids in tables:
        for schema, counts in zip(schemas, found, strict=True):
            encoded = schema.encode(table, ids)
            for name in schema.columns:
                before = counts.get(name, Odd())
                undeclared, missing = encoded.undeclared[name], encoded.missing[name]
                counts[name] = Odd(before.undeclared + undeclared, before.missing + missing, before.rows + encoded.X.shape[0])
    names = dict.fromkeys(name for counts in found for name in counts)
    return {name: max((c[name] for c in found if name in c), key=lambda odd: odd.undeclared) for name in names}


def require_declared(odd: Mapping[str, Odd], percent: int, usual: Callable[[], Mapping[str, Odd]] = dict) -> None:
    """Raises ``InvalidRows`` if much of a column is undeclared.

    Args:
        percent: of its values, above what is usual, that are much; fewer than ``LEAST`` values never are.
        usual: gives what was odd before, if that is asked for.
    """
    many = {name: found for name, found in odd.items() if found.undeclared >= LEAST and found.percent > percent}
    before = usual() if many else {}
    for name, found in many.items():
        if found.percent > percent + before.get(name, Odd()).percent:
            raise InvalidRows(
                f"column {name!r}: {found.undeclared:,} of {found.rows:,} values are outside what the schema declares, so that "
                "models see none of them as they are. Correct the values or the schema; or give --accept-undeclared if they "
                "are right. Nothing was changed"
            )

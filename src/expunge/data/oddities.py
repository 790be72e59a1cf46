"""Oddities: values outside a schema, counted by column; only for the person who brings the rows."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

from expunge.data.schema import Encoded, FeatureSchema
from expunge.errors import InvalidRows

LEAST = 6
"""Fewer odd values of a column never stop a command."""
Kind = Literal["undeclared", "missing"]
WORDS: Mapping[Kind, str] = {
    "undeclared": "are outside what the schema declares, so models see none of them as they are. Correct the values or "
    "the schema; or give --accept-undeclared if they are right",
    "missing": "are missing, a larger share than in the table, so models see nothing there. Correct the file; or give "
    "--accept-undeclared if nobody knows them",
}


@dataclass(frozen=True)
class Odd:
    """How many values of a column are outside the declared range or categories, and how many are missing, of how many."""

    undeclared: int = 0
    missing: int = 0
    rows: int = 0

    def count(self, kind: Kind) -> int:
        """Number of values that are odd in this way."""
        return self.undeclared if kind == "undeclared" else self.missing

    def percent(self, kind: Kind) -> float:
        """The share of values that are odd in this way, in percent."""
        return 100.0 * self.count(kind) / self.rows if self.rows else 0.0


def count(counts: dict[str, Odd], encoded: Encoded) -> None:
    """Adds what is odd in some encoded rows to ``counts``, by column."""
    for name, undeclared in encoded.undeclared.items():
        before = counts.get(name, Odd())
        missing, rows = before.missing + encoded.missing[name], before.rows + encoded.X.shape[0]
        counts[name] = Odd(before.undeclared + undeclared, missing, rows)


def odd_values(tables: Iterable[tuple[Any, Sequence[object]]], schemas: Collection[FeatureSchema]) -> dict[str, Odd]:
    """What is odd in each column that a schema declares; where schemas differ, by the one that leaves most undeclared.

    Args:
        tables: parts of a table, as ``FeatureSchema.encode`` takes them, and the names of their rows.

    Raises:
        InvalidRows: a column is missing, or a value cannot be what its column is declared as.
    """
    found = [dict[str, Odd]() for _ in schemas]
    for table, ids in tables:
        for schema, counts in zip(schemas, found, strict=True):
            count(counts, schema.encode(table, ids))
    names = dict.fromkeys(name for counts in found for name in counts)
    return {name: max((c[name] for c in found if name in c), key=lambda odd: odd.undeclared) for name in names}


def require_declared(odd: Mapping[str, Odd], percent: int) -> None:
    """Raises ``InvalidRows`` if more than ``percent`` of a column is undeclared; fewer than ``LEAST`` values never count."""
    _require("undeclared", odd, percent, dict)


def require_usual(odd: Mapping[str, Odd], percent: int, usual: Callable[[], Mapping[str, Odd]]) -> None:
    """Raises ``InvalidRows`` if much more of a column is undeclared or missing than before.

    Args:
        percent: how far above the usual share, in percent of the values, is too much; fewer than ``LEAST`` values never are.
        usual: returns what was odd before, if asked.
    """
    before = cache(usual)
    for kind in get_args(Kind):
        _require(kind, odd, percent, before)


def _require(kind: Kind, odd: Mapping[str, Odd], percent: int, usual: Callable[[], Mapping[str, Odd]]) -> None:
    many = {name: found for name, found in odd.items() if found.count(kind) >= LEAST and found.percent(kind) > percent}
    before = usual() if many else {}
    for name, found in many.items():
        if found.percent(kind) > percent + before.get(name, Odd()).percent(kind):
            raise InvalidRows(
                f"column {name!r}: {found.count(kind):,} of {found.rows:,} values {WORDS[kind]}. Nothing was changed"
            )

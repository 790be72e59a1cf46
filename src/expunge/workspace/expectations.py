"""What a command is about to do, for the person who gave it: one class a command. It stays in the house."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from expunge.data.oddities import Odd


@dataclass(frozen=True)
class Expected:
    """What is to be expected of a command."""

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON values; what Python reserves a name for loses the underscore."""
        return {name.rstrip("_"): list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @property
    def sentences(self) -> list[str]:
        """What is odd, for a person."""
        return []


@dataclass(frozen=True)
class Working(Expected):
    """Of working the queue.

    Args:
        requests: that are worked.
        models: that forget.
        refits: models whose refit is due.
        compares_models: whether all are compared with the table.
    """

    requests: tuple[str, ...]
    models: tuple[str, ...]
    refits: tuple[str, ...]
    compares_models: bool


@dataclass(frozen=True)
class Retiring(Expected):
    """Of withdrawing a model.

    Args:
        model: which.
        closed: how many requests wait for nobody else.
    """

    model: str
    closed: int


@dataclass(frozen=True)
class NewKey(Expected):
    """Of another signing key.

    Args:
        signs_no_more: id of the present one.
        revoked: whether what it signed is doubted.
    """

    signs_no_more: str
    revoked: bool


@dataclass(frozen=True)
class Widening(Expected):
    """Of another type of a column."""

    column: str
    from_: str
    to: str
    rows: int


@dataclass(frozen=True)
class NewRowKey(Expected):
    """Of columns that name a row."""

    row_key: tuple[str, ...]


class OfRows(Expected):
    """Of a command that reads rows, in which something may be odd."""

    undeclared: Mapping[str, int]
    missing: Mapping[str, int]

    @property
    def sentences(self) -> list[str]:
        found = []
        for counted, means in ((self.undeclared, "outside what the schema declares"), (self.missing, "missing")):
            counts = ", ".join(f"{name!r} {count:,}" for name, count in counted.items())
            found += [f"values that are {means}, by column: {counts}"] if counts else []
        return found


@dataclass(frozen=True)
class Refitting(OfRows):
    """Of a refit.

    Args:
        model: which.
        rows: it will have.
        undeclared: by column, how many values are outside what the schema declares.
        missing: by column, how many are missing.
    """

    model: str
    rows: int
    undeclared: Mapping[str, int]
    missing: Mapping[str, int]


@dataclass(frozen=True)
class Fitting(OfRows):
    """Of a model that is learned.

    Args:
        model: which.
        rows: it will have.
        noise: its kind.
        sigma: of isotropic noise.
        excess_risk: that shaped noise may cost.
        classes: that were found.
        undeclared: by column, how many values are outside what the schema declares.
        missing: by column, how many are missing.
    """

    model: str
    rows: int
    noise: str
    sigma: float | None
    excess_risk: float | None
    classes: tuple[str, ...]
    undeclared: Mapping[str, int]
    missing: Mapping[str, int]


@dataclass(frozen=True)
class Arriving(OfRows):
    """Of rows that come, or take the place of a person's.

    Args:
        rows: how many.
        left_out: columns that the table does not have.
        added_before: when these very rows were added, ISO 8601.
        known: how many are in the table already, by their row key.
        replaced: how many take the place of one in it.
        set_aside: how many cannot be taken.
        undeclared: by column, how many values are outside what the schema declares.
        missing: by column, how many are missing.
    """

    rows: int
    left_out: tuple[str, ...]
    added_before: str | None = None
    known: int = 0
    replaced: int = 0
    set_aside: int = 0
    undeclared: Mapping[str, int] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)

    @property
    def sentences(self) -> list[str]:
        found = []
        if self.added_before is not None:
            found.append(f"these rows were added before, on {self.added_before[:10]}: nothing is to be done")
        if self.known:
            found.append(f"{self.known:,} rows are in the table already, by their row key")
        if self.set_aside:
            found.append(f"{self.set_aside:,} rows are set aside, each with its reason")
        if self.left_out:
            found.append(f"columns that the table does not have were left out: {', '.join(map(repr, self.left_out))}")
        return [*found, *super().sentences]


def odd_counts(odd: Mapping[str, Odd]) -> tuple[dict[str, int], dict[str, int]]:
    """How many values of each column are undeclared, and how many missing; columns in which none are left out."""
    undeclared = {name: found.undeclared for name, found in odd.items() if found.undeclared}
    return undeclared, {name: found.missing for name, found in odd.items() if found.missing}

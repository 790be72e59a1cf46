"""What a command is about to do, for the person who gave it: one class per command. None of it is published."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from expunge.data.oddities import Odd


@dataclass(frozen=True)
class Expected:
    """What a command is expected to do."""

    def as_json(self) -> dict[str, Any]:
        """All fields as JSON values; names that end in an underscore, because Python reserves them, lose it."""
        return {name.rstrip("_"): list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @property
    def sentences(self) -> list[str]:
        """What is odd, in sentences for a person."""
        return []


@dataclass(frozen=True)
class Working(Expected):
    """What working the queue does.

    Args:
        requests: ids of the requests to be worked.
        models: models that forget somebody.
        refits: models whose refit is due.
        compares_models: whether all models are compared with the table.
        lifted: ids of restrictions that are lifted, whose rows the models learn again.
    """

    requests: tuple[str, ...]
    models: tuple[str, ...]
    refits: tuple[str, ...]
    compares_models: bool
    lifted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Retiring(Expected):
    """What withdrawing a model does.

    Args:
        model: name of the model.
        closed: number of requests that wait for no other model.
    """

    model: str
    closed: int


@dataclass(frozen=True)
class NewKey(Expected):
    """What changing the signing key does.

    Args:
        signs_no_more: id of the present key.
        revoked: whether what the present key signed is in doubt.
    """

    signs_no_more: str
    revoked: bool


@dataclass(frozen=True)
class Widening(Expected):
    """What widening a column's type does."""

    column: str
    from_: str
    to: str
    rows: int


@dataclass(frozen=True)
class NewRowKey(Expected):
    """What declaring a row key does."""

    row_key: tuple[str, ...]


class OfRows(Expected):
    """What a command does that reads rows, some of which may be odd."""

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
    """What a refit does.

    Args:
        model: name of the model.
        rows: number of rows that it will have.
        undeclared: by column, number of values outside what the schema declares.
        missing: by column, number of missing values.
    """

    model: str
    rows: int
    undeclared: Mapping[str, int]
    missing: Mapping[str, int]


@dataclass(frozen=True)
class Fitting(OfRows):
    """What fitting a model does.

    Args:
        model: name of the model.
        rows: number of rows that it will have.
        noise: kind of the noise.
        sigma: scale of isotropic noise.
        excess_risk: what shaped noise may cost.
        classes: the classes found.
        parameters: number of weights, p.
        undeclared: by column, number of values outside what the schema declares.
        missing: by column, number of missing values.
    """

    model: str
    rows: int
    noise: str
    sigma: float | None
    excess_risk: float | None
    classes: tuple[str, ...]
    parameters: int
    undeclared: Mapping[str, int]
    missing: Mapping[str, int]


@dataclass(frozen=True)
class Arriving(OfRows):
    """What taking rows from outside does, whether they are added or replace a person's.

    Args:
        rows: number of rows.
        left_out: columns that the table does not have.
        added_before: when the same rows were added before, ISO 8601.
        known: number of rows that are in the table already, by their row key.
        replaced: number of rows that take the place of one in the table.
        set_aside: number of rows that cannot be taken.
        suppressed: number of rows that are left out because their people are on a suppression list.
        restricted: number of rows that are stored and that no model learns, because their people's processing is restricted.
        undeclared: by column, number of values outside what the schema declares.
        missing: by column, number of missing values.
    """

    rows: int
    left_out: tuple[str, ...]
    added_before: str | None = None
    known: int = 0
    replaced: int = 0
    set_aside: int = 0
    suppressed: int = 0
    restricted: int = 0
    undeclared: Mapping[str, int] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)

    @property
    def sentences(self) -> list[str]:
        found = []
        if self.added_before is not None:
            found.append(f"these rows were added before, on {self.added_before[:10]}: there is nothing to do")
        if self.known:
            found.append(f"{self.known:,} rows are in the table already, by their row key")
        if self.suppressed:
            found.append(f"{self.suppressed:,} rows are left out, because their people are on a suppression list")
        if self.restricted:
            found.append(f"{self.restricted:,} rows are stored, but not learned: the processing of their people is restricted")
        if self.set_aside:
            found.append(f"{self.set_aside:,} rows are set aside, each with its reason")
        if self.left_out:
            found.append(f"columns that the table does not have were left out: {', '.join(map(repr, self.left_out))}")
        return [*found, *super().sentences]


def odd_counts(odd: Mapping[str, Odd]) -> tuple[dict[str, int], dict[str, int]]:
    """Numbers of undeclared and of missing values by column; columns without any are left out."""
    undeclared = {name: found.undeclared for name, found in odd.items() if found.undeclared}
    return undeclared, {name: found.missing for name, found in odd.items() if found.missing}

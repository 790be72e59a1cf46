"""FeatureSchema: from a table to feature rows, one row at a time, with nothing fitted. Theory §5.4.

A scaler or an encoder that is fitted on the data remembers the people in it, and forgetting them from the model does not
forget them there. Here ranges and categories are *declared*, from knowledge, in a TOML file that a person can read:

    normalise = true

    [columns."age"]
    kind = "number"
    low = 15
    high = 90
    knots = [15, 25, 35, 50, 65, 90]    # optional: one feature a knot, piecewise linear between them

    [columns."sex"]
    kind = "category"
    values = ["Female", "Male"]

Rules, the same for every row: a number becomes (x − low)/(high − low), or its weights on the two knots around it; outside
its range it is moved to the nearer end and counted. A category becomes one feature per declared value; an undeclared
value becomes all zeros and is counted. A missing value becomes all zeros and is counted. With ``normalise`` each row is
then divided by its norm. Columns that the schema does not name are ignored.

A schema with ``draft = true`` was taken from the data, by the rules of ``drafting``, and nobody has vouched for it yet.
"""

import json
import math
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.data.columns import NoNumber, codes_of, column_names, column_values, label, numbers_of
from expunge.errors import InvalidRows
from expunge.files import write_file
from expunge.identities import EXACT, Rule
from expunge.problem.arrays import SMALLEST

Array = NDArray[np.float64]

HEADER = """\
# How rows become features. Ranges and categories should come from what you know about the world, not from the data,
# because whatever is taken from the data remembers the people in it. Columns not listed are ignored.
"""
DRAFTED = """\
# How rows become features, drafted from the data. Whoever fits a model must check every line first: ranges and categories
# should come from what you know about the world, because whatever is taken from the data remembers the people in it.
# Columns not listed are ignored. All of this goes into every model that is fitted with it, and into its exports.
#
# What was taken, and by which rule (people are counted, not rows):
#   values      those that at least ten people have;
#   low, high   the farthest that at least ten people reach, each by their own extreme in two digits;
#   left out    columns in which fewer than ten people share anything, and mostly unique texts.
# The rule hides single people from readers; who knows all others can still try out whether somebody is the tenth.
#
# While this says "draft = true", everything here counts as taken from the data: forgetting takes out what fewer than ten
# people then share, or, once you have edited the file, reports it. Delete the line when all of it is what you know.
"""


@dataclass(frozen=True)
class Number:
    """A number with a declared range, linear or piecewise linear between ``knots``.

    Args:
        low: lower end of the range, in the column's own unit.
        high: upper end, above ``low``.
        knots: increasing points from ``low`` to ``high``, one feature each; without them the number is one feature. Default:
            none.

    Raises:
        ValueError: ``low`` is not below ``high``, or the knots do not increase from the one to the other.

    Examples:
        >>> features, n_outside, n_missing = Number(0, 100).encode([25.0, 150.0, None])
        >>> features.ravel().tolist(), n_outside, n_missing
        ([0.25, 1.0, 0.0], 1, 1)
        >>> Number(0, 2, knots=(0, 1, 2)).encode([0.5])[0].tolist()
        [[0.5, 0.5, 0.0]]
    """

    low: float
    high: float
    knots: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and 0.0 < self.high - self.low < math.inf):
            raise ValueError(
                f"low must be below high, and both and their distance finite, got low = {self.low}, high = {self.high}"
            )
        if self.knots and (len(self.knots) < 2 or any(b <= a for a, b in zip(self.knots, self.knots[1:], strict=False))):
            raise ValueError(f"knots must be two or more increasing numbers, got {list(self.knots)}")
        if self.knots and (self.knots[0], self.knots[-1]) != (self.low, self.high):
            raise ValueError(f"the first knot must be low and the last high, got {self.knots[0]} and {self.knots[-1]}")

    @property
    def suffixes(self) -> list[str]:
        """One name per feature."""
        return [f"@{knot:g}" for knot in self.knots] if self.knots else [""]

    def encode(self, values: Any) -> tuple[Array, int, int]:
        """Features ``(n_rows, k)``, how many values were outside the range, and how many missing.

        Args:
            values: a column, ``(n_rows,)``: numbers, or ``None`` and NaN where missing.
        """
        x = numbers_of(values)
        missing = np.isnan(x)
        x = np.where(missing, self.low, x)
        outside = (x < self.low) | (x > self.high)
        x = np.clip(x, self.low, self.high)
        if self.knots:
            features = np.stack([np.interp(x, self.knots, hat) for hat in np.eye(len(self.knots))], axis=1)
        else:
            features = ((x - self.low) / (self.high - self.low))[:, None]
        features[missing] = 0.0
        return features, int(outside.sum()), int(missing.sum())


@dataclass(frozen=True)
class Category:
    """One of the declared values.

    Args:
        values: the declared values, each once, as text.

    Raises:
        ValueError: there is none, or one is there twice.

    Examples:
        >>> features, n_undeclared, n_missing = Category(("clerk", "nurse")).encode(["nurse", "pilot", None])
        >>> features.tolist(), n_undeclared, n_missing
        ([[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]], 1, 1)
    """

    values: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.values or len(set(self.values)) != len(self.values):
            raise ValueError("values must be one or more different texts")

    @property
    def suffixes(self) -> list[str]:
        """One name per feature."""
        return [f"={value}" for value in self.values]

    def encode(self, values: Any) -> tuple[Array, int, int]:
        """Features ``(n_rows, k)``, how many values were undeclared, and how many missing.

        Args:
            values: a column, ``(n_rows,)``; whole floats count as integers.
        """
        codes = codes_of(values, self.values)
        features = np.zeros((len(codes), len(self.values)))
        known = np.flatnonzero(codes >= 0)
        features[known, codes[known]] = 1.0
        return features, int((codes == -1).sum()), int((codes == -2).sum())


Column = Number | Category
"""How a column is declared."""


@dataclass(frozen=True)
class Encoded:
    """Feature rows, and how many values of each column did not fit their declaration.

    Args:
        X: ``(n_rows, n_features)``, float64.
        undeclared: by column: values outside the range or the declared values.
        missing: by column: values that were absent.
    """

    X: Array
    undeclared: Mapping[str, int]
    missing: Mapping[str, int]


@dataclass(frozen=True)
class FeatureSchema:
    """Declared columns, whether rows are normalised, and whether this is a draft; see the module for the rules.

    Args:
        columns: how each column is declared, by name, in the order of the features.
        normalise: whether each row is divided by its 2-norm. Default: ``True``.
        draft: whether it was taken from rows and nobody has vouched for it. Default: ``False``.

    Examples:
        >>> schema = FeatureSchema({"age": Number(0, 100), "sex": Category(("F", "M"))}, normalise=False)
        >>> schema.encode({"age": [50, 200], "sex": ["M", "?"]}).X.tolist()
        [[0.5, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """

    columns: Mapping[str, Column]
    normalise: bool = True
    draft: bool = False

    @property
    def feature_names(self) -> list[str]:
        """Names of the features, in the order of ``Encoded.X``."""
        return [name + suffix for name, column in self.columns.items() for suffix in column.suffixes]

    @property
    def groups(self) -> list[NDArray[np.intp]]:
        """The features in groups of which a row has at most one that is not 0: categories, and every other knot."""
        groups, start = list[NDArray[np.intp]](), 0
        for column in self.columns.values():
            own = np.arange(start, start + len(column.suffixes))
            groups += [own] if isinstance(column, Category) else [part for part in (own[::2], own[1::2]) if len(part)]
            start += len(own)
        return groups

    @property
    def row_norm(self) -> float:
        """Bound on the norm of every encoded row, known without any data."""
        return 1.0 if self.normalise else math.sqrt(len(self.columns))

    def encode(self, table: Any, ids: Sequence[object] | None = None) -> Encoded:
        """The rows of ``table`` as features.

        Args:
            table: a pandas or Polars frame, a pyarrow table, or a mapping of column names to sequences.
            ids: what errors call the rows; by default their positions.

        Raises:
            InvalidRows: a declared column is missing, columns differ in length, or a number is not a number.
        """
        parts: list[Array] = []
        undeclared: dict[str, int] = {}
        missing: dict[str, int] = {}
        for name, column in self.columns.items():
            try:
                values = column_values(table, name)
            except KeyError:
                raise InvalidRows(f"the table has no column {name!r}, which the schema declares") from None
            try:
                features, undeclared[name], missing[name] = column.encode(values)
            except NoNumber as error:
                row = error.row if ids is None else ids[error.row]
                raise InvalidRows(
                    f"column {name!r}: row {row} is not a number: correct the row, or declare the column a category"
                ) from None
            if parts and len(features) != len(parts[0]):
                raise InvalidRows(f"column {name!r} has {len(features)} rows, others have {len(parts[0])}")
            parts.append(features)
        X = np.hstack(parts)
        X[np.abs(X) < SMALLEST] = 0.0  # a number next to an end of its range, which no model can tell from it; its square is 0
        if self.normalise:
            X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), SMALLEST)
            X[np.abs(X) < SMALLEST] = 0.0
        return Encoded(X, undeclared, missing)

    @classmethod
    def propose(cls, table: Any, subject: str, *, ignore: Iterable[str] = (), rule: Rule = EXACT) -> "FeatureSchema":
        """A draft for a person to review: categories and ranges that at least ten people share; see ``drafting``.

        Args:
            table: as for ``encode``.
            subject: column that says whose a row is; it is not a feature.
            ignore: columns that are no features either.
            rule: by which ids are compared.

        Raises:
            InvalidRows: no such subject column, or no other column is left.
        """
        from expunge.data.drafting import drafted

        if subject not in column_names(table):
            raise InvalidRows(f"there is no column {subject!r}: there are {', '.join(column_names(table))}")
        columns = drafted(table, subject, set(ignore), rule)
        if not columns:
            raise InvalidRows(
                "no column can be drafted as a feature: every one is ignored, empty, mostly unique texts, or shared by fewer "
                "than ten people. Declare a schema from what you know"
            )
        return cls(columns, draft=True)

    @classmethod
    def from_toml(cls, text: str) -> "FeatureSchema":
        """The schema written in ``text``.

        Args:
            text: TOML, as this module describes.

        Raises:
            ValueError: not TOML, or not a schema; the message names the column and the key.
        """
        given = tomllib.loads(text)
        tables = given.get("columns")
        if set(given) - {"normalise", "draft", "columns"} or not isinstance(tables, dict) or not tables:
            raise ValueError('a schema has "normalise", "draft" and one [columns."name"] table per column, and nothing else')
        for name in ("normalise", "draft"):
            if not isinstance(given.get(name, False), bool):
                raise ValueError(f"{name} must be true or false")
        columns = {name: _declared(name, table) for name, table in tables.items()}
        return cls(columns, given.get("normalise", True), given.get("draft", False))

    def to_toml(self) -> str:
        """The schema as TOML, with a word to whoever reviews it."""
        lines = [DRAFTED if self.draft else HEADER, *(["draft = true"] if self.draft else [])]
        lines += [f"normalise = {str(self.normalise).lower()}"]
        for name, column in self.columns.items():
            lines += ["", f"[columns.{_quoted(name)}]"]
            if isinstance(column, Number):
                lines += ['kind = "number"', f"low = {column.low!r}", f"high = {column.high!r}"]
                lines += [f"knots = {[float(k) for k in column.knots]!r}"] if column.knots else []
            else:
                lines += ['kind = "category"', "values = [", *(f"  {_quoted(value)}," for value in column.values), "]"]
        return "\n".join(lines) + "\n"

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "FeatureSchema":
        """The schema in the TOML file at ``path``.

        Args:
            path: of a TOML file in UTF-8.

        Raises:
            ValueError: as ``from_toml``, with the path.
        """
        try:
            return cls.from_toml(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the schema to ``path`` as TOML.

        Args:
            path: of the file; an older one is replaced at once.
        """
        write_file(Path(path), self.to_toml().encode())


def _declared(name: str, table: Any) -> Column:
    fields = dict(table) if isinstance(table, dict) else {}
    kind = fields.pop("kind", None)
    known = {"number": ({"low", "high", "knots"}, {"low", "high"}), "category": ({"values"}, {"values"})}
    if kind not in known:
        raise ValueError(f'column {name!r}: kind must be "number" or "category", got {kind!r}')
    allowed, needed = known[kind]
    if set(fields) - allowed or needed - set(fields):
        wrong = ", ".join(sorted((set(fields) - allowed) | (needed - set(fields))))
        raise ValueError(f"column {name!r}: missing or unknown keys: {wrong}")
    try:
        if kind == "category":
            return Category(tuple(str(label(value)) for value in fields["values"]))
        return Number(float(fields["low"]), float(fields["high"]), tuple(float(k) for k in fields.get("knots", ())))
    except (TypeError, ValueError) as error:
        raise ValueError(f"column {name!r}: {error}") from None


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

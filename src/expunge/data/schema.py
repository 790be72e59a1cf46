"""FeatureSchema: turns a table into feature rows, one row at a time, with nothing fitted. Theory §5.4.

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

    [features."age of each sex"]        # optional: features of several columns together
    kind = "cross"
    columns = ["age", "sex"]

Rules, the same for every row: a number becomes (x − low)/(high − low), or its weights on the two knots around it; outside
its range it is moved to the nearer end and counted. A category becomes one feature per declared value; an undeclared
value becomes all zeros and is counted. A missing value becomes all zeros and is counted. With ``normalise`` each row is
then divided by its norm. Columns that the schema does not name are ignored. ``encoding`` has the other kinds.

A schema with ``draft = true`` was taken from the data, by the rules of ``drafting``, and nobody has vouched for it yet. One
with a table ``[private]`` was taken from the data with differential privacy, at the ``epsilon`` and ``delta`` in it.
"""

import math
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.data.columns import Unfit, column_names, column_values
from expunge.data.encoding import Block, Category, Combination, Combined, Encoding, Number
from expunge.data.encoding.block import Features, joined, lengths, normalised
from expunge.data.encoding.tables import combination_of, encoding_of, lines_of, quoted
from expunge.data.origins import DECLARED, DRAFTED, PRIVATE, SchemaPrivacy
from expunge.errors import InvalidRows
from expunge.files import write_file
from expunge.identities import EXACT, Rule
from expunge.problem.arrays import SMALLEST, canonical, dense, unsplit
from expunge.problem.split import SplitMatrix

__all__ = ["Category", "Encoded", "FeatureSchema", "Number"]

NORMED = 1 << 18
"""Values whose norms are taken at a time."""
DENSE = 512
"""Rows with more features than this are CSR, if some of the features are of a sparse kind."""


@dataclass(frozen=True)
class Encoded:
    """Feature rows, and the numbers of values of each column that did not fit their declaration.

    Args:
        X: ``(n_rows, n_features)``, float64; canonical CSR if hashed features or crosses make it wide.
        undeclared: by column, number of values outside the range or the declared values.
        missing: by column, number of missing values.
    """

    X: Any
    undeclared: Mapping[str, int]
    missing: Mapping[str, int]


@dataclass(frozen=True)
class FeatureSchema:
    """Declared columns, whether rows are normalised, and whether this is a draft; see the module for the rules.

    Args:
        columns: how each column is declared, by name, in the order of the features.
        normalise: whether each row is divided by its 2-norm. Default: ``True``.
        draft: whether it was taken from rows and nobody has vouched for it. Default: ``False``.
        features: features made of several of these columns, by name, after those of all columns. Default: none.
        private: what it tells about any one person, if it was taken from rows with differential privacy. Default: it was not.

    Raises:
        ValueError: a combination of columns that are not declared, or from which it cannot make features; or both a draft and
            private.

    Examples:
        >>> schema = FeatureSchema({"age": Number(0, 100), "sex": Category(("F", "M"))}, normalise=False)
        >>> schema.encode({"age": [50, 200], "sex": ["M", "?"]}).X.tolist()
        [[0.5, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """

    columns: Mapping[str, Encoding]
    normalise: bool = True
    draft: bool = False
    features: Mapping[str, Combination] = field(default_factory=dict)
    private: SchemaPrivacy | None = None

    def __post_init__(self) -> None:
        if self.draft and self.private is not None:
            raise ValueError(
                "draft = true says that the rows were looked at without privacy: delete it, or the table [private]"
            )
        _ = self._combined  # which finds impossible combinations

    @cached_property
    def _combined(self) -> dict[str, Combined]:
        return _each(self.features, lambda combination: combination.of(self.columns), "features")

    @cached_property
    def _named(self) -> list[tuple[str, Features]]:
        return [*self.columns.items(), *self._combined.items()]

    @cached_property
    def feature_names(self) -> list[str]:
        """Names of the features, in the order of ``Encoded.X``; numbered if two would be the same."""
        names = [name + suffix for name, features in self._named for suffix in features.suffixes]
        return names if len(set(names)) == len(names) else [f"{i}: {name}" for i, name in enumerate(names)]

    @property
    def places(self) -> dict[str, tuple[int, int]]:
        """Of what is made of several columns: its first feature, and the one after its last."""
        found, start = dict[str, tuple[int, int]](), sum(len(each.suffixes) for each in self.columns.values())
        for name, each in self._combined.items():
            end = start + len(each.suffixes)
            found[name], start = (start, end), end
        return found

    @cached_property
    def groups(self) -> list[NDArray[np.intp]]:
        """The features in groups in which a row has at most one that is not 0: categories, and every other knot."""
        groups, start = list[NDArray[np.intp]](), 0
        for _name, features in self._named:
            own = features.groups
            groups += [start + group for group in own]
            start += sum(map(len, own))
        return groups

    @cached_property
    def alike(self) -> list[int]:
        """Positions of ``groups`` that have one value in each row: those of categories, 1 before the row is normalised."""
        found, start = list[int](), 0
        for _name, features in self._named:
            found += [start + place for place in features.alike]
            start += len(features.groups)
        return found

    @cached_property
    def thin(self) -> NDArray[np.intp]:
        """The features, each a group of its own, that are 0 in most rows: those of sparse kinds."""
        sparse = [features.is_sparse for _name, features in self._named for _suffix in features.suffixes]
        return np.array([group[0] for group in self.groups if len(group) == 1 and sparse[group[0]]], dtype=np.intp)

    @property
    def row_norm(self) -> float:
        """Bound on the norm of every encoded row, known without any data."""
        return 1.0 if self.normalise else math.sqrt(sum(features.norm_bound**2 for _name, features in self._named))

    @property
    def is_sparse(self) -> bool:
        """Whether rows are CSR: there are many features, some of them of a sparse kind."""
        return len(self.feature_names) > DENSE and any(features.is_sparse for _name, features in self._named)

    def encode(self, table: Any, ids: Sequence[object] | None = None) -> Encoded:
        """The rows of ``table`` as features.

        Args:
            table: a pandas or Polars frame, a pyarrow table, or a mapping of column names to sequences.
            ids: names of the rows for error messages; by default their positions.

        Raises:
            InvalidRows: a declared column is missing, columns differ in length, a value cannot be what its column is
                declared as, or an encoder is missing.
        """
        blocks, parts = self._parts(table, ids)
        X: Any = joined(list(map(unsplit, parts))) if self.is_sparse else np.hstack(list(map(dense, parts)))
        X = _cleared(X)
        if self.normalise:
            X = _cleared(normalised(X))
        return self._encoded(canonical(X, "rows") if self.is_sparse else X, blocks)

    def encode_in_blocks(self, table: Any, ids: Sequence[object] | None = None) -> Encoded:
        """The same features to the last bit as ``encode``, in blocks: a category is never written out as columns.

        Args:
            table: as for ``encode``.
            ids: names of the rows for error messages; by default their positions.

        Raises:
            InvalidRows: as of ``encode``.
        """
        blocks, parts = self._parts(table, ids)
        split, may_join, n_blocks = list[SplitMatrix](), list[int](), 0
        for (_name, features), part in zip(self._named, map(_cleared, parts), strict=True):
            split.append(part if isinstance(part, SplitMatrix) else SplitMatrix.of(part, features.groups, ()))
            may_join += [n_blocks] if features.alike and len(split[-1].blocks) == 1 else []
            n_blocks += len(split[-1].blocks)
        X = SplitMatrix.beside(split, may_join)
        return self._encoded(_cleared(X.divided(_lengths(X))) if self.normalise else X, blocks)

    def _parts(self, table: Any, ids: Sequence[object] | None) -> tuple[dict[str, Block], list[Any]]:
        """What each column was encoded as, and the features one after the other: dense, CSR, or in blocks."""
        blocks: dict[str, Block] = {}
        n_rows = None
        for name in self.columns:
            block = blocks[name] = self._block(name, table, ids)
            n_rows = len(block.missing) if n_rows is None else n_rows
            if len(block.missing) != n_rows:
                raise InvalidRows(f"column {name!r} has {len(block.missing)} rows, others have {n_rows}")
        combined = (
            self._combined[name].encode([blocks[column] for column in combination.columns])
            for name, combination in self.features.items()
        )
        return blocks, [*(block.made for block in blocks.values()), *combined]

    def _encoded(self, X: Any, blocks: Mapping[str, Block]) -> Encoded:
        undeclared = {name: int(block.undeclared.sum()) for name, block in blocks.items()}
        missing = {name: int(block.missing.sum()) for name, block in blocks.items()}
        return Encoded(X, undeclared, missing)

    def _block(self, name: str, table: Any, ids: Sequence[object] | None) -> Block:
        try:
            values = column_values(table, name)
        except KeyError:
            raise InvalidRows(f"the table has no column {name!r}, which the schema declares") from None
        try:
            return self.columns[name].encode(values)
        except Unfit as error:
            row = error.row if ids is None else ids[error.row]
            raise InvalidRows(f"column {name!r}: row {row} {error.reason}") from None
        except ValueError as error:
            raise InvalidRows(f"column {name!r}: {error}") from None

    def with_columns(self, columns: Mapping[str, Encoding]) -> "FeatureSchema":
        """The same schema with only these columns, and the features made of them.

        Args:
            columns: how each is declared, by name.
        """
        features = {name: made for name, made in self.features.items() if set(made.columns) <= set(columns)}
        return replace(self, columns=columns, features=features)

    @classmethod
    def propose(
        cls,
        table: Any,
        subject: str,
        *,
        ignore: Iterable[str] = (),
        rule: Rule = EXACT,
        private: float | None = None,
    ) -> "FeatureSchema":
        """A schema for a person to review: what at least ten people share (``drafting``), or what noise allows (``private``).

        Categories, ranges and knots come from the rows, scales and crosses from these by the rules of ``shaping``. Rows are
        not normalised, so that each feature counts the same in every row.

        Args:
            table: as for ``encode``.
            subject: the column that says to whom a row belongs; it is not a feature.
            ignore: other columns that are not features.
            rule: the rule by which ids are compared.
            private: ε for which it is differentially private for each person, at δ = 1e-6. Default: a draft instead.

        Raises:
            InvalidRows: there is no such subject column, no other column is left, or too few people share anything.
            ValueError: ε is not positive and finite.

        Examples:
            >>> table = {"who": range(4000), "sex": ["F", "M"] * 2000, "grade": [1, 2, 3, 4] * 1000}
            >>> schema = FeatureSchema.propose(table, "who", private=2.0)
            >>> schema.columns["sex"], schema.private
            (Category(values=('F', 'M')), SchemaPrivacy(epsilon=2.0, delta=1e-06))
        """
        from expunge.data import private as privately
        from expunge.data.drafting import drafted
        from expunge.data.shaping import FEATURES, ROWS_PER_FEATURE, crosses

        spent = None if private is None else SchemaPrivacy(private)
        if subject not in column_names(table):
            raise InvalidRows(f"there is no column {subject!r}: the columns are {', '.join(column_names(table))}")
        if spent is not None:
            found = privately.proposed(table, subject, set(ignore), rule, spent)
            columns, rows = found.columns, found.people
        else:
            columns, rows = drafted(table, subject, set(ignore), rule), len(column_values(table, subject))
        if not columns:
            raise InvalidRows(
                "no column can be drafted as a feature: every one is ignored, empty, mostly unique texts, or shared by fewer "
                "than ten people. Declare a schema from what you know"
            )
        features = crosses(columns, min(FEATURES, int(rows / ROWS_PER_FEATURE)))
        return cls(columns, normalise=False, draft=spent is None, features=features, private=spent)

    @classmethod
    def from_toml(cls, text: str) -> "FeatureSchema":
        """The schema written in ``text``.

        Args:
            text: TOML, as this module describes.

        Raises:
            ValueError: not TOML, or not a schema; the message names the column and the key.
        """
        given = tomllib.loads(text)
        tables, combinations = given.get("columns"), given.get("features", {})
        known = {"normalise", "draft", "columns", "features", "private"}
        if set(given) - known or not isinstance(tables, dict) or not tables or not isinstance(combinations, dict):
            raise ValueError(
                'a schema has "normalise", "draft", one [columns."name"] table per column, one [features."name"] table for '
                "what several columns make together, a table [private] if it is private, and nothing else"
            )
        for name in ("normalise", "draft"):
            if not isinstance(given.get(name, False), bool):
                raise ValueError(f"{name} must be true or false")
        features = _each(combinations, combination_of, "features")
        columns = _each(tables, encoding_of, "column")
        private = _privacy(given["private"]) if "private" in given else None
        return cls(columns, given.get("normalise", True), given.get("draft", False), features, private)

    def to_toml(self) -> str:
        """The schema as TOML, with a note to the reviewer."""
        origin = DRAFTED if self.draft else PRIVATE if self.private is not None else DECLARED
        lines = [origin, *(["draft = true"] if self.draft else []), f"normalise = {str(self.normalise).lower()}"]
        if self.private is not None:
            lines += ["", "[private]", f"epsilon = {self.private.epsilon!r}", f"delta = {self.private.delta!r}"]
        for what, declared in (("columns", self.columns), ("features", self.features)):
            for name, each in declared.items():
                lines += ["", f"[{what}.{quoted(name)}]", *lines_of(each)]
        return "\n".join(lines) + "\n"

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "FeatureSchema":
        """The schema in the TOML file at ``path``.

        Args:
            path: path of a TOML file in UTF-8.

        Raises:
            ValueError: as for ``from_toml``; the message has the path.
        """
        try:
            return cls.from_toml(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the schema to ``path`` as TOML.

        Args:
            path: path of the file; an existing one is replaced.
        """
        write_file(Path(path), self.to_toml().encode())


def _cleared(X: Any) -> Any:
    """Without numbers so close to an end of their range that no model can tell them apart, and whose squares might be 0."""
    if isinstance(X, SplitMatrix):
        return X.mapped(lambda values: np.where(np.abs(values) < SMALLEST, 0.0, values))
    values = X.data if sparse.issparse(X) else X
    values[np.abs(values) < SMALLEST] = 0.0
    return X


def _lengths(X: SplitMatrix) -> NDArray[np.float64]:
    """What ``normalised`` divides by: no more is dense at a time than fits a cache."""
    step = max(1, NORMED // X.shape[1])
    return np.concatenate([lengths(X[start : start + step].toarray()) for start in range(0, X.shape[0], step)] or [np.empty(0)])


def _privacy(given: Any) -> SchemaPrivacy:
    """What the table ``[private]`` says."""
    if not isinstance(given, dict) or set(given) != {"epsilon", "delta"}:
        raise ValueError("the table [private] has epsilon and delta, and nothing else")
    return SchemaPrivacy(**given)


def _each(declared: Mapping[str, Any], read: Callable[[Any], Any], what: str) -> dict[str, Any]:
    """What each declaration is read as, by name."""
    found = {}
    for name, each in declared.items():
        try:
            found[name] = read(each)
        except ValueError as error:
            raise ValueError(f"{what} {name!r}: {error}") from None
    return found

"""What every encoding provides: its features' names, groups and norm, and the features of some rows.

An encoding is declared, never fitted: the features of a row depend on the declaration and on that row alone, to the last bit,
whatever rows come with it and on whatever machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.problem.arrays import canonical, dense
from expunge.problem.filling import row_of, with_data

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Block:
    """The features of some rows by one encoding, and which of its values did not fit the declaration.

    Args:
        made: the features, ``(n_rows, width)``, dense, canonical CSR, or in blocks; all zeros for a row without a usable value.
        undeclared: whether a value is outside the range or the declared values, ``(n_rows,)``.
        missing: whether a value is missing, ``(n_rows,)``.
        position: for a number, its position between the ends of its range, 0 to 1, ``(n_rows,)``. Default: none.
    """

    made: Any
    undeclared: Mask
    missing: Mask
    position: Array | None = None

    @cached_property
    def features(self) -> Any:
        """The features, dense or canonical CSR."""
        return self.made if sparse.issparse(self.made) else dense(self.made)


class Features(Protocol):
    """Features that belong together."""

    @property
    def suffixes(self) -> list[str]:
        """What is added to the name to name each feature, ``(width,)``."""
        ...

    @property
    def groups(self) -> list[Index]:
        """All features, counted from 0, in groups of which a row has at most one that is not 0."""
        ...

    @property
    def alike(self) -> tuple[int, ...]:
        """Positions of ``groups`` in which a row has 1, if it has any of them."""
        ...

    @property
    def norm_bound(self) -> float:
        """No row's features have a larger 2-norm."""
        ...

    @property
    def is_sparse(self) -> bool:
        """Whether there may be so many features that they are kept as CSR."""
        ...


class Encoding(Features, Protocol):
    """Features of one column."""

    kind: ClassVar[str]

    def encode(self, values: Any) -> Block:
        """The features of some rows.

        Args:
            values: values of the column, ``(n_rows,)``: an Arrow column or a sequence.

        Raises:
            Unfit: a value that the declaration does not allow.
        """
        ...


class Combined(Features, Protocol):
    """Features of several declared columns."""

    def encode(self, blocks: Sequence[Block]) -> Any:
        """The features of some rows, dense or canonical CSR.

        Args:
            blocks: the blocks of the columns, in order.
        """
        ...


class Combination(Protocol):
    """How several declared columns make features together."""

    kind: ClassVar[str]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        ...

    def of(self, declared: Mapping[str, Encoding]) -> Combined:
        """The features that it makes.

        Args:
            declared: how the columns are declared, by name.

        Raises:
            ValueError: columns that are not declared, or from which it cannot make features.
        """
        ...


def one_group(width: int) -> list[Index]:
    """All ``width`` features in one group."""
    return [np.arange(width)]


def by_turns(width: int, n_groups: int) -> list[Index]:
    """Features in groups of every ``n_groups``-th, for rows in which at most that many neighbours are not 0."""
    return [part for r in range(n_groups) if len(part := np.arange(width)[r::n_groups])]


def one_by_one(width: int) -> list[Index]:
    """Each of ``width`` features in its own group."""
    return list(np.arange(width)[:, None])


def one_a_row(columns: Index, values: Array, width: int) -> sparse.csr_array:
    """CSR with one entry in each row where ``columns`` is not negative, ``(n_rows, width)``."""
    there = columns >= 0
    starts = np.concatenate([[0], np.cumsum(there)])
    csr = sparse.csr_array((values[there], columns[there], starts), shape=(len(columns), width))
    csr.has_canonical_format = True
    return csr


def joined(parts: Sequence[Any]) -> sparse.csr_array:
    """The parts side by side, as canonical CSR without zeros.

    Args:
        parts: dense or CSR parts with the same number of rows.
    """
    return canonical(sparse.hstack([sparse.csr_array(part) for part in parts], format="csr"), "rows")


def row_norms(features: Any) -> Array:
    """The 2-norm of each row, the same to the last bit whatever rows come with it, ``(n_rows,)``."""
    if sparse.issparse(features):
        return np.sqrt(np.bincount(row_of(features), weights=np.square(features.data), minlength=features.shape[0]))
    return np.asarray(np.linalg.norm(np.ascontiguousarray(features), axis=1))


def divided(features: Any, by: Array) -> Any:
    """Each row divided by its own number.

    Args:
        features: dense or canonical CSR, ``(n_rows, width)``.
        by: positive numbers, ``(n_rows,)``.
    """
    if not sparse.issparse(features):
        return features / by[:, None]
    csr = with_data(features, features.data / by[row_of(features)])
    csr.has_canonical_format = True
    return csr


def normalised(features: Any) -> Any:
    """Each row divided by its 2-norm; rows of zeros stay.

    Args:
        features: dense or canonical CSR, ``(n_rows, width)``.
    """
    return divided(features, lengths(features))


def lengths(features: Any) -> Array:
    """What rows are divided by: their 2-norms, positive even for rows of zeros, ``(n_rows,)``.

    Args:
        features: dense or canonical CSR, ``(n_rows, width)``.
    """
    return np.maximum(row_norms(features), np.finfo(np.float64).tiny)

"""Crosses: what several columns say together, as every product of their features."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import product
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from expunge.data.encoding.block import Block, Encoding, Index, one_by_one, one_group
from expunge.data.encoding.hashed import places, require_features
from expunge.problem.arrays import canonical

MOST = 10_000
"""A cross with more features than this must be hashed."""


@dataclass(frozen=True)
class Cross:
    """Every product of the features of two or more declared columns, in order.

    For two categories this is a feature for each pair of values; for a category and a number, a line or a curve for each value.

    Args:
        columns: names of the columns, which the schema declares.
        n_features: number of features into which the products are hashed, with signs; without it, each is its own feature.
            Default: none.
        max_collisions: a fit is refused if more than this share of the different products share a feature with another.
            Default: no limit.

    Raises:
        ValueError: fewer than two columns, one twice, or an impossible number of features or share.

    Examples:
        >>> from expunge.data.encoding import Category, Number
        >>> declared = {"sex": Category(("F", "M")), "age": Number(0, 100)}
        >>> cross = Cross(("sex", "age")).of(declared)
        >>> cross.suffixes
        [' sex=F & age', ' sex=M & age']
        >>> cross.encode([declared["sex"].encode(["M"]), declared["age"].encode([50])]).toarray().tolist()
        [[0.0, 0.5]]
    """

    columns: tuple[str, ...]
    n_features: int | None = None
    max_collisions: float | None = None

    kind: ClassVar[str] = "cross"

    def __post_init__(self) -> None:
        if len(self.columns) < 2 or len(set(self.columns)) != len(self.columns):
            raise ValueError(f"a cross needs two or more different columns, got {list(self.columns)}")
        if self.n_features is not None:
            require_features(self.n_features, self.max_collisions)
        elif self.max_collisions is not None:
            raise ValueError("max_collisions is about hashed products: give n_features too")

    def of(self, declared: Mapping[str, Encoding]) -> "Products":
        """The features of these columns.

        Args:
            declared: how the columns are declared, by name.

        Raises:
            ValueError: a column that is not declared, or more products than can each have a feature.
        """
        found = Products(self, tuple(declared_as(declared, self.columns)))
        if self.n_features is None and found.n_products > MOST:
            raise ValueError(
                f"a cross of {' and '.join(map(repr, self.columns))} has {found.n_products:,} features, more than {MOST:,}: "
                "give n_features to hash them"
            )
        return found


def declared_as(declared: Mapping[str, Encoding], columns: Sequence[str]) -> Iterator[Encoding]:
    """How each of ``columns`` is declared; raises ``ValueError`` if one is not."""
    for name in columns:
        if name not in declared:
            raise ValueError(f"there is no column {name!r} in the schema: declare it, or remove it")
        yield declared[name]


@dataclass(frozen=True)
class Products:
    """A cross of columns that are declared in these ways.

    Args:
        cross: the cross.
        parts: the declarations of its columns.
    """

    cross: Cross
    parts: tuple[Encoding, ...]

    is_sparse: ClassVar[bool] = True

    @property
    def n_products(self) -> int:
        """Number of products."""
        return math.prod(len(part.suffixes) for part in self.parts)

    @property
    def suffixes(self) -> list[str]:
        """One name per feature."""
        if self.cross.n_features is not None:
            return [f" #{i}" for i in range(self.cross.n_features)]
        named = [[name + suffix for suffix in part.suffixes] for name, part in zip(self.cross.columns, self.parts, strict=True)]
        return [f" {' & '.join(together)}" for together in product(*named)]

    @property
    def groups(self) -> list[Index]:
        """A row has one of all products of a group of each part; hashed, one if each part is one group."""
        hashed = self.cross.n_features
        if hashed is not None:
            return one_group(hashed) if self._n_values == 1 else one_by_one(hashed)
        groups = [np.zeros(1, dtype=np.intp)]
        for part in self.parts:
            width = len(part.suffixes)
            groups = [(a[:, None] * width + b).ravel() for a in groups for b in part.groups]
        return groups

    @property
    def alike(self) -> tuple[int, ...]:
        """The products of groups in which each part has 1; none when hashed, for the signs."""
        if self.cross.n_features is not None:
            return ()
        every = product(*([k in part.alike for k in range(len(part.groups))] for part in self.parts))
        return tuple(place for place, alike in enumerate(every) if all(alike))

    @property
    def norm_bound(self) -> float:
        """The product of the bounds; if hashed, all products of a row may meet in one feature and add up."""
        bound = math.prod(part.norm_bound for part in self.parts)
        return bound if self.cross.n_features is None else bound * math.sqrt(min(self._n_values, self.n_products))

    @cached_property
    def _n_values(self) -> int:
        """The largest number of products of a row that are not 0."""
        return math.prod(len(part.groups) for part in self.parts)

    def encode(self, blocks: Sequence[Block]) -> Any:
        """The features, CSR ``(n_rows, k)``; all zeros if one of the columns has none.

        Args:
            blocks: the blocks of the columns, in order.
        """
        found = self._products(blocks)
        if self.cross.n_features is None:
            return found
        different, own = np.unique(found.indices, return_inverse=True)
        place, sign = places([str(column) for column in different.tolist()], self.cross.n_features)
        hashed = (found.data * sign[own], place[own], found.indptr)
        return canonical(sparse.csr_array(hashed, shape=(found.shape[0], self.cross.n_features)), "cross")

    def keys(self, blocks: Sequence[Block]) -> Iterator[tuple[int, list[str]]]:
        """What is hashed of each row.

        Args:
            blocks: the blocks of the columns, in order.
        """
        found = self._products(blocks)
        for row, (start, end) in enumerate(zip(found.indptr[:-1], found.indptr[1:], strict=True)):
            yield row, [str(column) for column in found.indices[start:end].tolist()]

    def _products(self, blocks: Sequence[Block]) -> sparse.csr_array:
        return reduce(_row_by_row, [_as_csr(block.features) for block in blocks])


def _as_csr(features: Any) -> sparse.csr_array:
    return sparse.csr_array(features)


def _row_by_row(a: sparse.csr_array, b: sparse.csr_array) -> sparse.csr_array:
    """Each row of ``a`` times each entry of the same row of ``b``, ``(n_rows, a_width · b_width)``; canonical as both are."""
    size_a, size_b = np.diff(a.indptr), np.diff(b.indptr)
    row = np.repeat(np.arange(a.shape[0]), size_a)
    times = size_b[row]
    offset = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    at = np.repeat(b.indptr[row], times) + offset
    columns = np.repeat(a.indices.astype(np.int64), times) * b.shape[1] + b.indices[at]
    starts = np.concatenate([[0], np.cumsum(size_a.astype(np.int64) * size_b)])
    entries = (np.repeat(a.data, times) * b.data[at], columns, starts)
    found = sparse.csr_array(entries, shape=(a.shape[0], a.shape[1] * b.shape[1]))
    found.has_canonical_format = True
    return found

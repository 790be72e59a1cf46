"""Categories: one of the declared values, without an order or with one."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from expunge.data.columns import codes_of
from expunge.data.encoding.block import Block, Index, one_by_one, one_group
from expunge.problem.split import SplitMatrix


@dataclass(frozen=True)
class Category:
    """One of the declared values.

    Args:
        values: the declared values, each once, as text.

    Raises:
        ValueError: there is none, or one is there twice.

    Examples:
        >>> block = Category(("clerk", "nurse")).encode(["nurse", "pilot", None])
        >>> block.features.tolist(), block.undeclared.tolist(), block.missing.tolist()
        ([[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]], [False, True, False], [False, False, True])
    """

    values: tuple[str, ...]

    kind: ClassVar[str] = "category"
    is_sparse: ClassVar[bool] = False
    norm_bound: ClassVar[float] = 1.0
    alike: ClassVar[tuple[int, ...]] = (0,)

    def __post_init__(self) -> None:
        _require_different(self.values)

    @property
    def suffixes(self) -> list[str]:
        """One name per feature."""
        return [f"={value}" for value in self.values]

    @property
    def groups(self) -> list[Index]:
        """A row has at most one of them."""
        return one_group(len(self.values))

    def encode(self, values: Any) -> Block:
        """The features, ``(n_rows, k)``; an undeclared value is all zeros, as is a missing one.

        Args:
            values: a column, ``(n_rows,)``; whole floats count as integers.
        """
        codes = codes_of(values, self.values)
        return Block(SplitMatrix.one_a_row(codes, len(self.values)), codes == -1, codes == -2)


@dataclass(frozen=True)
class OrderedCategory:
    """One of the declared values, which have an order: a feature for each value that is reached, as in a thermometer.

    A row has all features up to that of its value, each 1/√k, so neighbouring values share most of what is learned about them.

    Args:
        values: the declared values, each once, as text, from the lowest to the highest.

    Raises:
        ValueError: there is none, or one is there twice.

    Examples:
        >>> block = OrderedCategory(("low", "fair", "good", "high")).encode(["low", "good", None])
        >>> block.features.tolist()
        [[0.5, 0.0, 0.0, 0.0], [0.5, 0.5, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """

    values: tuple[str, ...]

    kind: ClassVar[str] = "ordered"
    is_sparse: ClassVar[bool] = False
    norm_bound: ClassVar[float] = 1.0
    alike: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        _require_different(self.values)

    @property
    def suffixes(self) -> list[str]:
        """One name per feature."""
        return [f">={value}" for value in self.values]

    @property
    def groups(self) -> list[Index]:
        """A row may have all of them."""
        return one_by_one(len(self.values))

    def encode(self, values: Any) -> Block:
        """The features, ``(n_rows, k)``; an undeclared value is all zeros, as is a missing one.

        Args:
            values: a column, ``(n_rows,)``; whole floats count as integers.
        """
        codes = codes_of(values, self.values)
        reached = codes[:, None] >= np.arange(len(self.values))
        return Block(reached / math.sqrt(len(self.values)), codes == -1, codes == -2)


def _require_different(values: tuple[str, ...]) -> None:
    if not values or len(set(values)) != len(values):
        raise ValueError("values must be one or more different texts")

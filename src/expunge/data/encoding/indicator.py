"""Missing values as a separate feature: whether something is known often says as much as its value."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from expunge.data.encoding.block import Block, Encoding, Index, joined


@dataclass(frozen=True)
class MissingIndicator:
    """Another encoding, and one more feature that is 1 where the value is missing.

    Args:
        encoding: the encoding of the values that are there.

    Raises:
        ValueError: it already has an indicator.

    Examples:
        >>> from expunge.data.encoding import Number
        >>> MissingIndicator(Number(0, 100)).encode([25.0, None]).features.tolist()
        [[0.25, 0.0], [0.0, 1.0]]
    """

    encoding: Encoding

    kind: ClassVar[str] = "add_indicator"

    def __post_init__(self) -> None:
        if isinstance(self.encoding, MissingIndicator):
            raise ValueError("a column has at most one missing-value indicator")

    @property
    def is_sparse(self) -> bool:
        """As of the other encoding."""
        return self.encoding.is_sparse

    @property
    def norm_bound(self) -> float:
        """A row has the indicator or the others."""
        return max(1.0, self.encoding.norm_bound)

    @property
    def suffixes(self) -> list[str]:
        """One name per feature."""
        return [*self.encoding.suffixes, " is missing"]

    @property
    def groups(self) -> list[Index]:
        """The indicator joins the first group: where it is 1 all others are 0."""
        first, *others = self.encoding.groups
        width = sum(map(len, [first, *others]))
        return [np.append(first, width), *others]

    @property
    def alike(self) -> tuple[int, ...]:
        """As of the other encoding: the indicator is 1 too."""
        return self.encoding.alike

    def encode(self, values: Any) -> Block:
        """As of the other encoding, ``(n_rows, k + 1)``.

        Args:
            values: a column, ``(n_rows,)``.
        """
        block = self.encoding.encode(values)
        parts = [block.features, block.missing[:, None].astype(np.float64)]
        return replace(block, made=joined(parts) if sparse.issparse(block.features) else np.hstack(parts))


def plain(declared: Encoding) -> Encoding:
    """The encoding itself, without its indicator, if any.

    Args:
        declared: the encoding of a column.
    """
    return declared.encoding if isinstance(declared, MissingIndicator) else declared

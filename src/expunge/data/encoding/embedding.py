"""Frozen embeddings: the output of a network trained elsewhere for a text or a picture, used by a linear model."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from expunge.data.columns import Unfit, codes_of, different, label
from expunge.data.encoding.block import Array, Block, Index, Mask, one_by_one, row_norms
from expunge.data.encoding.encoders import encoder
from expunge.problem.arrays import LARGEST

LONGER = 1.001
"""A vector this much longer than declared is counted; a smaller excess may come from float16 rounding."""


@dataclass(frozen=True)
class Embedding:
    """The numbers of a list, or those that a named encoder gives for a text.

    Args:
        width: number of numbers.
        max_norm: a longer vector is shortened to this 2-norm, and counted; features are the vector divided by it. Default: 1.0.
        package: the installed package whose encoder gives the numbers for a text, see ``encoders``; without it, the column
            holds lists. Default: none.
        digest: digest of the package's files, as ``encoders.digest_of`` computes it; required with ``package``.

    Raises:
        ValueError: an impossible width or norm, or a package without digest.

    Examples:
        >>> Embedding(2).encode([[0.6, 0.0], [3.0, 4.0], None]).features.tolist()
        [[0.6, 0.0], [0.6, 0.8], [0.0, 0.0]]
    """

    width: int
    max_norm: float = 1.0
    package: str | None = None
    digest: str | None = None

    kind: ClassVar[str] = "embedding"
    is_sparse: ClassVar[bool] = False
    norm_bound: ClassVar[float] = 1.0
    alike: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width must be at least 1, got {self.width}")
        if not 1.0 / LARGEST <= self.max_norm <= LARGEST:
            raise ValueError(f"max_norm must be positive and moderate, got {self.max_norm}")
        if (self.package is None) != (self.digest is None):
            raise ValueError("an encoder is named by package and digest: give both, or neither for a column of lists")

    @property
    def suffixes(self) -> list[str]:
        """One name per feature."""
        return [f"[{i}]" for i in range(self.width)]

    @property
    def groups(self) -> list[Index]:
        """A row may have all of them."""
        return one_by_one(self.width)

    def encode(self, values: Any) -> Block:
        """The features, ``(n_rows, width)``; a missing value is all zeros.

        Args:
            values: a column, ``(n_rows,)``: lists of ``width`` numbers, or texts for the encoder.

        Raises:
            Unfit: a list of another width, or with anything but moderate numbers in it.
            ValueError: the package is not installed, has no encoder, or does not match the digest.
        """
        if self.package is not None and self.digest is not None:
            vectors, missing = self._encoded(values, self.package, self.digest)
        else:
            vectors, missing = self._listed(values)
        norms = row_norms(vectors)
        features = vectors / np.maximum(norms, self.max_norm)[:, None]
        return Block(features, norms > LONGER * self.max_norm, missing)

    def _encoded(self, values: Any, package: str, digest: str) -> tuple[Array, Mask]:
        """The numbers for each different text, computed separately, so no vector depends on what else is encoded."""
        encode, texts = encoder(package, digest), different(values)
        codes = codes_of(values, texts)
        first = {code: row for row, code in reversed(list(enumerate(codes.tolist())))}
        vectors = np.zeros((len(texts) + 1, self.width))
        for code, text in enumerate(texts):
            vectors[code] = self._vector(encode(text), first[code])
        return vectors[np.where(codes < 0, len(texts), codes)], codes < 0

    def _listed(self, values: Any) -> tuple[Array, Mask]:
        if hasattr(values, "type"):
            return self._of_arrow(values)
        missing = np.array([_is_missing(value) for value in values], dtype=bool)
        vectors = np.zeros((len(missing), self.width))
        for row, value in enumerate(values):
            if not missing[row]:
                vectors[row] = self._vector(value, row)
        return vectors, missing

    def _of_arrow(self, values: Any) -> tuple[Array, Mask]:
        import pyarrow as pa
        import pyarrow.compute as pc
        from pyarrow import types

        given, missing = values.type, np.asarray(values.is_null())
        vectors, there = np.zeros((len(missing), self.width)), np.flatnonzero(~missing)
        if not len(there):
            return vectors, missing
        is_list = types.is_list(given) or types.is_large_list(given) or types.is_fixed_size_list(given)
        if not (is_list and (types.is_floating(given.value_type) or types.is_integer(given.value_type))):
            raise Unfit(int(there[0]), f"holds {given}, and an embedding is a list of numbers: correct the row or the schema")
        values = values.drop_null()
        lengths = np.asarray(pc.list_value_length(values))
        if (wrong := lengths != self.width).any():
            raise self._wrong_width(int(there[np.argmax(wrong)]), int(lengths[np.argmax(wrong)]))
        flat = np.asarray(pc.list_flatten(values).cast(pa.float64())).reshape(-1, self.width)
        if (bad := ~(np.abs(flat) <= LARGEST).all(axis=1)).any():
            raise Unfit(int(there[np.argmax(bad)]), NO_NUMBERS)
        vectors[there] = flat
        return vectors, missing

    def _vector(self, value: Any, row: int) -> Array:
        try:
            vector = np.array(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise Unfit(row, NO_NUMBERS) from None
        if vector.ndim != 1 or len(vector) != self.width:
            raise self._wrong_width(row, vector.size)
        if not (np.abs(vector) <= LARGEST).all():
            raise Unfit(row, NO_NUMBERS)
        return vector

    def _wrong_width(self, row: int, found: int) -> Unfit:
        return Unfit(row, f"has an embedding of {found} numbers, not of width = {self.width} as declared: correct one of them")


NO_NUMBERS = f"has an embedding with something else in it than numbers up to {LARGEST:g}: correct the row"


def _is_missing(value: Any) -> bool:
    return not hasattr(value, "__len__") and label(value) is None

"""Hashed features: more different values than anybody could declare, in a declared number of features.

The feature of a value, and its sign, come from MurmurHash3 with seed 0, as in scikit-learn's ``FeatureHasher``: they are the
same everywhere and forever. Values that share a feature share its weight; the signs make them cancel on average.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from expunge.data.columns import codes_of, different, label
from expunge.data.encoding.block import Block, Index, divided, one_a_row, one_by_one, one_group, row_norms
from expunge.problem.arrays import canonical

MOST = 1 << 20
"""The largest number of features."""
ANALYZERS = ("word", "char", "char_wb")


def require_features(n_features: int, max_collisions: float | None = None) -> None:
    """Raises ``ValueError`` unless values can be hashed into so many features, and the share is valid."""
    if not 2 <= n_features <= MOST:
        raise ValueError(f"n_features must be between 2 and {MOST:,}, got {n_features}")
    if max_collisions is not None and not 0.0 <= max_collisions <= 1.0:
        raise ValueError(f"max_collisions must be a share between 0 and 1, got {max_collisions}")


def places(keys: list[str], n_features: int) -> tuple[Index, Any]:
    """The feature that each key becomes, and its sign, ``(n_keys,)`` each.

    Args:
        keys: any texts.
        n_features: number of features.
    """
    if not keys:
        return np.empty(0, dtype=np.intp), np.empty(0)
    from sklearn.feature_extraction import FeatureHasher

    found = FeatureHasher(n_features, input_type="string").transform([key] for key in keys)
    return found.indices.astype(np.intp), found.data


@dataclass(frozen=True)
class HashedCategory:
    """A category with any number of values, none of which need to be declared.

    Args:
        n_features: number of features. About ten times the number of values keeps nine values of ten apart.
            Default: 1024.
        max_collisions: a fit is refused if more than this share of the different values share a feature with another.
            Default: no limit.

    Raises:
        ValueError: too few or too many features, or an invalid share.

    Examples:
        >>> HashedCategory(4).encode(["N10156", "N10156", None]).features.toarray().tolist()
        [[-1.0, 0.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """

    n_features: int = 1024
    max_collisions: float | None = None

    kind: ClassVar[str] = "hashed_category"
    is_sparse: ClassVar[bool] = True
    norm_bound: ClassVar[float] = 1.0
    alike: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        require_features(self.n_features, self.max_collisions)

    @property
    def suffixes(self) -> list[str]:
        """One name per feature."""
        return [f"#{i}" for i in range(self.n_features)]

    @property
    def groups(self) -> list[Index]:
        """A row has at most one of them."""
        return one_group(self.n_features)

    def encode(self, values: Any) -> Block:
        """The features, CSR ``(n_rows, n_features)``: 1 or −1; a missing value is all zeros.

        Args:
            values: a column, ``(n_rows,)``; whole floats count as integers.
        """
        labels = different(values)
        codes = codes_of(values, labels)
        place, sign = places(labels, self.n_features)
        missing = codes < 0
        own = np.where(missing, -1, codes)  # the last code means a missing value
        columns, signs = np.append(place, -1)[own], np.append(sign, 0.0)[own]
        return Block(one_a_row(columns, signs, self.n_features), np.zeros_like(missing), missing)

    def keys(self, values: Any) -> Iterator[tuple[int, list[str]]]:
        """What is hashed of each row.

        Args:
            values: a column, ``(n_rows,)``.
        """
        labels = different(values)
        for row, code in enumerate(codes_of(values, labels).tolist()):
            yield row, [labels[code]] if code >= 0 else []


@dataclass(frozen=True)
class HashedText:
    """The n-grams of a text, each hashed; a row's features have norm 1.

    Args:
        n_features: number of features. Default: 1024.
        analyzer: ``word`` for n-grams of words, ``char`` of characters, ``char_wb`` of characters within words, as
            scikit-learn's ``HashingVectorizer`` finds them in small letters. Default: ``word``.
        ngram_range: the shortest and the longest n-gram, in words or characters. Default: (1, 1).
        max_collisions: a fit is refused if more than this share of the different n-grams share a feature with another.
            Default: no limit.

    Raises:
        ValueError: too few or too many features, an unknown analyzer, an impossible range or share.

    Examples:
        >>> HashedText(16).encode(["late again", "", None]).features.toarray().round(3)[0].tolist()
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.707, 0.0, 0.0, 0.0, 0.0, -0.707, 0.0, 0.0]
    """

    n_features: int = 1024
    analyzer: str = "word"
    ngram_range: tuple[int, ...] = (1, 1)
    max_collisions: float | None = None

    kind: ClassVar[str] = "hashed_text"
    is_sparse: ClassVar[bool] = True
    norm_bound: ClassVar[float] = 1.0
    alike: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        require_features(self.n_features, self.max_collisions)
        if self.analyzer not in ANALYZERS:
            raise ValueError(f"analyzer must be one of {', '.join(ANALYZERS)}, got {self.analyzer!r}")
        if len(self.ngram_range) != 2 or not 1 <= self.ngram_range[0] <= self.ngram_range[1]:
            raise ValueError(f"ngram_range must be the shortest and longest n-gram, from 1 on, got {list(self.ngram_range)}")

    @property
    def suffixes(self) -> list[str]:
        """One name per feature."""
        return [f"#{i}" for i in range(self.n_features)]

    @property
    def groups(self) -> list[Index]:
        """A row may have any of them."""
        return one_by_one(self.n_features)

    def encode(self, values: Any) -> Block:
        """The features, CSR ``(n_rows, n_features)``; a missing text is all zeros, as is one without n-grams.

        Args:
            values: a column, ``(n_rows,)``; values that are not text count as they are written.
        """
        texts = _texts(values)
        if not texts:
            return Block(sparse.csr_array((0, self.n_features)), np.empty(0, dtype=bool), np.empty(0, dtype=bool))
        counts = canonical(self._vectorizer.transform(["" if text is None else text for text in texts]), "text")
        features = divided(counts, np.maximum(row_norms(counts), 1.0))
        missing = np.array([text is None for text in texts], dtype=bool)
        return Block(features, np.zeros_like(missing), missing)

    def keys(self, values: Any) -> Iterator[tuple[int, list[str]]]:
        """What is hashed of each row.

        Args:
            values: a column, ``(n_rows,)``.
        """
        analyze = self._vectorizer.build_analyzer()
        for row, text in enumerate(_texts(values)):
            yield row, [] if text is None else analyze(text)

    @property
    def _vectorizer(self) -> Any:
        from sklearn.feature_extraction.text import HashingVectorizer

        return HashingVectorizer(
            n_features=self.n_features, analyzer=self.analyzer, ngram_range=tuple(self.ngram_range), norm=None
        )


def _texts(values: Any) -> list[str | None]:
    return [label(value) for value in (values.to_pylist() if hasattr(values, "to_pylist") else values)]

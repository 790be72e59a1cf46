"""The mean of vectors, the paper's worked example: forgetting is exact, and costs O(p) whatever n is. Theory §3.

Under f(w, z) = ½|w − z|² the optimum is the mean, and w̄ = (nŵ − Σ_U z)/(n − m) is the retrained one: no distance, no noise.
Sums of floats are not a group, though: what rounding leaves of a forgotten vector would stay. So the sum is kept as whole
numbers in units of 2⁻¹⁰⁷⁴, of which every float is a multiple. After any number of operations the state is bit for bit that
of an estimator which never saw the forgotten vectors.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from expunge.errors import InvalidRows
from expunge.problem.arrays import real

Array = NDArray[np.float64]

EXPONENT = 1074
"""Every finite float64 is a whole multiple of 2⁻¹⁰⁷⁴."""


class MeanEstimator:
    """The mean of the vectors learned and not forgotten.

    Examples:
        >>> estimator = MeanEstimator().fit([[1.0], [2.0], [6.0]])
        >>> float(estimator.mean_[0])
        3.0
        >>> float(estimator.forget([[6.0]]).mean_[0])
        1.5

    Attributes:
        mean_: ``(p,)``, the exact mean, rounded once.
        n_: how many vectors are learned and not forgotten: the paper's T(S).

    Source: paper, §3 (mean estimation); theory §3.
    """

    def fit(self, Z: Any) -> Self:
        """The estimator of the rows of ``Z``, ``(n_rows, p)``; forgets everything learned before.

        Args:
            Z: rows, ``(n_rows, n_features)``.

        Raises:
            InvalidRows: no rows, NaN or infinite values, or another shape.
        """
        vectors = _checked(Z, None)
        self._become(len(vectors), _sums(vectors))
        return self

    def forget(self, Z: Any) -> Self:
        """The estimator without the rows of ``Z``; as if they had never been learned.

        Args:
            Z: rows that were learned, ``(n_rows, n_features)``.

        Assumes: the rows were learned.

        Raises:
            InvalidRows: as ``fit``, or no row would remain; nothing is changed then.
        """
        vectors = _checked(Z, self._width)
        if len(vectors) >= self.n_:
            raise InvalidRows(f"asked to forget {len(vectors)} of {self.n_} rows: at least one must remain")
        self._become(self.n_ - len(vectors), [a - b for a, b in zip(self._sum, _sums(vectors), strict=True)])
        return self

    def learn(self, Z: Any) -> Self:
        """The estimator with the rows of ``Z`` too.

        Args:
            Z: rows to add, ``(n_rows, n_features)``.

        Raises:
            InvalidRows: as ``fit``; nothing is changed then.
        """
        vectors = _checked(Z, self._width)
        self._become(self.n_ + len(vectors), [a + b for a, b in zip(self._sum, _sums(vectors), strict=True)])
        return self

    @property
    def mean_(self) -> Array:
        """The mean, ``(p,)``."""
        unit = self.n_ << EXPONENT
        return np.array([total / unit for total in self._sum])

    @property
    def _width(self) -> int:
        if not hasattr(self, "n_"):
            raise InvalidRows("nothing is learned yet: call fit first")
        return len(self._sum)

    def _become(self, n: int, total: list[int]) -> None:
        self.n_: int = n
        self._sum = total


def _checked(Z: Any, width: int | None) -> Array:
    vectors = np.asarray(real(Z, "Z"), dtype=np.float64)
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise InvalidRows(f"expected rows of vectors, (n_rows, p), got shape {vectors.shape}")
    if width is not None and vectors.shape[1] != width:
        raise InvalidRows(f"rows have {vectors.shape[1]} coordinates, those learned have {width}")
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise InvalidRows(f"row {int(np.argmin(finite))} is NaN or infinite: remove or impute it")
    return vectors


def _sums(vectors: Array) -> list[int]:
    """The column sums in units of 2⁻¹⁰⁷⁴."""
    return [sum(_whole(value) for value in column) for column in vectors.T.tolist()]


def _whole(value: float) -> int:
    numerator, denominator = value.as_integer_ratio()  # the denominator is a power of two
    return numerator << (EXPONENT + 1 - denominator.bit_length())

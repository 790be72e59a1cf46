"""Random Fourier features: smooth functions of several numbers together, as with a Gaussian kernel."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from expunge.data.encoding import portable
from expunge.data.encoding.block import Array, Block, Encoding, Index, one_by_one
from expunge.data.encoding.cross import declared_as
from expunge.data.encoding.indicator import plain
from expunge.data.encoding.number import Number


@dataclass(frozen=True)
class RandomFourier:
    """Cosines and sines in random directions, whose products between rows are about exp(−γ·\\|x − x′\\|²).

    x are the numbers in their declared ranges and scales, from 0 to 1 each. The directions are fixed by ``random_state``.

    Args:
        columns: names of the columns, which the schema declares as numbers.
        n_components: number of features, even. Default: 100.
        gamma: parameter of the kernel; features fade over a distance of about 1/√γ of the ranges. Default: 1.0.
        random_state: seed of the directions, at least 0. Default: 0.

    Raises:
        ValueError: no columns, one twice, an odd number of features, or an impossible gamma or seed.

    Source: A. Rahimi, B. Recht, Random Features for Large-Scale Kernel Machines, NIPS 2007; scikit-learn's ``RBFSampler``.

    Examples:
        >>> declared = {"x": Number(0, 10), "y": Number(0, 10)}
        >>> blocks = [declared["x"].encode([0.0, None]), declared["y"].encode([0.0, 1.0])]
        >>> RandomFourier(("x", "y"), n_components=2).of(declared).encode(blocks).tolist()
        [[1.0, 0.0], [0.0, 0.0]]
    """

    columns: tuple[str, ...]
    n_components: int = 100
    gamma: float = 1.0
    random_state: int = 0

    kind: ClassVar[str] = "random_fourier"

    def __post_init__(self) -> None:
        if not self.columns or len(set(self.columns)) != len(self.columns):
            raise ValueError(f"random features need one or more different columns, got {list(self.columns)}")
        if self.n_components < 2 or self.n_components % 2:
            raise ValueError(f"n_components must be an even number, at least 2, got {self.n_components}")
        if not 0.0 < self.gamma < 1e6:
            raise ValueError(f"gamma must be positive and below 1e6, got {self.gamma}")
        if self.random_state < 0:
            raise ValueError(f"random_state must be at least 0, got {self.random_state}")

    @property
    def directions(self) -> Array:
        """How many turns each wave makes from end to end of each column, ``(n_columns, n_components / 2)``."""
        shape = len(self.columns), self.n_components // 2
        normals = portable.normals(self.random_state, math.prod(shape)).reshape(shape)
        return normals * (math.sqrt(2.0 * self.gamma) / (2.0 * math.pi))

    def of(self, declared: Mapping[str, Encoding]) -> "Waves":
        """The features of these columns.

        Args:
            declared: how the columns are declared, by name.

        Raises:
            ValueError: a column that is not declared, or not as a number.
        """
        for name, part in zip(self.columns, declared_as(declared, self.columns), strict=True):
            if not isinstance(plain(part), Number):
                raise ValueError(f"random features need numbers, but column {name!r} is declared {plain(part).kind}: remove it")
        return Waves(self)


@dataclass(frozen=True)
class Waves:
    """Random features of columns that are declared as numbers.

    Args:
        fourier: the parameters and columns.
    """

    fourier: RandomFourier

    is_sparse: ClassVar[bool] = False
    norm_bound: ClassVar[float] = 1.0
    alike: ClassVar[tuple[int, ...]] = ()

    @property
    def suffixes(self) -> list[str]:
        """One name per feature."""
        half = range(self.fourier.n_components // 2)
        return [f" {wave} {i}" for wave in ("cos", "sin") for i in half]

    @property
    def groups(self) -> list[Index]:
        """A row has all of them."""
        return one_by_one(self.fourier.n_components)

    def encode(self, blocks: Sequence[Block]) -> Array:
        """The features, ``(n_rows, n_components)``, of norm 1; all zeros if one of the numbers is missing.

        Args:
            blocks: the blocks of the columns, in order.
        """
        directions = self.fourier.directions
        n_waves = directions.shape[1]
        missing = np.any([block.missing for block in blocks], axis=0)
        turns = np.zeros((len(missing), n_waves))
        for block, along in zip(blocks, directions, strict=True):
            assert block.position is not None
            turns += block.position[:, None] * along  # one by one: BLAS chooses its own order of sums
        sine, cosine = portable.sine_cosine(turns)
        features = np.hstack([cosine, sine]) * math.sqrt(1.0 / n_waves)
        features[missing] = 0.0
        return features

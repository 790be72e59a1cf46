"""Memory for large arrays that take each other's place: a state that is given up leaves its arrays to the next one.

The operating system zeroes fresh memory page by page, which takes longer than writing to memory that was used before. A state
and its successor are alive together for a moment; then the arrays of one are spare. An array given out is nobody else's until
it and all views of it are dropped.
"""

import weakref

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SMALLEST = 1 << 18
"""Bytes: smaller arrays are not worth it."""
SIZES, BLOCKS = 4, 4
"""Of how many sizes spare blocks are kept, the oldest giving way, and of each how many: as many as a state has arrays."""

_spares: dict[int, list[bytearray]] = {}
"""Every step on it is atomic: finalizers run in any thread, and at any time, so that no lock may be taken."""


def empty(*shape: int) -> Array:
    """An array that holds anything.

    Args:
        shape: its lengths.

    Examples:
        >>> empty(3, 2).shape
        (3, 2)
    """
    size = int(np.prod(shape))
    if 8 * size < SMALLEST:
        return np.empty(shape)
    try:
        block = _spares[8 * size].pop()
    except (KeyError, IndexError):
        block = bytearray(8 * size)
    array = np.frombuffer(block, dtype=np.float64)
    weakref.finalize(array, _keep, block).atexit = False
    return array.reshape(shape)


def _keep(block: bytearray) -> None:
    blocks = _spares.setdefault(len(block), [])
    if len(blocks) < BLOCKS:
        blocks.append(block)
    for oldest in list(_spares)[:-SIZES]:
        _spares.pop(oldest, None)

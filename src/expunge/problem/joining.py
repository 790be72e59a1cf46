"""Which categories are one block: small ones with the same value in each row, so that fewer pairs of blocks are counted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.problem.levels import Block, Levels

Index = NDArray[np.intp]

TOGETHER = 64
"""Categories are one block while it has no more codes than this: the table of two such blocks fits the fastest cache."""
FIRST = 1 << 10
"""Rows by which groups are ordered before all rows decide which have the same values."""


def alike_in(values: Any) -> list[int]:
    """Groups that have the same value in each row that has any of their columns, as many as go together.

    Args:
        values: by group, 0 where a row has none of its columns, ``(n_groups, n_rows)``.
    """
    found, common = list[int](), np.zeros(values.shape[1:], values.dtype)
    first = values[:, :FIRST]
    friends = [int((_agrees(each, first)).all(axis=1).sum()) for each in first]
    for k in sorted(range(len(values)), key=lambda k: -friends[k]):
        if _agrees(values[k], common).all():
            common = np.where(common == 0, values[k], common)
            found.append(k)
    return found


def _agrees(values: Any, others: Any) -> Any:
    """Whether values are the same wherever both are not 0."""
    return (values == others) | (values == 0) | (others == 0)


def joined(lengths: Sequence[int], may_join: Sequence[int], has_none: Sequence[bool]) -> list[list[int]]:
    """Which groups are one block: the largest first, each with the first others that leave room."""
    bins, room = [[k] for k in range(len(lengths)) if k not in may_join], list[int]()
    several = list[list[int]]()
    for k in sorted(may_join, key=lambda k: -lengths[k]):
        size = lengths[k] + has_none[k]
        place = next((i for i, left in enumerate(room) if size <= left), None)
        if place is None:
            several.append([k])
            room.append(TOGETHER // size)
        else:
            several[place].append(k)
            room[place] //= size
    return bins + several


def joint_block(members: Sequence[int], columns: Sequence[Index], has_none: Sequence[bool], codes: Any, values: Any) -> Block:
    """One block of some groups, from the codes and values of each."""
    if len(members) == 1:  # a row that has none of its columns has the value 0
        (k,) = members
        return Block(Levels((columns[k],), (False,)), codes[k], values[k])
    levels = Levels(tuple(columns[k] for k in members), tuple(has_none[k] for k in members))
    first = values[members[0]]
    code, value = np.zeros(first.shape, dtype=np.int32), np.zeros(first.shape, dtype=first.dtype)
    for k, size in zip(members, levels.sizes, strict=True):
        own = np.where(values[k] == 0, np.int32(len(columns[k])), codes[k]) if has_none[k] else codes[k]
        code, value = code * np.int32(size) + own, np.where(value == 0, values[k], value)
    return Block(levels, code, value)

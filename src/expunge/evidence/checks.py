"""Checks: what verification found to be right, one after the other, in words for people."""

from collections.abc import Callable

Passed = Callable[[str], None]
"""Told of each check that passed, in the order in which they are made."""


def untold(_check: str) -> None:
    """Nobody is told."""

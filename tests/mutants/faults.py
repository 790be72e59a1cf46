"""Faults that were once in the code or nearly so, planted by name; each with the test that catches it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A fault planted in the source.

    Args:
        name: what went wrong.
        path: of the file, below ``src/expunge``.
        was: text that occurs once in it; ``now``: what the fault makes of it.
        test: the test that must fail.
    """

    name: str
    path: str
    was: str
    now: str
    test: str


FAULTS: tuple[Fault, ...] = ()

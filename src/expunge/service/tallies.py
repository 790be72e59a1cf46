"""Tallies: how often something happened in the present minute, in memory that is bounded."""

import time

MOST = 10_000
"""Number of things that one tally counts at a time; the one counted first is dropped for a further one."""


class Tally:
    """Counts by name, from the start of every minute."""

    def __init__(self) -> None:
        self._minute = -1
        self._counts: dict[str, int] = {}

    def add(self, name: str) -> int:
        """Counts ``name`` once more; returns its count in this minute."""
        self._turn()
        if name not in self._counts and len(self._counts) >= MOST:
            del self._counts[next(iter(self._counts))]
        self._counts[name] = self._counts.get(name, 0) + 1
        return self._counts[name]

    def __len__(self) -> int:
        """Number of names counted in this minute."""
        self._turn()
        return len(self._counts)

    @property
    def seconds_left(self) -> int:
        """Seconds until the next minute, when all counts are 0."""
        return 60 - int(time.time() % 60)

    def _turn(self) -> None:
        minute = int(time.time() // 60)
        if minute != self._minute:
            self._minute, self._counts = minute, {}

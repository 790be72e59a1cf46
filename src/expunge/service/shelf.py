"""A shelf: what its owner may take up again for half an hour, in the memory of this process alone, under a random name."""

import secrets
import threading
import time
from typing import Generic, TypeVar

MINUTES = 30
MOST = 8
"""Number of things that one owner may have on a shelf; the oldest is dropped."""
T = TypeVar("T")


class Shelf(Generic[T]):
    """Things under random names, each for its owner."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, float, T]] = {}  # the oldest first
        self._lock = threading.Lock()

    def keep(self, owner: str, thing: T) -> str:
        """Keeps ``thing``, and returns its name."""
        with self._lock:
            self._drop_old()
            own = [name for name, (whose, _since, _thing) in self._kept.items() if whose == owner]
            for name in own[: max(0, len(own) + 1 - MOST)]:
                del self._kept[name]
            name = secrets.token_urlsafe(16)
            self._kept[name] = owner, time.monotonic(), thing
            return name

    def see(self, owner: str, name: str) -> T | None:
        """The thing of that name; ``None`` if ``owner`` has none, or had it for too long."""
        with self._lock:
            return self._found(owner, name)

    def take(self, owner: str, name: str) -> T | None:
        """Like ``see``; the thing is then dropped."""
        with self._lock:
            found = self._found(owner, name)
            if found is not None:
                del self._kept[name]
            return found

    def _found(self, owner: str, name: str) -> T | None:
        self._drop_old()
        found = self._kept.get(name)
        return None if found is None or found[0] != owner else found[2]

    def _drop_old(self) -> None:
        now = time.monotonic()
        self._kept = {name: kept for name, kept in self._kept.items() if now - kept[1] < 60.0 * MINUTES}

"""Turns: threads may share an estimator, and its changes take turns."""

import threading


class Turn:
    """A lock, copied as a new one: a copy of an estimator takes its own turns."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_error: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type["Turn"], tuple[()]]:
        return Turn, ()

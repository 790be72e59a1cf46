"""Ownership: what one process may change, one thread at a time; a copy of it refuses until it is told to take over."""

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from expunge.errors import ModelCopied, ModelCopyWarning


class Owned:
    """A model that spends a budget, and belongs to the process that made it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._owner: int | None = os.getpid()

    def take_over(self) -> None:
        """Lets a copy release from now on, in the original's place.

        Assumes: the original, and every other copy, releases no more; else the same budget is spent twice.
        """
        self._lock = threading.RLock()
        self._owner = os.getpid()

    @contextmanager
    def in_charge(self) -> Iterator[None]:
        """The right to change the secret, for one thread at a time.

        Raises:
            ModelCopied: this is a copy.
        """
        if self._owner != os.getpid():
            raise ModelCopied(
                "this model is a copy of one that may still release: both would spend the same budget. Use the original, or, "
                "if it and all other copies release no more, call take_over() on this one. Nothing was changed"
            )
        with self._lock:
            yield

    def __getstate__(self) -> dict[str, Any]:
        warnings.warn(
            "a copy of a model that can forget holds its secret state, which may still depend on those forgotten, and refuses "
            "to release until take_over() is called on it; to publish, copy the release instead",
            ModelCopyWarning,
            stacklevel=2,
        )
        return {**self.__dict__, "_lock": None, "_owner": None}

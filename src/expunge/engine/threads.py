"""How many threads BLAS may use. OpenBLAS's own wait busily for a while after each call and slow down every other thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_LOCK = threading.Lock()
_limits: list[Any] = []


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


@cache
def blas_threads() -> int:
    """How many threads BLAS was allowed when first asked (``OPENBLAS_NUM_THREADS`` and kin)."""
    return max((int(library["num_threads"]) for library in _blas().info()), default=1)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """BLAS with one thread, for the whole process, until the last of those who asked for it is done."""
    blas_threads()
    with _LOCK:
        _limits.append(_limits[-1] if _limits else _blas().limit(limits=1))
    try:
        yield
    finally:
        with _LOCK:
            limiter = _limits.pop()
            if not _limits:
                limiter.restore_original_limits()

"""The clock of benchmarks that compare: with one thread it counts processor time, to which nobody else on the machine adds."""

import os
import time

THREADS = {name: os.environ.get(name, "unset") for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")}
"""How many threads BLAS and OpenMP were allowed."""
IS_SINGLE = set(THREADS.values()) == {"1"}
CLOCK = "processor seconds of one thread" if IS_SINGLE else "seconds"
"""What ``now`` counts."""


def now() -> float:
    """Seconds since some moment."""
    return time.thread_time() if IS_SINGLE else time.perf_counter()

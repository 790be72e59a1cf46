"""Past memory: a fit on 20 million × 100 float32 rows of Parquet (8 GB), its peak memory, and its speed beside the floor.

The floor is the slower of decoding the rows it read and multiplying them (dsyrk), both measured here with as many threads;
decoding and multiplying share the cores, so that their sum is shown as well. Each part runs in a process of its own, of which
the peak memory is taken. Run: python -m benchmarks.scale [--rows N] [--folder DIR]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from benchmarks.record import record
from expunge.data.sources import TableSource
from expunge.data.table_columns import TableColumns
from expunge.engine.local import LocalEngine
from expunge.engine.threads import blas_threads, one_blas_thread
from expunge.privacy import Guarantee
from expunge.problem.losses import Logistic
from expunge.problem.objective import Objective
from expunge.problem.rows import BATCH_VALUES, Rows, RowSource
from expunge.unlearning.settings import Settings
from expunge.unlearning.unlearner import Unlearner

T = TypeVar("T")

FEATURES = 100
PER_FILE, PER_GROUP = 1_000_000, 62_500
LIMIT_GIB = 1.5
NAMES = [f"x{j}" for j in range(FEATURES)]


def generate(folder: Path, rows: int) -> None:
    """Files of a million rows each."""
    truth = np.random.default_rng(0).normal(size=FEATURES) / 10
    for number in range(-(-rows // PER_FILE)):
        path = folder / f"part-{number:03}.parquet"
        n = min(PER_FILE, rows - number * PER_FILE)
        if path.exists():
            continue
        rng = np.random.default_rng(number + 1)
        X = rng.standard_normal((n, FEATURES), dtype=np.float32)
        y = (X @ truth + rng.logistic(size=n) > 0).astype(np.int8)
        table = pa.table({**{name: X[:, j] for j, name in enumerate(NAMES)}, "y": y})
        pq.write_table(table, path, row_group_size=PER_GROUP, use_dictionary=False)


def opened(folder: Path) -> TableSource:
    """All of them."""
    return TableSource.open(str(folder), TableColumns(NAMES, "y"))


class CountingEngine(LocalEngine):
    """Counts the rows that are read."""

    read: int = 0

    def reduce(self, source: RowSource, function: Callable[[Rows], T], combine: Callable[[T, T], T]) -> T:
        total, n = super().reduce(
            source, lambda rows: (function(rows), len(rows)), lambda a, b: (combine(a[0], b[0]), a[1] + b[1])
        )
        self.read += n
        return total


def decoding(folder: Path) -> dict[str, float]:
    """Rows a second when nothing is done with them."""
    started = time.perf_counter()
    n = LocalEngine().reduce(opened(folder), len, int.__add__)
    return {"rows_per_second": n / (time.perf_counter() - started)}


def multiplying(_folder: Path) -> dict[str, float]:
    """Rows a second of ZᵀZ in float64, batches as the library's, one a thread."""
    Z = np.random.default_rng(0).normal(size=(BATCH_VALUES // FEATURES, FEATURES + 1))
    repeats = 400

    def multiply(_i: int) -> float:
        return float((Z.T @ Z)[0, 0])

    with one_blas_thread(), ThreadPoolExecutor(blas_threads()) as pool:
        list(pool.map(multiply, range(50)))
        started = time.perf_counter()
        list(pool.map(multiply, range(repeats)))
        return {"rows_per_second": repeats * len(Z) / (time.perf_counter() - started)}


def fitting(folder: Path) -> dict[str, float]:
    """Seconds, rows read, and the certificate of a fit."""
    engine, source = CountingEngine(), opened(folder)
    started = time.perf_counter()
    model = Unlearner.learn_from(Objective(Logistic(), FEATURES), source, Settings(Guarantee(1.0, 1e-6), 0.05), engine=engine)
    return {
        "seconds": time.perf_counter() - started,
        "rows_read": engine.read,
        "rows": len(source),
        "distance_bound": model.release.certificate.distance_bound,
    }


STEPS: dict[str, Callable[[Path], dict[str, float]]] = {"decoding": decoding, "multiplying": multiplying, "fitting": fitting}


def in_a_process(step: str, folder: Path, *more: str) -> dict[str, Any]:
    """What ``step`` found, with the peak memory of its process."""
    command = [sys.executable, "-m", "benchmarks.scale", "--step", step, "--folder", str(folder), *more]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def main(folder: Path, rows: int) -> None:
    """All steps, and what binds."""
    console = Console()
    in_a_process("generating", folder, "--rows", str(rows))  # a child's peak is never below its parent's
    found = {step: in_a_process(step, folder) for step in STEPS}
    fit = found["fitting"]
    decode, multiply = (fit["rows_read"] / found[step]["rows_per_second"] for step in ("decoding", "multiplying"))
    binding = "decoding" if decode > multiply else "dsyrk"
    share = max(decode, multiply) / fit["seconds"]
    console.print(
        f"{fit['rows']:,} × {FEATURES} float32 rows: fit in {fit['seconds']:.1f} s, {fit['rows_read'] / fit['rows']:.2f} "
        f"passes, peak {fit['peak_gib']:.2f} GiB (limit {LIMIT_GIB}), distance bound {fit['distance_bound']:.2g}"
    )
    console.print(
        f"decoding those rows alone {decode:.1f} s, dsyrk alone {multiply:.1f} s: {binding} binds, and the fit runs at "
        f"{share:.0%} of its rate; at {(decode + multiply) / fit['seconds']:.0%} of both one after the other on the same cores"
    )
    record("scale", {**found, "binding": binding, "share_of_binding_rate": share})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--step", choices=("generating", *STEPS))
    given = parser.parse_args()
    if given.step == "generating":
        generate(given.folder, given.rows)
        print("{}")
    elif given.step:
        figures = STEPS[given.step](given.folder)
        print(json.dumps({**figures, "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))
    elif given.folder:
        given.folder.mkdir(parents=True, exist_ok=True)
        main(given.folder, given.rows)
    else:
        with tempfile.TemporaryDirectory() as name:
            main(Path(name), given.rows)

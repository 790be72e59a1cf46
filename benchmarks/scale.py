"""Past memory: fits on 20 million × 100 float32 rows of Parquet (8 GB) and on 50 million rows of 12 categories with 400 levels
in all, their peak memory, and the speed of the first beside the floor.

The floor is the slower of decoding the rows it read and multiplying them (dsyrk), both measured here with as many threads;
decoding and multiplying share the cores, so that their sum is shown as well. Each part runs in a process of its own, of which
the peak memory is taken. Run: python -m benchmarks.scale [--rows N] [--categories N] [--folder DIR]; 0 leaves one out
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
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from benchmarks.record import record
from expunge.data.schema import Category, FeatureSchema
from expunge.data.sources import TableSource
from expunge.data.table_columns import TableColumns
from expunge.engine.local import LocalEngine
from expunge.engine.threads import blas_threads, one_blas_thread
from expunge.privacy import Guarantee
from expunge.problem.losses import Logistic
from expunge.problem.objective import Objective
from expunge.problem.rows import BATCH_VALUES, Rows, RowSource
from expunge.unlearning.settings import Order, Settings
from expunge.unlearning.unlearner import Unlearner

T = TypeVar("T")

FEATURES = 100
PER_FILE, PER_GROUP = 1_000_000, 62_500
LIMIT_GIB = 1.0
NAMES = [f"x{j}" for j in range(FEATURES)]
LEVELS = {f"c{j}": tuple(f"level {k} of {j}" for k in range(34 if j < 4 else 33)) for j in range(12)}


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


def generate_categories(folder: Path, rows: int) -> None:
    """Files of a million rows each, texts in all columns but the target's."""
    truth = {name: np.random.default_rng(j).normal(size=len(levels)) for j, (name, levels) in enumerate(LEVELS.items())}
    for number in range(-(-rows // PER_FILE)):
        n, rng = min(PER_FILE, rows - number * PER_FILE), np.random.default_rng(number + 1)
        codes = {name: rng.integers(0, len(levels), n, dtype=np.int32) for name, levels in LEVELS.items()}
        y = (sum(truth[name][codes[name]] for name in LEVELS) / 4 + rng.logistic(size=n) > 0).astype(np.int8)
        columns = {name: pa.DictionaryArray.from_arrays(codes[name], list(LEVELS[name])).cast(pa.string()) for name in LEVELS}
        pq.write_table(pa.table({**columns, "y": y}), folder / f"part-{number:03}.parquet", row_group_size=4 * PER_GROUP)


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


def fitting(folder: Path, order: Order = 2) -> dict[str, float]:
    """Seconds, rows read, and the certificate of a fit."""
    engine, source, settings = CountingEngine(), opened(folder), Settings(Guarantee(1.0, 1e-6), 0.05, order=order)
    started = time.perf_counter()
    model = Unlearner.learn_from(Objective(Logistic(), FEATURES), source, settings, engine=engine)
    return {
        "seconds": time.perf_counter() - started,
        "rows_read": engine.read,
        "rows": len(source),
        "distance_bound": model.release.certificate.distance_bound,
    }


def fitting_third(folder: Path) -> dict[str, float]:
    """The same with third derivatives: 10¹³ operations more, which no floor below counts."""
    return fitting(folder, 3)


def fitting_categories(folder: Path) -> dict[str, float]:
    """The same of rows of categories, through a schema, with third derivatives."""
    engine, schema = CountingEngine(), FeatureSchema({name: Category(levels) for name, levels in LEVELS.items()})
    source, started = TableSource.open(str(folder), TableColumns(schema, "y")), time.perf_counter()
    objective = Objective(Logistic(), len(schema.feature_names))
    model = Unlearner.learn_from(objective, source, Settings(Guarantee(1.0, 1e-6), excess_risk=0.001), engine=engine)
    seconds, certificate = time.perf_counter() - started, model.release.certificate
    return {"seconds": seconds, "rows_read": engine.read, "rows": len(source), "distance_bound": certificate.distance_bound}


Step = Callable[[Path], dict[str, float]]
NUMBERS: dict[str, Step] = {
    "decoding": decoding,
    "multiplying": multiplying,
    "fitting": fitting,
    "fitting, order 3": fitting_third,
}
STEPS: dict[str, Step] = {**NUMBERS, "fitting-categories": fitting_categories}
GENERATING = {"generating": generate, "generating-categories": generate_categories}


def in_a_process(step: str, folder: Path, *more: str) -> dict[str, Any]:
    """What ``step`` found, with the peak memory of its process."""
    command = [sys.executable, "-m", "benchmarks.scale", "--step", step, "--folder", str(folder), *more]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def main(folder: Path, rows: int, categories: int) -> None:
    """Both tables."""
    console = Console()
    if rows:
        record("scale", of_numbers(console, folder / "numbers", rows))
    if categories:
        record("scale of categories", of_categories(console, folder / "categories", categories))


def of_categories(console: Console, folder: Path, rows: int) -> dict[str, Any]:
    """The fit on rows of categories."""
    folder.mkdir(parents=True, exist_ok=True)
    in_a_process("generating-categories", folder, "--rows", str(rows))
    fit = in_a_process("fitting-categories", folder)
    speed = fit["rows_read"] / fit["seconds"] / 1e6
    console.print(
        f"{fit['rows']:,} rows of {len(LEVELS)} categories, {sum(map(len, LEVELS.values()))} levels: fit in "
        f"{fit['seconds']:.1f} s, {fit['rows_read'] / fit['rows']:.2f} passes, peak {fit['peak_gib']:.2f} GiB "
        f"(limit {LIMIT_GIB}), {speed:.2f} million rows a second, distance bound {fit['distance_bound']:.2g}"
    )
    return fit


def of_numbers(console: Console, folder: Path, rows: int) -> dict[str, Any]:
    """All steps on rows of numbers, and what binds."""
    folder.mkdir(parents=True, exist_ok=True)
    in_a_process("generating", folder, "--rows", str(rows))  # a child's peak is never below its parent's
    found = {step: in_a_process(step, folder) for step in NUMBERS}
    fit, third = found["fitting"], found["fitting, order 3"]
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
    console.print(
        f"with third derivatives: fit in {third['seconds']:.1f} s, {third['rows_read'] / third['rows']:.2f} passes, peak "
        f"{third['peak_gib']:.2f} GiB"
    )
    return {**found, "binding": binding, "share_of_binding_rate": share}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--categories", type=int, default=50_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--step", choices=(*GENERATING, *STEPS))
    given = parser.parse_args()
    if given.step in GENERATING:
        GENERATING[given.step](given.folder, given.rows)
        print("{}")
    elif given.step:
        figures = STEPS[given.step](given.folder)
        print(json.dumps({**figures, "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))
    else:
        with ExitStack() as stack:
            main(given.folder or Path(stack.enter_context(tempfile.TemporaryDirectory())), given.rows, given.categories)

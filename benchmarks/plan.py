"""How long would 10⁹ rows × 1,000 features take on 64 workers? Constants measured here, the cluster simulated.

Measured on this machine, one thread each: decoding a row group, one look in float64 and in float32 (gradient and
Hessian), one gradient pass, adding two statistics, factorising, forgetting a row. Simulated, task by task: the workers' threads
take runs of row groups in turn, share its line to the store, vary in speed, and now and then a worker is lost, whose
unfinished runs begin anew; the results are added as a tree over the line. The simulation is checked first against a fit
measured here. Run: python -m benchmarks.plan
"""

import heapq
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.record import record
from expunge.data.sources import TableSource
from expunge.data.table_columns import TableColumns
from expunge.engine.dask import FAN_IN, RUNS_PER_THREAD
from expunge.engine.local import LocalEngine
from expunge.engine.threads import blas_threads, one_blas_thread
from expunge.numerics.evaluation import Evaluation
from expunge.numerics.factor import Factor, Hessian
from expunge.numerics.statistics import Statistics, anchor_digest
from expunge.problem.losses import Logistic
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.dense import DenseState

GROUP = 12_500
CHECK = 1_000_000
SIMULATIONS = 50
SPREAD = 0.2
"""Standard deviation of the logarithm of a task's duration."""
LOST_PER_DAY = 1.0
"""How often a worker is lost."""


@dataclass(frozen=True)
class Costs:
    """Seconds on one thread: a row for the first four, once for the others; bytes of a row as stored."""

    decode: float
    single: float
    double: float
    gradient: float
    add: float
    factor: float
    forget: float
    stored: float


@dataclass(frozen=True)
class Cluster:
    """Workers, threads and line (bytes/s) of each, and the work: rows, and rows in a row group."""

    workers: int
    threads: int
    line: float
    rows: float
    group: float


def median_seconds(action: Callable[[], object], repeats: int = 5) -> float:
    """The median time of ``action``, after one warm-up."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return float(np.median(times[1:]))


def measured(width: int, sample: int, folder: Path) -> tuple[Costs, TableSource, Objective]:
    """The costs of rows of ``width`` float32 features, with the rows they were measured on."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((sample, width), dtype=np.float32) / math.sqrt(width)
    y = (X @ rng.normal(size=width) + rng.logistic(size=sample) > 0).astype(np.int8)
    names = [f"x{j}" for j in range(width)]
    path = folder / f"{width}.parquet"
    pq.write_table(
        pa.table({**{name: X[:, j] for j, name in enumerate(names)}, "y": y}), path, row_group_size=GROUP, use_dictionary=False
    )
    source, objective = TableSource.open(str(path), TableColumns(names, "y")), Objective(Logistic(), width)
    state = DenseState.fitted(objective, Rows.of(X[:20_000], y[:20_000]), LocalEngine())
    part = source.parts()[0]
    with one_blas_thread():
        batches = list(part.batches())
        w = state.anchor
        digest = anchor_digest(objective, w)
        found = Statistics.of(objective, batches[0], w)
        row = Rows.of(X[:1], y[:1])
        hessian = Hessian(objective, found.hessian_sum, found.count)
        costs = Costs(
            decode=median_seconds(lambda: list(part.batches())) / GROUP,
            single=median_seconds(
                lambda: [Statistics.evaluated(Evaluation(objective, b, w), digest, "float32") for b in batches]
            )
            / GROUP,
            double=median_seconds(lambda: [Statistics.evaluated(Evaluation(objective, b, w), digest) for b in batches]) / GROUP,
            gradient=median_seconds(lambda: [Evaluation(objective, b, w).gradient for b in batches]) / GROUP,
            add=median_seconds(lambda: found + found),
            factor=median_seconds(lambda: Factor.of(hessian)),
            forget=median_seconds(lambda: state.removed(row).step),
            stored=path.stat().st_size / sample,
        )
    return costs, source, objective


def simulated_pass(cluster: Cluster, costs: Costs, per_row: float, statistic: float, rng: np.random.Generator) -> float:
    """Seconds of one pass whose work a row is ``per_row`` and whose result has ``statistic`` bytes."""
    threads = cluster.workers * cluster.threads
    groups = cluster.rows / cluster.group
    n_runs = int(min(groups, RUNS_PER_THREAD * threads))
    share = cluster.rows / n_runs
    reading = share * costs.stored / (cluster.line / cluster.threads) if math.isfinite(cluster.line) else 0.0
    mean = max(reading, share * per_row)  # the line is busy while others compute
    lives = rng.exponential(86_400.0 / LOST_PER_DAY, cluster.workers)
    free = [(0.0, worker) for worker in range(cluster.workers) for _ in range(cluster.threads)]
    heapq.heapify(free)
    left, end = n_runs, 0.0
    while left:
        at, worker = heapq.heappop(free)
        done = at + mean * rng.lognormal(-(SPREAD**2) / 2, SPREAD)
        if at < lives[worker] < done:  # lost: the run begins anew, the worker is back in a minute
            heapq.heappush(free, (lives[worker] + 60.0, worker))
            lives[worker] = math.inf
            continue
        left -= 1
        end = max(end, done)
        heapq.heappush(free, (done, worker))
    levels = math.ceil(math.log(max(2, n_runs), FAN_IN))
    moving = statistic / cluster.line if math.isfinite(cluster.line) else 0.0
    return end + levels * (FAN_IN - 1) * (moving + (costs.add if statistic > 1e5 else 0.0))


def simulated_fit(cluster: Cluster, costs: Costs, width: int, rng: np.random.Generator) -> float:
    """Seconds of a fit, 3.35 passes: 2.35 in float32, a third of a pass of them on samples, one in float64 with leverage."""
    matrix = 8.0 * (width + 1) ** 2
    seconds = 0.0
    for share, per_row in ((0.35, costs.single), (2.0, costs.single), (1.0, 1.5 * costs.double)):
        part = replace(cluster, rows=cluster.rows * share)
        seconds += simulated_pass(part, costs, costs.decode + per_row, matrix, rng) + costs.factor
    return seconds


def spread(simulate: Callable[[np.random.Generator], float]) -> tuple[float, float]:
    """Median and 95th percentile of the simulations."""
    found = [simulate(np.random.default_rng(seed)) for seed in range(SIMULATIONS)]
    return float(np.median(found)), float(np.quantile(found, 0.95))


def main() -> None:
    """Measures, checks and simulates."""
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        small, source, objective = measured(100, CHECK, Path(folder))
        here = Cluster(1, blas_threads(), math.inf, CHECK, GROUP)
        fitted = median_seconds(lambda: DenseState.fitted(objective, source, LocalEngine()))
        expected, _ = spread(lambda rng: simulated_fit(here, small, 100, rng))
        costs, _source, _objective = measured(1000, 100_000, Path(folder))
    friction = max(1.0, fitted / expected)
    console.print(
        f"check: a fit of {CHECK:,} × 100 takes {fitted:.2f} s here, {expected:.2f} s in the simulation: threads slow each "
        f"other {friction:.2f} times, which is charged below"
    )
    costs = replace(costs, **{name: friction * getattr(costs, name) for name in ("decode", "single", "double", "gradient")})
    console.print("seconds on one thread, 1,000 features: " + ", ".join(f"{k} {v:.3g}" for k, v in asdict(costs).items()))
    plan = Cluster(workers=64, threads=16, line=1.25e9, rows=1e9, group=62_500)
    matrix, vector = 8.0 * 1001**2, 8.0 * 1001
    table = Table(
        "10⁹ × 1,000 on 64 workers of 16 threads", "10 Gbit/s each, median (95 %)", "from each worker's own disk, 4 GB/s"
    )
    results: dict[str, dict[str, tuple[float, float]]] = {}
    works: dict[str, Callable[[Cluster, np.random.Generator], float]] = {
        "one gradient pass": lambda c, rng: simulated_pass(c, costs, costs.decode + costs.gradient, vector, rng),
        "one Hessian pass, float64": lambda c, rng: simulated_pass(c, costs, costs.decode + costs.double, matrix, rng),
        "a fit": lambda c, rng: simulated_fit(c, costs, 1000, rng),
    }
    for name, work in works.items():
        both = {
            line: spread(lambda rng, c=cluster, f=work: f(c, rng))  # type: ignore[misc]
            for line, cluster in (("network", plan), ("disk", replace(plan, line=4e9)))
        }
        results[name] = both
        table.add_row(name, *(f"{median:.0f} s ({late:.0f} s)" for median, late in both.values()))
    table.add_row("forget one row from the statistics", *[f"{costs.forget * 1e3:.1f} ms, on one machine"] * 2)
    console.print(table)
    record("plan", {"costs": asdict(costs), "plan": asdict(plan), "results": results, "check": [fitted, expected]})


if __name__ == "__main__":
    main()

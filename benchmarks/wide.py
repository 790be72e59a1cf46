"""Wide models: softmax over MNIST's 784 pixels (p = 7,850) with its Hessian and without, and 20,000 features without.

Each in a process of its own, of which the peak memory is taken. Run: python -m benchmarks.wide
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import sparse

from benchmarks.record import SHARED, record
from expunge.privacy import Guarantee
from expunge.problem.losses import Logistic, Softmax
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.settings import MEMORY_BUDGET, Settings
from expunge.unlearning.unlearner import Unlearner

DIGITS = 10_000


def mnist() -> tuple[Objective, Rows]:
    """Ten thousand digits."""
    with np.load(SHARED / "mnist.npz") as found:
        X, y = found["X_train"][:DIGITS], found["y_train"][:DIGITS]
    X = X.reshape(len(X), -1).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return Objective(Softmax(10), X.shape[1]), Rows.of(X, y)


def dense() -> tuple[Objective, Rows]:
    """10,000 rows of 20,000 features, float32, 800 MB."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((10_000, 20_000), dtype=np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = X @ rng.standard_normal(20_000) * 3 + rng.logistic(size=len(X)) > 0
    return Objective(Logistic(), 20_000), Rows.of(X, y)


def words() -> tuple[Objective, Rows]:
    """100,000 sparse rows, 20 of 20,000 words each."""
    rng = np.random.default_rng(0)
    n = 100_000
    indices = np.sort(rng.integers(0, 20_000, (n, 20)), axis=1).ravel()
    X = sparse.csr_array((np.full(20 * n, 20**-0.5), indices, np.arange(0, 20 * n + 1, 20)), shape=(n, 20_000))
    X.sum_duplicates()
    y = X @ rng.standard_normal(20_000) * 3 + rng.logistic(size=n) > 0
    return Objective(Logistic(), 20_000), Rows.of(X, y)


CASES: dict[str, tuple[Callable[[], tuple[Objective, Rows]], float]] = {
    "MNIST softmax, p = 7,850, Hessian": (mnist, MEMORY_BUDGET),
    "MNIST softmax, p = 7,850, none": (mnist, 0.0),
    "10,000 × 20,000 dense, none": (dense, MEMORY_BUDGET),
    "100,000 × 20,000 sparse, none": (words, MEMORY_BUDGET),
}


def measured(case: str) -> dict[str, float | str]:
    """Fit, then forget 1 and 100 rows."""
    make, budget = CASES[case]
    objective, rows = make()
    started = time.perf_counter()
    model = Unlearner.learn_from(objective, rows, Settings(Guarantee(1.0, 1e-6), 0.05, memory_budget=budget))
    found: dict[str, float | str] = {"fit": time.perf_counter() - started}
    for name, gone, left in (("1", slice(0, 1), slice(1, None)), ("100", slice(1, 101), slice(101, None))):
        certificate = model.forget(rows.take(gone), rows.take(left)).certificate
        found[f"forget {name}"] = certificate.seconds
        found[f"rung {name}"] = f"{certificate.rung}, {certificate.passes} passes, Δ ≤ {certificate.distance_bound:.1e}"
    return {**found, "peak GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def main() -> None:
    """All cases."""
    table = Table("model", "fit, s", "forget 1, s", "", "forget 100, s", "", "peak, GiB")
    results = {}
    for case, (make, _budget) in CASES.items():
        if make is mnist and not (SHARED / "mnist.npz").exists():
            print(f"{case} left out: {SHARED / 'mnist.npz'} is absent")
            continue
        command = [sys.executable, "-m", "benchmarks.wide", "--case", case]
        found = results[case] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        times = [
            f"{found['fit']:.1f}",
            f"{found['forget 1']:.2f}",
            found["rung 1"],
            f"{found['forget 100']:.2f}",
            found["rung 100"],
        ]
        table.add_row(case, *times, f"{found['peak GiB']:.2f}")
    Console(width=160).print(table)
    record("wide", results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", choices=CASES)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(measured(given.case)))
    else:
        main()

"""What it costs to track a million rows: making their digests, forgetting a row, writing and reading the state.

``python -m benchmarks.tracking [n] [p]``; seconds of this process's CPU, medians, with and without tracking in turn.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time

import numpy as np

from expunge import Guarantee, Objective, Rows, Settings, Unlearner
from expunge.engine.local import LocalEngine
from expunge.problem.losses import Logistic
from expunge.unlearning.learned import LearnedRows
from expunge.unlearning.storage import load_unlearner, save_unlearner

REPEATS = 15


def spent(act: Callable[[], object]) -> float:
    """CPU seconds that ``act`` takes."""
    began = process_time()
    act()
    return process_time() - began


def measured(n: int = 1_000_000, p: int = 100) -> dict[str, tuple[float, float]]:
    """The figures for ``n`` rows of ``p`` columns, without and with tracking."""
    figures: dict[str, tuple[float, float]] = {}
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    rows = Rows.of(X, (3 * X[:, 0] + rng.logistic(size=n) > 0).astype(float))
    hot = np.zeros((n // 10, p), dtype=np.float32)
    for first in range(0, p, 10):
        hot[np.arange(len(hot)), first + rng.integers(min(10, p - first), size=len(hot))] = 1.0
    one_hot = Rows.of(hot, rows.y[: len(hot)])
    for name, made, share in (("full", rows, 1), ("one-hot", one_hot, 10)):
        seconds = spent(lambda made=made: LearnedRows.of(made, LocalEngine(), by_subject=False))  # type: ignore[misc]
        figures[f"digests of {name} rows, CPU s"] = 0.0, share * seconds
    models = {
        tracking: Unlearner.learn_from(
            Objective(Logistic(), p),
            rows,
            Settings(Guarantee(1.0, 1e-6), 0.05, track_rows=tracking),
            noise=lambda weights, _sigma: weights.copy(),
        )
        for tracking in (False, True)
    }
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state"
        steps: dict[str, Callable[[Unlearner, int], object]] = {
            "forget a row": lambda model, i: model.forget(rows.take([i])),
            "write the state": lambda model, _i: save_unlearner(model, path),
            "read the state": lambda _model, _i: load_unlearner(path),
        }
        found: dict[tuple[str, bool], list[float]] = {}
        for i in range(REPEATS):
            for tracking, model in models.items():
                for name, step in steps.items():
                    found.setdefault((name, tracking), []).append(spent(lambda: step(model, i)))  # noqa: B023
                found.setdefault(("size", tracking), []).append(path.stat().st_size)
    for name in steps:
        plain, tracked = (1e3 * median(found[name, tracking]) for tracking in (False, True))
        figures[f"{name}, CPU ms"] = plain, tracked
    plain, tracked = (median(found["size", tracking]) for tracking in (False, True))
    return figures | {"size of the state file, bytes": (plain, tracked)}


def main(n: int = 1_000_000, p: int = 100) -> None:
    """Prints the figures for ``n`` rows of ``p`` columns."""
    for name, (plain, tracked) in measured(n, p).items():
        print(f"{name}: {plain:,.2f}, tracked {tracked:,.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""How much faster is forgetting one row than refitting? Flights (one-hot), and p = 1000 against the memory's speed.

Everything in one run on one machine; the ratio is to scikit-learn's newton-cholesky refit on the remaining rows, at its
default tolerance. Run: make bench
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import sparse
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from benchmarks.clock import now
from benchmarks.record import SHARED, record
from expunge.audit import rehearsal
from expunge.linear_model import LogisticRegression
from expunge.numerics.tensor import packed_size
from expunge.paper.reproduce.studies import load_study
from expunge.privacy import Guarantee
from expunge.problem.losses import Logistic
from expunge.problem.objective import Objective
from expunge.problem.rows import Rows
from expunge.unlearning.rung import NoiseKind
from expunge.unlearning.settings import Settings
from expunge.unlearning.unlearner import Unlearner

Array = NDArray[np.float64]


def median_seconds(action: Callable[[int], Any], repeats: int, pause: float = 0.0) -> float:
    """The median time of ``action(i)`` over i = 1…repeats, after one warm-up with i = 0, ``pause`` seconds apart."""
    action(0)
    times = []
    for i in range(1, repeats + 1):
        time.sleep(pause)
        started = now()
        action(i)
        times.append(now() - started)
    return float(np.median(times))


def compare_flights(console: Console) -> dict[str, float] | None:
    """Forgetting one flight against refitting without it."""
    study = load_study("flights", SHARED)
    if study is None:
        console.print(f"left out: flights ({SHARED} does not hold it)")
        return None
    X, y = np.vstack([study.X, study.X_test]), np.concatenate([study.y, study.y_test])
    started = time.perf_counter()
    model = LogisticRegression(sigma=0.05, delta=1e-5).fit(X, y)
    fit = time.perf_counter() - started

    seconds_by_pause = []
    for pause in (0.0, 0.02):
        copied = rehearsal(model)
        time.sleep(1.0)  # the noise of a burst is drawn by then

        def forget_one(i: int, copied: LogisticRegression = copied) -> None:
            copied.forget(X[i : i + 1], y[i : i + 1])

        seconds_by_pause.append(median_seconds(forget_one, 40, pause))
    burst, spaced = seconds_by_pause
    refits = {}
    for name, rows in (("dense", X[41:]), ("csr", sparse.csr_matrix(X[41:]))):
        peer = SklearnLogisticRegression(solver="newton-cholesky")

        def refit(_i: int, rows: Any = rows, peer: Any = peer) -> None:
            peer.fit(rows, y[41:])

        refits[name] = median_seconds(refit, 5)
    table = Table(title=f"One of {len(y):,} flights, p = {X.shape[1] + 1}")
    for heading in ("", "ms", "× a burst's", "× 50 a second's"):
        table.add_column(heading, justify="right")
    figures = {"forget, in a burst": burst, "forget, 50 a second": spaced}
    figures |= {f"newton-cholesky, {name}": seconds for name, seconds in refits.items()} | {"our own fit": fit}
    for name, seconds in figures.items():
        table.add_row(name, f"{seconds * 1e3:.2f}", f"{seconds / burst:,.0f}", f"{seconds / spaced:,.0f}")
    console.print(table)
    return figures


def wide(console: Console) -> dict[str, float]:
    """p = 1000: one row, 100 rows, 10⁴ against 10⁵ learned rows, with and without the noise's own time."""
    p, rng = 1000, np.random.default_rng(0)
    figures = {}
    for n in (10_000, 100_000):
        X = rng.normal(size=(n, p)).astype(np.float32) / np.float32(np.sqrt(p))
        y = (rng.random(n) < 0.5).astype(np.float64)
        objective = Objective(Logistic(), p, 100.0, fit_intercept=False)  # so that 100 rows stay within the statistics' reach
        fitted = Unlearner.learn_from(objective, Rows.of(X, y), Settings(Guarantee(1.0, 1e-5), sigma=100.0, order=2))
        for pause, name in ((0.0, "in a burst"), (0.05, "20 a second")):
            for m, repeats in ((1, 15), (100, 8)):
                model = rehearsal(fitted)
                time.sleep(0.5)

                def forget(i: int, m: int = m, model: Unlearner = model, X: Any = X, y: Array = y) -> None:
                    model.forget(Rows.of(X[i * m : (i + 1) * m], y[i * m : (i + 1) * m]))

                figures[f"n = {n:,}, {m} row{'s' * (m > 1)} in one call, {name}"] = median_seconds(forget, repeats, pause)
    a, b = rng.normal(size=(p, p)), np.empty((p, p))
    figures["floor: copy one p × p matrix"] = median_seconds(lambda _i: np.copyto(b, a), 50)
    table = Table(title="Forgetting at p = 1000")
    for heading in ("", "ms"):
        table.add_column(heading, justify="right")
    for name, seconds in figures.items():
        table.add_row(name, f"{seconds * 1e3:.2f}")
    console.print(table)
    return figures


def third_order(console: Console) -> dict[str, float]:
    """One row at order 2 and 3, each kind of noise, against reading and writing once all that it must change."""
    figures: dict[str, float] = {}
    rng = np.random.default_rng(0)
    table = Table(title="One row, the noise drawn ahead")
    for heading in ("", "ms", "MB it must change", "× copying these"):
        table.add_column(heading, justify="right")
    for p, n in ((128, 20_000), (400, 8_000)):
        X = rng.normal(size=(n, p))
        X /= np.linalg.norm(X, axis=1, keepdims=True)
        rows = Rows.of(X, (5.0 * X[:, 0] > rng.normal(size=n)).astype(float))
        objective = Objective(Logistic(), p, fit_intercept=False)
        for order in (2, 3):
            for noise in (NoiseKind.ISOTROPIC, NoiseKind.SHAPED):
                sigma = 0.06 if noise is NoiseKind.ISOTROPIC else None
                fitted = Unlearner.learn_from(objective, rows, Settings(Guarantee(1e3, 1e-5), sigma, order=order, noise=noise))
                model = rehearsal(fitted)
                time.sleep(1.0)  # the noise of a burst is drawn by then

                def forget(i: int, model: Unlearner = model, rows: Rows = rows) -> None:
                    model.forget(rows.take([i]))

                seconds = median_seconds(forget, 30 if p == 128 else 10)
                changed = 8 * ((4 + (noise is NoiseKind.SHAPED)) * p * p + (packed_size(p) if order == 3 else 0))
                source, target = np.ones(changed // 8), np.zeros(changed // 8)

                def copy(_i: int, source: Array = source, target: Array = target) -> None:
                    np.copyto(target, source)

                floor = median_seconds(copy, 30)
                name = f"p = {p}, order {order}, {noise}"
                table.add_row(name, f"{seconds * 1e3:.2f}", f"{changed / 1e6:.1f}", f"{seconds / floor:.1f}")
                figures |= {name: seconds, f"{name}: copying what it must change": floor}
    console.print(table)
    return figures


def main() -> None:
    """Prints the tables and keeps the figures."""
    console = Console()
    figures = {"third order": third_order(console), "flights": compare_flights(console), "p=1000": wide(console)}
    console.print(f"written to {record('forget_speed', figures)}")


if __name__ == "__main__":
    main()

"""Is the forecast of `model.capacity()` right? Against deleting, within a factor of two for random rows, on every data set.

Forecast from no rows, from 2,000 and from all; actual: the median of five orders, each the largest m certified in one request.
Run: make bench
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.capacity import GUARANTEE, Deletions
from benchmarks.record import SHARED, record
from expunge.linear_model import LogisticRegression
from expunge.paper.reproduce.studies import STUDIES, Study, load_study
from expunge.privacy.guarantee import sigma_from_excess_risk
from expunge.problem.rows import Rows
from expunge.unlearning.settings import Settings

ORDERS, SAMPLE = 5, 2000


def compare(study: Study, table: Table) -> dict[str, list[int | None]]:
    """Adds one line per rung; returns the numbers."""
    sigma = sigma_from_excess_risk(0.001, 0.25, 2.0**0.5)
    model = LogisticRegression(delta=1e-5, sigma=sigma).fit(study.X, study.y)
    rng = np.random.default_rng(0)
    some: NDArray[np.intp] = rng.permutation(len(study.y))[:SAMPLE]
    reports = [model.capacity(), model.capacity(study.X[some], study.y[some]), model.capacity(study.X, study.y)]
    deletions = Deletions(Rows.of(study.X, study.y), Settings(GUARANTEE, sigma), max_passes=3)
    actual = np.median([deletions.capacities(rng.permutation(len(study.y))) for _ in range(ORDERS)], axis=0).astype(int)
    figures: dict[str, list[int | None]] = {"actual": actual.tolist()}
    for name, report in zip(("no rows", f"{SAMPLE:,} rows", "all rows"), reports, strict=True):
        figures[name] = [forecast.random for forecast in report.forecasts]
    for passes, found in enumerate(actual):
        forecasts = [figures[name][passes] for name in list(figures)[1:]]
        shown = ["?" if random is None else f"{random:,} ({random / found:.2f})" for random in forecasts]
        table.add_row(study.name if passes == 0 else "", str(passes), f"{found:,}", *shown)
    return figures


def main() -> None:
    """Prints the table and keeps the figures."""
    console = Console(width=110)
    table = Table(title="Random deletions certified in one request: found by deleting, and forecast (ratio)")
    for heading in ("data", "passes", "actual", "no rows", f"{SAMPLE:,} rows", "all rows"):
        table.add_column(heading, justify="left" if heading == "data" else "right")
    figures: dict[str, Any] = {}
    for name in STUDIES:
        study = load_study(name, SHARED)
        if study is None:
            console.print(f"left out: {name} ({SHARED} does not hold it)")
        else:
            figures[name] = compare(study, table)
    console.print(table)
    console.print(f"written to {record('forecast', figures)}")


if __name__ == "__main__":
    main()

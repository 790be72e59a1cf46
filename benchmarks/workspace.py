"""How long does a company's day take? 10,000 people of the hospital table forgotten in three models, refits, and how long
somebody waits who asks meanwhile; status after 100,000.

Run: make bench, or python -m benchmarks.workspace
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow.parquet as pq
import sqlalchemy as sa
from rich.console import Console

from benchmarks.record import SHARED, record
from expunge.ledger.tables import requests
from expunge.workspace import Workspace
from expunge.workspace.doctor import examine
from expunge.workspace.status import status

REQUESTS = 10_000
PAST = 100_000


def seconds(action: Callable[[], Any]) -> tuple[float, Any]:
    """How long ``action`` takes, and what it gives."""
    started = time.perf_counter()
    result = action()
    return time.perf_counter() - started, result


def refitted(made: Workspace, patients: list[str]) -> tuple[dict[str, float], float]:
    """By model, how long a refit takes; and how long the slowest takes of those who ask meanwhile, twice a second."""
    taken, asked, waiting = dict[str, float](), list[float](), iter(patients)
    for model in status(made.storage).models:
        refit = Thread(target=lambda name=model.name: taken.update({name: seconds(lambda: made.refit(name))[0]}))
        refit.start()
        while refit.is_alive():
            one = next(waiting)
            asked.append(seconds(lambda who=one: made.forget([who]))[0])  # type: ignore[misc]
            refit.join(0.5)
    return taken, max(asked)


def main() -> None:
    """Prints the figures and keeps them."""
    console, figures = Console(width=150), dict[str, Any]()
    data = SHARED / "diabetes130.parquet"
    if not data.exists():
        console.print(f"left out: hospital ({SHARED} does not hold it)")
        return
    patients = list(dict.fromkeys(map(str, pq.read_table(data, columns=["patient_nbr"])["patient_nbr"].to_pylist())))
    with tempfile.TemporaryDirectory() as folder, as_file(files("expunge.paper.reproduce") / "hospital.toml") as schema:
        path = Path(folder) / "ws"
        figures["import, s"], made = seconds(lambda: Workspace.create(path, str(data), "patient_nbr", schema=schema))
        for name, target, model, sigma in (
            ("readmission", "readmitted", "logistic", None),
            ("medication", "diabetesMed", "logistic", None),
            ("stay", "time_in_hospital", "ridge", 0.05),
        ):
            fit = lambda n=name, t=target, m=model, s=sigma: made.fit(n, t, model=m, sigma=s, delta=1e-5)  # noqa: E731
            figures[f"fit {name}, s"], _ = seconds(fit)
        figures["one request asked, s"], _ = seconds(lambda: made.forget(patients[:1]))
        figures["one request worked, certified and erased, s"], _ = seconds(made.process)
        figures["refits while others ask, s"], figures["one of these asked, the slowest, s"] = refitted(made, patients[-5_000:])
        made.process()
        figures[f"{REQUESTS:,} requests asked, s"], _ = seconds(lambda: made.forget(patients[1 : REQUESTS + 1]))
        figures[f"{REQUESTS:,} requests worked, certified and erased, s"], done = seconds(made.process)
        assert done.closed == REQUESTS and not done.problems
        figures["rungs"] = {outcome.model: outcome.release.certificate.rung for outcome in done.outcomes}
        figures["doctor, s"], findings = seconds(lambda: list(examine(made.storage)))
        assert not [finding for finding in findings if finding.problem]
        with made.storage.database.writing() as connection:  # more of the past, as the ledger keeps it
            one = dict(connection.execute(sa.select(requests).where(requests.c.state == "closed").limit(1)).mappings().one())
            ids = (f"r-{number:020x}" for number in range(PAST - REQUESTS))
            connection.execute(sa.insert(requests), [{**one, "id": name, "key": name, "tombstone": name} for name in ids])
        command = [sys.executable, "-m", "expunge", "status", "--json", "-w", str(path)]
        figures[f"expunge status after {PAST:,} requests, s"] = min(
            seconds(lambda: subprocess.run(command, check=True, capture_output=True))[0] for _ in range(5)
        )
        command = [sys.executable, "-c", "import expunge.cli, expunge.workspace.status"]
        figures["of that, starting Python and importing, s"] = min(
            seconds(lambda: subprocess.run(command, check=True))[0] for _ in range(5)
        )
    for name, value in figures.items():
        console.print(f"{name}: {value:.3f}" if isinstance(value, float) else f"{name}: {value}", highlight=False)
    console.print(f"written to {record('workspace', figures)}")


if __name__ == "__main__":
    main()

"""How long does each page take at a desk with 10,000 open and 100,000 closed requests?

People of a made-up table ask, in lists of 10,000, and all of these lists but the last are worked to their end; the requests of
the last are held. Then a service is started on the ledger, and every page is asked for: once in the fresh process (cold), then
a few times more (warm, of which the median counts). The processor time of the service is nearly the same whoever else uses the
machine; it includes what its worker does meanwhile. Run: python -m benchmarks.pages
"""

import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.record import record
from benchmarks.service import serve
from expunge.ledger import register, tokens
from expunge.ledger.register import Filter, Sort
from expunge.ledger.requests import Channel, RequestState
from expunge.workspace import Workspace
from expunge.workspace.asking import ForgetRequest
from expunge.workspace.cases import Case

OPEN, CLOSED, LIST, SPARE = 10_000, 100_000, 10_000, 5_000
WARM, COLD, REPEATS = 0.3, 1.0, 7
"""What is allowed, in seconds, and how often a warm page is asked for."""
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Page:
    """A page: who asks for it, and with which form if it is sent one."""

    role: str
    path: str
    form: dict[str, str] = field(default_factory=dict)


def made(folder: Path, n_closed: int, n_open: int) -> tuple[Workspace, list[str]]:
    """A workspace with so many requests, and the ids of those that are open."""
    rng, n_people = np.random.default_rng(0), n_closed + n_open + SPARE
    age, dose = rng.uniform(20, 90, n_people).round(1), rng.uniform(0, 10, n_people).round(2)
    target = np.where(rng.random(n_people) < 1 / (1 + np.exp(2 - dose / 3)), "yes", "no")
    columns = {"who": [f"p{i}" for i in range(n_people)], "age": age, "dose": dose, "target": target}
    pq.write_table(pa.table(columns), folder / "p.parquet")
    found = Workspace.create(folder / "ws", str(folder / "p.parquet"), "who")
    found.fit("model", "target", delta=1e-5)
    today, asked = datetime.now(UTC).date(), []
    for first in range(0, n_closed + n_open, LIST):
        wishes = []
        for number in range(first, min(first + LIST, n_closed + n_open)):
            case = Case(received_on=today - timedelta(days=number % 35), channel=Channel.LETTER, reference=f"DP/{number}")
            wishes.append(ForgetRequest(f"p{number}", "local", case=case))
        asked = [answer.request for answer in found.ask(wishes)]
        if first + LIST <= n_closed:
            found.process()
    return found, asked


def pages_of(opened: str, closed: str, draft: str) -> dict[str, Page]:
    """All pages, by name."""
    return {
        "Today": Page("operator", "/"),
        "New request": Page("operator", "/requests/new"),
        "Check": Page("operator", "/requests/preview", {"subject": draft}),
        "Request, open": Page("operator", f"/requests/{opened}"),
        "Request, closed": Page("operator", f"/requests/{closed}"),
        "Receipt and letter": Page("operator", f"/requests/{opened}/documents"),
        "Certificate for a person": Page("operator", f"/requests/{closed}/certificate"),
        "Register": Page("operator", "/requests"),
        "Register, last page": Page("operator", "/requests?page=99999999"),
        "Register, open by deadline": Page("operator", "/requests?matter=open&sort=due"),
        "Register, overdue": Page("operator", "/requests?matter=overdue"),
        "Register, stuck": Page("operator", "/requests?matter=stuck"),
        "Register, by letter": Page("operator", "/requests?channel=letter&sort=closed"),
        "Register, two weeks": Page(
            "operator", f"/requests?since={(datetime.now(UTC).date() - timedelta(days=14)).isoformat()}"
        ),
        "Register, by reference": Page("operator", "/requests/search", {"text": "DP/17"}),
        "Register, by number": Page("operator", "/requests/search", {"text": opened[:8]}),
        "Register, by id": Page("operator", "/requests/search", {"subject": "p17"}),
        "Look up": Page("operator", "/people"),
        "Look up, found": Page("operator", "/people", {"subject": draft}),
        "Certificates": Page("auditor", "/certificates"),
        "Certificate, claim": Page("auditor", "/certificates/2"),
        "Certificate, requests": Page("auditor", "/certificates/2?tab=requests"),
        "Certificate, evidence": Page("auditor", "/certificates/2?tab=evidence"),
        "Log": Page("auditor", "/log"),
        "Log, of one kind": Page("auditor", "/log?kind=model.fitted"),
        "Log, one event": Page("auditor", "/log/17"),
        "Verify": Page("auditor", "/verify"),
        "Audits": Page("auditor", "/audits"),
        "Models": Page("engineer", "/models"),
        "Model": Page("engineer", "/models/model"),
        "Webhooks": Page("engineer", "/webhooks"),
        "Operation": Page("engineer", "/operation"),
    }


def used(process: int) -> float:
    """Seconds of processor time that a process has used."""
    parts = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / TICKS


def timed(action: Callable[[], Any]) -> float:
    """How long ``action`` takes, in seconds."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def measured(found: Workspace, token: dict[str, str], pages: dict[str, Page]) -> dict[str, dict[str, float]]:
    """Seconds of each page: cold, warm, and the processor's part of a warm one."""
    import httpx

    process, port = serve(found.storage.path)
    clients, figures = dict[str, httpx.Client](), dict[str, dict[str, float]]()
    try:
        for role, secret in token.items():
            clients[role] = client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60.0)
            client.post("/login", data={"token": secret}, follow_redirects=True).raise_for_status()
        forms = {}
        for role, client in clients.items():
            forms[role] = re.findall(r'name="csrf" value="([^"]+)"', client.get("/problems").raise_for_status().text)[0]
        for name, page in pages.items():
            client = clients[page.role]

            def ask(page: Page = page, client: httpx.Client = client) -> None:
                form = {"csrf": forms[page.role], **page.form}
                answer = client.post(page.path, data=form) if page.form else client.get(page.path)
                answer.raise_for_status()

            cold, before = timed(ask), used(process.pid)
            warm = [timed(ask) for _ in range(REPEATS)]
            spent = (used(process.pid) - before) / REPEATS
            figures[name] = {"cold, s": cold, "warm, s": float(np.median(warm)), "processor, s": spent}
    finally:
        for client in clients.values():
            client.close()
        process.terminate()
        process.wait()
    return figures


def main() -> None:
    """Prints the figures and keeps them; exits with 1 if a page is too slow."""
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as folder:
        found, asked = made(Path(folder), CLOSED, OPEN)
        with found.storage.database.writing() as connection:
            token = {role: tokens.issue(connection, "Ann", role) for role in ("operator", "auditor", "engineer")}
        with found.storage.database.reading() as connection:
            closed = register.listed(connection, Filter(state=RequestState.CLOSED), Sort.NEWEST, 1)[0].id
            counted = register.counts(connection)
        figures = measured(found, token, pages_of(asked[17], closed, f"p{CLOSED + OPEN + 17}"))
    table = Table("page", "cold, ms", "warm, ms", "processor, ms", title=", ".join(f"{n:,} {s}" for s, n in counted.items()))
    for name, row in figures.items():
        table.add_row(name, *(f"{row[part] * 1e3:,.0f}" for part in ("cold, s", "warm, s", "processor, s")))
    console.print(table)
    console.print(f"written to {record('pages', {'pages': figures, 'requests': {str(s): n for s, n in counted.items()}})}")
    slow = [name for name, row in figures.items() if row["cold, s"] > COLD or row["warm, s"] > WARM]
    if slow:
        sys.exit(f"slower than {WARM * 1e3:.0f} ms warm or {COLD:.0f} s cold: {', '.join(slow)}")


if __name__ == "__main__":
    main()

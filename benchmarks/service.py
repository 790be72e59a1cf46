"""Does the desk keep up? 200 clients asking at once for 60 seconds, and the largest page with 100,000 requests in the ledger.

Each client asks again as soon as it is answered, so that the service is always busy. Needs four
operators, because one may ask 60,000 times a minute and 100,000 times a day. Run: make bench-service
"""

import json
import multiprocessing
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from rich.console import Console

from benchmarks.record import record
from expunge.ledger import tokens
from expunge.ledger.tables import requests
from expunge.workspace import Workspace

CLIENTS, SECONDS, SUBJECTS, PAST, OPERATORS = 200, 60.0, 120_000, 100_000, 4


def made(folder: Path) -> tuple[Workspace, list[str]]:
    """A workspace of 120,000 people with one model, and the tokens of four operators."""
    rng = np.random.default_rng(0)
    age, dose = rng.uniform(20, 90, SUBJECTS).round(1), rng.uniform(0, 10, SUBJECTS).round(2)
    target = np.where(rng.random(SUBJECTS) < 1 / (1 + np.exp(2 - dose / 3)), "yes", "no")
    columns = {"who": [f"p{i}" for i in range(SUBJECTS)], "age": age, "dose": dose, "target": target}
    pq.write_table(pa.table(columns), folder / "p.parquet")
    found = Workspace.create(folder / "ws", str(folder / "p.parquet"), "who")
    found.fit("model", "target", delta=1e-5)
    with found.storage.database.writing() as connection:
        return found, [tokens.issue(connection, f"operator {i}", "operator") for i in range(OPERATORS)]


def ask(port: int, token: list[str], subjects: list[str], until: float, out: Any) -> None:
    """A process with many clients: each asks, waits for the answer, and asks again."""
    import asyncio

    async def client(number: int, mine: list[str], seen: list[tuple[int, float, str]]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for subject in mine:
            if time.time() > until:
                break
            body = json.dumps({"subject": subject})
            head = "POST /v1/requests HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            head += f"Authorization: Bearer {token[number % OPERATORS]}\r\n"
            started = time.perf_counter()
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            headers = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(
                next(line for line in headers.split("\r\n") if line.lower().startswith("content-length:")).split(":")[1]
            )
            answer = json.loads(await reader.readexactly(length))
            seen.append((int(headers[9:12]), time.perf_counter() - started, answer.get("request", "")))
        writer.close()

    async def clients() -> list[tuple[int, float, str]]:
        seen: list[tuple[int, float, str]] = []
        await asyncio.gather(*(client(i, subjects[i::CLIENTS], seen) for i in range(CLIENTS)))
        return seen

    out.put(asyncio.run(clients()))


def serve(path: Path) -> tuple[subprocess.Popen[bytes], int]:
    """The service as a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-m", "expunge", "serve", "--port", str(port), "-w", str(path)])
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.1)
    return process, port


def main() -> None:
    """Prints the figures and keeps them."""
    import httpx

    console = Console(width=120)
    with tempfile.TemporaryDirectory() as folder:
        found, token = made(Path(folder))
        process, port = serve(found.storage.path)
        try:
            out: Any = multiprocessing.get_context("spawn").Queue()
            subjects = [f"p{i}" for i in range(SUBJECTS)]
            until = time.time() + SECONDS + 3.0
            asking = multiprocessing.get_context("spawn").Process(target=ask, args=(port, token, subjects, until, out))
            asking.start()
            seen = out.get()
            asking.join()
            statuses = {status: sum(code == status for code, _t, _r in seen) for status in {code for code, _t, _r in seen}}
            latencies = np.array([seconds for _code, seconds, _request in seen])
            with found.storage.database.reading() as connection:
                kept = set(connection.execute(sa.select(requests.c.id)).scalars())
            lost = [request for code, _t, request in seen if code == 201 and request not in kept]
            with found.storage.database.writing() as connection:  # more of the past
                one = dict(connection.execute(sa.select(requests).limit(1)).mappings().one())
                one |= {"state": "closed", "subject": None, "batch": None}
                rows = ({**one, "id": f"r-{i:020x}", "key": f"{i}", "tombstone": f"{i}"} for i in range(PAST))
                connection.execute(sa.insert(requests), list(rows))
            pages = {}
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
                client.post("/login", data={"token": token[0]})
                time.sleep(5.0)
                for path in ("/", "/requests", "/certificates"):
                    times = []
                    for _ in range(7):
                        started = time.perf_counter()
                        client.get(path).raise_for_status()
                        times.append(time.perf_counter() - started)
                    pages[path] = float(np.median(times))
        finally:
            process.terminate()
            process.wait()
    figures = {
        "clients": CLIENTS,
        "answered": len(seen),
        "by status": {str(status): count for status, count in statuses.items()},
        "lost": len(lost),
        "a second": len(seen) / SECONDS,
        "p50, ms": float(np.quantile(latencies, 0.5)) * 1e3,
        "p99, ms": float(np.quantile(latencies, 0.99)) * 1e3,
        "longest, ms": float(latencies.max()) * 1e3,
        "pages with 100,000 requests, ms": {path: seconds * 1e3 for path, seconds in pages.items()},
    }
    for name, value in figures.items():
        console.print(f"{name}: {value:,.1f}" if isinstance(value, float) else f"{name}: {value}", highlight=False)
    console.print(f"written to {record('service', figures)}")


if __name__ == "__main__":
    main()

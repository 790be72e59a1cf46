"""How long does somebody at the desk wait? First page and first preview of a service that has just been started, and the first
preview after a release; and how long commands take from their start.

On the census sample (32,561 people, a logistic model with statistics of third order, a ridge), over HTTP. Beside each time of
a command stands the processor time, which is nearly the same whoever else uses the machine. Run: make bench, or
python -m benchmarks.desk
"""

import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.record import record
from benchmarks.service import serve
from expunge.ledger import tokens
from expunge.workspace import Workspace
from expunge.workspace.sample import make_sample

RELEASES = 3
"""Previews after a release that are timed; the slowest counts."""
REPEATS = 3
COMMANDS = {
    "expunge --version": ["--version"],
    "expunge forget --help": ["forget", "--help"],
    "expunge status": ["status", "--workspace"],
    "expunge releases": ["releases", "--workspace"],
    "expunge forget --dry-run": ["forget", "p00900", "--dry-run", "--workspace"],
}
IMPORTS = ("import expunge.workspace", "from expunge.workspace import Workspace", "import expunge.service.app")


def seconds(action: Callable[[], Any]) -> float:
    """How long ``action`` takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def run(command: list[str]) -> tuple[float, float]:
    """Seconds, and seconds of processor time, of a process: the least of each of a few."""

    def one() -> tuple[float, float]:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall = seconds(lambda: subprocess.run([sys.executable, *command], check=True, capture_output=True))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    runs = [one() for _ in range(REPEATS)]
    return min(wall for wall, _ in runs), min(used for _, used in runs)


def at_the_desk(path: Path, token: str) -> dict[str, float]:
    """Seconds of the first page and previews of a service on the workspace at ``path``."""
    import httpx

    figures: dict[str, float] = {}
    process, port = serve(path)
    people = (f"p{number:05}" for number in range(100, 1_000))
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120.0) as client:
            figures["first answer, the login page, s"] = seconds(lambda: client.get("/"))
            client.post("/login", data={"token": token})
            figures["first page, s"] = seconds(lambda: client.get("/").raise_for_status())
            found = re.search(r'name="csrf" value="([^"]+)"', client.get("/requests/new").raise_for_status().text)
            assert found is not None
            csrf = found[1]

            def previewed() -> None:
                client.post("/requests/preview", data={"csrf": csrf, "subject": next(people)}).raise_for_status()

            figures["first preview, s"] = seconds(previewed)
            figures["another preview, s"] = seconds(previewed)
            after = []
            for _ in range(RELEASES):
                headers = {"Authorization": f"Bearer {token}"}
                made = client.post("/v1/requests", json={"subject": next(people)}, headers=headers).raise_for_status().json()
                while client.get(f"/v1/requests/{made['request']}", headers=headers).json()["state"] != "closed":
                    time.sleep(0.05)
                after.append(seconds(previewed))
            figures["first preview after a release, s"] = max(after)
    finally:
        process.terminate()
        process.wait()
    return figures


def measured() -> dict[str, float]:
    """All figures, by name."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ws"
        make_sample(path)
        settings = path / "workspace.toml"
        settings.write_text(settings.read_text(encoding="utf-8").replace("hold_hours = 1", "hold_hours = 0"), encoding="utf-8")
        with Workspace.open(path).storage.database.writing() as connection:
            token = tokens.issue(connection, "Ann", "operator")
        figures |= at_the_desk(path, token)
        commands = {name: ["-c", name] for name in IMPORTS}
        for name, arguments in COMMANDS.items():
            commands[name] = ["-m", "expunge", *arguments, *([str(path)] if arguments[-1] == "--workspace" else [])]
        for name, command in commands.items():
            figures[f"{name}, s"], figures[f"{name}, processor s"] = run(command)
    return figures


def main() -> None:
    """Prints the figures and keeps them."""
    console, figures = Console(width=120), measured()
    for name, value in figures.items():
        console.print(f"{name}: {value:.2f}", highlight=False)
    console.print(f"written to {record('desk', figures)}")


if __name__ == "__main__":
    main()

"""Mutation testing: small faults are planted in the modules that the certificates rest on, and the tests must notice.

    python -m tests.mutants                          # all: the faults known by name, then every module
    python -m tests.mutants bounds privacy/budget    # these modules
    python -m tests.mutants faults                   # the faults known by name
    python -m tests.mutants state --sample 20 --seed 1

Mutants are cosmic-ray's (``sites.py``, ``mutants.toml``); the faults of the past are planted by name (``faults.py``). Each is
tried on a copy of the tree, by a worker for each processor. Those that survive must be explained in ``survivors.toml``; the
exit status is 1 where one is not, or where a known fault is not caught. Everything takes about an hour of two processors.
"""

import argparse
import json
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.mutants.faults import FAULTS, Fault
from tests.mutants.sites import SETTINGS, Module, Mutant

ROOT = Path(__file__).parents[2]
WORKERS = os.cpu_count() or 1
TESTS: dict[str, list[str]] = SETTINGS["tests"]
EXPLAINED = {
    (entry["in"], entry["was"], entry["now"])
    for entry in tomllib.loads((Path(__file__).parent / "survivors.toml").read_text()).get("survivor", [])
}


class Worker:
    """A process that tries faulty modules in a copy of the tree."""

    def __init__(self, copy: Path) -> None:
        for part in ("src", "tests"):
            shutil.copytree(ROOT / part, copy / part)
        shutil.copy(ROOT / "pyproject.toml", copy)
        env = os.environ | {"PYTHONPATH": str(copy / "src"), "OPENBLAS_NUM_THREADS": "1", "EXPUNGE_MUTANTS": "1"}
        env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # plugins take time, and mind what was imported before them
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.mutants.worker"],
            cwd=copy,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def outcome(self, path: str, source: str, tests: list[str]) -> tuple[int, str]:
        """Status and report of the ``tests`` while the file ``path`` holds ``source``."""
        self.process.stdin.write(json.dumps({"path": path, "source": source, "tests": tests}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer["status"], answer["report"]

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait()


class Workers:
    """Takes each task to the next worker that is free."""

    def __init__(self, workers: list[Worker]) -> None:
        self._free: queue.Queue[Worker] = queue.Queue()
        for worker in workers:
            self._free.put(worker)
        self._threads = ThreadPoolExecutor(len(workers))

    def outcomes(self, tasks: Iterable[tuple[str, str, list[str]]]) -> Iterator[tuple[int, str]]:
        return self._threads.map(self._outcome, *zip(*tasks, strict=True))

    def _outcome(self, *task: Any) -> tuple[int, str]:
        worker = self._free.get()
        try:
            return worker.outcome(*task)
        finally:
            self._free.put(worker)


@contextmanager
def workers() -> Iterator[Workers]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = []
        for n in range(WORKERS):
            found.append(Worker(folder / str(n)))
            stack.callback(found[-1].stop)
        yield Workers(found)


def try_faults(pool: Workers) -> bool:
    """Whether every known fault is caught by its test."""
    texts = [(ROOT / "src/expunge" / fault.path).read_text() for fault in FAULTS]
    honest = [(f"src/expunge/{fault.path}", text, [fault.test]) for fault, text in zip(FAULTS, texts, strict=True)]
    planted = [
        (path, text.replace(fault.was, fault.now), tests)
        for fault, (path, text, tests) in zip(FAULTS, honest, strict=True)
        if text.count(fault.was) == 1
    ]
    if len(planted) < len(FAULTS):
        lost = [fault.name for fault, text in zip(FAULTS, texts, strict=True) if text.count(fault.was) != 1]
        sys.exit(f"the source no longer holds the text of these faults exactly once: {lost}")
    escaped: list[Fault] = []
    for fault, before, (status, report) in zip(FAULTS, pool.outcomes(honest), pool.outcomes(planted), strict=True):
        is_caught = before[0] == 0 and status == 1
        print(f"{'caught' if is_caught else 'ESCAPED'}: {fault.name} ({fault.path})", flush=True)
        if not is_caught:
            escaped.append(fault)
            print(before[1] if before[0] else report)
    print(f"faults known by name: {len(FAULTS) - len(escaped)} of {len(FAULTS)} caught\n")
    return not escaped


def try_module(pool: Workers, name: str, sample: int | None, seed: int) -> bool:
    """Whether every mutant of the module is killed or explained."""
    module, tests = Module(ROOT, f"src/expunge/{name}.py"), TESTS[name]
    status, report = next(pool.outcomes([(module.path, module.text, tests)]))
    if status != 0:
        sys.exit(f"the tests of {name} fail without any fault:\n{report}")
    specs = module.specs()
    if sample is not None and sample < len(specs):
        specs = random.Random(seed).sample(specs, sample)
    mutants = [mutant for mutant in map(module.mutant, specs) if mutant]
    survivors: list[Mutant] = []
    out_of_time = 0
    tasks = [(mutant.path, mutant.source, tests) for mutant in mutants]
    for n, (mutant, (status, _report)) in enumerate(zip(mutants, pool.outcomes(tasks), strict=True), start=1):
        if n % 25 == 0:
            print(f"{name}: {n} of {len(mutants)} tried", file=sys.stderr, flush=True)
        out_of_time += status < 0
        if status == 0:
            survivors.append(mutant)
            if mutant.key not in EXPLAINED:
                print(mutant.entry(), flush=True)
    unexplained = [mutant for mutant in survivors if mutant.key not in EXPLAINED]
    killed = len(mutants) - len(survivors)
    print(
        f"{name}: {killed} of {len(mutants)} killed ({killed / max(1, len(mutants)):.1%}), {out_of_time} of them by the clock; "
        f"{len(survivors)} survived, {len(unexplained)} of them unexplained\n",
        flush=True,
    )
    return not unexplained


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("what", nargs="*", default=["faults", *TESTS], help=f"faults, {', '.join(TESTS)}; all by default")
    parser.add_argument("--sample", type=int, help="so many mutants of each module, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    given = parser.parse_args()
    with workers() as pool:
        passed = [
            try_faults(pool) if name == "faults" else try_module(pool, name, given.sample, given.seed) for name in given.what
        ]
    sys.exit(not all(passed))


if __name__ == "__main__":
    main()

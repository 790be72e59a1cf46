"""Tries faulty modules in a copy of the project: a JSON object a line in, one out.

What the tests need of other people's packages is imported here once; each fault is then tried in a fork of this process, which
imports the project's own modules anew. That saves two seconds of start-up a fault.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import array_api_strict  # noqa: F401
import dp_accounting.gaussian_mechanism  # noqa: F401
import hypothesis.strategies  # noqa: F401
import mpmath  # noqa: F401
import numpy  # noqa: F401
import pytest
import safetensors.numpy  # noqa: F401
import scipy.linalg
import scipy.optimize
import scipy.sparse
import scipy.special  # noqa: F401

CPU_SECONDS = 60
"""Of processor time, so that a busy machine kills no mutant."""
REAL_SECONDS = 1800
"""For a mutant that waits for something."""
BROKEN = 70
"""Exit status where pytest itself could not be run."""
QUIETLY = ["-x", "-q", "--no-header", "--tb=line", "-rf", "-p", "no:cacheprovider", "-W", "ignore:Unknown config option"]
"""No plugin is loaded, so that their settings mean nothing."""


def outcome(tests: Sequence[str], report: Path) -> dict[str, int | str]:
    """How the ``tests`` end in a fork: pytest's exit status, minus the signal that ended it, and what it printed."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
        signal.alarm(REAL_SECONDS)
        status = BROKEN
        try:
            with report.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            status = int(pytest.main([*QUIETLY, *tests]))
            sys.stdout.flush()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return {"status": os.waitstatus_to_exitcode(status), "report": report.read_text()}


def main() -> None:
    """Serves until its input ends."""
    report = Path("report.txt").absolute()
    for n, line in enumerate(sys.stdin, start=1):
        task = json.loads(line)
        path = Path(task["path"])
        honest = path.read_text()
        path.write_text(task["source"])
        os.utime(path, (n, n))  # a time of its own: Python knows compiled files by it
        try:
            answer = outcome(task["tests"], report)
        finally:
            path.write_text(honest)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

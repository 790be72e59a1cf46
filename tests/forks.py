"""Plays that fork, each begun at once: by a process that has no threads, and has loaded what they need.

    python -m tests.forks

reads a line of JSON a play: a module, its arguments, and where to write what it prints and what goes wrong. It forks a child
in which the module's ``main`` is called, and prints the exit code.
"""

import fcntl
import gc
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED = "EXPUNGE_SHARED"
"""The variable of the environment that names a folder of all processes of a test run."""


def once(name: str, make: Callable[[Path], object]) -> Path:
    """A folder of all processes of a test run, with what ``make`` puts into it for the first that asks."""
    if SHARED not in os.environ:  # outside of pytest
        os.environ[SHARED] = tempfile.mkdtemp(prefix="expunge-tests-")
    folder = Path(os.environ[SHARED]) / name
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            being = folder.with_suffix(".being")
            shutil.rmtree(being, ignore_errors=True)
            being.mkdir()
            make(being)
            being.rename(folder)
    return folder


class Forks:
    """The process, started when the first play begins."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def play(self, notes: Path, module: str, *arguments: object) -> list[dict]:
        """What ``main`` of ``module`` printed, a JSON object a line.

        Args:
            notes: a folder for what it prints.
            module: name of a module whose ``main`` takes texts.
            arguments: for it, as texts.

        Raises:
            AssertionError: it went wrong; with what it wrote.
        """
        if self._process is None:
            environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forks"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
                start_new_session=True,
            )
        out, err = notes / "printed", notes / "wrong"
        self._process.stdin.write(json.dumps([module, [*map(str, arguments)], str(out), str(err)]) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "0\n", err.read_text()
        return [json.loads(line) for line in out.read_text().splitlines()]

    def close(self) -> None:
        """Ends the process, and whatever a play has left."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()


def _played(module: str, arguments: list[str], out: str, err: str) -> int:
    """The exit code of a child that calls the module's ``main``."""
    main = importlib.import_module(module).main  # here, so that the next play finds it loaded
    gc.freeze()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.chdir(Path(out).parent)  # what a play leaves where it is, such as receipts, is not beside the code
        main(*arguments)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


if __name__ == "__main__":
    for line in sys.stdin:
        print(_played(*json.loads(line)), flush=True)  # noqa: T201

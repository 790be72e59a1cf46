"""Kills a workspace at random and looks at what is left. It forks, and so is run in a process that has no threads.

    python -m tests.workspace.crashes FOLDER OPERATION COUNT SEED [every] [PLANT]

Each round copies a workspace, forks a child that works on it and is killed (kill -9) at a moment (``moments``), at a random
line of our own code or after a random time, and forks another that recovers, finishes, and checks. Prints one JSON line a
round.
"""

import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deltalake  # loaded before the forks, so that no child has to
import dp_accounting.gaussian_mechanism
import duckdb
import numpy as np
import opendp.measurements
import sqlalchemy as sa
import sqlalchemy.dialects.sqlite

import expunge
from expunge.data.table import SubjectTable
from expunge.ledger.sealing import Sealed
from expunge.ledger.witness import Witness
from expunge.workspace import batch, exports, making
from expunge.workspace.recovery import moved
from expunge.workspace.storage import Storage
from tests.workspace.moments import watched
from tests.workspace.operations import MAKING, check, operate, prepare

LOADED = (deltalake, dp_accounting, duckdb, opendp, sa, exports)
OURS = tuple(str(Path(expunge.__file__).parent / part) for part in ("workspace", "ledger", "data", "storage.py", "files.py"))


def forked(action: Callable[[], object]) -> int:
    """The pid of a child that does ``action``."""
    pid = os.fork()
    if pid:
        return pid
    try:
        action()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def traced(limit: int, count: list[int]) -> Any:
    """A trace function that kills this process at the ``limit``-th line of our own code."""

    def local(_frame: object, event: str, _argument: object) -> object:
        if event == "line":
            count[0] += 1
            if count[0] == limit:
                os.kill(os.getpid(), signal.SIGKILL)
        return local

    def at_call(frame: object, _event: str, _argument: object) -> object:
        return local if frame.f_code.co_filename.startswith(OURS) else None  # type: ignore[attr-defined]

    return at_call


@dataclass(frozen=True)
class Round:
    """One round: how it is killed (``kind``), at which line or byte (``limit``), or at which moment."""

    kind: str
    limit: int = 0
    moment: str = ""


def worked(operation: str, folder: Path, round_: Round) -> None:
    """In a child: works, perhaps until killed; what was acknowledged is in ``folder / "said"``."""
    kind, limit, count, seen = round_.kind, round_.limit, [0], list[str]()

    def acknowledge(text: str) -> None:
        with open(folder / "said", "a") as out:
            out.write(text + "\n")
            out.flush()

    if kind == "disk-full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if kind in ("line", "whole"):
        sys.settrace(traced(limit, count))
    try:
        with watched(round_.moment, seen) if kind in ("event", "whole") else nullcontext():
            operate(operation, folder, acknowledge)
    except expunge.ExpungeError as error:
        if kind != "disk-full":
            raise AssertionError("refused without a reason to") from error
    finally:
        sys.settrace(None)
    if kind == "whole":
        (folder / "lines").write_text(str(count[0]))
        (folder / "moments").write_text("\n".join(seen))


def chosen(count: int, lines: int, moments: list[str], rng: np.random.Generator, every: bool) -> list[Round]:
    """``count`` rounds, half of them killed at a moment, and after them those at all other moments if it is to be ``every``."""
    kinds = [("event", "line", "event", "time", "event", "line", "event", "disk-full")[number % 8] for number in range(count)]
    order = [moments[i] for i in rng.permutation(len(moments))]
    rounds = []
    for kind in kinds:
        if kind == "event" and order:
            rounds.append(Round(kind, moment=order.pop()))
        elif kind == "disk-full":
            rounds.append(Round(kind, int(rng.integers(1_000, 60_000))))
        else:
            rounds.append(Round("line", int(rng.integers(1, lines + 1))) if kind != "time" else Round(kind))
    return rounds + [Round("event", moment=moment) for moment in order if every]


def played(operation: str, folder: Path, template: Path, round_: Round, duration: float, rng: np.random.Generator) -> dict:
    """What became of one round."""
    shutil.copytree(template, folder)
    if operation not in (*MAKING, "recover moved"):
        assert os.waitpid(forked(lambda: moved(Storage(folder / "ws"))), 0)[1] == 0
    (folder / "said").touch()
    started = time.monotonic()
    child = forked(lambda: worked(operation, folder, round_))
    if round_.kind == "time":
        time.sleep(float(rng.uniform(0.0, duration)))
        os.kill(child, signal.SIGKILL)
    _pid, ended = os.waitpid(child, 0)
    seconds = time.monotonic() - started
    said = (folder / "said").read_text().split("\n")[:-1]
    problem = folder.with_suffix(".problem")
    checking = forked(lambda: problem.write_text(check(operation, folder, said) or ""))
    found = "the check itself failed" if os.waitpid(checking, 0)[1] else problem.read_text()
    failed = os.WIFEXITED(ended) and ended != 0
    return {**vars(round_), "killed": os.WIFSIGNALED(ended), "failed": failed, "seconds": seconds, "problem": found}


def main(folder: str, operation: str, count: str, seed: str, *plants: str) -> None:
    """Plays the rounds; prints a JSON line for each, and before that how many moments there are. ``plants`` may be ``every``,
    for a kill at every moment, and names of faults, to show that the rounds notice."""
    place, rng = Path(folder), np.random.default_rng(int(seed))
    template = place / "template"
    template.mkdir(parents=True)
    assert os.waitpid(forked(lambda: prepare(operation, template)), 0)[1] == 0
    if "no-rollback" in plants:
        batch._abandon = lambda storage, batch: None
    if "no-erasure" in plants:
        SubjectTable.delete = lambda self, files: None  # type: ignore[method-assign]
    if "late-witness" in plants:
        Witness.announced = _late  # type: ignore[method-assign, assignment]
    if "no-clearing" in plants:
        making.PATTERNS = ()  # type: ignore[assignment]
    whole = place / "whole"
    result = played(operation, whole, template, Round("whole"), 0.0, rng)  # not killed: it tells how long this is
    assert not result["problem"] and not result["failed"], result
    duration = result["seconds"]
    lines, moments = int((whole / "lines").read_text()), (whole / "moments").read_text().split("\n")
    print(json.dumps({"moments": len(moments), "lines": lines}), flush=True)
    for number, round_ in enumerate(chosen(int(count), lines, moments, rng, "every" in plants)):
        result = played(operation, place / f"round-{number}", template, round_, duration, rng)
        print(json.dumps({"round": number, **result}), flush=True)
        if not result["problem"]:
            shutil.rmtree(place / f"round-{number}")
        elif plants not in ((), ("every",)):  # one is enough to show it
            return


@contextmanager
def _late(witness: Witness, _before: Sealed, after: Sealed) -> Iterator[None]:
    yield
    witness.reset(after)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Moments: what a process does to disk and database, one thing after the other, so that it can be killed at each.

A moment is just before or just after something that a crash could tear apart: a rename, a deletion, a sync, a new file, a
commit of the database, a file of rows, an entry of the table's log; or within it, at its first write. They are seen from
outside, by the interpreter's profiler.
"""

import os
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import expunge

SYSTEM = frozenset({"replace", "link", "unlink", "rmdir", "mkdir", "fsync", "ftruncate", "pwrite"})
"""Calls of the operating system; opening a file is none, as it is mostly for reading."""
OTHERS = frozenset(
    {
        "Database.wipe_free_space",
        "DeltaTable.create",
        "DeltaTable.create_write_transaction",
        "_begun",
        "write_dataset",
        "write_table",
    }
)
"""Functions within which something is written that the profiler does not see."""
PACKAGE = str(Path(expunge.__file__).parent)


@contextmanager
def watched(moment: str, seen: list[str]) -> Iterator[None]:
    """Notes in ``seen`` every moment of this thread, and kills the process at the first that begins with ``moment``."""
    sys.dont_write_bytecode = True  # files of the interpreter are not ours
    sys.setprofile(_profiler(moment, seen))
    try:
        yield
    finally:
        sys.setprofile(None)


def _profiler(moment: str, seen: list[str]) -> Callable[[FrameType, str, Any], None]:
    times = Counter[str]()

    def at(frame: FrameType, event: str, function: Any) -> None:
        if event.startswith("c_"):
            name = function.__name__
            of_database = name == "commit" and type(function.__self__).__module__ == "sqlite3"
            if not of_database and not (name in SYSTEM and function.__module__ in ("posix", "fcntl")):
                return
        else:
            name = frame.f_code.co_qualname
            if name not in OTHERS:
                return
        is_writing = event in ("call", "c_call") and name not in SYSTEM
        for when in ("before", "within") if is_writing else ("before",) if event == "c_call" else ("after",):
            what = f"{when} {name} in {_ours(frame)}"
            times[what] += 1
            seen.append(f"{what} ({times[what]})")  # by name: how many files of rows there are differs with a new key
            is_it = bool(moment) and seen[-1].startswith(moment)
            if is_it and when == "within":
                _die_at_next_write()
            elif is_it:
                os.kill(os.getpid(), signal.SIGKILL)

    return at


def _die_at_next_write() -> None:
    """Lets the system kill this process when it next writes to a file, whoever does it: also code that is not of Python."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def _ours(frame: FrameType | None) -> str:
    """The line of this package that led here."""
    while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return "nothing of ours" if frame is None else f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"

"""Faults: who is at fault for an exception, what may be said about it, and which faults there are now.

The text of an unforeseen exception may quote a row or an id. So only texts that this package wrote are shown; of all others,
only the type and the place in the program.
"""

import logging
import re
import threading
import traceback
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from sqlalchemy.exc import TimeoutError as NoConnection

from expunge.errors import ExpungeError, WorkspaceBusy
from expunge.workspace.states import MODEL_FAULTS, ROW_FAULTS

log = logging.getLogger("expunge.service")


class Cause(StrEnum):
    """What to do about a fault."""

    BUSY = "busy"
    """Nothing: another process is working in the workspace."""
    ROW = "row"
    """Look at the request that it names: a model cannot answer it. The others continue."""
    MODEL = "model"
    """Look at the model that it names; the others continue."""
    ENVIRONMENT = "environment"
    """Repair the disk, the database, the files."""
    DELIVERY = "delivery"
    """Correct the webhook's URL, or the server that listens there."""
    BUG = "bug"
    """Report it."""


OF_THE_ENVIRONMENT = (ExpungeError, OSError, MemoryError, NoConnection)
PACKAGE = Path(__file__).parents[1]


def cause_of(error: BaseException) -> Cause:
    """Who is at fault."""
    if isinstance(error, WorkspaceBusy) and error.__cause__ is None:
        return Cause.BUSY  # with a cause, the database does not answer
    if isinstance(error, ROW_FAULTS):
        return Cause.ROW
    if isinstance(error, MODEL_FAULTS):
        return Cause.MODEL
    return Cause.ENVIRONMENT if isinstance(error, OF_THE_ENVIRONMENT) else Cause.BUG


def described(error: BaseException) -> str:
    """A sentence for those who may see the data, without any text that only another program composed."""
    if isinstance(error, ExpungeError):
        return str(error)
    if isinstance(error, OSError) and isinstance(error.strerror, str):
        return error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
    return f"{type(error).__name__} {_places(error)[0]}: a fault of the program; see the service's log"


def traced(error: BaseException) -> str:
    """Where it came from, for the log: a traceback without texts of exceptions and without values."""
    lines: list[str] = []
    chained: BaseException | None = error
    while chained is not None:
        lines.append(type(chained).__name__)
        lines += [f"  {place}" for place in _places(chained)]
        chained = chained.__cause__ or (None if chained.__suppress_context__ else chained.__context__)
    return "\n".join(lines)


def _places(error: BaseException) -> list[str]:
    """The frames that it passed through, the innermost of this package first."""
    frames = traceback.extract_tb(error.__traceback__)[::-1]
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    others = [frame for frame in frames if frame not in ours]
    return [f"in {frame.name} ({Path(frame.filename).name}:{frame.lineno})" for frame in (*ours, *others)] or ["nowhere"]


@dataclass(frozen=True)
class Fault:
    """A fault that persists.

    Args:
        part: the part of the service that it stops.
        cause: who is at fault.
        message: the latest message.
        since: when it first occurred.
        count: how often it has occurred since then.
    """

    part: str
    cause: Cause
    message: str
    since: datetime
    count: int


class Faults:
    """The present faults, by the part that they stop: each is logged once, and then counted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: dict[str, dict[str, Fault]] = {}
        self._totals: Counter[Cause] = Counter()

    @property
    def now(self) -> list[Fault]:
        """Those that persist, oldest first."""
        with self._lock:
            return sorted((fault for met in self._now.values() for fault in met.values()), key=lambda fault: fault.since)

    @property
    def totals(self) -> Mapping[Cause, int]:
        """Number of faults since the start, by cause."""
        with self._lock:
            return {cause: self._totals[cause] for cause in Cause}

    def met(self, part: str, error: BaseException) -> Cause:
        """Notes an exception that stopped ``part``."""
        cause = cause_of(error)
        if self.add(part, cause, described(error)) and cause == Cause.BUG:
            log.error("%s", traced(error))
        return cause

    def add(self, part: str, cause: Cause, message: str) -> bool:
        """Notes a fault of ``part``, and returns whether it is a new one."""
        key = _key(message)
        with self._lock:
            self._totals[cause] += 1
            known = self._now.setdefault(part, {})
            is_new = key not in known
            before = Fault(part, cause, message, datetime.now(UTC), 0) if is_new else known[key]
            known[key] = replace(before, message=message, count=before.count + 1)
        if is_new:
            log.log(logging.INFO if cause == Cause.BUSY else logging.ERROR, "%s: %s", part, message)
        return is_new

    def over(self, part: str, besides: Collection[str] = ()) -> bool:
        """Notes that ``part`` works, except for the faults with these messages; returns whether it did not before."""
        kept = {_key(message) for message in besides}
        with self._lock:
            met = self._now.pop(part, {})
            gone = [fault for key, fault in met.items() if key not in kept]
            if len(gone) < len(met):
                self._now[part] = {key: fault for key, fault in met.items() if key in kept}
        for fault in gone:
            log.info("%s: over after %d times: %s", part, fault.count, fault.message)
        return bool(gone)


def _key(message: str) -> str:
    """What distinguishes faults of a part; messages that differ only in numbers are the same fault."""
    return re.sub(r"\d+", "#", message)

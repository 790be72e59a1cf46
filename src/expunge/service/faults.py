"""Faults: whose an exception is, what may be said of it, and which faults there are now.

The text of an exception that nobody foresaw may quote a row or an id. So only the texts that this package wrote are shown;
of all others the kind and the place in the program.
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

from expunge.errors import (
    AnchorMismatch,
    BudgetSpent,
    CapacityExceeded,
    ExpungeError,
    InvalidRows,
    ModelCopied,
    NoiseTooLarge,
    NoOptimum,
    NotLearned,
    StateCorrupt,
    WorkspaceBusy,
)

log = logging.getLogger("expunge.service")


class Cause(StrEnum):
    """What is to be done about a fault."""

    BUSY = "busy"
    """Nothing, another process works in the workspace."""
    MODEL = "model"
    """Look at the request or the model that it names; the others go on."""
    ENVIRONMENT = "environment"
    """Repair the disk, the database, the files."""
    DELIVERY = "delivery"
    """Correct the webhook's URL, or who listens there."""
    BUG = "bug"
    """Report it."""


OF_MODELS = (
    InvalidRows,
    NotLearned,
    NoOptimum,
    CapacityExceeded,
    BudgetSpent,
    ModelCopied,
    NoiseTooLarge,
    AnchorMismatch,
    StateCorrupt,
)
OF_THE_ENVIRONMENT = (ExpungeError, OSError, MemoryError, NoConnection)
PACKAGE = Path(__file__).parents[1]


def cause_of(error: BaseException) -> Cause:
    """Whose fault it is."""
    if isinstance(error, WorkspaceBusy) and error.__cause__ is None:
        return Cause.BUSY  # with a cause it is the database that does not answer
    if isinstance(error, OF_MODELS):
        return Cause.MODEL
    return Cause.ENVIRONMENT if isinstance(error, OF_THE_ENVIRONMENT) else Cause.BUG


def described(error: BaseException) -> str:
    """A sentence for those who may see the data, without anything that only somebody else's program put together."""
    if isinstance(error, ExpungeError):
        return str(error)
    if isinstance(error, OSError) and isinstance(error.strerror, str):
        return error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
    return f"{type(error).__name__} {_places(error)[0]}: a fault of the program, see the service's log"


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
    """The frames it went through, the innermost of this package first."""
    frames = traceback.extract_tb(error.__traceback__)[::-1]
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    others = [frame for frame in frames if frame not in ours]
    return [f"in {frame.name} ({Path(frame.filename).name}:{frame.lineno})" for frame in (*ours, *others)] or ["nowhere"]


@dataclass(frozen=True)
class Fault:
    """A fault that lasts.

    Args:
        part: of the service that it stops.
        cause: whose it is.
        message: as it was told last.
        since: when it was met first.
        count: how often since then.
    """

    part: str
    cause: Cause
    message: str
    since: datetime
    count: int


class Faults:
    """The faults of now, by the part they stop: each is logged once, and counted after."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: dict[str, dict[str, Fault]] = {}
        self._totals: Counter[Cause] = Counter()

    @property
    def now(self) -> list[Fault]:
        """Those that last, the oldest first."""
        with self._lock:
            return sorted((fault for met in self._now.values() for fault in met.values()), key=lambda fault: fault.since)

    @property
    def totals(self) -> Mapping[Cause, int]:
        """How many there were since the start, by cause."""
        with self._lock:
            return {cause: self._totals[cause] for cause in Cause}

    def met(self, part: str, error: BaseException) -> Cause:
        """Notes an exception that stopped ``part``."""
        cause = cause_of(error)
        if self.add(part, cause, described(error)) and cause == Cause.BUG:
            log.error("%s", traced(error))
        return cause

    def add(self, part: str, cause: Cause, message: str) -> bool:
        """Notes a fault of ``part``; whether it is a new one."""
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
        """Notes that ``part`` goes well, but for the faults with these messages; whether it did not before."""
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
    """Tells faults of a part apart; numbers make no new one."""
    return re.sub(r"\d+", "#", message)

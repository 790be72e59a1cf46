"""Witness: a small file beside the database that records what its last transaction left behind.

A database that is older than its witness (a backup was copied back), newer (another copy of the folder has continued it), or
of another history is noticed before anything relies on it. The witness names the next transaction before that is committed,
and settles afterwards: whatever is killed in between, the database stands at one of the two.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.errors import LedgerCorrupt, WorkspaceInvalid
from expunge.files import write_file
from expunge.ledger.sealing import EMPTY, Sealed

LOOKS = 50
"""Number of looks at a witness that a writer may be about to settle, 20 ms apart."""
RECOVER = "if that is lost for good, expunge recover continues from here, and says what it gives up"


@dataclass(frozen=True)
class Witness:
    """The file at ``path``; a file beside it is locked while a transaction is announced and settled."""

    path: Path

    def require(self, sealed: Sealed) -> None:
        """Raises ``LedgerCorrupt`` unless the database stands where the witness says.

        Args:
            sealed: what the database's last transaction left behind, read by its writer, or by a reader just now.
        """
        said = self._said()
        if said is None:
            if sealed == EMPTY:
                return
            raise LedgerCorrupt(f"{self.path} is missing, so nobody can tell whether the ledger is the newest: {RECOVER}")
        if (sealed.serial, sealed.mac) in said:
            return
        newest = max(serial for serial, _mac in said)
        if sealed.serial < newest:
            raise LedgerCorrupt(
                f"the ledger is older than this folder, by {newest - sealed.serial} transactions: a copy from an earlier day "
                f"was put in its place. Nothing was changed. Put the newest ledger back; {RECOVER}"
            )
        if sealed.serial > newest:
            raise LedgerCorrupt(
                f"the ledger was continued by {sealed.serial - newest} transactions without this folder, which is a copy or an "
                f"earlier state of the folder that works with it. Nothing was changed. Use that one; {RECOVER}"
            )
        raise LedgerCorrupt(
            f"the ledger and this folder have different histories. Nothing was changed. Put the right one back; {RECOVER}"
        )

    def stands(self, sealed: Sealed) -> bool:
        """Whether the database stands where the witness says; see ``require``."""
        try:
            self.require(sealed)
        except LedgerCorrupt:
            return False
        return True

    def require_settled(self, read: Any) -> None:
        """Like ``require``, for a reader; ``read()`` gives the database's present state, again while a writer is at work."""
        for left in reversed(range(LOOKS)):
            before = self._said()
            try:
                self.require(read())
                return
            except LedgerCorrupt:
                if not left or (before == self._said() and left < LOOKS - 2):
                    raise
            time.sleep(0.02)

    @contextmanager
    def announced(self, before: Sealed, after: Sealed) -> Iterator[None]:
        """Wraps a commit: names what it will leave behind, and afterwards what it left.

        Raises:
            WorkspaceInvalid: the folder cannot be written to.
        """
        handle = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                self._say(before, after)
            except OSError as error:
                raise WorkspaceInvalid(
                    f"{self.path.parent} cannot be written to ({error.strerror}); nothing was changed"
                ) from error
            yield
            with suppress(OSError):  # the announcement holds as well
                self._say(after)
        finally:
            os.close(handle)

    def reset(self, sealed: Sealed) -> None:
        """Makes the database's present state the one to continue from; only for ``recover``."""
        self._say(sealed)

    def _say(self, *states: Sealed) -> None:
        content = [[state.serial, state.mac] for state in states if state != EMPTY]
        write_file(self.path, (json.dumps({"states": content}) + "\n").encode())

    def _said(self) -> list[tuple[int, str]] | None:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise LedgerCorrupt(f"{self.path} cannot be read: {RECOVER}") from error
        try:
            found = [(int(serial), str(mac)) for serial, mac in json.loads(text)["states"]]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise LedgerCorrupt(f"{self.path} is damaged or empty: {RECOVER}") from error
        if not found:
            raise LedgerCorrupt(f"{self.path} lists nothing: {RECOVER}")
        return found

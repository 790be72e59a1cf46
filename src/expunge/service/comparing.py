"""Comparing the log with a checkpoint that somebody kept: whether the log still begins with the events it covered."""

from dataclasses import dataclass, field

from expunge.errors import LedgerCorrupt, SignatureInvalid
from expunge.evidence.heads import MEANING, Head
from expunge.evidence.verification import witness_in
from expunge.ledger import log
from expunge.workspace.storage import Storage


@dataclass(frozen=True)
class Compared:
    """What became of a checkpoint that somebody kept.

    Args:
        is_right: whether the log continues it.
        message: for people.
        kept: the head that was kept; ``None`` if it is not genuine.
        file: the newest checkpoint with the proof that it continues that head; empty if there is none.
    """

    is_right: bool
    message: str
    kept: Head | None = None
    file: str = field(default="", repr=False)


def compared(storage: Storage, kept: str) -> Compared:
    """Whether the log continues a checkpoint, a certificate or a log that somebody kept.

    Args:
        storage: the workspace.
        kept: content of the file.
    """
    with storage.database.reading() as connection:
        try:
            head = witness_in(kept, storage.public_keys(connection)).head
        except SignatureInvalid as error:
            return Compared(False, f"this is not a checkpoint that was signed here: {error}")
        try:
            file = log.checkpoint_file(connection, head)
        except LedgerCorrupt as error:
            return Compared(False, str(error), head)
    return Compared(True, MEANING["continues"], head, file)

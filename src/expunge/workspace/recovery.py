"""Recovery: what a person may confirm where a workspace refuses to go on by itself. Each is an event in the log."""

from expunge.files import write_file
from expunge.ledger import log, times
from expunge.ledger.facts import set_fact
from expunge.workspace.place import Place


def moved(place: Place) -> None:
    """Makes this folder the one that the ledger belongs to: it was moved, and no other one works with this ledger any more.

    Raises:
        LedgerCorrupt: the ledger has gone on without this folder.
    """
    place.lock_path.touch(mode=0o600)
    with place.unproven_database.writing() as connection:
        set_fact(connection, "folder", place.mark())
        log.note(connection, "workspace.moved", [{}])


def clock(place: Place) -> None:
    """Confirms that the clock is right, though it is far ahead of the last thing that happened here."""
    with place.unproven_database.writing() as connection:
        set_fact(connection, log.SEEN, times.published())
        log.note(connection, "clock.confirmed", [{}])


def anchors(place: Place) -> None:
    """Writes public keys and checkpoint anew from the ledger, after checking all of its log: the files are gone for good.

    Raises:
        LedgerCorrupt: the log is not what was signed.
    """
    with place.database.writing() as connection:
        public = place.public_keys(connection)
        log.verify_log(connection, public, None)
        log.note(connection, "anchors.restored", [{}])
    with place.database.reading() as connection:
        signed = log.checkpoint(connection)
    write_file(place.public_key_path, str(public).encode())
    write_file(place.checkpoint_path, str(signed).encode())

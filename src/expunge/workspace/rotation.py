"""Rotation: a new key signs from now on, and the previous one vouches for it."""

from expunge.errors import ExpungeError, WorkUnfinished
from expunge.evidence.events import EventKind
from expunge.evidence.signing import SigningKey, endorse
from expunge.evidence.statements import digest
from expunge.ledger import log, times
from expunge.ledger.properties import set_property
from expunge.ledger.public_keys import add_key
from expunge.workspace import batch
from expunge.workspace.batch import COMING_KEY
from expunge.workspace.storage import Storage


def rotate_key(storage: Storage, *, is_revoked: bool) -> str:
    """Signs with a new key from now on, which the old one endorses; returns the new key's id.

    Args:
        storage: the workspace.
        is_revoked: somebody else may have the old key: of what it signed, only what is in the log so far stays valid.

    Raises:
        WorkspaceInvalid: the old key is not there to vouch for a new one.
        WorkUnfinished: the new key signs, but the old one could not be deleted yet.
    """
    with batch.in_charge(storage):
        with storage.database.reading() as connection:
            storage.signing_key(connection)  # which has to vouch for the new one
        key = SigningKey.generate()
        with storage.database.writing() as connection:
            set_property(connection, COMING_KEY, key.keyid)
        key.save(storage.keys)
        with storage.database.writing() as connection:
            old = storage.signing_key(connection)
            log.seal(connection, old)
            endorsement = endorse(old, key, log.size(connection), is_revoked=is_revoked)
            kind = EventKind.KEY_REVOKED if is_revoked else EventKind.KEY_ROTATED
            log.append(connection, kind, [{"from": old.keyid, "keyid": key.keyid, "endorsement": digest(endorsement)}])
            add_key(connection, key.keyid, key.pem, times.exact(), endorsement)
            set_property(connection, COMING_KEY, "")
        try:
            batch.recover(storage)  # deletes the old private key and publishes the new public one
        except (ExpungeError, OSError) as error:
            raise WorkUnfinished(
                f"the new key signs from now on, but the old one could not be removed ({error}): run expunge process when "
                "the cause is fixed"
            ) from error
    return key.keyid

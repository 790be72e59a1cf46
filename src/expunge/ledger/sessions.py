"""Sessions of the service's pages: who is logged in. A session is a row, so that it ends for every instance when that is gone.

The row holds a digest of the session's id, and the id is in the visitor's cookie alone.
"""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from expunge.evidence.events import EventKind
from expunge.ledger import log, sealing, tables, times, tokens
from expunge.ledger.tables import sessions
from expunge.ledger.tokens import Holder


def start(connection: sa.Connection, holder: Holder, seconds: float) -> str:
    """Starts a session, in a writing transaction; returns its id.

    Args:
        connection: a connection in a writing transaction.
        holder: who logs in.
        seconds: how long a session lasts; those that have lasted longer are dropped.
    """
    _drop_old(connection, seconds)
    identity = secrets.token_urlsafe(32)
    values = {"digest": _digest(identity), "token": holder.id, "started": times.exact()}
    sealing.insert(connection, sessions, [values])
    log.note(connection, EventKind.SESSION_STARTED, [{"token": holder.id}])
    return identity


def holder_of(connection: sa.Connection, identity: str, seconds: float) -> Holder | None:
    """Whose session it is; ``None`` if it has ended, is older than ``seconds``, or its token was revoked."""
    chosen = sa.select(sessions).where(sessions.c.digest == _digest(identity))
    found = sealing.rows(connection, chosen, sessions)
    if not found or found[0].started < _oldest(seconds):
        return None
    return tokens.by_id(connection, found[0].token)


def require_sealed(connection: sa.Connection) -> None:
    """Raises ``LedgerCorrupt`` unless every session, and the order of their starts, can be read, and is as it was sealed."""
    sealing.rows(connection, sa.select(sessions).order_by(sessions.c.started), sessions)


def end(connection: sa.Connection, identity: str) -> bool:
    """Ends a session, in a writing transaction; returns whether there was one."""
    found = sealing.rows(connection, sa.select(sessions).where(sessions.c.digest == _digest(identity)), sessions)
    if not found:
        return False
    sealing.delete(connection, sessions, sessions.c.digest == _digest(identity))
    log.note(connection, EventKind.SESSION_ENDED, [{"token": found[0].token}])
    return True


def _drop_old(connection: sa.Connection, seconds: float) -> None:
    """Drops the sessions that no longer open anything."""
    revoked = sa.select(tables.tokens.c.id).where(tables.tokens.c.revoked.is_not(None))
    sealing.delete(connection, sessions, (sessions.c.started < _oldest(seconds)) | sessions.c.token.in_(revoked))


def _oldest(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def _digest(identity: str) -> str:
    return hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()

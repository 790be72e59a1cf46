"""Tokens of the service: shown once, kept as a hash, each with one role."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from expunge.evidence.events import EventKind
from expunge.ledger import log, sealing, times
from expunge.ledger.tables import tokens
from expunge.ledger.words import Word


class Role(Word):
    """What the holder of a token may do; see ``expunge.service.access``."""

    OPERATOR = "operator"
    ENGINEER = "engineer"
    AUDITOR = "auditor"
    CONSUMER = "consumer"


@dataclass(frozen=True)
class Token:
    """A token without its secret; times are ISO 8601."""

    id: str
    name: str
    role: Role
    created: str
    revoked: str | None


@dataclass(frozen=True)
class Holder:
    """The holder of a token."""

    id: str
    name: str
    role: Role


def issue(connection: sa.Connection, name: str, role: str) -> str:
    """Issues a token for ``name``, in a writing transaction; it is not kept and cannot be shown again.

    Raises:
        ValueError: an unknown role, or no name.
    """
    if role not in tuple(Role):
        raise ValueError(f"role must be one of {', '.join(Role)}, got {role!r}")
    if not name.strip():
        raise ValueError("a token needs the name of its holder")
    identity, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    log.note(connection, EventKind.TOKEN_ISSUED, [{"token": identity, "role": role}])
    values = {"id": identity, "name": name, "role": role, "digest": _digest(secret), "created": times.exact()}
    sealing.insert(connection, tokens, [values])
    return f"exp_{identity}_{secret}"


@dataclass(frozen=True)
class Living:
    """A token that was not revoked, with what recognises its secret."""

    holder: Holder
    digest: str = field(repr=False)


def living(connection: sa.Connection) -> dict[str, Living]:
    """All tokens that were not revoked, by id."""
    found = sealing.rows(connection, sa.select(tokens).where(tokens.c.revoked.is_(None)), tokens)
    return {row.id: Living(Holder(row.id, row.name, Role.read(row.role)), row.digest) for row in found}


def holder(known: Mapping[str, Living], token: str) -> Holder | None:
    """Who holds ``token``, if it is one of the ``known``."""
    parts = token.split("_", 2)
    if len(parts) != 3 or parts[0] != "exp" or not token.isascii():
        return None
    found = known.get(parts[1])
    return found.holder if found is not None and hmac.compare_digest(found.digest, _digest(parts[2])) else None


def by_id(connection: sa.Connection, identity: str) -> Holder | None:
    """Who holds the token with this id, if it was not revoked."""
    row = _living(connection, identity)
    return None if row is None else Holder(row.id, row.name, Role.read(row.role))


def revoke(connection: sa.Connection, identity: str, by: str | None = None) -> bool:
    """Revokes a token, in a writing transaction; returns whether there was one.

    Args:
        connection: a connection in a writing transaction.
        identity: id of the token.
        by: id of the token of whoever revokes it. Default: nobody's, as at the command line.
    """
    if _living(connection, identity) is None:
        return False
    log.note(connection, EventKind.TOKEN_REVOKED, [{"token": identity, **({} if by is None else {"by": by})}])
    sealing.update(connection, tokens, tokens.c.id == identity, revoked=times.exact())
    return True


def listed(connection: sa.Connection) -> list[Token]:
    """All tokens, oldest first."""
    found = sealing.rows(connection, sa.select(tokens).order_by(tokens.c.created), tokens)
    return [Token(row.id, row.name, Role.read(row.role), row.created, row.revoked) for row in found]


def _living(connection: sa.Connection, identity: str) -> sa.Row[Any] | None:
    found = sealing.rows(connection, sa.select(tokens).where(tokens.c.id == identity, tokens.c.revoked.is_(None)), tokens)
    return found[0] if found else None


def fingerprint(token: str) -> str:
    """A mark that distinguishes tokens without keeping them."""
    return _digest(token)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()

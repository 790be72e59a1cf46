"""Who may do what: bearer tokens for programs, a signed cookie for the page, four roles, and CSRF protection.

Three roles are for people who may see the data, and so the evidence:

- operator: the privacy officer, who takes requests and may withdraw them;
- engineer: runs the models: releases, refits, webhooks, audits;
- auditor: reads everything, and audits.

The fourth is for programs and partners outside, and gets only what may be published:

- consumer: fetches released weights, certificates and the log.
"""

import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from itsdangerous import BadSignature, URLSafeTimedSerializer

from expunge.ledger import tokens
from expunge.ledger.tokens import Holder, Role
from expunge.workspace.storage import Storage

COOKIE = "expunge_session"
SESSION_SECONDS = 8 * 3600
CACHE_SECONDS = 5.0
"""Seconds for which a revoked token may still be accepted."""
FAILURES = 10
"""Wrong tokens from one address in a minute, after which the address has to wait."""
REQUESTS = 60_000
"""Requests of one token in a minute."""


@dataclass(frozen=True)
class Caller:
    """Who calls, and how: ``csrf`` is the token that a session's forms must repeat; ``None`` for a bearer token."""

    holder: Holder
    csrf: str | None = None

    @property
    def role(self) -> Role:
        """The role of the token."""
        return self.holder.role


class AccessControl:
    """Identifies callers, and counts their calls."""

    def __init__(self, storage: Storage, secret: bytes, *, is_secure: bool) -> None:
        self.storage = storage
        self.is_secure = is_secure
        self._sessions = URLSafeTimedSerializer(secret, salt="expunge session")
        self._known: dict[str, tuple[float, Holder | None]] = {}
        self._counts: dict[tuple[str, int], int] = {}

    def by_token(self, token: str, address: str) -> Holder | None:
        """Who holds ``token``; too many wrong ones from one address are refused.

        Raises:
            HTTPException: 429.
        """
        if not (token.isascii() and token.isprintable()):
            token = ""  # no token is like it; and not every text can be hashed or looked up
        key = tokens.fingerprint(token)
        known = self._known.get(key)
        if known is None or known[0] < time.monotonic():
            if self._count(f"failed {address}", 0) >= FAILURES:
                raise HTTPException(429, "too many wrong tokens from this address: wait a minute", {"Retry-After": "60"})
            with self.storage.database.reading() as connection:
                known = time.monotonic() + CACHE_SECONDS, tokens.holder(connection, token)
            if known[1] is None:
                self._count(f"failed {address}", 1)
                return None
            self._known = {name: value for name, value in self._known.items() if value[0] >= time.monotonic()}
            self._known[key] = known
        return known[1]

    def session(self, holder: Holder) -> str:
        """The cookie of a new session."""
        return str(self._sessions.dumps({"token": holder.id, "csrf": secrets.token_urlsafe(24)}))

    def by_session(self, cookie: str) -> Caller | None:
        """The caller of a session cookie, if it is valid, not too old, and its token was not revoked."""
        try:
            content = self._sessions.loads(cookie, max_age=SESSION_SECONDS)
        except BadSignature:
            return None
        key = f"session {content['token']}"
        known = self._known.get(key)
        if known is None or known[0] < time.monotonic():
            with self.storage.database.reading() as connection:
                known = time.monotonic() + CACHE_SECONDS, tokens.by_id(connection, content["token"])
            self._known[key] = known
        return None if known[1] is None else Caller(known[1], content["csrf"])

    def limit(self, holder: Holder) -> None:
        """Counts a request.

        Raises:
            HTTPException: 429, after too many in one minute.
        """
        if self._count(holder.id, 1) > REQUESTS:
            raise HTTPException(429, "too many requests with this token: wait a minute", {"Retry-After": "60"})

    def _count(self, key: str, more: int) -> int:
        minute = int(time.time() // 60)
        if any(past < minute for _key, past in self._counts):
            self._counts = {place: count for place, count in self._counts.items() if place[1] == minute}
        self._counts[key, minute] = self._counts.get((key, minute), 0) + more
        return self._counts[key, minute]


def caller_of(request: Request) -> Caller | None:
    """Who calls, if that is known.

    Raises:
        HTTPException: 429.
    """
    access: AccessControl = request.app.state.access
    scheme, _space, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        holder = access.by_token(token.strip(), request.client.host if request.client else "")
        caller = None if holder is None else Caller(holder)
    else:
        caller = access.by_session(request.cookies.get(COOKIE, ""))
    if caller is not None:
        access.limit(caller.holder)
    return caller


def require(*roles: Role) -> Callable[[Request], Caller]:
    """A dependency that lets only these roles in; a session that changes something must show its CSRF token."""

    def dependency(request: Request) -> Caller:
        caller = caller_of(request)
        if caller is None:
            raise HTTPException(401, "a valid token is needed", {"WWW-Authenticate": "Bearer"})
        if caller.role not in roles:
            raise HTTPException(403, f"this is not allowed for the role {caller.role}")
        if caller.csrf is not None and request.method not in ("GET", "HEAD"):
            shown = request.headers.get("x-csrf-token", "") or request.scope.get("csrf_field", "")
            if not hmac.compare_digest(shown, caller.csrf):
                raise HTTPException(403, "the form is out of date: load the page again")
        return caller

    return dependency


Anybody = Annotated[Caller, Depends(require(Role.OPERATOR, Role.ENGINEER, Role.AUDITOR))]
Public = Annotated[Caller, Depends(require(*Role))]
Serving = Annotated[Caller, Depends(require(Role.ENGINEER, Role.CONSUMER))]
Operator = Annotated[Caller, Depends(require(Role.OPERATOR))]
Engineer = Annotated[Caller, Depends(require(Role.ENGINEER))]
Checker = Annotated[Caller, Depends(require(Role.ENGINEER, Role.AUDITOR))]

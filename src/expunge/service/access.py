"""Who may do what: bearer tokens for programs, sessions for pages, four roles, and CSRF protection.

Three roles are for people who may see the data, and so the evidence:

- operator: the privacy officer, who takes requests and may withdraw them;
- engineer: runs the models: releases, refits, webhooks, audits;
- auditor: reads everything, and audits.

The fourth is for programs and partners outside, and gets only what may be published:

- consumer: fetches released weights, certificates and the log.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from itsdangerous import BadSignature, URLSafeSerializer
from starlette.concurrency import run_in_threadpool

from expunge.ledger import sessions
from expunge.ledger.tokens import Holder, Role
from expunge.service.problem_types import Problem
from expunge.service.tallies import Tally
from expunge.service.tokenbook import TokenBook
from expunge.workspace.storage import Storage

SESSION_SECONDS = 8 * 3600
FAILURES = 10
"""Wrong tokens from one address in a minute, and calls with one wrong token, after which the answer to further ones is 429."""
REQUESTS = 60_000
"""Requests of one token in a minute."""
OPEN_CALLS = 300
"""Forms and files that one address may send in a minute without a token, as to log in or to verify."""


@dataclass(frozen=True)
class Caller:
    """Who calls, and how.

    Args:
        holder: the holder of the token.
        csrf: what a session's forms must repeat; ``None`` for a bearer token.
        session: id of the session; ``None`` for a bearer token.
    """

    holder: Holder
    csrf: str | None = None
    session: str | None = None

    @property
    def role(self) -> Role:
        """The role of the token."""
        return self.holder.role


@dataclass(frozen=True)
class Rate:
    """How much of its limit a token has used in the present minute."""

    left: int
    seconds: int


class AccessControl:
    """Identifies callers, and counts their calls.

    Args:
        storage: the workspace.
        secret: signs cookies; shared by all instances on one folder.
        is_secure: whether the cookie may be sent over HTTPS alone.
        root: the path under which the service is reached, without a slash at its end.
    """

    def __init__(self, storage: Storage, secret: bytes, *, is_secure: bool, root: str = "") -> None:
        self.storage, self.is_secure, self.root = storage, is_secure, root
        # two services on one host share its cookies, whatever their ports
        self.cookie = f"expunge_{hashlib.sha256(b'cookie' + secret).hexdigest()[:10]}"
        self._signing = URLSafeSerializer(secret, salt="expunge session")
        self._tokens = TokenBook(storage.database)
        self._wrong, self._calls, self._open = Tally(), Tally(), Tally()

    async def by_token(self, token: str, address: str) -> Holder | None:
        """Who holds ``token``; ``None`` for a wrong one. A valid token is let in however many wrong ones its address has tried.

        Raises:
            Problem: 429, too many wrong ones.
        """
        found = await self._tokens.holder(token)
        if found is None and token:
            tried = hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
            counts = [self._wrong.add(f"address {address}"), self._wrong.add(f"token {tried}")]
            if max(counts) > FAILURES:
                wait = {"Retry-After": str(self._wrong.seconds_left)}
                raise Problem("too-many-wrong-tokens", "too many wrong tokens from this address: wait a minute", headers=wait)
        return found

    def start(self, holder: Holder) -> str:
        """Starts a session in the ledger; returns its cookie."""
        with self.storage.database.writing() as connection:
            identity = sessions.start(connection, holder, SESSION_SECONDS)
        return str(self._signing.dumps({"session": identity, "csrf": secrets.token_urlsafe(24)}))

    def end(self, caller: Caller) -> None:
        """Ends a session, for all instances on the ledger."""
        with self.storage.database.writing() as connection:
            sessions.end(connection, caller.session or "")

    def is_ours(self, cookie: str) -> bool:
        """Whether this service gave out ``cookie``, for a session that may have ended since."""
        return self._content(cookie) is not None

    async def by_session(self, cookie: str) -> Caller | None:
        """The caller of a session cookie, if the session lives."""
        content = self._content(cookie)
        if content is None:
            return None
        holder = await run_in_threadpool(self._holder, content["session"])
        return None if holder is None else Caller(holder, content["csrf"], content["session"])

    def count(self, holder: Holder) -> Rate:
        """Counts a request.

        Raises:
            Problem: 429, after too many in one minute.
        """
        left, seconds = REQUESTS - self._calls.add(holder.id), self._calls.seconds_left
        if left < 0:
            wait = {"Retry-After": str(seconds)}
            raise Problem("too-many-requests", "too many requests with this token: wait a minute", headers=wait)
        return Rate(left, seconds)

    def count_open(self, address: str) -> None:
        """Counts what an address sends without a token.

        Raises:
            Problem: 429, after too many in one minute.
        """
        if self._open.add(address) > OPEN_CALLS:
            wait = {"Retry-After": str(self._open.seconds_left)}
            raise Problem("too-many-requests", "too many calls from this address: wait a minute", headers=wait)

    def _holder(self, session: str) -> Holder | None:
        with self.storage.database.reading() as connection:
            return sessions.holder_of(connection, session, SESSION_SECONDS)

    def _content(self, cookie: str) -> dict[str, str] | None:
        try:
            content = self._signing.loads(cookie)
        except BadSignature:
            return None
        return content if isinstance(content, dict) and {"session", "csrf"} <= set(content) else None


class LoggedOut(Exception):
    """Nobody is logged in: whatever page was asked for, the answer is the form that asks for a token."""


def access_of(request: Request) -> AccessControl:
    """The access control of the service."""
    found: AccessControl = request.app.state.access
    return found


def address_of(request: Request) -> str:
    """The address of the caller, behind a trusted proxy too."""
    return request.client.host if request.client else ""


@dataclass(frozen=True)
class Admission:
    """A dependency that lets only some roles in; a session that changes something must repeat its CSRF token.

    ``admit`` comes first: the route calls it before it reads the body (``routing``).

    Args:
        roles: who is let in.
        is_page: whether people are asked to log in, and forms have the CSRF token.
    """

    roles: tuple[Role, ...]
    is_page: bool = False

    async def admit(self, request: Request) -> None:
        """Finds out who calls.

        Raises:
            HTTPException: 401, 403 or 429.
            LoggedOut: at a page.
        """
        access = access_of(request)
        scheme, _space, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            holder = await access.by_token(token.strip(), address_of(request))
            caller = None if holder is None else Caller(holder)
        else:
            caller = await access.by_session(request.cookies.get(access.cookie, ""))
        if caller is None:
            if self.is_page:
                raise LoggedOut
            raise HTTPException(401, "a valid token is needed", {"WWW-Authenticate": "Bearer"})
        request.state.caller = caller
        request.state.rate = access.count(caller.holder)
        if caller.role not in self.roles:
            raise HTTPException(403, f"this is not allowed for the role {caller.role}")

    async def __call__(self, request: Request) -> Caller:
        """The caller, who was admitted."""
        caller: Caller = request.state.caller
        if caller.csrf is not None and request.method not in ("GET", "HEAD"):
            form = await form_texts(request) if self.is_page else {}
            shown = request.headers.get("x-csrf-token", "") or form.get("csrf", "")
            if not hmac.compare_digest(shown.encode(), caller.csrf.encode()):
                raise Problem("form-out-of-date", "the form is out of date: load the page again")
        return caller


async def form_texts(request: Request) -> dict[str, str]:
    """The texts of a form.

    Raises:
        Problem: it cannot be read, or holds NUL.
    """
    try:
        fields = (await request.form()).multi_items()
    except ValueError as error:  # a charset or a boundary that is not valid
        raise Problem("unreadable", "the form cannot be read: load the page again") from error
    texts = {name: value for name, value in fields if isinstance(value, str)}
    if any("\0" in text for name, value in fields for text in (name, value if isinstance(value, str) else "")):
        raise Problem("invalid-text", "a field of the form contains NUL")
    return texts


Anybody = Annotated[Caller, Depends(Admission((Role.OPERATOR, Role.ENGINEER, Role.AUDITOR)))]
Public = Annotated[Caller, Depends(Admission(tuple(Role)))]
Serving = Annotated[Caller, Depends(Admission((Role.ENGINEER, Role.CONSUMER)))]
Operator = Annotated[Caller, Depends(Admission((Role.OPERATOR,)))]
Engineer = Annotated[Caller, Depends(Admission((Role.ENGINEER,)))]
Checker = Annotated[Caller, Depends(Admission((Role.ENGINEER, Role.AUDITOR)))]

"""Calls of the service: retried where that is safe, and with errors that are the library's."""

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol

import httpx

from expunge.client.errors import problem_of

AGAIN = (429, 503)
"""Statuses after which a call may be made again."""
SAFE = ("GET", "HEAD", "DELETE")
LONGEST = 60.0
"""Longest time in seconds between two attempts."""


class Answer(Protocol):
    """What a client of HTTP gives."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def content(self) -> bytes: ...
    @property
    def text(self) -> str: ...
    def json(self) -> Any: ...


class Http(Protocol):
    """A client of HTTP: ``httpx.Client``, or one with its method ``request``."""

    def request(self, method: str, url: str, **about: Any) -> Answer: ...


class Calls:
    """Makes calls.

    Args:
        http: makes a single one.
        token: the bearer token.
        attempts: how often a call that may be repeated is made at most.
    """

    def __init__(self, http: Http, token: str, attempts: int) -> None:
        self._http, self._token, self._attempts = http, token, attempts

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        expected: Collection[int] = (),
    ) -> Answer:
        """The answer to a call; one with an Idempotency-Key, or that changes nothing, is repeated while the service is busy.

        Args:
            method: of the call.
            path: from the service's root, as ``/v1/models``.
            body: what is sent as JSON.
            query: parameters; those that are ``None`` are left out.
            headers: besides the token.
            expected: statuses from 400 on that are answers too.

        Raises:
            ServiceProblem: the service answered with a problem.
            httpx.TransportError: it could not be reached.
        """
        sent = {"Authorization": f"Bearer {self._token}", **(headers or {})}
        about: dict[str, Any] = {"headers": sent} if body is None else {"headers": sent, "json": dict(body)}
        given = {name: value for name, value in (query or {}).items() if value is not None}
        attempts = self._attempts if method in SAFE or "Idempotency-Key" in sent else 1
        for attempt in range(1, attempts + 1):
            try:
                answer = self._http.request(method, path, params=given, **about)
            except httpx.TransportError:
                if attempt == attempts:
                    raise
                time.sleep(min(2.0 ** (attempt - 2), LONGEST))
                continue
            if answer.status_code not in AGAIN or answer.status_code in expected or attempt == attempts:
                break
            time.sleep(_pause(answer, attempt))
        if answer.status_code >= 400 and answer.status_code not in expected:
            raise problem_of(answer.status_code, _document(answer))
        return answer

    def pages(self, path: str, by: str, query: Mapping[str, Any]) -> Iterator[Any]:
        """The items of a list, page by page, each fetched when it is wanted.

        Args:
            path: of the list.
            by: the parameter that takes a page's ``next``.
            query: other parameters.
        """
        following: Any = None
        while True:
            page = self.call("GET", path, query={**query, by: following}).json()
            yield from page["items"]
            following = page["next"]
            if following is None:
                return


def _pause(answer: Answer, attempt: int) -> float:
    """Seconds to wait, as the service says; otherwise longer and longer."""
    said = answer.headers.get("Retry-After", "")
    return min(float(said) if said.isdigit() else 2.0 ** (attempt - 1), LONGEST)


def _document(answer: Answer) -> object:
    try:
        return answer.json()
    except ValueError:
        return None

"""The client: requests, models, releases, certificates and jobs of a service."""

import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, cast

import httpx

from expunge.client.answers.certificates import Bundle, Certificate, Event
from expunge.client.answers.log import Inclusion
from expunge.client.answers.models import Capacity, Job, Model, ModelDetail, Predictions, Published, Release
from expunge.client.answers.operation import Health
from expunge.client.answers.people import Disclosure
from expunge.client.answers.requests import Answer, OneRequest, Request
from expunge.client.answers.suppressions import Suppressed, SuppressionList
from expunge.client.answers.verification import Verified
from expunge.client.calls import Calls, Http
from expunge.client.errors import problem_of

Row = Mapping[str, str | int | float | bool | None]


class Client:
    """A service, and a token for it. Answers are typed dictionaries; what has no method here, ``calls`` can call.

    Args:
        url: where the service is, with the path under which it is reached.
        token: the bearer token.
        timeout: seconds that a call may take. Default: 30.
        attempts: how often a call that may be repeated is made while the service is busy. Default: 4.
        http: makes the calls. Default: an ``httpx.Client``.
    """

    def __init__(
        self, url: str, token: str, *, timeout: float = 30.0, attempts: int = 4, http: Http | httpx.Client | None = None
    ) -> None:
        self._own = httpx.Client(base_url=url, timeout=timeout) if http is None else None
        self.calls = Calls(cast(Http, http or self._own), token, attempts)

    def __enter__(self) -> Self:
        """The client, closed at the end of the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Closes the client."""
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        if self._own is not None:
            self._own.close()

    def ask(self, subject: str, *, by: str | None = None, key: str | None = None, **noted: str) -> Answer:
        """Asks that a person be forgotten.

        Args:
            subject: id of the person.
            by: the column of the id. Default: any.
            key: makes the same request when it is repeated. Default: a new one, so that only this call is repeated safely.
            noted: what the office notes of it, as ``reference`` and ``channel``.

        Raises:
            Refused: nobody has this id, it stands for several people, or the person was forgotten already.
        """
        headers = {"Idempotency-Key": key or secrets.token_urlsafe(24)}
        body = {"subject": subject, **({} if by is None else {"by": by}), **noted}
        return cast(Answer, self.calls.call("POST", "/v1/requests", body=body, headers=headers).json())

    def ask_many(self, subjects: Sequence[str], *, by: str | None = None, key: str | None = None, **noted: str) -> list[Answer]:
        """Asks that people be forgotten; an answer for each, in order. Those refused have a ``reason``.

        Args:
            subjects: ids of the people.
            by: the column of the ids. Default: any.
            key: gets the same answers when the call is repeated. Default: a new one, so that only this call is repeated safely.
            noted: what the office notes of all, as ``reference`` and ``channel``.

        Raises:
            Refused: the key was used for another call.
        """
        headers = {"Idempotency-Key": key or secrets.token_urlsafe(24)}
        body = {"subjects": list(subjects), **({} if by is None else {"by": by}), **noted}
        return cast(list[Answer], self.calls.call("POST", "/v1/requests/bulk", body=body, headers=headers).json())

    def restrict(
        self, subject: str, *, ground: str | None = None, by: str | None = None, key: str | None = None, **noted: str
    ) -> Answer:
        """Asks that the processing of a person's data be restricted: the rows stay, and no model has them.

        Args:
            subject: id of the person.
            ground: why: ``accuracy``, ``unlawful``, ``claims`` or ``objection``. Default: not noted.
            by: the column of the id. Default: any.
            key: as of ``ask``.
            noted: as of ``ask``.

        Raises:
            Refused: nobody has this id, it stands for several people, or the person asked to be forgotten.
        """
        why = {} if ground is None else {"ground": ground}
        return self.ask(subject, by=by, key=key, kind="restrict", **why, **noted)

    def lift(self, request: str, reason: str) -> None:
        """Lifts a restriction, once the person was told: every model then learns the rows again.

        Args:
            request: id of the request that asked for it.
            reason: ``settled``, ``claims-over``, ``person`` or ``other``.

        Raises:
            Refused: it is no restriction that stands.
        """
        self.calls.call("POST", f"/v1/requests/{request}/lift", body={"reason": reason, "informed": True})

    def show(self, subject: str, *, by: str | None = None) -> Disclosure:
        """What is held about a person: rows, models that learned them, restrictions.

        Args:
            subject: id of the person.
            by: the column of the id. Default: any.
        """
        body = {"subject": subject, **({} if by is None else {"by": by})}
        return cast(Disclosure, self.calls.call("POST", "/v1/people/show", body=body).json())

    def suppress(
        self, name: str, column: str, entries: Sequence[str], *, normalised: str = "lower", hash: str = "sha256"
    ) -> Suppressed:
        """Imports a suppression list: whoever is found is asked to be forgotten, and later rows of all are left out.

        Args:
            name: what the list is called; it is in the log.
            column: of the ids that were hashed.
            entries: the hashes, in hexadecimal or Base64.
            normalised: what was done before hashing: ``exact``, ``lower``, ``digits`` or ``e164``. Default: ``"lower"``.
            hash: ``sha256``, ``sha512``, ``sha1`` or ``md5``. Default: ``"sha256"``.
        """
        body = {"name": name, "column": column, "entries": list(entries), "normalised": normalised, "hash": hash}
        return cast(Suppressed, self.calls.call("POST", "/v1/suppressions", body=body).json())

    def suppressions(self) -> list[SuppressionList]:
        """The suppression lists that are kept, by name."""
        return cast(list[SuppressionList], self._get("/v1/suppressions")["items"])

    def lift_suppressions(self, name: str) -> None:
        """Drops a suppression list: rows of people on it are taken again.

        Args:
            name: of the list.
        """
        self.calls.call("DELETE", f"/v1/suppressions/{name}")

    def request(self, request: str) -> OneRequest:
        """One request, its state and its certificates.

        Args:
            request: id of the request.
        """
        return cast(OneRequest, self._get(f"/v1/requests/{request}"))

    def requests(self, **filters: str | None) -> Iterator[Request]:
        """All requests, newest first, page by page.

        Args:
            filters: as ``state="accepted"``; see ``GET /v1/requests``.
        """
        return self.calls.pages("/v1/requests", "cursor", {"limit": 500, **filters})

    def receipt(self, request: str, subject: str) -> str:
        """The receipt of a request, again.

        Args:
            request: id of the request.
            subject: id of the person whose request it is.
        """
        found = self.calls.call("POST", f"/v1/requests/{request}/receipt", body={"subject": subject}).json()
        return str(found["receipt"])

    def wait_closed(self, request: str, *, every: float = 2.0, seconds: float = 3600.0) -> OneRequest:
        """The request once it is closed, or has ended otherwise.

        Args:
            request: id of the request.
            every: seconds between two looks. Default: 2.
            seconds: how long to wait. Default: an hour.

        Raises:
            TimeoutError: it is still open.
        """
        until = time.monotonic() + seconds
        while (found := self.request(request))["closed"] is None:
            if time.monotonic() > until:
                raise TimeoutError(f"request {request} is still {found['state']} after {seconds:g} seconds")
            time.sleep(every)
        return found

    def models(self) -> list[Model]:
        """The living models."""
        return cast(list[Model], self._get("/v1/models")["items"])

    def model(self, name: str) -> ModelDetail:
        """One model, and what it can still forget.

        Args:
            name: of the model.
        """
        return cast(ModelDetail, self._get(f"/v1/models/{name}"))

    def capacity(self, name: str) -> Capacity:
        """How much of a model's capacity to forget is used.

        Args:
            name: of the model.
        """
        return cast(Capacity, self._get(f"/v1/models/{name}/capacity"))

    def releases(self, name: str) -> list[Release]:
        """All releases of a model, oldest first.

        Args:
            name: of the model.
        """
        return cast(list[Release], self._get(f"/v1/models/{name}/releases")["items"])

    def release(self, name: str, *, seen: int | None = None) -> Published | None:
        """The newest release of a model; ``None`` if it is the one with the certificate ``seen``.

        Args:
            name: of the model.
            seen: number of the certificate of the release that the caller has. Default: none.
        """
        headers = {} if seen is None else {"If-None-Match": f'"{seen}"'}
        answer = self.calls.call("GET", f"/v1/models/{name}/releases/latest", headers=headers)
        return None if answer.status_code == 304 else cast(Published, answer.json())

    def follow(self, name: str, *, every: float = 10.0, seen: int | None = None) -> Iterator[Published]:
        """Every newest release of a model, as it comes; without end.

        Args:
            name: of the model.
            every: seconds between two looks. Default: 10.
            seen: number of the certificate of the release that the caller has. Default: none.
        """
        while True:
            found = self.release(name, seen=seen)
            if found is None:
                time.sleep(every)
            else:
                seen = found["certificate"]
                yield found

    def predict(self, name: str, rows: Iterable[Row]) -> Predictions:
        """What a model's newest release predicts for rows, in their order.

        Args:
            name: of the model.
            rows: each with every column of the model's schema, ``None`` where missing.
        """
        body = {"rows": [dict(row) for row in rows]}
        return cast(Predictions, self.calls.call("POST", f"/v1/models/{name}/predictions", body=body).json())

    def certificate(self, number: int, *, request: str | None = None) -> Bundle:
        """A certificate to verify offline.

        Args:
            number: of the certificate.
            request: id of a request that it is to be shown to answer. Default: none.
        """
        return cast(Bundle, self._get(f"/v1/certificates/{number}", request=request))

    def certificates(self) -> Iterator[Certificate]:
        """All certificates, newest first, page by page."""
        return self.calls.pages("/v1/certificates", "before", {"limit": 500})

    def events(self, after: int = 0) -> Iterator[Event]:
        """The events of the log, oldest first.

        Args:
            after: number of the event after which they begin. Default: 0.
        """
        while True:
            items: list[Event] = self._get("/v1/log/events", after=after, limit=500)["items"]
            yield from items
            if not items:
                return
            after = items[-1]["seq"]

    def inclusion(self, event: int) -> Inclusion:
        """The proof that an event is in the log.

        Args:
            event: number of the event.
        """
        return cast(Inclusion, self._get(f"/v1/log/inclusion/{event}"))

    def keys(self) -> str:
        """The public keys, as the file ``expunge.pub``."""
        return self.calls.call("GET", "/v1/keys").text

    def verify(self, files: Mapping[str, str], *, keys: str | None = None) -> Verified:
        """Whether files are genuine, as the service sees it; offline, ``expunge verify`` does the same.

        Args:
            files: contents by name.
            keys: the public keys to trust. Default: those of the service.
        """
        given = [{"name": name, "content": content} for name, content in files.items()]
        body = {"files": given, **({} if keys is None else {"keys": keys})}
        return cast(Verified, self.calls.call("POST", "/v1/verify", body=body).json())

    def start(self, path: str, **wanted: Any) -> Job:
        """Starts a job: ``start("models/churn/refit")``, ``start("models", name="churn", target="churn")``.

        Args:
            path: what to do, as in the API.
            wanted: how; see there.
        """
        return cast(Job, self.calls.call("POST", f"/v1/{path}", body=wanted).json())

    def job(self, number: int) -> Job:
        """A job.

        Args:
            number: of the job.
        """
        return cast(Job, self._get(f"/v1/jobs/{number}"))

    def wait(self, job: Job, *, every: float = 2.0, seconds: float = 3600.0) -> Job:
        """The job once it has ended.

        Args:
            job: the job.
            every: seconds between two looks. Default: 2.
            seconds: how long to wait. Default: an hour.

        Raises:
            TimeoutError: it has not ended.
        """
        until = time.monotonic() + seconds
        while (found := self.job(job["job"]))["ended"] is None:
            if time.monotonic() > until:
                raise TimeoutError(f"job {job['job']} is still {found['state']} after {seconds:g} seconds")
            time.sleep(every)
        return found

    def health(self) -> Health:
        """Whether the queue is being worked, and what stands in its way.

        Raises:
            ServiceProblem: the workspace cannot be used.
        """
        answer = self.calls.call("GET", "/v1/health", expected=(503,))
        found = answer.json()
        if "worker" not in found:
            raise problem_of(answer.status_code, found)
        return cast(Health, found)

    def _get(self, path: str, **query: Any) -> Any:
        return self.calls.call("GET", path, query=query).json()

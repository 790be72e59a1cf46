"""The service's problems as errors: each is also the library's own error of that kind, where there is one."""

from collections.abc import Mapping
from typing import Any

from expunge.errors import ExpungeError, InvalidRows, Refusal, RequestRefused, WorkspaceBusy


class ServiceProblem(ExpungeError):
    """A problem that the service answered with.

    Args:
        document: the problem document (RFC 9457).
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.type = str(document["type"]).rsplit("/", 1)[-1]
        self.status = int(document["status"])
        self.document = dict(document)
        Exception.__init__(self, str(document["detail"]))


class Refused(ServiceProblem, RequestRefused):
    """A request that the service refuses; ``reason`` and ``near`` are as in the library."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        ServiceProblem.__init__(self, document)
        self.reason, self.near = Refusal(str(document["reason"])), document.get("near")


class Busy(ServiceProblem, WorkspaceBusy):
    """Another process is writing to the workspace: try again later."""


class UnusableRows(ServiceProblem, InvalidRows):
    """Rows that cannot be used as they are."""


class Unreadable(ServiceProblem):
    """An answer that is none of the service's, such as that of a proxy in front.

    Args:
        status: the status of the answer.
    """

    def __init__(self, status: int) -> None:
        detail = f"the answer, with status {status}, is not one of the service: check the address, and the proxies in front"
        super().__init__({"type": "unreadable", "status": status, "detail": detail})


def problem_of(status: int, document: object) -> ServiceProblem:
    """The error for an answer.

    Args:
        status: the status of the answer.
        document: its content; ``None`` where it is no JSON.
    """
    if not isinstance(document, dict) or not {"type", "status", "detail"} <= set(document):
        return Unreadable(status)
    kind = str(document["type"]).rsplit("/", 1)[-1]
    if document.get("reason") in tuple(Refusal):
        return Refused(document)
    return {"busy": Busy, "invalid-rows": UnusableRows}.get(kind, ServiceProblem)(document)

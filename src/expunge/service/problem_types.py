"""The types of problems: every error of the API has one, at a stable address under /problems, which says what to do.

The table in docs/service.md is made of this one (``python -m tools.contract``).
"""

from dataclasses import dataclass, replace

from fastapi import HTTPException

from expunge.errors import Refusal


@dataclass(frozen=True)
class ProblemType:
    """A type of problems.

    Args:
        name: the last part of its address.
        status: the HTTP status it comes with.
        title: what happened, in a few words.
        remedy: what to do.
    """

    name: str
    status: int
    title: str
    remedy: str


TYPES = {
    found.name: found
    for found in (
        ProblemType("invalid-request", 422, "The request is not as described", "correct what `errors` lists"),
        ProblemType("unknown-parameter", 422, "Unknown query parameter", "leave it out, or correct its name"),
        ProblemType("invalid-cursor", 422, "Unknown cursor", "start again without one"),
        ProblemType("invalid-text", 422, "A text contains NUL", "remove the character"),
        ProblemType("unreadable", 400, "The request cannot be read", "send what the API describes"),
        ProblemType("not-logged-in", 401, "A valid token is needed", "send `Authorization: Bearer` and a token"),
        ProblemType("not-allowed", 403, "Not allowed for this role", "use a token with a role of the operation"),
        ProblemType("form-out-of-date", 403, "The form is out of date", "load the page again"),
        ProblemType("not-found", 404, "Not found", "check the id and the path"),
        ProblemType("method-not-allowed", 405, "Method not allowed", "use a method of the header `Allow`"),
        ProblemType("conflict", 409, "Not possible now", "read `detail`"),
        ProblemType("too-long", 413, "The body is too long", "send it in parts"),
        ProblemType("not-json", 415, "The body is not JSON", "send `Content-Type: application/json`"),
        ProblemType("too-many-requests", 429, "Too many requests", "wait for `Retry-After`"),
        ProblemType("too-many-wrong-tokens", 429, "Too many wrong tokens", "correct the token, and wait for `Retry-After`"),
        ProblemType(Refusal.LIMIT, 429, "Too many requests to forget", "wait, or raise the limit in `workspace.toml`"),
        ProblemType(Refusal.ALREADY_FORGOTTEN, 409, "Already forgotten", "nothing: the person is not in the table"),
        ProblemType(Refusal.KEY_REUSED, 409, "Idempotency-Key used before", "use a new key for another request"),
        ProblemType(Refusal.TOO_LATE, 409, "Too late", "nothing: the request is being worked or has ended"),
        ProblemType(Refusal.SEVERAL_PEOPLE, 409, "The id stands for several people", "name the column of the id in `by`"),
        ProblemType(Refusal.UNKNOWN_SUBJECT, 422, "Nobody has this id", "check the id; `near` says if somebody's is like it"),
        ProblemType(Refusal.ANOTHER_SUBJECT, 422, "The request is not for this person", "check the id"),
        ProblemType(Refusal.INVALID_ID, 422, "Not a valid id", "correct the id"),
        ProblemType(Refusal.UNKNOWN_COLUMN, 422, "No such column of ids", "use one of the columns that `detail` lists"),
        ProblemType(Refusal.EMPTY, 422, "No id", "give an id"),
        ProblemType(Refusal.UNKNOWN_REQUEST, 404, "No such request", "check the request's id"),
        ProblemType(Refusal.NO_RECEIPT, 404, "No receipt", "check the request's id"),
        ProblemType(Refusal.NOT_COVERED, 404, "Another release answers it", "ask for a certificate that the request names"),
        ProblemType(Refusal.BY_OFFICER, 409, "An officer refused it", "use a new key for another request"),
        ProblemType(Refusal.EXTENDED_BEFORE, 409, "Extended before", "nothing: a deadline is extended once"),
        ProblemType(Refusal.OWN_REQUEST, 403, "Made with the same token", "let a second person approve it"),
        ProblemType(Refusal.NOTHING_TO_APPROVE, 409, "Nothing to approve", "nothing: it does not wait for approval"),
        ProblemType(Refusal.BEING_FORGOTTEN, 409, "The person asked to be forgotten", "withdraw that request first"),
        ProblemType(Refusal.NOTHING_TO_LIFT, 409, "No restriction that stands", "nothing: it is none, or has ended"),
        ProblemType("busy", 409, "Another process is working in the workspace", "try again after `Retry-After`"),
        ProblemType("capacity-exceeded", 409, "The model cannot certify this", "refit the model"),
        ProblemType("budget-spent", 409, "The model's budget is spent", "wait for its scheduled refit"),
        ProblemType("invalid-rows", 422, "Rows that cannot be used", "correct them as `detail` says"),
        ProblemType("unavailable", 503, "The workspace cannot be used now", "try again; look at `GET /v1/health`"),
        ProblemType("stopping", 503, "The service is stopping", "try again after `Retry-After`"),
        ProblemType("unforeseen", 500, "Unforeseen error", "report it with the number in `error`"),
    )
}
"""All types, by name."""
OF_STATUS = {
    400: "unreadable",
    401: "not-logged-in",
    403: "not-allowed",
    404: "not-found",
    405: "method-not-allowed",
    409: "conflict",
    413: "too-long",
    415: "not-json",
    422: "invalid-request",
    429: "too-many-requests",
    500: "unforeseen",
    503: "unavailable",
}
"""The type of an error of which only its status is known."""


class Problem(HTTPException):
    """An error of a known type.

    Args:
        name: of the type.
        detail: what happened this time, and what to do.
        headers: of the answer.
    """

    def __init__(self, name: str, detail: str, *, headers: dict[str, str] | None = None) -> None:
        self.type = TYPES[name]
        super().__init__(self.type.status, detail, headers)


def type_of(error: object, status: int) -> ProblemType:
    """The type of an exception that is answered with ``status``."""
    if isinstance(error, Problem):
        return error.type
    name = OF_STATUS.get(status)
    return TYPES[name] if name is not None else replace(TYPES["unreadable"], status=status)

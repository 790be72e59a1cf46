"""The errors a caller can act on. Every message says what happened, to which row, and what to do next."""

from enum import StrEnum


class ExpungeError(Exception):
    """Base of all errors raised on purpose by this package."""


class InvalidRows(ExpungeError, ValueError):
    """Rows that cannot be used as they are: NaN, wrong width, unknown label, duplicates, too few or too many."""


class WrongValue(InvalidRows):
    """A value that is not of the type of its ``column``; the message names its row.

    Args:
        message: for people.
        column: that holds the value.
    """

    def __init__(self, message: str, column: str) -> None:
        super().__init__(message)
        self.column = column


class LastRows(InvalidRows):
    """Rows without which there is no such model: all that it learned, or all of one class.

    Args:
        message: for people.
        class_code: of the class that would have no rows; ``None``, the default, where it is all rows.
    """

    def __init__(self, message: str, class_code: int | None = None) -> None:
        super().__init__(message)
        self.class_code = class_code


class NotLearned(ExpungeError):
    """A row that cannot have been among the learned rows; subtracting it would poison the model."""


class NoOptimum(ExpungeError, ValueError):
    """The objective has no unique minimum on these rows (dependent columns, separable or one-sided targets)."""


class CapacityExceeded(ExpungeError):
    """The distance to the retrained model could not be proven small enough; nothing was changed or released.

    Args:
        message: for people.
        distance_bound: what was proven of |w̄ − ŵ′|₂.
        distance_allowed: the most that the noise and the budget allow.
        rung: the cheapest rung of the ladder that would do.
    """

    def __init__(self, message: str, *, distance_bound: float, distance_allowed: float, rung: str) -> None:
        super().__init__(message)
        self.distance_bound = distance_bound
        self.distance_allowed = distance_allowed
        self.rung = rung


class BudgetSpent(ExpungeError):
    """The releases since the earliest deletion already used the whole (epsilon, delta); the scheduled refit resets it."""


class ModelCopied(ExpungeError):
    """A copy of a model was asked to release while the original may still release; nothing was changed."""


class ModelCopyWarning(UserWarning):
    """A model that can forget was copied or pickled, with its secret state and its budget."""


class NoiseTooLarge(ExpungeError, ValueError):
    """Noise that would cost more than the model gains over a constant one; nothing was released."""


class NoiseDrownsModel(UserWarning):
    """Noise that costs a good part of what the model gains over a constant one."""


class AnchorMismatch(ExpungeError):
    """Statistics taken at different anchors, which cannot be added or subtracted."""


class EngineUnavailable(ExpungeError):
    """A cluster that cannot be reached, or that was lost in the middle of a pass; nothing was changed."""


class StateCorrupt(ExpungeError):
    """A state file that is truncated, altered, of another version or not ours."""


class SignatureInvalid(ExpungeError):
    """A certificate, receipt or log that is not what its key signed: altered, incomplete, or signed by somebody else."""


class NotShown(SignatureInvalid):
    """A genuine certificate or receipt that does not show what was asked of it."""


class LedgerCorrupt(ExpungeError):
    """A ledger whose events do not add up to what was signed: altered, missing or reordered; or a damaged database."""


class WorkspaceInvalid(ExpungeError):
    """A folder that is not a workspace, or one whose table, keys, schema or settings cannot be used as they are."""


class WorkUnfinished(ExpungeError):
    """What was asked for is done and in the ledger, but something is left to tidy up or to write; the message says what."""


class WorkspaceBusy(ExpungeError):
    """Another process is writing to the workspace."""


class Refusal(StrEnum):
    """Why a request is refused."""

    UNKNOWN_SUBJECT = "unknown-subject"
    ALREADY_FORGOTTEN = "already-forgotten"
    SEVERAL_PEOPLE = "several-people"
    KEY_REUSED = "key-reused"
    LIMIT = "limit"
    EMPTY = "empty"
    INVALID_ID = "invalid-id"
    UNKNOWN_COLUMN = "unknown-column"
    UNKNOWN_REQUEST = "unknown-request"
    NO_RECEIPT = "no-receipt"
    ANOTHER_SUBJECT = "another-subject"
    TOO_LATE = "too-late"
    NOT_COVERED = "not-covered"
    BY_OFFICER = "by-officer"
    EXTENDED_BEFORE = "extended-before"
    OWN_REQUEST = "own-request"
    NOTHING_TO_APPROVE = "nothing-to-approve"
    BEING_FORGOTTEN = "being-forgotten"
    NOTHING_TO_LIFT = "nothing-to-lift"


class RequestRefused(ExpungeError):
    """A request that cannot be accepted; the refusal is in the log.

    Args:
        message: for people.
        reason: a short code.
        near: a short code of how an unknown id is like one that somebody has; ``None``, the default, where it is like none.
    """

    def __init__(self, message: str, *, reason: Refusal, near: str | None = None) -> None:
        super().__init__(message)
        self.reason, self.near = reason, near


EXTRAS = {
    **dict.fromkeys(("typer", "rich", "securesystemslib", "cryptography", "pymerkle"), "verify"),
    **dict.fromkeys(("pyarrow", "deltalake", "duckdb", "sqlalchemy", "alembic", "psycopg", "fsspec", "openpyxl"), "workspace"),
    **dict.fromkeys(
        (
            "fastapi",
            "starlette",
            "uvicorn",
            "jinja2",
            "markupsafe",
            "segno",
            "typing_extensions",
            "itsdangerous",
            "prometheus_client",
            "pydantic",
        ),
        "service",
    ),
    "httpx": "client",
    **dict.fromkeys(("distributed", "dask"), "dask"),
    **dict.fromkeys(("matplotlib",), "plot"),
    **dict.fromkeys(("skops", "onnx", "sqlglot"), "export"),
}
"""By name of the module that is imported, the extra that brings it."""


def missing(error: ModuleNotFoundError) -> str | None:
    """What to install where a module is missing; ``None`` for one that no extra brings.

    Args:
        error: that importing it raised.

    Examples:
        >>> missing(ModuleNotFoundError(name="duckdb"))
        "the package duckdb is not installed: pip install 'expunge[workspace]'"
    """
    package = (error.name or "").split(".")[0]
    if package not in EXTRAS:
        return None
    return f"the package {package} is not installed: pip install 'expunge[{EXTRAS[package]}]'"

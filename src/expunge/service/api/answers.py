"""What the routes of the API share: the workspace, what is not there, and whose fault an error is."""

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import HTTPException, Request

from expunge.errors import WorkspaceInvalid
from expunge.ledger import releases
from expunge.service.problems import MEDIA_TYPE
from expunge.workspace import Workspace

T = TypeVar("T")


def workspace_of(request: Request) -> Workspace:
    """The workspace that is served."""
    found: Workspace = request.app.state.workspace
    return found


def problem_responses() -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says of errors."""
    schema = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}, "description": "a problem"}
    return dict.fromkeys((400, 401, 403, 404, 405, 409, 413, 422, 429, 503), schema)


def found(value: T | None, what: str) -> T:
    """``value``; 404 if there is none."""
    if value is None:
        raise HTTPException(404, f"there is no {what}")
    return value


def require_model(request: Request, name: str) -> None:
    """404 if there is no such model."""
    with workspace_of(request).storage.database.reading() as connection:
        try:
            releases.named(connection, name)
        except WorkspaceInvalid as error:
            raise HTTPException(404, str(error)) from error


def plainly(action: Callable[[], T]) -> T:
    """The result of ``action``; a ``ValueError`` is the caller's fault."""
    try:
        return action()
    except ValueError as error:
        raise HTTPException(422, str(error)) from error

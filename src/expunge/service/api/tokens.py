"""Tokens over HTTP: listed and revoked. They are issued at the command line alone.

Whoever may issue a token may issue one of any role, and so become an operator, who can look people up. Nobody gets such a
right by being an engineer: it stays with whoever may open the workspace's folder, who has it anyway.
"""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request, Response
from pydantic import BaseModel

from expunge.ledger import tokens
from expunge.ledger.tokens import Role
from expunge.service.access import Caller, Checker, Engineer
from expunge.service.api.answers import problem_responses, workspace_of
from expunge.service.records import changing
from expunge.service.routing import GuardedRoute

router = APIRouter(prefix="/v1", responses=problem_responses(), route_class=GuardedRoute, tags=["operation"])
TokenId = Annotated[str, Path(pattern=r"^[0-9a-f]{1,64}$")]


class TokenModel(BaseModel):
    """A token without its secret. Times are ISO 8601."""

    token: str
    name: str
    role: Role
    created: str
    revoked: str | None


class TokensModel(BaseModel):
    """All tokens, oldest first."""

    items: list[TokenModel]


def revoke(request: Request, identity: str, caller: Caller) -> None:
    """Revokes a token; 404 if there is none that is valid, 409 for the caller's own."""
    if identity == caller.holder.id:
        raise HTTPException(409, "this is your own token: let another engineer revoke it, or use expunge token revoke")
    with (
        changing("token.revoked", caller.holder.id, token=identity),
        workspace_of(request).storage.database.writing() as connection,
    ):
        if not tokens.revoke(connection, identity, caller.holder.id):
            raise HTTPException(404, f"there is no token {identity!r}, or it was revoked before")


@router.get("/tokens", response_model=TokensModel)
def list_tokens(request: Request, _caller: Checker) -> dict[str, Any]:
    """Who may use the service, and as what."""
    with workspace_of(request).storage.database.reading() as connection:
        return {"items": [token_view(row) for row in tokens.listed(connection)]}


@router.delete("/tokens/{identity}", status_code=204, response_class=Response)
def revoke_token(identity: TokenId, request: Request, caller: Engineer) -> None:
    """Revokes a token, which gives no access after at most five seconds. Tokens are issued with `expunge token issue`."""
    revoke(request, identity, caller)


def token_view(row: tokens.Token) -> dict[str, Any]:
    """A token as JSON values."""
    return {"token": row.id, **{name: getattr(row, name) for name in ("name", "role", "created", "revoked")}}

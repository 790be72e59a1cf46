"""Suppression lists over HTTP: hashed ids of people who are to be forgotten, and whose later rows are left out."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from expunge.data.hashed_ids import HashedId
from expunge.service.access import Anybody, Operator
from expunge.service.api.answers import found, plainly, problem_responses, workspace_of
from expunge.service.bodies import AnswerModel, Name
from expunge.service.records import changing
from expunge.service.routing import GuardedRoute
from expunge.workspace.suppressing import GivenList

router = APIRouter(prefix="/v1", responses=problem_responses(), route_class=GuardedRoute)
MOST = 50_000
"""Number of hashes in one call; a longer list comes in several calls with one name."""


class SuppressionsAsked(BaseModel):
    """A list of hashed ids, and what it states of them."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="What it is called; it is in the log.")]
    column: Annotated[str, Field(min_length=1, max_length=200, description="Column of the ids that were hashed.")]
    normalised: Annotated[Literal["exact", "lower", "digits", "e164"], Field(description="What was done before hashing.")] = (
        "lower"
    )
    hash: Annotated[Literal["sha256", "sha512", "sha1", "md5"], Field(description="The hash.")] = "sha256"
    entries: Annotated[
        list[Annotated[str, Field(max_length=200)]],
        Field(min_length=1, max_length=MOST, repr=False, description="The hashes, in hexadecimal or Base64."),
    ]


class SuppressedModel(BaseModel):
    """What became of a list."""

    name: str
    column: str
    entries: int
    new: Annotated[int, Field(description="Entries that were not on the list of this name before.")]
    several: Annotated[int, Field(description="Entries that stand for several people here: nobody was asked to be forgotten.")]
    unmatched: Annotated[int, Field(description="Entries that stand for nobody here; they are kept for later rows.")]
    answers: list[AnswerModel]


class SuppressionListModel(BaseModel):
    """A list that is kept."""

    name: str
    column: str
    entries: int
    imported: str
    actor: Annotated[str | None, Field(description="Who last added to it; null for lists of earlier versions.")]
    matched: Annotated[int | None, Field(description="Requests made because of it; null for lists of earlier versions.")]
    applied: Annotated[str | None, Field(description="When rows that came were last compared with it.")]


class SuppressionListsModel(BaseModel):
    """The lists that are kept."""

    items: list[SuppressionListModel]


@router.post("/suppressions", response_model=SuppressedModel)
def import_suppressions(asked: SuppressionsAsked, request: Request, caller: Operator) -> dict[str, Any]:
    """Imports a suppression list of hashed ids, such as California's DROP. Whoever is found is asked to be forgotten, and gets
    a receipt; later rows of everybody on the list are left out. Entries are added to a list of the same name."""
    hashed = HashedId(asked.column, asked.normalised, asked.hash)
    given = GivenList(asked.name, hashed, asked.entries, range(1, len(asked.entries) + 1))
    with changing("suppressions.added", caller.holder.id, list=asked.name):
        done = plainly(lambda: workspace_of(request).suppression.add(given, actor=caller.holder.id))
    names = ("column", "entries", "new", "several", "unmatched")
    told = ("request", "state", "message", "deadline", "rows", "reason", "near", "receipt")
    answers = [{name: getattr(answer, name) for name in told} for answer in done.answers]
    return {"name": done.name, **{name: getattr(done, name) for name in names}, "answers": answers}


@router.get("/suppressions", response_model=SuppressionListsModel)
def list_suppressions(request: Request, _caller: Anybody) -> dict[str, Any]:
    """The suppression lists that are kept, by name."""
    return {"items": [vars(each) for each in workspace_of(request).suppression.lists()]}


@router.delete("/suppressions/{name}", status_code=204, response_class=Response)
def lift_suppressions(name: Name, request: Request, caller: Operator) -> None:
    """Drops a suppression list: rows of people on it are taken again."""
    found(next((each for each in workspace_of(request).suppression.lists() if each.name == name), None), f"list {name!r}")
    with changing("suppressions.lifted", caller.holder.id, list=name):
        workspace_of(request).suppression.lift(name)

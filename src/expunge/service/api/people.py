"""Over HTTP, what is held about a person."""

from fastapi import APIRouter, Request

from expunge.service.access import Operator
from expunge.service.api.answers import problem_responses, workspace_of
from expunge.service.bodies import (
    DisclosureModel,
    Shown,
)
from expunge.service.routing import GuardedRoute
from expunge.workspace.disclosure import Disclosure

router = APIRouter(prefix="/v1", responses=problem_responses(), route_class=GuardedRoute)


@router.post("/people/show", response_model=DisclosureModel)
def show_person(asked: Shown, request: Request, caller: Operator) -> Disclosure:
    """What is held about a person (GDPR Art. 15 and 20): their rows, and which models learned them. That somebody looked is
    logged, whom they looked up is not."""
    return workspace_of(request).show(asked.subject, by=asked.by, actor=caller.holder.id)

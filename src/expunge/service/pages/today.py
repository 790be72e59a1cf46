"""The first page: in one sentence what there is to do today, and what is most urgent."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from starlette.responses import Response

from expunge.ledger import register, times
from expunge.ledger.register import Filter, Matter, Sort
from expunge.ledger.requests import OPEN, STANDING
from expunge.service.api.answers import workspace_of
from expunge.service.pages import words
from expunge.service.pages.rendering import Visitor, render
from expunge.service.routing import GuardedRoute

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=GuardedRoute)
SHOWN = 20
URGENT = (Matter.OVERDUE, Matter.STUCK, Matter.APPROVAL, Matter.DUE)
"""What the sentence of the day names, in its order."""
SAID = {
    Matter.OVERDUE: ("is overdue", "are overdue"),
    Matter.STUCK: ("is stuck", "are stuck"),
    Matter.APPROVAL: ("waits for a second person's approval", "wait for a second person's approval"),
    Matter.DUE: ("is due this week", "are due this week"),
}


@router.get("/")
def today(request: Request, caller: Visitor) -> Response:
    """What there is to do."""
    with workspace_of(request).storage.database.reading() as connection:
        counted = register.matters(connection)
        rows = register.listed(connection, Filter(matter=Matter.OPEN), Sort.DUE, SHOWN)
        by_state = register.counts(connection)
    ended = sum(count for state, count in by_state.items() if state not in OPEN)
    standing = [(state, by_state[state]) for state in STANDING if by_state.get(state)]
    named = [(matter, counted[matter], SAID[matter][counted[matter] != 1]) for matter in URGENT if counted[matter]]
    return render(
        request,
        "today.html",
        named=named,
        counted=counted,
        rows=rows,
        ended=ended,
        standing=standing,
        words=words,
        now=times.now(),
        health=request.app.state.worker.health,
    )

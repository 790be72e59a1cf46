"""What the route about the service's health returns."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from expunge.ledger.requests import RequestState
from expunge.service.faults import Cause


class FaultModel(BaseModel):
    """Something that stands in the way, and how often it was met."""

    part: str
    cause: Cause
    message: str
    since: str
    count: int


class HealthModel(BaseModel):
    """Whether the queue is being worked, and what stands in its way."""

    requests: Annotated[dict[RequestState, int], Field(description="Number of requests by state.")]
    overdue: int
    worker: Literal["ok", "late", "dead"]
    last_round: Annotated[str, Field(description="When the last round ended.")]
    working_since: Annotated[str | None, Field(description="When the round that is working began.")]
    deliveries: Literal["ok", "dead"]
    jobs: Literal["ok", "dead"]
    job: Annotated[int | None, Field(description="The job that this instance is doing.")]
    problem: Annotated[str | None, Field(description="What to look at first.")]
    faults: list[FaultModel]

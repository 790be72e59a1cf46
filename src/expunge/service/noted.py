"""How a request came, and what is noted of it, as the API accepts it."""

import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from expunge.ledger.requests import Channel
from expunge.workspace.cases import LONG, SHORT, Case

Short = Annotated[str, Field(max_length=SHORT)]


class Noted(BaseModel):
    """How a request came, and what is noted of it."""

    model_config = ConfigDict(extra="forbid")
    received_on: Annotated[
        datetime.date | None, Field(description="The day on which it came; by default today. The deadline counts from it.")
    ] = None
    channel: Channel | None = None
    reference: Annotated[Short | None, Field(repr=False, description="The office's own.")] = None
    checked_by: Annotated[Short | None, Field(repr=False, description="Who checked the person's identity.")] = None
    note: Annotated[str | None, Field(max_length=LONG, repr=False)] = None

    @property
    def case(self) -> Case:
        """The same, checked.

        Raises:
            WrongField: one of them is wrong.
        """
        day = "" if self.received_on is None else self.received_on.isoformat()
        return Case.read(day, self.channel or "", self.reference or "", self.checked_by or "", self.note or "")

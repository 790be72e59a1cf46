"""How a request came, and what is noted of it, as the API accepts it."""

import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from expunge.ledger.requests import Basis, Channel, RequestKind
from expunge.workspace.cases import LONG, SHORT, Case, WrongField

Short = Annotated[str, Field(max_length=SHORT)]


class Noted(BaseModel):
    """How a request came, and what is noted of it."""

    model_config = ConfigDict(extra="forbid")
    kind: Annotated[
        Literal[RequestKind.FORGET, RequestKind.RESTRICT],
        Field(description="`restrict` for restriction of processing (GDPR Art. 18): the rows stay, and no model has them."),
    ] = RequestKind.FORGET
    ground: Annotated[
        Basis | None, Field(description="Of a restriction, why: contested accuracy, unlawful processing, claims, an objection.")
    ] = None
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
        if self.ground is not None and self.kind != RequestKind.RESTRICT:
            raise WrongField("ground", "a ground belongs to a restriction: leave it out, or ask for one with kind restrict")
        day = "" if self.received_on is None else self.received_on.isoformat()
        return Case.read(day, self.channel or "", self.reference or "", self.checked_by or "", self.note or "")

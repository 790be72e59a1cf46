"""Withheld: people whose rows the table has, and which models are not shown them, because they have forgotten them."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from expunge.ledger import releases, requests
from expunge.ledger.batches import BatchKind
from expunge.ledger.requests import RequestKind

if TYPE_CHECKING:  # what a batch does rests on who is withheld
    from expunge.workspace.states import Prepared, Work


class Forgetting(NamedTuple):
    """Who has forgotten whom before a batch: living models; requests that are open, and restrictions, with their people; the
    models that answered; and which of the requests are restrictions, and which of these stand."""

    living: set[str]
    people: dict[str, str]
    by: dict[str, dict[str, int]]
    restrictions: set[str]
    standing: set[str]

    @classmethod
    def of(cls, connection: sa.Connection) -> "Forgetting":
        living = {row.name for row in releases.all_models(connection)}
        asked = requests.asked(connection)
        people = {request.id: request.person for request in asked}
        restrictions = {request.id for request in asked if request.kind == RequestKind.RESTRICT}
        standing = {request.id for request in asked if request.is_standing}
        return cls(living, people, requests.forgetting(connection), restrictions, standing)

    def forgotten(self, model: str, besides: Collection[str] = ()) -> set[str]:
        """People whose rows are still in the table, but not in ``model``, because of other requests than ``besides``."""
        mine = (request for request, by in self.by.items() if model in by and request in self.people)
        return {self.people[request] for request in mine if request not in besides}

    @property
    def leaving(self) -> set[str]:
        """People whom only some models have forgotten."""
        return {self.people[request] for request in self.by if request in self.people and request not in self.standing}

    def complete(self, work: "Work", prepared: "Sequence[Prepared]") -> dict[str, str]:
        """The requests, with their people, that every living model will have answered after the batch."""
        living = self.living - (set(work.models or ()) if work.kind == BatchKind.RETIRE else set())
        answered = {new.model: set(new.forgot) for new in prepared}

        def is_complete(request: str) -> bool:
            by = self.by.get(request, {})
            return all(model in by or request in answered.get(model, ()) for model in living)

        asked = self.people if work.kind in (BatchKind.REPLACE, BatchKind.RETIRE) else work.requests
        wanted = {request: person for request, person in asked.items() if request not in self.standing}
        return {request: person for request, person in wanted.items() if is_complete(request)}

    def erased(self, complete: Mapping[str, str]) -> dict[str, str]:
        """Those of the requests that are ``complete`` whose people are erased; a restriction leaves the rows where they are."""
        return {request: person for request, person in complete.items() if request not in self.restrictions}

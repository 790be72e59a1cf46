"""What requests would affect, before anybody makes them: rows, and how far each person moves each model."""

from collections.abc import Sequence
from dataclasses import dataclass

from expunge.ledger import releases
from expunge.workspace import states
from expunge.workspace.asking import ForgetRequest
from expunge.workspace.people import Found, Id, People
from expunge.workspace.specification import Specification
from expunge.workspace.storage import Storage
from expunge.workspace.withheld import Forgetting


@dataclass(frozen=True)
class Preview:
    """What requests would affect.

    Args:
        rows: number of rows of each request, in order.
        influence: by model, how far each person moves it, in order, in units of the noise.
    """

    rows: list[int]
    influence: dict[str, list[float]]


def preview(storage: Storage, wishes: Sequence[ForgetRequest]) -> Preview:
    """What ``wishes`` would affect."""
    found = _found(storage, wishes)
    leaving = storage.table.of_subjects([tag for who in found for tag in who.person])
    moved: dict[str, list[float]] = {}
    with storage.database.reading() as connection:
        models, before = releases.all_models(connection), Forgetting.of(connection)
    for row in models:
        hidden = before.forgotten(row.name)
        rows = Specification.from_json(row.specification).rows(leaving)
        by_tag = states.influences(states.state_of(storage, row.name), leaving, rows)
        moved[row.name] = [sum(by_tag.get(tag, 0.0) for tag in who.person if tag not in hidden) for who in found]
    return Preview([who.rows if who.person else 0 for who in found], moved)


def _found(storage: Storage, wishes: Sequence[ForgetRequest]) -> list[Found]:
    return People(storage).find([Id(wish.subject, wish.by) for wish in wishes])

"""Stuck: requests in the queue that a model cannot answer."""

import sqlalchemy as sa

from expunge.ledger import sealing
from expunge.ledger.requests import WORKED, RequestState
from expunge.ledger.tables import forgotten_by
from expunge.ledger.tables import requests as table

_STUCK = (table.c.state == RequestState.ACCEPTED) & table.c.kind.in_(WORKED) & table.c.problem.is_not(None)
"""Requests in the queue that could not be worked."""


def behind(connection: sa.Connection, model: str, limit: int) -> tuple[int, list[str]]:
    """How many requests could not be worked and are not answered by a model, and the ids of the most urgent ones.

    Args:
        connection: a connection.
        model: name of the model.
        limit: how many ids at most.
    """
    answered = sa.exists().where(forgotten_by.c.request == table.c.id, forgotten_by.c.model == model)
    count = connection.execute(sa.select(sa.func.count()).select_from(table).where(_STUCK, ~answered)).scalar_one()
    chosen = sa.select(table).where(_STUCK, ~answered).order_by(table.c.deadline, table.c.id).limit(limit)
    return int(count), [str(row.id) for row in sealing.rows(connection, chosen, table)]


def by_problem(connection: sa.Connection, limit: int) -> list[tuple[str, int]]:
    """Why requests could not be worked, and how many for each reason, the commonest first."""
    count = sa.func.count()
    chosen = sa.select(table.c.problem, count).where(_STUCK).group_by(table.c.problem)
    return [(str(why), int(n)) for why, n in connection.execute(chosen.order_by(count.desc(), table.c.problem).limit(limit))]

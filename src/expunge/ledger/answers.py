"""Answers: what calls with an idempotency key were answered, so that their repetitions are answered the same."""

from typing import NamedTuple

import sqlalchemy as sa

from expunge.ledger import sealing
from expunge.ledger.tables import answers


class Kept(NamedTuple):
    """What was asked, as a keyed hash, and what was answered, as JSON."""

    body: str
    content: str


def kept(connection: sa.Connection, key: str) -> Kept | None:
    """What is kept under a keyed hash of an idempotency key."""
    found = sealing.rows(connection, sa.select(answers).where(answers.c.key == key), answers)
    return Kept(found[0].body, found[0].content) if found else None


def keep(connection: sa.Connection, key: str, answer: Kept, at: str) -> None:
    """Keeps an answer, in a writing transaction."""
    sealing.insert(connection, answers, [{"key": key, **answer._asdict(), "at": at}])


def are_due(connection: sa.Connection, until: str) -> bool:
    """Whether there are answers from before that time."""
    return connection.execute(sa.select(answers.c.key).where(answers.c.at <= until).limit(1)).first() is not None


def purge(connection: sa.Connection, until: str) -> None:
    """Drops the answers from before that time."""
    sealing.delete(connection, answers, answers.c.at <= until)

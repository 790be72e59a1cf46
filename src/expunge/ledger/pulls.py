"""Pulls: which release was fetched with which token, first and last. Without this record a release is not handed out."""

from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from expunge.ledger import sealing, times
from expunge.ledger.tables import pulls, releases, tokens

GRAIN = timedelta(hours=1)
"""Times of later pulls are recorded to this precision, so that one who asks every second does not cause a write each time."""


@dataclass(frozen=True)
class Pull:
    """That a release was fetched with a token; times are ISO 8601.

    Args:
        release: number of the release among all.
        token: id of the token.
        name: name of its holder.
        first: when it was first fetched.
        last: when it was last fetched, to the hour.
    """

    release: int
    token: str
    name: str
    first: str
    last: str


def is_noted(connection: sa.Connection, release: int, token: str) -> bool:
    """Whether a pull within the last hour is recorded."""
    recent = (times.now() - GRAIN).isoformat(timespec="microseconds")
    mine = (pulls.c.release == release) & (pulls.c.token == token)
    return bool(sealing.rows(connection, sa.select(pulls).where(mine, pulls.c.last > recent), pulls))


def note(connection: sa.Connection, release: int, token: str) -> None:
    """Records a pull, in a writing transaction."""
    now = times.exact()
    mine = (pulls.c.release == release) & (pulls.c.token == token)
    if not sealing.update(connection, pulls, mine, last=now):
        sealing.insert(connection, pulls, [{"release": release, "token": token, "first": now, "last": now}])


def of(connection: sa.Connection, model: str) -> dict[int, list[Pull]]:
    """By number among all, who has fetched the releases of a model, in the order of time."""
    chosen = sa.select(pulls).join(releases, releases.c.id == pulls.c.release).where(releases.c.model == model)
    rows = sealing.rows(connection, chosen.order_by(pulls.c.release, pulls.c.first), pulls)
    wanted = sa.select(tokens).where(tokens.c.id.in_({row.token for row in rows}))
    names = {row.id: row.name for row in sealing.rows(connection, wanted, tokens)}
    found: dict[int, list[Pull]] = {}
    for row in rows:
        found.setdefault(row.release, []).append(Pull(row.release, row.token, names[row.token], row.first, row.last))
    return found

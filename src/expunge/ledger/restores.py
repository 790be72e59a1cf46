"""Restores: that this ledger continues from a backup, and what follows for the models' budgets."""

import json
from dataclasses import dataclass
from datetime import date, timedelta

import sqlalchemy as sa

from expunge.ledger import releases
from expunge.ledger.properties import read_property, set_property
from expunge.ledger.releases import Release
from expunge.ledger.tables import releases as release_table

RESTORED = "restored"
"""The property that records the last restore."""


@dataclass(frozen=True)
class Restored:
    """The last restore of a ledger.

    Args:
        count: number of restores, in this ledger and in all copies given up before it.
        on: the day (UTC).
        release: id of the last release in the backup.
    """

    count: int
    on: date
    release: int

    @classmethod
    def last(cls, connection: sa.Connection) -> "Restored | None":
        """The last restore; ``None`` for a ledger that was never restored."""
        found = read_property(connection, RESTORED)
        if found is None:
            return None
        value = json.loads(found)
        return cls(value["count"], date.fromisoformat(value["on"]), value["release"])

    def note(self, connection: sa.Connection) -> None:
        """Makes this the last one."""
        value = {"count": self.count, "on": self.on.isoformat(), "release": self.release}
        set_property(connection, RESTORED, json.dumps(value))

    def is_before(self, release: Release) -> bool:
        """Whether ``release`` was made since, by a model that knows of the restore."""
        return release.id > self.release

    def since(self, began: date, days: int | None) -> date:
        """When a period of the budget started that started on the day ``began`` in the backup: what was lost may have ended it,
        but only on days of its calendar, which was fixed before.

        Examples:
            >>> Restored(1, date(2026, 3, 5), 7).since(date(2026, 1, 1), 30)
            datetime.date(2026, 3, 2)
        """
        if days is None or self.on <= began:
            return began
        return began + timedelta(days=(self.on - began).days // days * days)


def newest_release(connection: sa.Connection) -> int:
    """The id of the last release; 0 if there is none."""
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(release_table.c.id), 0))).scalar_one())


def owe_refits(connection: sa.Connection, at: str) -> None:
    """Schedules a refit for every model, which restores its budget."""
    for model in releases.all_models(connection):
        releases.owe(connection, model.name, at)
